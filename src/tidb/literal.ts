import { Kind, kindOf } from './cell.ts'
import { expandExponent, maxDecimal, roundDecimal, wholeDigitsOf } from './decimal.ts'
import { encodeJson } from './json-binary-encode.ts'
import { decodeJson } from './json-binary.ts'
import { parseDatetimeLiteral, parseDurationLiteral, type TimeFault } from './time-literal.ts'
import { FieldFlag, type FieldType, MysqlType } from './table-info.ts'
import { type TimeZone, utcZone } from './time-zone.ts'
import { integerValue, type Value } from './value.ts'

/**
 * What is wrong with a literal for a column. The value that comes with a fault is the one that a session without
 * strict mode stores.
 */
export type LiteralFault = TimeFault | 'outOfRange' | 'dataTooLong' | 'truncated' | 'invalidJson'

export interface Converted {
  readonly value: Value
  readonly fault?: LiteralFault
}

/** A literal: text, number, bytes (`x'…'`, `b'…'`), NULL. A decimal literal is given as text. */
export type Literal = string | number | bigint | Uint8Array | null

const utf8 = new TextEncoder()
const decoder = new TextDecoder()

/** The value that a column of this type stores for a literal; TIMESTAMP text is of `zone`, and stays so. */
export function convertLiteral(type: FieldType, literal: Literal, zone: TimeZone = utcZone): Converted {
  if (literal === null) return { value: null }
  switch (kindOf(type)) {
    case Kind.Int:
    case Kind.Uint:
      return toInteger(type, literal)
    case Kind.Year:
      return toYear(literal)
    case Kind.Float:
    case Kind.Double:
      return toFloat(type, literal)
    case Kind.Decimal:
      return toDecimal(type, literal)
    case Kind.Bytes:
      return toBytes(type, literal)
    case Kind.Date:
    case Kind.Datetime:
    case Kind.Timestamp:
      return parseDatetimeLiteral(textOf(literal), type, zone)
    case Kind.Duration:
      return parseDurationLiteral(textOf(literal), Math.max(0, type.decimal))
    case Kind.Enum:
      return toEnum(type, literal)
    case Kind.Set:
      return toSet(type, literal)
    case Kind.Bit:
      return toBit(type, literal)
    case Kind.Json:
      return toJson(literal)
    case Kind.Vector:
      return toVector(literal)
    default:
      return { value: null, fault: 'truncated' }
  }
}

const textOf = (literal: Exclude<Literal, null>): string =>
  literal instanceof Uint8Array ? decoder.decode(literal) : String(literal)

/** Plain decimal digits of a number literal or of the number that a text begins with. */
function digitsOf(literal: Exclude<Literal, null>): { readonly digits: string; readonly whole: boolean } {
  if (literal instanceof Uint8Array) return { digits: bigEndian(literal).toString(), whole: true }
  if (typeof literal !== 'string') return { digits: expandExponent(String(literal)) ?? '0', whole: true }
  const found = /^\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)/.exec(literal)
  const digits = found?.[1] === undefined ? undefined : expandExponent(found[1])
  return { digits: digits ?? '0', whole: found !== null && literal.slice(found[0].length).trim() === '' }
}

function bigEndian(bytes: Uint8Array): bigint {
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return value
}

const INTEGER_BITS: Readonly<Record<number, bigint>> = {
  [MysqlType.Tiny]: 8n,
  [MysqlType.Short]: 16n,
  [MysqlType.Int24]: 24n,
  [MysqlType.Long]: 32n,
  [MysqlType.Longlong]: 64n,
}

function toInteger(type: FieldType, literal: Exclude<Literal, null>): Converted {
  const { digits, whole } = digitsOf(literal)
  const value = BigInt(roundDecimal(digits, 0))
  const bits = INTEGER_BITS[type.tp] ?? 64n
  const unsigned = kindOf(type) === Kind.Uint
  const least = unsigned ? 0n : -(1n << (bits - 1n))
  const most = (1n << (unsigned ? bits : bits - 1n)) - 1n
  if (value < least) return { value: integerValue(least), fault: 'outOfRange' }
  if (value > most) return { value: integerValue(most), fault: 'outOfRange' }
  return withFault(integerValue(value), whole ? undefined : 'truncated')
}

const withFault = (value: Value, fault: LiteralFault | undefined): Converted =>
  fault === undefined ? { value } : { value, fault }

function toYear(literal: Exclude<Literal, null>): Converted {
  const { digits, whole } = digitsOf(literal)
  const year = Number(roundDecimal(digits, 0))
  const text = typeof literal === 'string'
  if (!whole) return { value: 0, fault: 'truncated' }
  if (year === 0) return { value: text && literal.trim().length < 4 ? 2000 : 0 }
  if (year >= 1 && year <= 69) return { value: 2000 + year }
  if (year >= 70 && year <= 99) return { value: 1900 + year }
  return year >= 1901 && year <= 2155 ? { value: year } : { value: 0, fault: 'outOfRange' }
}

const MAX_FLOAT = 3.4028234663852886e38

function toFloat(type: FieldType, literal: Exclude<Literal, null>): Converted {
  const { digits, whole } = digitsOf(literal)
  const single = kindOf(type) === Kind.Float
  const scaled = type.decimal >= 0 && type.flen > 0
  const exact = scaled ? Number(roundDecimal(digits, type.decimal)) : Number(digits)
  const value = single ? Math.fround(exact) : exact
  const most = single ? MAX_FLOAT : Number.MAX_VALUE
  if (value < 0 && isUnsigned(type)) return { value: 0, fault: 'outOfRange' }
  if (!Number.isFinite(value)) return { value: value < 0 ? -most : most, fault: 'outOfRange' }
  return withFault(value, whole ? undefined : 'truncated')
}

const isUnsigned = (type: FieldType): boolean => (type.flag & FieldFlag.Unsigned) !== 0

function toDecimal(type: FieldType, literal: Exclude<Literal, null>): Converted {
  const { digits, whole } = digitsOf(literal)
  const scale = type.decimal >= 0 ? type.decimal : (digits.split('.')[1]?.length ?? 0)
  const precision = type.flen > 0 ? type.flen : 65
  const rounded = roundDecimal(digits, scale)
  if (rounded.startsWith('-') && isUnsigned(type)) return { value: roundDecimal('0', scale), fault: 'outOfRange' }
  if (wholeDigitsOf(rounded) > precision - scale) {
    const most = maxDecimal(precision, scale)
    return { value: rounded.startsWith('-') ? `-${most}` : most, fault: 'outOfRange' }
  }
  return withFault(rounded, whole ? undefined : 'truncated')
}

function toBytes(type: FieldType, literal: Exclude<Literal, null>): Converted {
  const bytes = literal instanceof Uint8Array ? literal : utf8.encode(String(literal))
  const limit = type.flen < 0 ? Infinity : type.flen
  if (type.charset === 'binary') {
    if (bytes.length > limit) return { value: bytes.slice(0, limit), fault: 'dataTooLong' }
    if (type.tp !== MysqlType.String || bytes.length === limit || limit === Infinity) return { value: bytes }
    const padded = new Uint8Array(limit)
    padded.set(bytes)
    return { value: padded }
  }
  if (isText(type)) {
    if (bytes.length <= limit) return { value: bytes }
    return { value: bytes.slice(0, characterStart(bytes, limit)), fault: 'dataTooLong' }
  }
  const characters = bytes.length <= limit ? undefined : Array.from(decoder.decode(bytes))
  const stored = type.tp === MysqlType.String ? withoutTrailingBlanks(bytes) : bytes
  if (characters === undefined || characters.length <= limit) return { value: stored }
  const cut = utf8.encode(characters.slice(0, limit).join(''))
  const onlyBlanks = characters.slice(limit).every((character) => character === ' ')
  return withFault(
    type.tp === MysqlType.String ? withoutTrailingBlanks(cut) : cut,
    onlyBlanks ? undefined : 'dataTooLong',
  )
}

/** The last offset up to `at` where a UTF-8 character begins. */
function characterStart(bytes: Uint8Array, at: number): number {
  let start = at
  while (start > 0 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start--
  return start
}

const isText = (type: FieldType): boolean =>
  type.tp === MysqlType.TinyBlob ||
  type.tp === MysqlType.MediumBlob ||
  type.tp === MysqlType.LongBlob ||
  type.tp === MysqlType.Blob

function withoutTrailingBlanks(bytes: Uint8Array): Uint8Array {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0x20) end--
  return bytes.subarray(0, end)
}

function elementOf(type: FieldType, name: string): number {
  const exact = type.elems.indexOf(name)
  if (exact >= 0 || type.collate.endsWith('_bin') || type.collate === 'binary') return exact + 1
  return type.elems.findIndex((element) => element.toLowerCase() === name.toLowerCase()) + 1
}

function toEnum(type: FieldType, literal: Exclude<Literal, null>): Converted {
  const text = textOf(literal)
  const named = typeof literal === 'number' || typeof literal === 'bigint' ? 0 : elementOf(type, text.trimEnd())
  if (named > 0) return { value: named }
  const index = /^[0-9]+$/.test(text) ? Number(text) : 0
  return index >= 1 && index <= type.elems.length ? { value: index } : { value: 0, fault: 'truncated' }
}

function toSet(type: FieldType, literal: Exclude<Literal, null>): Converted {
  const text = textOf(literal)
  if (text === '') return { value: 0 }
  const names = text.split(',').map((name) => elementOf(type, name.trimEnd()))
  const numeric = typeof literal === 'number' || typeof literal === 'bigint'
  if (!numeric && names.every((at) => at > 0)) return { value: maskOf(names) }
  const mask = /^[0-9]+$/.test(text) ? BigInt(text) : -1n
  if (mask >= 0n && mask < 1n << BigInt(type.elems.length)) return { value: integerValue(mask) }
  return { value: maskOf(names.filter((at) => at > 0)), fault: 'truncated' }
}

const maskOf = (elements: readonly number[]): number | bigint =>
  integerValue(elements.reduce((mask, at) => mask | (1n << BigInt(at - 1)), 0n))

function toBit(type: FieldType, literal: Exclude<Literal, null>): Converted {
  const numeric = typeof literal === 'number' || typeof literal === 'bigint'
  const bytes = literal instanceof Uint8Array ? literal : utf8.encode(String(literal))
  const value = numeric ? BigInt(roundDecimal(digitsOf(literal).digits, 0)) : bigEndian(bytes)
  const most = (1n << BigInt(Math.max(1, type.flen))) - 1n
  return value < 0n || value > most
    ? { value: integerValue(most), fault: 'dataTooLong' }
    : { value: integerValue(value) }
}

function toJson(literal: Exclude<Literal, null>): Converted {
  try {
    const binary = encodeJson(textOf(literal))
    return { value: decodeJson(binary, 0, binary.length) }
  } catch {
    return { value: 'null', fault: 'invalidJson' }
  }
}

function toVector(literal: Exclude<Literal, null>): Converted {
  const items = /^\s*\[(.*)\]\s*$/s.exec(textOf(literal))?.[1]
  const elements = items === undefined || items.trim() === '' ? [] : items.split(',').map(Number)
  if (items === undefined || !elements.every(Number.isFinite)) return { value: null, fault: 'truncated' }
  return { value: Float32Array.from(elements) }
}
