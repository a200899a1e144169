import type { CodecSettings } from '../../config/sink-settings.ts'
import type { DdlEvent } from '../../event/ddl-event.ts'
import type { Messages } from '../../event/encoded.ts'
import type { RowChange, Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { physicalMs, type Ts, zeroTs } from '../../tidb/ts.ts'
import { AvroWriter, prepareAvro } from '../avro-binary.ts'
import { jsonString } from '../json-text.ts'
import type { ControlMessage, Protocol, RowEncoder } from '../protocol.ts'
import { MAX_RECORD_OVERHEAD, messageTooLarge } from '../size.ts'
import { subjectOf } from './name.ts'
import type { SchemaRegistry } from './registry.ts'
import { type AvroRecord, compileRecord, type ExtensionField } from './schema.ts'

export interface AvroContext {
  /** Of the changefeed. */
  readonly namespace: string
  /** undefined on the control side, which encodes no rows. */
  readonly registry: SchemaRegistry | undefined
}

/** First bytes of what only TiCDC's tests read. */
const DDL = 1
const WATERMARK = 2

const EXTENSION: readonly ExtensionField[] = [
  { name: '_tidb_op', type: 'string', default: '""' },
  { name: '_tidb_commit_ts', type: 'long', default: '0' },
  { name: '_tidb_commit_physical_time', type: 'long', default: '0' },
]

const CHECKSUM: readonly ExtensionField[] = [
  { name: '_tidb_row_level_checksum', type: 'string', default: '""' },
  { name: '_tidb_corrupted', type: 'boolean', default: 'false' },
  { name: '_tidb_checksum_version', type: 'int', default: '0' },
]

/** A table's records with the headers that the registry gave them. */
interface Registered {
  /** undefined = the table has no handle key, and its messages no key. */
  readonly key: Headed | undefined
  readonly value: Headed
}

interface Headed {
  readonly header: Uint8Array
  readonly record: AvroRecord
}

/** One message per row: Avro records of the key and of the new row (reference: protocols-avro-simple-debezium, A). */
export function createAvro(settings: CodecSettings, context: AvroContext): Protocol {
  const out = new AvroWriter()
  const registered = new WeakMap<TableVersion, Registered>()
  return {
    async prepare(table, topic, signal) {
      registered.set(table, await register(table, topic, settings, context, signal))
    },
    compile(table) {
      const records = registered.get(table)
      if (records === undefined) throw new TypeError(`${table.schema}.${table.table} was not prepared`)
      return compileTable(table, records, settings, out)
    },
    ddl: (event) => (settings.avro.enableWatermark ? ddlMessage(event) : undefined),
    watermark: (ts) => (settings.avro.enableWatermark ? watermarkMessage(ts) : undefined),
    ddlPartitions: 'all',
  }
}

async function register(
  table: TableVersion,
  topic: string,
  settings: CodecSettings,
  { namespace, registry }: AvroContext,
  signal: AbortSignal,
): Promise<Registered> {
  if (registry === undefined) throw new TypeError('avro rows need a schema registry')
  const head = async (part: 'key' | 'value', record: AvroRecord): Promise<Headed> => ({
    header: await registry.register(subjectOf(topic, part), record.schema, signal),
    record,
  })
  const { key, value } = tableRecords(table, settings, namespace)
  return { key: key && (await head('key', key)), value: await head('value', value) }
}

/** Key and value records of a table; the value's columns are in the order of their ids where rows have checksums. */
export function tableRecords(
  table: TableVersion,
  settings: CodecSettings,
  namespace: string,
): { readonly key: AvroRecord | undefined; readonly value: AvroRecord } {
  const { avro, enableTidbExtension, rowChecksum } = settings
  const common = { settings: avro, namespace }
  const keyPositions = table.handleKey.toSorted((a, b) => a - b)
  const inOrder = [...table.columns.entries()].map(([position, { id }]) => ({ position, id }))
  if (rowChecksum) inOrder.sort((a, b) => a.id - b.id)
  const extension = enableTidbExtension ? [...EXTENSION, ...(rowChecksum ? CHECKSUM : [])] : []
  const positions = inOrder.map(({ position }) => position)
  return {
    key: keyPositions.length === 0 ? undefined : compileRecord(table, keyPositions, { ...common, extension: [] }),
    value: compileRecord(table, positions, { ...common, extension }),
  }
}

function compileTable(table: TableVersion, records: Registered, settings: CodecSettings, out: AvroWriter): RowEncoder {
  const { enableTidbExtension, rowChecksum, maxMessageBytes } = settings
  const extend = enableTidbExtension ? createExtension(out, rowChecksum) : undefined

  const write = ({ header, record }: Headed, values: Values, row: RowChange | undefined): Uint8Array => {
    try {
      out.raw(header)
      record.write(out, values)
      if (row !== undefined) extend?.(row)
    } catch (error) {
      out.discard()
      throw error
    }
    return out.take()
  }

  return {
    encode(row: RowChange, partition: number, messages: Messages): void {
      const values = row.after ?? row.before
      if (values === undefined) return
      const key = records.key === undefined ? null : write(records.key, values, undefined)
      const value = row.after === undefined ? null : write(records.value, row.after, row)
      const length = (key?.length ?? 0) + (value?.length ?? 0) + MAX_RECORD_OVERHEAD
      if (length > maxMessageBytes) throw messageTooLarge(table, length, maxMessageBytes)
      messages.push({ partition, key, value, rows: 1 })
    },
    flush() {},
  }
}

/** Appends the fields of {@link EXTENSION}, whose times are one transaction's. */
function createExtension(out: AvroWriter, rowChecksum: boolean): (row: RowChange) => void {
  let last = zeroTs
  let times: Uint8Array = new Uint8Array(0)
  return (row) => {
    out.string(row.before === undefined ? 'c' : 'u')
    if (row.commitTs !== last) {
      last = row.commitTs
      times = prepareAvro((writer) => {
        writer.long(row.commitTs)
        writer.long(physicalMs(row.commitTs))
      })
    }
    out.raw(times)
    if (!rowChecksum) return
    const { checksum } = row
    const present = checksum !== undefined && checksum.current !== 0
    out.string(present ? String(checksum.current) : '')
    out.byte(present && checksum.corrupted ? 1 : 0)
    out.long(present ? checksum.version : 0)
  }
}

function watermarkMessage(ts: Ts): ControlMessage {
  const value = new Uint8Array(9)
  value[0] = WATERMARK
  new DataView(value.buffer).setBigUint64(1, ts)
  return { key: null, value }
}

function ddlMessage({ query, type, schema, table, commitTs }: DdlEvent): ControlMessage {
  const [sql, database, name] = [query, schema, table].map((text) => jsonString(text, 'short'))
  const json = `{"query":${sql},"type":${type},"schema":${database},"table":${name},"commitTs":${commitTs}}`
  return { key: null, value: Buffer.concat([Uint8Array.of(DDL), Buffer.from(json)]) }
}
