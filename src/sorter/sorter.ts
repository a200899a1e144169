import type { RawBatch } from '../event/raw-kv.ts'
import type { RawRow } from '../event/raw-row.ts'
import { errorCode } from '../base/errors.ts'
import type { Quota } from '../spill/quota.ts'
import type { Segment } from '../spill/run-files.ts'
import type { Holder, Spiller } from '../spill/spiller.ts'
import { type Ts, zeroTs } from '../tidb/ts.ts'
import { type CursorSource, MergeCursor } from './cursor.ts'
import { MemoryRows } from './memory-rows.ts'
import { mergeRuns } from './merge-runs.ts'
import { highHalf, lowHalf } from './place.ts'
import type { RowArena } from './row-arena.ts'
import { blockBytesFor, RunWriter, type SortedRun } from './sorted-run.ts'

/**
 * Raw pairs of one span: taken in any order, given out by cursors in the order (commitTs, startTs, delete < update <
 * insert, key), freed by the span's checkpoint. Reading frees nothing, so a cursor can be set back to the checkpoint.
 */
export interface SpanSorter extends Disposable {
  readonly resolvedTs: Ts
  /** Copies the row out of its frame. A row at or below the resolvedTs is a broken invariant. */
  add(row: RawRow): void
  /** Nothing at or below `ts` will be added any more: it becomes readable. */
  resolve(ts: Ts): void
  /** A cursor at the first row above `after`. */
  cursor(after: Ts): SorterCursor
  /** Frees the rows with commitTs ≤ checkpointTs. */
  release(checkpointTs: Ts): void
  /** Forgets rows above the resolvedTs, where that frees memory or disk: they will be added again. */
  dropUnresolved(): void
}

export interface SorterCursor extends Disposable {
  /** commitTs of the next row, where one is readable; or, where that is not known without reading, one that is not above it. */
  peek(): Ts | undefined
  /**
   * The next rows with commitTs ≤ upTo, about `maxBytes` of them; undefined when there are none now. A batch holds whole
   * transactions, or a piece of one that is larger than a batch. Equal rows (rescans repeat rows) come once. One call at a
   * time. Rejects with the errors of `Segment.readBlock`.
   */
  next(upTo: Ts, maxBytes: number, signal: AbortSignal): Promise<RawBatch | undefined>
  /** Goes back to the first row of the transaction in which the last batch ended. */
  rewindTransaction(): void
}

/** Runs that are read side by side; of more, some are merged first. */
const FAN_IN = 128

/** A sorter that keeps its rows in memory until `spiller` lets it write them to disk. */
export const createSpanSorter = (arena: RowArena, spiller: Spiller, fanIn = FAN_IN): SpanSorter =>
  new MergingSorter(arena, spiller, fanIn)

class MergingSorter implements SpanSorter, CursorSource, Holder {
  readonly rows: MemoryRows
  readonly quota: Quota
  runs: SortedRun[] = []
  resolvedTs = zeroTs
  readonly fanIn: number
  readonly #spiller: Spiller
  readonly #registered: Disposable
  readonly #stop = new AbortController()
  readonly #cursors = new Set<MergeCursor>()
  #resolvedHigh = 0
  #resolvedLow = 0
  /** Of the rows that are about to be spilled. */
  #writer: RunWriter | undefined

  constructor(arena: RowArena, spiller: Spiller, fanIn: number) {
    this.#spiller = spiller
    this.fanIn = fanIn
    this.quota = spiller.quota
    this.rows = new MemoryRows(arena, spiller.quota)
    this.#registered = spiller.add(this)
  }

  get bytes(): number {
    let bytes = this.rows.bytes
    for (const cursor of this.#cursors) bytes += cursor.bytes
    return bytes
  }

  add(row: RawRow): void {
    const { commitHigh: high, commitLow: low } = row
    if (high < this.#resolvedHigh || (high === this.#resolvedHigh && low <= this.#resolvedLow))
      throw new RangeError(`a row with commitTs ${row.commitTs} came after resolvedTs ${this.resolvedTs}`)
    this.rows.add(row)
  }

  resolve(ts: Ts): void {
    if (ts <= this.resolvedTs) return
    this.resolvedTs = ts
    this.#resolvedHigh = highHalf(ts)
    this.#resolvedLow = lowHalf(ts)
    this.rows.resolve(this.#resolvedHigh, this.#resolvedLow)
    for (const cursor of this.#cursors) cursor.grown()
  }

  cursor(after: Ts): SorterCursor {
    const cursor: MergeCursor = new MergeCursor(this, after, () => this.#cursors.delete(cursor))
    this.#cursors.add(cursor)
    return cursor
  }

  release(checkpointTs: Ts): void {
    const [high, low] = [highHalf(checkpointTs), lowHalf(checkpointTs)]
    this.rows.release(high, low)
    if (this.runs.length > 0)
      this.#drop(({ lastHigh, lastLow }) => lastHigh < high || (lastHigh === high && lastLow <= low))
  }

  dropUnresolved(): void {
    this.rows.dropWaiting()
    const [high, low] = [this.#resolvedHigh, this.#resolvedLow]
    this.#drop(({ firstHigh: [first = 0], firstLow: [second = 0] }) => first > high || (first === high && second > low))
  }

  async merge(runs: readonly SortedRun[], signal: AbortSignal): Promise<boolean> {
    const { quota, files } = this.#spiller
    const stop = AbortSignal.any([signal, this.#stop.signal])
    let merged: SortedRun[]
    try {
      merged = await mergeRuns(runs, { arena: this.rows.arena, quota, files }, stop)
    } catch (error) {
      if (errorCode(error) === 'CDC:ErrDiskFull') return false
      throw error
    }
    this.runs.push(...merged)
    for (const cursor of this.#cursors) cursor.added(merged)
    this.#drop((run) => runs.includes(run))
    return true
  }

  blocks(maxBytes: number): Iterable<Buffer> {
    this.#writer = new RunWriter(blockBytesFor(Math.min(maxBytes, this.rows.bytes)))
    return this.#writer.blocks(this.rows.choose(maxBytes))
  }

  spilled(segment: Segment): void {
    const run = segment.blocks === 0 ? undefined : this.#writer?.runOf(segment)
    this.#writer = undefined
    if (run === undefined) segment.release()
    else this.runs.push(run)
    this.rows.dropChosen()
    for (const cursor of this.#cursors) cursor.spilled(run)
  }

  [Symbol.dispose](): void {
    this.#stop.abort()
    this.#registered[Symbol.dispose]()
    for (const cursor of this.#cursors) cursor[Symbol.dispose]()
    this.#drop(() => true)
    this.rows.clear()
  }

  #drop(isDone: (run: SortedRun) => boolean): void {
    const done = this.runs.filter(isDone)
    if (done.length === 0) return
    this.runs = this.runs.filter((run) => !done.includes(run))
    for (const run of done) {
      for (const cursor of this.#cursors) cursor.dropped(run)
      run.segment.release()
    }
  }
}
