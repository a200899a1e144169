import type { JsonValue } from '../../../tidb/json-big.ts'
import { asText } from '../convert.ts'
import { containsJson, jsonText, type JsonPath, parsedJson, parsePath, valuesAt } from '../json-value.ts'
import { type Evaluate, operand, type Operand, RANK } from '../operand.ts'
import { argument, define, type Functions, int, isConstant, text } from './define.ts'

const json = (evaluate: Evaluate<string>, args: readonly Operand[]): Operand =>
  operand('json', evaluate, { constant: isConstant(args), collation: { name: 'utf8mb4_bin', rank: RANK.column } })

/** Paths of the arguments; constant ones are read once, so that a bad one is found at once. SyntaxError for those. */
function pathsOf(args: readonly Operand[]): (row: Parameters<Evaluate>[0]) => readonly JsonPath[] | null {
  const evaluates = args.map(asText)
  if (isConstant(args)) {
    const paths: JsonPath[] = []
    for (const evaluate of evaluates) {
      const path = evaluate([])
      if (path === null) return () => null
      try {
        paths.push(parsePath(path))
      } catch (error) {
        throw new SyntaxError(error instanceof Error ? error.message : String(error), { cause: error })
      }
    }
    return () => paths
  }
  return (row) => {
    const paths: JsonPath[] = []
    for (const evaluate of evaluates) {
      const path = evaluate(row)
      if (path === null) return null
      paths.push(parsePath(path))
    }
    return paths
  }
}

function typeName(value: JsonValue): string {
  if (value === null) return 'NULL'
  if (typeof value === 'boolean') return 'BOOLEAN'
  if (typeof value === 'string') return 'STRING'
  if (typeof value === 'bigint') return value > 0n ? 'UNSIGNED INTEGER' : 'INTEGER'
  if (typeof value === 'number') return Number.isInteger(value) ? 'INTEGER' : 'DOUBLE'
  return Array.isArray(value) ? 'ARRAY' : 'OBJECT'
}

function sizeOf(value: JsonValue): number {
  if (Array.isArray(value)) return value.length
  return typeof value === 'object' && value !== null ? Object.keys(value).length : 1
}

const list = (value: JsonValue): readonly JsonValue[] => (Array.isArray(value) ? value : [value])

/** The value at an optional path: undefined where there is none. */
function valueAt(args: readonly Operand[], pathAt: number): (row: Parameters<Evaluate>[0]) => JsonValue | undefined {
  const value = parsedJson(argument(args, 0))
  const path = args[pathAt]
  if (path === undefined) return value
  const paths = pathsOf([path])
  return (row) => {
    const document = value(row)
    const [wanted] = paths(row) ?? []
    return document === undefined || wanted === undefined ? undefined : valuesAt(document, wanted)[0]
  }
}

export const JSON_FUNCTIONS: Functions = {
  json_contains: define(2, 3, (args) => {
    const value = valueAt(args, 2)
    const wanted = parsedJson(argument(args, 1))
    return int((row) => {
      const [document, candidate] = [value(row), wanted(row)]
      return document === undefined || candidate === undefined ? null : containsJson(document, candidate) ? 1 : 0
    }, args)
  }),
  json_contains_path: define(3, 1000, (args) => {
    const value = parsedJson(argument(args, 0))
    const mode = asText(argument(args, 1))
    const paths = pathsOf(args.slice(2))
    return int((row) => {
      const document = value(row)
      const wanted = paths(row)
      const which = mode(row)?.toLowerCase()
      if (document === undefined || wanted === null || which === undefined) return null
      const found = (path: JsonPath): boolean => valuesAt(document, path).length > 0
      return (which === 'one' ? wanted.some(found) : wanted.every(found)) ? 1 : 0
    }, args)
  }),
  json_extract: define(2, 1000, (args) => {
    const value = parsedJson(argument(args, 0))
    const paths = pathsOf(args.slice(1))
    return json((row) => {
      const document = value(row)
      const wanted = paths(row)
      if (document === undefined || wanted === null) return null
      const found = wanted.flatMap((path) => valuesAt(document, path))
      const [first] = found
      if (first === undefined) return null
      return jsonText(wanted.length > 1 || wanted[0]?.wild === true ? found : first)
    }, args)
  }),
  json_length: define(1, 2, (args) => {
    const value = valueAt(args, 1)
    return int((row) => {
      const found = value(row)
      return found === undefined ? null : sizeOf(found)
    }, args)
  }),
  json_memberof: define(2, 2, (args) => {
    const [value, members] = [memberJson(argument(args, 0)), parsedJson(argument(args, 1))]
    return int((row) => {
      const [wanted, all] = [value(row), members(row)]
      if (wanted === undefined || all === undefined) return null
      return list(all).some((one) => jsonText(one) === jsonText(wanted)) ? 1 : 0
    }, args)
  }),
  json_overlaps: define(2, 2, (args) => {
    const [left, right] = [parsedJson(argument(args, 0)), parsedJson(argument(args, 1))]
    return int((row) => {
      const [a, b] = [left(row), right(row)]
      if (a === undefined || b === undefined) return null
      return overlaps(a, b) ? 1 : 0
    }, args)
  }),
  json_type: define(1, 1, (args) => {
    const value = parsedJson(argument(args, 0))
    return text((row) => {
      const found = value(row)
      return found === undefined ? null : typeName(found)
    }, args)
  }),
  json_unquote: define(1, 1, (args) => {
    const value = asText(argument(args, 0))
    return text((row) => {
      const found = value(row)
      if (found === null || found.length < 2 || !found.startsWith('"') || !found.endsWith('"')) return found
      return String(JSON.parse(found))
    }, args)
  }),
  json_valid: define(1, 1, (args) => {
    const one = argument(args, 0)
    const value = parsedJson(one)
    return int((row) => {
      if (one.evaluate(row) === null) return null
      if (one.kind !== 'text' && one.kind !== 'json') return 0
      try {
        value(row)
        return 1
      } catch {
        return 0
      }
    }, args)
  }),
}

/** A text beside MEMBER OF is a JSON string, not a document. */
function memberJson(one: Operand): ReturnType<typeof parsedJson> {
  if (one.kind !== 'text') return parsedJson(one)
  const value = asText(one)
  return (row) => value(row) ?? undefined
}

function overlaps(a: JsonValue, b: JsonValue): boolean {
  if (Array.isArray(a) || Array.isArray(b)) return list(a).some((x) => list(b).some((y) => jsonText(x) === jsonText(y)))
  const [left, right] = [entriesOf(a), entriesOf(b)]
  if (left === undefined || right === undefined) return jsonText(a) === jsonText(b)
  return left.some(([key, x]) => right.some(([other, y]) => key === other && jsonText(x) === jsonText(y)))
}

const entriesOf = (value: JsonValue): readonly (readonly [string, JsonValue])[] | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : undefined
