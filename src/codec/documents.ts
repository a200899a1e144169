import type { Fault } from './decoded.ts'

/**
 * The JSON objects of a text where they follow each other, with any bytes of `between` in the gaps. Only their braces and
 * quotes are looked at.
 */
export function* splitDocuments(bytes: Uint8Array, between: ReadonlySet<number>, fault: Fault): Generator<Uint8Array> {
  let at = 0
  for (;;) {
    while (at < bytes.length && between.has(bytes[at] ?? 0)) at++
    if (at === bytes.length) return
    const end = documentEnd(bytes, at, fault)
    yield bytes.subarray(at, end)
    at = end
  }
}

/** Behind the brace that closes the object which begins at `start`. */
function documentEnd(bytes: Uint8Array, start: number, fault: Fault): number {
  let depth = 0
  let quoted = false
  for (let at = start; at < bytes.length; at++) {
    const c = bytes[at]
    if (quoted) {
      if (c === 0x5c) at++
      else if (c === 0x22) quoted = false
    } else if (c === 0x22) quoted = true
    else if (c === 0x7b) depth++
    else if (c === 0x7d && --depth === 0) return at + 1
    if (depth === 0) break
  }
  throw fault(`no whole document at byte ${start}`)
}
