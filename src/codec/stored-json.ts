import type { Values } from '../event/row-change.ts'
import type { Column, TableVersion } from '../event/table-version.ts'
import { printCell, printSignedCell } from '../tidb/cell-text.ts'
import { Kind, kindOf } from '../tidb/cell.ts'
import { JsonPrinter } from '../tidb/json-binary.ts'
import { ABSENT_CELL, fromOf, NULL_CELL, sameCell, type StoredCells } from '../tidb/stored-cells.ts'
import { sameValue, type Value } from '../tidb/value.ts'
import { copyPlain } from './copy-plain.ts'
import type { JsonWriter } from './json-text.ts'
import { valueKind } from './value.ts'

/**
 * How a stored cell becomes text. The first three are printed into the slab without a call of the writer; `Value` is decoded
 * and left to the protocol.
 */
export const Style = {
  /** A signed integer. */
  Int: 0,
  /** UTF-8. */
  Text: 1,
  /** What `printCell` prints. */
  Plain: 2,
  /** Each byte as the character of that code. */
  Latin1: 3,
  Base64: 4,
  Json: 5,
  Value: 6,
} as const
export type Style = (typeof Style)[keyof typeof Style]

/** The style of a column that all protocols agree on; `bytes`: of byte strings that are not text. */
export function styleOf(column: Column, bytes: Style): Style {
  switch (kindOf(column.info.type)) {
    case Kind.Int:
    case Kind.Year:
      return Style.Int
    case Kind.Bytes:
      return valueKind(column) === 'binary' ? bytes : Style.Text
    case Kind.Json:
      return Style.Json
    case Kind.Float:
    case Kind.Double:
    case Kind.Vector:
    case Kind.None:
      return Style.Value
    default:
      return Style.Plain
  }
}

/** The columns that a document shows. */
export interface JsonColumns {
  readonly count: number
  /** In the row's values or cells. */
  readonly positions: Int32Array
  /** {@link Style}, by column. */
  readonly styles: Uint8Array
  /** 1 = the value stands in quotes, unless it is NULL. */
  readonly quotes: Uint8Array
  /**
   * `text[ends[i], ends[i + 1])` comes before the value of column i: a comma, which the first one leaves out, its name, and its
   * quote. Eight bytes follow, so that it can be read in groups.
   */
  readonly text: Uint8Array
  /** Of `text`. */
  readonly view: DataView
  readonly ends: Int32Array
  /** What comes after each value; 0 = nothing. */
  readonly close: number
  /** Bytes that a document needs beside its byte strings, JSON and vectors. */
  readonly room: number
  /** A decoded value, without quotes. */
  readonly writeValue: (out: JsonWriter, i: number, value: Exclude<Value, null>) => void
}

export interface JsonColumnsParts {
  /** What comes before a column's value, without quote. */
  readonly head: (column: Column) => string
  readonly style: (column: Column) => Style
  readonly quoted: (column: Column) => boolean
  readonly close: number
  /** Of column `i`, without quotes. */
  readonly writeValue: (out: JsonWriter, i: number, value: Exclude<Value, null>) => void
}

const QUOTE = 0x22
/** Bytes that are copied at once. */
const GROUP = 8
const NULL = new TextEncoder().encode('null')
/** Longest text of a number, a time, an enum or a set; a decimal. */
const PLAIN_ROOM = 32
const DECIMAL_ROOM = 96

export function jsonColumns(
  table: TableVersion,
  positions: readonly number[],
  { head, style, quoted, close, writeValue }: JsonColumnsParts,
): JsonColumns {
  const columns = positions.map((position) => columnAt(table, position))
  const heads = columns.map((column) => Buffer.from(`,${head(column)}${quoted(column) ? '"' : ''}`))
  const ends = new Int32Array(positions.length + 1)
  for (const [i, { length }] of heads.entries()) ends[i + 1] = (ends[i] ?? 0) + length
  const text = new Uint8Array(Buffer.concat([...heads, new Uint8Array(GROUP)]))
  const rooms = columns.map(({ info }) => (kindOf(info.type) === Kind.Decimal ? DECIMAL_ROOM : PLAIN_ROOM))
  return {
    count: positions.length,
    positions: Int32Array.from(positions),
    styles: Uint8Array.from(columns, style),
    quotes: Uint8Array.from(columns, (column) => (quoted(column) ? 1 : 0)),
    text,
    view: new DataView(text.buffer),
    ends,
    close,
    room: rooms.reduce((sum, room) => sum + room, text.length + 2 * columns.length),
    writeValue,
  }
}

/** RangeError where the table has no such column. */
export function columnAt(table: TableVersion, position: number): Column {
  const column = table.columns[position]
  if (column === undefined) throw new RangeError(`no column ${position} in ${table.schema}.${table.table}`)
  return column
}

/** Positions in the order of their columns' names, byte by byte, as Go prints maps. */
export const byName = (table: TableVersion, positions: readonly number[]): readonly number[] =>
  positions
    .map((position) => ({ position, name: Buffer.from(columnAt(table, position).name) }))
    .toSorted((a, b) => Buffer.compare(a.name, b.name))
    .map(({ position }) => position)

/** Writes an image in one of its forms: {@link writeValues}, {@link writeCells}. */
export type WriteImage<Image> = (out: JsonWriter, columns: JsonColumns, image: Image, other?: Image) => void

/** Of decoded rows. `other`: only values that differ from that image's are written. */
export function writeValues(out: JsonWriter, columns: JsonColumns, values: Values, other?: Values): void {
  const { count, positions, text, ends, quotes, close } = columns
  let skip = 1
  for (let i = 0; i < count; i++) {
    const position = positions[i] ?? 0
    const value = values[position] ?? null
    if (other !== undefined && sameValue(value, other[position] ?? null)) continue
    out.piece(text, (ends[i] ?? 0) + skip, (ends[i + 1] ?? 0) - (value === null ? (quotes[i] ?? 0) : 0))
    skip = 0
    if (value === null) out.raw(NULL)
    else {
      columns.writeValue(out, i, value)
      if (quotes[i] === 1) out.byte(QUOTE)
    }
    if (close !== 0) out.byte(close)
  }
}

/** Of rows as they are stored. `other`: only cells that differ from that image's are written. */
export function writeCells(out: JsonWriter, columns: JsonColumns, cells: StoredCells, other?: StoredCells): void {
  const { count, positions, styles, quotes, view: text, ends, close } = columns
  const { start: starts, end: cellEnds, bytes, view: bytesView } = cells
  const { formats } = cells.table
  // What is not escaped is no longer than its cell; what is, makes room of its own.
  const room = columns.room + cells.length
  out.reserve(room)
  let { slab, view, at } = out
  let skip = 1
  for (let i = 0; i < count; i++) {
    const position = positions[i] ?? 0
    if (other !== undefined && sameCell(cells, other, position)) continue
    const name = (ends[i] ?? 0) + skip
    const length = (ends[i + 1] ?? 0) - name
    for (let k = 0; k < length; k += GROUP) {
      view.setInt32(at + k, text.getInt32(name + k))
      view.setInt32(at + k + 4, text.getInt32(name + k + 4))
    }
    at += length
    skip = 0
    const start = starts[position] ?? NULL_CELL
    if (start === NULL_CELL) {
      at -= quotes[i] ?? 0
      slab[at] = 0x6e
      slab[at + 1] = 0x75
      slab[at + 2] = 0x6c
      slab[at + 3] = 0x6c
      at += 4
      if (close !== 0) slab[at++] = close
      continue
    }
    const style = styles[i] ?? Style.Value
    const from = start === ABSENT_CELL ? 0 : fromOf(start)
    const end = cellEnds[position] ?? 0
    const format = formats[position]
    /** Where that begins which the writer's own methods write; -1 = all is written. */
    let rest = -1
    if (start === ABSENT_CELL || style > Style.Plain || format === undefined) rest = from
    else if (style === Style.Text) {
      const copied = copyPlain(start >= 0 ? bytesView : cells.sideView, from, end, view, at)
      at += copied
      if (from + copied < end) rest = from + copied
    } else if (style === Style.Int) at = printSignedCell(start >= 0 ? bytes : cells.side, from, end, slab, at)
    else at = printCell(format, start >= 0 ? bytes : cells.side, from, end, slab, at)
    if (rest >= 0) {
      out.at = at
      writeRest(out, columns, i, cells, rest)
      out.reserve(room)
      ;({ slab, view, at } = out)
    }
    if (quotes[i] === 1) slab[at++] = QUOTE
    if (close !== 0) slab[at++] = close
  }
  out.at = at
}

const printer = new JsonPrinter()

/** What needs more than a printer: the cell of column `i` from `from` on. */
function writeRest(out: JsonWriter, columns: JsonColumns, i: number, cells: StoredCells, from: number): void {
  const position = columns.positions[i] ?? 0
  const start = cells.start[position] ?? NULL_CELL
  const style = start === ABSENT_CELL ? Style.Value : columns.styles[i]
  const bytes = cells.bytesOf(start)
  const end = cells.end[position] ?? 0
  switch (style) {
    case Style.Text:
      out.utf8Rest(bytes, from, end)
      return
    case Style.Latin1:
      out.latin1(bytes, from, end)
      return
    case Style.Base64:
      out.base64(bytes, from, end)
      return
    case Style.Json:
      printer.print(bytes, from, end)
      out.utf8Rest(printer.bytes, 0, printer.length)
      return
    default: {
      const value = cells.value(position)
      if (value !== null) columns.writeValue(out, i, value)
    }
  }
}
