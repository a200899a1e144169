import { objectOf, parseJson, type JsonObject, type JsonValue } from '../tidb/json-big.ts'
import type { Value } from '../tidb/value.ts'
import { Ts, maxTs } from '../tidb/ts.ts'

/** Column name → value, in the order of the message (JavaScript puts names that are integers first). */
export type DecodedValues = ReadonlyMap<string, Value>

/** Makes the error of a decoder: what is wrong with the message, without values of columns. */
export type Fault = (text: string, cause?: unknown) => Error

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The JSON object in `bytes`. */
export function decodeObject(bytes: Uint8Array, fault: Fault): JsonObject {
  let value: JsonValue
  try {
    value = parseJson(decoder.decode(bytes))
  } catch (error) {
    throw fault('it is not JSON in UTF-8', error)
  }
  return objectMember(value, 'the document', fault)
}

export function objectMember(value: JsonValue | undefined, name: string, fault: Fault): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fault(`${name} is not an object`)
  return objectOf(value)
}

export function stringMember(value: JsonValue | undefined, name: string, fault: Fault): string {
  if (typeof value !== 'string') throw fault(`${name} is not a string`)
  return value
}

export function numberMember(value: JsonValue | undefined, name: string, fault: Fault): number {
  if (typeof value !== 'number') throw fault(`${name} is not a number`)
  return value
}

export function tsMember(value: JsonValue | undefined, name: string, fault: Fault): Ts {
  const ts = integerMember(value, name, fault)
  if (ts < 0n || ts > maxTs) throw fault(`${name} is not a timestamp`)
  return Ts(ts)
}

export function integerMember(value: JsonValue | undefined, name: string, fault: Fault): bigint {
  if (typeof value === 'bigint') return value
  if (typeof value !== 'number' || !Number.isInteger(value)) throw fault(`${name} is not an integer`)
  return BigInt(value)
}

/** `number`, or `bigint` beyond ±(2^53 - 1); undefined where the text is no integer. */
export function parseInteger(text: string): number | bigint | undefined {
  if (!/^-?\d{1,20}$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : BigInt(text)
}

/** undefined where the text is no finite number. */
export function parseFloatText(text: string): number | undefined {
  const value = /^-?\d/.test(text) ? Number(text) : Number.NaN
  return Number.isFinite(value) ? value : undefined
}

/** `[1,2.5]`; undefined where the text is nothing like that. */
export function parseVector(text: string): Float32Array | undefined {
  if (!text.startsWith('[') || !text.endsWith(']')) return undefined
  const body = text.slice(1, -1).trim()
  const items = body === '' ? [] : body.split(',').map((item) => parseFloatText(item.trim()))
  return items.every((item) => item !== undefined) ? Float32Array.from(items) : undefined
}
