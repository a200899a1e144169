import iconv from 'iconv-lite'

import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'
import { SqlError } from '../error.ts'
import { Decimal, decimalLimit } from './decimal.ts'
import { jsonOfText } from './json.ts'
import { castDateTime, castDuration, castYear } from './cast-time.ts'
import type { TimeZone } from './time-zone.ts'
import { bitsToInteger, toBytes, toDecimal, toNumeric, toText } from './value.ts'
import type { EnumValue, SetValue, Value } from './value.ts'

/** What a conversion to a column's type depends on besides the value. */
export interface CastContext {
  readonly zone: TimeZone
  /** sql_mode STRICT_TRANS_TABLES: a value that does not fit is an error, not a warning. */
  readonly strict: boolean
  readonly noZeroDate: boolean
  readonly noZeroInDate: boolean
  /** ALLOW_INVALID_DATES: any day up to 31 in any month. */
  readonly invalidDates?: boolean
  /** Wall clock of the statement, as a date for TIME → DATETIME. */
  readonly today: { readonly year: number; readonly month: number; readonly day: number }
  warn(errno: number, message: string): void
}

/** Where a value goes, for messages. */
export interface CastTarget {
  readonly column: string
  /** From 1, as messages count. */
  readonly row: number
}

export type Present = Exclude<Value, null>

/** Raises the error of strict mode, or warns and goes on with what fits best. */
export function fault<T>(context: CastContext, errno: number, message: string, fallback: () => T): T {
  if (context.strict) throw new SqlError(errno, message)
  context.warn(errno, message)
  return fallback()
}

export const at = (target: CastTarget): string => `column '${target.column}' at row ${target.row}`

export const isUnsigned = (type: FieldType): boolean => (type.flag & FieldFlag.Unsigned) !== 0
export const isBinaryCharset = (type: FieldType): boolean => type.charset === 'binary'

/** Converts to a column's type, as an assignment does. NULL passes: NOT NULL is somebody else's rule. */
export function castToColumn(value: Value, type: FieldType, target: CastTarget, context: CastContext): Value {
  if (value === null) return null
  switch (type.tp) {
    case MysqlType.Tiny:
    case MysqlType.Short:
    case MysqlType.Int24:
    case MysqlType.Long:
    case MysqlType.Longlong:
      return castInteger(value, type, target, context)
    case MysqlType.Float:
    case MysqlType.Double:
      return castReal(value, type, target, context)
    case MysqlType.NewDecimal:
      return castDecimal(value, type, target, context)
    case MysqlType.Varchar:
    case MysqlType.VarString:
    case MysqlType.String:
    case MysqlType.TinyBlob:
    case MysqlType.Blob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return castString(value, type, target, context)
    case MysqlType.Date:
    case MysqlType.Datetime:
    case MysqlType.Timestamp:
      return castDateTime(value, type, target, context)
    case MysqlType.Duration:
      return castDuration(value, type, target, context)
    case MysqlType.Year:
      return castYear(value, target, context)
    case MysqlType.Bit:
      return castBit(value, type, target, context)
    case MysqlType.Enum:
      return castEnum(value, type, target, context)
    case MysqlType.Set:
      return castSet(value, type, target, context)
    case MysqlType.Json:
      return castJson(value)
    case MysqlType.VectorFloat32:
      return castVector(value, type)
    default:
      throw new SqlError(1105, `values of type ${type.tp} cannot be written`)
  }
}

const INTEGER_BITS: Readonly<Record<number, bigint>> = {
  [MysqlType.Tiny]: 8n,
  [MysqlType.Short]: 16n,
  [MysqlType.Int24]: 24n,
  [MysqlType.Long]: 32n,
  [MysqlType.Longlong]: 64n,
}

const TYPE_NAMES: Readonly<Record<number, string>> = {
  [MysqlType.Tiny]: 'tinyint',
  [MysqlType.Short]: 'smallint',
  [MysqlType.Int24]: 'mediumint',
  [MysqlType.Long]: 'int',
  [MysqlType.Longlong]: 'bigint',
  [MysqlType.Float]: 'float',
  [MysqlType.Double]: 'double',
  [MysqlType.NewDecimal]: 'decimal',
}

export function integerRange(type: FieldType): readonly [bigint, bigint] {
  const bits = INTEGER_BITS[type.tp] ?? 64n
  return isUnsigned(type) ? [0n, (1n << bits) - 1n] : [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n]
}

function castInteger(value: Present, type: FieldType, target: CastTarget, context: CastContext): Value {
  const integer = toInteger(value, type, target, context)
  const [low, high] = integerRange(type)
  if (integer >= low && integer <= high) return integer
  return outOfRange(target, context, integer < low ? low : high)
}

function outOfRange<T>(target: CastTarget, context: CastContext, limit: T): T {
  return fault(context, 1264, `Out of range value for ${at(target)}`, () => limit)
}

function toInteger(value: Present, type: FieldType, target: CastTarget, context: CastContext): bigint {
  if (typeof value === 'bigint') return value
  const numeric = isTextual(value) ? numberOfText(value, type, target, context) : toNumeric(value)
  if (typeof numeric === 'bigint') return numeric
  if (numeric instanceof Decimal) return numeric.toBigInt()
  return Number.isFinite(numeric) ? BigInt(roundHalfAway(numeric)) : outOfRange(target, context, 0n)
}

/** Doubles go to the even neighbour on a tie, as Go's math.RoundToEven in TiDB. */
function roundHalfAway(value: number): number {
  const floor = Math.floor(value)
  if (value - floor !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}

const isTextual = (value: Present): value is string | Uint8Array =>
  typeof value === 'string' || value instanceof Uint8Array

function numberOfText(value: string | Uint8Array, type: FieldType, target: CastTarget, context: CastContext): Decimal {
  const text = toText(value)
  const parsed = Decimal.parse(text)
  if (parsed === undefined) {
    const name = TYPE_NAMES[type.tp] ?? 'integer'
    return fault(context, 1366, `Incorrect ${name} value: '${text}' for ${at(target)}`, () => Decimal.ofInteger(0n))
  }
  if (parsed.rest.trim() !== '') return fault(context, 1265, `Data truncated for ${at(target)}`, () => parsed.value)
  return parsed.value
}

function castReal(value: Present, type: FieldType, target: CastTarget, context: CastContext): Value {
  const raw = isTextual(value) ? realOfText(value, type, target, context) : toNumeric(value)
  let number = raw instanceof Decimal ? raw.toNumber() : Number(raw)
  if (!Number.isFinite(number)) number = outOfRange(target, context, number > 0 ? Number.MAX_VALUE : -Number.MAX_VALUE)
  if (isUnsigned(type) && number < 0) number = outOfRange(target, context, 0)
  if (type.decimal >= 0) {
    const rounded = Decimal.parse(number.toPrecision(17))?.value.round(type.decimal).toNumber() ?? number
    const limit = decimalLimit(type.flen, type.decimal).toNumber()
    number = Math.abs(rounded) > limit ? outOfRange(target, context, Math.sign(rounded) * limit) : rounded
  }
  if (type.tp === MysqlType.Double) return number
  const single = Math.fround(number)
  if (!Number.isFinite(single))
    return outOfRange(target, context, { type: 'float', value: Math.sign(single) * 3.4028234663852886e38 } as const)
  return { type: 'float', value: single }
}

function realOfText(value: string | Uint8Array, type: FieldType, target: CastTarget, context: CastContext): number {
  const text = toText(value)
  numberOfText(text, type, target, context)
  return Number.parseFloat(text) || 0
}

function castDecimal(value: Present, type: FieldType, target: CastTarget, context: CastContext): Value {
  const scale = Math.max(0, type.decimal)
  const exact = isTextual(value) ? numberOfText(value, type, target, context) : toDecimal(value)
  const rounded = exact.round(scale)
  if (isUnsigned(type) && rounded.unscaled < 0n) return outOfRange(target, context, new Decimal(0n, scale))
  const limit = decimalLimit(type.flen, scale)
  if (rounded.compare(limit) > 0) return outOfRange(target, context, limit)
  if (rounded.compare(limit.negate()) < 0) return outOfRange(target, context, limit.negate())
  return rounded
}

function castString(value: Present, type: FieldType, target: CastTarget, context: CastContext): Value {
  return isBinaryCharset(type) ? castBinary(value, type, target, context) : castText(value, type, target, context)
}

function castBinary(value: Present, type: FieldType, target: CastTarget, context: CastContext): Uint8Array {
  const bytes = toBytes(value)
  if (type.flen >= 0 && bytes.length > type.flen)
    return fault(context, 1406, `Data too long for ${at(target)}`, () => bytes.subarray(0, type.flen))
  if (type.tp !== MysqlType.String || bytes.length === type.flen) return bytes
  const padded = new Uint8Array(type.flen)
  padded.set(bytes)
  return padded
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function castText(value: Present, type: FieldType, target: CastTarget, context: CastContext): string {
  let text = typeof value === 'string' ? value : textOfBytes(toBytes(value), target, context)
  if (!fitsCharset(text, type.charset))
    text = fault(context, 1366, `Incorrect string value '${escapedBytes(text)}' for ${at(target)}`, () =>
      text.replaceAll(/\P{ASCII}/gu, '?'),
    )
  const isBlob = type.tp !== MysqlType.String && type.tp !== MysqlType.Varchar && type.tp !== MysqlType.VarString
  const length = isBlob ? Buffer.byteLength(text) : text.length <= type.flen ? text.length : Array.from(text).length
  if (type.flen >= 0 && length > type.flen) text = shorten(text, type, isBlob, target, context)
  return type.tp === MysqlType.String ? text.replace(/ +$/, '') : text
}

function shorten(text: string, type: FieldType, isBlob: boolean, target: CastTarget, context: CastContext): string {
  const characters = Array.from(text)
  if (!isBlob && characters.slice(type.flen).every((char) => char === ' '))
    return characters.slice(0, type.flen).join('')
  return fault(context, 1406, `Data too long for ${at(target)}`, () =>
    isBlob ? Buffer.from(text).subarray(0, type.flen).toString() : characters.slice(0, type.flen).join(''),
  )
}

function textOfBytes(bytes: Uint8Array, target: CastTarget, context: CastContext): string {
  try {
    return strictUtf8.decode(bytes)
  } catch {
    const shown = escapedBytes(bytes)
    return fault(context, 1366, `Incorrect string value '${shown}' for ${at(target)}`, () =>
      Buffer.from(bytes).toString('utf8'),
    )
  }
}

function escapedBytes(text: string | Uint8Array): string {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  const shown = [...bytes.subarray(0, 6)].map((byte) =>
    byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16).toUpperCase()}`,
  )
  return shown.join('') + (bytes.length > 6 ? '...' : '')
}

function fitsCharset(text: string, charset: string): boolean {
  if (charset === 'ascii') return /^\p{ASCII}*$/u.test(text)
  if (charset === 'gbk' || charset === 'gb18030') return iconv.decode(iconv.encode(text, charset), charset) === text
  return charset !== 'utf8' || !/[\u{10000}-\u{10ffff}]/u.test(text)
}

function castBit(value: Present, type: FieldType, target: CastTarget, context: CastContext): Value {
  const number = isTextual(value) ? bitsToInteger(toBytes(value)) : bitNumber(toNumeric(value))
  const width = BigInt(Math.max(1, type.flen))
  const limit = (1n << width) - 1n
  const fits =
    number < 0n || number > limit ? fault(context, 1406, `Data too long for ${at(target)}`, () => limit) : number
  const length = (Math.max(1, type.flen) + 7) >> 3
  return { type: 'bits', bytes: Buffer.from(fits.toString(16).padStart(length * 2, '0'), 'hex') }
}

const bitNumber = (numeric: bigint | number | Decimal): bigint =>
  typeof numeric === 'bigint' ? numeric : numeric instanceof Decimal ? numeric.toBigInt() : BigInt(Math.round(numeric))

export function enumAt(type: FieldType, index: number): EnumValue {
  return { type: 'enum', index, name: type.elems[index - 1] ?? '' }
}

function castEnum(value: Present, type: FieldType, target: CastTarget, context: CastContext): Value {
  const refused = (): EnumValue => fault(context, 1265, `Data truncated for ${at(target)}`, () => enumAt(type, 0))
  if (!isTextual(value) && !isNamed(value)) {
    const index = Number(toNumeric(value))
    return Number.isInteger(index) && index >= 1 && index <= type.elems.length ? enumAt(type, index) : refused()
  }
  const wanted = toText(value).replace(/ +$/, '')
  const index = indexOfElement(type, wanted)
  if (index > 0) return enumAt(type, index)
  const number = /^\d+$/.test(wanted) ? Number(wanted) : 0
  return number >= 1 && number <= type.elems.length ? enumAt(type, number) : refused()
}

const isNamed = (value: Present): boolean =>
  typeof value === 'object' &&
  'type' in value &&
  (value.type === 'enum' || value.type === 'set' || value.type === 'json' || value.type === 'bits')

function indexOfElement(type: FieldType, name: string): number {
  const exact = type.elems.indexOf(name) + 1
  if (exact > 0 || !type.collate.endsWith('_ci')) return exact
  return type.elems.findIndex((element) => element.toLowerCase() === name.toLowerCase()) + 1
}

export function setOf(type: FieldType, mask: bigint): SetValue {
  const names = type.elems.filter((_, bit) => (mask >> BigInt(bit)) & 1n)
  return { type: 'set', mask, name: names.join(',') }
}

function castSet(value: Present, type: FieldType, target: CastTarget, context: CastContext): Value {
  const all = (1n << BigInt(type.elems.length)) - 1n
  const refused = (mask: bigint): SetValue =>
    fault(context, 1265, `Data truncated for ${at(target)}`, () => setOf(type, mask & all))
  if (!isTextual(value) && !isNamed(value)) {
    const mask = bitNumber(toNumeric(value))
    return mask >= 0n && mask <= all ? setOf(type, mask) : refused(0n)
  }
  const text = toText(value)
  if (text === '') return setOf(type, 0n)
  let mask = 0n
  for (const name of text.split(',')) {
    const index = indexOfElement(type, name)
    if (index === 0) return /^\d+$/.test(text) && BigInt(text) <= all ? setOf(type, BigInt(text)) : refused(mask)
    mask |= 1n << BigInt(index - 1)
  }
  return setOf(type, mask)
}

/** Text is parsed, other values become the JSON scalar that they are. */
export function castJson(value: Present): Value {
  if (typeof value === 'string') return jsonOfText(value)
  if (value instanceof Uint8Array)
    throw new SqlError(3144, "Cannot create a JSON value from a string with CHARACTER SET 'binary'.")
  if (typeof value === 'bigint') return { type: 'json', value }
  if (typeof value === 'number') return jsonOfDouble(value)
  if (value instanceof Decimal) return jsonOfDouble(value.toNumber())
  switch (value.type) {
    case 'json':
      return value
    case 'float':
      return jsonOfDouble(value.value)
    case 'enum':
    case 'set':
      return { type: 'json', value: value.name }
    case 'bits':
      return { type: 'json', value: bitsToInteger(value.bytes) }
    default:
      return { type: 'json', value: toText(value) }
  }
}

/** Stays a double where its text would be that of an integer. */
function jsonOfDouble(value: number): Value {
  const text = String(value)
  return jsonOfText(/[.e]/.test(text) ? text : `${text}.0`)
}

/** `[1,2.5]`, as long as the column wants it. */
export function castVector(value: Present, type: FieldType): Value {
  const text = toText(value)
  const items = /^\s*\[(.*)\]\s*$/s.exec(text)?.[1]
  const elements = items === undefined || items.trim() === '' ? [] : items.split(',').map(Number)
  if (items === undefined || !elements.every(Number.isFinite)) throw new SqlError(1105, `Invalid vector text: ${text}`)
  if (type.flen > 0 && elements.length !== type.flen)
    throw new SqlError(1105, `vector has ${elements.length} dimensions, does not fit VECTOR(${type.flen})`)
  return { type: 'vector', elements: Float32Array.from(elements) }
}
