import {
  type ColumnInfo,
  FieldFlag,
  type FieldType,
  type IndexInfo,
  MysqlType,
  STATE_PUBLIC,
  type TableInfo,
} from '../../src/tidb/table-info.ts'
import { ciName } from '../../src/tidb/table-info-json.ts'

const TYPES: Readonly<Record<string, MysqlType>> = {
  tinyint: MysqlType.Tiny,
  smallint: MysqlType.Short,
  mediumint: MysqlType.Int24,
  int: MysqlType.Long,
  bigint: MysqlType.Longlong,
  year: MysqlType.Year,
  float: MysqlType.Float,
  double: MysqlType.Double,
  decimal: MysqlType.NewDecimal,
  date: MysqlType.Date,
  datetime: MysqlType.Datetime,
  timestamp: MysqlType.Timestamp,
  time: MysqlType.Duration,
  char: MysqlType.String,
  binary: MysqlType.String,
  varchar: MysqlType.Varchar,
  varbinary: MysqlType.Varchar,
  text: MysqlType.Blob,
  blob: MysqlType.Blob,
  bit: MysqlType.Bit,
  enum: MysqlType.Enum,
  set: MysqlType.Set,
  json: MysqlType.Json,
  vector: MysqlType.VectorFloat32,
}
const TEXTS = ['char', 'varchar', 'text', 'enum', 'set']

/** `decimal(10,2) unsigned not null`, `datetime(3)`, `enum(a,b)`, `varchar(20) collate utf8mb4_general_ci` … */
export function fieldType(text: string): FieldType {
  const [, name = '', list] = /^([a-z]+)(?:\(([^)]*)\))?/.exec(text) ?? []
  const tp = TYPES[name]
  if (tp === undefined) throw new TypeError(`no such type: ${text}`)
  const items = list?.split(',') ?? []
  const named = name === 'enum' || name === 'set'
  const timed = name === 'datetime' || name === 'timestamp' || name === 'time'
  const [first = -1, second = -1] = named ? [] : items.map(Number)
  const textual = TEXTS.includes(name)
  const unsigned = text.includes('unsigned') || name === 'bit' || name === 'year'
  return {
    tp,
    flag:
      (unsigned ? FieldFlag.Unsigned : 0) |
      (text.includes('not null') ? FieldFlag.NotNull : 0) |
      (text.includes('primary') ? FieldFlag.PriKey | FieldFlag.NotNull : 0),
    flen: timed ? -1 : first,
    decimal: timed ? Math.max(0, first) : name === 'decimal' ? Math.max(0, second) : second,
    charset: textual ? 'utf8mb4' : 'binary',
    collate: textual ? (/collate (\S+)/.exec(text)?.[1] ?? 'utf8mb4_bin') : 'binary',
    elems: named ? items : [],
    array: false,
  }
}

/** A public column without defaults. */
export function columnInfo(id: number, name: string, type: string, rest: Partial<ColumnInfo> = {}): ColumnInfo {
  return {
    id,
    name: ciName(name),
    offset: id - 1,
    originDefault: null,
    originDefaultBit: null,
    defaultValue: null,
    defaultBit: null,
    defaultIsExpr: false,
    generatedExpr: '',
    generatedStored: false,
    type: fieldType(type),
    state: STATE_PUBLIC,
    comment: '',
    hidden: false,
    version: 2,
    ...rest,
  }
}

/** An index over columns by offset. */
export function indexInfo(
  id: number,
  name: string,
  offsets: readonly number[],
  rest: Partial<IndexInfo> = {},
): IndexInfo {
  return {
    id,
    name: ciName(name),
    columns: offsets.map((offset) => ({ name: ciName(''), offset, length: -1 })),
    state: STATE_PUBLIC,
    unique: false,
    primary: false,
    invisible: false,
    multiValued: false,
    comment: '',
    ...rest,
  }
}

/** A table with the given columns, by name and type; further fields as given. */
export function tableInfo(columns: Readonly<Record<string, string>>, rest: Partial<TableInfo> = {}): TableInfo {
  const list = Object.entries(columns).map(([name, type], at) => columnInfo(at + 1, name, type))
  return {
    id: 100n,
    name: ciName('t'),
    charset: 'utf8mb4',
    collate: 'utf8mb4_bin',
    columns: list,
    indexes: [],
    state: STATE_PUBLIC,
    pkIsHandle: false,
    isCommonHandle: false,
    commonHandleVersion: 0,
    comment: '',
    updateTs: 0n,
    maxColumnId: list.length,
    partitions: undefined,
    isView: false,
    isSequence: false,
    tempTableType: 0,
    ...rest,
  }
}
