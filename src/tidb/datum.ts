import type { ByteWriter } from './byte-writer.ts'
import {
  bytesOf,
  type CellFormat,
  finite,
  halvesValue,
  integerOf,
  Kind,
  readFloat,
  readVector,
  viewOf,
  writeCell,
} from './cell.ts'
import { decimalEnd, decodeDecimal } from './decimal.ts'
import { u32be, u32le } from './integer-text.ts'
import { decodeJson, jsonEnd } from './json-binary.ts'
import { decodeBytes, encodeBytes, encodedBytesEnd } from './key.ts'
import { utcZone } from './time-zone.ts'
import type { Value } from './value.ts'

/**
 * Values with a flag in front: memcomparable in index keys and common handles, compact in rows v1. Source: TiDB
 * pkg/util/codec (reference: tidb-storage, section 2).
 */
export const Flag = {
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
      return halvesValue(format, u32be(bytes, at) ^ 0x8000_0000, u32be(bytes, at + 4))
    case Flag.Uint:
      return halvesValue(format, u32be(bytes, at) | 0, u32be(bytes, at + 4))
    case Flag.Varint:
    case Flag.Uvarint:
      return bigintValue(format, datumInteger(bytes, offset))
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
  halvesValue(format, Number(BigInt.asIntN(32, value >> 32n)), Number(BigInt.asUintN(32, value)))

/** The 64 bits of the datum at `offset`, which is one of an integer or a duration; signed ones may be negative. */
export function datumInteger(bytes: Uint8Array, offset: number): bigint {
  const at = offset + 1
  switch (bytes[offset]) {
    case Flag.Int:
    case Flag.Duration:
      return (BigInt(u32be(bytes, at) ^ 0x8000_0000) << 32n) | BigInt(u32be(bytes, at + 4))
    case Flag.Uint:
      return (BigInt(u32be(bytes, at)) << 32n) | BigInt(u32be(bytes, at + 4))
    case Flag.Varint: {
      const zigzag = readUvarint(bytes, at)
      return (zigzag >> 1n) ^ -(zigzag & 1n)
    }
    default:
      return readUvarint(bytes, at)
  }
}

/** The integer of a datum (flags 3, 4, 8, 9), as column ids are written. */
export function readIntegerDatum(bytes: Uint8Array, offset: number): number {
  const value = readDatum(PLAIN_INT, bytes, offset)
  if (typeof value !== 'number') throw new RangeError(`expected a small integer at offset ${offset}`)
  return value
}

const PLAIN_INT: CellFormat = {
  kind: Kind.Int,
  fsp: 0,
  zone: utcZone,
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

/** Where the varint at `offset` ends. */
export function uvarintEnd(bytes: Uint8Array, offset: number): number {
  let at = offset
  while ((bytes[at] ?? 0) >= 0x80) at++
  return at + 1
}

function expectKind(format: CellFormat, kind: Kind): void {
  if (format.kind !== kind) throw new RangeError('the stored datum is not of the type of its column')
}
