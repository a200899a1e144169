import type { CodecSettings } from '../../config/sink-settings.ts'
import type { DdlEvent } from '../../event/ddl-event.ts'
import type { Messages } from '../../event/encoded.ts'
import { physicalMsOfHalves } from '../../event/raw-row.ts'
import type { RowChange, Value } from '../../event/row-change.ts'
import type { StoredRow } from '../../event/stored-row.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { physicalMs } from '../../tidb/ts.ts'
import { jsonString, JsonWriter } from '../json-text.ts'
import type { ControlMessage, Protocol, RowEncoder } from '../protocol.ts'
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
import { isNumber, valueKind, type ValueKind } from '../value.ts'
import { ddlTypeName, tableStructure } from './ddl.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

const VERSION = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1)
const BRACE = 0x7d
const DATA = bytesOf(',"data":{')
const OLD = bytesOf(',"old":{')

/** Documents of Maxwell's daemon (reference: protocols-json, section D). */
export function createMaxwell(settings: CodecSettings): Protocol {
  const out = new JsonWriter('short')
  return {
    compile: (table) => compileTable(table, settings, out),
    ddl: (event) => ddlMessage(event),
    watermark: () => undefined,
    ddlPartitions: 'all',
  }
}

/** Documents of one partition since the last flush. */
interface Message {
  documents: Uint8Array[]
  bytes: number
}

function compileTable(table: TableVersion, settings: CodecSettings, out: JsonWriter): RowEncoder {
  const columns = maxwellColumns(table, table.columns.keys().toArray())
  const deleted = settings.deleteOnlyOutputHandleKeyColumns ? maxwellColumns(table, table.handleKey) : columns
  const place = `{"database":${quoted(table.schema)},"table":${quoted(table.table)},"type":`
  const head = (type: string): Uint8Array => bytesOf(`${place}"${type}","ts":`)
  const [insertHead, updateHead, deleteHead] = [head('insert'), head('update'), head('delete')]
  const messages = new Map<number, Message>()

  return {
    encode({ commitTs, before, after }: RowChange, partition: number): void {
      if (before === undefined && after === undefined) return
      writeDocument(writeValues, physicalMs(commitTs), before, after)
      endDocument(partition)
    },
    encodeStored({ raw, before, after }: StoredRow, partition: number): void {
      if (!before.present && !after.present) return
      out.discard()
      const [old, now] = [before.present ? before : undefined, after.present ? after : undefined]
      writeDocument(writeCells, physicalMsOfHalves(raw.commitHigh, raw.commitLow), old, now)
      endDocument(partition)
    },
    flush(done: Messages): void {
      for (const [partition, { documents, bytes }] of messages) {
        done.push({ partition, key: VERSION, value: Buffer.concat(documents, bytes), rows: documents.length })
      }
      messages.clear()
    },
  }

  function writeDocument<Image>(
    write: WriteImage<Image>,
    ms: number,
    before: Image | undefined,
    after: Image | undefined,
  ): void {
    out.raw(after === undefined ? deleteHead : before === undefined ? insertHead : updateHead)
    out.integer(Math.floor(ms / 1000))
    if (after !== undefined) {
      if (columns.count > 0) writeObject(DATA, columns, write, after)
      if (before !== undefined) writeObject(OLD, columns, write, before, after)
    } else if (before !== undefined && deleted.count > 0) writeObject(OLD, deleted, write, before)
    out.byte(BRACE)
  }

  function endDocument(partition: number): void {
    const message = messages.getOrInsertComputed(partition, () => ({ documents: [], bytes: 0 }))
    const document = out.take()
    message.documents.push(document)
    message.bytes += document.length
  }

  /** `other`: only what differs from that image, and nothing at all where nothing does. */
  function writeObject<Image>(
    name: Uint8Array,
    shown: JsonColumns,
    write: WriteImage<Image>,
    image: Image,
    other?: Image,
  ): void {
    const { length } = out
    out.raw(name)
    write(out, shown, image, other)
    if (other !== undefined && out.length === length + name.length) out.cut(length)
    else out.byte(BRACE)
  }
}

function maxwellColumns(table: TableVersion, positions: readonly number[]): JsonColumns {
  const order = byName(table, positions)
  const kinds = order.map((position) => valueKind(columnAt(table, position)))
  return jsonColumns(table, order, {
    head: ({ name }) => `${quoted(name)}:`,
    style: (column) => styleOf(column, Style.Base64),
    quoted: (column) => !isNumber(column),
    close: 0,
    writeValue: (out, i, value) => writeValue(out, kinds[i] ?? 'text', value),
  })
}

function writeValue(out: JsonWriter, kind: ValueKind, value: Exclude<Value, null>): void {
  if (typeof value === 'number') {
    if (kind === 'double') out.jsonDouble(value)
    else if (kind === 'float') out.jsonFloat(value)
    else out.integer(value)
  } else if (typeof value === 'bigint') out.integer(value)
  else if (typeof value === 'string') out.text(value)
  else if (value instanceof Float32Array) out.vector(value)
  else if (kind === 'binary') out.base64(value)
  else out.utf8(value)
}

const quoted = (name: string): string => jsonString(name, 'short')

function ddlMessage(event: DdlEvent): ControlMessage {
  const schema = event.schema === '' ? '' : `,"scm":${quoted(event.schema)}`
  const name = event.table === '' ? '' : `,"tbl":${quoted(event.table)}`
  const place = `"database":${quoted(event.schema)},"table":${quoted(event.table)}`
  const structures = `"old":${tableStructure(event.before)},"def":${tableStructure(event.after, event.schema, event.table)}`
  const type = quoted(ddlTypeName(event.type))
  const sql = event.query === '' ? '' : `,"sql":${quoted(event.query)}`
  return {
    key: bytesOf(`{"ts":${event.commitTs}${schema}${name},"t":2}`),
    value: bytesOf(`{"type":${type},${place},${structures},"ts":${event.commitTs}${sql}}`),
  }
}
