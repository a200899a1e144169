import { CdcError, describeError } from '../../base/errors.ts'
import { Ts } from '../../tidb/ts.ts'
import { integerValue, type Value } from '../../tidb/value.ts'
import { AvroReader } from '../avro-binary.ts'
import { parseInteger, parseVector, type DecodedValues } from '../decoded.ts'
import { allowedName } from './column.ts'
import { decimalText } from './decimal.ts'
import { openEnvelope } from './envelope.ts'
import type { SchemaId, SchemaRegistry } from './registry.ts'

/** Names are as Avro has them, sanitised. */
export interface AvroRow {
  readonly kind: 'row'
  /** Of the record: the namespace's last part, empty where it has only the changefeed's. */
  readonly schema: string
  readonly table: string
  /** undefined where the table has no handle key. */
  readonly key: DecodedValues | undefined
  /** undefined = the row was deleted. */
  readonly after: DecodedValues | undefined
  /** undefined for a delete, and without `enable-tidb-extension`. */
  readonly extension: AvroExtension | undefined
}

export interface AvroExtension {
  readonly op: string
  readonly commitTs: Ts
  /** undefined where the row has none. */
  readonly checksum: { readonly value: number; readonly version: number; readonly corrupted: boolean } | undefined
}

/** Only with `avro-enable-watermark`. */
export interface AvroWatermark {
  readonly kind: 'watermark'
  readonly watermarkTs: Ts
}

/** Only with `avro-enable-watermark`. */
export interface AvroDdl {
  readonly kind: 'ddl'
  readonly schema: string
  readonly table: string
  readonly query: string
}

export type AvroEvent = AvroRow | AvroWatermark | AvroDdl

export interface AvroDecoder {
  /**
   * The event of one message, undefined for one without key and value (a delete of a table without handle key). Asks the
   * registry once per schema. Errors: `CDC:ErrAvroInvalidMessage`, `CDC:ErrAvroSchemaAPIError`.
   */
  decode(key: Uint8Array | null, value: Uint8Array | null, signal: AbortSignal): Promise<AvroEvent | undefined>
}

const fault = (text: string, cause?: unknown): CdcError =>
  new CdcError('CDC:ErrAvroInvalidMessage', `avro invalid message format, ${text}`, { cause })

export function createAvroDecoder(registry: Pick<SchemaRegistry, 'schema'>): AvroDecoder {
  const decoders = new Map<SchemaId, Promise<RecordDecoder>>()
  const decoderOf = (id: SchemaId, signal: AbortSignal): Promise<RecordDecoder> => {
    const known = decoders.get(id)
    if (known !== undefined) return known
    const compiled = registry.schema(id, signal).then(compileAvroDecoder)
    decoders.set(id, compiled)
    compiled.catch(() => decoders.delete(id))
    return compiled
  }
  const decodeRecord = async (message: Uint8Array, signal: AbortSignal): Promise<DecodedRecord> => {
    const { id, record } = openEnvelope(message)
    return (await decoderOf(id, signal))(record)
  }
  return {
    async decode(key, value, signal) {
      if (key === null && value !== null && (value[0] === 1 || value[0] === 2)) return decodeControl(value)
      const keyRecord = key === null ? undefined : await decodeRecord(key, signal)
      const record = value === null ? undefined : await decodeRecord(value, signal)
      const any = record ?? keyRecord
      if (any === undefined) return undefined
      const { schema, table } = any
      const extension = record?.extension
      return { kind: 'row', schema, table, key: keyRecord?.values, after: record?.values, extension }
    },
  }
}

function decodeControl(value: Uint8Array): AvroWatermark | AvroDdl {
  if (value[0] === 2) {
    if (value.length !== 9) throw fault('a watermark has 9 bytes')
    const view = new DataView(value.buffer, value.byteOffset)
    return { kind: 'watermark', watermarkTs: Ts(view.getBigUint64(1)) }
  }
  const ddl = parseJson(Buffer.from(value.subarray(1)).toString(), 'a DDL')
  const text = (name: string): string => textOf(ddl[name], `${name} of a DDL`)
  return { kind: 'ddl', schema: text('schema'), table: text('table'), query: text('query') }
}

export interface DecodedRecord {
  readonly schema: string
  readonly table: string
  readonly values: DecodedValues
  readonly extension: AvroExtension | undefined
}

export type RecordDecoder = (record: Uint8Array) => DecodedRecord

type Read = (reader: AvroReader) => Value | boolean

/**
 * Compiles the reader of records of a schema that an avro changefeed registered; values come back as the types of TiDB
 * that the schema names. Errors: `CDC:ErrAvroInvalidMessage`, also for other schemas.
 */
export function compileAvroDecoder(schemaText: string): RecordDecoder {
  const schema = parseJson(schemaText, 'the schema')
  const { fields } = schema
  if (schema['type'] !== 'record' || !Array.isArray(fields)) throw fault('the schema is not a record')
  const table = textOf(schema['name'], 'the name of the schema')
  const [, database = ''] = textOf(schema['namespace'] ?? '', 'the namespace').split('.')
  const readers = fields.map((field: unknown) => {
    const { name, type } = objectOf(field, 'a field of the schema')
    const text = textOf(name, 'the name of a field')
    return { name: text, read: readerOf(type, text) }
  })
  return (record) => {
    const reader = new AvroReader(record)
    const values = new Map<string, Value>()
    const extension = new Map<string, Value | boolean>()
    for (const { name, read } of readers) {
      let value: Value | boolean
      try {
        value = read(reader)
      } catch (cause) {
        throw fault(`field ${name}: ${describeError(cause)}`, cause)
      }
      if (EXTENSION.has(name)) extension.set(name, value)
      else if (typeof value !== 'boolean') values.set(name, value)
    }
    if (reader.left > 0) throw fault(`${reader.left} bytes follow the record`)
    return { schema: database, table, values, extension: extensionOf(extension) }
  }
}

const EXTENSION: ReadonlySet<string> = new Set([
  '_tidb_op',
  '_tidb_commit_ts',
  '_tidb_commit_physical_time',
  '_tidb_row_level_checksum',
  '_tidb_corrupted',
  '_tidb_checksum_version',
])

function extensionOf(fields: ReadonlyMap<string, Value | boolean>): AvroExtension | undefined {
  const commitTs = fields.get('_tidb_commit_ts')
  if (typeof commitTs !== 'number' && typeof commitTs !== 'bigint') return undefined
  const checksum = Number(fields.get('_tidb_row_level_checksum') ?? 0)
  const version = Number(fields.get('_tidb_checksum_version') ?? 0)
  return {
    op: String(fields.get('_tidb_op')),
    commitTs: Ts(BigInt.asUintN(64, BigInt(commitTs))),
    checksum:
      checksum === 0 ? undefined : { value: checksum, version, corrupted: fields.get('_tidb_corrupted') === true },
  }
}

function readerOf(type: unknown, name: string): Read {
  if (!Array.isArray(type)) return valueReader(type, name)
  const branches: readonly unknown[] = type
  const readers = branches.map((branch): Read => (branch === 'null' ? () => null : valueReader(branch, name)))
  return (reader) => readers[reader.index(readers.length)]?.(reader) ?? null
}

function valueReader(type: unknown, name: string): Read {
  if (typeof type === 'string') return plainReader(type, name)
  const { type: avro, 'connect.parameters': given, logicalType, scale } = objectOf(type, `the type of field ${name}`)
  const parameters = given === undefined ? {} : objectOf(given, `connect.parameters of field ${name}`)
  const plain = plainReader(textOf(avro, `the type of field ${name}`), name)
  if (logicalType === 'decimal') {
    const digits = Number(scale ?? 0)
    if (!Number.isInteger(digits) || digits < 0 || digits > 100) throw fault(`field ${name} has no usable scale`)
    return (reader) => decimalText(reader.bytes(), digits)
  }
  const tidbType = textOf(parameters['tidb_type'] ?? '', `tidb_type of field ${name}`)
  const convert = converter(tidbType, textOf(parameters['allowed'] ?? '', `allowed of field ${name}`))
  return (reader) => {
    const raw = plain(reader)
    const value = convert(raw)
    if (value === undefined) throw new RangeError(`a value is no ${tidbType}`)
    return value
  }
}

function plainReader(avro: string, name: string): Read {
  switch (avro) {
    case 'int':
    case 'long':
      return (reader) => reader.long()
    case 'float':
      return (reader) => reader.float()
    case 'double':
      return (reader) => reader.double()
    case 'string':
      return (reader) => reader.string()
    case 'bytes':
      return (reader) => reader.bytes()
    case 'boolean':
      return (reader) => reader.boolean()
    default:
      throw fault(`field ${name} has the type ${avro}, which no avro changefeed writes`)
  }
}

/** From Avro's value to TiDB's; undefined where it does not fit. */
function converter(tidbType: string, allowed: string): (value: Value | boolean) => Value | boolean | undefined {
  switch (tidbType) {
    case 'BIGINT UNSIGNED':
      return (value) => {
        if (typeof value === 'string') return parseInteger(value)
        if (typeof value === 'bigint') return integerValue(BigInt.asUintN(64, value))
        return typeof value === 'number' && value < 0 ? BigInt.asUintN(64, BigInt(value)) : value
      }
    case 'BIT':
      return (value) =>
        value instanceof Uint8Array && value.length <= 8
          ? integerValue(BigInt(`0x0${Buffer.from(value).toString('hex')}`))
          : undefined
    case 'TEXT':
      return (value) => (typeof value === 'string' ? new TextEncoder().encode(value) : undefined)
    case 'ENUM': {
      const names = elementsOf(allowed)
      return (value) => indexIn(names, value)
    }
    case 'SET': {
      const names = elementsOf(allowed)
      return (value) => maskOf(names, value)
    }
    case 'TiDBVECTORFloat32':
      return (value) => (typeof value === 'string' ? parseVector(value) : undefined)
    default:
      return (value) => value
  }
}

/** Elements still in the form of `allowed`, to be compared with {@link allowedName}. */
const elementsOf = (allowed: string): readonly string[] => allowed.split(/(?<!\\),/)

function indexIn(names: readonly string[], value: Value | boolean): number | undefined {
  const at = typeof value === 'string' ? names.indexOf(allowedName(value)) : -1
  return at < 0 ? undefined : at + 1
}

function maskOf(names: readonly string[], value: Value | boolean): Value | undefined {
  if (value === '') return 0
  if (typeof value !== 'string') return undefined
  let mask = 0n
  for (const name of value.split(',')) {
    const index = indexIn(names, name)
    if (index === undefined) return undefined
    mask |= 1n << BigInt(index - 1)
  }
  return integerValue(mask)
}

function parseJson(text: string, what: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw fault(`${what} is not JSON`, cause)
  }
  return objectOf(value, what)
}

function objectOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fault(`${what} is not an object`)
  return { ...value }
}

function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string') throw fault(`${what} is not a text`)
  return value
}
