import type { ByteWriter } from './byte-writer.ts'
import { decimalEnd, decodeDecimal, writeDecimal } from './decimal.ts'
import { encodeJson } from './json-binary-encode.ts'
import { decodeJson } from './json-binary.ts'
import { FieldFlag, type FieldType, MysqlType } from './table-info.ts'
import {
  formatDate,
  formatDatetime,
  formatDuration,
  formatTimestamp,
  packTime,
  packTimestamp,
  parseDuration,
} from './time.ts'
import type { TimeZone } from './time-zone.ts'
import { u32be, u32le } from './integer-text.ts'
import type { Value } from './value.ts'

/**
 * One value of one column as a row v2 stores it: no flag, integers in the smallest width. Source: TiDB pkg/util/rowcodec
 * (reference: tidb-storage, 6.2).
 */
export const Kind = {
  Int: 0,
  Uint: 1,
  Year: 2,
  Float: 3,
  Double: 4,
  Decimal: 5,
  Bytes: 6,
  Date: 7,
  Datetime: 8,
  Timestamp: 9,
  Duration: 10,
  Enum: 11,
  Set: 12,
  Bit: 13,
  Json: 14,
  Vector: 15,
  None: 16,
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/** What reading and writing need of a column, decided once. */
export interface CellFormat {
  readonly kind: Kind
  /** Digits behind the second. */
  readonly fsp: number
  /** Of TIMESTAMP text. */
  readonly zone: TimeZone
  /** Elements of ENUM and SET. */
  readonly members: number
  /** Of DECIMAL; 0 = each value's own. */
  readonly precision: number
  readonly scale: number
}

const LOW = 2 ** 32

export function createCellFormat(type: FieldType, zone: TimeZone): CellFormat {
  const kind = kindOf(type)
  const decimal = kind === Kind.Decimal && type.flen > 0 && type.decimal >= 0
  return {
    kind,
    fsp: Math.max(0, type.decimal),
    zone,
    members: type.elems.length,
    precision: decimal ? type.flen : 0,
    scale: decimal ? type.decimal : 0,
  }
}

export function kindOf(type: FieldType): Kind {
  if (type.array) return Kind.Json
  switch (type.tp) {
    case MysqlType.Tiny:
    case MysqlType.Short:
    case MysqlType.Int24:
    case MysqlType.Long:
    case MysqlType.Longlong:
      return (type.flag & FieldFlag.Unsigned) === 0 ? Kind.Int : Kind.Uint
    case MysqlType.Year:
      return Kind.Year
    case MysqlType.Float:
      return Kind.Float
    case MysqlType.Double:
      return Kind.Double
    case MysqlType.NewDecimal:
      return Kind.Decimal
    case MysqlType.Date:
    case MysqlType.NewDate:
      return Kind.Date
    case MysqlType.Datetime:
      return Kind.Datetime
    case MysqlType.Timestamp:
      return Kind.Timestamp
    case MysqlType.Duration:
      return Kind.Duration
    case MysqlType.Enum:
      return Kind.Enum
    case MysqlType.Set:
      return Kind.Set
    case MysqlType.Bit:
      return Kind.Bit
    case MysqlType.Json:
      return Kind.Json
    case MysqlType.VectorFloat32:
      return Kind.Vector
    case MysqlType.Varchar:
    case MysqlType.VarString:
    case MysqlType.String:
    case MysqlType.TinyBlob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
    case MysqlType.Blob:
      return Kind.Bytes
    default:
      return Kind.None
  }
}

/** Reads the cell `bytes[start, end)` of a row v2. Byte strings are views. RangeError where it is broken. */
export function readCell(format: CellFormat, bytes: Uint8Array, start: number, end: number): Value {
  switch (format.kind) {
    case Kind.Bytes:
      return viewOf(bytes, start, end)
    case Kind.Decimal:
      expectWidth(start, decimalEnd(bytes, start), end - start)
      return decodeDecimal(bytes, start)
    case Kind.Float:
    case Kind.Double:
      return readFloatCell(format, bytes, start, end)
    case Kind.Json:
      return decodeJson(bytes, start, end)
    case Kind.Vector:
      return readVector(bytes, start, end)
    case Kind.Int:
    case Kind.Year:
    case Kind.Duration:
      return readSignedCell(format, bytes, start, end)
    case Kind.None:
      throw new RangeError('values of this column type cannot be read')
    default:
      return readUnsignedCell(format, bytes, start, end)
  }
}

/** The number in a cell of FLOAT or DOUBLE. */
export function readFloatCell(format: CellFormat, bytes: Uint8Array, start: number, end: number): number {
  expectWidth(start, end, 8)
  const value = readFloat(bytes, start)
  return finite(format.kind === Kind.Float ? Math.fround(value) : value)
}

function readSignedCell(format: CellFormat, bytes: Uint8Array, start: number, end: number): Value {
  let low = 0
  switch (end - start) {
    case 1:
      low = ((bytes[start] ?? 0) << 24) >> 24
      break
    case 2:
      low = (((bytes[start] ?? 0) | ((bytes[start + 1] ?? 0) << 8)) << 16) >> 16
      break
    case 4:
      low = u32le(bytes, start) | 0
      break
    case 8:
      return halvesValue(format, u32le(bytes, start + 4) | 0, u32le(bytes, start))
    default:
      throw new RangeError(`integer of ${end - start} bytes`)
  }
  return format.kind === Kind.Duration ? halvesValue(format, low >> 31, low >>> 0) : low
}

function readUnsignedCell(format: CellFormat, bytes: Uint8Array, start: number, end: number): Value {
  switch (end - start) {
    case 1:
      return halvesValue(format, 0, bytes[start] ?? 0)
    case 2:
      return halvesValue(format, 0, (bytes[start] ?? 0) | ((bytes[start + 1] ?? 0) << 8))
    case 4:
      return halvesValue(format, 0, u32le(bytes, start))
    case 8:
      return halvesValue(format, u32le(bytes, start + 4) | 0, u32le(bytes, start))
    default:
      throw new RangeError(`integer of ${end - start} bytes`)
  }
}

/** The value of 64 bits in two halves, `high` signed and `low` unsigned. */
export function halvesValue(format: CellFormat, high: number, low: number): Value {
  switch (format.kind) {
    case Kind.Int:
    case Kind.Year:
      return signedOf(high, low)
    case Kind.Uint:
    case Kind.Bit:
      return unsignedOf(high, low)
    case Kind.Date:
      return formatDate(high)
    case Kind.Datetime:
      return formatDatetime(high, low, format.fsp)
    case Kind.Timestamp:
      return formatTimestamp(high, low, format.fsp, format.zone)
    case Kind.Duration:
      return formatDuration(high, low, format.fsp)
    case Kind.Enum:
      return high === 0 && low <= format.members ? low : 0
    case Kind.Set: {
      const mask = unsignedOf(high, low)
      if (format.members < 64 && mask >= 2 ** format.members)
        throw new RangeError(`set value has bits beyond its ${format.members} elements`)
      return mask
    }
    default:
      throw new RangeError('an integer is stored for a column of another type')
  }
}

function signedOf(high: number, low: number): number | bigint {
  const value = high * LOW + low
  return Number.isSafeInteger(value) ? value : (BigInt(high) << 32n) | BigInt(low)
}

function unsignedOf(high: number, low: number): number | bigint {
  const value = (high >>> 0) * LOW + low
  return Number.isSafeInteger(value) ? value : (BigInt(high >>> 0) << 32n) | BigInt(low)
}

/** A handle of 8 bytes at `offset`: the integer primary key. */
export function readIntHandle(format: CellFormat, bytes: Uint8Array, offset: number): Value {
  return halvesValue(format, u32be(bytes, offset) ^ 0x8000_0000, u32be(bytes, offset + 4))
}

/** Writes a cell of a row v2; the value is not null. */
export function writeCell(writer: ByteWriter, format: CellFormat, value: Exclude<Value, null>): void {
  switch (format.kind) {
    case Kind.Bytes:
      writer.append(bytesOf(value))
      return
    case Kind.Decimal:
      writeDecimal(writer, stringOf(value), format.precision, format.scale)
      return
    case Kind.Float:
    case Kind.Double:
      writeFloat(writer, numberOf(value))
      return
    case Kind.Json:
      writer.append(encodeJson(stringOf(value)))
      return
    case Kind.Vector:
      writeVector(writer, value)
      return
    case Kind.Int:
    case Kind.Year:
    case Kind.Duration:
      writeSigned(writer, integerOf(format, value))
      return
    default:
      writeUnsigned(writer, integerOf(format, value))
  }
}

/** The 64-bit integer that stands for a value of an integer-like kind. */
export function integerOf(format: CellFormat, value: Exclude<Value, null>): bigint {
  switch (format.kind) {
    case Kind.Date:
    case Kind.Datetime:
      return packTime(stringOf(value))
    case Kind.Timestamp:
      return packTimestamp(stringOf(value), format.zone)
    case Kind.Duration:
      return parseDuration(stringOf(value))
    case Kind.None:
      throw new RangeError('a column of this type cannot be stored')
    default:
      if (typeof value !== 'number' && typeof value !== 'bigint') throw new RangeError('an integer is expected')
      return BigInt(value)
  }
}

function writeSigned(writer: ByteWriter, value: bigint): void {
  if (value >= -0x80n && value < 0x80n) writer.u8(Number(value) & 0xff)
  else if (value >= -0x8000n && value < 0x8000n) writer.u16le(Number(value) & 0xffff)
  else if (value >= -0x8000_0000n && value < 0x8000_0000n) writer.u32le(Number(value) >>> 0)
  else writer.u64le(value)
}

function writeUnsigned(writer: ByteWriter, value: bigint): void {
  if (value < 0x100n) writer.u8(Number(value))
  else if (value < 0x1_0000n) writer.u16le(Number(value))
  else if (value < 0x1_0000_0000n) writer.u32le(Number(value))
  else writer.u64le(value)
}

const scratch = new DataView(new ArrayBuffer(8))

/** A double in 8 bytes whose byte order is the order of numbers. */
export function readFloat(bytes: Uint8Array, offset: number): number {
  const high = u32be(bytes, offset)
  const low = u32be(bytes, offset + 4)
  const positive = high >= 0x8000_0000
  scratch.setUint32(0, positive ? high & 0x7fff_ffff : ~high)
  scratch.setUint32(4, positive ? low : ~low)
  return scratch.getFloat64(0)
}

export function writeFloat(writer: ByteWriter, value: number): void {
  scratch.setFloat64(0, value)
  const bits = scratch.getBigUint64(0)
  writer.u64be(value >= 0 ? bits | (1n << 63n) : ~bits)
}

export const finite = (value: number): number => (Number.isFinite(value) ? value : 0)

export function readVector(bytes: Uint8Array, start: number, end: number): Float32Array {
  const count = u32le(bytes, start)
  if (start + 4 + count * 4 !== end) throw new RangeError(`vector of ${count} elements in ${end - start} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset + start + 4, count * 4)
  return Float32Array.from({ length: count }, (_, i) => view.getFloat32(i * 4, true))
}

function writeVector(writer: ByteWriter, value: Value): void {
  if (!(value instanceof Float32Array)) throw new RangeError('a vector is expected')
  writer.u32le(value.length)
  for (const element of value) writer.f32le(element)
}

/** A plain view, whatever class of byte array it is taken from. */
export const viewOf = (bytes: Uint8Array, start: number, end: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)

function expectWidth(start: number, end: number, width: number): void {
  if (end - start !== width) throw new RangeError(`${end - start} bytes where ${width} are expected`)
}

export function bytesOf(value: Value): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new RangeError('bytes are expected')
  return value
}

function stringOf(value: Value): string {
  if (typeof value !== 'string') throw new RangeError('text is expected')
  return value
}

function numberOf(value: Value): number {
  if (typeof value !== 'number' && typeof value !== 'bigint') throw new RangeError('a number is expected')
  return Number(value)
}
