import type { Quota } from '../spill/quota.ts'
import { openBlock, type RowBlock } from './row-block.ts'

/** A block that is filled row by row, and free when its last row is. */
export interface Slab extends RowBlock {
  readonly index: number
  /** Bytes. */
  used: number
  /** Rows that are still held, plus one while the slab is being filled. */
  holders: number
}

/** Largest slab but for a single larger row: a row in it is addressed by 16 bits. */
const SLAB_BYTES = 256 * 1024
const SMALLEST_SLAB_BYTES = 4 * 1024
/** Slabs that a quota holds at least. */
const SLABS_PER_QUOTA = 64
/** What is kept of free slabs, beside the quota: about what one spill frees. */
const SPARE_SHARE = 1 / 8
const MOST_SPARE_BYTES = 32 << 20
const INDEX_LIMIT = 1 << 16

/**
 * The slabs of one worker's part of a changefeed. Small spans share one, so that ten thousand idle tables hold no memory;
 * one with much data opens its own. A row's place is one number: the slab's index and the row's word in it. Slabs count in
 * the quota from their opening to the release of their last row.
 */
export class RowArena implements Disposable {
  readonly slabBytes: number
  /** Set when a slab was opened; for whoever watches over the memory, who takes it back. */
  grew = false
  readonly #quota: Quota
  readonly #slabs: (Slab | undefined)[] = []
  readonly #free: number[] = []
  /** Slabs that went to disk and are filled again, so that nobody has to wait for the garbage collector. */
  readonly #spare: RowBlock[] = []
  readonly #mostSpare: number
  #shared: Slab | undefined
  #bytes = 0
  #keyBase = -1

  constructor(quota: Quota) {
    this.#quota = quota
    const fitting = Math.floor(quota.limitBytes / SLABS_PER_QUOTA) & ~3
    this.slabBytes = Math.min(SLAB_BYTES, Math.max(SMALLEST_SLAB_BYTES, fitting))
    this.#mostSpare = Math.floor(Math.min(MOST_SPARE_BYTES, quota.limitBytes * SPARE_SHARE) / this.slabBytes)
  }

  get heldBytes(): number {
    return this.#bytes
  }

  /** The slab of many spans, with room for `bytes` more. */
  shared(bytes: number): Slab {
    let slab = this.#shared
    if (slab === undefined || slab.used + bytes > slab.bytes.length) {
      if (slab !== undefined) this.release(slab)
      slab = this.#shared = this.open(bytes)
    }
    return slab
  }

  /** A slab for the caller alone, who releases it once more than its rows: when it is full. */
  open(bytes: number): Slab {
    const index = this.#free.pop() ?? this.#slabs.length
    if (index >= INDEX_LIMIT) throw new RangeError('more slabs than can be addressed')
    const spare = bytes <= this.slabBytes ? this.#spare.pop() : undefined
    const block = spare ?? openBlock(Buffer.allocUnsafeSlow(Math.max(this.slabBytes, bytes)))
    const slab = { bytes: block.bytes, words: block.words, given: false, index, used: 0, holders: 1 }
    this.#slabs[index] = slab
    this.#account(slab.bytes.length)
    this.grew = true
    return slab
  }

  /** The place of the row at `at` bytes in the slab. */
  placeOf(slab: Slab, at: number): number {
    return ((slab.index << 16) | (at >>> 2)) >>> 0
  }

  slabAt(place: number): Slab {
    const slab = this.#slabs[place >>> 16]
    if (slab === undefined) throw new RangeError('a row that was released')
    return slab
  }

  /** Gives one row of the slab back, or the right to fill it. */
  release(slab: Slab): void {
    if (--slab.holders > 0) return
    this.#slabs[slab.index] = undefined
    this.#free.push(slab.index)
    this.#account(-slab.bytes.length)
    if (!slab.given && slab.bytes.length === this.slabBytes && this.#spare.length < this.#mostSpare)
      this.#spare.push(slab)
  }

  /**
   * A timestamp as a number to sort by: of two different results the smaller belongs to the smaller timestamp. Timestamps
   * of one year have different ones.
   */
  sortKey(high: number, low: number): number {
    if (this.#keyBase < 0) this.#keyBase = high
    return (high - this.#keyBase) * 0x1_0000_0000 + low
  }

  /** Gives back everything, released or not. */
  [Symbol.dispose](): void {
    this.#account(-this.#bytes)
    this.#slabs.length = this.#free.length = this.#spare.length = 0
    this.#shared = undefined
  }

  #account(bytes: number): void {
    this.#bytes += bytes
    this.#quota.addBefore(bytes)
  }
}
