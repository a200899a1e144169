import type { DdlEvent } from '../event/ddl-event.ts'
import type { Messages } from '../event/encoded.ts'
import type { RowChange } from '../event/row-change.ts'
import type { StoredRow } from '../event/stored-row.ts'
import type { TableVersion } from '../event/table-version.ts'
import type { Ts } from '../tidb/ts.ts'

/** Encodes the rows of one table version; compiled once, called per row. It has no await and keeps no row. */
export interface RowEncoder {
  /** Appends the row to the message being built for `partition`; finished messages go to `out`, in order. */
  encode(row: RowChange, partition: number, out: Messages): void
  /**
   * The same from the row as it is stored, with the same bytes; its cells are in the order of the table's columns, others may
   * follow. Absent where the protocol needs decoded values. RangeError where the row is broken: nothing of it is left behind.
   */
  encodeStored?(row: StoredRow, partition: number, out: Messages): void
  /** Ends the messages being built, in the order in which they were begun. Called at the end of each raw batch. */
  flush(out: Messages): void
}

/** Key and value of a message that is not a row: a DDL, a watermark. */
export interface ControlMessage {
  readonly key: Uint8Array | null
  readonly value: Uint8Array
}

/** A message format, configured for one changefeed. */
export interface Protocol {
  /**
   * Does what must be done before rows of this table version leave for `topic`: awaited before `compile`, which is then
   * called with the same object. Absent where there is nothing to do. Errors: `CDC:ErrAvroSchemaAPIError`.
   */
  prepare?(table: TableVersion, topic: string, signal: AbortSignal): Promise<void>
  /** Rows of this table version; errors: `CDC:ErrMessageTooLarge` from encode. */
  compile(table: TableVersion): RowEncoder
  /** undefined = this protocol sends nothing for it. */
  ddl(event: DdlEvent): ControlMessage | undefined
  watermark(ts: Ts): ControlMessage | undefined
  /** What a consumer needs to read rows of this table version. Absent where the rows say everything themselves. */
  bootstrap?(table: TableVersion): ControlMessage
  /** DDLs go to partition 0 only (canal family), or to every partition. */
  readonly ddlPartitions: 'first' | 'all'
  /** What each storage file of a table begins with, if anything. */
  readonly fileHead?: (table: TableVersion) => Uint8Array | undefined
}
