import type { DdlEvent } from '../../event/ddl-event.ts'
import type { RowChange } from '../../event/row-change.ts'
import type { StoredRow } from '../../event/stored-row.ts'
import type { TableVersion } from '../../event/table-version.ts'
import type { Ts } from '../../tidb/ts.ts'
import type { Stub } from '../large-message.ts'

export const VERSION = 1

/** Builds messages in one of the protocol's two encodings; each method leaves one whole message in the writer. */
export interface SimpleFormat {
  /** Compiled per table version. */
  compile(table: TableVersion): SimpleRows
  ddl(event: DdlEvent): void
  watermark(ts: Ts): void
  bootstrap(table: TableVersion): void
  /** Of the message that was built. */
  readonly length: number
  /** Ends it: bytes that stay as they are. */
  take(): Uint8Array
  /** Its bytes, valid until the next write. */
  peek(): Uint8Array
  discard(): void
}

/** Writes rows of one table version; with a stub only the columns of the handle key. */
export interface SimpleRows {
  write(row: RowChange, stub: Stub | undefined): void
  /** The same of a row as it is stored; absent where the format needs decoded values. */
  writeStored?(row: StoredRow, stub: Stub | undefined): void
}

export interface FormatContext {
  /** Name of the zone in which TIMESTAMP values are given. */
  readonly location: string
  /** ms since 1970. */
  readonly now: () => number
}
