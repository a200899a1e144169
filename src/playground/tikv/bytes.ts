import { compareBytes, decodeBytes, encodeBytes } from '../../tidb/key.ts'

export { compareBytes }

export const noBytes = Buffer.alloc(0)

/** True where start ≤ key < end; an empty `end` is no bound. */
export const inRange = (key: Uint8Array, start: Uint8Array, end: Uint8Array): boolean =>
  compareBytes(key, start) >= 0 && (end.length === 0 || compareBytes(key, end) < 0)

/** The later of two range starts, where an empty one is the lowest. */
export const laterStart = (a: Buffer, b: Buffer): Buffer => (compareBytes(a, b) >= 0 ? a : b)

/** The earlier of two range ends, where an empty one is no bound. */
export function earlierEnd(a: Buffer, b: Buffer): Buffer {
  if (a.length === 0) return b
  return b.length === 0 || compareBytes(a, b) <= 0 ? a : b
}

/** Memcomparable form of a raw key, as PD and region boundaries have it. */
export function encodeKey(raw: Uint8Array): Buffer {
  const bytes = encodeBytes(raw)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The raw key of a memcomparable one; undefined where the bytes are no such thing. What follows the key is ignored. */
export function decodeKey(encoded: Uint8Array): Buffer | undefined {
  try {
    return Buffer.from(decodeBytes(encoded).raw)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
