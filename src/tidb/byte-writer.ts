/** Grows as it is written to; `finish` copies what was written. */
export class ByteWriter {
  #bytes: Uint8Array
  #view: DataView
  #length = 0

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    const at = this.#take(1)
    this.#bytes[at] = value
    return this
  }

  u16le(value: number): this {
    const at = this.#take(2)
    this.#view.setUint16(at, value, true)
    return this
  }

  u32le(value: number): this {
    const at = this.#take(4)
    this.#view.setUint32(at, value, true)
    return this
  }

  u64le(value: bigint): this {
    const at = this.#take(8)
    this.#view.setBigUint64(at, BigInt.asUintN(64, value), true)
    return this
  }

  u64be(value: bigint): this {
    const at = this.#take(8)
    this.#view.setBigUint64(at, BigInt.asUintN(64, value))
    return this
  }

  f32le(value: number): this {
    const at = this.#take(4)
    this.#view.setFloat32(at, value, true)
    return this
  }

  f64le(value: number): this {
    const at = this.#take(8)
    this.#view.setFloat64(at, value, true)
    return this
  }

  /** LEB128 of an unsigned 64-bit value. */
  uvarint(value: bigint): this {
    let rest = BigInt.asUintN(64, value)
    while (rest >= 0x80n) {
      this.u8(Number(rest & 0x7fn) | 0x80)
      rest >>= 7n
    }
    return this.u8(Number(rest))
  }

  /** Zig-zag LEB128 of a signed 64-bit value. */
  varint(value: bigint): this {
    return this.uvarint((value << 1n) ^ (value >> 63n))
  }

  append(bytes: Uint8Array): this {
    const at = this.#take(bytes.length)
    this.#bytes.set(bytes, at)
    return this
  }

  /** Overwrites four bytes written before. */
  patchU32le(at: number, value: number): void {
    this.#view.setUint32(at, value, true)
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  #take(count: number): number {
    const at = this.#length
    this.#length += count
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, at))
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    return at
  }
}
