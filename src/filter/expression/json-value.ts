import { type JsonObject, type JsonValue, parseJson, stringifyJson } from '../../tidb/json-big.ts'
import { decodeJson } from '../../tidb/json-binary.ts'
import { encodeJson } from '../../tidb/json-binary-encode.ts'
import { asText } from './convert.ts'
import { isBinary, type Evaluate, type Operand } from './operand.ts'

// JSON values are TiDB's text while an expression is evaluated; what looks inside parses it.

/** Text as TiDB prints it, with keys in its order. RangeError where the text is not JSON. */
export function normalJson(text: string): string {
  let binary: Uint8Array
  try {
    binary = encodeJson(text)
  } catch (cause) {
    throw new RangeError(`Invalid JSON text: ${text.slice(0, 40)}`, { cause })
  }
  return decodeJson(binary, 0, binary.length)
}

export const jsonText = (value: JsonValue): string => normalJson(stringifyJson(value))

/** A value compared with JSON: a text is a JSON string, a number a JSON number. */
export function asJson(one: Operand): Evaluate<string> {
  switch (one.kind) {
    case 'json':
    case 'int':
    case 'real':
    case 'decimal': {
      const text = asText(one)
      return one.isBoolean ? (row) => booleanText(text(row)) : text
    }
    default: {
      const text = asText(one)
      return (row) => {
        const value = text(row)
        return value === null ? null : stringifyJson(value)
      }
    }
  }
}

const booleanText = (text: string | null): string | null => (text === null ? null : text === '0' ? 'false' : 'true')

/** A text is read as JSON, as the JSON functions take their arguments. */
export function parsedJson(one: Operand): (row: Parameters<Evaluate>[0]) => JsonValue | undefined {
  if (one.kind === 'text' && !isBinary(one)) {
    const text = asText(one)
    return (row) => {
      const value = text(row)
      return value === null ? undefined : parseJson(normalJson(value))
    }
  }
  const json = asJson(one)
  return (row) => {
    const value = json(row)
    return value === null ? undefined : parseJson(value)
  }
}

const isList = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value)
const isObject = (value: JsonValue): value is JsonObject =>
  typeof value === 'object' && value !== null && !isList(value)

/** Order of kinds in MySQL: null < number < string < object < array < boolean. */
function precedence(value: JsonValue): number {
  if (value === null) return 0
  if (typeof value === 'number' || typeof value === 'bigint') return 1
  if (typeof value === 'string') return 2
  if (typeof value === 'boolean') return 5
  return isList(value) ? 4 : 3
}

export const compareJson = (a: string, b: string): number => (a === b ? 0 : compareValues(parseJson(a), parseJson(b)))

export function compareValues(a: JsonValue, b: JsonValue): number {
  const difference = precedence(a) - precedence(b)
  if (difference !== 0) return difference
  if (isList(a) && isList(b)) {
    for (let i = 0; i < Math.min(a.length, b.length); i++) {
      const order = compareValues(a[i] ?? null, b[i] ?? null)
      if (order !== 0) return order
    }
    return a.length - b.length
  }
  if (isObject(a) && isObject(b)) {
    const [left, right] = [stringifyJson(sorted(a)), stringifyJson(sorted(b))]
    return left < right ? -1 : left > right ? 1 : 0
  }
  if (a === null || b === null || typeof a === 'object' || typeof b === 'object') return 0
  return a < b ? -1 : a > b ? 1 : 0
}

const sorted = (value: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))

/** One step of a path: a key, an index (from the end: `last - n`), or a wildcard. */
type Step =
  | { readonly key: string }
  | { readonly index: number; readonly fromEnd: boolean }
  | { readonly every: 'key' | 'index' | 'deep' }

export interface JsonPath {
  readonly steps: readonly Step[]
  /** May match several values, which come back as a list. */
  readonly wild: boolean
}

const STEP =
  /\s*(?:\.\s*(?:([A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff]*)|("(?:[^"\\]|\\.)*")|(\*))|\[\s*(?:([0-9]+)|(last)\s*(?:-\s*([0-9]+))?|(\*))\s*\]|(\*\*))\s*/y

/** RangeError for what is no path. */
export function parsePath(text: string): JsonPath {
  const path = text.trim()
  const steps: Step[] = []
  if (!path.startsWith('$')) throw new RangeError(`Invalid JSON path expression: ${text}`)
  for (STEP.lastIndex = 1; STEP.lastIndex < path.length;) {
    const found = STEP.exec(path)
    if (found === null) throw new RangeError(`Invalid JSON path expression: ${text}`)
    const [, name, quoted, everyKey, index, last, back, everyIndex] = found
    const key = name ?? (quoted === undefined ? undefined : String(JSON.parse(quoted)))
    if (key !== undefined) steps.push({ key })
    else if (everyKey !== undefined) steps.push({ every: 'key' })
    else if (index !== undefined) steps.push({ index: Number(index), fromEnd: false })
    else if (last !== undefined) steps.push({ index: Number(back ?? 0), fromEnd: true })
    else steps.push({ every: everyIndex === undefined ? 'deep' : 'index' })
  }
  return { steps, wild: steps.some((step) => 'every' in step) }
}

/** Every value at a path, in document order. */
export function valuesAt(value: JsonValue, { steps }: JsonPath): readonly JsonValue[] {
  return steps.reduce<readonly JsonValue[]>((found, step) => found.flatMap((one) => inside(one, step)), [value])
}

function inside(value: JsonValue, step: Step): readonly JsonValue[] {
  if ('key' in step) {
    const member = isObject(value) && Object.hasOwn(value, step.key) ? value[step.key] : undefined
    return member === undefined ? [] : [member]
  }
  if ('index' in step) {
    // A value that is no list counts as a list of one.
    const list = isList(value) ? value : [value]
    const item = list[step.fromEnd ? list.length - 1 - step.index : step.index]
    return item === undefined ? [] : [item]
  }
  if (step.every === 'deep') return deep(value)
  if (step.every === 'key') return isObject(value) ? Object.values(value) : []
  return isList(value) ? value : []
}

function deep(value: JsonValue): readonly JsonValue[] {
  const children = isList(value) ? value : isObject(value) ? Object.values(value) : []
  return [value, ...children.flatMap(deep)]
}

export function containsJson(value: JsonValue, wanted: JsonValue): boolean {
  if (isList(value)) {
    return isList(wanted)
      ? wanted.every((one) => containsJson(value, one))
      : value.some((one) => containsJson(one, wanted))
  }
  if (isObject(value)) {
    return (
      isObject(wanted) &&
      Object.entries(wanted).every(([key, one]) => {
        const member = Object.hasOwn(value, key) ? value[key] : undefined
        return member !== undefined && containsJson(member, one)
      })
    )
  }
  return !isList(wanted) && !isObject(wanted) && compareValues(value, wanted) === 0
}
