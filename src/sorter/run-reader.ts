import type { Quota } from '../spill/quota.ts'
import type { Place } from './place.ts'
import type { RowArena } from './row-arena.ts'
import { commitHigh, commitLow, NO_ROWS, openBlock, type RowBlock, rowSize } from './row-block.ts'
import type { RowSource } from './row-source.ts'
import type { SortedRun } from './sorted-run.ts'

/** Reads the rows of a run from a place on, a block at a time and, where asked, one ahead. */
export class RunReader implements RowSource, Disposable {
  readonly run: SortedRun
  readonly #arena: RowArena
  readonly #quota: Quota
  /** undefined once the reader has found its place. */
  #place: Place | undefined
  /** Of the present block, or the one to be loaded. */
  #index: number
  /** Word in the block to be loaded. */
  #resumeAt = 0
  #fetching: Promise<void> | undefined
  /** The block to be loaded, or the one behind the present. */
  #fetched: Buffer | undefined
  #disposed = false
  /** Memory for blocks. */
  bytes = 0
  loaded = false
  ended = false
  block: RowBlock = NO_ROWS
  at = 0
  key = 0
  high = 0
  low = 0

  /** From the run's beginning where no place is given. */
  constructor(run: SortedRun, place: Place | undefined, arena: RowArena, quota: Quota) {
    this.run = run
    this.#arena = arena
    this.#quota = quota
    this.#place = place
    this.#index = place === undefined ? 0 : blockOf(run, place)
    this.#boundByIndex()
    if (place === undefined) return
    if (isBelow(this.high, this.low, place)) this.#bound(place.high, place.low)
    // Behind its last row: such a run goes with the checkpoint, whoever reads.
    this.ended = isBelow(run.lastHigh, run.lastLow, place)
  }

  /** Whether it was never read from, and has rows. */
  get fresh(): boolean {
    if (this.ended) return false
    return this.#place !== undefined || (this.#index === 0 && this.#resumeAt === 0 && !this.loaded)
  }

  /** Makes the next row known, or the end. Rejects with the errors of `Segment.readBlock`. */
  async load(readAhead: boolean, signal: AbortSignal): Promise<void> {
    while (!this.loaded && !this.ended && !this.#disposed) {
      if (this.#fetched === undefined) await (this.#fetching ??= this.#fetch(signal))
      else this.#open(this.#fetched)
    }
    if (!readAhead || !this.loaded || this.#fetched !== undefined || this.#fetching !== undefined) return
    if (this.#index + 1 === this.run.segment.blocks) return
    this.#fetching = this.#fetch(signal)
    // Whoever needs the block asks again and sees the error then.
    this.#fetching.catch(() => {})
  }

  advance(): void {
    this.at += rowSize(this.block, this.at) >>> 2
    if (this.at < this.block.words.length) this.#arrive()
    else this.#leave()
  }

  /** Frees the memory; the next {@link load} reads the blocks again. */
  unload(): void {
    if (this.#fetched !== undefined) this.#account(-this.#fetched.length)
    this.#fetched = undefined
    if (!this.loaded) return
    this.#account(-this.block.bytes.length)
    this.#resumeAt = this.at
    this.block = NO_ROWS
    this.loaded = false
  }

  [Symbol.dispose](): void {
    this.#disposed = true
    this.unload()
  }

  async #fetch(signal: AbortSignal): Promise<void> {
    const index = this.#wanted
    try {
      const bytes = await this.run.segment.readBlock(index, signal)
      if (this.#disposed || index !== this.#wanted || this.#fetched !== undefined) return
      this.#fetched = bytes
      this.#account(bytes.length)
    } finally {
      this.#fetching = undefined
    }
  }

  get #wanted(): number {
    return this.loaded ? this.#index + 1 : this.#index
  }

  #open(bytes: Buffer): void {
    this.#fetched = undefined
    this.block = openBlock(bytes)
    this.at = this.#resumeAt
    this.#resumeAt = 0
    this.loaded = true
    const { block } = this
    while (this.#place !== undefined && this.at < block.words.length) {
      if (this.#place.isBefore(block, this.at)) this.at += rowSize(block, this.at) >>> 2
      else this.#place = undefined
    }
    if (this.at < block.words.length) this.#arrive()
    else this.#leave()
  }

  #arrive(): void {
    this.#bound(commitHigh(this.block, this.at), commitLow(this.block, this.at))
  }

  #leave(): void {
    this.#account(-this.block.bytes.length)
    this.block = NO_ROWS
    this.loaded = false
    this.#index++
    this.ended = this.#index === this.run.segment.blocks
    if (this.ended) return
    this.#boundByIndex()
    if (this.#fetched !== undefined) this.#open(this.#fetched)
  }

  #boundByIndex(): void {
    this.#bound(this.run.firstHigh[this.#index] ?? 0, this.run.firstLow[this.#index] ?? 0)
  }

  #bound(high: number, low: number): void {
    this.high = high
    this.low = low
    this.key = this.#arena.sortKey(high, low)
  }

  #account(bytes: number): void {
    this.bytes += bytes
    this.#quota.addBefore(bytes)
  }
}

const isBelow = (high: number, low: number, place: Place): boolean =>
  high < place.high || (high === place.high && low < place.low)

/** The last block that begins below the place's timestamp: rows of that timestamp may begin in it. */
function blockOf({ firstHigh, firstLow }: SortedRun, place: Place): number {
  let from = 0
  let to = firstHigh.length
  while (from < to) {
    const middle = (from + to) >>> 1
    if (isBelow(firstHigh[middle] ?? 0, firstLow[middle] ?? 0, place)) from = middle + 1
    else to = middle
  }
  return Math.max(0, from - 1)
}
