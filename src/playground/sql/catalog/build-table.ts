import { FieldFlag, MysqlType, STATE_PUBLIC } from '../../../tidb/table-info.ts'
import { ciName } from '../../../tidb/table-info-json.ts'
import type { ColumnInfo, IndexColumn, IndexInfo, TableInfo } from '../../../tidb/table-info.ts'
import { SqlError, unsupported } from '../error.ts'
import type { ColumnNode, CreateTableStatement, IndexNode, IndexPart } from '../parser/ast.ts'
import type { CastContext } from '../value/cast.ts'
import { bytesPerCharacter } from '../value/collation.ts'
import type { Collation } from '../value/collation.ts'
import { parseExpressionText } from '../parser/parser.ts'
import { restoreExpression } from '../parser/restore.ts'
import { buildColumn } from './build-column.ts'
import { columnNames, typeOfExpression } from './expression-type.ts'
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
  checkGenerated(columns)
  const table = nodes.reduce((info, node) => addKey(info, node), empty)
  checkAutoIncrement(table)
  const random = statement.columns.find(({ autoRandom }) => autoRandom !== undefined)
  if (random?.autoRandom !== undefined) checkAutoRandom(table, random, random.autoRandom.shardBits)
  return setKeyFlags(table)
}

/** Errors: 3107 for a generated column that is used before it is made, 1054 for one that is not there. */
export function checkGenerated(columns: readonly ColumnInfo[]): void {
  for (const column of columns) {
    if (column.generatedExpr === '') continue
    for (const name of columnNames(parseExpressionText(column.generatedExpr))) {
      const used = columns.find((one) => one.name.lower === name.toLowerCase())
      if (used === undefined) throw new SqlError(1054, `Unknown column '${name}' in 'generated column function'`)
      if (used.generatedExpr !== '' && used.offset >= column.offset)
        throw new SqlError(3107, 'Generated column can refer only to generated columns defined prior to it.')
      if ((used.type.flag & FieldFlag.AutoIncrement) !== 0)
        throw new SqlError(3109, `Generated column '${column.name.original}' cannot refer to auto-increment column.`)
    }
  }
}

function checkAutoRandom(info: TableInfo, node: ColumnNode, shardBits: number): void {
  const invalid = (text: string): SqlError => new SqlError(8216, `Invalid auto random: ${text}`)
  const column = findColumn(info, node.name)
  if (column?.type.tp !== MysqlType.Longlong)
    throw invalid(
      `auto_random option must be defined on \`bigint\` column, but not on \`${node.type.name.toLowerCase()}\` column`,
    )
  if (!info.pkIsHandle || (column.type.flag & FieldFlag.PriKey) === 0)
    throw invalid(`column ${node.name} is not the integer primary key, or the primary key is nonclustered`)
  if (node.autoIncrement) throw invalid('auto_random is incompatible with auto_increment')
  if (node.defaultValue !== undefined) throw invalid('auto_random is incompatible with default')
  if (shardBits < 1 || shardBits > 15)
    throw invalid(`the value of auto_random should be between 1 and 15, but got ${shardBits}`)
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
  if (node.parts.some(({ expression }) => expression !== undefined))
    return addIndex(...withHidden(info, node, name), id)
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

/** An index over expressions is one over hidden columns that are generated from them. */
function withHidden(info: TableInfo, node: IndexNode, index: string): [TableInfo, IndexNode] {
  if (node.kind === 'primary') throw new SqlError(3756, 'The primary key cannot be an expression index')
  let table = info
  const parts = node.parts.map((part, i): IndexPart => {
    const { expression } = part
    if (expression === undefined) return part
    if (expression.kind === 'column')
      throw new SqlError(3762, 'Functional index on a column is not supported. Consider using a regular index instead.')
    const column: ColumnInfo = {
      id: table.maxColumnId + 1,
      name: ciName(`_V$_${index}_${i}`),
      offset: table.columns.length,
      originDefault: null,
      originDefaultBit: null,
      defaultValue: null,
      defaultBit: null,
      defaultIsExpr: false,
      generatedExpr: restoreExpression(expression),
      generatedStored: false,
      type: typeOfExpression(expression, table.columns),
      state: STATE_PUBLIC,
      comment: '',
      hidden: true,
      version: 2,
    }
    table = { ...table, maxColumnId: column.id, columns: [...table.columns, column] }
    return { column: column.name.original, length: undefined }
  })
  checkGenerated(table.columns)
  return [table, { ...node, name: index, parts }]
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
  const base = node.parts[0]?.column || 'expression_index'
  const taken = new Set(info.indexes.map(({ name }) => name.lower))
  if (!taken.has(base.toLowerCase()) && base.toLowerCase() !== 'primary') return base
  for (let n = 2; ; n++) if (!taken.has(`${base}_${n}`.toLowerCase())) return `${base}_${n}`
}

/** Columns of a primary key cannot be NULL. */
function withNotNull(info: TableInfo, offsets: readonly number[]): TableInfo {
  const columns = info.columns.map((column) => {
    if (!offsets.includes(column.offset)) return column
    const isMissing =
      column.defaultValue === null && !column.defaultIsExpr && (column.type.flag & FieldFlag.AutoIncrement) === 0
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
