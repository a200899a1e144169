import { MysqlType } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'
import { at, fault } from './cast.ts'
import type { CastContext, CastTarget, Present } from './cast.ts'
import { isDateTime } from './compare.ts'
import { Decimal } from './decimal.ts'
import {
  fromMicros,
  isRealDate,
  isZeroDate,
  MAX_DURATION_MICROS,
  parseDateTimeText,
  parseDurationText,
  roundFraction,
  toMicros,
  zeroDateTime,
} from './time.ts'
import type { DateTime, DateTimeParts, Duration } from './time.ts'
import { timestampToUtc } from './time-zone.ts'
import { toNumeric, toText } from './value.ts'
import type { Value } from './value.ts'

const NAMES: Readonly<Record<number, 'date' | 'datetime' | 'timestamp'>> = {
  [MysqlType.Date]: 'date',
  [MysqlType.Datetime]: 'datetime',
  [MysqlType.Timestamp]: 'timestamp',
}

/** Converts to DATE, DATETIME or TIMESTAMP; a TIMESTAMP stays wall time of the session, checked against UTC's range. */
export function castDateTime(value: Present, type: FieldType, target: CastTarget, context: CastContext): Value {
  const kind = NAMES[type.tp] ?? 'datetime'
  const fsp = kind === 'date' ? 0 : Math.max(0, type.decimal)
  const refused = (): DateTime =>
    fault(context, 1292, `Incorrect ${kind} value: '${toText(value)}' for ${at(target)}`, () => zeroDateTime(kind, fsp))
  const parsed = toDateTime(value, context)
  if (parsed === undefined || !isAllowed(parsed, context)) return refused()
  if (kind === 'date') return { type: kind, ...parsed, hour: 0, minute: 0, second: 0, micro: 0, fsp: 0 }
  const rounded = roundFraction(parsed, fsp, 'nanoRest' in parsed ? Number(parsed.nanoRest) : 0)
  if (kind === 'datetime') return { type: kind, ...partsOf(rounded), fsp }
  const known =
    isDateTime(value) && value.type === 'timestamp' && value.utc !== undefined
      ? roundFraction(value.utc, fsp)
      : undefined
  const moment = known ?? timestampToUtc(rounded, context.zone)
  return moment === undefined ? refused() : { type: kind, ...partsOf(rounded), fsp, utc: partsOf(moment) }
}

const partsOf = ({ year, month, day, hour, minute, second, micro }: DateTimeParts): DateTimeParts => ({
  year,
  month,
  day,
  hour,
  minute,
  second,
  micro,
})

/** Zero dates and days that do not exist, by sql_mode. */
function isAllowed(value: DateTimeParts, context: CastContext): boolean {
  if (isRealDate(value)) return true
  if (value.year === 0 && value.month === 0 && value.day === 0) return !(context.noZeroDate && context.strict)
  const hasZero = value.month === 0 || value.day === 0
  if (!hasZero && context.invalidDates === true) return true
  return hasZero && !(context.noZeroInDate && context.strict)
}

/** 101 is 2000-01-01 as a number; what is less is no date. */
const LEAST_DATE_NUMBER = 101

/** Any value as a date and time; undefined where it is none. */
export function toDateTime(value: Present, context: Pick<CastContext, 'today'>): DateTimeParts | undefined {
  if (isDateTime(value)) return value
  if (typeof value === 'object' && 'type' in value && value.type === 'time') {
    const midnight = { ...context.today, hour: 0, minute: 0, second: 0, micro: 0 }
    return fromMicros(toMicros(midnight) + BigInt(value.micros))
  }
  if (typeof value === 'bigint' || typeof value === 'number' || value instanceof Decimal) {
    const text = toText(value)
    if (/^0+(\.0*)?$/.test(text)) return zeroDateTime('datetime', 0)
    const [whole = '', fraction] = text.split('.')
    if (Number(whole) < LEAST_DATE_NUMBER) return undefined
    const width = whole.length <= 6 ? 6 : whole.length <= 8 ? 8 : whole.length <= 12 ? 12 : 14
    return parseDateTimeText(whole.padStart(width, '0') + (fraction === undefined ? '' : `.${fraction}`))
  }
  return parseDateTimeText(toText(value))
}

export function castDuration(value: Present, type: FieldType, target: CastTarget, context: CastContext): Value {
  const fsp = Math.max(0, type.decimal)
  const micros = toDurationMicros(value)
  if (micros === undefined)
    return fault(context, 1292, `Incorrect time value: '${toText(value)}' for ${at(target)}`, (): Duration => ({
      type: 'time',
      micros: 0,
      fsp,
    }))
  const unit = 10 ** (6 - fsp)
  const rounded = Math.sign(micros) * Math.round(Math.abs(micros) / unit) * unit
  if (Math.abs(rounded) <= MAX_DURATION_MICROS) return { type: 'time', micros: rounded, fsp }
  return fault(context, 1292, `Truncated incorrect time value: '${toText(value)}'`, (): Duration => ({
    type: 'time',
    micros: Math.sign(rounded) * MAX_DURATION_MICROS,
    fsp,
  }))
}

/** Any value as a duration in microseconds; undefined where it is none. */
export function toDurationMicros(value: Present): number | undefined {
  if (typeof value === 'object' && 'type' in value && value.type === 'time') return value.micros
  if (isDateTime(value)) return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.micro
  return parseDurationText(toText(value))?.micros
}

export function castYear(value: Present, target: CastTarget, context: CastContext): Value {
  const text = toText(value).trim()
  if (isDateTime(value)) return BigInt(value.year)
  if (typeof value === 'string' && !/^\d+$/.test(text))
    return fault(context, 1366, `Incorrect year value: '${text}' for ${at(target)}`, () => 0n)
  const number = toNumeric(value)
  let year = Number(number instanceof Decimal ? number.toBigInt() : number)
  const isText = typeof value === 'string'
  if (isText ? text.length <= 2 : year > 0 && year < 100) year += year < 70 ? 2000 : 1900
  if (year === 0 || (year >= 1901 && year <= 2155 && Number.isInteger(year))) return BigInt(year)
  return fault(context, 1264, `Out of range value for ${at(target)}`, () => 0n)
}

/** A date that is neither zero nor has a zero part. */
export const isFullDate = (value: DateTime): boolean => !isZeroDate(value) && isRealDate(value)
