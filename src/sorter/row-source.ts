import type { MemoryRows } from './memory-rows.ts'
import { commitHigh, commitLow, compareRows, NO_ROWS, type RowBlock } from './row-block.ts'

/** Rows in order, for a merge. */
export interface RowSource {
  /** No row is left (for now, where they lie in memory). */
  readonly ended: boolean
  /** Whether the next row is known; else it is not below `high` and `low`. */
  readonly loaded: boolean
  /** Where the next row lies. */
  readonly block: RowBlock
  readonly at: number
  /** The next row's commitTs: to sort by (`RowArena.sortKey`), and as halves. */
  readonly key: number
  readonly high: number
  readonly low: number
  advance(): void
}

/** Of two that have not ended, which one's next row comes first; one that is not loaded before its equal. */
export function compareSources(a: RowSource, b: RowSource): number {
  const difference = a.key - b.key
  if (difference !== 0) return difference
  if (!a.loaded || !b.loaded) return a.loaded ? 1 : -1
  return compareRows(a.block, a.at, b.block, b.at)
}

/** Whether the next row's commitTs may be at most the one of these halves. */
export const reaches = (source: RowSource, high: number, low: number): boolean =>
  source.high < high || (source.high === high && source.low <= low)

/** The sorted rows of a span in memory. */
export class MemorySource implements RowSource {
  readonly loaded = true
  readonly #rows: MemoryRows
  #number: number
  ended = true
  block: RowBlock = NO_ROWS
  at = 0
  key = 0
  high = 0
  low = 0

  /** Begins at the row of this number. */
  constructor(rows: MemoryRows, number: number) {
    this.#rows = rows
    this.#number = number
    this.refresh()
  }

  advance(): void {
    this.#number++
    this.refresh()
  }

  /** Looks again: rows may have come, or gone to disk. */
  refresh(): void {
    const rows = this.#rows
    this.#number = Math.min(Math.max(this.#number, rows.first), rows.end)
    this.ended = this.#number >= rows.end
    if (this.ended) return
    this.block = rows.blockAt(this.#number)
    this.at = rows.wordAt(this.#number)
    this.high = commitHigh(this.block, this.at)
    this.low = commitLow(this.block, this.at)
    this.key = rows.arena.sortKey(this.high, this.low)
  }
}

/** Sources that have not ended, as a heap: the least row first. */
export class SourceHeap<Source extends RowSource> {
  readonly #sources: Source[]

  constructor(sources: readonly Source[]) {
    this.#sources = sources.filter(({ ended }) => !ended)
    for (let at = (this.#sources.length >>> 1) - 1; at >= 0; at--) this.#sink(at)
  }

  get first(): Source | undefined {
    return this.#sources[0]
  }

  get second(): Source | undefined {
    const left = this.#sources[1]
    const right = this.#sources[2]
    return left === undefined || right === undefined || compareSources(left, right) <= 0 ? left : right
  }

  /** The first source has moved on. */
  moved(): void {
    const sources = this.#sources
    if (sources[0]?.ended === true) {
      const last = sources.pop()
      if (last === undefined || sources.length === 0) return
      sources[0] = last
    }
    this.#sink(0)
  }

  #sink(from: number): void {
    const sources = this.#sources
    const source = sources[from]
    if (source === undefined) return
    let at = from
    for (;;) {
      let child = at * 2 + 1
      let least = sources[child]
      const right = sources[child + 1]
      if (least === undefined) break
      if (right !== undefined && compareSources(right, least) < 0) {
        least = right
        child++
      }
      if (compareSources(source, least) <= 0) break
      sources[at] = least
      at = child
    }
    sources[at] = source
  }
}
