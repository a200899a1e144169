/** JSON as a value: numbers that are integers beyond ±(2^53 - 1) are `bigint`. */
export type JsonValue = null | boolean | number | bigint | string | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [key: string]: JsonValue
}

declare global {
  interface JSON {
    /** In Node since 22; TypeScript's library lacks it. */
    rawJSON(text: string): unknown
  }
}

const LONG_INTEGER = /[0-9]{16}/
const INTEGER = /^-?[0-9]+$/

/** Parses JSON; integers that `number` cannot hold become `bigint`, exactly. SyntaxError where it is not JSON. */
export function parseJson(text: string): JsonValue {
  if (!LONG_INTEGER.test(text)) return JSON.parse(text) as JsonValue
  return JSON.parse(text, exactInteger) as JsonValue
}

function exactInteger(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  const source = context?.source ?? ''
  return INTEGER.test(source) ? BigInt(source) : value
}

export interface JsonStyle {
  /** Spaces per level; one line when absent. */
  readonly indent?: number | string
  /** Escapes `<`, `>`, `&`, U+2028 and U+2029 as Go's encoding/json does by default. */
  readonly html?: boolean
}

const HTML = /[<>&\u2028\u2029]/g
const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`

/** JSON text; `bigint` is written as a number, object keys in their own order, `undefined` members are left out. */
export function stringifyJson(value: unknown, style: JsonStyle = {}): string {
  const text = JSON.stringify(value, bigintAsNumber, style.indent) ?? 'null'
  return style.html === true ? text.replace(HTML, escapeUnit) : text
}

const bigintAsNumber = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? JSON.rawJSON(value.toString()) : value

/** The members of an object, none where the value is not an object. */
export const objectOf = (value: JsonValue | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !isList(value) ? value : {}

/** The items of a list, none where the value is not a list. */
export const listOf = (value: JsonValue | undefined): readonly JsonValue[] =>
  value !== undefined && isList(value) ? value : []

export const stringOf = (value: JsonValue | undefined): string => (typeof value === 'string' ? value : '')

export const booleanOf = (value: JsonValue | undefined): boolean => value === true

export const numberOf = (value: JsonValue | undefined): number =>
  typeof value === 'number' || typeof value === 'bigint' ? Number(value) : 0

/** An integer; the zero value where it is none. */
export const integerOf = (value: JsonValue | undefined): bigint =>
  typeof value === 'bigint' ? value : Number.isInteger(value) ? BigInt(value as number) : 0n

const isList = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value)
