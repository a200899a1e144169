import { type CellFormat, createCellFormat, Kind, readCell } from './cell.ts'
import { datumEnd, datumInteger, Flag, readIntegerDatum, uvarintEnd } from './datum.ts'
import { absentValue } from './default-value.ts'
import { u32le } from './integer-text.ts'
import { decodeBytes, handleOffsetIn, hexOf } from './key.ts'
import { handleColumns, ROW_V2 } from './row-decoder.ts'
import { type ColumnInfo, type TableInfo } from './table-info.ts'
import type { TimeZone } from './time-zone.ts'
import { sameValue, type Value } from './value.ts'

/** The cell is NULL. */
export const NULL_CELL = -1
/** The row is older than the column: its value is {@link CellTable.absent}. */
export const ABSENT_CELL = -2
/** From here down: `SIDE_CELL - offset` in {@link StoredCells.side}. */
const SIDE_CELL = -3

/** What is known of the cells of all rows, by position. */
export interface CellTable {
  readonly formats: readonly CellFormat[]
  /** Of rows that are older than the column. */
  readonly absent: readonly Value[]
}

const NO_BYTES = Buffer.alloc(0)
const NO_VIEW = new DataView(NO_BYTES.buffer, 0, 0)

/**
 * One image of a row, located, not decoded: where the cell of each column lies, always in the form of row v2. One object serves
 * row after row. Read a cell's place by {@link StoredCells.start}: NULL_CELL, ABSENT_CELL, or else `from` to `end` of `bytesOf`.
 */
export class StoredCells {
  readonly table: CellTable
  /** False = the row has no such image. */
  present = false
  /** Bytes of the image, and of what it holds beside the row. */
  length = 0
  /** What the row lies in, and a view of it. */
  bytes: Buffer = NO_BYTES
  view: DataView = NO_VIEW
  readonly start: Int32Array
  /** Valid where `start` is neither NULL_CELL nor ABSENT_CELL. */
  readonly end: Int32Array
  /** Cells that the row holds in another form: integers of its key, texts of its key, integers of row v1. */
  side: Buffer = Buffer.alloc(64)
  sideView: DataView = viewOf(this.side)
  sideUsed = 0

  constructor(table: CellTable) {
    this.table = table
    this.start = new Int32Array(table.formats.length)
    this.end = new Int32Array(table.formats.length)
  }

  release(): void {
    this.bytes = NO_BYTES
    this.view = NO_VIEW
  }

  /** The bytes that the cell at `start` lies in. */
  bytesOf(start: number): Buffer {
    return start >= 0 ? this.bytes : this.side
  }

  viewOf(start: number): DataView {
    return start >= 0 ? this.view : this.sideView
  }

  /** Room for `length` bytes of a cell beside the row; its offset. */
  reserveSide(length: number): number {
    const at = this.sideUsed
    this.sideUsed += length
    if (this.sideUsed > this.side.length) {
      const larger = Buffer.alloc(this.sideUsed * 2)
      larger.set(this.side)
      this.side = larger
      this.sideView = viewOf(larger)
    }
    return at
  }

  /** The value at a position, as the mounter decodes it. Byte strings are views. RangeError where it is broken. */
  value(position: number): Value {
    const start = this.start[position] ?? NULL_CELL
    const format = this.table.formats[position]
    if (start === NULL_CELL || format === undefined) return null
    if (start === ABSENT_CELL) return this.table.absent[position] ?? null
    return readCell(format, this.bytesOf(start), fromOf(start), this.end[position] ?? 0)
  }
}

/** Where a cell begins in {@link StoredCells.bytesOf}. */
export const fromOf = (start: number): number => (start >= 0 ? start : SIDE_CELL - start)

const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/**
 * Whether two images have the same value at a position. Bytes decide where they can; values do where one of them is stored in
 * another form (row v1, a key, an older type).
 */
export function sameCell(a: StoredCells, b: StoredCells, position: number): boolean {
  const [startA, startB] = [a.start[position] ?? NULL_CELL, b.start[position] ?? NULL_CELL]
  if (startA === startB && (startA === NULL_CELL || startA === ABSENT_CELL)) return true
  if (startA === NULL_CELL || startB === NULL_CELL) return false
  if (startA === ABSENT_CELL || startB === ABSENT_CELL) return sameValue(a.value(position), b.value(position))
  const [fromA, fromB] = [fromOf(startA), fromOf(startB)]
  const length = (a.end[position] ?? 0) - fromA
  const sameLength = length === (b.end[position] ?? 0) - fromB
  if (sameLength && sameBytes(a.bytesOf(startA), fromA, b.bytesOf(startB), fromB, length)) return true
  const kind = a.table.formats[position]?.kind
  if (kind === Kind.Bytes || (sameLength && (kind === Kind.Int || kind === Kind.Uint))) return false
  return sameValue(a.value(position), b.value(position))
}

function sameBytes(a: Buffer, fromA: number, b: Buffer, fromB: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[fromA + i] !== b[fromB + i]) return false
  return true
}

/** Finds the cells of one image: the row `bytes[at, end)` whose key is `bytes[keyAt, keyEnd)`. RangeError where it is broken. */
export interface CellLocator {
  readonly table: CellTable
  locate(cells: StoredCells, at: number, end: number, keyAt: number, keyEnd: number): void
}

/** What the loops below use, ascending by column id. */
interface Layout {
  readonly ids: Int32Array
  readonly positions: Int32Array
  /** `start` of a cell that the row does not hold. */
  readonly missing: Int32Array
  readonly formats: readonly CellFormat[]
}

/**
 * Compiles what locates the cells of a table's rows, v1 and v2, in the order of `columns`; the counterpart of
 * `compileRowDecoder`, whose rules it follows: a column comes from the value; where that lacks it, from the key; else it is
 * absent.
 */
export function compileCellLocator(info: TableInfo, columns: readonly ColumnInfo[], zone: TimeZone): CellLocator {
  const inKey = new Set(handleColumns(info).map(({ column }) => column))
  const formats = columns.map(({ type }) => createCellFormat(type, zone))
  const absent = columns.map((column) => (inKey.has(column) ? null : absentValue(column, zone)))
  const order = [...columns.keys()].toSorted((a, b) => (columns[a]?.id ?? 0) - (columns[b]?.id ?? 0))
  const layout: Layout = {
    ids: Int32Array.from(order, (position) => columns[position]?.id ?? 0),
    positions: Int32Array.from(order),
    missing: Int32Array.from(order, (position) => (absent[position] === null ? NULL_CELL : ABSENT_CELL)),
    formats,
  }
  const fillFromKey = compileKey(info, columns, formats)
  return {
    table: { formats, absent },
    locate(cells, at, end, keyAt, keyEnd) {
      cells.sideUsed = 0
      if (cells.bytes[at] === ROW_V2) locateV2(layout, cells, at, end)
      else locateV1(layout, cells, at, end)
      fillFromKey(cells, keyAt, keyEnd)
      cells.length = end - at + cells.sideUsed
    },
  }
}

const LARGE = 1

function locateV2({ ids, positions, missing }: Layout, cells: StoredCells, at: number, end: number): void {
  const { bytes, start: starts, end: ends } = cells
  const large = ((bytes[at + 1] ?? 0) & LARGE) !== 0
  const idBytes = large ? 4 : 1
  const offsetBytes = large ? 4 : 2
  const stored = u16(bytes, at + 2)
  const nulls = u16(bytes, at + 4)
  const nullIds = at + 6 + stored * idBytes
  const offsets = nullIds + nulls * idBytes
  const data = offsets + stored * offsetBytes
  if (data > end) throw new RangeError(`row of ${end - at} bytes ends in its header`)

  let i = 0
  let storedId = stored > 0 ? idAt(bytes, at + 6, large) : -1
  let j = 0
  let nullId = nulls > 0 ? idAt(bytes, nullIds, large) : -1
  for (let k = 0; k < ids.length; k++) {
    const id = ids[k] ?? 0
    const position = positions[k] ?? 0
    while (storedId < id && i < stored && ++i < stored) storedId = idAt(bytes, at + 6 + i * idBytes, large)
    if (storedId === id) {
      const from = i === 0 ? data : data + offsetAt(bytes, offsets + (i - 1) * offsetBytes, large)
      const to = data + offsetAt(bytes, offsets + i * offsetBytes, large)
      if (to < from || to > end) throw new RangeError(`cell at ${from - at} to ${to - at}`)
      starts[position] = from
      ends[position] = to
      continue
    }
    while (nullId < id && j < nulls && ++j < nulls) nullId = idAt(bytes, nullIds + j * idBytes, large)
    starts[position] = nullId === id ? NULL_CELL : (missing[k] ?? NULL_CELL)
  }
}

const idAt = (bytes: Buffer, at: number, large: boolean): number => (large ? u32le(bytes, at) : (bytes[at] ?? 0))

const offsetAt = (bytes: Buffer, at: number, large: boolean): number => (large ? u32le(bytes, at) : u16(bytes, at))

const u16 = (bytes: Buffer, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)

/** Rows that were written before TiDB 4: few, so a search per column does. */
function locateV1({ ids, positions, missing, formats }: Layout, cells: StoredCells, at: number, end: number): void {
  for (let k = 0; k < ids.length; k++) cells.start[positions[k] ?? 0] = missing[k] ?? NULL_CELL
  if (end - at <= 1) return
  for (let offset = at; offset < end;) {
    const { bytes } = cells
    const id = readIntegerDatum(bytes, offset)
    const start = datumEnd(bytes, offset)
    const position = positions[ids.indexOf(id)]
    const format = position === undefined ? undefined : formats[position]
    if (position !== undefined && format !== undefined) placeDatum(cells, position, format, start)
    offset = datumEnd(bytes, start)
    if (offset > end) throw new RangeError(`datum ends early at offset ${end - at}`)
  }
}

/** Places the datum at `offset` of the row's bytes: where it lies if that is the form of row v2, else beside the row. */
function placeDatum(cells: StoredCells, position: number, { kind }: CellFormat, offset: number): void {
  const { bytes, start: starts, end: ends } = cells
  const flag = bytes[offset]
  const at = offset + 1
  switch (flag) {
    case Flag.Nil:
      starts[position] = NULL_CELL
      return
    case Flag.Bytes: {
      expectKind(kind, Kind.Bytes)
      const { raw } = decodeBytes(bytes, at)
      const to = cells.reserveSide(raw.length)
      cells.side.set(raw, to)
      placeBeside(cells, position, to)
      return
    }
    case Flag.Int:
    case Flag.Uint:
    case Flag.Duration:
    case Flag.Varint:
    case Flag.Uvarint: {
      if (!isInteger(kind)) expectKind(kind, Kind.Int)
      const to = cells.reserveSide(8)
      cells.sideView.setBigUint64(to, BigInt.asUintN(64, datumInteger(bytes, offset)), true)
      placeBeside(cells, position, to)
      return
    }
    case Flag.CompactBytes:
      expectKind(kind, Kind.Bytes)
      starts[position] = uvarintEnd(bytes, at)
      break
    case Flag.Float:
      if (kind !== Kind.Float) expectKind(kind, Kind.Double)
      starts[position] = at
      break
    default:
      expectKind(kind, flag === Flag.Decimal ? Kind.Decimal : flag === Flag.Json ? Kind.Json : Kind.Vector)
      starts[position] = at
  }
  ends[position] = datumEnd(bytes, offset)
}

/** The cell is the last that room was reserved for, from `at` on. */
function placeBeside(cells: StoredCells, position: number, at: number): void {
  cells.start[position] = SIDE_CELL - at
  cells.end[position] = cells.sideUsed
}

const isInteger = (kind: Kind): boolean => kind <= Kind.Year || (kind >= Kind.Date && kind <= Kind.Bit)

function expectKind(kind: Kind, expected: Kind): void {
  if (kind !== expected) throw new RangeError('the stored datum is not of the type of its column')
}

/** Places what the key holds and the value lacked; columns of a primary key are never NULL in a value. */
function compileKey(
  info: TableInfo,
  columns: readonly ColumnInfo[],
  formats: readonly CellFormat[],
): (cells: StoredCells, keyAt: number, keyEnd: number) => void {
  const parts = handleColumns(info).map(({ column, whole }) => (whole ? columns.indexOf(column) : -1))
  const [first] = parts
  if (first === undefined || parts.every((position) => position < 0)) return () => {}
  if (info.pkIsHandle)
    return (cells, keyAt, keyEnd) => {
      if (cells.start[first] !== NULL_CELL) return
      const from = offsetOf(cells, keyAt, keyEnd)
      const to = cells.reserveSide(8)
      const { bytes, side } = cells
      for (let i = 1; i < 8; i++) side[to + 7 - i] = bytes[from + i] ?? 0
      side[to + 7] = (bytes[from] ?? 0) ^ 0x80
      placeBeside(cells, first, to)
    }
  return (cells, keyAt, keyEnd) => {
    let offset = offsetOf(cells, keyAt, keyEnd)
    for (const position of parts) {
      const format = formats[position]
      if (format !== undefined && cells.start[position] === NULL_CELL) placeDatum(cells, position, format, offset)
      offset = datumEnd(cells.bytes, offset)
      if (offset > keyEnd) throw new RangeError('the key ends early')
    }
  }
}

function offsetOf({ bytes }: StoredCells, keyAt: number, keyEnd: number): number {
  const offset = handleOffsetIn(bytes, keyAt, keyEnd)
  if (offset < 0) throw new RangeError(`not a record key: ${hexOf(bytes.subarray(keyAt, keyEnd))}`)
  return offset
}
