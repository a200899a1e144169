import { ColumnFlag, type Column, type TableVersion } from '../../src/event/table-version.ts'
import {
  FieldFlag,
  MysqlType,
  type ColumnInfo,
  type FieldType,
  type IndexInfo,
  type TableInfo,
} from '../../src/tidb/table-info.ts'
import { Ts } from '../../src/tidb/ts.ts'

const TYPES: Readonly<Record<string, MysqlType>> = {
  tinyint: MysqlType.Tiny,
  bool: MysqlType.Tiny,
  smallint: MysqlType.Short,
  mediumint: MysqlType.Int24,
  int: MysqlType.Long,
  bigint: MysqlType.Longlong,
  float: MysqlType.Float,
  double: MysqlType.Double,
  decimal: MysqlType.NewDecimal,
  numeric: MysqlType.NewDecimal,
  date: MysqlType.Date,
  datetime: MysqlType.Datetime,
  timestamp: MysqlType.Timestamp,
  time: MysqlType.Duration,
  year: MysqlType.Year,
  bit: MysqlType.Bit,
  enum: MysqlType.Enum,
  set: MysqlType.Set,
  json: MysqlType.Json,
  vector: MysqlType.VectorFloat32,
  char: MysqlType.String,
  binary: MysqlType.String,
  varchar: MysqlType.Varchar,
  varbinary: MysqlType.Varchar,
  tinytext: MysqlType.TinyBlob,
  tinyblob: MysqlType.TinyBlob,
  text: MysqlType.Blob,
  blob: MysqlType.Blob,
  mediumtext: MysqlType.MediumBlob,
  mediumblob: MysqlType.MediumBlob,
  longtext: MysqlType.LongBlob,
  longblob: MysqlType.LongBlob,
}

export interface TestIndex {
  readonly name: string
  readonly columns: readonly string[]
  readonly unique?: boolean
  readonly primary?: boolean
}

export interface TestTable {
  readonly schema?: string
  readonly table?: string
  /** Column name → `int unsigned primary key not null virtual …`, the part of a column definition that matters here. */
  readonly columns: Readonly<Record<string, string>>
  readonly indexes?: readonly TestIndex[]
  readonly partitionIds?: readonly bigint[]
  readonly physicalId?: bigint
}

/** A {@link TableVersion} for tests of what consumes it; small and explicit, not TiDB's rules in full. */
export function testTable(definition: TestTable): TableVersion {
  const { schema = 'test', table = 't', indexes = [], partitionIds } = definition
  const infos = Object.entries(definition.columns).map(([name, text], offset) => columnInfo(name, text, offset))
  const replicated = infos.filter((info) => info.generatedExpr === '' || info.generatedStored)
  const position = (name: string): number => replicated.findIndex((info) => info.name.original === name)
  const pkColumn = infos.find((info) => (info.type.flag & FieldFlag.PriKey) !== 0)
  const pkIsHandle = pkColumn !== undefined && TYPES_OF_INTEGERS.has(pkColumn.type.tp)
  const primary = pkColumn === undefined ? [] : [{ name: 'PRIMARY', columns: [pkColumn.name.original], primary: true }]
  const allIndexes: readonly TestIndex[] = [...primary, ...indexes]
  const keys = allIndexes
    .map(({ name, columns, unique = false, primary: isPrimary = false }) => ({
      name,
      primary: isPrimary,
      unique: unique || isPrimary,
      columns: columns.map(position),
    }))
    .filter((key) => !key.columns.includes(-1))
  const handleKey = keys.find((key) => key.primary) ?? keys.find((key) => key.unique)
  const columns = replicated.map((info, at): Column => {
    const inKeys = keys.filter((key) => key.columns.includes(at))
    const flags =
      (info.type.charset === 'binary' ? ColumnFlag.Binary : 0) |
      (handleKey?.columns.includes(at) === true ? ColumnFlag.HandleKey : 0) |
      (info.generatedExpr === '' ? 0 : ColumnFlag.GeneratedColumn) |
      (inKeys.some((key) => key.primary) ? ColumnFlag.PrimaryKey : 0) |
      (inKeys.some((key) => key.unique && !key.primary) ? ColumnFlag.UniqueKey : 0) |
      (inKeys.some((key) => key.columns.length > 1) ? ColumnFlag.MultipleKey : 0) |
      ((info.type.flag & FieldFlag.NotNull) === 0 ? ColumnFlag.Nullable : 0) |
      ((info.type.flag & FieldFlag.Unsigned) === 0 ? 0 : ColumnFlag.Unsigned)
    return { id: info.id, name: info.name.original, info, flags }
  })
  const partitions = partitionIds?.map((id) => ({ id, name: ciName(`p${id}`) }))
  const info: TableInfo = {
    id: 100n,
    name: ciName(table),
    charset: 'utf8mb4',
    collate: 'utf8mb4_bin',
    columns: infos,
    indexes: allIndexes
      .filter((index) => !(index.primary === true && pkIsHandle))
      .map((index, at) => indexInfo(index, at, infos)),
    state: 5,
    pkIsHandle,
    isCommonHandle: false,
    commonHandleVersion: 0,
    comment: '',
    updateTs: 0n,
    maxColumnId: infos.length,
    partitions,
    isView: false,
    isSequence: false,
    tempTableType: 0,
  }
  const physicalId = definition.physicalId ?? partitionIds?.[0] ?? info.id
  return {
    physicalId,
    schema,
    table,
    version: Ts(1n),
    info,
    columns,
    handleKey: handleKey?.columns ?? [],
    keys,
  }
}

const TYPES_OF_INTEGERS: ReadonlySet<MysqlType> = new Set([
  MysqlType.Tiny,
  MysqlType.Short,
  MysqlType.Int24,
  MysqlType.Long,
  MysqlType.Longlong,
])

const ciName = (original: string): ColumnInfo['name'] => ({ original, lower: original.toLowerCase() })

function columnInfo(name: string, text: string, offset: number): ColumnInfo {
  const virtual = / virtual\b/.test(text)
  return {
    id: offset + 1,
    name: ciName(name),
    offset,
    originDefault: null,
    originDefaultBit: null,
    defaultValue: null,
    defaultBit: null,
    defaultIsExpr: false,
    generatedExpr: virtual || / stored\b/.test(text) ? 'x' : '',
    generatedStored: / stored\b/.test(text),
    type: fieldType(text),
    state: 5,
    comment: '',
    hidden: false,
    version: 2,
  }
}

function indexInfo(index: TestIndex, at: number, columns: readonly ColumnInfo[]): IndexInfo {
  return {
    id: at + 1,
    name: ciName(index.name),
    columns: index.columns.map((name) => ({
      name: ciName(name),
      offset: columns.findIndex((column) => column.name.original === name),
      length: -1,
    })),
    state: 5,
    unique: index.unique === true || index.primary === true,
    primary: index.primary === true,
    invisible: false,
    multiValued: false,
    comment: '',
  }
}

/** `decimal(5, 2) unsigned zerofill not null` → the type as TiDB stores it. */
export function fieldType(text: string): FieldType {
  const [, word = '', parameters = ''] = /^(\w+)\s*(?:\(([^)]*)\))?/.exec(text.toLowerCase()) ?? []
  const tp = TYPES[word]
  if (tp === undefined) throw new TypeError(`unknown type in ${JSON.stringify(text)}`)
  const elems =
    tp === MysqlType.Enum || tp === MysqlType.Set ? [...text.matchAll(/'([^']*)'/g)].map(([, e = '']) => e) : []
  const [first, second] = elems.length > 0 ? [] : parameters.split(',').map((part) => part.trim())
  const zerofill = / zerofill\b/.test(text)
  const unsigned = zerofill || / unsigned\b/.test(text) || tp === MysqlType.Bit || tp === MysqlType.Year
  const fraction = tp === MysqlType.Datetime || tp === MysqlType.Timestamp || tp === MysqlType.Duration
  const isText = /^(varchar|char|\w*text|enum|set)$/.test(word)
  return {
    tp,
    flag:
      (/ not null\b| primary key\b/.test(text) ? FieldFlag.NotNull : 0) |
      (/ primary key\b/.test(text) ? FieldFlag.PriKey : 0) |
      (unsigned ? FieldFlag.Unsigned : 0) |
      (zerofill || tp === MysqlType.Year ? FieldFlag.Zerofill : 0) |
      (isText ? 0 : FieldFlag.Binary),
    flen: word === 'bool' ? 1 : fraction || first === undefined || first === '' ? -1 : Number(first),
    decimal: fraction ? Number(first || '0') : second === undefined ? -1 : Number(second),
    charset: isText ? 'utf8mb4' : 'binary',
    collate: isText ? 'utf8mb4_bin' : 'binary',
    elems,
    array: false,
  }
}
