import { FieldFlag, type ColumnInfo, type FieldType, MysqlType } from '../../tidb/table-info.ts'

/** A column as a schema file describes it; members in the order in which they are written, absent ones undefined. */
export interface ColumnDefinition {
  readonly ColumnName: string
  readonly ColumnType: string
  readonly ColumnDefault: string | number | bigint | boolean | undefined
  readonly ColumnPrecision: string | undefined
  readonly ColumnScale: string | undefined
  readonly ColumnNullable: 'false' | undefined
  readonly ColumnIsPk: 'true' | undefined
}

interface TypeRule {
  /** Of a text type with a charset other than binary. */
  readonly name: string
  /** Where the charset is binary (strings), or there is none (blobs). */
  readonly binaryName?: string
  /** Length and scale of a column that does not say. */
  readonly flen: number
  readonly decimal: number
  readonly shows: 'length' | 'scale' | 'length and scale' | 'decimal' | 'nothing'
}

/** Reference: storage-sink, section 3. */
const RULES: ReadonlyMap<MysqlType, TypeRule> = new Map<MysqlType, TypeRule>([
  [MysqlType.Tiny, { name: 'TINYINT', flen: 4, decimal: 0, shows: 'length' }],
  [MysqlType.Short, { name: 'SMALLINT', flen: 6, decimal: 0, shows: 'length' }],
  [MysqlType.Int24, { name: 'MEDIUMINT', flen: 9, decimal: 0, shows: 'length' }],
  [MysqlType.Long, { name: 'INT', flen: 11, decimal: 0, shows: 'length' }],
  [MysqlType.Longlong, { name: 'BIGINT', flen: 20, decimal: 0, shows: 'length' }],
  [MysqlType.Float, { name: 'FLOAT', flen: 12, decimal: -1, shows: 'length and scale' }],
  [MysqlType.Double, { name: 'DOUBLE', flen: 22, decimal: -1, shows: 'length and scale' }],
  [MysqlType.NewDecimal, { name: 'DECIMAL', flen: 10, decimal: 0, shows: 'decimal' }],
  [MysqlType.Bit, { name: 'BIT', flen: 1, decimal: 0, shows: 'length' }],
  [MysqlType.Year, { name: 'YEAR', flen: 4, decimal: 0, shows: 'length' }],
  [MysqlType.Date, { name: 'DATE', flen: 10, decimal: 0, shows: 'nothing' }],
  [MysqlType.NewDate, { name: 'DATE', flen: 10, decimal: 0, shows: 'nothing' }],
  [MysqlType.Datetime, { name: 'DATETIME', flen: 19, decimal: 0, shows: 'scale' }],
  [MysqlType.Timestamp, { name: 'TIMESTAMP', flen: 19, decimal: 0, shows: 'scale' }],
  [MysqlType.Duration, { name: 'TIME', flen: 10, decimal: 0, shows: 'scale' }],
  [MysqlType.String, { name: 'CHAR', binaryName: 'BINARY', flen: 1, decimal: 0, shows: 'length' }],
  [MysqlType.Varchar, { name: 'VARCHAR', binaryName: 'VARBINARY', flen: 5, decimal: 0, shows: 'length' }],
  [MysqlType.VarString, { name: 'VAR_STRING', binaryName: 'VARBINARY', flen: 5, decimal: 0, shows: 'length' }],
  [MysqlType.TinyBlob, { name: 'TINYTEXT', binaryName: 'TINYBLOB', flen: 255, decimal: -1, shows: 'length' }],
  [MysqlType.Blob, { name: 'TEXT', binaryName: 'BLOB', flen: 65535, decimal: -1, shows: 'length' }],
  [
    MysqlType.MediumBlob,
    { name: 'MEDIUMTEXT', binaryName: 'MEDIUMBLOB', flen: 16777215, decimal: -1, shows: 'length' },
  ],
  [MysqlType.LongBlob, { name: 'LONGTEXT', binaryName: 'LONGBLOB', flen: 4294967295, decimal: -1, shows: 'length' }],
  [MysqlType.Enum, { name: 'ENUM', flen: -1, decimal: 0, shows: 'nothing' }],
  [MysqlType.Set, { name: 'SET', flen: -1, decimal: 0, shows: 'nothing' }],
  [MysqlType.Json, { name: 'JSON', flen: 4294967295, decimal: -1, shows: 'nothing' }],
  [MysqlType.VectorFloat32, { name: 'VECTOR', flen: -1, decimal: -1, shows: 'nothing' }],
])

const BLOBS: ReadonlySet<MysqlType> = new Set([
  MysqlType.TinyBlob,
  MysqlType.Blob,
  MysqlType.MediumBlob,
  MysqlType.LongBlob,
])

/** How a schema file describes a column. */
export function columnDefinition(column: ColumnInfo): ColumnDefinition {
  const { type } = column
  const rule = RULES.get(type.tp)
  const isBit = type.tp === MysqlType.Bit && column.defaultBit !== null
  const given = isBit ? Buffer.from(column.defaultBit ?? '', 'base64').toString() : column.defaultValue
  return {
    ColumnName: column.name.original,
    ColumnType: typeName(type, rule),
    ColumnDefault: given ?? undefined,
    ...(rule === undefined ? { ColumnPrecision: undefined, ColumnScale: undefined } : sizes(type, rule)),
    ColumnNullable: (type.flag & FieldFlag.NotNull) === 0 ? undefined : 'false',
    ColumnIsPk: (type.flag & FieldFlag.PriKey) === 0 ? undefined : 'true',
  }
}

function typeName(type: FieldType, rule: TypeRule | undefined): string {
  if (rule === undefined) return `TYPE_${type.tp}`
  const text = BLOBS.has(type.tp) ? type.charset !== '' && type.charset !== 'binary' : type.charset !== 'binary'
  const name = text ? rule.name : (rule.binaryName ?? rule.name)
  return (type.flag & FieldFlag.Unsigned) === 0 ? name : `${name} UNSIGNED`
}

function sizes(type: FieldType, rule: TypeRule) {
  const flen = type.flen === -1 ? rule.flen : type.flen
  const decimal = type.decimal === -1 ? rule.decimal : type.decimal
  const scaleGiven = decimal !== rule.decimal && decimal !== 0 && decimal !== -1
  const hasLength = rule.shows === 'length' || rule.shows === 'length and scale' || rule.shows === 'decimal'
  const hasScale = rule.shows === 'decimal' || (rule.shows !== 'length' && rule.shows !== 'nothing' && scaleGiven)
  return {
    ColumnPrecision: hasLength && flen !== -1 ? String(flen) : undefined,
    ColumnScale: hasScale ? String(decimal) : undefined,
  }
}
