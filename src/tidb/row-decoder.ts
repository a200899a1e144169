import { type CellFormat, createCellFormat, readCell, readIntHandle } from './cell.ts'
import { datumEnd, readDatum, readIntegerDatum } from './datum.ts'
import { absentValue } from './default-value.ts'
import { handleOffset, hexOf } from './key.ts'
import { type ColumnInfo, FieldFlag, type TableInfo } from './table-info.ts'
import type { TimeZone } from './time-zone.ts'
import type { Value } from './value.ts'

/**
 * Values of a row in the order of the columns that were asked for. `key` is the raw record key. Byte strings are views
 * into `value`. RangeError where bytes are broken, with the name of the column where it is known.
 */
export type RowDecoder = (key: Uint8Array, value: Uint8Array) => Value[]

/** A column that the key holds. */
interface HandlePart {
  /** In the row; -1 = not asked for, or stored in full in the value (a prefix of it is in the key). */
  readonly position: number
  readonly format: CellFormat
  readonly name: string
}

/** What the loops below use, ascending by column id. */
interface Layout {
  readonly ids: Int32Array
  readonly positions: Int32Array
  readonly formats: readonly CellFormat[]
  readonly names: readonly string[]
  /** The row that stores nothing: defaults, and null for what the key holds. */
  readonly absent: readonly Value[]
}

/** First byte of a row v2. */
export const ROW_V2 = 128
const LARGE = 1

/**
 * Compiles a decoder of the table's rows, v1 and v2 (reference: tidb-storage, section 6). A column comes from the value;
 * where that lacks it, from the key; else it has its origin default.
 */
export function compileRowDecoder(info: TableInfo, columns: readonly ColumnInfo[], zone: TimeZone): RowDecoder {
  const layout = layoutOf(info, columns, zone)
  const fillFromKey = compileHandle(info, columns, zone)
  const decodeV1 = compileV1(layout)
  return (key, value) => {
    const row = value[0] === ROW_V2 ? decodeV2(layout, value) : decodeV1(value)
    fillFromKey(row, key)
    return row
  }
}

function layoutOf(info: TableInfo, columns: readonly ColumnInfo[], zone: TimeZone): Layout {
  const inKey = new Set(handleColumns(info).map(({ column }) => column))
  const sorted = columns.map((column, position) => ({ column, position })).toSorted((a, b) => a.column.id - b.column.id)
  return {
    ids: Int32Array.from(sorted, ({ column }) => column.id),
    positions: Int32Array.from(sorted, ({ position }) => position),
    formats: sorted.map(({ column }) => createCellFormat(column.type, zone)),
    names: sorted.map(({ column }) => column.name.original),
    absent: columns.map((column) => (inKey.has(column) ? null : absentValue(column, zone))),
  }
}

/** Columns of the clustered key in its order; `whole` = the key holds the column, not a prefix of it. */
export function handleColumns(info: TableInfo): readonly { readonly column: ColumnInfo; readonly whole: boolean }[] {
  if (info.pkIsHandle) {
    const key = info.columns.find((column) => (column.type.flag & FieldFlag.PriKey) !== 0)
    return key === undefined ? [] : [{ column: key, whole: true }]
  }
  if (!info.isCommonHandle) return []
  const parts = info.indexes.find((index) => index.primary)?.columns ?? []
  return parts.flatMap(({ offset, length }) => {
    const column = info.columns[offset]
    return column === undefined ? [] : [{ column, whole: length === -1 }]
  })
}

function decodeV2(layout: Layout, value: Uint8Array): Value[] {
  const { ids, positions, formats } = layout
  const row = layout.absent.slice()
  const large = ((value[1] ?? 0) & LARGE) !== 0
  const stored = u16(value, 2)
  const nulls = u16(value, 4)
  const nullIds = 6 + stored * (large ? 4 : 1)
  const ends = nullIds + nulls * (large ? 4 : 1)
  const data = ends + stored * (large ? 4 : 2)
  if (data > value.length) throw new RangeError(`row of ${value.length} bytes ends in its header`)

  let start = data
  for (let i = 0, at = 0; i < stored; i++) {
    const id = large ? u32(value, 6 + i * 4) : (value[6 + i] ?? 0)
    const end = data + (large ? u32(value, ends + i * 4) : u16(value, ends + i * 2))
    while (at < ids.length && (ids[at] ?? 0) < id) at++
    if (ids[at] === id) {
      if (end < start || end > value.length) throw columnFault(layout, at, new RangeError(`cell at ${start} to ${end}`))
      const format = formats[at]
      if (format !== undefined) row[positions[at] ?? 0] = cellOf(layout, at, format, value, start, end)
    }
    start = end
  }
  for (let i = 0, at = 0; i < nulls; i++) {
    const id = large ? u32(value, nullIds + i * 4) : (value[nullIds + i] ?? 0)
    while (at < ids.length && (ids[at] ?? 0) < id) at++
    if (ids[at] === id) row[positions[at] ?? 0] = null
  }
  return row
}

function cellOf(layout: Layout, at: number, format: CellFormat, value: Uint8Array, start: number, end: number): Value {
  try {
    return readCell(format, value, start, end)
  } catch (cause) {
    throw columnFault(layout, at, cause)
  }
}

const columnFault = (layout: Layout, at: number, cause: unknown): RangeError =>
  new RangeError(`column ${layout.names[at] ?? ''}`, { cause })

function compileV1(layout: Layout): (value: Uint8Array) => Value[] {
  const atOf = new Map(Array.from(layout.ids, (id, at) => [id, at]))
  return (value) => {
    const row = layout.absent.slice()
    if (value.length <= 1) return row
    for (let offset = 0; offset < value.length;) {
      const id = readIntegerDatum(value, offset)
      const start = datumEnd(value, offset)
      const at = atOf.get(id)
      const format = at === undefined ? undefined : layout.formats[at]
      if (at !== undefined && format !== undefined)
        row[layout.positions[at] ?? 0] = datumOf(layout, at, format, value, start)
      offset = datumEnd(value, start)
    }
    return row
  }
}

function datumOf(layout: Layout, at: number, format: CellFormat, value: Uint8Array, start: number): Value {
  try {
    return readDatum(format, value, start)
  } catch (cause) {
    throw columnFault(layout, at, cause)
  }
}

/** Fills in what the key holds and the value lacked; columns of a primary key are never NULL in a value. */
function compileHandle(
  info: TableInfo,
  columns: readonly ColumnInfo[],
  zone: TimeZone,
): (row: Value[], key: Uint8Array) => void {
  const parts = handleColumns(info).map(({ column, whole }): HandlePart => ({
    position: whole ? columns.indexOf(column) : -1,
    format: createCellFormat(column.type, zone),
    name: column.name.original,
  }))
  const [first] = parts
  if (first === undefined || parts.every(({ position }) => position < 0)) return () => {}
  if (info.pkIsHandle)
    return (row, key) => {
      if (row[first.position] === null) row[first.position] = readIntHandle(first.format, key, offsetOf(key))
    }
  return (row, key) => {
    let offset = offsetOf(key)
    for (const { position, format, name } of parts) {
      try {
        if (position >= 0 && row[position] === null) row[position] = readDatum(format, key, offset)
        offset = datumEnd(key, offset)
      } catch (cause) {
        throw new RangeError(`column ${name} in the key`, { cause })
      }
    }
  }
}

function offsetOf(key: Uint8Array): number {
  const offset = handleOffset(key)
  if (offset < 0) throw new RangeError(`not a record key: ${hexOf(key)}`)
  return offset
}

const u16 = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)

const u32 = (bytes: Uint8Array, at: number): number =>
  (u16(bytes, at) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0
