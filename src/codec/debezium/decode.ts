import { CdcError } from '../../base/errors.ts'
import type { JsonObject, JsonValue } from '../../tidb/json-big.ts'
import type { Ts } from '../../tidb/ts.ts'
import { decodeObject, objectMember, stringMember, tsMember } from '../decoded.ts'

export type DebeziumEvent = DebeziumRow | DebeziumDdl | DebeziumWatermark

/** Column name → value as JSON has it. */
export type DebeziumValues = ReadonlyMap<string, JsonValue>

export interface DebeziumRow {
  readonly kind: 'row'
  readonly schema: string
  readonly table: string
  readonly commitTs: Ts
  readonly before: DebeziumValues | undefined
  readonly after: DebeziumValues | undefined
  /** Of the handle key; empty where the table has none. */
  readonly key: DebeziumValues
  /** What the message says about its columns; empty without schemas. */
  readonly columns: ReadonlyMap<string, DebeziumColumnType>
}

export interface DebeziumColumnType {
  /** Of Kafka Connect, such as `int64`. */
  readonly type: string
  /** Such as `io.debezium.time.Date`. */
  readonly name: string | undefined
  readonly optional: boolean
}

export interface DebeziumDdl {
  readonly kind: 'ddl'
  readonly schema: string
  readonly table: string
  readonly commitTs: Ts
  readonly query: string
}

export interface DebeziumWatermark {
  readonly kind: 'watermark'
  readonly watermarkTs: Ts
}

const fault = (text: string, cause?: unknown): CdcError =>
  new CdcError('CDC:ErrDebeziumInvalidMessage', `cannot decode a debezium message: ${text}`, { cause })

/** The event of one message. Error: `CDC:ErrDebeziumInvalidMessage`. */
export function decodeDebezium(key: Uint8Array, value: Uint8Array): DebeziumEvent {
  const keyPayload = objectMember(decodeObject(key, fault)['payload'], 'payload of the key', fault)
  const document = decodeObject(value, fault)
  const payload = objectMember(document['payload'], 'payload', fault)
  const source = objectMember(payload['source'], 'source', fault)
  const commitTs = tsMember(source['commit_ts'], 'source.commit_ts', fault)
  const place = {
    schema: stringMember(source['db'], 'source.db', fault),
    table: stringMember(source['table'], 'source.table', fault),
  }
  if (payload['ddl'] !== undefined)
    return { kind: 'ddl', ...place, commitTs, query: stringMember(payload['ddl'], 'ddl', fault) }
  const operation = stringMember(payload['op'], 'op', fault)
  if (operation === 'm') return { kind: 'watermark', watermarkTs: commitTs }
  if (!['c', 'u', 'd', 'r'].includes(operation)) throw fault(`unknown op ${JSON.stringify(operation)}`)
  const [before, after] = [valuesOf(payload, 'before'), valuesOf(payload, 'after')]
  if (operation === 'd' ? before === undefined : after === undefined) throw fault(`op ${operation} has no row`)
  const columns = columnTypes(document['schema'])
  return { kind: 'row', ...place, commitTs, before, after, key: new Map(Object.entries(keyPayload)), columns }
}

function valuesOf(payload: JsonObject, side: 'before' | 'after'): DebeziumValues | undefined {
  const values = payload[side]
  if (values === undefined || values === null) return undefined
  return new Map(Object.entries(objectMember(values, side, fault)))
}

/** Of the envelope's field `after`. */
function columnTypes(schema: JsonValue | undefined): ReadonlyMap<string, DebeziumColumnType> {
  if (schema === undefined) return new Map()
  const sides = fieldsOf(objectMember(schema, 'schema', fault))
  const after = sides.find((side) => side['field'] === 'after')
  return new Map(
    (after === undefined ? [] : fieldsOf(after)).map((field) => {
      const name = field['name'] === undefined ? undefined : stringMember(field['name'], 'name of a field', fault)
      const type = {
        type: stringMember(field['type'], 'type of a field', fault),
        name,
        optional: field['optional'] === true,
      }
      return [stringMember(field['field'], 'field', fault), type]
    }),
  )
}

function fieldsOf(struct: JsonObject): readonly JsonObject[] {
  const fields = struct['fields']
  if (!Array.isArray(fields)) throw fault('the schema has no fields')
  return fields.map((field) => objectMember(field, 'a field', fault))
}
