import { randomUUID } from 'node:crypto'
import type { CdcError } from '../../base/errors.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import type { DdlEvent } from '../../event/ddl-event.ts'
import type { EncodedMessage, Messages } from '../../event/encoded.ts'
import type { RowChange } from '../../event/row-change.ts'
import type { StoredRow } from '../../event/stored-row.ts'
import { ColumnFlag, type Column, type TableVersion } from '../../event/table-version.ts'
import { physicalMs, type Ts } from '../../tidb/ts.ts'
import { jsonString, JsonWriter } from '../json-text.ts'
import { createLargeMessages, type LargeMessages } from '../large-message.ts'
import { mysqlTypeName, mysqlTypeText } from '../mysql-type.ts'
import type { ControlMessage, Protocol, RowEncoder } from '../protocol.ts'
import { MAX_RECORD_OVERHEAD, messageTooLarge } from '../size.ts'
import { columnAt, type JsonColumns } from '../stored-json.ts'
import { ddlTypeName } from './ddl-type.ts'
import { canalColumns, cellImages, type ImageWriter, valueImages } from './image.ts'
import { sqlTypeOf, type UnsignedSqlType } from './sql-type.ts'
import { createTransactionText, type TransactionText } from './transaction-text.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

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

/** The part of a document that names the types: constant, with holes where a code depends on the value. */
interface TypesPart {
  readonly pieces: readonly { readonly text: Uint8Array; readonly position: number; readonly type: UnsignedSqlType }[]
  readonly end: Uint8Array
}

/** Which columns a document shows. */
interface Shape {
  readonly columns: JsonColumns
  readonly types: TypesPart
}

function compileTable(table: TableVersion, { settings, out, transaction, large }: Shared): RowEncoder {
  const typeText = settings.contentCompatible ? mysqlTypeText : mysqlTypeName
  const onlyUpdated = settings.onlyOutputUpdatedColumns || settings.contentCompatible
  const shapeOf = (positions: readonly number[]): Shape => ({
    columns: canalColumns(table, positions, quoted),
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
    encode({ commitTs, before, after }: RowChange, partition: number, messages: Messages): void {
      transaction.updateTs(commitTs)
      encodeImages(valueImages, before, after, partition, messages)
    },
    encodeStored({ raw, before, after }: StoredRow, partition: number, messages: Messages): void {
      out.discard()
      transaction.update(raw.commitHigh, raw.commitLow)
      const [old, now] = [before.present ? before : undefined, after.present ? after : undefined]
      encodeImages(cellImages, old, now, partition, messages)
    },
    flush() {
      transaction.endBatch()
    },
  }

  function encodeImages<Image>(
    images: ImageWriter<Image>,
    before: Image | undefined,
    after: Image | undefined,
    partition: number,
    messages: Messages,
  ): void {
    if (before === undefined && after === undefined) return
    writeDocument(images, before, after, after === undefined ? deleted : whole)
    transaction.writeTail(out)
    if (large.compress === undefined && out.length <= maxBytes) {
      out.addTo(messages, partition)
      return
    }
    const value = finishValue(out, large)
    if (value.length <= maxBytes) messages.push({ partition, key: null, value, rows: 1 })
    else messages.push({ partition, key: null, rows: 1, ...stubOf(images, before, after, value) })
  }

  /** What is sent for a row whose own message, `value`, is too large. */
  function stubOf<Image>(
    images: ImageWriter<Image>,
    before: Image | undefined,
    after: Image | undefined,
    value: Uint8Array,
  ): Pick<EncodedMessage, 'value' | 'upload'> {
    const stub = large.stub(null, value)
    if (stub === undefined) throw tooLarge(value)
    const { location, upload } = stub
    const mark = location === undefined ? '"onlyHandleKey":true' : `"claimCheckLocation":${quoted(location)}`
    writeDocument(images, before, after, handleKey)
    out.raw(bytesOf(`,"_tidb":{"commitTs":${transaction.commitTs},${mark}}}`))
    const message = finishValue(out, large)
    if (message.length > maxBytes) throw tooLarge(message)
    return upload === undefined ? { value: message } : { value: message, upload }
  }

  function tooLarge(value: Uint8Array): CdcError {
    return messageTooLarge(table, value.length + MAX_RECORD_OVERHEAD, settings.maxMessageBytes)
  }

  /** Up to the end of `data`. */
  function writeDocument<Image>(
    images: ImageWriter<Image>,
    before: Image | undefined,
    after: Image | undefined,
    { columns, types }: Shape,
  ): void {
    if (after === undefined) {
      if (before === undefined) return
      begin(deleteHead, types, images, before)
      out.raw(OLD_NULL)
      images.write(out, columns, before)
    } else if (before === undefined) {
      begin(insertHead, types, images, after)
      out.raw(OLD_NULL)
      images.write(out, columns, after)
    } else {
      begin(updateHead, types, images, after)
      out.raw(OLD)
      images.write(out, columns, before, onlyUpdated ? after : undefined)
      out.raw(DATA)
      images.write(out, columns, after)
    }
    out.raw(END_DATA)
  }

  function begin<Image>(start: Uint8Array, part: TypesPart, images: ImageWriter<Image>, image: Image): void {
    out.raw(start)
    transaction.writeTimes(out)
    for (const { text, position, type } of part.pieces) {
      out.raw(text)
      out.ascii(images.codeOf(type, image, position))
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
      pieces.push({ text: bytesOf(text), position: positions[i] ?? 0, type: code })
      text = ''
    }
  }
  return { pieces, end: bytesOf(`${text}},${mysqlType}`) }
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
