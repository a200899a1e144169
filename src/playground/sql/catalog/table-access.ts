import { ByteWriter } from '../../../tidb/byte-writer.ts'
import { createCellFormat } from '../../../tidb/cell.ts'
import type { CellFormat } from '../../../tidb/cell.ts'
import { datumEnd, writeKeyDatum } from '../../../tidb/datum.ts'
import { commonHandle, decodeInt, decodeRecordKey, indexPrefix, intHandle, recordKey } from '../../../tidb/key.ts'
import { compileRowDecoder } from '../../../tidb/row-decoder.ts'
import { encodeRow } from '../../../tidb/row-encoder.ts'
import type { StoredColumn } from '../../../tidb/row-encoder.ts'
import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { ColumnInfo, FieldType, IndexInfo, TableInfo } from '../../../tidb/table-info.ts'
import { utcZone } from '../../../tidb/time-zone.ts'
import { findCollation } from '../value/collation.ts'
import { toBytes, toText } from '../value/value.ts'
import type { Row, Value } from '../value/value.ts'
import { fromStored, toStored } from './stored-value.ts'
import type { TimeZone } from '../value/time-zone.ts'
import { isTextType } from './type-text.ts'

/** One key of an index. `unique`: no other row may have it; a NULL among the columns makes an entry not unique. */
export interface IndexEntry {
  readonly index: IndexInfo
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly unique: boolean
}

/** How rows of one table version become keys and values, decided once. */
export interface TableAccess {
  readonly info: TableInfo
  /** Offset of the column that is the int handle; -1 = none. */
  readonly handleOffset: number
  /** The handle of a row; `rowId` is used where the table has no clustered key. */
  handleOf(row: Row, rowId: bigint): Uint8Array
  recordKey(handle: Uint8Array): Uint8Array
  encode(row: Row): Uint8Array
  decode(key: Uint8Array, value: Uint8Array, zone: TimeZone): Row
  indexEntries(row: Row, handle: Uint8Array): IndexEntry[]
  /** Key of a unique index for column values, or what keys of the index begin with for its first columns. */
  indexKey(index: IndexInfo, values: readonly Value[]): Uint8Array
  /** The handle in an index pair. */
  handleOfEntry(index: IndexInfo, key: Uint8Array, value: Uint8Array): Uint8Array
}

const compiled = new WeakMap<TableInfo, TableAccess>()

export function accessOf(info: TableInfo): TableAccess {
  let access = compiled.get(info)
  if (access === undefined) {
    access = compileAccess(info)
    compiled.set(info, access)
  }
  return access
}

/** A column of a key with how it is written. */
interface KeyPart {
  readonly column: ColumnInfo
  readonly format: CellFormat
  /** Prefix length, -1 = whole. */
  readonly length: number
}

function compileAccess(info: TableInfo): TableAccess {
  const handleOffset = info.pkIsHandle ? info.columns.findIndex(({ type }) => (type.flag & FieldFlag.PriKey) !== 0) : -1
  const primary = info.indexes.find((index) => index.primary)
  const clustered = info.isCommonHandle && primary !== undefined ? partsOf(info, primary) : undefined
  const indexes = info.indexes
    .filter((index) => !(index.primary && info.isCommonHandle))
    .map((index) => ({ index, parts: partsOf(info, index) }))
  const skipped = new Set(
    handleOffset >= 0
      ? [handleOffset]
      : (clustered ?? [])
          .filter((part) => part.length === -1 && !needsRestoredData(part.column.type))
          .map((part) => part.column.offset),
  )
  const decoder = compileRowDecoder(info, info.columns, utcZone)
  const partsByIndex = new Map(indexes.map(({ index, parts }) => [index.id, parts]))

  const handleOf = (row: Row, rowId: bigint): Uint8Array => {
    if (handleOffset >= 0) return intHandle(BigInt.asIntN(64, integerOf(row[handleOffset] ?? null)))
    if (clustered === undefined) return intHandle(rowId)
    return commonHandle(
      writeParts(
        new ByteWriter(32),
        clustered,
        clustered.map(({ column }) => row[column.offset] ?? null),
      ).finish(),
    )
  }

  const entryOf = (index: IndexInfo, parts: readonly KeyPart[], row: Row, handle: Uint8Array): IndexEntry => {
    const values = parts.map(({ column }) => row[column.offset] ?? null)
    const unique = index.unique && !values.includes(null)
    const writer = writeParts(new ByteWriter(64).append(indexPrefix(info.id, BigInt(index.id))), parts, values)
    if (!unique) {
      if (info.isCommonHandle) writer.append(handle)
      else writer.u8(3).append(handle)
    }
    return { index, key: writer.finish(), value: unique ? uniqueValue(info, handle) : Uint8Array.of(0x30), unique }
  }

  return {
    info,
    handleOffset,
    handleOf,
    recordKey: (handle) => recordKey(info.id, handle),
    encode: (row) => encodeRow(storedColumns(info, row, skipped), utcZone),
    decode: (key, value, zone) =>
      decoder(key, value).map((stored, i) => fromStored(stored, info.columns[i]?.type ?? missing(), zone)),
    indexEntries: (row, handle) => indexes.map(({ index, parts }) => entryOf(index, parts, row, handle)),
    indexKey: (index, values) => {
      const parts = (partsByIndex.get(index.id) ?? clustered ?? []).slice(0, values.length)
      return writeParts(new ByteWriter(64).append(indexPrefix(info.id, BigInt(index.id))), parts, values).finish()
    },
    handleOfEntry: (index, key, value) => handleInEntry(info, index, key, value),
  }
}

function missing(): never {
  throw new RangeError('a row has more values than its table has columns')
}

const partsOf = (info: TableInfo, index: IndexInfo): KeyPart[] =>
  index.columns.flatMap(({ offset, length }) => {
    const column = info.columns[offset]
    return column === undefined ? [] : [{ column, format: createCellFormat(column.type, utcZone), length }]
  })

/** With collations on, TiDB keeps such a column in the row too: the key holds its sort key only (reference: tidb-storage 6.5). */
function needsRestoredData(type: FieldType): boolean {
  const isString = isTextType(type) && type.tp !== MysqlType.Enum && type.tp !== MysqlType.Set
  if (!isString || type.collate === 'utf8mb4_0900_bin') return false
  return !type.collate.endsWith('_bin') || type.tp === MysqlType.Varchar || type.tp === MysqlType.VarString
}

function writeParts(writer: ByteWriter, parts: readonly KeyPart[], values: readonly Value[]): ByteWriter {
  for (const [i, part] of parts.entries()) {
    const value = values[i] ?? null
    if (value === null) writeKeyDatum(writer, part.format, null)
    else writePresent(writer, part, value)
  }
  return writer
}

function writePresent(writer: ByteWriter, { column, format, length }: KeyPart, value: Exclude<Value, null>): void {
  const { type } = column
  const isString = typeof value === 'string' || value instanceof Uint8Array
  if (!isString) return writeKeyDatum(writer, format, toStored(value, type))
  const whole =
    length === -1
      ? value
      : typeof value === 'string' && type.charset !== 'binary'
        ? Array.from(value).slice(0, length).join('')
        : toBytes(value).subarray(0, length)
  const bytes = findCollation(type.collate || 'binary').sortKey(whole)
  writeKeyDatum(writer, format, bytes, bytes)
}

const integerOf = (value: Value): bigint =>
  typeof value === 'bigint' ? value : BigInt(value === null ? 0 : toText(value))

/** Leaves out what TiDB leaves out (reference: tidb-storage 6.4). */
function storedColumns(info: TableInfo, row: Row, skipped: ReadonlySet<number>): StoredColumn[] {
  const columns: StoredColumn[] = []
  for (const { id, offset, type, defaultValue, originDefault } of info.columns) {
    const value = row[offset] ?? null
    if (skipped.has(offset) || (value === null && defaultValue === null && originDefault === null)) continue
    columns.push({ id, type, value: value === null ? null : toStored(value, type) })
  }
  return columns
}

const INDEX_VERSION = 125
const COMMON_HANDLE = 127

/** Value of a unique entry: 8 bytes of int handle, or TiDB's layout of version 1 with a common handle. */
function uniqueValue(info: TableInfo, handle: Uint8Array): Uint8Array {
  if (!info.isCommonHandle) return new ByteWriter(8).u64be(BigInt.asUintN(64, decodeInt(handle))).finish()
  return new ByteWriter(16 + handle.length)
    .u8(0)
    .u8(INDEX_VERSION)
    .u8(1)
    .u8(COMMON_HANDLE)
    .u8(handle.length >> 8)
    .u8(handle.length & 0xff)
    .append(handle)
    .finish()
}

function handleInEntry(info: TableInfo, index: IndexInfo, key: Uint8Array, value: Uint8Array): Uint8Array {
  if (!info.isCommonHandle) {
    if (value.length < 8) return key.subarray(key.length - 8)
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
    return intHandle(BigInt.asIntN(64, view.getBigUint64(value.length === 8 ? 0 : value.length - 8)))
  }
  for (let at = 0; at + 3 < value.length; at++)
    if (value[at] === COMMON_HANDLE && at > 0) {
      const length = ((value[at + 1] ?? 0) << 8) | (value[at + 2] ?? 0)
      return value.subarray(at + 3, at + 3 + length)
    }
  return key.subarray(key.length - commonHandleLength(info, index, key))
}

/** Length of the handle behind the columns of an entry that is not unique. */
function commonHandleLength(info: TableInfo, index: IndexInfo, key: Uint8Array): number {
  let at = indexPrefix(info.id, BigInt(index.id)).length
  for (let n = 0; n < index.columns.length; n++) at = datumEnd(key, at)
  return key.length - at
}

/** The row id or int primary key in a record key. */
export const rowIdOf = (key: Uint8Array): bigint => decodeInt(decodeRecordKey(key).handle)
