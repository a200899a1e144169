import { ByteWriter } from './byte-writer.ts'
import { createCellFormat, writeCell } from './cell.ts'
import { writeValueDatum } from './datum.ts'
import type { FieldType } from './table-info.ts'
import { type TimeZone, utcZone } from './time-zone.ts'
import type { Value } from './value.ts'

/** A column to be stored; leave out what TiDB leaves out (reference: tidb-storage, 6.4). */
export interface StoredColumn {
  readonly id: number
  readonly type: FieldType
  readonly value: Value
}

const ROW_V2 = 128

/** Row v2. TIMESTAMP text is of `zone`. RangeError where a value is not of its column's type. */
export function encodeRow(columns: readonly StoredColumn[], zone: TimeZone = utcZone): Uint8Array {
  const sorted = columns.toSorted((a, b) => a.id - b.id)
  const nulls = sorted.filter(({ value }) => value === null)
  const data = new ByteWriter(256)
  const ids: number[] = []
  const ends: number[] = []
  for (const { id, type, value } of sorted) {
    if (value === null) continue
    writeCell(data, createCellFormat(type, zone), value)
    ids.push(id)
    ends.push(data.length)
  }
  const large = data.length > 0xffff || sorted.some(({ id }) => id > 0xff)
  const row = new ByteWriter(data.length + sorted.length * 8 + 6)
  row
    .u8(ROW_V2)
    .u8(large ? 1 : 0)
    .u16le(ids.length)
    .u16le(nulls.length)
  for (const id of [...ids, ...nulls.map((column) => column.id)]) {
    if (large) row.u32le(id)
    else row.u8(id)
  }
  for (const end of ends) {
    if (large) row.u32le(end)
    else row.u16le(end)
  }
  return row.append(data.finish()).finish()
}

/** Row v1, columns in the given order. */
export function encodeRowV1(columns: readonly StoredColumn[], zone: TimeZone = utcZone): Uint8Array {
  if (columns.length === 0) return Uint8Array.of(0)
  const row = new ByteWriter(256)
  for (const { id, type, value } of columns) {
    row.u8(8).varint(BigInt(id))
    writeValueDatum(row, createCellFormat(type, zone), value)
  }
  return row.finish()
}
