import { randomUUID } from 'node:crypto'
import { CdcError } from '../../base/errors.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import type { DdlEvent } from '../../event/ddl-event.ts'
import type { Messages } from '../../event/encoded.ts'
import type { RowChange, Value, Values } from '../../event/row-change.ts'
import type { StoredRow } from '../../event/stored-row.ts'
import { ColumnFlag, type Column, type TableVersion } from '../../event/table-version.ts'
import { u32be } from '../../tidb/integer-text.ts'
import type { StoredCells } from '../../tidb/stored-cells.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import type { Ts } from '../../tidb/ts.ts'
import { jsonString, JsonWriter } from '../json-text.ts'
import { createLargeMessages, type LargeMessages } from '../large-message.ts'
import type { ControlMessage, Protocol, RowEncoder } from '../protocol.ts'
import { MAX_RECORD_OVERHEAD, messageTooLarge } from '../size.ts'
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
import { Batch, LENGTH_BYTES, VERSION_BYTES } from './batch.ts'
import { goQuote } from './go-quote.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** `t` of a key. */
const EventType = { Row: 1, Ddl: 2, Resolved: 3 } as const

const BRACE = 0x7d
const TS = bytesOf('{"ts":')
const NEW = bytesOf('{"u":{')
const OLD = bytesOf('},"p":{')
const DELETED = bytesOf('{"d":{')
const END = bytesOf('}}')
const ROW_ID = bytesOf(',"rid":')

const SINGLE_OVERHEAD = MAX_RECORD_OVERHEAD + 2 * LENGTH_BYTES + VERSION_BYTES

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

function compileTable(table: TableVersion, shared: Shared): RowEncoder {
  const { settings, out, free, large } = shared
  const columns = openColumns(table, table.columns.keys().toArray())
  const handleKey = openColumns(table, table.handleKey)
  const deleted = settings.deleteOnlyOutputHandleKeyColumns ? handleKey : columns
  const hasRowId = !table.info.isCommonHandle
  const place = bytesOf(placeText(table.schema, table.table))
  const keyEnd = bytesOf(
    `${table.info.partitions === undefined ? '' : `,"ptn":${table.physicalId}`},"t":${EventType.Row}`,
  )
  const batches = new Map<number, Batch>()
  const stored: OpenRow<StoredCells> = { ...NO_ROW, write: writeCells }
  const mounted: OpenRow<Values> = { ...NO_ROW, write: writeValues }

  return {
    encode({ commitTs, key, before, after }: RowChange, partition: number, messages: Messages): void {
      if (before === undefined && after === undefined) return
      mounted.commitHigh = Number(commitTs >> 32n)
      mounted.commitLow = Number(commitTs & 0xffff_ffffn)
      mounted.key = key ?? NO_KEY
      mounted.keyEnd = key?.length ?? 0
      mounted.before = before
      mounted.after = after
      encodeRow(mounted, partition, messages)
    },
    encodeStored({ raw, before, after }: StoredRow, partition: number, messages: Messages): void {
      if (!before.present && !after.present) return
      out.discard()
      stored.commitHigh = raw.commitHigh
      stored.commitLow = raw.commitLow
      stored.key = raw.bytes
      stored.keyEnd = raw.keyEnd
      stored.before = before.present ? before : undefined
      stored.after = after.present ? after : undefined
      encodeRow(stored, partition, messages)
    },
    flush(messages: Messages): void {
      for (const [partition, batch] of batches) {
        messages.push(batch.take(partition))
        free.push(batch)
      }
      batches.clear()
    },
  }

  function encodeRow<Image>(row: OpenRow<Image>, partition: number, messages: Messages): void {
    const keyLength = writeEvent(row, '', row.after === undefined ? deleted : columns)
    if (large.compress === undefined && out.length + SINGLE_OVERHEAD <= settings.maxMessageBytes) {
      batchFor(partition, out.length, messages).add(out.slab, out.at - out.length, out.at, keyLength)
      out.discard()
      return
    }
    const event = takeEvent(keyLength)
    if (singleLength(event) > settings.maxMessageBytes) encodeLarge(event, row, partition, messages)
    else addEvent(event, partition, messages)
  }

  /** Key and value, one behind the other; the key's length. `mark`: members of the key that say that the row is not whole. */
  function writeEvent<Image>(row: OpenRow<Image>, mark: string, shown: JsonColumns): number {
    out.raw(TS)
    out.unsigned(row.commitHigh, row.commitLow)
    out.raw(place)
    if (hasRowId && row.keyEnd > 0) writeRowId(out, row.key, row.keyEnd)
    out.raw(keyEnd)
    if (mark !== '') out.raw(bytesOf(mark))
    out.byte(BRACE)
    const keyLength = out.length
    writeValue(row, shown)
    return keyLength
  }

  function writeValue<Image>({ before, after, write }: OpenRow<Image>, shown: JsonColumns): void {
    if (after !== undefined) {
      out.raw(NEW)
      write(out, shown, after)
      if (before !== undefined && settings.openOutputOldValue) writeOld(before, after, shown, write)
    } else if (before !== undefined) {
      if (shown.count === 0) throw withoutHandleKey(table)
      out.raw(DELETED)
      write(out, shown, before)
    }
    out.raw(END)
  }

  function writeOld<Image>(before: Image, after: Image, shown: JsonColumns, write: WriteImage<Image>): void {
    const { length } = out
    out.raw(OLD)
    write(out, shown, before, settings.onlyOutputUpdatedColumns ? after : undefined)
    if (settings.onlyOutputUpdatedColumns && out.length === length + OLD.length) out.cut(length)
  }

  /** Ends the event that was written; a copy. */
  function takeEvent(keyLength: number): OpenEventBytes {
    const plain = out.take()
    if (large.compress === undefined) return { bytes: plain, keyLength }
    return {
      bytes: Buffer.concat([plain.subarray(0, keyLength), large.compress(plain.subarray(keyLength))]),
      keyLength,
    }
  }

  function addEvent({ bytes, keyLength }: OpenEventBytes, partition: number, messages: Messages): void {
    batchFor(partition, bytes.length, messages).add(bytes, 0, bytes.length, keyLength)
  }

  /** A row with its handle key alone goes with the others; one that points to storage is a message of its own. */
  function encodeLarge<Image>(event: OpenEventBytes, row: OpenRow<Image>, partition: number, messages: Messages): void {
    const whole = single(event)
    const stub = large.stub(whole.key, whole.value)
    if (stub === undefined) throw messageTooLarge(table, singleLength(event), settings.maxMessageBytes)
    if (handleKey.count === 0) throw withoutHandleKey(table)
    const { location, upload } = stub
    const mark = location === undefined ? ',"ohk":true' : `,"ccl":${quoted(location)}`
    const small = takeEvent(writeEvent(row, mark, handleKey))
    const length = singleLength(small)
    if (length > settings.maxMessageBytes) throw messageTooLarge(table, length, settings.maxMessageBytes)
    if (upload === undefined) {
      addEvent(small, partition, messages)
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

/** A row in either form, set anew for each. */
interface OpenRow<Image> {
  commitHigh: number
  commitLow: number
  /** The raw key ends at `keyEnd`; 0 = it is not known. */
  key: Uint8Array
  keyEnd: number
  before: Image | undefined
  after: Image | undefined
  readonly write: WriteImage<Image>
}

const NO_KEY = new Uint8Array()
const NO_ROW = { commitHigh: 0, commitLow: 0, key: NO_KEY, keyEnd: 0, before: undefined, after: undefined }

function openColumns(table: TableVersion, positions: readonly number[]): JsonColumns {
  const order = byName(table, positions)
  const kinds = order.map((position) => {
    const column = columnAt(table, position)
    return isBlob(column) ? 'base64' : valueKind(column)
  })
  return jsonColumns(table, order, {
    head: columnHead,
    style: (column) => (isBlob(column) ? Style.Base64 : styleOf(column, Style.Value)),
    quoted: (column) => !isNumber(column),
    close: BRACE,
    writeValue: (out, i, value) => writeColumnValue(out, kinds[i] ?? 'text', value),
  })
}

function columnHead({ name, flags, info }: Column): string {
  const handle = (flags & ColumnFlag.HandleKey) === 0 ? '' : '"h":true,'
  return `${quoted(name)}:{"t":${info.type.tp},${handle}"f":${flags},"v":`
}

/** BLOB and TEXT alike are base64. */
function isBlob(column: Column): boolean {
  switch (column.info.type.tp) {
    case MysqlType.TinyBlob:
    case MysqlType.Blob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return true
    default:
      return false
  }
}

function writeColumnValue(out: JsonWriter, kind: ValueKind | 'base64', value: Exclude<Value, null>): void {
  if (typeof value === 'number') {
    if (kind === 'double') out.jsonDouble(value)
    else if (kind === 'float') out.jsonFloat(value)
    else out.integer(value)
  } else if (typeof value === 'bigint') out.integer(value)
  else if (typeof value === 'string') out.text(value)
  else if (value instanceof Float32Array) out.vector(value)
  else if (kind === 'base64') out.base64(value)
  else if (kind === 'binary') out.text(goQuote(value))
  else out.utf8(value)
}

/** The integer handle is the end of the key: big-endian with the sign bit flipped. TiCDC leaves out a zero. */
function writeRowId(out: JsonWriter, bytes: Uint8Array, keyEnd: number): void {
  const high = u32be(bytes, keyEnd - 8) ^ 0x8000_0000
  const low = u32be(bytes, keyEnd - 4)
  if (high === 0 && low === 0) return
  out.raw(ROW_ID)
  out.signed(high, low)
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
const singleLength = ({ bytes }: OpenEventBytes): number => bytes.length + SINGLE_OVERHEAD

/** A message of one event; a copy. */
function single({ bytes, keyLength }: OpenEventBytes): ControlMessage & { readonly key: Uint8Array } {
  const batch = new Batch()
  batch.add(bytes, 0, bytes.length, keyLength)
  const { key, value } = batch.take(0)
  return { key, value }
}
