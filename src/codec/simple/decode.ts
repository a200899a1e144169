import { CdcError } from '../../base/errors.ts'
import { integerValue, type Value } from '../../tidb/value.ts'
import { parseFloatText, parseInteger, parseVector, type DecodedValues } from '../decoded.ts'
import { decodeAvroMessage } from './decode-avro.ts'
import { decodeJsonMessage } from './decode-json.ts'
import type {
  RawValue,
  RawValues,
  SimpleBootstrap,
  SimpleDdl,
  SimpleMessage,
  SimpleRowMessage,
  SimpleWatermark,
} from './message.ts'
import type { SchemaColumn, TableSchema } from './table-schema.ts'

export type SimpleEvent = SimpleRow | SimpleDdl | SimpleWatermark | SimpleBootstrap

export interface SimpleRow extends Omit<SimpleRowMessage, 'before' | 'after'> {
  readonly before: DecodedValues | undefined
  readonly after: DecodedValues | undefined
  readonly tableSchema: TableSchema
}

export interface SimpleDecoder {
  /**
   * What this message makes known, in order: usually its own event; none for a row whose schema has not come yet, and
   * with a schema also the rows that waited for it. Error: `CDC:ErrDecodeFailed`.
   */
  decode(value: Uint8Array): readonly SimpleEvent[]
  /** Rows that wait for the schema of their table. */
  readonly waiting: number
}

const fault = (text: string, cause?: unknown): CdcError =>
  new CdcError('CDC:ErrDecodeFailed', `cannot decode a simple message: ${text}`, { cause })

/** One message by itself; its encoding shows in the first byte. Error: `CDC:ErrDecodeFailed`. */
export function decodeSimpleMessage(value: Uint8Array): SimpleMessage {
  return value[0] === AVRO_MESSAGE ? decodeAvroMessage(value, fault) : decodeJsonMessage(value, fault)
}

/** Branch 11 of the Avro schema; no JSON document begins with it. */
const AVRO_MESSAGE = 0x16

/**
 * Decodes the messages of one partition in their order. Schemas are remembered by (schema, table, version); a row of an
 * unknown one waits, and with it all later rows of its table (reference: protocols-avro-simple-debezium, B.8).
 */
export function createSimpleDecoder(): SimpleDecoder {
  const schemas = new Map<string, TableSchema>()
  const waiting = new Map<string, SimpleRowMessage[]>()
  let count = 0

  const learn = (schema: TableSchema | undefined): SimpleEvent[] => {
    if (schema === undefined) return []
    schemas.set(keyOf(schema.schema, schema.table, schema.version), schema)
    const name = keyOf(schema.schema, schema.table)
    const rows = waiting.get(name)
    const events: SimpleEvent[] = []
    while (rows !== undefined && rows[0] !== undefined) {
      const known = schemaOf(rows[0])
      if (known === undefined) return events
      events.push(typedRow(rows[0], known))
      rows.shift()
      count--
    }
    waiting.delete(name)
    return events
  }

  const schemaOf = ({ schema, table, schemaVersion }: SimpleRowMessage): TableSchema | undefined =>
    schemas.get(keyOf(schema, table, schemaVersion))

  return {
    decode(value) {
      const message = decodeSimpleMessage(value)
      switch (message.kind) {
        case 'watermark':
          return [message]
        case 'bootstrap':
          return [message, ...learn(message.tableSchema)]
        case 'ddl':
          // Rows that waited stand before the DDL.
          return [...learn(message.preTableSchema), ...learn(message.tableSchema), message]
        case 'row': {
          const name = keyOf(message.schema, message.table)
          const known = waiting.has(name) ? undefined : schemaOf(message)
          if (known !== undefined) return [typedRow(message, known)]
          waiting.getOrInsertComputed(name, () => []).push(message)
          count++
          return []
        }
      }
    },
    get waiting() {
      return count
    },
  }
}

const keyOf = (...parts: readonly (string | bigint)[]): string => parts.map(String).join('\0')

function typedRow(message: SimpleRowMessage, tableSchema: TableSchema): SimpleRow {
  const columns = new Map(tableSchema.columns.map((column) => [column.name, column]))
  const typed = (values: RawValues | undefined): DecodedValues | undefined =>
    values && new Map([...values].map(([name, raw]) => [name, typedValue(name, raw, columns.get(name))]))
  return { ...message, before: typed(message.before), after: typed(message.after), tableSchema }
}

function typedValue(name: string, raw: RawValue, column: SchemaColumn | undefined): Value {
  if (raw === null) return null
  const value = column === undefined ? undefined : convert(raw, column.mysqlType)
  if (value === undefined) throw fault(`the value of column ${name} does not fit its type ${column?.mysqlType}`)
  return value
}

/** undefined where it does not fit. */
function convert(raw: NonNullable<RawValue>, mysqlType: string): Value | undefined {
  const text = typeof raw === 'string' ? raw : undefined
  switch (mysqlType) {
    case 'tinyint':
    case 'smallint':
    case 'mediumint':
    case 'int':
    case 'year':
    case 'enum':
    case 'bigint':
      return text === undefined ? integerOf(raw) : parseInteger(text)
    case 'bit':
    case 'set': {
      const value = text === undefined ? integerOf(raw) : parseInteger(text)
      return value === undefined ? undefined : integerValue(BigInt.asUintN(64, BigInt(value)))
    }
    case 'float': {
      const value = text === undefined ? raw : parseFloatText(text)
      return typeof value === 'number' ? Math.fround(value) : undefined
    }
    case 'double': {
      const value = text === undefined ? raw : parseFloatText(text)
      return typeof value === 'number' ? value : undefined
    }
    case 'decimal':
    case 'date':
    case 'datetime':
    case 'time':
    case 'json':
      return text
    case 'timestamp':
      return typeof raw === 'object' && !(raw instanceof Uint8Array) ? raw.value : undefined
    case 'char':
    case 'varchar':
    case 'tinytext':
    case 'text':
    case 'mediumtext':
    case 'longtext':
      return text === undefined ? undefined : new TextEncoder().encode(text)
    case 'binary':
    case 'varbinary':
    case 'tinyblob':
    case 'blob':
    case 'mediumblob':
    case 'longblob':
      return raw instanceof Uint8Array ? raw : text === undefined ? undefined : base64Bytes(text)
    case 'vector':
      return text === undefined ? undefined : parseVector(text)
    default:
      return undefined
  }
}

function integerOf(raw: NonNullable<RawValue>): number | bigint | undefined {
  if (typeof raw === 'bigint') return integerValue(raw)
  return typeof raw === 'number' && Number.isInteger(raw) ? raw : undefined
}

function base64Bytes(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined
  return new Uint8Array(Buffer.from(text, 'base64'))
}
