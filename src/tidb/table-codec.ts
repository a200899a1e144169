import { ByteWriter } from './byte-writer.ts'
import { createCellFormat, Kind, kindOf } from './cell.ts'
import { sortKeyOf } from './collation.ts'
import { writeKeyDatum } from './datum.ts'
import { commonHandle, indexPrefix, intHandle } from './key.ts'
import { encodeRow, type StoredColumn } from './row-encoder.ts'
import { type ColumnInfo, FieldFlag, type FieldType, type IndexInfo, MysqlType, type TableInfo } from './table-info.ts'
import type { TimeZone } from './time-zone.ts'
import type { Value } from './value.ts'

/**
 * What TiDB writes for a row: its handle, its value, its index entries, with the new collation framework on. Rows are
 * given as values by column offset (`TableInfo.columns`). Source: TiDB pkg/tablecodec (reference: tidb-storage, 1.2, 1.3,
 * 6.4, 6.5).
 */
export type RowValues = readonly Value[]

export interface IndexEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** True where the key alone excludes a second row: a unique index without NULL in the row. */
  readonly distinct: boolean
}

/** Index value segments. */
const VERSION_FLAG = 125
const COMMON_HANDLE_FLAG = 127
const PLAIN_VALUE = Uint8Array.of(0x30)
const MIN_NEW_VALUE = 10

/** The handle of a row of a table with clustered key; `rowId` is that of a table without one (`_tidb_rowid`). */
export function encodeHandle(info: TableInfo, row: RowValues, rowId: bigint, zone: TimeZone): Uint8Array {
  if (info.pkIsHandle) return intHandle(integerOf(row[primaryOffset(info)]))
  if (!info.isCommonHandle) return intHandle(rowId)
  const primary = info.indexes.find((index) => index.primary)
  if (primary === undefined) throw new RangeError(`table ${info.name.original} has no primary index`)
  return commonHandle(indexDatums(info, primary, row, zone))
}

/** Offset of the integer primary key, -1 where there is none. */
export const primaryOffset = (info: TableInfo): number =>
  info.pkIsHandle ? info.columns.findIndex((column) => (column.type.flag & FieldFlag.PriKey) !== 0) : -1

/** Row v2 without the columns that TiDB leaves out. */
export const encodeTableRow = (info: TableInfo, row: RowValues, zone: TimeZone): Uint8Array =>
  encodeRow(storedColumns(info, row), zone)

/** Columns that the value holds: not what the key holds in full, not NULL that is the default, nothing virtual. */
export function storedColumns(info: TableInfo, row: RowValues): readonly StoredColumn[] {
  const primary = info.isCommonHandle ? info.indexes.find((index) => index.primary) : undefined
  const inKey = new Set(primary?.columns.filter(({ length }) => length === -1).map(({ offset }) => offset))
  const integerKey = primaryOffset(info)
  return info.columns.flatMap((column, offset): readonly StoredColumn[] => {
    const value = row[offset] ?? null
    const isVirtual = column.generatedExpr !== '' && !column.generatedStored
    const keyHolds = offset === integerKey || (inKey.has(offset) && !needsRestoredData(column.type))
    return isVirtual || keyHolds || isDefaultNull(column, value) ? [] : [{ id: column.id, type: column.type, value }]
  })
}

const isDefaultNull = (column: ColumnInfo, value: Value): boolean =>
  value === null &&
  column.defaultValue === null &&
  column.originDefault === null &&
  column.defaultBit === null &&
  column.originDefaultBit === null

/** Collations whose sort key of a CHAR is its text; gbk_bin and gb18030_bin are not: they sort by another encoding. */
const KEEPS_TEXT: ReadonlySet<string> = new Set(['ascii_bin', 'latin1_bin', 'utf8_bin', 'utf8mb4_bin'])

/** True where a key holds a sort key from which the text cannot be had back. */
export function needsRestoredData(type: FieldType): boolean {
  if (kindOf(type) !== Kind.Bytes || type.collate === 'binary' || type.charset === 'binary') return false
  const trims = type.tp === MysqlType.Varchar || type.tp === MysqlType.VarString
  return (trims || !KEEPS_TEXT.has(type.collate)) && type.collate !== 'utf8mb4_0900_bin'
}

/**
 * An index entry of a row. `tableId` is physical. A unique entry without NULL has the handle in its value, any other
 * in its key. The primary key of a clustered table has no entry.
 */
export function encodeIndexEntry(
  info: TableInfo,
  index: IndexInfo,
  at: { readonly tableId: bigint; readonly handle: Uint8Array; readonly row: RowValues; readonly zone: TimeZone },
): IndexEntry {
  const { tableId, handle, row, zone } = at
  const distinct = index.unique && index.columns.every(({ offset }) => (row[offset] ?? null) !== null)
  const key = new ByteWriter(64)
    .append(indexPrefix(tableId, BigInt(index.id)))
    .append(indexDatums(info, index, row, zone))
  if (!distinct) appendHandle(key, handle, info.isCommonHandle)
  return { key: key.finish(), value: indexValue(info, index, { ...at, distinct }), distinct }
}

/** Memcomparable datums of an index's columns: prefixes cut, strings as sort keys. Also the prefix for look-ups. */
export function indexDatums(info: TableInfo, index: IndexInfo, row: RowValues, zone: TimeZone): Uint8Array {
  const writer = new ByteWriter(64)
  for (const { offset, length } of index.columns) {
    const column = info.columns[offset]
    if (column === undefined) throw new RangeError(`index ${index.name.original} has no column at offset ${offset}`)
    const value = cutPrefix(column.type, row[offset] ?? null, length)
    const sortKey = value instanceof Uint8Array ? sortKeyOf(collationOf(column.type), value) : undefined
    writeKeyDatum(writer, createCellFormat(column.type, zone), value, sortKey)
  }
  return writer.finish()
}

const collationOf = (type: FieldType): string => (type.charset === 'binary' ? 'binary' : type.collate)

const decoder = new TextDecoder()
const utf8 = new TextEncoder()

/** Prefix lengths count characters, of binary columns bytes. */
function cutPrefix(type: FieldType, value: Value, length: number): Value {
  if (length === -1 || !(value instanceof Uint8Array) || value.length <= length) return value
  if (type.charset === 'binary') return value.subarray(0, length)
  return utf8.encode(Array.from(decoder.decode(value)).slice(0, length).join(''))
}

/** An int handle stands in a key as an int datum, a common handle as it is. */
function appendHandle(key: ByteWriter, handle: Uint8Array, common: boolean): void {
  if (!common) key.u8(3)
  key.append(handle)
}

function indexValue(
  info: TableInfo,
  index: IndexInfo,
  at: { readonly handle: Uint8Array; readonly row: RowValues; readonly zone: TimeZone; readonly distinct: boolean },
): Uint8Array {
  const restored = index.columns.flatMap(({ offset, length }): readonly StoredColumn[] => {
    const column = info.columns[offset]
    if (column === undefined || !needsRestoredData(column.type)) return []
    return [{ id: column.id, type: column.type, value: cutPrefix(column.type, at.row[offset] ?? null, length) }]
  })
  const intInValue = at.distinct && !info.isCommonHandle
  const versioned = info.isCommonHandle && info.commonHandleVersion === 1
  if (restored.length === 0 && !info.isCommonHandle) return intInValue ? plainHandle(at.handle) : PLAIN_VALUE
  if (restored.length === 0 && !versioned && !at.distinct) return PLAIN_VALUE

  const writer = new ByteWriter(64).u8(0)
  if (versioned) writer.u8(VERSION_FLAG).u8(1)
  if (at.distinct && info.isCommonHandle)
    writer
      .u8(COMMON_HANDLE_FLAG)
      .u8(at.handle.length >> 8)
      .u8(at.handle.length & 0xff)
      .append(at.handle)
  if (restored.length > 0) writer.append(encodeRow(restored, at.zone))
  const tail = intInValue
    ? plainHandle(at.handle)
    : new Uint8Array(versioned ? 0 : Math.max(0, MIN_NEW_VALUE - writer.length))
  const value = writer.append(tail).finish()
  value[0] = tail.length
  return value
}

/** 8 bytes big-endian, the sign not flipped. */
function plainHandle(handle: Uint8Array): Uint8Array {
  const plain = Uint8Array.from(handle)
  plain[0] = (plain[0] ?? 0) ^ 0x80
  return plain
}

/** The handle in the value of a distinct entry made by {@link encodeIndexEntry}. */
export function handleOfDistinctValue(info: TableInfo, value: Uint8Array): Uint8Array {
  if (!info.isCommonHandle) return plainHandle(value.subarray(value.length - 8))
  const at = value[1] === VERSION_FLAG ? 3 : 1
  if (value[at] !== COMMON_HANDLE_FLAG) throw new RangeError('index value has no common handle')
  const length = ((value[at + 1] ?? 0) << 8) | (value[at + 2] ?? 0)
  return value.slice(at + 3, at + 3 + length)
}

function integerOf(value: Value | undefined): bigint {
  if (typeof value !== 'number' && typeof value !== 'bigint') throw new RangeError('the primary key is not an integer')
  return BigInt(value)
}
