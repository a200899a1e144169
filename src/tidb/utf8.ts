/** Bytes of the UTF-8 sequence at `at`, 0 where it is not valid (as Go's utf8.DecodeRune sees it). */
export function sequenceLength(bytes: Uint8Array, at: number): 0 | 1 | 2 | 3 | 4 {
  const b0 = bytes[at] ?? 0
  if (b0 < 0x80) return 1
  const b1 = bytes[at + 1] ?? 0
  if (b0 < 0xc2 || b0 > 0xf4 || (b1 & 0xc0) !== 0x80) return 0
  if (b0 < 0xe0) return 2
  const third = ((bytes[at + 2] ?? 0) & 0xc0) === 0x80
  if (b0 < 0xf0) return !third || (b0 === 0xe0 && b1 < 0xa0) || (b0 === 0xed && b1 > 0x9f) ? 0 : 3
  const fourth = ((bytes[at + 3] ?? 0) & 0xc0) === 0x80
  return !third || !fourth || (b0 === 0xf0 && b1 < 0x90) || (b0 === 0xf4 && b1 > 0x8f) ? 0 : 4
}
