import { CdcError } from '../../base/errors.ts'
import type { JsonObject, JsonValue } from '../../tidb/json-big.ts'
import type { Ts } from '../../tidb/ts.ts'
import type { Value } from '../../tidb/value.ts'
import {
  decodeObject,
  numberMember,
  objectMember,
  parseFloatText,
  parseInteger,
  parseVector,
  stringMember,
  tsMember,
  type DecodedValues,
} from '../decoded.ts'
import { splitDocuments } from '../documents.ts'

export type CanalEvent = CanalRow | CanalDdl | CanalWatermark

/** Times that every document has, ms since 1970. */
interface CanalTimes {
  /** Of the commit. */
  readonly es: number
  /** When the message was built. */
  readonly ts: number
}

export interface CanalRow extends CanalTimes {
  readonly kind: 'row'
  readonly schema: string
  readonly table: string
  /** Only with `enable-tidb-extension`. */
  readonly commitTs: Ts | undefined
  readonly pkNames: readonly string[]
  /** Column name → type as text, such as `int unsigned`. */
  readonly mysqlTypes: ReadonlyMap<string, string>
  /** Whole for an update even where the message has only the columns that changed. */
  readonly before: DecodedValues | undefined
  readonly after: DecodedValues | undefined
  /** Only columns of the handle key are there: the message was too large for more. */
  readonly onlyHandleKey: boolean
  /** Where the whole message lies, in external storage. */
  readonly claimCheckLocation: string | undefined
}

export interface CanalDdl extends CanalTimes {
  readonly kind: 'ddl'
  readonly schema: string
  readonly table: string
  readonly commitTs: Ts | undefined
  /** Canal's event type, such as `CREATE`. */
  readonly type: string
  readonly query: string
}

export interface CanalWatermark extends CanalTimes {
  readonly kind: 'watermark'
  readonly watermarkTs: Ts
}

const fault = (text: string, cause?: unknown): CdcError =>
  new CdcError('CDC:ErrCanalDecodeFailed', `cannot decode a canal-json message: ${text}`, { cause })

/** The events of one message; a row per item of `data`. Error: `CDC:ErrCanalDecodeFailed`. */
export function decodeCanalJson(value: Uint8Array): readonly CanalEvent[] {
  const document = decodeObject(value, fault)
  const times = { es: numberMember(document['es'], 'es', fault), ts: numberMember(document['ts'], 'ts', fault) }
  const tidb = document['_tidb'] === undefined ? undefined : objectMember(document['_tidb'], '_tidb', fault)
  const type = stringMember(document['type'], 'type', fault)
  if (type === 'TIDB_WATERMARK') {
    return [{ kind: 'watermark', ...times, watermarkTs: tsMember(tidb?.['watermarkTs'], '_tidb.watermarkTs', fault) }]
  }
  const place = {
    schema: stringMember(document['database'], 'database', fault),
    table: stringMember(document['table'], 'table', fault),
    commitTs: tidb?.['commitTs'] === undefined ? undefined : tsMember(tidb['commitTs'], '_tidb.commitTs', fault),
  }
  if (document['isDdl'] === true) {
    return [{ kind: 'ddl', ...place, ...times, type, query: stringMember(document['sql'], 'sql', fault) }]
  }
  return decodeRows(document, type, tidb).map((sides) => ({ kind: 'row', ...place, ...times, ...sides }))
}

/**
 * The events of a storage file: documents with the terminator, or any characters of it, between them. Error:
 * `CDC:ErrCanalDecodeFailed`.
 */
export function* decodeCanalJsonFile(file: Uint8Array, terminator: string): Generator<CanalEvent> {
  const between = new Set(new TextEncoder().encode(`${terminator} \t\r\n`))
  for (const document of splitDocuments(file, between, fault)) yield* decodeCanalJson(document)
}

type Sides = Pick<CanalRow, 'pkNames' | 'mysqlTypes' | 'before' | 'after' | 'onlyHandleKey' | 'claimCheckLocation'>

function decodeRows(document: JsonObject, type: string, tidb: JsonObject | undefined): readonly Sides[] {
  const types = new Map(Object.entries(objectMember(document['mysqlType'] ?? {}, 'mysqlType', fault)))
  const mysqlTypes = new Map(
    [...types].map(([name, text]) => [name, stringMember(text, `mysqlType of ${name}`, fault)]),
  )
  const location = tidb?.['claimCheckLocation']
  const common = {
    mysqlTypes,
    pkNames: items(document['pkNames'] ?? [], 'pkNames').map((name) => stringMember(name, 'a name in pkNames', fault)),
    onlyHandleKey: tidb?.['onlyHandleKey'] === true,
    claimCheckLocation: location === undefined ? undefined : stringMember(location, 'claimCheckLocation', fault),
  }
  const data = items(document['data'], 'data').map((row) => decodeValues(row, mysqlTypes))
  switch (type) {
    case 'INSERT':
      return data.map((after) => ({ ...common, before: undefined, after }))
    case 'DELETE':
      return data.map((before) => ({ ...common, before, after: undefined }))
    case 'UPDATE': {
      const old = items(document['old'], 'old').map((row) => decodeValues(row, mysqlTypes))
      if (old.length !== data.length) throw fault('data and old differ in length')
      return data.map((after, i) => ({ ...common, before: new Map([...after, ...(old[i] ?? [])]), after }))
    }
    default:
      throw fault(`unknown type ${JSON.stringify(type)}`)
  }
}

function items(value: JsonValue | undefined, name: string): readonly JsonValue[] {
  if (!Array.isArray(value)) throw fault(`${name} is not an array`)
  return value
}

function decodeValues(row: JsonValue, types: ReadonlyMap<string, string>): DecodedValues {
  const members = Object.entries(objectMember(row, 'a row', fault))
  return new Map(members.map(([name, value]) => [name, decodeValue(name, value, types.get(name))]))
}

function decodeValue(name: string, json: JsonValue, type: string | undefined): Value {
  if (json === null) return null
  const text = stringMember(json, `the value of column ${name}`, fault)
  const value = parseValue(text, /^[a-z]+/.exec(type ?? '')?.[0])
  if (value === undefined) throw fault(`the value of column ${name} does not fit its type ${String(type)}`)
  return value
}

/** `base`: the type without parameters and attributes. */
function parseValue(text: string, base: string | undefined): Value | undefined {
  switch (base) {
    case 'tinyint':
    case 'smallint':
    case 'mediumint':
    case 'int':
    case 'bigint':
    case 'year':
    case 'bit':
    case 'enum':
    case 'set':
      return parseInteger(text)
    case 'float': {
      const value = parseFloatText(text)
      return value === undefined ? undefined : Math.fround(value)
    }
    case 'double':
      return parseFloatText(text)
    case 'decimal':
    case 'date':
    case 'datetime':
    case 'timestamp':
    case 'time':
    case 'json':
      return text
    case 'char':
    case 'varchar':
    case 'tinytext':
    case 'text':
    case 'mediumtext':
    case 'longtext':
      return new TextEncoder().encode(text)
    case 'binary':
    case 'varbinary':
    case 'tinyblob':
    case 'blob':
    case 'mediumblob':
    case 'longblob':
      return parseLatin1(text)
    case 'vector':
      return parseVector(text)
    default:
      return undefined
  }
}

function parseLatin1(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c > 0xff) return undefined
    bytes[i] = c
  }
  return bytes
}
