import type { Segment } from '../spill/run-files.ts'
import { commitHigh, commitLow, type RowPointer, rowSize } from './row-block.ts'

/** Sorted rows on disk, and which timestamp each of their blocks begins with: looking for one needs no reading. */
export interface SortedRun {
  readonly segment: Segment
  /** Runs of one series do not overlap. */
  readonly series: object
  /** By block, as halves. */
  readonly firstHigh: Uint32Array
  readonly firstLow: Uint32Array
  /** Of the last row. */
  readonly lastHigh: number
  readonly lastLow: number
}

const LARGEST_BLOCK_BYTES = 64 * 1024
const SMALLEST_BLOCK_BYTES = 4 * 1024
const BLOCKS_PER_RUN = 16

/** Blocks of a run of about `bytes`: small runs have small ones, because many of them are read side by side. */
export const blockBytesFor = (bytes: number): number =>
  Math.min(LARGEST_BLOCK_BYTES, Math.max(SMALLEST_BLOCK_BYTES, Math.floor(bytes / BLOCKS_PER_RUN) & ~3))

/** Cuts sorted rows into blocks, and remembers what {@link SortedRun} wants to know of them. */
export class RunWriter {
  readonly #blockBytes: number
  readonly #firstHigh: number[] = []
  readonly #firstLow: number[] = []
  #lastHigh = 0
  #lastLow = 0

  constructor(blockBytes: number) {
    this.#blockBytes = blockBytes
  }

  /** A block is valid until the next one is taken. */
  *blocks(rows: Iterable<RowPointer>): Generator<Buffer> {
    let block = Buffer.allocUnsafeSlow(this.#blockBytes)
    let used = 0
    for (const row of rows) {
      const begin = row.at * 4
      const size = rowSize(row.block, row.at)
      if (used + size > block.length) {
        if (used > 0) yield block.subarray(0, used)
        used = 0
        if (size > block.length) block = Buffer.allocUnsafeSlow(size)
      }
      this.#lastHigh = commitHigh(row.block, row.at)
      this.#lastLow = commitLow(row.block, row.at)
      if (used === 0) {
        this.#firstHigh.push(this.#lastHigh)
        this.#firstLow.push(this.#lastLow)
      }
      used += row.block.bytes.copy(block, used, begin, begin + size)
    }
    if (used > 0) yield block.subarray(0, used)
  }

  /** Once all blocks were taken. */
  runOf(segment: Segment, series: object = segment): SortedRun {
    return {
      segment,
      series,
      firstHigh: Uint32Array.from(this.#firstHigh),
      firstLow: Uint32Array.from(this.#firstLow),
      lastHigh: this.#lastHigh,
      lastLow: this.#lastLow,
    }
  }
}
