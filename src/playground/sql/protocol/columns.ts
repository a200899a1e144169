import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'
import type { ResultColumn } from '../dml/select.ts'
import { findCollation, textCollation } from '../value/collation.ts'
import type { Collation } from '../value/collation.ts'
import { Decimal } from '../value/decimal.ts'
import type { DateTime, Duration } from '../value/time.ts'
import { toBytes, toDouble, toNumeric } from '../value/value.ts'
import type { Row, Value } from '../value/value.ts'
import { PacketWriter } from './bytes.ts'

type Present = Exclude<Value, null>

const BINARY_CHARSET = 63

/** A result column as it goes over the wire. */
export interface WireColumn {
  readonly definition: Buffer
  readonly type: number
}

/** Columns whose type is not known get it from the values: one kind for all rows, else text. */
export function wireColumns(columns: readonly ResultColumn[], rows: readonly Row[]): WireColumn[] {
  return columns.map((column, i) => {
    const known = column.type !== undefined && column.type.tp !== MysqlType.Unspecified ? column.type : undefined
    const type = known ?? typeOfValues(rows, i)
    return { definition: definitionOf(column, type), type: wireType(type) }
  })
}

const plain = (tp: MysqlType, flen: number, decimal = 0, flag = 0): FieldType => ({
  tp,
  flag: flag | FieldFlag.Binary,
  flen,
  decimal,
  charset: 'binary',
  collate: 'binary',
  elems: [],
  array: false,
})
const text: FieldType = {
  tp: MysqlType.VarString,
  flag: 0,
  flen: 16_383,
  decimal: 0,
  charset: 'utf8mb4',
  collate: 'utf8mb4_bin',
  elems: [],
  array: false,
}

function typeOfValues(rows: readonly Row[], at: number): FieldType {
  let found: FieldType | undefined
  for (const row of rows) {
    const value = row[at] ?? null
    if (value === null) continue
    const type = typeOfValue(value)
    if (found === undefined) found = type
    else if (found.tp === type.tp && found.tp === MysqlType.NewDecimal)
      found = type.decimal > found.decimal ? type : found
    else if (found.tp === type.tp)
      found = { ...found, flag: found.flag | type.flag, decimal: Math.max(found.decimal, type.decimal) }
    else return text
  }
  return found ?? plain(MysqlType.Null, 0)
}

function typeOfValue(value: Present): FieldType {
  if (typeof value === 'bigint')
    return plain(MysqlType.Longlong, 20, 0, value > 0x7fff_ffff_ffff_ffffn ? FieldFlag.Unsigned : 0)
  if (typeof value === 'number') return plain(MysqlType.Double, 22, 31)
  if (typeof value === 'string') return text
  if (value instanceof Uint8Array) return plain(MysqlType.VarString, 65_535)
  if (value instanceof Decimal) return plain(MysqlType.NewDecimal, 65, value.scale)
  switch (value.type) {
    case 'date':
      return plain(MysqlType.Date, 10)
    case 'datetime':
      return plain(MysqlType.Datetime, 26, value.fsp)
    case 'timestamp':
      return plain(MysqlType.Timestamp, 26, value.fsp)
    case 'time':
      return plain(MysqlType.Duration, 17, value.fsp)
    case 'json':
      return plain(MysqlType.Json, 4_294_967_295)
    case 'float':
      return plain(MysqlType.Float, 12, 31)
    case 'bits':
      return plain(MysqlType.VarString, 64)
    default:
      return text
  }
}

/** Types that exist inside the server only have another code on the wire. */
function wireType({ tp }: FieldType): number {
  switch (tp) {
    case MysqlType.Varchar:
      return MysqlType.VarString
    case MysqlType.Enum:
    case MysqlType.Set:
      return MysqlType.String
    case MysqlType.TinyBlob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return MysqlType.Blob
    case MysqlType.VectorFloat32:
      return MysqlType.VarString
    default:
      return tp
  }
}

/** Text is UTF-8 on the wire, whatever the column's charset. */
const collationOf = (type: FieldType): Collation =>
  type.charset.startsWith('utf8') && type.collate !== '' ? findCollation(type.collate) : textCollation

function definitionOf(column: ResultColumn, type: FieldType): Buffer {
  const isText = (type.charset !== 'binary' && type.charset !== '') || type.tp === MysqlType.VectorFloat32
  const charset = isText ? collationOf(type).id : BINARY_CHARSET
  const listFlag = type.tp === MysqlType.Enum ? FieldFlag.Enum : type.tp === MysqlType.Set ? FieldFlag.Set : 0
  const blobFlag = wireType(type) === MysqlType.Blob ? FieldFlag.Blob : 0
  const isReal = type.tp === MysqlType.Float || type.tp === MysqlType.Double
  const length = Math.min(0xffff_ffff, Math.max(0, type.flen) * (isText && wireType(type) !== MysqlType.Blob ? 4 : 1))
  return new PacketWriter()
    .sizedText('def')
    .sizedText(column.schema)
    .sizedText(column.table)
    .sizedText(column.table)
    .sizedText(column.name)
    .sizedText(column.originalName)
    .u8(0x0c)
    .u16(charset)
    .u32(length)
    .u8(wireType(type))
    .u16((type.flag | listFlag | blobFlag) & 0xffff)
    .u8(isReal && type.decimal < 0 ? 31 : Math.max(0, type.decimal))
    .u16(0)
    .finish()
}

/** A row of the text protocol. */
export function textRow(row: Row): Buffer {
  const writer = new PacketWriter(row.length * 16)
  for (const value of row) {
    if (value === null) writer.u8(0xfb)
    else writer.sized(toBytes(value))
  }
  return writer.finish()
}

/** A row of the binary protocol, as prepared statements get it. */
export function binaryRow(row: Row, columns: readonly WireColumn[]): Buffer {
  const nulls = Buffer.alloc((columns.length + 9) >> 3)
  const values = new PacketWriter(row.length * 16)
  for (const [i, column] of columns.entries()) {
    const value = row[i] ?? null
    if (value === null) nulls[(i + 2) >> 3] = (nulls[(i + 2) >> 3] ?? 0) | (1 << ((i + 2) & 7))
    else writeBinary(values, column.type, value)
  }
  return new PacketWriter(row.length * 16).u8(0).bytes(nulls).bytes(values.finish()).finish()
}

function writeBinary(writer: PacketWriter, type: number, value: Present): void {
  switch (type) {
    case MysqlType.Tiny:
      writer.u8(Number(BigInt.asUintN(8, integerOf(value))))
      return
    case MysqlType.Short:
    case MysqlType.Year:
      writer.u16(Number(BigInt.asUintN(16, integerOf(value))))
      return
    case MysqlType.Int24:
    case MysqlType.Long:
      writer.u32(Number(BigInt.asUintN(32, integerOf(value))))
      return
    case MysqlType.Longlong:
      writer.u64(integerOf(value))
      return
    case MysqlType.Float:
      writer.float(toDouble(value))
      return
    case MysqlType.Double:
      writer.double(toDouble(value))
      return
    case MysqlType.Date:
    case MysqlType.Datetime:
    case MysqlType.Timestamp:
      if (isMoment(value)) return writeMoment(writer, value)
      break
    case MysqlType.Duration:
      if (isDuration(value)) return writeDuration(writer, value)
      break
    default:
  }
  writer.sized(toBytes(value))
}

function integerOf(value: Present): bigint {
  const number = toNumeric(value)
  return typeof number === 'bigint'
    ? number
    : number instanceof Decimal
      ? number.toBigInt()
      : BigInt(Math.round(number))
}

const isMoment = (value: Present): value is DateTime =>
  typeof value === 'object' &&
  'type' in value &&
  (value.type === 'date' || value.type === 'datetime' || value.type === 'timestamp')
const isDuration = (value: Present): value is Duration =>
  typeof value === 'object' && 'type' in value && value.type === 'time'

function writeMoment(writer: PacketWriter, value: DateTime): void {
  const { year, month, day, hour, minute, second, micro } = value
  const hasClock = hour !== 0 || minute !== 0 || second !== 0 || micro !== 0
  if (year === 0 && month === 0 && day === 0 && !hasClock) {
    writer.u8(0)
    return
  }
  writer
    .u8(micro !== 0 ? 11 : hasClock ? 7 : 4)
    .u16(year)
    .u8(month)
    .u8(day)
  if (hasClock) writer.u8(hour).u8(minute).u8(second)
  if (micro !== 0) writer.u32(micro)
}

function writeDuration(writer: PacketWriter, value: Duration): void {
  const micros = Math.abs(value.micros)
  if (micros === 0) {
    writer.u8(0)
    return
  }
  const seconds = Math.floor(micros / 1_000_000)
  const rest = micros % 1_000_000
  writer
    .u8(rest === 0 ? 8 : 12)
    .u8(value.micros < 0 ? 1 : 0)
    .u32(Math.floor(seconds / 86_400))
    .u8(Math.floor(seconds / 3600) % 24)
    .u8(Math.floor(seconds / 60) % 60)
    .u8(seconds % 60)
  if (rest !== 0) writer.u32(rest)
}
