import type { EncodedMessage } from '../../event/encoded.ts'
import { MAX_RECORD_OVERHEAD } from '../size.ts'

/** Version header of every key. */
const VERSION = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1)
export const VERSION_BYTES = 8
/** In front of each key and each value. */
export const LENGTH_BYTES = 8
/** A buffer that a large row has made longer than this is given up after its message. */
const KEEP_BYTES = 256 * 1024

/** Bytes of a message's key or value as they grow. */
class Part {
  #bytes = new Uint8Array(1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  reset(): void {
    this.#length = 0
    if (this.#bytes.length > KEEP_BYTES) this.#bytes = new Uint8Array(1024)
  }

  append(bytes: Uint8Array, from: number, to: number): void {
    this.#reserve(to - from)
    const part = from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to)
    this.#bytes.set(part, this.#length)
    this.#length += to - from
  }

  /** Big-endian length, then the bytes from `from` to `to`. */
  appendSized(bytes: Uint8Array, from: number, to: number): void {
    this.#reserve(LENGTH_BYTES)
    const size = to - from
    const at = this.#length
    this.#bytes.fill(0, at, at + 4)
    this.#bytes[at + 4] = size >>> 24
    this.#bytes[at + 5] = size >>> 16
    this.#bytes[at + 6] = size >>> 8
    this.#bytes[at + 7] = size
    this.#length = at + LENGTH_BYTES
    this.append(bytes, from, to)
  }

  #reserve(bytes: number): void {
    const end = this.#length + bytes
    if (end <= this.#bytes.length) return
    const larger = new Uint8Array(end * 2)
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }

  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}

/** A message that still takes events: keys and values, each behind its length (reference: protocols-json, A.1). */
export class Batch {
  readonly #key = new Part()
  readonly #value = new Part()
  #rows = 0

  constructor() {
    this.#key.append(VERSION, 0, VERSION_BYTES)
  }

  get rows(): number {
    return this.#rows
  }

  /** As the limit counts it. */
  get length(): number {
    return this.#key.length + this.#value.length + MAX_RECORD_OVERHEAD
  }

  /** The event `bytes[start, end)`: a key of `keyLength` bytes, then the value. */
  add(bytes: Uint8Array, start: number, end: number, keyLength: number): void {
    this.#key.appendSized(bytes, start, start + keyLength)
    this.#value.appendSized(bytes, start + keyLength, end)
    this.#rows++
  }

  /** The message; the batch is empty afterwards. */
  take(partition: number): EncodedMessage & { readonly key: Uint8Array; readonly value: Uint8Array } {
    const message = { partition, key: this.#key.copy(), value: this.#value.copy(), rows: this.#rows }
    this.#key.reset()
    this.#key.append(VERSION, 0, VERSION_BYTES)
    this.#value.reset()
    this.#rows = 0
    return message
  }
}
