import type { RowChange, Value, Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import { type Ts, zeroTs } from '../../tidb/ts.ts'
import { jsonString, JsonWriter } from '../json-text.ts'
import { valueKind, type ValueKind } from '../value.ts'
import { simpleDdlType } from './ddl-type.ts'
import { type FormatContext, type SimpleFormat, VERSION } from './format.ts'
import { type SchemaColumn, tableSchema, type TableSchema } from './table-schema.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const quoted = (text: string): string => jsonString(text, 'short')

const QUOTE = 0x22
const COMMA = 0x2c
const BRACE = 0x7d
const NULL = bytesOf('null')
const DATA = bytesOf(',"data":{')
const OLD = bytesOf(',"old":{')

/** One JSON document per event (reference: protocols-avro-simple-debezium, B.2). */
export function createJsonFormat({ location, now }: FormatContext): SimpleFormat {
  const out = new JsonWriter('short')
  const zone = bytesOf(`{"location":${quoted(location)},"value":"`)
  let lastTs = zeroTs
  let times = ''
  const timesOf = (commitTs: Ts): string => {
    if (commitTs !== lastTs) {
      lastTs = commitTs
      times = `,"commitTs":${commitTs},"buildTs":${now()}`
    }
    return times
  }

  return {
    compile(table) {
      const whole = jsonColumns(table, table.columns.keys().toArray())
      const handleKey = jsonColumns(table, table.handleKey)
      const place = `"database":${quoted(table.schema)},"table":${quoted(table.table)},"tableID":${table.physicalId}`
      const head = (type: string): Uint8Array => bytesOf(`{"version":${VERSION},${place},"type":"${type}"`)
      const [insert, update, remove] = [head('INSERT'), head('UPDATE'), head('DELETE')]
      const version = bytesOf(table.info.updateTs === 0n ? '' : `,"schemaVersion":${table.info.updateTs}`)
      return (row, stub) => {
        const { before, after } = row
        out.raw(after === undefined ? remove : before === undefined ? insert : update)
        out.ascii(timesOf(row.commitTs))
        out.raw(version)
        if (stub !== undefined) {
          if (stub.location !== undefined) out.raw(bytesOf(`,"claimCheckLocation":${quoted(stub.location)}`))
          out.ascii(',"handleKeyOnly":true')
        }
        if (row.checksum !== undefined) out.ascii(checksumText(row.checksum))
        const columns = stub === undefined ? whole : handleKey
        if (after !== undefined) writeSide(DATA, columns, after)
        if (before !== undefined) writeSide(OLD, columns, before)
        out.byte(BRACE)
      }
    },
    ddl({ type, query, commitTs, after, before }) {
      const kind = simpleDdlType(type)
      const schema = after ?? (kind === 'ERASE' ? before : undefined)
      out.ascii(`{"version":${VERSION},"type":"${kind}"`)
      if (query !== '') out.raw(bytesOf(`,"sql":${quoted(query)}`))
      out.ascii(`,"commitTs":${commitTs},"buildTs":${now()}`)
      if (schema !== undefined) out.raw(bytesOf(`,"tableSchema":${schemaText(tableSchema(schema))}`))
      if (before !== undefined) out.raw(bytesOf(`,"preTableSchema":${schemaText(tableSchema(before))}`))
      out.byte(BRACE)
    },
    watermark: (ts) => out.ascii(`{"version":${VERSION},"type":"WATERMARK","commitTs":${ts},"buildTs":${now()}}`),
    bootstrap(table) {
      out.ascii(`{"version":${VERSION},"type":"BOOTSTRAP","commitTs":0,"buildTs":${now()},"tableSchema":`)
      out.raw(bytesOf(`${schemaText(tableSchema(table))}}`))
    },
    get length() {
      return out.length
    },
    take: () => out.take(),
    peek: () => out.peek(),
    discard: () => out.discard(),
  }

  function writeSide(name: Uint8Array, columns: readonly JsonColumn[], values: Values): void {
    if (columns.length === 0) return
    out.raw(name)
    let first = true
    for (const column of columns) {
      if (first) first = false
      else out.byte(COMMA)
      out.raw(column.name)
      writeValue(column, values[column.position] ?? null)
    }
    out.byte(BRACE)
  }

  /** A text or null; a TIMESTAMP is an object. */
  function writeValue({ kind, zoned }: JsonColumn, value: Value): void {
    if (value === null) {
      out.raw(NULL)
      return
    }
    if (zoned) out.raw(zone)
    else out.byte(QUOTE)
    if (typeof value === 'number') {
      if (kind === 'double') out.plainDouble(value)
      else if (kind === 'float') out.plainFloat(value)
      else out.integer(value)
    } else if (typeof value === 'string') out.text(value)
    else if (typeof value === 'bigint') out.integer(value)
    else if (value instanceof Float32Array) out.vector(value)
    else if (kind === 'binary') out.base64(value)
    else out.utf8(value)
    out.byte(QUOTE)
    if (zoned) out.byte(BRACE)
  }
}

interface JsonColumn {
  readonly position: number
  /** `"name":` */
  readonly name: Uint8Array
  readonly kind: ValueKind
  readonly zoned: boolean
}

/** In the order of their names' bytes, as Go prints maps. */
function jsonColumns(table: TableVersion, positions: readonly number[]): readonly JsonColumn[] {
  const columns = positions.flatMap((position) => {
    const column = table.columns[position]
    return column === undefined ? [] : [{ position, column, bytes: bytesOf(column.name) }]
  })
  return columns
    .toSorted((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ position, column }) => ({
      position,
      name: bytesOf(`${quoted(column.name)}:`),
      kind: valueKind(column),
      zoned: column.info.type.tp === MysqlType.Timestamp,
    }))
}

const checksumText = ({ version, corrupted, current, previous }: NonNullable<RowChange['checksum']>): string =>
  `,"checksum":{"version":${version},"corrupted":${corrupted},"current":${current},"previous":${previous}}`

function schemaText({ schema, table, tableId, version, columns, indexes }: TableSchema): string {
  const indexTexts = indexes.map(
    ({ name, unique, primary, nullable, columns: names }) =>
      `{"name":${quoted(name)},"unique":${unique},"primary":${primary},"nullable":${nullable},"columns":[${names.map(quoted).join(',')}]}`,
  )
  const place = `"schema":${quoted(schema)},"table":${quoted(table)},"tableID":${tableId},"version":${version}`
  return `{${place},"columns":[${columns.map(columnText).join(',')}],"indexes":[${indexTexts.join(',')}]}`
}

function columnText(column: SchemaColumn): string {
  const { length, decimal, elements, unsigned, zerofill } = column
  const type = [
    `"mysqlType":${quoted(column.mysqlType)}`,
    `"charset":${quoted(column.charset)}`,
    `"collate":${quoted(column.collate)}`,
    ...(length === 0 ? [] : [`"length":${length}`]),
    ...(decimal === 0 ? [] : [`"decimal":${decimal}`]),
    ...(elements.length === 0 ? [] : [`"elements":[${elements.map(quoted).join(',')}]`]),
    ...(unsigned ? ['"unsigned":true'] : []),
    ...(zerofill ? ['"zerofill":true'] : []),
  ]
  const fallback = typeof column.default === 'string' ? quoted(column.default) : String(column.default)
  return `{"name":${quoted(column.name)},"dataType":{${type.join(',')}},"nullable":${column.nullable},"default":${fallback}}`
}
