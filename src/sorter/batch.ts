import type { Position, RawBatch } from '../event/raw-kv.ts'
import { type RawRow, type RawRows, tsOfHalves } from '../event/raw-row.ts'
import {
  commitHigh,
  commitLow,
  compareRows,
  NO_ROWS,
  type RowBlock,
  type RowPointer,
  rowSize,
  sameTransaction,
  startHigh,
  startLow,
  unpackRow,
} from './row-block.ts'

/** Rows by where they lie; keeps their blocks alive. */
class PlacedRows implements RawRows {
  readonly #blocks: readonly RowBlock[]
  readonly #words: readonly number[]

  constructor(blocks: readonly RowBlock[], words: readonly number[]) {
    this.#blocks = blocks
    this.#words = words
  }

  get length(): number {
    return this.#words.length
  }

  read(index: number, row: RawRow): void {
    const block = this.#blocks[index]
    if (block === undefined) throw new RangeError(`row ${index} of ${this.length}`)
    unpackRow(block, this.#words[index] ?? 0, row)
  }
}

/**
 * Cuts a sequence of sorted rows into batches: whole transactions, or pieces of one that is larger than a batch. Equal rows
 * come once. What was taken of a transaction that does not fit beside those before it stays for the next batch.
 */
export class BatchBuilder {
  #blocks: RowBlock[] = []
  #words: number[] = []
  #bytes = 0
  /** Without the transaction that is being taken. */
  #wholeRows = 0
  #wholeBytes = 0
  /** The row that was taken last, for this batch or one before. */
  #lastBlock = NO_ROWS
  #lastAt = -1
  /** The last batch was a piece of a transaction, and not its last one. */
  #inside = false

  /** The first row that was taken and not given out yet. */
  get first(): RowPointer | undefined {
    const block = this.#blocks[0]
    return block && { block, at: this.#words[0] ?? 0 }
  }

  /** The row that was taken last: all sources stand behind it. */
  get last(): RowPointer | undefined {
    return this.#lastAt < 0 ? undefined : { block: this.#lastBlock, at: this.#lastAt }
  }

  /** Takes the next row; false where it belongs into the next batch. */
  add(block: RowBlock, at: number, maxBytes: number): boolean {
    if (this.#lastAt >= 0) {
      if (!sameTransaction(this.#lastBlock, this.#lastAt, block, at)) {
        if (this.#inside && this.#words.length > 0) return false
        this.#wholeRows = this.#words.length
        this.#wholeBytes = this.#bytes
      } else if (compareRows(this.#lastBlock, this.#lastAt, block, at) === 0) return true
    }
    if (this.#bytes >= maxBytes) return false
    block.given = true
    this.#blocks.push(block)
    this.#words.push(at)
    this.#bytes += rowSize(block, at)
    this.#lastBlock = block
    this.#lastAt = at
    return true
  }

  /** The batch, where any row was taken; `next` is the row that was not. */
  finish(next: RowPointer | undefined): RawBatch | undefined {
    const last = this.last
    const rows = this.#words.length
    if (last === undefined || rows === 0) return undefined
    const unfinished = next !== undefined && sameTransaction(last.block, last.at, next.block, next.at)
    const piece = unfinished && this.#wholeRows === 0
    const part = piece ? (this.#inside ? 'middle' : 'first') : this.#inside ? 'last' : 'whole'
    this.#inside = piece
    const [count, bytes] = unfinished && !piece ? [this.#wholeRows, this.#wholeBytes] : [rows, this.#bytes]
    const blocks = this.#blocks
    const words = this.#words
    this.#blocks = blocks.splice(count)
    this.#words = words.splice(count)
    this.#bytes -= bytes
    this.#wholeRows = this.#wholeBytes = 0
    return { rows: new PlacedRows(blocks, words), bytes, part, end: endOf(blocks, words, this.first ?? next) }
  }
}

function endOf(blocks: readonly RowBlock[], words: readonly number[], next: RowPointer | undefined): Position {
  const block = blocks.at(-1) ?? NO_ROWS
  const at = words.at(-1) ?? 0
  const [high, low] = [commitHigh(block, at), commitLow(block, at)]
  return {
    commitTs: tsOfHalves(high, low),
    startTs: tsOfHalves(startHigh(block, at), startLow(block, at)),
    complete: next === undefined || commitLow(next.block, next.at) !== low || commitHigh(next.block, next.at) !== high,
  }
}
