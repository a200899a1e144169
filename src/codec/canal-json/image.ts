import type { Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import type { StoredCells } from '../../tidb/stored-cells.ts'
import type { Value } from '../../tidb/value.ts'
import type { JsonWriter } from '../json-text.ts'
import {
  type JsonColumns,
  jsonColumns,
  Style,
  styleOf,
  writeCells,
  type WriteImage,
  writeValues,
} from '../stored-json.ts'
import { valueKind } from '../value.ts'
import { codeOfCell, codeOfValue, type UnsignedSqlType } from './sql-type.ts'

/** How one image of a row is written, the row before or after its change, in the form in which it is at hand. */
export interface ImageWriter<Image> {
  readonly write: WriteImage<Image>
  codeOf(type: UnsignedSqlType, image: Image, position: number): string
}

/** Decoded. */
export const valueImages: ImageWriter<Values> = {
  write: writeValues,
  codeOf: (type, values, position) => codeOfValue(type, values[position] ?? null),
}

/** As stored. */
export const cellImages: ImageWriter<StoredCells> = { write: writeCells, codeOf: codeOfCell }

/** Every value is a string or null. `quoted`: a name with its quotes. */
export function canalColumns(
  table: TableVersion,
  positions: readonly number[],
  quoted: (name: string) => string,
): JsonColumns {
  const kinds = positions.map((position) => {
    const column = table.columns[position]
    return column === undefined ? undefined : valueKind(column)
  })
  return jsonColumns(table, positions, {
    head: ({ name }) => `${quoted(name)}:`,
    style: (column) => styleOf(column, Style.Latin1),
    quoted: () => true,
    close: 0,
    writeValue: (out, i, value) => writeText(out, value, kinds[i] === 'float', kinds[i] === 'binary'),
  })
}

function writeText(out: JsonWriter, value: Exclude<Value, null>, single: boolean, binary: boolean): void {
  if (typeof value === 'number') {
    if (single) out.plainFloat(value)
    else out.plainDouble(value)
  } else if (typeof value === 'string') out.text(value)
  else if (typeof value === 'bigint') out.integer(value)
  else if (value instanceof Float32Array) out.vector(value)
  else if (binary) out.latin1(value)
  else out.utf8(value)
}
