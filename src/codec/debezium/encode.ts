import type { CodecSettings } from '../../config/sink-settings.ts'
import type { DdlEvent } from '../../event/ddl-event.ts'
import type { Messages } from '../../event/encoded.ts'
import type { RowChange, Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { openTimeZone, type TimeZone } from '../../tidb/time-zone.ts'
import { physicalMs, zeroTs, type Ts } from '../../tidb/ts.ts'
import { avroName } from '../avro/name.ts'
import { valueCompressor } from '../compress/compress.ts'
import { jsonString, JsonWriter } from '../json-text.ts'
import type { ControlMessage, Protocol, RowEncoder } from '../protocol.ts'
import { tableChanges } from './ddl.ts'
import { debeziumField, type WriteValue } from './field.ts'
import {
  DDL_KEY_SCHEMA,
  DDL_SCHEMA,
  envelopeSchema,
  keySchema,
  topicName,
  virtualColumns,
  watermarkSchema,
} from './schema.ts'

export interface DebeziumOptions {
  /** Of the changefeed: TIMESTAMP values are texts in it, and go out in UTC. */
  readonly timeZone: string
  /** Build time of messages, ms since 1970. */
  readonly now: () => number
  /** `cluster-id` of the server: the name of the source. */
  readonly clusterId: string
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const quoted = (text: string): string => jsonString(text, 'stream')

const COMMA = 0x2c
const BRACE = 0x7d
const BEFORE_NULL = bytesOf('"c","before":null,"after":{')
const BEFORE = bytesOf('"u","before":{')
const AFTER = bytesOf('},"after":{')
const ONLY_AFTER = bytesOf('"u","after":{')
const DELETED = bytesOf('"d","after":null,"before":{')

/** What all tables of a changefeed share. */
interface Shared {
  readonly settings: CodecSettings
  readonly options: DebeziumOptions
  readonly zone: TimeZone
  readonly out: JsonWriter
  readonly compress: (bytes: Uint8Array) => Uint8Array
}

/**
 * Change events as Debezium's MySQL connector writes them, with Kafka Connect's schema (reference:
 * protocols-avro-simple-debezium, section C). DDLs and watermarks are sent only with `enable-tidb-extension`: TiCDC v8.5 has
 * none.
 */
export function createDebezium(settings: CodecSettings, options: DebeziumOptions): Protocol {
  const shared: Shared = {
    settings,
    options,
    zone: openTimeZone(options.timeZone),
    out: new JsonWriter('stream'),
    compress: valueCompressor(settings.largeMessages.compression) ?? ((bytes) => bytes),
  }
  return {
    compile: (table) => compileTable(table, shared),
    ddl: (event) => (settings.enableTidbExtension ? ddlMessage(event, shared) : undefined),
    watermark: (ts) => (settings.enableTidbExtension ? watermarkMessage(ts, shared) : undefined),
    ddlPartitions: 'all',
  }
}

/** The texts around the three numbers of `source` and of the payload, up to the name of the operation. */
interface SourceText {
  /** Before the physical time of the commit. */
  readonly start: Uint8Array
  /** Before commit_ts. */
  readonly middle: Uint8Array
  /** Before the build time. */
  readonly end: Uint8Array
}

function sourceText(clusterId: string, schema: string, table: string): SourceText {
  const name = quoted(clusterId)
  return {
    start: bytesOf(`{"payload":{"source":{"version":"2.4.0.Final","connector":"TiCDC","name":${name},"ts_ms":`),
    middle: bytesOf(
      `,"snapshot":"false","db":${quoted(schema)},"table":${quoted(table)},"server_id":0,"gtid":null,"file":"",` +
        `"pos":0,"row":0,"thread":0,"query":null,"commit_ts":`,
    ),
    end: bytesOf(`,"cluster_id":${name}},"ts_ms":`),
  }
}

const OPERATION = bytesOf(',"transaction":null,"op":')

interface DebeziumColumn {
  /** In the row's values. */
  readonly position: number
  /** `"name":` */
  readonly name: Uint8Array
  readonly write: WriteValue
  readonly absent: Uint8Array
}

function compileTable(table: TableVersion, shared: Shared): RowEncoder {
  const { settings, options, out, zone, compress } = shared
  const name = `${avroName(options.clusterId)}.${avroName(table.schema)}.${topicName(table.table)}`
  const fields = table.columns.map(({ info }) => debeziumField(info, zone))
  const columns = fields.map(({ write, absent }, position): DebeziumColumn => {
    const columnName = table.columns[position]?.name ?? ''
    return { position, name: bytesOf(`${quoted(columnName)}:`), write, absent: bytesOf(absent) }
  })
  const handleKey = table.handleKey.toSorted((a, b) => a - b)
  const keyColumns = handleKey.flatMap((position) => columns[position] ?? [])
  const schemas = [...fields, ...virtualColumns(table).map((info) => debeziumField(info, zone))]
  const { disableSchema } = settings.debezium
  const ending = (schema: string): Uint8Array => bytesOf(disableSchema ? '}' : `,"schema":${schema}}`)
  const keyEnd = ending(
    keySchema(
      name,
      handleKey.map((position) => fields[position]?.schema ?? ''),
    ),
  )
  const valueEnd = ending(
    envelopeSchema(
      name,
      schemas.map(({ schema }) => schema),
    ),
  )
  const source = sourceText(options.clusterId, table.schema, table.table)
  const keyStart = bytesOf('{"payload":{')
  let lastTs = zeroTs
  let physical = ''
  let commitTs = ''

  return {
    encode(row: RowChange, partition: number, messages: Messages): void {
      const { before, after } = row
      const shown = after ?? before
      if (shown === undefined) return
      if (row.commitTs !== lastTs) {
        lastTs = row.commitTs
        physical = String(physicalMs(lastTs))
        commitTs = String(lastTs)
      }
      out.raw(keyStart)
      writeColumns(out, keyColumns, shown)
      out.byte(BRACE)
      out.raw(keyEnd)
      const key = out.take()
      writeSource(out, source, physical, commitTs, options.now())
      if (after === undefined) {
        out.raw(DELETED)
        writeColumns(out, columns, shown)
      } else {
        if (before === undefined) out.raw(BEFORE_NULL)
        else if (settings.debezium.outputOldValue) {
          out.raw(BEFORE)
          writeColumns(out, columns, before)
          out.raw(AFTER)
        } else out.raw(ONLY_AFTER)
        writeColumns(out, columns, after)
      }
      out.byte(BRACE)
      out.byte(BRACE)
      out.raw(valueEnd)
      messages.push({ partition, key: compress(key), value: compress(out.take()), rows: 1 })
    },
    flush() {},
  }
}

function writeSource(out: JsonWriter, source: SourceText, physical: string, commitTs: string, nowMs: number): void {
  out.raw(source.start)
  out.ascii(physical)
  out.raw(source.middle)
  out.ascii(commitTs)
  out.raw(source.end)
  out.integer(nowMs)
  out.raw(OPERATION)
}

function writeColumns(out: JsonWriter, columns: readonly DebeziumColumn[], values: Values): void {
  let first = true
  for (const { position, name, write, absent } of columns) {
    if (first) first = false
    else out.byte(COMMA)
    out.raw(name)
    const value = values[position] ?? null
    if (value === null) out.raw(absent)
    else write(out, value)
  }
}

function ddlMessage(event: DdlEvent, { settings, options, compress }: Shared): ControlMessage | undefined {
  const changes = tableChanges(event)
  if (changes === undefined) return undefined
  const { start, middle, end } = sourceText(options.clusterId, event.schema, event.table)
  const [head, place, tail] = [start, middle, end].map((bytes) => Buffer.from(bytes).toString('utf8'))
  const source = `${head}${physicalMs(event.commitTs)}${place}${event.commitTs}${tail}${options.now()}`
  const name = `"databaseName":${quoted(event.schema)}`
  const { disableSchema } = settings.debezium
  return {
    key: compress(bytesOf(`{"payload":{${name}}${disableSchema ? '' : `,"schema":${DDL_KEY_SCHEMA}`}}`)),
    value: compress(
      bytesOf(
        `${source},${name},"schemaName":null,"ddl":${quoted(event.query)},"tableChanges":${changes}}` +
          `${disableSchema ? '' : `,"schema":${DDL_SCHEMA}`}}`,
      ),
    ),
  }
}

function watermarkMessage(ts: Ts, { settings, options, out, compress }: Shared): ControlMessage {
  const name = `${avroName(options.clusterId)}.watermark`
  const { disableSchema } = settings.debezium
  writeSource(out, sourceText(options.clusterId, '', ''), String(physicalMs(ts)), String(ts), options.now())
  out.raw(bytesOf(`"m"}${disableSchema ? '' : `,"schema":${watermarkSchema(name)}`}}`))
  const key = `{"payload":{}${disableSchema ? '' : `,"schema":${keySchema(name, [])}`}}`
  return { key: compress(bytesOf(key)), value: compress(out.take()) }
}
