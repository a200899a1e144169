import { decodeJson } from '../../../tidb/json-binary.ts'
import { encodeJson } from '../../../tidb/json-binary-encode.ts'
import { parseJson } from '../../../tidb/json-big.ts'
import type { JsonValue } from '../../../tidb/json-big.ts'
import { SqlError } from '../error.ts'

export type { JsonValue } from '../../../tidb/json-big.ts'

/** JSON of an SQL text; error 3140 where it is none. */
export function parseJsonText(text: string): JsonValue {
  try {
    return parseJson(text)
  } catch (cause) {
    throw new SqlError(
      3140,
      `Invalid JSON text: ${cause instanceof Error ? cause.message : 'The document root must not be followed by other values.'}`,
      { cause },
    )
  }
}

/** A JSON document. `binary` is how it is stored: it alone tells 1.0 from 1. */
export interface JsonDocument {
  readonly type: 'json'
  readonly value: JsonValue
  readonly binary?: Uint8Array
}

/** The document of an SQL text; errors 3140 and 3157 where it is none. */
export function jsonOfText(text: string): JsonDocument {
  const value = parseJsonText(text)
  try {
    return { type: 'json', value, binary: encodeJson(text) }
  } catch (cause) {
    throw new SqlError(3157, 'The JSON document exceeds the maximum depth.', { cause })
  }
}

/** The document that a row stores; text is that of a row codec that knows JSON. */
export function readJson(stored: unknown): JsonDocument {
  if (!(stored instanceof Uint8Array) || stored.length === 0) return { type: 'json', value: null }
  return { type: 'json', value: parseJson(decodeJson(stored, 0, stored.length)), binary: stored }
}

export const jsonText = ({ value, binary }: JsonDocument): string =>
  binary === undefined ? formatJson(value) : decodeJson(binary, 0, binary.length)

/** TiDB's text of a JSON value: spaces after `,` and `:`, keys in byte order (reference: tidb-storage 5.1). */
export function formatJson(value: JsonValue): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return formatString(value)
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (typeof value !== 'object') return String(value)
  if (isArray(value)) return `[${value.map(formatJson).join(', ')}]`
  const members = Object.entries(value).toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  return `{${members.map(([key, member]) => `${formatString(key)}: ${formatJson(member)}`).join(', ')}}`
}

function formatString(text: string): string {
  return JSON.stringify(text).replaceAll(/[\u2028\u2029]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16)}`)
}

const isArray = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value)

/** The name that JSON_TYPE gives. */
export function jsonTypeName(value: JsonValue): string {
  if (value === null) return 'NULL'
  if (isArray(value)) return 'ARRAY'
  switch (typeof value) {
    case 'string':
      return 'STRING'
    case 'boolean':
      return 'BOOLEAN'
    case 'bigint':
      return value > 0x7fff_ffff_ffff_ffffn ? 'UNSIGNED INTEGER' : 'INTEGER'
    case 'number':
      return Number.isInteger(value) ? 'INTEGER' : 'DOUBLE'
    default:
      return 'OBJECT'
  }
}

/** Follows a path of `$`, `.key`, `."key"` and `[n]`; undefined where nothing is there. Wildcards are not supported. */
export function jsonPath(value: JsonValue, path: string): JsonValue | undefined {
  const steps = path.trim()
  if (!steps.startsWith('$')) throw invalidPath(path)
  let at: JsonValue | undefined = value
  let rest = steps.slice(1).trim()
  while (rest !== '') {
    const found = /^\.\s*([A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff]*|"(?:[^"\\]|\\.)*")|^\[\s*(\d+)\s*\]/.exec(rest)
    if (found === null) throw invalidPath(path)
    at = at === undefined ? undefined : step(at, found[1], Number(found[2] ?? 0))
    rest = rest.slice(found[0].length).trim()
  }
  return at
}

function step(value: JsonValue, key: string | undefined, index: number): JsonValue | undefined {
  if (key === undefined) return isArray(value) ? value[index] : index === 0 ? value : undefined
  if (value === null || typeof value !== 'object' || isArray(value)) return undefined
  const name = key.startsWith('"') ? String(JSON.parse(key)) : key
  return Object.hasOwn(value, name) ? value[name] : undefined
}

function invalidPath(path: string): SqlError {
  return new SqlError(3143, `Invalid JSON path expression '${path}'; wildcards are not supported here.`)
}
