import { type ColumnInfo, FieldFlag, type IndexInfo, STATE_PUBLIC, type TableInfo } from '../tidb/table-info.ts'
import type { Ts } from '../tidb/ts.ts'
import { type Column, ColumnFlag, type KeyColumns, type TableVersion } from './table-version.ts'

/**
 * Computes once what depends on a table's schema alone (reference: tidb-storage, section 9; protocols, section 2).
 * `physicalId` is the table's or the partition's.
 */
export function wrapTable(info: TableInfo, schema: string, version: Ts, physicalId: bigint): TableVersion {
  const handle = handleColumns(info)
  const columns = info.columns.filter(isReplicated).map((column): Column => ({
    id: column.id,
    name: column.name.original,
    info: column,
    flags: flagsOf(info, column, handle),
  }))
  const position = new Map(columns.map((column, at) => [column.info.offset, at]))
  return {
    physicalId,
    schema,
    table: info.name.original,
    version,
    info,
    columns,
    handleKey: handle.flatMap((offset) => position.get(offset) ?? []),
    keys: keysOf(info, position),
  }
}

const isVirtual = (column: ColumnInfo): boolean => column.generatedExpr !== '' && !column.generatedStored

const isReplicated = (column: ColumnInfo): boolean => column.state === STATE_PUBLIC && !isVirtual(column)

/** Offsets of the handle key's columns in index order: the primary key, else the best unique not-null index. */
function handleColumns(info: TableInfo): readonly number[] {
  const integerKey = info.pkIsHandle ? info.columns.find((column) => has(column, FieldFlag.PriKey)) : undefined
  if (integerKey !== undefined) return [integerKey.offset]
  const primary = info.indexes.find((index) => index.primary)
  const chosen = primary ?? smallestUniqueIndex(info)
  return chosen?.columns.map((column) => column.offset) ?? []
}

/** The unique index over not-null columns that has the fewest columns, then the smallest id. */
function smallestUniqueIndex(info: TableInfo): IndexInfo | undefined {
  return info.indexes
    .filter(
      (index) => index.unique && index.state === STATE_PUBLIC && index.columns.every(({ offset }) => fit(info, offset)),
    )
    .toSorted((a, b) => a.columns.length - b.columns.length || a.id - b.id)[0]
}

function fit(info: TableInfo, offset: number): boolean {
  const column = info.columns[offset]
  return column !== undefined && has(column, FieldFlag.NotNull) && isReplicated(column)
}

const has = (column: ColumnInfo, flag: number): boolean => (column.type.flag & flag) !== 0

function flagsOf(info: TableInfo, column: ColumnInfo, handle: readonly number[]): number {
  let flags = 0
  if (column.type.charset === 'binary') flags |= ColumnFlag.Binary
  if (handle.includes(column.offset)) flags |= ColumnFlag.HandleKey
  if (column.generatedExpr !== '') flags |= ColumnFlag.GeneratedColumn
  if (has(column, FieldFlag.PriKey)) flags |= ColumnFlag.PrimaryKey
  if (has(column, FieldFlag.UniqueKey)) flags |= ColumnFlag.UniqueKey
  if (has(column, FieldFlag.MultipleKey)) flags |= ColumnFlag.MultipleKey
  if (!has(column, FieldFlag.NotNull)) flags |= ColumnFlag.Nullable
  if (has(column, FieldFlag.Unsigned)) flags |= ColumnFlag.Unsigned
  for (const index of info.indexes) {
    if (!index.columns.some(({ offset }) => offset === column.offset)) continue
    if (index.primary) flags |= ColumnFlag.PrimaryKey
    else if (index.unique) flags |= ColumnFlag.UniqueKey
    if (index.columns.length > 1) flags |= ColumnFlag.MultipleKey
  }
  return flags
}

function keysOf(info: TableInfo, position: ReadonlyMap<number, number>): readonly KeyColumns[] {
  const keys: KeyColumns[] = []
  if (info.pkIsHandle) {
    const columns = info.columns.filter((column) => has(column, FieldFlag.PriKey)).map((column) => column.offset)
    keys.push({
      name: 'PRIMARY',
      primary: true,
      unique: true,
      columns: columns.flatMap((at) => position.get(at) ?? []),
    })
  }
  const indexes = info.indexes.toSorted((a, b) => Number(b.primary) - Number(a.primary))
  for (const { name, primary, unique, columns: parts } of indexes) {
    const columns = parts.flatMap(({ offset }) => position.get(offset) ?? [])
    if (columns.length === parts.length) keys.push({ name: name.original, primary, unique: primary || unique, columns })
  }
  return keys
}
