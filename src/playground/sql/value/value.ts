import { jsonText } from './json.ts'
import type { JsonDocument, JsonValue } from './json.ts'
import { Decimal } from './decimal.ts'
import { formatDateTime, formatDuration } from './time.ts'
import type { DateTime, Duration } from './time.ts'

/** An element of an ENUM column; index 0 is the empty value. */
export interface EnumValue {
  readonly type: 'enum'
  readonly index: number
  readonly name: string
}

export interface SetValue {
  readonly type: 'set'
  readonly mask: bigint
  readonly name: string
}

/** BIT column values and hexadecimal or bit literals: bytes as text, an unsigned number in numeric context. */
export interface BitValue {
  readonly type: 'bits'
  readonly bytes: Uint8Array
}

/** A VECTOR column value. */
export interface VectorValue {
  readonly type: 'vector'
  readonly elements: Float32Array
}

/** FLOAT column values are apart from DOUBLE because their shortest text differs. */
export interface FloatValue {
  readonly type: 'float'
  readonly value: number
}

/**
 * A value while SQL is evaluated: integers are bigint whatever their sign, DOUBLE is number, text is string, binary
 * strings are bytes.
 */
export type Value =
  | null
  | bigint
  | number
  | string
  | Uint8Array
  | Decimal
  | DateTime
  | Duration
  | EnumValue
  | SetValue
  | BitValue
  | JsonDocument
  | VectorValue
  | FloatValue

export type Row = readonly Value[]

export const TRUE = 1n
export const FALSE = 0n

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** The value as MySQL prints it; bytes are read as UTF-8 (use {@link toBytes} for what goes over the wire). */
export function toText(value: Exclude<Value, null>): string {
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number') return formatDouble(value)
  if (value instanceof Uint8Array) return utf8.decode(value)
  if (value instanceof Decimal) return value.toString()
  switch (value.type) {
    case 'date':
    case 'datetime':
    case 'timestamp':
      return formatDateTime(value)
    case 'time':
      return formatDuration(value)
    case 'enum':
    case 'set':
      return value.name
    case 'bits':
      return utf8.decode(value.bytes)
    case 'json':
      return jsonText(value)
    case 'vector':
      return `[${Array.from(value.elements, formatFloat).join(',')}]`
    case 'float':
      return formatFloat(value.value)
  }
}

export function toBytes(value: Exclude<Value, null>): Uint8Array {
  if (value instanceof Uint8Array) return value
  if (typeof value === 'object' && !(value instanceof Decimal) && value.type === 'bits') return value.bytes
  return Buffer.from(toText(value), 'utf8')
}

/** DOUBLE as TiDB prints it: shortest digits, `1e21` without a plus sign. */
export function formatDouble(value: number): string {
  if (Object.is(value, -0)) return '-0'
  const magnitude = Math.abs(value)
  if (magnitude !== 0 && (magnitude < 1e-15 || magnitude >= 1e15)) return value.toExponential().replace('e+', 'e')
  const text = String(value)
  return text.includes('e') ? plainDigits(value) : text
}

function plainDigits(value: number): string {
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e')
  const digits = mantissa.replace(/[-.]/g, '')
  return `${value < 0 ? '-' : ''}0.${'0'.repeat(-Number(exponent) - 1)}${digits}`
}

/** The shortest text that reads back as the same 32-bit float. */
export function formatFloat(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return formatDouble(short)
  }
  return formatDouble(Number(value.toPrecision(9)))
}

export function bitsToInteger(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

/** A number for arithmetic: integer, decimal or double, by MySQL's rules of implicit conversion. */
export function toNumeric(value: Exclude<Value, null>): bigint | number | Decimal {
  if (typeof value === 'bigint' || typeof value === 'number' || value instanceof Decimal) return value
  if (typeof value === 'string') return parseDouble(value)
  if (value instanceof Uint8Array) return parseDouble(utf8.decode(value))
  switch (value.type) {
    case 'date':
      return BigInt(formatDateTime(value).replaceAll('-', ''))
    case 'datetime':
    case 'timestamp':
    case 'time':
      return timeNumber(toText(value), value.fsp)
    case 'enum':
      return BigInt(value.index)
    case 'set':
      return value.mask
    case 'bits':
      return bitsToInteger(value.bytes)
    case 'json':
      return jsonNumber(value.value)
    case 'vector':
      return parseDouble(toText(value))
    case 'float':
      return value.value
  }
}

function timeNumber(text: string, fsp: number): bigint | Decimal {
  const digits = text.replaceAll(/[-: ]/g, '')
  const signed = text.startsWith('-') ? `-${digits}` : digits
  return fsp === 0 ? BigInt(signed) : (Decimal.parse(signed)?.value ?? Decimal.ofInteger(0n))
}

function jsonNumber(value: JsonValue): bigint | number {
  if (typeof value === 'bigint' || typeof value === 'number') return value
  if (typeof value === 'boolean') return value ? 1n : 0n
  return typeof value === 'string' ? parseDouble(value) : 0n
}

/** The numeric prefix of a text, 0 where there is none. */
export function parseDouble(text: string): number {
  const found = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/.exec(text)
  return found === null ? 0 : Number(found[0])
}

export function toDouble(value: Exclude<Value, null>): number {
  const numeric = toNumeric(value)
  return numeric instanceof Decimal ? numeric.toNumber() : Number(numeric)
}

export function toDecimal(value: Exclude<Value, null>): Decimal {
  if (typeof value === 'string') return Decimal.parse(value)?.value ?? Decimal.ofInteger(0n)
  const numeric = toNumeric(value)
  if (numeric instanceof Decimal) return numeric
  if (typeof numeric === 'bigint') return Decimal.ofInteger(numeric)
  return Decimal.parse(String(numeric))?.value ?? Decimal.ofInteger(0n)
}

/** Truth of a value in WHERE: NULL is undefined. */
export function toBoolean(value: Value): boolean | undefined {
  if (value === null) return undefined
  const numeric = toNumeric(value)
  return numeric instanceof Decimal ? numeric.unscaled !== 0n : numeric !== 0n && numeric !== 0
}

export function ofBoolean(value: boolean | undefined): Value {
  return value === undefined ? null : value ? TRUE : FALSE
}
