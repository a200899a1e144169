import type { CodecSettings } from '../../config/sink-settings.ts'
import type { DdlEvent } from '../../event/ddl-event.ts'
import type { Messages } from '../../event/encoded.ts'
import type { RowChange, Value, Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { physicalMs, zeroTs } from '../../tidb/ts.ts'
import { sameValue } from '../../tidb/value.ts'
import { jsonString, JsonWriter } from '../json-text.ts'
import type { ControlMessage, Protocol, RowEncoder } from '../protocol.ts'
import { valueKind, type ValueKind } from '../value.ts'
import { ddlTypeName, tableStructure } from './ddl.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

const VERSION = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1)
const QUOTE = 0x22
const COMMA = 0x2c
const BRACE = 0x7d
const NULL = bytesOf('null')
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

interface MaxwellColumn {
  /** In the row's values. */
  readonly position: number
  /** `"name":` */
  readonly name: Uint8Array
  readonly kind: ValueKind
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
  let lastTs = zeroTs
  let seconds = ''

  return {
    encode(row: RowChange, partition: number): void {
      const { before, after } = row
      if (before === undefined && after === undefined) return
      if (row.commitTs !== lastTs) {
        lastTs = row.commitTs
        seconds = String(Math.floor(physicalMs(lastTs) / 1000))
      }
      out.raw(after === undefined ? deleteHead : before === undefined ? insertHead : updateHead)
      out.ascii(seconds)
      if (after !== undefined) {
        if (columns.length > 0) writeObject(DATA, columns, after)
        if (before !== undefined) {
          const changed = columns.filter(({ position: at }) => !sameValue(before[at] ?? null, after[at] ?? null))
          if (changed.length > 0) writeObject(OLD, changed, before)
        }
      } else if (before !== undefined && deleted.length > 0) writeObject(OLD, deleted, before)
      out.byte(BRACE)
      const message = messages.getOrInsertComputed(partition, () => ({ documents: [], bytes: 0 }))
      const document = out.take()
      message.documents.push(document)
      message.bytes += document.length
    },
    flush(done: Messages): void {
      for (const [partition, { documents, bytes }] of messages) {
        done.push({ partition, key: VERSION, value: Buffer.concat(documents, bytes), rows: documents.length })
      }
      messages.clear()
    },
  }

  function writeObject(head: Uint8Array, shown: readonly MaxwellColumn[], values: Values): void {
    out.raw(head)
    let first = true
    for (const { name, position, kind } of shown) {
      if (first) first = false
      else out.byte(COMMA)
      out.raw(name)
      writeValue(out, kind, values[position] ?? null)
    }
    out.byte(BRACE)
  }
}

/** In the order of their names' bytes, as Go prints maps. */
function maxwellColumns(table: TableVersion, positions: readonly number[]): readonly MaxwellColumn[] {
  return positions
    .flatMap((position) => {
      const column = table.columns[position]
      return column === undefined ? [] : [{ position, column, bytes: bytesOf(column.name) }]
    })
    .toSorted((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ position, column }) => ({ position, name: bytesOf(`${quoted(column.name)}:`), kind: valueKind(column) }))
}

function writeValue(out: JsonWriter, kind: ValueKind, value: Value): void {
  if (value === null) out.raw(NULL)
  else if (typeof value === 'number') {
    if (kind === 'double') out.jsonDouble(value)
    else if (kind === 'float') out.jsonFloat(value)
    else out.integer(value)
  } else if (typeof value === 'bigint') out.integer(value)
  else {
    out.byte(QUOTE)
    if (typeof value === 'string') out.text(value)
    else if (value instanceof Float32Array) out.vector(value)
    else if (kind === 'binary') out.base64(value)
    else out.utf8(value)
    out.byte(QUOTE)
  }
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
