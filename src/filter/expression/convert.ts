import { doubleText, floatText, plainDecimal } from '../../base/float-text.ts'
import { MysqlType, type FieldType } from '../../tidb/table-info.ts'
import { parseDatetimeLiteral, parseDurationLiteral } from '../../tidb/time-literal.ts'
import { integerValue } from '../../tidb/value.ts'
import { utcZone } from '../../tidb/time-zone.ts'
import {
  type Decimal,
  decimalOfInteger,
  decimalText,
  integerOfDecimal,
  numberOfDecimal,
  parseDecimal,
} from './decimal.ts'
import { type Evaluate, isBinary, type Operand, type Scalar } from './operand.ts'

// Implicit conversions, chosen when an expression is compiled. A text that is no number counts as the number that it
// begins with, as in a SELECT.

const mapped =
  <T extends Scalar>(evaluate: Evaluate, convert: (value: Exclude<Scalar, null>) => T | null): Evaluate<T> =>
  (row) => {
    const value = evaluate(row)
    return value === null ? null : convert(value)
  }

const isDecimal = (value: Scalar): value is Decimal => typeof value === 'object' && value !== null

/** The number that a text begins with, 0 where there is none. */
export const numericPrefix = (text: string): string =>
  /^\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)/.exec(text)?.[1] ?? '0'

export function asReal(one: Operand): Evaluate<number> {
  const { integer } = one
  if (integer !== undefined) return (row) => toNumber(integer(row))
  switch (one.kind) {
    case 'time':
      return mapped(one.evaluate, (value) => Number(timeDigits(plainText(value))))
    case 'duration':
      return mapped(one.evaluate, (value) => Number(durationDigits(plainText(value))))
    case 'json':
      return mapped(one.evaluate, (value) => Number(jsonDigits(plainText(value))))
    case 'text':
      return mapped(one.evaluate, (value) => Number(numericPrefix(plainText(value))))
    case 'decimal':
      return mapped(one.evaluate, (value) => (isDecimal(value) ? numberOfDecimal(value) : Number(value)))
    default:
      return mapped(one.evaluate, Number)
  }
}

const toNumber = (value: number | bigint | null): number | null => (value === null ? null : Number(value))

export function asDecimal(one: Operand): Evaluate<Decimal> {
  const { integer } = one
  if (integer !== undefined) return mapped(integer, (value) => decimalOfInteger(toInteger(value)))
  switch (one.kind) {
    case 'int':
      return mapped(one.evaluate, (value) => decimalOfInteger(toInteger(value)))
    case 'decimal':
      return mapped(one.evaluate, (value) => (isDecimal(value) ? value : null))
    case 'real':
      return mapped(one.evaluate, (value) => parseDecimal(doubleText(Number(value))))
    case 'time':
      return mapped(one.evaluate, (value) => parseDecimal(timeDigits(plainText(value))))
    case 'duration':
      return mapped(one.evaluate, (value) => parseDecimal(durationDigits(plainText(value))))
    case 'json':
      return mapped(one.evaluate, (value) => parseDecimal(jsonDigits(plainText(value))))
    default:
      return mapped(one.evaluate, (value) => parseDecimal(numericPrefix(plainText(value))))
  }
}

/** Of what is no decimal. */
export const plainText = (value: Scalar): string => (typeof value === 'object' ? '' : String(value))

const toInteger = (value: Scalar): number | bigint => (typeof value === 'bigint' ? value : Number(value))

/** Rounds; a text counts up to its point, as a cast to an integer does. */
export function asInteger(one: Operand): Evaluate<number | bigint> {
  if (one.integer !== undefined) return one.integer
  switch (one.kind) {
    case 'int':
      return mapped(one.evaluate, toInteger)
    case 'real':
      return mapped(one.evaluate, (value) => integerOfReal(Number(value)))
    case 'text':
      return mapped(one.evaluate, (value) => integerOfText(plainText(value)))
    default: {
      const decimal = asDecimal(one)
      return mapped(decimal, (value) => (isDecimal(value) ? integerValue(integerOfDecimal(value)) : null))
    }
  }
}

/** Rounds half to even. */
export function integerOfReal(value: number): number | bigint {
  if (!Number.isFinite(value)) throw new RangeError(`BIGINT value is out of range: ${value}`)
  const floor = Math.floor(value)
  const rest = value - floor
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
  return Number.isSafeInteger(rounded) ? rounded + 0 : BigInt(rounded)
}

function integerOfText(text: string): number | bigint {
  const digits = /^\s*([+-]?)([0-9]+)/.exec(text)
  if (digits === null) return 0
  const value = BigInt(digits[2] ?? '0')
  return integerValue(digits[1] === '-' ? -value : value)
}

export function asText(one: Operand): Evaluate<string> {
  const { column } = one
  switch (one.kind) {
    case 'decimal':
      return mapped(one.evaluate, (value) => (isDecimal(value) ? decimalText(value) : null))
    case 'real': {
      const single = column?.tp === MysqlType.Float
      return mapped(one.evaluate, (value) => realText(Number(value), single))
    }
    case 'int':
      if (column !== undefined && column.tp === MysqlType.Year)
        return mapped(one.evaluate, (value) => plainText(value).padStart(4, '0'))
      return mapped(one.evaluate, plainText)
    default:
      return mapped(one.evaluate, plainText)
  }
}

/** Without exponent up to 1e15, as TiDB prints it. */
function realText(value: number, single: boolean): string {
  const text = single ? floatText(value) : doubleText(value)
  const size = Math.abs(value)
  return size !== 0 && (size < 1e-15 || size >= 1e15) ? exponentText(value) : plainDecimal(text)
}

const exponentText = (value: number): string => value.toExponential().replace('e+', 'e')

/** Text for a place where bytes are meant: one character per byte. */
export function asBytes(one: Operand): Evaluate<string> {
  const text = asText(one)
  return one.kind === 'text' && isBinary(one) ? text : mapped(text, (value) => bytesOfText(plainText(value)))
}

export const bytesOfText = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')
export const textOfBytes = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8')

const DATETIME: FieldType = {
  tp: MysqlType.Datetime,
  flag: 0,
  flen: -1,
  decimal: 6,
  charset: 'binary',
  collate: 'binary',
  elems: [],
  array: false,
}

/** A text or number as DATE or DATETIME text; null where it is none. */
export function timeOfText(text: string, scale: number, dateOnly: boolean): string | null {
  const type = { ...DATETIME, tp: dateOnly ? MysqlType.Date : MysqlType.Datetime, decimal: scale }
  const { value, fault } = parseDatetimeLiteral(text, type, utcZone)
  return fault === 'wrongValue' ? null : value
}

/** As DATE or DATETIME text with `scale` digits behind the second; null where it is none. */
export function asTime(one: Operand, scale: number, dateOnly = false): Evaluate<string> {
  if (one.kind === 'time') {
    if (dateOnly) return mapped(one.evaluate, (value) => plainText(value).slice(0, 10))
    if (one.dateOnly || one.scale <= scale) return mapped(one.evaluate, (value) => widened(plainText(value), scale))
  }
  const text = asText(one)
  return mapped(text, (value) => timeOfText(plainText(value), scale, dateOnly))
}

/** DATE or DATETIME text with as many digits behind the second, none of which is lost. */
function widened(text: string, scale: number): string {
  const clock = text.length === 10 ? `${text} 00:00:00` : text
  if (scale === 0) return clock
  return clock.length === 19 ? clock + NO_FRACTION.slice(0, scale + 1) : clock.padEnd(20 + scale, '0')
}

const NO_FRACTION = '.000000'

export function asDuration(one: Operand, scale: number): Evaluate<string> {
  if (one.kind === 'time') return mapped(one.evaluate, (value) => plainText(value).slice(11) || '00:00:00')
  const text = asText(one)
  return mapped(text, (value) => durationOfText(plainText(value), scale))
}

/** A date with time stands for its time of day, a date alone for midnight. */
function durationOfText(text: string, scale: number): string | null {
  const [date, clock = '00:00:00'] = /^[0-9]{2,4}-[0-9]{1,2}-[0-9]{1,2}(?:[ T](.*))?$/.exec(text.trim()) ?? []
  const { value, fault } = parseDurationLiteral(date === undefined ? text : clock, scale)
  return fault === 'wrongValue' ? null : value
}

/** `2020-01-02 03:04:05.6` → `20200102030405.6`; a date has no time of day. */
const timeDigits = (text: string): string => text.replace(/[-: ]/g, '')

/** `-01:02:03.4` → `-010203.4` */
const durationDigits = (text: string): string => text.replaceAll(':', '')

function jsonDigits(text: string): string {
  if (text === 'true') return '1'
  return numericPrefix(text.startsWith('"') ? text.slice(1) : text)
}

/** Three-valued: true, false or null. */
export function asTruth(one: Operand): (row: Parameters<Evaluate>[0]) => boolean | null {
  if (one.kind === 'int') {
    const { evaluate } = one
    return (row) => {
      const value = evaluate(row)
      return value === null ? null : value !== 0
    }
  }
  const decide = one.kind === 'decimal' || one.kind === 'time' || one.kind === 'duration' ? asDecimal(one) : asReal(one)
  return (row) => {
    const value: Scalar = decide(row)
    if (value === null) return null
    return isDecimal(value) ? value.units !== 0n : value !== 0
  }
}
