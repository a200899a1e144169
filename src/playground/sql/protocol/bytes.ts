import { SqlError } from '../error.ts'

/** Writes the little-endian fields of MySQL's protocol; grows as needed. */
export class PacketWriter {
  #buffer: Buffer
  #length = 0

  constructor(size = 128) {
    this.#buffer = Buffer.allocUnsafe(size)
  }

  #reserve(count: number): number {
    const at = this.#length
    const needed = at + count
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    this.#length = needed
    return at
  }

  u8(value: number): this {
    const at = this.#reserve(1)
    this.#buffer[at] = value
    return this
  }

  u16(value: number): this {
    const at = this.#reserve(2)
    this.#buffer.writeUInt16LE(value, at)
    return this
  }

  u32(value: number): this {
    const at = this.#reserve(4)
    this.#buffer.writeUInt32LE(value >>> 0, at)
    return this
  }

  u64(value: bigint): this {
    const at = this.#reserve(8)
    this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, value), at)
    return this
  }

  float(value: number): this {
    const at = this.#reserve(4)
    this.#buffer.writeFloatLE(value, at)
    return this
  }

  double(value: number): this {
    const at = this.#reserve(8)
    this.#buffer.writeDoubleLE(value, at)
    return this
  }

  bytes(bytes: Uint8Array): this {
    const at = this.#reserve(bytes.length)
    this.#buffer.set(bytes, at)
    return this
  }

  zeros(count: number): this {
    const at = this.#reserve(count)
    this.#buffer.fill(0, at, at + count)
    return this
  }

  /** Length-encoded integer. */
  length(value: bigint | number): this {
    const number = BigInt(value)
    if (number < 251n) return this.u8(Number(number))
    if (number < 0x1_0000n) return this.u8(0xfc).u16(Number(number))
    if (number < 0x100_0000n)
      return this.u8(0xfd)
        .u16(Number(number & 0xffffn))
        .u8(Number(number >> 16n))
    return this.u8(0xfe).u64(number)
  }

  /** Length-encoded bytes. */
  sized(bytes: Uint8Array): this {
    return this.length(bytes.length).bytes(bytes)
  }

  sizedText(text: string): this {
    return this.sized(Buffer.from(text, 'utf8'))
  }

  /** Text with a closing zero byte. */
  zeroText(text: string): this {
    return this.bytes(Buffer.from(text, 'utf8')).u8(0)
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }
}

/** Reads the fields of one packet; error 1835 where it ends too early. */
export class PacketReader {
  readonly #buffer: Buffer
  #at: number

  constructor(buffer: Buffer, at = 0) {
    this.#buffer = buffer
    this.#at = at
  }

  get left(): number {
    return this.#buffer.length - this.#at
  }

  #take(count: number): number {
    if (count < 0 || count > this.left) throw new SqlError(1835, 'Malformed communication packet')
    const at = this.#at
    this.#at += count
    return at
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#take(1))
  }

  u16(): number {
    return this.#buffer.readUInt16LE(this.#take(2))
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#take(4))
  }

  u64(): bigint {
    return this.#buffer.readBigUInt64LE(this.#take(8))
  }

  float(): number {
    return this.#buffer.readFloatLE(this.#take(4))
  }

  double(): number {
    return this.#buffer.readDoubleLE(this.#take(8))
  }

  bytes(count: number): Buffer {
    const at = this.#take(count)
    return this.#buffer.subarray(at, at + count)
  }

  rest(): Buffer {
    return this.bytes(this.left)
  }

  length(): number {
    const first = this.u8()
    if (first < 251) return first
    if (first === 0xfc) return this.u16()
    if (first === 0xfd) return this.u16() | (this.u8() << 16)
    return Number(this.u64())
  }

  sized(): Buffer {
    return this.bytes(this.length())
  }

  /** Text up to a zero byte, or to the end. */
  zeroText(): string {
    const end = this.#buffer.indexOf(0, this.#at)
    const text = this.bytes((end < 0 ? this.#buffer.length : end) - this.#at).toString('utf8')
    if (end >= 0) this.#at++
    return text
  }
}
