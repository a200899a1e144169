import type { Messages } from '../event/encoded.ts'
import type { RawRow, RawRows } from '../event/raw-row.ts'

/** What a row does, and which part of it is sent: an update may leave as its delete and its insert. */
export const Operation = { Nothing: 0, Delete: 1, Update: 2, Insert: 3 } as const
export type Operation = (typeof Operation)[keyof typeof Operation]

/** The rows of a plan, one at hand at a time, in the form from which they are encoded. */
export interface PlanRows {
  /** The row at hand. */
  readonly raw: RawRow
  /** Moves to a row. Nothing = it is not sent. Errors: `CDC:ErrDecodeRowToDatum`. */
  read(rows: RawRows, at: number): Operation
  /** Whether the update at hand changes a column of the handle key or of a unique key. */
  changesKey(): boolean
  /** Encodes the row at hand: `Delete` its old values alone, `Insert` its new ones alone, `Update` what there is. */
  send(part: Operation, out: Messages): void
  /** Lets go of the row at hand: many plans wait for their next batch. */
  release(): void
}
