import { Ts } from '../tidb/ts.ts'
import type { RawKv } from './raw-kv.ts'

const words = new Uint32Array(2)
const word64 = new BigUint64Array(words.buffer)

/** A timestamp from its two unsigned halves. */
export function tsOfHalves(high: number, low: number): Ts {
  words[0] = low
  words[1] = high
  return Ts(word64[0] ?? 0n)
}

const NO_BYTES = Buffer.alloc(0)

/** Wall clock of a timestamp in ms, exact: its part above the lowest 18 bits. */
export const physicalMsOfHalves = (high: number, low: number): number => high * 0x4000 + (low >>> 18)

/**
 * One committed change of one key, where its bytes lie. One object goes from row to row: what is given a row reads it
 * during the call and copies what it keeps. The key is raw (`t…_r…`).
 */
export class RawRow {
  bytes: Buffer = NO_BYTES
  keyAt = 0
  keyEnd = 0
  /** -1 = the key was deleted. */
  valueAt = -1
  valueEnd = -1
  /** -1 = the key did not exist before, or its old value is not known. */
  oldAt = -1
  oldEnd = -1
  /** The timestamps as unsigned halves. */
  startHigh = 0
  startLow = 0
  commitHigh = 0
  commitLow = 0
  #start = Ts(0n)
  #startHigh = 0
  #startLow = 0
  #commit = Ts(0n)
  #commitHigh = 0
  #commitLow = 0

  get startTs(): Ts {
    if (this.startLow !== this.#startLow || this.startHigh !== this.#startHigh) {
      this.#startLow = this.startLow
      this.#startHigh = this.startHigh
      this.#start = tsOfHalves(this.startHigh, this.startLow)
    }
    return this.#start
  }

  get commitTs(): Ts {
    if (this.commitLow !== this.#commitLow || this.commitHigh !== this.#commitHigh) {
      this.#commitLow = this.commitLow
      this.#commitHigh = this.commitHigh
      this.#commit = tsOfHalves(this.commitHigh, this.commitLow)
    }
    return this.#commit
  }

  /** Lets go of the bytes, which a row that waits for the next batch would keep in memory. */
  release(): void {
    this.bytes = NO_BYTES
  }

  /** As an object of its own, whose bytes are views. */
  toRawKv(): RawKv {
    const { bytes, keyAt, keyEnd, valueAt, valueEnd, oldAt, oldEnd } = this
    return {
      startTs: this.startTs,
      commitTs: this.commitTs,
      key: bytes.subarray(keyAt, keyEnd),
      value: valueAt < 0 ? undefined : bytes.subarray(valueAt, valueEnd),
      oldValue: oldAt < 0 ? undefined : bytes.subarray(oldAt, oldEnd),
    }
  }

  /** Goes to a copy of `kv`; for tests, and where speed is no matter. */
  set({ startTs, commitTs, key, value, oldValue }: RawKv): this {
    this.bytes = Buffer.concat([key, value ?? new Uint8Array(), oldValue ?? new Uint8Array()])
    this.keyAt = 0
    this.keyEnd = key.length
    this.valueAt = value === undefined ? -1 : key.length
    this.valueEnd = value === undefined ? -1 : key.length + value.length
    this.oldAt = oldValue === undefined ? -1 : this.bytes.length - oldValue.length
    this.oldEnd = oldValue === undefined ? -1 : this.bytes.length
    this.startHigh = Number(startTs >> 32n)
    this.startLow = Number(startTs & 0xffff_ffffn)
    this.commitHigh = Number(commitTs >> 32n)
    this.commitLow = Number(commitTs & 0xffff_ffffn)
    return this
  }
}

/** Rows in order, read by their position. */
export interface RawRows {
  readonly length: number
  /** Moves `row` to the row at `index`. Its bytes stay as they are until the batch is given back. */
  read(index: number, row: RawRow): void
}
