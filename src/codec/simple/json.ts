import type { RowChange, Value } from '../../event/row-change.ts'
import type { Column, TableVersion } from '../../event/table-version.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import { jsonString, JsonWriter } from '../json-text.ts'
import type { Stub } from '../large-message.ts'
import {
  byName,
  columnAt,
  type JsonColumns,
  jsonColumns,
  Style,
  styleOf,
  writeCells,
  type WriteImage,
  writeValues,
} from '../stored-json.ts'
import { valueKind, type ValueKind } from '../value.ts'
import { simpleDdlType } from './ddl-type.ts'
import { type FormatContext, type SimpleFormat, VERSION } from './format.ts'
import { type SchemaColumn, tableSchema, type TableSchema } from './table-schema.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const quoted = (text: string): string => jsonString(text, 'short')

const BRACE = 0x7d
const COMMIT_TS = bytesOf(',"commitTs":')
const BUILD_TS = bytesOf(',"buildTs":')
const END_ZONED = bytesOf('"}')
const DATA = bytesOf(',"data":{')
const OLD = bytesOf(',"old":{')

/** One JSON document per event (reference: protocols-avro-simple-debezium, B.2). */
export function createJsonFormat({ location, now }: FormatContext): SimpleFormat {
  const out = new JsonWriter('short')
  const zone = bytesOf(`{"location":${quoted(location)},"value":"`)
  let commitHigh = 0
  let commitLow = 0
  let buildTs = 0
  const writeTimes = (high: number, low: number): void => {
    if (high !== commitHigh || low !== commitLow) {
      commitHigh = high
      commitLow = low
      buildTs = now()
    }
    out.raw(COMMIT_TS)
    out.unsigned(high, low)
    out.raw(BUILD_TS)
    out.integer(buildTs)
  }

  return {
    compile(table) {
      const whole = simpleColumns(table, table.columns.keys().toArray(), zone)
      const handleKey = simpleColumns(table, table.handleKey, zone)
      const place = `"database":${quoted(table.schema)},"table":${quoted(table.table)},"tableID":${table.physicalId}`
      const head = (type: string): Uint8Array => bytesOf(`{"version":${VERSION},${place},"type":"${type}"`)
      const [insert, update, remove] = [head('INSERT'), head('UPDATE'), head('DELETE')]
      const version = bytesOf(table.info.updateTs === 0n ? '' : `,"schemaVersion":${table.info.updateTs}`)

      const writeHead = (hasBefore: boolean, hasAfter: boolean, commitHigh: number, commitLow: number): void => {
        out.raw(hasAfter ? (hasBefore ? update : insert) : remove)
        writeTimes(commitHigh, commitLow)
        out.raw(version)
      }
      const writeSides = <Image>(
        write: WriteImage<Image>,
        before: Image | undefined,
        after: Image | undefined,
        stub: Stub | undefined,
      ): void => {
        const columns = stub === undefined ? whole : handleKey
        if (after !== undefined) writeSide(DATA, columns, write, after)
        if (before !== undefined) writeSide(OLD, columns, write, before)
        out.byte(BRACE)
      }
      return {
        write({ commitTs, before, after, checksum }, stub) {
          const [high, low] = [Number(commitTs >> 32n), Number(commitTs & 0xffff_ffffn)]
          writeHead(before !== undefined, after !== undefined, high, low)
          if (stub !== undefined) out.raw(bytesOf(stubText(stub)))
          if (checksum !== undefined) out.ascii(checksumText(checksum))
          writeSides(writeValues, before, after, stub)
        },
        writeStored({ raw, before, after }, stub) {
          writeHead(before.present, after.present, raw.commitHigh, raw.commitLow)
          if (stub !== undefined) out.raw(bytesOf(stubText(stub)))
          writeSides(writeCells, before.present ? before : undefined, after.present ? after : undefined, stub)
        },
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

  function writeSide<Image>(name: Uint8Array, columns: JsonColumns, write: WriteImage<Image>, image: Image): void {
    if (columns.count === 0) return
    out.raw(name)
    write(out, columns, image)
    out.byte(BRACE)
  }
}

/** A text or null; a TIMESTAMP is an object, which begins with `zone`. */
function simpleColumns(table: TableVersion, positions: readonly number[], zone: Uint8Array): JsonColumns {
  const order = byName(table, positions)
  const columns = order.map((position) => columnAt(table, position))
  const kinds = columns.map(valueKind)
  const isZoned = ({ info }: Column): boolean => info.type.tp === MysqlType.Timestamp
  const zoned = columns.map(isZoned)
  return jsonColumns(table, order, {
    head: ({ name }) => `${quoted(name)}:`,
    style: (column) => (isZoned(column) ? Style.Value : styleOf(column, Style.Base64)),
    quoted: (column) => !isZoned(column),
    close: 0,
    writeValue(out, i, value) {
      if (zoned[i] === true) out.raw(zone)
      writeText(out, kinds[i] ?? 'text', value)
      if (zoned[i] === true) out.raw(END_ZONED)
    },
  })
}

function writeText(out: JsonWriter, kind: ValueKind, value: Exclude<Value, null>): void {
  if (typeof value === 'number') {
    if (kind === 'double') out.plainDouble(value)
    else if (kind === 'float') out.plainFloat(value)
    else out.integer(value)
  } else if (typeof value === 'string') out.text(value)
  else if (typeof value === 'bigint') out.integer(value)
  else if (value instanceof Float32Array) out.vector(value)
  else if (kind === 'binary') out.base64(value)
  else out.utf8(value)
}

const stubText = ({ location }: Stub): string =>
  `${location === undefined ? '' : `,"claimCheckLocation":${quoted(location)}`},"handleKeyOnly":true`

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
