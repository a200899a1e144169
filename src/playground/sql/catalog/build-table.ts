import { FieldFlag, MysqlType, STATE_PUBLIC } from '../../../tidb/table-info.ts'
import { ciName } from '../../../tidb/table-info-json.ts'
import type { ColumnInfo, IndexColumn, IndexInfo, TableInfo } from '../../../tidb/table-info.ts'
import { SqlError, unsupported } from '../error.ts'
import type { ColumnNode, CreateTableStatement, IndexNode, IndexPart } from '../parser/ast.ts'
import type { CastContext } from '../value/cast.ts'
import { bytesPerCharacter } from '../value/collation.ts'
import type { Collation } from '../value/collation.ts'
import { buildColumn } from './build-column.ts'
import { resolveCollation } from './field-type.ts'
import { isBlobType, isTextType } from './type-text.ts'

const MAX_KEY_BYTES = 3072
const INTEGER_TYPES: readonly MysqlType[] = [
  MysqlType.Tiny,
  MysqlType.Short,
  MysqlType.Int24,
  MysqlType.Long,
  MysqlType.Longlong,
]

/** The table that a CREATE TABLE describes; `database` gives the default collation. */
export function buildTable(
  statement: CreateTableStatement,
  id: bigint,
  database: Collation,
  context: CastContext,
): TableInfo {
  const { options } = statement
  const collation = resolveCollation(options.charset, options.collate, database)
  if (statement.columns.length === 0) throw new SqlError(1113, 'A table must have at least 1 column')
  const columns = statement.columns.map((node, offset) => buildColumn(node, offset + 1, offset, collation, context))
  checkColumnNames(columns)
  const nodes = [...statement.indexes, ...statement.columns.flatMap(columnIndexes)]
  if (nodes.filter(({ kind }) => kind === 'primary').length > 1)
    throw new SqlError(1068, 'Multiple primary key defined')
  const empty: TableInfo = {
    id,
    name: ciName(statement.table.name),
    charset: collation.charset,
    collate: collation.name,
    columns,
    indexes: [],
    state: STATE_PUBLIC,
    pkIsHandle: false,
    isCommonHandle: false,
    commonHandleVersion: 0,
    comment: options.comment,
    updateTs: 0n,
    maxColumnId: columns.length,
    partitions: undefined,
    isView: false,
    isSequence: false,
    tempTableType: 0,
  }
  const table = nodes.reduce((info, node) => addKey(info, node), empty)
  checkAutoIncrement(table)
  return setKeyFlags(table)
}

function checkColumnNames(columns: readonly ColumnInfo[]): void {
  const seen = new Set<string>()
  for (const { name } of columns) {
    if (seen.has(name.lower)) throw new SqlError(1060, `Duplicate column name '${name.original}'`)
    if (name.original.length > 64) throw new SqlError(1059, `Identifier name '${name.original}' is too long`)
    if (name.original.endsWith(' ') || name.original === '')
      throw new SqlError(1166, `Incorrect column name '${name.original}'`)
    if (name.lower === '_tidb_rowid') throw new SqlError(1166, `Incorrect column name '${name.original}'`)
    seen.add(name.lower)
  }
}

/** PRIMARY KEY and UNIQUE written beside a column. */
function columnIndexes(node: ColumnNode): IndexNode[] {
  const parts = [{ column: node.name, length: undefined }]
  const base = { name: '', parts, comment: '', invisible: false }
  const keys: IndexNode[] = []
  if (node.primary) keys.push({ ...base, kind: 'primary', clustered: node.clustered })
  if (node.unique) keys.push({ ...base, kind: 'unique', clustered: undefined })
  return keys
}

/** A key of CREATE TABLE: a clustered primary key becomes the handle, any other an index. */
function addKey(info: TableInfo, node: IndexNode): TableInfo {
  if (node.kind !== 'primary') return addIndex(info, node, info.indexes.length + 1)
  const isClustered = node.clustered ?? true
  const [only] = node.parts
  const column = only === undefined ? undefined : findColumn(info, only.column)
  const isInteger = node.parts.length === 1 && column !== undefined && INTEGER_TYPES.includes(column.type.tp)
  if (isClustered && isInteger) return withNotNull({ ...info, pkIsHandle: true }, [column.offset])
  const indexed = addIndex(info, node, info.indexes.length + 1)
  return isClustered ? { ...indexed, isCommonHandle: true, commonHandleVersion: 1 } : indexed
}

export function findColumn(info: TableInfo, name: string): ColumnInfo | undefined {
  const lower = name.toLowerCase()
  return info.columns.find((column) => column.name.lower === lower)
}

/** Appends an index with the given id. Errors: 1061, 1072, 1089, 1170 and more for keys that cannot be. */
export function addIndex(info: TableInfo, node: IndexNode, id: number): TableInfo {
  const name = node.kind === 'primary' ? 'PRIMARY' : node.name || freeName(info, node)
  if (node.kind !== 'primary' && name.toLowerCase() === 'primary')
    throw new SqlError(1280, `Incorrect index name '${name}'`)
  if (info.indexes.some((index) => index.name.lower === name.toLowerCase()))
    throw new SqlError(1061, `Duplicate key name '${name}'`)
  const seen = new Set<string>()
  const columns = node.parts.map((part): IndexColumn => {
    if (seen.has(part.column.toLowerCase())) throw new SqlError(1060, `Duplicate column name '${part.column}'`)
    seen.add(part.column.toLowerCase())
    return buildPart(info, part)
  })
  const bytes = columns.reduce((sum, part) => sum + keyBytes(info, part), 0)
  if (bytes > MAX_KEY_BYTES)
    throw new SqlError(1071, `Specified key was too long (${bytes} bytes); max key length is ${MAX_KEY_BYTES} bytes`)
  const index: IndexInfo = {
    id,
    name: ciName(name),
    columns,
    state: STATE_PUBLIC,
    unique: node.kind !== 'plain',
    primary: node.kind === 'primary',
    invisible: node.invisible,
    multiValued: false,
    comment: node.comment,
  }
  const table = { ...info, indexes: [...info.indexes, index] }
  return node.kind === 'primary'
    ? withNotNull(
        table,
        columns.map(({ offset }) => offset),
      )
    : table
}

function buildPart(info: TableInfo, part: IndexPart): IndexColumn {
  const column = findColumn(info, part.column)
  if (column === undefined) throw new SqlError(1072, `Key column '${part.column}' doesn't exist in table`)
  const { type, name, offset } = column
  if (type.tp === MysqlType.Json)
    throw new SqlError(3152, `JSON column '${name.original}' cannot be used in key specification.`)
  const isString = isTextType(type) || isBlobType(type) || type.tp === MysqlType.Varchar || type.tp === MysqlType.String
  if (isBlobType(type) && part.length === undefined)
    throw new SqlError(1170, `BLOB/TEXT column '${name.original}' used in key specification without a key length`)
  if (part.length === undefined) return { name, offset, length: -1 }
  const isPrefixable = isString && type.tp !== MysqlType.Enum && type.tp !== MysqlType.Set
  if (!isPrefixable || part.length > type.flen || part.length === 0)
    throw new SqlError(
      1089,
      "Incorrect prefix key; the used key part isn't a string, the used length is longer than the key part, or the storage engine doesn't support unique prefix keys",
    )
  return { name, offset, length: part.length === type.flen && !isBlobType(type) ? -1 : part.length }
}

function keyBytes(info: TableInfo, part: IndexColumn): number {
  const type = info.columns[part.offset]?.type
  if (type === undefined || !(isTextType(type) || isBlobType(type) || type.charset === 'binary')) return 8
  const isString = isBlobType(type) || type.tp === MysqlType.Varchar || type.tp === MysqlType.String
  if (!isString) return 8
  return (part.length === -1 ? type.flen : part.length) * bytesPerCharacter(type.charset)
}

function freeName(info: TableInfo, node: IndexNode): string {
  const base = node.parts[0]?.column ?? 'index'
  const taken = new Set(info.indexes.map(({ name }) => name.lower))
  if (!taken.has(base.toLowerCase()) && base.toLowerCase() !== 'primary') return base
  for (let n = 2; ; n++) if (!taken.has(`${base}_${n}`.toLowerCase())) return `${base}_${n}`
}

/** Columns of a primary key cannot be NULL. */
function withNotNull(info: TableInfo, offsets: readonly number[]): TableInfo {
  const columns = info.columns.map((column) => {
    if (!offsets.includes(column.offset)) return column
    const isMissing = column.defaultValue === null && (column.type.flag & FieldFlag.AutoIncrement) === 0
    const flag = column.type.flag | FieldFlag.NotNull | FieldFlag.PriKey | (isMissing ? FieldFlag.NoDefaultValue : 0)
    return { ...column, type: { ...column.type, flag } }
  })
  return { ...info, columns }
}

/** Sets the flags that tell which columns belong to which kind of key, as TiDB does: by first columns. */
export function setKeyFlags(info: TableInfo): TableInfo {
  const flags = info.columns.map(
    ({ type }) => type.flag & ~(FieldFlag.UniqueKey | FieldFlag.MultipleKey | (info.pkIsHandle ? 0 : FieldFlag.PriKey)),
  )
  for (const index of info.indexes) {
    const first = index.columns[0]?.offset ?? -1
    if (index.primary) for (const { offset } of index.columns) flags[offset] = (flags[offset] ?? 0) | FieldFlag.PriKey
    else if (index.unique && index.columns.length === 1) flags[first] = (flags[first] ?? 0) | FieldFlag.UniqueKey
    else flags[first] = (flags[first] ?? 0) | FieldFlag.MultipleKey
  }
  return {
    ...info,
    columns: info.columns.map((column, i) => ({ ...column, type: { ...column.type, flag: flags[i] ?? 0 } })),
  }
}

function checkAutoIncrement(info: TableInfo): void {
  const columns = info.columns.filter(({ type }) => (type.flag & FieldFlag.AutoIncrement) !== 0)
  const [column] = columns
  if (column === undefined) return
  if (!INTEGER_TYPES.includes(column.type.tp)) {
    if (column.type.tp === MysqlType.Float || column.type.tp === MysqlType.Double)
      throw unsupported('AUTO_INCREMENT of a floating-point column')
    throw new SqlError(1063, `Incorrect column specifier for column '${column.name.original}'`)
  }
  const isHandle = info.pkIsHandle && (column.type.flag & FieldFlag.PriKey) !== 0
  const isIndexed = info.indexes.some((index) => index.columns[0]?.offset === column.offset)
  if (columns.length > 1 || !(isHandle || isIndexed))
    throw new SqlError(
      1075,
      'Incorrect table definition; there can be only one auto column and it must be defined as a key',
    )
}
