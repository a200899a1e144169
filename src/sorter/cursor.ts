import type { Position, RawBatch } from '../event/raw-kv.ts'
import { tsOfHalves } from '../event/raw-row.ts'
import type { Quota } from '../spill/quota.ts'
import { minTs, type Ts } from '../tidb/ts.ts'
import { BatchBuilder } from './batch.ts'
import type { MemoryRows } from './memory-rows.ts'
import { atTransaction, behind, behindRow, highHalf, lowHalf, type Place } from './place.ts'
import { commitHigh, commitLow, commitsBy } from './row-block.ts'
import { compareSources, MemorySource, reaches, type RowSource, SourceHeap } from './row-source.ts'
import { RunReader } from './run-reader.ts'
import type { SortedRun } from './sorted-run.ts'
import type { SorterCursor } from './sorter.ts'

/** What a cursor reads from; the sorter's. */
export interface CursorSource {
  readonly rows: MemoryRows
  readonly runs: readonly SortedRun[]
  readonly resolvedTs: Ts
  readonly quota: Quota
  /** Most runs that are read side by side. */
  readonly fanIn: number
  /** Puts runs that overlap in order, instead of them; false where there is no disk for that. */
  merge(runs: readonly SortedRun[], signal: AbortSignal): Promise<boolean>
}

/** Share of the quota that the blocks of one cursor may take before it stops to read ahead. */
const AHEAD_SHARE = 1 / 16

/** Merges the rows of a span, in memory and on disk, from a place on. */
export class MergeCursor implements SorterCursor {
  readonly #source: CursorSource
  readonly #onDispose: () => void
  #batch = new BatchBuilder()
  /** Where reading began. */
  #start: Place
  /** Of the last batch. */
  #end: Position | undefined
  #memory: MemorySource
  #readers: RunReader[] = []
  #sources = new SourceHeap<RowSource>([])
  /** Until there is no disk for it. */
  #mergesRuns = true

  constructor(source: CursorSource, after: Ts, onDispose: () => void) {
    this.#source = source
    this.#onDispose = onDispose
    this.#start = behind(after)
    this.#memory = new MemorySource(source.rows, 0)
    this.#seek(this.#start)
  }

  /** Memory for blocks. */
  get bytes(): number {
    let bytes = 0
    for (const reader of this.#readers) bytes += reader.bytes
    return bytes
  }

  peek(): Ts | undefined {
    const taken = this.#batch.first
    if (taken !== undefined) return tsOfHalves(commitHigh(taken.block, taken.at), commitLow(taken.block, taken.at))
    const next = this.#sources.first
    if (next === undefined) return undefined
    const ts = tsOfHalves(next.high, next.low)
    return ts <= this.#source.resolvedTs ? ts : undefined
  }

  async next(upTo: Ts, maxBytes: number, signal: AbortSignal): Promise<RawBatch | undefined> {
    signal.throwIfAborted()
    const limit = minTs(upTo, this.#source.resolvedTs)
    const [high, low] = [highHalf(limit), lowHalf(limit)]
    const taken = this.#batch.first
    if (taken !== undefined && !commitsBy(taken.block, taken.at, high, low)) return undefined
    for (;;) {
      const { first } = this.#sources
      if (first === undefined || !reaches(first, high, low)) return this.#finish(undefined)
      if (!first.loaded) await this.#load(first, high, low, signal)
      else if (!this.#take(high, low, maxBytes)) return this.#finish(first)
    }
  }

  rewindTransaction(): void {
    if (this.#end === undefined) return
    this.#batch = new BatchBuilder()
    this.#start = atTransaction(this.#end)
    this.#seek(this.#start)
  }

  /** Rows that lie in memory became readable. */
  grown(): void {
    if (!this.#memory.ended) return
    this.#memory.refresh()
    if (!this.#memory.ended) this.#order()
  }

  /** Rows that lay in memory lie in `run` now, and blocks are to be read again. */
  spilled(run: SortedRun | undefined): void {
    for (const reader of this.#readers) reader.unload()
    this.#memory.refresh()
    this.added(run === undefined ? [] : [run])
  }

  /** These runs lie behind or among those that are there. */
  added(runs: readonly SortedRun[]): void {
    for (const run of runs) this.#readers.push(this.#reader(run, this.#place()))
    this.#order()
  }

  /** The run will not be read any more. */
  dropped(run: SortedRun): void {
    const at = this.#readers.findIndex((reader) => reader.run === run)
    if (at < 0) return
    this.#readers[at]?.[Symbol.dispose]()
    this.#readers.splice(at, 1)
    this.#order()
  }

  [Symbol.dispose](): void {
    for (const reader of this.#readers) reader[Symbol.dispose]()
    this.#readers = []
    this.#onDispose()
  }

  #seek(place: Place): void {
    const { rows, runs } = this.#source
    for (const reader of this.#readers) reader[Symbol.dispose]()
    this.#readers = runs.map((run) => this.#reader(run, place))
    this.#memory = new MemorySource(
      rows,
      rows.find((block, at) => place.isBefore(block, at)),
    )
    this.#order()
  }

  /** Behind the row that was taken last. */
  #place(): Place {
    const { last } = this.#batch
    return last === undefined ? this.#start : behindRow(last)
  }

  #reader(run: SortedRun, place: Place): RunReader {
    return new RunReader(run, place, this.#source.rows.arena, this.#source.quota)
  }

  #order(): void {
    this.#sources = new SourceHeap<RowSource>([this.#memory, ...this.#readers])
  }

  async #load(reader: RowSource, high: number, low: number, signal: AbortSignal): Promise<void> {
    if (!(reader instanceof RunReader)) return
    if (reader.fresh && this.#mergesRuns) {
      const runs = this.#tooMany(reader.run, high, low)
      if (runs !== undefined) {
        this.#mergesRuns = await this.#source.merge(runs, signal)
        return
      }
    }
    await reader.load(this.bytes < this.#source.quota.limitBytes * AHEAD_SHARE, signal)
    this.#order()
  }

  /** Runs to be merged before another one is opened: the fan-in is reached, and more than one series waits. */
  #tooMany(next: SortedRun, high: number, low: number): readonly SortedRun[] | undefined {
    const { fanIn } = this.#source
    const open = new Set(this.#readers.filter(({ fresh, ended }) => !fresh && !ended).map(({ run }) => run.series))
    if (open.has(next.series) || open.size + 1 < fanIn) return undefined
    const waiting = this.#readers.filter(
      (other) => other.fresh && reaches(other, high, low) && !open.has(other.run.series),
    )
    const bySeries = Map.groupBy(waiting, ({ run }) => run.series)
    if (bySeries.size === 1) return undefined
    const chosen = [...bySeries.values()].slice(0, fanIn)
    return chosen.flatMap((readers) => readers.map(({ run }) => run))
  }

  /** Takes rows up to the limit from the first source, while it is the first; false when the batch is full. */
  #take(high: number, low: number, maxBytes: number): boolean {
    const batch = this.#batch
    const { first, second } = this.#sources
    if (first === undefined) return true
    while (first.loaded && !first.ended && reaches(first, high, low)) {
      if (second !== undefined && compareSources(first, second) > 0) break
      if (!batch.add(first.block, first.at, maxBytes)) return false
      first.advance()
    }
    this.#sources.moved()
    return true
  }

  #finish(next: RowSource | undefined): RawBatch | undefined {
    const batch = this.#batch.finish(next)
    if (batch !== undefined) this.#end = batch.end
    return batch
  }
}
