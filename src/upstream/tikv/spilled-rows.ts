import { tsOfHalves } from '../../event/raw-row.ts'
import type { Segment } from '../../spill/run-files.ts'
import { type Ts, zeroTs } from '../../tidb/ts.ts'
import type { RowCursor } from './change-data.ts'
import { Came, type UnmatchedRow } from './unmatched-rows.ts'

// Words of a transaction in a part's index.
const START_HIGH = 0
const START_LOW = 1
/** Its commit-ts, 0 while no commit is known. */
const COMMIT_HIGH = 2
const COMMIT_LOW = 3
/** Prewrites that are not rolled back. */
const PREWRITES = 4
/** Block in which it begins. */
const BLOCK = 5
/** 1 = nothing of it is of use any more. */
const DONE = 6
const WORDS = 7

const compareHalves = (high: number, low: number, otherHigh: number, otherLow: number): number =>
  high - otherHigh || low - otherLow

/** Some transactions, asked for again and again in order. */
export class TxnSet {
  readonly #starts = new Set<bigint>()
  #high = -1
  #low = -1
  #found = false

  get size(): number {
    return this.#starts.size
  }

  add(high: number, low: number): void {
    this.#starts.add(tsOfHalves(high, low))
    this.#high = -1
  }

  has(high: number, low: number): boolean {
    if (high !== this.#high || low !== this.#low) {
      this.#high = high
      this.#low = low
      this.#found = this.#starts.has(tsOfHalves(high, low))
    }
    return this.#found
  }
}

/** Builds the index of a part while its rows are written, in the order (start-ts, key). */
export class PartIndex {
  readonly #words: number[] = []

  add(row: UnmatchedRow, block: number): void {
    const words = this.#words
    let at = words.length - WORDS
    if (at < 0 || words[at + START_LOW] !== row.startLow || words[at + START_HIGH] !== row.startHigh) {
      at = words.length
      words.push(row.startHigh, row.startLow, 0, 0, 0, block, 0)
    }
    if ((row.came & Came.prewrite) !== 0) words[at + PREWRITES] = (words[at + PREWRITES] ?? 0) + 1
    if ((row.came & Came.commit) !== 0) {
      words[at + COMMIT_HIGH] = row.commitHigh
      words[at + COMMIT_LOW] = row.commitLow
    }
  }

  finish(): Uint32Array {
    return Uint32Array.from(this.#words)
  }
}

/** Rows of one region in blocks `[from, to)` of a segment, in the order (start-ts, key). */
export class SpilledPart {
  readonly segment: Segment
  readonly to: number
  readonly #words: Uint32Array
  readonly #onDone: () => void
  #live: number

  /** `onDone` is called once, when nothing in it is of use any more. */
  constructor(segment: Segment, to: number, index: Uint32Array, onDone: () => void) {
    this.segment = segment
    this.to = to
    this.#words = index
    this.#live = index.length / WORDS
    this.#onDone = onDone
  }

  /** In memory. */
  get bytes(): number {
    return this.#words.byteLength
  }

  get done(): boolean {
    return this.#live === 0
  }

  /** Does it hold rows of that transaction? */
  has(high: number, low: number): boolean {
    return this.#find(high, low) >= 0
  }

  /** Notes the commit-ts of a transaction; true when it was not known. */
  commit(row: RowCursor): boolean {
    const at = this.#find(row.startHigh, row.startLow)
    if (at < 0 || this.#words[at + COMMIT_LOW] !== 0 || this.#words[at + COMMIT_HIGH] !== 0) return false
    this.#words[at + COMMIT_HIGH] = row.commitHigh
    this.#words[at + COMMIT_LOW] = row.commitLow
    return true
  }

  /** A prewrite of a transaction was rolled back; true when it held one. With its last one the transaction is done. */
  rollback(high: number, low: number): boolean {
    const at = this.#find(high, low)
    const left = at < 0 ? 0 : (this.#words[at + PREWRITES] ?? 0)
    if (left === 0) return false
    this.#words[at + PREWRITES] = left - 1
    if (left === 1 && this.#words[at + COMMIT_LOW] === 0 && this.#words[at + COMMIT_HIGH] === 0) this.#finish(at)
    return true
  }

  /** The least commit-ts that is known and not done. */
  leastCommit(): Ts | undefined {
    let least: Ts | undefined
    this.#eachCommit((_, commitTs) => {
      if (least === undefined || commitTs < least) least = commitTs
    })
    return least
  }

  /** Adds the transactions that are committed at or below `ts`. */
  addCommitted(ts: Ts, to: TxnSet): void {
    this.#eachCommit((at, commitTs) => {
      if (commitTs <= ts) to.add(this.#words[at + START_HIGH] ?? 0, this.#words[at + START_LOW] ?? 0)
    })
  }

  /** Numbers of the blocks with rows of these transactions, in order. */
  blocksOf(txns: TxnSet): number[] {
    const blocks: number[] = []
    for (let at = 0; at < this.#words.length; at += WORDS) {
      if (!txns.has(this.#words[at + START_HIGH] ?? 0, this.#words[at + START_LOW] ?? 0)) continue
      const last = this.#words[at + WORDS + BLOCK] ?? this.to - 1
      for (let block = Math.max(this.#words[at + BLOCK] ?? 0, (blocks.at(-1) ?? -1) + 1); block <= last; block++)
        blocks.push(block)
    }
    return blocks
  }

  /** Nothing of these transactions is of use any more. */
  finish(txns: TxnSet): void {
    for (let at = 0; at < this.#words.length; at += WORDS) {
      if (txns.has(this.#words[at + START_HIGH] ?? 0, this.#words[at + START_LOW] ?? 0)) this.#finish(at)
    }
  }

  finishAll(): void {
    for (let at = 0; at < this.#words.length; at += WORDS) this.#finish(at)
  }

  #finish(at: number): void {
    if (this.#words[at + DONE] === 1) return
    this.#words[at + DONE] = 1
    this.#live--
    if (this.#live === 0) this.#onDone()
  }

  #eachCommit(visit: (at: number, commitTs: Ts) => void): void {
    const words = this.#words
    for (let at = 0; at < words.length; at += WORDS) {
      const high = words[at + COMMIT_HIGH] ?? 0
      const low = words[at + COMMIT_LOW] ?? 0
      if (words[at + DONE] === 0 && (high !== 0 || low !== 0)) visit(at, tsOfHalves(high, low))
    }
  }

  /** Where the index holds a transaction that is not done; -1 = nowhere. */
  #find(high: number, low: number): number {
    const words = this.#words
    let from = 0
    let to = words.length / WORDS
    while (from < to) {
      const middle = (from + to) >>> 1
      const at = middle * WORDS
      const order = compareHalves(words[at + START_HIGH] ?? 0, words[at + START_LOW] ?? 0, high, low)
      if (order === 0) return words[at + DONE] === 0 ? at : -1
      if (order < 0) from = middle + 1
      else to = middle
    }
    return -1
  }
}

/**
 * What a region has on disk. A transaction that has rows there is joined there: its commits wait in memory, and go to disk
 * too, until the region's resolved-ts says that all of them have come.
 */
export class SpilledRows {
  readonly #stop = new AbortController()
  /** In the order of their writing. */
  #parts: SpilledPart[] = []
  #leastCommit: Ts | undefined
  /** What the store said last; the region stays behind it until the rows up to there are joined. */
  wantedTs: Ts = zeroTs
  joining = false

  get signal(): AbortSignal {
    return this.#stop.signal
  }

  get parts(): readonly SpilledPart[] {
    return this.#parts
  }

  add(part: SpilledPart): void {
    this.#parts.push(part)
    this.#look()
  }

  has(high: number, low: number): boolean {
    for (const part of this.#parts) if (part.has(high, low)) return true
    return false
  }

  /** Notes that a transaction is committed. */
  commit(row: RowCursor): void {
    const part = this.#parts.find((one) => one.has(row.startHigh, row.startLow))
    if (part?.commit(row) !== true) return
    const { commitTs } = row
    if (this.#leastCommit === undefined || commitTs < this.#leastCommit) this.#leastCommit = commitTs
  }

  /** A prewrite that is not in memory was rolled back. */
  rollback({ startHigh, startLow }: UnmatchedRow | RowCursor): void {
    const part = this.#parts.find((one) => one.rollback(startHigh, startLow))
    if (part?.done === true) this.#look()
  }

  /** Must rows be joined before the region is at `ts`? */
  holdsBack(ts: Ts): boolean {
    return this.#leastCommit !== undefined && this.#leastCommit <= ts
  }

  /** Transactions that are committed at or below `ts`: none of their rows follows once the region is there. */
  committed(ts: Ts): TxnSet {
    const txns = new TxnSet()
    for (const part of this.#parts) part.addCommitted(ts, txns)
    return txns
  }

  finish(txns: TxnSet): void {
    for (const part of this.#parts) part.finish(txns)
    this.#look()
  }

  /** Gives the disk back, and ends what reads from it. */
  release(): void {
    this.#stop.abort(new DOMException('region ended', 'AbortError'))
    for (const part of this.#parts) part.finishAll()
    this.#look()
  }

  #look(): void {
    this.#parts = this.#parts.filter((part) => !part.done)
    this.#leastCommit = undefined
    for (const part of this.#parts) {
      const ts = part.leastCommit()
      if (ts !== undefined && (this.#leastCommit === undefined || ts < this.#leastCommit)) this.#leastCommit = ts
    }
  }
}
