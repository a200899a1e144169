import { castJson } from '../value/cast.ts'
import { jsonPath, jsonTypeName, parseJsonText } from '../value/json.ts'
import type { JsonValue } from '../value/json.ts'
import { toText } from '../value/value.ts'
import type { Value } from '../value/value.ts'
import { plain, strict } from './define.ts'
import type { FunctionEntry } from './functions.ts'

/** A document: JSON as it is, text parsed. */
function documentOf(value: Exclude<Value, null>): JsonValue {
  if (typeof value === 'object' && 'type' in value && value.type === 'json') return value.value
  return parseJsonText(toText(value))
}

/** A value as a member of a new document: text stays text. */
function memberOf(value: Value): JsonValue {
  if (value === null) return null
  if (typeof value === 'string') return value
  const json = castJson(value)
  return json !== null && typeof json === 'object' && 'type' in json && json.type === 'json' ? json.value : null
}

const json = (value: JsonValue): Value => ({ type: 'json', value })

function unquote(value: Exclude<Value, null>): Value {
  if (typeof value === 'object' && 'type' in value && value.type === 'json')
    return typeof value.value === 'string' ? value.value : toText(value)
  const text = toText(value)
  if (!/^".*"$/s.test(text)) return text
  const parsed = parseJsonText(text)
  return typeof parsed === 'string' ? parsed : text
}

export const JSON_FUNCTIONS: Readonly<Record<string, FunctionEntry>> = {
  JSON_EXTRACT: strict(2, 4096, (document = '', ...paths) => {
    const found = paths
      .map((path) => jsonPath(documentOf(document), toText(path)))
      .filter((value) => value !== undefined)
    const [only] = found
    if (only === undefined) return null
    return json(paths.length === 1 ? only : found)
  }),
  JSON_UNQUOTE: strict(1, 1, (value) => unquote(value)),
  JSON_QUOTE: strict(1, 1, (value) => JSON.stringify(toText(value))),
  JSON_ARRAY: plain(0, 4096, (...args) => json(args.map(memberOf))),
  JSON_OBJECT: plain(0, 4096, (...args) => {
    const members: Record<string, JsonValue> = {}
    for (let i = 0; i + 1 < args.length; i += 2) members[toText(args[i] ?? '')] = memberOf(args[i + 1] ?? null)
    return json(members)
  }),
  JSON_VALID: plain(1, 1, (value) => {
    if (value === null || value === undefined) return null
    if (typeof value === 'object' && 'type' in value && value.type === 'json') return 1n
    if (typeof value !== 'string') return 0n
    try {
      JSON.parse(value)
      return 1n
    } catch {
      return 0n
    }
  }),
  JSON_TYPE: strict(1, 1, (value) => jsonTypeName(documentOf(value))),
  JSON_LENGTH: strict(1, 1, (value) => {
    const document = documentOf(value)
    return BigInt(document !== null && typeof document === 'object' ? Object.keys(document).length : 1)
  }),
  JSON_KEYS: strict(1, 1, (value) => {
    const document = documentOf(value)
    return document !== null && typeof document === 'object' && !Array.isArray(document)
      ? json(Object.keys(document).toSorted())
      : null
  }),
}
