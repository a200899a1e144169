import { setImmediate as yieldToEvents } from 'node:timers/promises'

import { readRow } from './spill-blocks.ts'
import type { SpilledPart, TxnSet } from './spilled-rows.ts'
import { Came, compareRows, UnmatchedRow, type UnmatchedRows } from './unmatched-rows.ts'

/** Longest stretch without a look at the event loop, ms. */
const TURN_MS = 8
/** Rows between two looks at the clock. */
const ROWS_PER_LOOK = 256

/** Rows in the order (start-ts, key), one at a time. */
interface RowSource {
  readonly row: UnmatchedRow
  /** Moves `row` to the next one; false when {@link load} has to be called first. */
  next(): boolean
  /** False behind the last row. */
  load(signal: AbortSignal): Promise<boolean>
}

/** What a part holds of some transactions. */
export class PartSource implements RowSource {
  readonly row = new UnmatchedRow()
  readonly #part: SpilledPart
  readonly #txns: TxnSet
  readonly #blocks: readonly number[]
  #read = 0
  #block: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(part: SpilledPart, txns: TxnSet) {
    this.#part = part
    this.#txns = txns
    this.#blocks = part.blocksOf(txns)
  }

  next(): boolean {
    while (this.#at < this.#block.length) {
      this.#at = readRow(this.#block, this.#at, this.row)
      if (this.#txns.has(this.row.startHigh, this.row.startLow)) return true
    }
    return false
  }

  async load(signal: AbortSignal): Promise<boolean> {
    const block = this.#blocks[this.#read++]
    if (block === undefined) return false
    this.#block = await this.#part.segment.readBlock(block, signal)
    this.#at = 0
    return true
  }
}

/** Entries that were detached from their table. */
export class MemorySource implements RowSource {
  readonly row = new UnmatchedRow()
  readonly #rows: UnmatchedRows
  readonly #positions: readonly number[]
  #read = 0

  constructor(rows: UnmatchedRows, positions: readonly number[]) {
    this.#rows = rows
    this.#positions = positions
  }

  next(): boolean {
    const position = this.#positions[this.#read++]
    if (position === undefined) return false
    this.#rows.load(position, this.row)
    return true
  }

  async load(): Promise<boolean> {
    return false
  }
}

/**
 * Merges sources, those with the older rows first, and calls `join` with what came for each transaction and key. Yields to
 * the event loop now and then.
 */
export async function joinRows(
  sources: readonly RowSource[],
  join: (prewrite: UnmatchedRow | undefined, end: UnmatchedRow | undefined) => void,
  signal: AbortSignal,
): Promise<void> {
  let live: RowSource[] = []
  const advance = async (source: RowSource): Promise<boolean> => {
    while (!source.next()) {
      const loaded = await source.load(signal)
      signal.throwIfAborted()
      if (!loaded) return false
    }
    return true
  }
  for (const source of sources) if (await advance(source)) live.push(source)
  signal.throwIfAborted()
  let turnAt = performance.now()
  let least: RowSource[] = []
  for (let rows = 1; live.length > 0; rows++) {
    least = leastOf(live, least)
    fold(least, join)
    for (const source of least) {
      if (source.next() || (await advance(source))) continue
      live = live.filter((one) => one !== source)
    }
    if (rows % ROWS_PER_LOOK > 0 || performance.now() - turnAt < TURN_MS) continue
    await yieldToEvents()
    turnAt = performance.now()
    signal.throwIfAborted()
  }
}

/** The sources with the least row; fills and returns `least`. */
function leastOf(sources: readonly RowSource[], least: RowSource[]): RowSource[] {
  least.length = 0
  for (const source of sources) {
    const order = least[0] === undefined ? -1 : compareRows(source.row, least[0].row)
    if (order > 0) continue
    if (order < 0) least.length = 0
    least.push(source)
  }
  return least
}

/** By the rules of {@link UnmatchedRows.prewrite}, over all places where something of a row lies. */
function fold(
  sources: readonly RowSource[],
  join: (prewrite: UnmatchedRow | undefined, end: UnmatchedRow | undefined) => void,
): void {
  let prewrite: UnmatchedRow | undefined
  let end: UnmatchedRow | undefined
  for (const { row } of sources) {
    if ((row.came & Came.commit) !== 0) end = row
    if ((row.came & Came.prewrite) === 0) continue
    const later = row.valueEnd > row.valueAt && row.generation >= (prewrite?.generation ?? 0)
    if (prewrite === undefined || later) prewrite = row
  }
  join(prewrite, end)
}
