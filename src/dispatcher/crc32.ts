const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let bit = 0; bit < 8; bit++) c = (c & 1) === 0 ? c >>> 1 : 0xedb88320 ^ (c >>> 1)
  return c
})

/** CRC-32 (IEEE) in three steps, so that a prefix is computed once; a loop beats node:zlib's call for short inputs. */
export const CRC_START = -1

/** Of `bytes[start, end)`. */
export function crcBytes(state: number, bytes: Uint8Array, start = 0, end = bytes.length): number {
  let crc = state
  for (let i = start; i < end; i++) crc = (TABLE[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8)
  return crc
}

/** Of text that is surely ASCII. */
export function crcAscii(state: number, text: string): number {
  let crc = state
  for (let i = 0; i < text.length; i++) crc = (TABLE[(crc ^ text.charCodeAt(i)) & 0xff] ?? 0) ^ (crc >>> 8)
  return crc
}

export const crcEnd = (state: number): number => ~state >>> 0
