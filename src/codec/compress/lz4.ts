/** The frame format of LZ4 with independent blocks and a checksum of the content. Source: lz4/lz4, doc/lz4_Frame_format.md. */
import { xxHash32 } from './xxhash32.ts'

/** Magic number, version 1 with independent blocks and content checksum, blocks up to 4 MiB, checksum of these two. */
const HEADER = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x64, 0x70, 0xb9)
const BLOCK_BYTES = 4 * 1024 * 1024
/** Set in the length of a block that is stored as it is. */
const STORED = 0x8000_0000
const HASH_BITS = 14
const LEAST_MATCH = 4
/** Matches end, and begin, this far before the end of a block. */
const LAST_LITERALS = 5
const LAST_MATCH_START = 12
const MAX_OFFSET = 65_535

const table = new Int32Array(1 << HASH_BITS)

export function lz4Compress(input: Uint8Array): Uint8Array {
  const blocks = Math.ceil(input.length / BLOCK_BYTES)
  const out = new Uint8Array(HEADER.length + input.length + blocks * 4 + 8 + 16)
  const view = new DataView(out.buffer)
  out.set(HEADER)
  let at = HEADER.length
  for (let start = 0; start < input.length; start += BLOCK_BYTES) {
    const block = input.subarray(start, start + BLOCK_BYTES)
    const size = compressBlock(block, out.subarray(at + 4, at + 4 + block.length))
    if (size === undefined) {
      view.setUint32(at, (STORED | block.length) >>> 0, true)
      out.set(block, at + 4)
      at += 4 + block.length
    } else {
      view.setUint32(at, size, true)
      at += 4 + size
    }
  }
  view.setUint32(at, 0, true)
  view.setUint32(at + 4, xxHash32(input), true)
  return out.slice(0, at + 8)
}

/** Bytes written; undefined where the block does not become shorter than `out` is. */
function compressBlock(block: Uint8Array, out: Uint8Array): number | undefined {
  table.fill(-1)
  const lastStart = block.length - LAST_MATCH_START
  const lastEnd = block.length - LAST_LITERALS
  let at = 0
  let literal = 0
  let position = 0
  while (position <= lastStart) {
    const hash = Math.imul(fourBytes(block, position), 0x9e3779b1) >>> (32 - HASH_BITS)
    const candidate = table[hash] ?? -1
    table[hash] = position
    if (
      candidate < 0 ||
      position - candidate > MAX_OFFSET ||
      fourBytes(block, candidate) !== fourBytes(block, position)
    ) {
      position += 1 + ((position - literal) >> 6)
      continue
    }
    let length = LEAST_MATCH
    while (position + length < lastEnd && block[candidate + length] === block[position + length]) length++
    const next = writeSequence(block, literal, position, position - candidate, length, out, at)
    if (next === undefined) return undefined
    at = next
    position += length
    literal = position
  }
  return writeSequence(block, literal, block.length, 0, 0, out, at)
}

const fourBytes = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)

/** Literals from `from` to `to`, then a match (`length` 0 = the block ends here). */
function writeSequence(
  input: Uint8Array,
  from: number,
  to: number,
  offset: number,
  length: number,
  out: Uint8Array,
  start: number,
): number | undefined {
  const literals = to - from
  let at = start + 1
  if (literals >= 15) at = writeLength(literals - 15, out, at)
  if (at + literals > out.length) return undefined
  out.set(input.subarray(from, to), at)
  at += literals
  const match = length === 0 ? 0 : length - LEAST_MATCH
  out[start] = (Math.min(literals, 15) << 4) | Math.min(match, 15)
  if (length > 0) {
    out[at++] = offset
    out[at++] = offset >> 8
    if (match >= 15) at = writeLength(match - 15, out, at)
  }
  return at > out.length ? undefined : at
}

function writeLength(value: number, out: Uint8Array, start: number): number {
  let at = start
  let rest = value
  for (; rest >= 255; rest -= 255) out[at++] = 255
  out[at++] = rest
  return at
}

/**
 * The content of one frame or of several, one behind the other; undefined where the bytes are none, a checksum is wrong,
 * or the content would be longer than `maxBytes`. Dictionaries are not supported.
 */
export function lz4Decompress(input: Uint8Array, maxBytes: number): Uint8Array | undefined {
  const out = new Growing(maxBytes)
  for (let at = 0; at < input.length;) {
    const next = readFrame(input, at, out)
    if (next === undefined) return undefined
    at = next
  }
  return input.length === 0 ? undefined : out.take()
}

class Growing {
  readonly #maxBytes: number
  bytes = new Uint8Array(1024)
  length = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** False where that is beyond the limit. */
  reserve(more: number): boolean {
    const need = this.length + more
    if (need > this.#maxBytes) return false
    if (need <= this.bytes.length) return true
    const larger = new Uint8Array(Math.min(this.#maxBytes, Math.max(need, this.bytes.length * 2)))
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
    return true
  }

  take(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }
}

/** Position behind the frame. */
function readFrame(input: Uint8Array, start: number, out: Growing): number | undefined {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  if (input.length - start < 7 || view.getUint32(start, true) !== 0x184d2204) return undefined
  const flags = input[start + 4] ?? 0
  if (flags >> 6 !== 1 || (flags & 1) !== 0) return undefined
  const linked = (flags & 0x20) === 0
  let at = start + 6 + ((flags & 8) === 0 ? 0 : 8) + 1
  const first = out.length
  for (;;) {
    if (at + 4 > input.length) return undefined
    const word = view.getUint32(at, true)
    at += 4
    if (word === 0) break
    const size = word & 0x7fff_ffff
    if (at + size > input.length) return undefined
    const block = input.subarray(at, at + size)
    at += size + ((flags & 0x10) === 0 ? 0 : 4)
    if ((word & STORED) !== 0) {
      if (!out.reserve(size)) return undefined
      out.bytes.set(block, out.length)
      out.length += size
    } else if (!readBlock(block, out, linked ? first : out.length)) return undefined
  }
  if ((flags & 4) === 0) return at
  if (at + 4 > input.length) return undefined
  const checksum = xxHash32(out.bytes.subarray(first, out.length))
  return view.getUint32(at, true) === checksum ? at + 4 : undefined
}

/** `floor`: matches do not reach below this. */
function readBlock(block: Uint8Array, out: Growing, floor: number): boolean {
  let at = 0
  const length = (nibble: number): number => {
    let sum = nibble
    if (nibble < 15) return sum
    for (;;) {
      const b = block[at++]
      if (b === undefined) return Number.POSITIVE_INFINITY
      sum += b
      if (b !== 255) return sum
    }
  }
  while (at < block.length) {
    const token = block[at++] ?? 0
    const literals = length(token >> 4)
    if (at + literals > block.length || !out.reserve(literals)) return false
    out.bytes.set(block.subarray(at, at + literals), out.length)
    out.length += literals
    at += literals
    if (at === block.length) return true
    const offset = (block[at] ?? 0) | ((block[at + 1] ?? 0) << 8)
    at += 2
    const match = length(token & 15) + LEAST_MATCH
    if (at > block.length || offset === 0 || out.length - offset < floor || !out.reserve(match)) return false
    const { bytes } = out
    for (const to = out.length + match; out.length < to; out.length++)
      bytes[out.length] = bytes[out.length - offset] ?? 0
  }
  return false
}
