import type { RowEncoder } from '../codec/protocol.ts'
import type { ColumnSelection } from '../dispatcher/column-selector.ts'
import type { PartitionOfStored } from '../dispatcher/partition.ts'
import type { Messages } from '../event/encoded.ts'
import type { RawKv } from '../event/raw-kv.ts'
import { RawRow, type RawRows } from '../event/raw-row.ts'
import type { RowChange } from '../event/row-change.ts'
import { ColumnFlag, type TableVersion } from '../event/table-version.ts'
import { createMountedRows } from './mounted-rows.ts'
import { Operation, type PlanRows } from './plan-rows.ts'
import { createStoredRows } from './stored-rows.ts'

/** Which rows of a transaction a pass over it sends; one larger than a batch is read twice, for its deletes first. */
export type Pass = 'all' | 'deletes' | 'rest'

/** Decodes, filters, splits, dispatches and encodes raw rows of one table version; pure, compiled once. */
export interface RowPlan {
  readonly table: TableVersion
  readonly topic: string
  /** Of the topic. */
  readonly partitions: number
  /** True where updates of unique columns are split, so that the order inside a transaction matters. */
  readonly splits: boolean
  run(rows: RawRows, from: number, to: number, pass: Pass, out: Messages): void
}

export interface RowPlanParts {
  readonly table: TableVersion
  readonly topic: string
  readonly partitions: number
  readonly mount: (raw: RawKv) => RowChange
  /** True = the row is dropped. */
  readonly ignores: ((row: RowChange) => boolean) | undefined
  readonly partitionOf: (row: RowChange) => number
  /** undefined = rows are decoded and dropped (a blackhole without protocol). */
  readonly encoder: RowEncoder | undefined
  readonly splitUpdates: boolean
  /** The part of a row that the encoder gets; undefined = all of it. */
  readonly selection: ColumnSelection | undefined
  /** What rows need that are encoded as they are stored; undefined = every row is mounted, whatever the protocol can do. */
  readonly stored: StoredParts | undefined
}

export interface StoredParts {
  /** As the mounter's. */
  readonly timeZone: string
  /** `cellOf`: the cell of each column of the table. */
  readonly partitionOf: (cellOf: readonly number[]) => PartitionOfStored
}

export function compileRowPlan(parts: RowPlanParts): RowPlan {
  const { table, topic, partitions, encoder } = parts
  const keyed = table.columns.flatMap(({ flags }, at) =>
    (flags & (ColumnFlag.UniqueKey | ColumnFlag.HandleKey)) === 0 ? [] : [at],
  )
  const splits = parts.splitUpdates && keyed.length > 0
  // Chosen once per table version: filters look at values, as do checksums and protocols without a form for stored cells.
  const fast = parts.stored !== undefined && parts.ignores === undefined && encoder?.encodeStored !== undefined
  const row: PlanRows = fast ? createStoredRows(parts, parts.stored, keyed) : createMountedRows(parts, keyed)
  const inOrder = splits ? new TransactionOrder(row) : undefined
  return {
    table,
    topic,
    partitions,
    splits,
    run(rows, from, to, pass, out) {
      if (inOrder !== undefined) inOrder.run(rows, from, to, pass, out)
      else {
        for (let at = from; at < to; at++) if (row.read(rows, at) !== Operation.Nothing) row.send(Operation.Update, out)
      }
      row.release()
      encoder?.flush(out)
    },
  }
}

/**
 * Sends the rows of each transaction so that no unique key is taken before it is free: deletes, among them those of updates
 * that change a key, then the other updates, then inserts, among them those of such updates. Rows come as deletes, updates
 * and inserts ({@link RawBatch}), so only updates ever wait, as positions; those of a transaction of one row do not.
 */
class TransactionOrder {
  readonly #row: PlanRows
  readonly #next = new RawRow()
  /** Rows of the transaction at hand that wait: whole updates, and updates whose delete was sent. */
  readonly #updates: number[] = []
  readonly #inserts: number[] = []

  constructor(row: PlanRows) {
    this.#row = row
  }

  run(rows: RawRows, from: number, to: number, pass: Pass, out: Messages): void {
    const row = this.#row
    for (let at = from; at < to; at++) {
      switch (row.read(rows, at)) {
        case Operation.Delete:
          if (pass !== 'rest') row.send(Operation.Delete, out)
          break
        case Operation.Update:
          this.#takeUpdate(rows, at, to, pass, out)
          break
        case Operation.Insert:
          if (pass === 'deletes') break
          if (this.#waits) {
            this.#sendWaiting(rows, out)
            row.read(rows, at)
          }
          row.send(Operation.Insert, out)
          break
        default:
      }
      if (this.#waits && this.#isLast(rows, at, to)) this.#sendWaiting(rows, out)
    }
    this.#next.release()
  }

  #takeUpdate(rows: RawRows, at: number, to: number, pass: Pass, out: Messages): void {
    const row = this.#row
    if (row.changesKey()) {
      if (pass !== 'rest') row.send(Operation.Delete, out)
      if (pass !== 'deletes') this.#inserts.push(at)
    } else if (pass !== 'deletes') {
      if (!this.#waits && this.#isLast(rows, at, to)) row.send(Operation.Update, out)
      else this.#updates.push(at)
    }
  }

  get #waits(): boolean {
    return this.#updates.length > 0 || this.#inserts.length > 0
  }

  /** Whether the row at hand is the last of its transaction in the batch. */
  #isLast(rows: RawRows, at: number, to: number): boolean {
    if (at + 1 >= to) return true
    const { raw } = this.#row
    const next = this.#next
    rows.read(at + 1, next)
    return (
      next.commitLow !== raw.commitLow ||
      next.commitHigh !== raw.commitHigh ||
      next.startLow !== raw.startLow ||
      next.startHigh !== raw.startHigh
    )
  }

  #sendWaiting(rows: RawRows, out: Messages): void {
    this.#sendAll(rows, this.#updates, Operation.Update, out)
    this.#sendAll(rows, this.#inserts, Operation.Insert, out)
  }

  #sendAll(rows: RawRows, waiting: number[], operation: Operation, out: Messages): void {
    for (let i = 0; i < waiting.length; i++) {
      this.#row.read(rows, waiting[i] ?? 0)
      this.#row.send(operation, out)
    }
    waiting.length = 0
  }
}
