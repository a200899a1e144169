import type { ByteWriter } from './byte-writer.ts'
import { decimalEnd, decodeDecimal, writeDecimal } from './decimal.ts'
import { decodeJson, encodeJson, jsonEnd } from './json-binary.ts'
import { decodeBytes, encodeBytes, encodedBytesEnd } from './key.ts'
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
import type { Value } from './value.ts'

/**
 * One value of one column as TiDB stores it, in three forms: the cell of a row v2 (no flag, smallest width), the datum
 * of a key (memcomparable) and the datum of a row v1. Source: TiDB pkg/util/codec, pkg/util/rowcodec (reference:
 * tidb-storage, sections 2 and 6).
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

/** First byte of a datum. */
const Flag = {
  Nil: 0,
  Bytes: 1,
  CompactBytes: 2,
  Int: 3,
  Uint: 4,
  Float: 5,
  Decimal: 6,
  Duration: 7,
  Varint: 8,
  Uvarint: 9,
  Json: 10,
  Vector: 20,
} as const

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
      expectWidth(start, end, 8)
      return finite(Math.fround(readFloat(bytes, start)))
    case Kind.Double:
      expectWidth(start, end, 8)
      return finite(readFloat(bytes, start))
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
      return integerValue(format, u32le(bytes, start + 4) | 0, u32le(bytes, start))
    default:
      throw new RangeError(`integer of ${end - start} bytes`)
  }
  return format.kind === Kind.Duration ? integerValue(format, low >> 31, low >>> 0) : low
}

function readUnsignedCell(format: CellFormat, bytes: Uint8Array, start: number, end: number): Value {
  switch (end - start) {
    case 1:
      return integerValue(format, 0, bytes[start] ?? 0)
    case 2:
      return integerValue(format, 0, (bytes[start] ?? 0) | ((bytes[start + 1] ?? 0) << 8))
    case 4:
      return integerValue(format, 0, u32le(bytes, start))
    case 8:
      return integerValue(format, u32le(bytes, start + 4) | 0, u32le(bytes, start))
    default:
      throw new RangeError(`integer of ${end - start} bytes`)
  }
}

/** The value of 64 bits in two halves, `high` signed and `low` unsigned. */
function integerValue(format: CellFormat, high: number, low: number): Value {
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
  return integerValue(format, u32be(bytes, offset) ^ 0x8000_0000, u32be(bytes, offset + 4))
}

/** Reads the datum at `offset`, of whichever form. RangeError where it is broken or not of the column's type. */
export function readDatum(format: CellFormat, bytes: Uint8Array, offset: number): Value {
  const at = offset + 1
  const end = datumEnd(bytes, offset)
  switch (bytes[offset]) {
    case Flag.Nil:
      return null
    case Flag.Bytes:
      expectKind(format, Kind.Bytes)
      return decodeBytes(bytes, at).raw
    case Flag.CompactBytes:
      expectKind(format, Kind.Bytes)
      return viewOf(bytes, uvarintEnd(bytes, at), end)
    case Flag.Int:
    case Flag.Duration:
      return integerValue(format, u32be(bytes, at) ^ 0x8000_0000, u32be(bytes, at + 4))
    case Flag.Uint:
      return integerValue(format, u32be(bytes, at) | 0, u32be(bytes, at + 4))
    case Flag.Varint: {
      const zigzag = readUvarint(bytes, at)
      return bigintValue(format, (zigzag >> 1n) ^ -(zigzag & 1n))
    }
    case Flag.Uvarint:
      return bigintValue(format, readUvarint(bytes, at))
    case Flag.Float:
      if (format.kind !== Kind.Float) expectKind(format, Kind.Double)
      return finite(format.kind === Kind.Float ? Math.fround(readFloat(bytes, at)) : readFloat(bytes, at))
    case Flag.Decimal:
      expectKind(format, Kind.Decimal)
      return decodeDecimal(bytes, at)
    case Flag.Json:
      expectKind(format, Kind.Json)
      return decodeJson(bytes, at, end)
    default:
      expectKind(format, Kind.Vector)
      return readVector(bytes, at, end)
  }
}

const bigintValue = (format: CellFormat, value: bigint): Value =>
  integerValue(format, Number(BigInt.asIntN(32, value >> 32n)), Number(BigInt.asUintN(32, value)))

/** The integer of a datum (flags 3, 4, 8, 9), as column ids are written. */
export function readIntegerDatum(bytes: Uint8Array, offset: number): number {
  const value = readDatum(PLAIN_INT, bytes, offset)
  if (typeof value !== 'number') throw new RangeError(`expected a small integer at offset ${offset}`)
  return value
}

const PLAIN_INT: CellFormat = {
  kind: Kind.Int,
  fsp: 0,
  zone: { name: 'UTC', offsetAt: () => 0 },
  members: 0,
  precision: 0,
  scale: 0,
}

/** Where the datum at `offset` ends. RangeError where it is broken or runs past the end. */
export function datumEnd(bytes: Uint8Array, offset: number): number {
  const end = endOf(bytes, offset)
  if (end > bytes.length) throw new RangeError(`datum ends early at offset ${bytes.length}`)
  return end
}

function endOf(bytes: Uint8Array, offset: number): number {
  const at = offset + 1
  switch (bytes[offset]) {
    case Flag.Nil:
      return at
    case Flag.Int:
    case Flag.Uint:
    case Flag.Float:
    case Flag.Duration:
      return at + 8
    case Flag.Bytes:
      return encodedBytesEnd(bytes, at)
    case Flag.CompactBytes: {
      const zigzag = readUvarint(bytes, at)
      if ((zigzag & 1n) === 1n || zigzag > 0x1_0000_0000n) throw new RangeError(`length of bytes at offset ${at}`)
      return uvarintEnd(bytes, at) + Number(zigzag >> 1n)
    }
    case Flag.Varint:
    case Flag.Uvarint:
      readUvarint(bytes, at)
      return uvarintEnd(bytes, at)
    case Flag.Decimal:
      return decimalEnd(bytes, at)
    case Flag.Json:
      return jsonEnd(bytes, at)
    case Flag.Vector:
      return at + 4 + u32le(bytes, at) * 4
    default:
      throw new RangeError(`unknown datum flag ${bytes[offset]} at offset ${offset}`)
  }
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

/** Writes the memcomparable datum of an index key or a common handle; `sortKey` replaces the bytes of a string. */
export function writeKeyDatum(writer: ByteWriter, format: CellFormat, value: Value, sortKey?: Uint8Array): void {
  if (value === null) {
    writer.u8(Flag.Nil)
    return
  }
  switch (format.kind) {
    case Kind.Bytes:
      writer.u8(Flag.Bytes).append(encodeBytes(sortKey ?? bytesOf(value)))
      return
    case Kind.Int:
    case Kind.Year:
      writer.u8(Flag.Int).u64be(integerOf(format, value) ^ (1n << 63n))
      return
    case Kind.Duration:
      writer.u8(Flag.Duration).u64be(integerOf(format, value) ^ (1n << 63n))
      return
    case Kind.Float:
    case Kind.Double:
    case Kind.Decimal:
      writeValueDatum(writer, format, value)
      return
    case Kind.Json:
    case Kind.Vector:
    case Kind.None:
      throw new RangeError('a column of this type cannot be part of a key')
    default:
      writer.u8(Flag.Uint).u64be(integerOf(format, value))
  }
}

/** Writes the datum of a row v1. */
export function writeValueDatum(writer: ByteWriter, format: CellFormat, value: Value): void {
  if (value === null) {
    writer.u8(Flag.Nil)
    return
  }
  switch (format.kind) {
    case Kind.Bytes: {
      const bytes = bytesOf(value)
      writer.u8(Flag.CompactBytes).varint(BigInt(bytes.length)).append(bytes)
      return
    }
    case Kind.Int:
    case Kind.Year:
    case Kind.Duration:
      writer.u8(Flag.Varint).varint(integerOf(format, value))
      return
    case Kind.Float:
    case Kind.Double:
      writer.u8(Flag.Float)
      break
    case Kind.Decimal:
      writer.u8(Flag.Decimal)
      break
    case Kind.Json:
      writer.u8(Flag.Json)
      break
    case Kind.Vector:
      writer.u8(Flag.Vector)
      break
    default:
      writer.u8(Flag.Uvarint).uvarint(integerOf(format, value))
      return
  }
  writeCell(writer, format, value)
}

/** The 64-bit integer that stands for a value of an integer-like kind. */
function integerOf(format: CellFormat, value: Exclude<Value, null>): bigint {
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
function readFloat(bytes: Uint8Array, offset: number): number {
  const high = u32be(bytes, offset)
  const low = u32be(bytes, offset + 4)
  const positive = high >= 0x8000_0000
  scratch.setUint32(0, positive ? high & 0x7fff_ffff : ~high)
  scratch.setUint32(4, positive ? low : ~low)
  return scratch.getFloat64(0)
}

function writeFloat(writer: ByteWriter, value: number): void {
  scratch.setFloat64(0, value)
  const bits = scratch.getBigUint64(0)
  writer.u64be(value >= 0 ? bits | (1n << 63n) : ~bits)
}

const finite = (value: number): number => (Number.isFinite(value) ? value : 0)

function readVector(bytes: Uint8Array, start: number, end: number): Float32Array {
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

function readUvarint(bytes: Uint8Array, offset: number): bigint {
  let value = 0n
  for (let i = 0; i < 10; i++) {
    const byte = bytes[offset + i]
    if (byte === undefined) throw new RangeError(`varint ends early at offset ${offset + i}`)
    if (i === 9 && byte > 1) break
    value |= BigInt(byte & 0x7f) << BigInt(7 * i)
    if (byte < 0x80) return value
  }
  throw new RangeError(`varint of more than 64 bits at offset ${offset}`)
}

function uvarintEnd(bytes: Uint8Array, offset: number): number {
  let at = offset
  while ((bytes[at] ?? 0) >= 0x80) at++
  return at + 1
}

const u32le = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0

const u32be = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0

/** A plain view, whatever class of byte array it is taken from. */
const viewOf = (bytes: Uint8Array, start: number, end: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)

function expectWidth(start: number, end: number, width: number): void {
  if (end - start !== width) throw new RangeError(`${end - start} bytes where ${width} are expected`)
}

function expectKind(format: CellFormat, kind: Kind): void {
  if (format.kind !== kind) throw new RangeError('the stored datum is not of the type of its column')
}

function bytesOf(value: Value): Uint8Array {
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
