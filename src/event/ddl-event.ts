import type { Ts } from '../tidb/ts.ts'
import type { TableVersion } from './table-version.ts'

/** A schema change to be sent downstream (reference: schema-tracking, section 2.5). */
export interface DdlEvent {
  readonly startTs: Ts
  /** commitTs of the job's key: rows at or below it belong before the DDL. */
  readonly commitTs: Ts
  /** Order among events of one job. */
  readonly seq: number
  /** TiDB's action code (reference: schema-tracking, section 2.2). */
  readonly type: number
  /** Text to run downstream, already rewritten (section 2.6). */
  readonly query: string
  readonly schema: string
  /** Empty for a schema DDL. */
  readonly table: string
  /** After the DDL; undefined for schema DDLs. */
  readonly after: TableVersion | undefined
  /** Before the DDL; undefined for creations and schema DDLs. */
  readonly before: TableVersion | undefined
  readonly charset: string
  readonly collate: string
  readonly bdrRole: string
  readonly sqlMode: bigint
}

export interface TableName {
  readonly schema: string
  readonly table: string
}
