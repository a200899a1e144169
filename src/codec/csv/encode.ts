import { CdcError } from '../../base/errors.ts'
import { doubleText, floatText, generalText, plainDecimal } from '../../base/float-text.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import type { Messages } from '../../event/encoded.ts'
import type { RowChange, Value, Values } from '../../event/row-change.ts'
import type { Column, TableVersion } from '../../event/table-version.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import { zeroTs } from '../../tidb/ts.ts'
import { JsonWriter } from '../json-text.ts'
import type { Protocol, RowEncoder } from '../protocol.ts'
import { valueKind, type ValueKind } from '../value.ts'
import { createFieldWriter, type FieldWriter } from './field.ts'
import { handleText } from './handle-text.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/**
 * Lines of a storage file (reference: protocols-json, section E). A message is one line, or the two of an update with its
 * old value; the terminator behind it is the sink's.
 */
export function createCsv(settings: CodecSettings): Protocol {
  const out = new JsonWriter('short')
  return {
    compile: (table) => compileTable(table, settings, out),
    ddl: () => undefined,
    watermark: () => undefined,
    ddlPartitions: 'all',
    fileHead: (table) => (settings.csv.outputFieldHeader ? fieldHeader(table, settings) : undefined),
  }
}

/** The titles of a file's columns, with the terminator. */
function fieldHeader(table: TableVersion, { csv, terminator }: CodecSettings): Uint8Array {
  const meta = ['operation', 'table', 'schema']
  if (csv.includeCommitTs) meta.push('commit-ts')
  if (csv.outputOldValue) meta.push('is-update')
  const titles = [...meta.map((name) => `ticdc-meta$${name}`), ...table.columns.map(({ name }) => name)]
  return bytesOf(titles.join(csv.delimiter) + terminator)
}

/** A column with how its values are written. */
interface CsvColumn {
  readonly position: number
  readonly kind: ValueKind | 'enum' | 'set'
  readonly name: string
  /** Of ENUM and SET. */
  readonly elements: readonly string[]
}

function compileTable(table: TableVersion, settings: CodecSettings, out: JsonWriter): RowEncoder {
  const { csv } = settings
  const field = createFieldWriter(csv, out)
  const delimiter = bytesOf(csv.delimiter)
  const terminator = bytesOf(settings.terminator)
  const nullText = bytesOf(csv.null)
  const columns = table.columns.map(csvColumn)
  const [insert, update, remove] = ['I', 'U', 'D'].map((operation) => {
    for (const [i, text] of [operation, table.table, table.schema].entries()) {
      if (i > 0) out.raw(delimiter)
      field.text(text)
    }
    return out.take()
  })
  let lastTs = zeroTs
  let tsText = ''

  return {
    encode(row: RowChange, partition: number, messages: Messages): void {
      const { before, after } = row
      if (after === undefined) {
        if (before === undefined) return
        writeLine(remove, row, before, 'false')
      } else if (before === undefined) writeLine(insert, row, after, 'false')
      else if (csv.outputOldValue) {
        writeLine(remove, row, before, 'true')
        out.raw(terminator)
        writeLine(insert, row, after, 'true')
      } else writeLine(update, row, after, 'true')
      messages.push({ partition, key: null, value: out.take(), rows: 1 })
    },
    flush() {},
  }

  function writeLine(head: Uint8Array | undefined, row: RowChange, values: Values, isUpdate: string): void {
    if (head !== undefined) out.raw(head)
    if (csv.includeCommitTs) {
      if (row.commitTs !== lastTs) {
        lastTs = row.commitTs
        tsText = String(lastTs)
      }
      out.raw(delimiter)
      out.ascii(tsText)
    }
    if (csv.outputOldValue) {
      out.raw(delimiter)
      out.ascii(isUpdate)
    }
    if (csv.outputHandleKey) {
      out.raw(delimiter)
      field.text(handleText(table, row, values))
    }
    for (const column of columns) {
      out.raw(delimiter)
      const value = values[column.position] ?? null
      if (value === null) out.raw(nullText)
      else writeValue(out, field, column, value, table)
    }
  }
}

function csvColumn(column: Column, position: number): CsvColumn {
  const { tp, elems } = column.info.type
  const kind = tp === MysqlType.Enum ? 'enum' : tp === MysqlType.Set ? 'set' : valueKind(column)
  return { position, kind, name: column.name, elements: elems }
}

function writeValue(
  out: JsonWriter,
  field: FieldWriter,
  column: CsvColumn,
  value: Exclude<Value, null>,
  table: TableVersion,
): void {
  if (typeof value === 'number' || typeof value === 'bigint') {
    switch (column.kind) {
      case 'float':
        out.ascii(generalText(Number(value), floatText(Number(value))))
        return
      case 'double':
        out.ascii(generalText(Number(value), doubleText(Number(value))))
        return
      case 'enum':
        field.text(enumName(column, value, table))
        return
      case 'set':
        field.text(setNames(column.elements, value))
        return
      default:
        out.integer(value)
    }
  } else if (typeof value === 'string') field.text(value)
  else if (value instanceof Float32Array) field.text(vectorText(value))
  else if (column.kind === 'binary') field.binary(value)
  else field.bytes(value)
}

function enumName(column: CsvColumn, value: number | bigint, table: TableVersion): string {
  const name = column.elements[Number(value) - 1]
  if (name !== undefined) return name
  const place = `${table.schema}.${table.table}.${column.name}`
  throw new CdcError('CDC:ErrCSVEncodeFailed', `csv encode failed: ${place} has no element ${value}`)
}

function setNames(elements: readonly string[], mask: number | bigint): string {
  const bits = BigInt(mask)
  return elements.filter((_, i) => (bits & (1n << BigInt(i))) !== 0n).join(',')
}

const vectorText = (vector: Float32Array): string =>
  `[${Array.from(vector, (x) => plainDecimal(floatText(x))).join(',')}]`
