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

  append(bytes: Uint8Array): void {
    const end = this.#length + bytes.length
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(end * 2)
      larger.set(this.#bytes.subarray(0, this.#length))
      this.#bytes = larger
    }
    this.#bytes.set(bytes, this.#length)
    this.#length = end
  }

  /** Big-endian length, then the bytes. */
  appendSized(bytes: Uint8Array): void {
    this.append(bigEndian(bytes.length))
    this.append(bytes)
  }

  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}

function bigEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value))
  return bytes
}

/** A message that still takes events: keys and values, each behind its length (reference: protocols-json, A.1). */
export class Batch {
  readonly #key = new Part()
  readonly #value = new Part()
  #rows = 0

  constructor() {
    this.#key.append(VERSION)
  }

  get rows(): number {
    return this.#rows
  }

  /** As the limit counts it. */
  get length(): number {
    return this.#key.length + this.#value.length + MAX_RECORD_OVERHEAD
  }

  add(key: Uint8Array, value: Uint8Array): void {
    this.#key.appendSized(key)
    this.#value.appendSized(value)
    this.#rows++
  }

  /** The message; the batch is empty afterwards. */
  take(partition: number): EncodedMessage & { readonly key: Uint8Array } {
    const message = { partition, key: this.#key.copy(), value: this.#value.copy(), rows: this.#rows }
    this.#key.reset()
    this.#key.append(VERSION)
    this.#value.reset()
    this.#rows = 0
    return message
  }
}
