import type { Ts } from '../tidb/ts.ts'
import type { ColumnInfo, TableInfo } from '../tidb/table-info.ts'

/** Column flag bits as consumers see them (open-protocol `f`; reference: protocols, section 2). */
export const ColumnFlag = {
  Binary: 1,
  HandleKey: 2,
  GeneratedColumn: 4,
  PrimaryKey: 8,
  UniqueKey: 16,
  MultipleKey: 32,
  Nullable: 64,
  Unsigned: 128,
} as const

/** A column that is replicated: public, not hidden by an index, not virtual. */
export interface Column {
  readonly id: number
  readonly name: string
  readonly info: ColumnInfo
  /** {@link ColumnFlag} bits. */
  readonly flags: number
}

/** An index over replicated columns; positions are indexes into {@link TableVersion.columns}. */
export interface KeyColumns {
  readonly name: string
  readonly primary: boolean
  readonly unique: boolean
  readonly columns: readonly number[]
}

/**
 * One schema of one physical table: from `version` until the next one. What depends on it alone is computed once, here
 * and in the closures compiled from it.
 */
export interface TableVersion {
  /** Of the table, or of the partition whose rows these are. */
  readonly physicalId: bigint
  readonly schema: string
  readonly table: string
  /** finishedTs of the DDL that made it (or the snapshot's ts); valid for rows with commitTs > version. */
  readonly version: Ts
  readonly info: TableInfo
  /** In table order. */
  readonly columns: readonly Column[]
  /** Positions in `columns` of the handle key: the primary key, or a unique not-null index; empty when none. */
  readonly handleKey: readonly number[]
  /** Primary key first, then the indexes in table order; only those whose columns are all replicated. */
  readonly keys: readonly KeyColumns[]
}
