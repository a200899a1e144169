import { randomUUID } from 'node:crypto'
import { CdcError } from '../../base/errors.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import type { DdlEvent } from '../../event/ddl-event.ts'
import type { Messages } from '../../event/encoded.ts'
import type { RowChange, Value, Values } from '../../event/row-change.ts'
import { ColumnFlag, type Column, type TableVersion } from '../../event/table-version.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import { zeroTs, type Ts } from '../../tidb/ts.ts'
import { sameValue } from '../../tidb/value.ts'
import { jsonString, JsonWriter } from '../json-text.ts'
import { createLargeMessages, type LargeMessages } from '../large-message.ts'
import type { ControlMessage, Protocol, RowEncoder } from '../protocol.ts'
import { MAX_RECORD_OVERHEAD, messageTooLarge } from '../size.ts'
import { valueKind, type ValueKind } from '../value.ts'
import { Batch, LENGTH_BYTES, VERSION_BYTES } from './batch.ts'
import { goQuote } from './go-quote.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** `t` of a key. */
const EventType = { Row: 1, Ddl: 2, Resolved: 3 } as const

const QUOTE = 0x22
const COMMA = 0x2c
const BRACE = 0x7d
const NULL = bytesOf('null}')
const NEW = bytesOf('{"u":{')
const OLD = bytesOf('},"p":{')
const DELETED = bytesOf('{"d":{')
const END = bytesOf('}}')
const ROW_ID = bytesOf(',"rid":')

/** What all tables of a changefeed share. */
interface Shared {
  readonly settings: CodecSettings
  readonly out: JsonWriter
  /** Empty batches to be used again. */
  readonly free: Batch[]
  readonly large: LargeMessages
}

/** TiCDC Open Protocol: batches of rows with their types and old values (reference: protocols-json, section A). */
export function createOpenProtocol(settings: CodecSettings, newId: () => string = randomUUID): Protocol {
  const large = createLargeMessages(settings, newId)
  const shared: Shared = { settings, out: new JsonWriter('short'), free: [], large }
  return {
    compile: (table) => compileTable(table, shared),
    ddl: (event) => ddlMessage(event, shared),
    watermark: (ts) => watermarkMessage(ts),
    ddlPartitions: 'all',
  }
}

/** A column with its share of the JSON text. */
interface OpenColumn {
  /** In the row's values. */
  readonly position: number
  /** `"name":{"t":3,"h":true,"f":11,"v":` */
  readonly head: Uint8Array
  readonly write: ValueStyle
}

/** As {@link ValueKind}, with the texts of open-protocol apart: BLOB and TEXT are base64, BINARY is quoted as in Go. */
type ValueStyle = Exclude<ValueKind, 'binary'> | 'base64' | 'quoted'

function compileTable(table: TableVersion, shared: Shared): RowEncoder {
  const { settings, out, free, large } = shared
  const columns = openColumns(table, table.columns.keys().toArray())
  const handleKey = openColumns(table, table.handleKey)
  const deleted = settings.deleteOnlyOutputHandleKeyColumns ? handleKey : columns
  const hasRowId = !table.info.isCommonHandle
  const keyEnd = bytesOf(
    `${table.info.partitions === undefined ? '' : `,"ptn":${table.physicalId}`},"t":${EventType.Row}`,
  )
  const place = bytesOf(placeText(table.schema, table.table))
  const batches = new Map<number, Batch>()
  let lastTs = zeroTs
  let tsText = ''

  /** `mark`: members of the key that say that the row is not whole. */
  const writeKey = (row: RowChange, mark: string): void => {
    if (row.commitTs !== lastTs) {
      lastTs = row.commitTs
      tsText = `{"ts":${lastTs}`
    }
    out.ascii(tsText)
    out.raw(place)
    if (hasRowId && row.key !== undefined) writeRowId(out, row.key)
    out.raw(keyEnd)
    if (mark !== '') out.raw(bytesOf(mark))
    out.byte(BRACE)
  }

  const writeValue = ({ before, after }: RowChange, shown: readonly OpenColumn[]): void => {
    if (after !== undefined) {
      out.raw(NEW)
      writeColumns(out, shown, after)
      if (before !== undefined && settings.openOutputOldValue) writeOld(before, after, shown)
    } else if (before !== undefined) {
      if (shown.length === 0) throw withoutHandleKey(table)
      out.raw(DELETED)
      writeColumns(out, shown, before)
    }
    out.raw(END)
  }

  const writeOld = (before: Values, after: Values, shown: readonly OpenColumn[]): void => {
    if (!settings.onlyOutputUpdatedColumns) {
      out.raw(OLD)
      writeColumns(out, shown, before)
      return
    }
    const changed = shown.filter(({ position: at }) => !sameValue(before[at] ?? null, after[at] ?? null))
    if (changed.length === 0) return
    out.raw(OLD)
    writeColumns(out, changed, before)
  }

  /** Key and value, one behind the other; valid until the next write. */
  const writeEvent = (row: RowChange, mark: string, shown: readonly OpenColumn[]): OpenEventBytes => {
    writeKey(row, mark)
    const keyLength = out.length
    writeValue(row, shown)
    const plain = out.peek()
    out.discard()
    if (large.compress === undefined) return { bytes: plain, keyLength }
    const value = large.compress(plain.subarray(keyLength))
    return { bytes: Buffer.concat([plain.subarray(0, keyLength), value]), keyLength }
  }

  return {
    encode(row: RowChange, partition: number, messages: Messages): void {
      if (row.before === undefined && row.after === undefined) return
      const event = writeEvent(row, '', row.after === undefined ? deleted : columns)
      if (singleLength(event) > settings.maxMessageBytes) encodeLarge(event, row, partition, messages)
      else batchFor(partition, event.bytes.length, messages).add(event.bytes, event.keyLength)
    },
    flush(messages: Messages): void {
      for (const [partition, batch] of batches) {
        messages.push(batch.take(partition))
        free.push(batch)
      }
      batches.clear()
    },
  }

  /** A row with its handle key alone goes with the others; one that points to storage is a message of its own. */
  function encodeLarge(event: OpenEventBytes, row: RowChange, partition: number, messages: Messages): void {
    const whole = single(event)
    const stub = large.stub(whole.key, whole.value)
    if (stub === undefined) throw messageTooLarge(table, singleLength(event), settings.maxMessageBytes)
    if (handleKey.length === 0) throw withoutHandleKey(table)
    const { location, upload } = stub
    const mark = location === undefined ? ',"ohk":true' : `,"ccl":${quoted(location)}`
    const small = writeEvent(row, mark, handleKey)
    const length = singleLength(small)
    if (length > settings.maxMessageBytes) throw messageTooLarge(table, length, settings.maxMessageBytes)
    if (upload === undefined) {
      batchFor(partition, small.bytes.length, messages).add(small.bytes, small.keyLength)
      return
    }
    const begun = batches.get(partition)
    if (begun !== undefined) {
      messages.push(begun.take(partition))
      batches.delete(partition)
      free.push(begun)
    }
    messages.push({ partition, ...single(small), rows: 1, upload })
  }

  /** The partition's message, or a new one where that is full; batches stay in the order in which they were begun. */
  function batchFor(partition: number, bytes: number, messages: Messages): Batch {
    let batch = batches.get(partition)
    if (batch !== undefined) {
      const fits = batch.length + bytes + 2 * LENGTH_BYTES <= settings.maxMessageBytes
      if (fits && batch.rows < settings.maxBatchSize) return batch
      messages.push(batch.take(partition))
      batches.delete(partition)
    } else batch = free.pop() ?? new Batch()
    batches.set(partition, batch)
    return batch
  }
}

/** In the order of their names' bytes, as Go prints maps. */
function openColumns(table: TableVersion, positions: readonly number[]): readonly OpenColumn[] {
  const columns = positions.flatMap((position) => {
    const column = table.columns[position]
    return column === undefined ? [] : [{ position, column, name: bytesOf(column.name) }]
  })
  return columns
    .toSorted((a, b) => Buffer.compare(a.name, b.name))
    .map(({ position, column }) => ({ position, head: columnHead(column), write: styleOf(column) }))
}

function columnHead({ name, flags, info }: Column): Uint8Array {
  const handle = (flags & ColumnFlag.HandleKey) === 0 ? '' : '"h":true,'
  return bytesOf(`${quoted(name)}:{"t":${info.type.tp},${handle}"f":${flags},"v":`)
}

function styleOf(column: Column): ValueStyle {
  switch (column.info.type.tp) {
    case MysqlType.TinyBlob:
    case MysqlType.Blob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return 'base64'
    default: {
      const kind = valueKind(column)
      return kind === 'binary' ? 'quoted' : kind
    }
  }
}

function writeColumns(out: JsonWriter, columns: readonly OpenColumn[], values: Values): void {
  let first = true
  for (const column of columns) {
    if (first) first = false
    else out.byte(COMMA)
    out.raw(column.head)
    const value = values[column.position] ?? null
    if (value === null) out.raw(NULL)
    else {
      writeColumnValue(out, column.write, value)
      out.byte(BRACE)
    }
  }
}

function writeColumnValue(out: JsonWriter, style: ValueStyle, value: Exclude<Value, null>): void {
  if (typeof value === 'number') {
    if (style === 'double') out.jsonDouble(value)
    else if (style === 'float') out.jsonFloat(value)
    else out.integer(value)
    return
  }
  if (typeof value === 'bigint') {
    out.integer(value)
    return
  }
  out.byte(QUOTE)
  if (typeof value === 'string') out.text(value)
  else if (value instanceof Float32Array) out.vector(value)
  else if (style === 'base64') out.base64(value)
  else if (style === 'quoted') out.text(goQuote(value))
  else out.utf8(value)
  out.byte(QUOTE)
}

/** The integer handle is the end of the key: big-endian with the sign bit flipped. TiCDC leaves out a zero. */
function writeRowId(out: JsonWriter, key: Uint8Array): void {
  const at = key.length - 8
  const byte = (i: number): number => key[at + i] ?? 0
  const high = ((byte(0) ^ 0x80) << 24) | (byte(1) << 16) | (byte(2) << 8) | byte(3) | 0
  const low = ((byte(4) << 24) | (byte(5) << 16) | (byte(6) << 8) | byte(7)) >>> 0
  if (high === 0 && low === 0) return
  out.raw(ROW_ID)
  const small = high >= -0x200000 && high < 0x200000
  out.integer(small ? high * 0x1_0000_0000 + low : (BigInt(high) << 32n) | BigInt(low))
}

/** Names that are empty are left out. */
const placeText = (schema: string, table: string): string =>
  (schema === '' ? '' : `,"scm":${quoted(schema)}`) + (table === '' ? '' : `,"tbl":${quoted(table)}`)

const quoted = (name: string): string => jsonString(name, 'short')

function withoutHandleKey(table: TableVersion): CdcError {
  const text = `not found handle key columns for the delete event of ${table.schema}.${table.table}`
  return new CdcError('CDC:ErrOpenProtocolCodecInvalidData', text)
}

function ddlMessage(event: DdlEvent, { out, large }: Shared): ControlMessage {
  const key = bytesOf(`{"ts":${event.commitTs}${placeText(event.schema, event.table)},"t":${EventType.Ddl}}`)
  out.ascii('{"q":"')
  out.text(event.query)
  out.ascii(`","t":${event.type}}`)
  const plain = out.take()
  const value = large.compress === undefined ? plain : large.compress(plain)
  return single({ bytes: Buffer.concat([key, value]), keyLength: key.length })
}

function watermarkMessage(ts: Ts): ControlMessage {
  const key = bytesOf(`{"ts":${ts},"t":${EventType.Resolved}}`)
  return single({ bytes: key, keyLength: key.length })
}

/** The key of one event, up to `keyLength`, and its value. */
interface OpenEventBytes {
  readonly bytes: Uint8Array
  readonly keyLength: number
}

/** As the limit counts an event that is alone in its message. */
const singleLength = ({ bytes }: OpenEventBytes): number =>
  bytes.length + MAX_RECORD_OVERHEAD + 2 * LENGTH_BYTES + VERSION_BYTES

/** A message of one event; a copy. */
function single({ bytes, keyLength }: OpenEventBytes): ControlMessage & { readonly key: Uint8Array } {
  const batch = new Batch()
  batch.add(bytes, keyLength)
  const { key, value } = batch.take(0)
  return { key, value }
}
