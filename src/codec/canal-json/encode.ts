import { randomUUID } from 'node:crypto'
import type { CdcError } from '../../base/errors.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import type { DdlEvent } from '../../event/ddl-event.ts'
import type { EncodedMessage, Messages } from '../../event/encoded.ts'
import type { RowChange, Value, Values } from '../../event/row-change.ts'
import { ColumnFlag, type Column, type TableVersion } from '../../event/table-version.ts'
import { physicalMs, zeroTs, type Ts } from '../../tidb/ts.ts'
import { jsonString, JsonWriter } from '../json-text.ts'
import { createLargeMessages, type LargeMessages } from '../large-message.ts'
import { mysqlTypeName, mysqlTypeText } from '../mysql-type.ts'
import type { ControlMessage, Protocol, RowEncoder } from '../protocol.ts'
import { MAX_RECORD_OVERHEAD, messageTooLarge } from '../size.ts'
import { sameValue, valueKind, type ValueKind } from '../value.ts'
import { ddlTypeName } from './ddl-type.ts'
import { sqlTypeOf, type SqlType } from './sql-type.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

const QUOTE = 0x22
const COMMA = 0x2c
const NULL = bytesOf('null')
const OLD_NULL = bytesOf('"old":null,"data":[{')
const OLD = bytesOf('"old":[{')
const DATA = bytesOf('}],"data":[{')
const END_DATA = bytesOf('}]')

/**
 * One JSON document per row, without a key; of Alibaba Canal's FlatMessage shape (reference: protocols-json, section B).
 * The terminator of a storage file is the sink's.
 * `now`: build time in ms since 1970, which every message carries.
 */
export function createCanalJson(
  settings: CodecSettings,
  now: () => number,
  newId: () => string = randomUUID,
): Protocol {
  const out = new JsonWriter('hex')
  const transaction = createTransactionText(settings.enableTidbExtension, now)
  const large = createLargeMessages(settings, newId)
  const compressed = ({ key, value }: ControlMessage): ControlMessage => ({
    key,
    value: large.compress === undefined ? value : large.compress(value),
  })
  return {
    compile: (table) => compileTable(table, { settings, out, transaction, large }),
    ddl: (event) => compressed(ddlMessage(event, settings, out, now)),
    watermark: (ts) => (settings.enableTidbExtension ? compressed(watermarkMessage(ts, out, now)) : undefined),
    ddlPartitions: 'first',
  }
}

/** What all tables of a changefeed share. */
interface Shared {
  readonly settings: CodecSettings
  readonly out: JsonWriter
  readonly transaction: TransactionText
  readonly large: LargeMessages
}

/** What messages of one transaction have in common, rendered when the commitTs changes. */
interface TransactionText {
  update(commitTs: Ts): void
  /** From the value of `es` to the comma after `sql`. */
  readonly times: string
  /** From the end of `data` to the end of the document. */
  readonly tail: string
}

function createTransactionText(extension: boolean, now: () => number): TransactionText {
  let last = zeroTs
  let times = ''
  let tail = '}'
  return {
    update(commitTs) {
      if (commitTs === last) return
      last = commitTs
      times = `${physicalMs(commitTs)},"ts":${now()},"sql":"",`
      if (extension) tail = `,"_tidb":{"commitTs":${commitTs}}}`
    },
    get times() {
      return times
    },
    get tail() {
      return tail
    },
  }
}

/** A column with its share of the JSON text. */
interface CanalColumn {
  /** In the row's values. */
  readonly position: number
  /** `"name":` */
  readonly name: Uint8Array
  readonly kind: ValueKind
}

/** The part of a document that names the types: constant, with holes where a code depends on the value. */
interface TypesPart {
  readonly pieces: readonly { readonly text: Uint8Array; readonly position: number; readonly codeOf: SqlType }[]
  readonly end: Uint8Array
}

/** Which columns a document shows. */
interface Shape {
  readonly columns: readonly CanalColumn[]
  readonly types: TypesPart
}

function compileTable(table: TableVersion, { settings, out, transaction, large }: Shared): RowEncoder {
  const typeText = settings.contentCompatible ? mysqlTypeText : mysqlTypeName
  const onlyUpdated = settings.onlyOutputUpdatedColumns || settings.contentCompatible
  const shapeOf = (positions: readonly number[]): Shape => ({
    columns: positions.map((position) => canalColumn(table, position)),
    types: typesPart(table, positions, typeText),
  })
  const whole = shapeOf(table.columns.map((_, position) => position))
  const handleKey = shapeOf(table.handleKey.toSorted((a, b) => a - b))
  const deleted = settings.deleteOnlyOutputHandleKeyColumns ? handleKey : whole
  const insertHead = head(table, 'INSERT')
  const updateHead = head(table, 'UPDATE')
  const deleteHead = head(table, 'DELETE')
  const maxBytes = settings.maxMessageBytes - MAX_RECORD_OVERHEAD

  return {
    encode(row: RowChange, partition: number, messages: Messages): void {
      if (row.before === undefined && row.after === undefined) return
      transaction.update(row.commitTs)
      writeDocument(row, row.after === undefined ? deleted : whole, transaction.tail)
      if (large.compress === undefined && out.length <= maxBytes) {
        messages.push({ partition, key: null, value: out.take(), rows: 1 })
        return
      }
      const value = finishValue(out, large)
      const message = { partition, key: null, value, rows: 1 }
      messages.push(value.length <= maxBytes ? message : { ...message, ...stubOf(row, value) })
    },
    flush() {},
  }

  /** What is sent for a row whose own message, `value`, is too large. */
  function stubOf(row: RowChange, value: Uint8Array): Pick<EncodedMessage, 'value' | 'upload'> {
    const stub = large.stub(null, value)
    if (stub === undefined) throw tooLarge(value)
    const { location, upload } = stub
    const mark = location === undefined ? '"onlyHandleKey":true' : `"claimCheckLocation":${quoted(location)}`
    writeDocument(row, handleKey, `,"_tidb":{"commitTs":${row.commitTs},${mark}}}`)
    const message = finishValue(out, large)
    if (message.length > maxBytes) throw tooLarge(message)
    return upload === undefined ? { value: message } : { value: message, upload }
  }

  function tooLarge(value: Uint8Array): CdcError {
    return messageTooLarge(table, value.length + MAX_RECORD_OVERHEAD, settings.maxMessageBytes)
  }

  function writeDocument({ before, after }: RowChange, { columns, types }: Shape, tail: string): void {
    if (after === undefined) {
      if (before === undefined) return
      begin(deleteHead, types, before)
      out.raw(OLD_NULL)
      writeColumns(out, columns, before)
    } else if (before === undefined) {
      begin(insertHead, types, after)
      out.raw(OLD_NULL)
      writeColumns(out, columns, after)
    } else {
      begin(updateHead, types, after)
      out.raw(OLD)
      if (onlyUpdated) writeChangedColumns(out, columns, before, after)
      else writeColumns(out, columns, before)
      out.raw(DATA)
      writeColumns(out, columns, after)
    }
    out.raw(END_DATA)
    out.ascii(tail)
  }

  function begin(start: Uint8Array, part: TypesPart, values: Values): void {
    out.raw(start)
    out.ascii(transaction.times)
    for (const { text, position, codeOf } of part.pieces) {
      out.raw(text)
      out.ascii(codeOf(values[position] ?? null))
    }
    out.raw(part.end)
  }
}

/** Ends the document: its bytes, compressed where that is wanted. */
function finishValue(out: JsonWriter, large: LargeMessages): Uint8Array {
  if (large.compress === undefined) return out.take()
  const value = large.compress(out.peek())
  out.discard()
  return value
}

function canalColumn(table: TableVersion, position: number): CanalColumn {
  const column = columnAt(table, position)
  return { position, name: bytesOf(`${quoted(column.name)}:`), kind: valueKind(column) }
}

function writeColumns(out: JsonWriter, columns: readonly CanalColumn[], values: Values): void {
  let first = true
  for (const column of columns) {
    if (first) first = false
    else out.byte(COMMA)
    out.raw(column.name)
    writeValue(out, column.kind, values[column.position] ?? null)
  }
}

function writeChangedColumns(out: JsonWriter, columns: readonly CanalColumn[], before: Values, after: Values): void {
  let first = true
  for (const column of columns) {
    const value = before[column.position] ?? null
    if (sameValue(value, after[column.position] ?? null)) continue
    if (first) first = false
    else out.byte(COMMA)
    out.raw(column.name)
    writeValue(out, column.kind, value)
  }
}

/** Every value is a string or null. */
function writeValue(out: JsonWriter, kind: ValueKind, value: Value): void {
  if (value === null) {
    out.raw(NULL)
    return
  }
  out.byte(QUOTE)
  if (typeof value === 'number') {
    if (kind === 'double') out.plainDouble(value)
    else if (kind === 'float') out.plainFloat(value)
    else out.integer(value)
  } else if (typeof value === 'string') out.text(value)
  else if (typeof value === 'bigint') out.integer(value)
  else if (value instanceof Float32Array) out.vector(value)
  else if (kind === 'binary') out.latin1(value)
  else out.utf8(value)
  out.byte(QUOTE)
}

function head(table: TableVersion, type: 'INSERT' | 'UPDATE' | 'DELETE'): Uint8Array {
  const primary = table.columns.filter((column) => (column.flags & ColumnFlag.PrimaryKey) !== 0)
  const names = primary.map((column) => quoted(column.name)).join(',')
  const place = `"database":${quoted(table.schema)},"table":${quoted(table.table)}`
  return bytesOf(`{"id":0,${place},"pkNames":[${names}],"isDdl":false,"type":"${type}","es":`)
}

function typesPart(
  table: TableVersion,
  positions: readonly number[],
  typeText: (type: Column['info']['type']) => string,
): TypesPart {
  const columns = positions.map((position) => columnAt(table, position))
  const mysqlTypes = columns.map((column) => `${quoted(column.name)}:${quoted(typeText(column.info.type))}`)
  const mysqlType = `"mysqlType":{${mysqlTypes.join(',')}},`
  if (positions.length === 0) return { pieces: [], end: bytesOf(`"sqlType":null,${mysqlType}`) }
  const pieces: TypesPart['pieces'][number][] = []
  let text = '"sqlType":{'
  for (const [i, column] of columns.entries()) {
    text += `${i === 0 ? '' : ','}${quoted(column.name)}:`
    const code = sqlTypeOf(column.info.type)
    if (typeof code === 'number') text += String(code)
    else {
      pieces.push({ text: bytesOf(text), position: positions[i] ?? 0, codeOf: code })
      text = ''
    }
  }
  return { pieces, end: bytesOf(`${text}},${mysqlType}`) }
}

function columnAt(table: TableVersion, position: number): Column {
  const column = table.columns[position]
  if (column === undefined) throw new RangeError(`no column ${position} in ${table.schema}.${table.table}`)
  return column
}

const quoted = (name: string): string => jsonString(name, 'hex')

function ddlMessage(event: DdlEvent, settings: CodecSettings, out: JsonWriter, now: () => number): ControlMessage {
  return controlMessage(out, {
    database: event.schema,
    table: event.table,
    isDdl: true,
    type: ddlTypeName(event.type),
    es: physicalMs(event.commitTs),
    ts: now(),
    sql: event.query,
    tidb: settings.enableTidbExtension ? `,"_tidb":{"commitTs":${event.commitTs}}` : '',
  })
}

function watermarkMessage(ts: Ts, out: JsonWriter, now: () => number): ControlMessage {
  return controlMessage(out, {
    database: '',
    table: '',
    isDdl: false,
    type: 'TIDB_WATERMARK',
    es: physicalMs(ts),
    ts: now(),
    sql: '',
    tidb: `,"_tidb":{"watermarkTs":${ts}}`,
  })
}

interface ControlText {
  readonly database: string
  readonly table: string
  readonly isDdl: boolean
  readonly type: string
  readonly es: number
  readonly ts: number
  readonly sql: string
  readonly tidb: string
}

function controlMessage(out: JsonWriter, text: ControlText): ControlMessage {
  out.ascii('{"id":0,"database":"')
  out.text(text.database)
  out.ascii('","table":"')
  out.text(text.table)
  out.ascii(`","pkNames":null,"isDdl":${text.isDdl},"type":"${text.type}","es":${text.es},"ts":${text.ts},"sql":"`)
  out.text(text.sql)
  out.ascii(`","sqlType":null,"mysqlType":null,"data":null,"old":null${text.tidb}}`)
  return { key: null, value: out.take() }
}
