/** The block format of Snappy, without framing: varint of the length, then literals and copies. Source: google/snappy, format_description.txt. */

/** Matches are looked for inside pieces of this size, so that an offset always fits 16 bits. */
const BLOCK_BYTES = 65_536
const HASH_BITS = 14
const LEAST_MATCH = 4

const table = new Uint16Array(1 << HASH_BITS)

export function snappyCompress(input: Uint8Array): Uint8Array {
  const out = new Uint8Array(5 + input.length + Math.ceil(input.length / 6) + 32)
  let at = writeVarint(out, input.length)
  for (let start = 0; start < input.length; start += BLOCK_BYTES) {
    at = compressBlock(input.subarray(start, start + BLOCK_BYTES), out, at)
  }
  return out.slice(0, at)
}

function compressBlock(block: Uint8Array, out: Uint8Array, start: number): number {
  table.fill(0)
  const last = block.length - LEAST_MATCH
  let at = start
  let literal = 0
  let position = 1
  while (position <= last) {
    const hash = hashAt(block, position)
    const candidate = table[hash] ?? 0
    table[hash] = position
    if (!sameFour(block, candidate, position)) {
      // The longer nothing repeats, the fewer places are tried.
      position += 1 + ((position - literal) >> 5)
      continue
    }
    let length = LEAST_MATCH
    while (position + length < block.length && block[candidate + length] === block[position + length]) length++
    at = writeLiteral(block, literal, position, out, at)
    at = writeCopy(position - candidate, length, out, at)
    position += length
    literal = position
  }
  return writeLiteral(block, literal, block.length, out, at)
}

const hashAt = (bytes: Uint8Array, at: number): number =>
  Math.imul(fourBytes(bytes, at), 0x1e35a7bd) >>> (32 - HASH_BITS)

const fourBytes = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)

const sameFour = (bytes: Uint8Array, a: number, b: number): boolean => fourBytes(bytes, a) === fourBytes(bytes, b)

function writeLiteral(input: Uint8Array, from: number, to: number, out: Uint8Array, start: number): number {
  if (from === to) return start
  let at = start
  const n = to - from - 1
  if (n < 60) out[at++] = n << 2
  else if (n < 256) {
    out[at++] = 60 << 2
    out[at++] = n
  } else {
    out[at++] = 61 << 2
    out[at++] = n
    out[at++] = n >> 8
  }
  out.set(input.subarray(from, to), at)
  return at + to - from
}

function writeCopy(offset: number, length: number, out: Uint8Array, start: number): number {
  let at = start
  let left = length
  // Pieces of 64, and what is left at the end has at least 4 bytes.
  while (left >= 68) {
    at = writeLongCopy(offset, 64, out, at)
    left -= 64
  }
  if (left > 64) {
    at = writeLongCopy(offset, 60, out, at)
    left -= 60
  }
  if (left >= 12 || offset >= 2048) return writeLongCopy(offset, left, out, at)
  out[at++] = ((offset >> 8) << 5) | ((left - 4) << 2) | 1
  out[at++] = offset
  return at
}

function writeLongCopy(offset: number, length: number, out: Uint8Array, at: number): number {
  out[at] = ((length - 1) << 2) | 2
  out[at + 1] = offset
  out[at + 2] = offset >> 8
  return at + 3
}

function writeVarint(out: Uint8Array, value: number): number {
  let at = 0
  let rest = value
  while (rest > 0x7f) {
    out[at++] = (rest & 0x7f) | 0x80
    rest = Math.floor(rest / 128)
  }
  out[at++] = rest
  return at
}

/** undefined where the bytes are no Snappy block, or would be longer than `maxBytes`. */
export function snappyDecompress(input: Uint8Array, maxBytes: number): Uint8Array | undefined {
  let at = 0
  let size = 0
  for (let shift = 1; ; shift *= 128) {
    const b = input[at++]
    if (b === undefined || at > 5) return undefined
    size += (b & 0x7f) * shift
    if (b < 0x80) break
  }
  // No copy of three bytes yields more than 64.
  if (size > maxBytes || size > (input.length - at) * 64) return undefined
  const out = new Uint8Array(size)
  let end = 0
  while (at < input.length) {
    const tag = input[at++] ?? 0
    let length = (tag >> 2) + 1
    if ((tag & 3) === 0) {
      if (length > 60) {
        const bytes = length - 60
        length = 1
        for (let i = 0; i < bytes; i++) length += (input[at + i] ?? 0) * 256 ** i
        at += bytes
      }
      if (at + length > input.length || end + length > size) return undefined
      out.set(input.subarray(at, at + length), end)
      at += length
      end += length
      continue
    }
    let offset: number
    if ((tag & 3) === 1) {
      length = ((tag >> 2) & 7) + 4
      offset = ((tag >> 5) << 8) | (input[at++] ?? 0)
    } else {
      const bytes = (tag & 3) === 2 ? 2 : 4
      offset = 0
      for (let i = 0; i < bytes; i++) offset += (input[at + i] ?? 0) * 256 ** i
      at += bytes
    }
    if (at > input.length || offset === 0 || offset > end || end + length > size) return undefined
    for (const to = end + length; end < to; end++) out[end] = out[end - offset] ?? 0
  }
  return end === size ? out : undefined
}
