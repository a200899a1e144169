import { CdcError } from '../../base/errors.ts'
import type { JsonObject, JsonValue } from '../../tidb/json-big.ts'
import type { Ts } from '../../tidb/ts.ts'
import { decodeObject, integerMember, objectMember, stringMember, tsMember } from '../decoded.ts'
import { splitDocuments } from '../documents.ts'

export type MaxwellEvent = MaxwellRow | MaxwellDdl

/** Column name → value as JSON has it: nothing in a message tells the column's type. */
export type MaxwellValues = ReadonlyMap<string, JsonValue>

export interface MaxwellRow {
  readonly kind: 'row'
  readonly schema: string
  readonly table: string
  /** Of the commit, seconds since 1970. */
  readonly seconds: bigint
  /** Whole for an update even where the message has only the columns that changed. */
  readonly before: MaxwellValues | undefined
  readonly after: MaxwellValues | undefined
}

export interface MaxwellDdl {
  readonly kind: 'ddl'
  readonly schema: string
  readonly table: string
  readonly commitTs: Ts
  /** Such as `table-alter`. */
  readonly type: string
  readonly query: string
}

const fault = (text: string, cause?: unknown): CdcError =>
  new CdcError('CDC:ErrMaxwellInvalidData', `cannot decode a maxwell message: ${text}`, { cause })

const ROW_TYPES = ['insert', 'update', 'delete']

/** The rows of one message, or its DDL. Error: `CDC:ErrMaxwellInvalidData`. */
export function decodeMaxwell(value: Uint8Array): readonly MaxwellEvent[] {
  return [...splitDocuments(value, new Set(), fault)].map((bytes) => {
    const document = decodeObject(bytes, fault)
    const type = stringMember(document['type'], 'type', fault)
    return ROW_TYPES.includes(type) ? decodeRow(document, type) : decodeDdl(document, type)
  })
}

const place = (document: JsonObject): { schema: string; table: string } => ({
  schema: stringMember(document['database'], 'database', fault),
  table: stringMember(document['table'], 'table', fault),
})

function decodeRow(document: JsonObject, type: string): MaxwellRow {
  const side = (name: 'data' | 'old'): MaxwellValues | undefined =>
    document[name] === undefined ? undefined : new Map(Object.entries(objectMember(document[name], name, fault)))
  const row = { kind: 'row', ...place(document), seconds: integerMember(document['ts'], 'ts', fault) } as const
  const [data, old] = [side('data'), side('old')]
  switch (type) {
    case 'insert':
      return { ...row, before: undefined, after: data ?? new Map() }
    case 'update':
      return { ...row, before: new Map([...(data ?? []), ...(old ?? [])]), after: data ?? new Map() }
    default:
      // Maxwell's daemon itself has deleted rows in `data`.
      return { ...row, before: old ?? data ?? new Map(), after: undefined }
  }
}

const decodeDdl = (document: JsonObject, type: string): MaxwellDdl => ({
  kind: 'ddl',
  ...place(document),
  commitTs: tsMember(document['ts'], 'ts', fault),
  type,
  query: stringMember(document['sql'] ?? '', 'sql', fault),
})
