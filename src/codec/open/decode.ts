import { CdcError } from '../../base/errors.ts'
import { ColumnFlag } from '../../event/table-version.ts'
import type { JsonObject, JsonValue } from '../../tidb/json-big.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import type { Ts } from '../../tidb/ts.ts'
import type { Value } from '../../tidb/value.ts'
import {
  decodeObject,
  integerMember,
  numberMember,
  objectMember,
  parseVector,
  stringMember,
  tsMember,
  type DecodedValues,
} from '../decoded.ts'
import { goUnquote } from './go-quote.ts'

export type OpenEvent = OpenRow | OpenDdl | OpenResolved

export interface OpenRow {
  readonly kind: 'row'
  readonly commitTs: Ts
  readonly schema: string
  readonly table: string
  /** Of the partition, where the table has partitions. */
  readonly partitionId: bigint | undefined
  readonly columns: ReadonlyMap<string, OpenColumnType>
  /** Whole for an update even where the message has only the columns that changed; undefined without old values. */
  readonly before: DecodedValues | undefined
  readonly after: DecodedValues | undefined
  /** Only columns of the handle key are there: the message was too large for more. */
  readonly onlyHandleKey: boolean
  /** Where the whole message lies, in external storage. */
  readonly claimCheckLocation: string | undefined
}

export interface OpenColumnType {
  /** {@link MysqlType} */
  readonly type: number
  /** {@link ColumnFlag} bits; 0 from producers that did not write them. */
  readonly flags: number
  readonly handleKey: boolean
}

export interface OpenDdl {
  readonly kind: 'ddl'
  readonly commitTs: Ts
  readonly schema: string
  readonly table: string
  /** TiDB's action code. */
  readonly type: number
  readonly query: string
}

export interface OpenResolved {
  readonly kind: 'resolved'
  readonly ts: Ts
}

const fault = (text: string, cause?: unknown): CdcError =>
  new CdcError('CDC:ErrOpenProtocolCodecInvalidData', `cannot decode an open-protocol message: ${text}`, { cause })

/** The events of one message, none or many. Error: `CDC:ErrOpenProtocolCodecInvalidData`. */
export function decodeOpenProtocol(key: Uint8Array, value: Uint8Array): readonly OpenEvent[] {
  if (key.length < 8 || new DataView(key.buffer, key.byteOffset).getBigUint64(0) !== 1n) {
    throw fault('its version is not 1')
  }
  const keys = sizedParts(key, 8, 'key')
  const values = sizedParts(value, 0, 'value')
  if (keys.length !== values.length) throw fault(`it has ${keys.length} keys and ${values.length} values`)
  return keys.map((one, i) => decodeEvent(decodeObject(one, fault), values[i] ?? new Uint8Array()))
}

/** Pieces, each behind its length. */
function sizedParts(bytes: Uint8Array, start: number, name: string): readonly Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const parts: Uint8Array[] = []
  for (let at = start; at < bytes.length;) {
    if (bytes.length - at < 8) throw fault(`the ${name} ends within a length, at byte ${at}`)
    const length = view.getBigUint64(at)
    at += 8
    if (length > BigInt(bytes.length - at)) throw fault(`the ${name} ends before byte ${BigInt(at) + length}`)
    parts.push(bytes.subarray(at, at + Number(length)))
    at += Number(length)
  }
  return parts
}

function decodeEvent(key: JsonObject, value: Uint8Array): OpenEvent {
  const ts = tsMember(key['ts'], 'ts', fault)
  const type = numberMember(key['t'], 't of the key', fault)
  const place = {
    schema: stringMember(key['scm'] ?? '', 'scm', fault),
    table: stringMember(key['tbl'] ?? '', 'tbl', fault),
  }
  switch (type) {
    case 1:
      return { kind: 'row', commitTs: ts, ...place, ...decodeMarks(key), ...decodeRow(decodeObject(value, fault)) }
    case 2: {
      const ddl = decodeObject(value, fault)
      const [query, action] = [stringMember(ddl['q'], 'q', fault), numberMember(ddl['t'], 't of the DDL', fault)]
      return { kind: 'ddl', commitTs: ts, ...place, type: action, query }
    }
    case 3:
      return { kind: 'resolved', ts }
    default:
      throw fault(`unknown type ${type} in the key`)
  }
}

function decodeMarks(key: JsonObject): Pick<OpenRow, 'partitionId' | 'onlyHandleKey' | 'claimCheckLocation'> {
  const [ptn, ccl] = [key['ptn'], key['ccl']]
  return {
    partitionId: ptn === undefined ? undefined : integerMember(ptn, 'ptn', fault),
    onlyHandleKey: key['ohk'] === true,
    claimCheckLocation: ccl === undefined ? undefined : stringMember(ccl, 'ccl', fault),
  }
}

function decodeRow(row: JsonObject): Pick<OpenRow, 'columns' | 'before' | 'after'> {
  const [fresh, previous, deleted] = ['u', 'p', 'd'].map((name) => {
    const part = row[name]
    return part === undefined || part === null ? undefined : Object.entries(objectMember(part, name, fault))
  })
  if (fresh === undefined) {
    if (deleted === undefined) throw fault('a row has neither u nor d')
    return { columns: decodeTypes(deleted), before: decodeValues(deleted), after: undefined }
  }
  const after = decodeValues(fresh)
  const before = previous === undefined ? undefined : new Map([...after, ...decodeValues(previous)])
  return { columns: decodeTypes(fresh), before, after }
}

type Members = readonly (readonly [string, JsonValue])[]

const decodeTypes = (members: Members): ReadonlyMap<string, OpenColumnType> =>
  new Map(members.map(([name, column]) => [name, decodeType(objectMember(column, `column ${name}`, fault), name)]))

const decodeType = (column: JsonObject, name: string): OpenColumnType => ({
  type: numberMember(column['t'], `t of column ${name}`, fault),
  flags: numberMember(column['f'] ?? 0, `f of column ${name}`, fault),
  handleKey: column['h'] === true,
})

const decodeValues = (members: Members): DecodedValues =>
  new Map(
    members.map(([name, member]) => {
      const column = objectMember(member, `column ${name}`, fault)
      const { type, flags } = decodeType(column, name)
      const value = decodeValue(type, (flags & ColumnFlag.Binary) !== 0, column['v'] ?? null)
      if (value === undefined) throw fault(`the value of column ${name} does not fit its type ${type}`)
      return [name, value]
    }),
  )

/** undefined = the value does not fit. */
function decodeValue(type: number, binary: boolean, json: JsonValue): Value | undefined {
  if (json === null) return null
  switch (type) {
    case MysqlType.Tiny:
    case MysqlType.Short:
    case MysqlType.Int24:
    case MysqlType.Long:
    case MysqlType.Longlong:
    case MysqlType.Year:
    case MysqlType.Bit:
    case MysqlType.Enum:
    case MysqlType.Set:
      // Texts are let through: samples of old producers have them.
      return typeof json === 'bigint' || Number.isInteger(json) || typeof json === 'string'
        ? integerOf(json)
        : undefined
    case MysqlType.Float:
    case MysqlType.Double: {
      const value = typeof json === 'number' || typeof json === 'bigint' ? Number(json) : Number.NaN
      if (!Number.isFinite(value)) return undefined
      return type === MysqlType.Float ? Math.fround(value) : value
    }
    case MysqlType.NewDecimal:
    case MysqlType.Date:
    case MysqlType.NewDate:
    case MysqlType.Datetime:
    case MysqlType.Timestamp:
    case MysqlType.Duration:
    case MysqlType.Json:
      return typeof json === 'string' ? json : undefined
    case MysqlType.String:
    case MysqlType.Varchar:
    case MysqlType.VarString:
      if (typeof json !== 'string') return undefined
      return binary ? goUnquote(json) : new TextEncoder().encode(json)
    case MysqlType.TinyBlob:
    case MysqlType.Blob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return typeof json === 'string' ? parseBase64(json) : undefined
    case MysqlType.VectorFloat32:
      return typeof json === 'string' ? parseVector(json) : undefined
    default:
      return undefined
  }
}

const integerOf = (json: JsonValue): Value | undefined =>
  typeof json === 'number' || typeof json === 'bigint' || typeof json === 'string' ? json : undefined

function parseBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined
  return new Uint8Array(Buffer.from(text, 'base64'))
}
