/** Messages are views on slabs of this size, shared by all tables of a protocol and never written again. */
const SLAB_BYTES = 64 * 1024
const encoder = new TextEncoder()

/**
 * Builds one message after the other in Avro's binary encoding (Avro specification, "Binary Encoding"). One writer serves
 * all encoders of a protocol: an encoder writes a message whole before another one begins.
 */
export class AvroWriter {
  readonly #slabBytes: number
  #slab: Uint8Array<ArrayBuffer>
  #view: DataView
  #start = 0
  #at = 0

  /** `slabBytes`: less than a slab where few bytes are built once. */
  constructor(slabBytes = SLAB_BYTES) {
    this.#slabBytes = slabBytes
    this.#slab = newSlab(slabBytes)
    this.#view = new DataView(this.#slab.buffer)
  }

  /** Bytes of the message being built. */
  get length(): number {
    return this.#at - this.#start
  }

  /** Ends the message: bytes that stay as they are. One too long for a slab is copied, so that it pins nothing else. */
  take(): Uint8Array {
    if (this.#slab.length > this.#slabBytes) {
      const message = this.#slab.slice(this.#start, this.#at)
      this.#use(newSlab(this.#slabBytes))
      this.#start = this.#at = 0
      return message
    }
    const message = this.#slab.subarray(this.#start, this.#at)
    this.#start = this.#at
    return message
  }

  /** The message being built; valid until the next write. For a message that is copied, then discarded. */
  peek(): Uint8Array {
    return this.#slab.subarray(this.#start, this.#at)
  }

  /** Forgets what was written since the last message. */
  discard(): void {
    this.#at = this.#start
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#slab[this.#at++] = value
  }

  /** `bytes` as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    const { length } = bytes
    // Below this, a loop costs less than a call.
    if (length > 24) this.#slab.set(bytes, this.#at)
    else for (let i = 0; i < length; i++) this.#slab[this.#at + i] = bytes[i] ?? 0
    this.#at += length
  }

  /** int and long: zig-zag varint. A `bigint` is taken modulo 2^64, so an unsigned one beyond 2^63 becomes negative. */
  long(value: number | bigint): void {
    this.#reserve(10)
    if (typeof value === 'bigint') {
      this.#bigLong(BigInt.asIntN(64, value))
      return
    }
    const slab = this.#slab
    if (value >= -0x4000_0000 && value < 0x4000_0000) {
      let rest = (value << 1) ^ (value >> 31)
      while (rest > 0x7f) {
        slab[this.#at++] = (rest & 0x7f) | 0x80
        rest >>>= 7
      }
      slab[this.#at++] = rest
      return
    }
    // Halves: doubling a large integer would leave those that a double holds.
    const half = value < 0 ? -value - 1 : value
    let low = ((half % 64) << 1) | (value < 0 ? 1 : 0)
    let rest = Math.floor(half / 64)
    while (rest > 0) {
      slab[this.#at++] = low | 0x80
      low = rest % 128
      rest = Math.floor(rest / 128)
    }
    slab[this.#at++] = low
  }

  #bigLong(value: bigint): void {
    let rest = value < 0n ? ~(value << 1n) : value << 1n
    while (rest > 0x7fn) {
      this.#slab[this.#at++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#slab[this.#at++] = Number(rest)
  }

  float(value: number): void {
    this.#reserve(4)
    this.#view.setFloat32(this.#at, value, true)
    this.#at += 4
  }

  double(value: number): void {
    this.#reserve(8)
    this.#view.setFloat64(this.#at, value, true)
    this.#at += 8
  }

  /** bytes, or a string that is UTF-8 already. */
  bytes(value: Uint8Array): void {
    this.long(value.length)
    this.raw(value)
  }

  string(value: string): void {
    const { length } = value
    // The length of short ASCII text, which nearly all is, takes one byte.
    if (length < 64) {
      this.#reserve(length + 1)
      const slab = this.#slab
      const start = this.#at
      let i = 0
      for (; i < length; i++) {
        const c = value.charCodeAt(i)
        if (c >= 0x80) break
        slab[start + 1 + i] = c
      }
      if (i === length) {
        slab[start] = length << 1
        this.#at = start + 1 + length
        return
      }
    }
    this.bytes(encoder.encode(value))
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes > this.#slab.length) this.#grow(bytes)
  }

  /** Goes on in a new slab, taking the unfinished message along. */
  #grow(bytes: number): void {
    const used = this.#at - this.#start
    const slab = newSlab(Math.max(this.#slabBytes, (used + bytes) * 2))
    slab.set(this.#slab.subarray(this.#start, this.#at))
    this.#use(slab)
    this.#start = 0
    this.#at = used
  }

  #use(slab: Uint8Array<ArrayBuffer>): void {
    this.#slab = slab
    this.#view = new DataView(slab.buffer)
  }
}

/** Bytes that stay the same from message to message. */
export function prepareAvro(write: (out: AvroWriter) => void): Uint8Array {
  const out = new AvroWriter(256)
  write(out)
  return out.take()
}

/** Not cleared: only what has been written is ever shown. */
const newSlab = (bytes: number): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads Avro's binary encoding; RangeError with the offset where bytes are missing or no such value. */
export class AvroReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = at
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  /** `number` where that is exact. */
  long(): number | bigint {
    let low = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte()
      low |= (byte & 0x7f) << shift
      if (byte < 0x80) return (low >>> 1) ^ -(low & 1)
    }
    let zigzag = BigInt(low)
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.#byte()
      zigzag |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) {
        if (zigzag >= 1n << 64n) break
        const value = (zigzag & 1n) === 0n ? zigzag >> 1n : ~(zigzag >> 1n)
        const number = Number(value)
        return Number.isSafeInteger(number) ? number : value
      }
    }
    throw new RangeError(`a long at ${this.#at} has more than 64 bits`)
  }

  /** A long that must be a count or an index below `limit`. */
  index(limit: number): number {
    const value = this.long()
    if (typeof value === 'bigint' || value < 0 || value >= limit)
      throw new RangeError(`index ${value} at ${this.#at} is not below ${limit}`)
    return value
  }

  boolean(): boolean {
    return this.#byte() !== 0
  }

  float(): number {
    return this.#view.getFloat32(this.#skip(4), true)
  }

  double(): number {
    return this.#view.getFloat64(this.#skip(8), true)
  }

  /** A view. */
  bytes(): Uint8Array {
    const length = this.index(this.left + 1)
    const at = this.#skip(length)
    return this.#bytes.subarray(at, at + length)
  }

  string(): string {
    const bytes = this.bytes()
    try {
      return utf8.decode(bytes)
    } catch (cause) {
      throw new RangeError(`a string before ${this.#at} is not UTF-8`, { cause })
    }
  }

  /** Calls `item` for each item of an array or map. */
  blocks(item: () => void): void {
    for (;;) {
      const count = this.long()
      if (count === 0) return
      // A negative count is followed by the block's size in bytes.
      if (count < 0) this.long()
      const items = count < 0 ? -count : count
      if (typeof items === 'bigint' || items > this.left)
        throw new RangeError(`a block of ${items} items at ${this.#at}`)
      for (let i = 0; i < items; i++) item()
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw new RangeError(`the message ends at ${this.#at}`)
    this.#at++
    return byte
  }

  #skip(bytes: number): number {
    const at = this.#at
    if (bytes > this.left) throw new RangeError(`the message ends before ${at + bytes}`)
    this.#at += bytes
    return at
  }
}
