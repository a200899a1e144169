import { type FieldType, MysqlType } from './table-info.ts'
import { daysOf, formatSeconds, parseCivil, secondsOfCivil, ZERO_DATE, ZERO_DATETIME } from './time.ts'
import { type TimeZone, utcOfLocal } from './time-zone.ts'

/** wrongValue: no such time, or not in the range of TIMESTAMP; zeroInDate: a year, month or day is zero. */
export type TimeFault = 'wrongValue' | 'zeroInDate' | 'outOfRange' | 'truncated'

interface ConvertedTime {
  readonly value: string
  readonly fault?: TimeFault
}

const MAX_TIMESTAMP = 2 ** 31 - 1
const MAX_DURATION_SECONDS = 838 * 3600 + 59 * 60 + 59

/** Text of a DATE, DATETIME or TIMESTAMP column for a literal as MySQL reads it; rounds to the column's digits. */
export function parseDatetimeLiteral(literal: string, type: FieldType, zone: TimeZone): ConvertedTime {
  const dateOnly = type.tp === MysqlType.Date || type.tp === MysqlType.NewDate
  const fsp = dateOnly ? 0 : Math.max(0, type.decimal)
  const zero = { value: dateOnly ? ZERO_DATE : ZERO_DATETIME + fractionOf(0, fsp) }
  const parts = partsOf(literal.trim())
  if (parts === undefined) return { ...zero, fault: 'wrongValue' }
  const [year, month, day, hour, minute, second] = parts.fields
  if (month > 12 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59)
    return { ...zero, fault: 'wrongValue' }
  const date = `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}`
  const incomplete = year === 0 || month === 0 || day === 0
  if (dateOnly) return incomplete ? { value: date, fault: 'zeroInDate' } : { value: date }
  const clock = `${date} ${pad(hour, 2)}:${pad(minute, 2)}:${pad(second, 2)}`
  const { carry, microsecond } = roundFraction(parts.fraction, fsp)
  if (incomplete) {
    if (type.tp === MysqlType.Timestamp && date !== ZERO_DATE) return { ...zero, fault: 'wrongValue' }
    return { value: clock + fractionOf(microsecond, fsp), fault: 'zeroInDate' }
  }
  const seconds = secondsOfCivil(parseCivil(clock)) + carry
  if (type.tp === MysqlType.Timestamp) {
    const utc = utcOfLocal(zone, seconds)
    if (utc < 1 || utc > MAX_TIMESTAMP) return { ...zero, fault: 'wrongValue' }
    return { value: formatSeconds(utc + zone.offsetAt(utc)) + fractionOf(microsecond, fsp) }
  }
  if (seconds > LAST_SECOND) return { ...zero, fault: 'wrongValue' }
  return { value: formatSeconds(seconds) + fractionOf(microsecond, fsp) }
}

const LAST_SECOND = daysOf(9999, 12, 31) * 86_400 + 86_399

const pad = (value: number, width: number): string => String(value).padStart(width, '0')

const fractionOf = (microsecond: number, fsp: number): string =>
  fsp === 0 ? '' : `.${pad(microsecond, 6).slice(0, fsp)}`

/** Rounds the digits behind the point half up; `carry` is a whole second. */
function roundFraction(digits: string, fsp: number): { readonly carry: 0 | 1; readonly microsecond: number } {
  const kept = Number(digits.slice(0, fsp).padEnd(fsp, '0')) + ((digits[fsp] ?? '0') >= '5' ? 1 : 0)
  const limit = 10 ** fsp
  return kept >= limit ? { carry: 1, microsecond: 0 } : { carry: 0, microsecond: kept * 10 ** (6 - fsp) }
}

const DAYS = [31, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const

function daysIn(year: number, month: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return month === 2 && leap ? 29 : (DAYS[month] ?? 0)
}

interface Parts {
  readonly fields: readonly [number, number, number, number, number, number]
  readonly fraction: string
}

const SEPARATED =
  /^([0-9]{1,4})[^0-9\s]([0-9]{1,2})[^0-9\s]([0-9]{1,2})(?:(?:T|\s+)([0-9]{1,2})(?:[^0-9\s]([0-9]{1,2})(?:[^0-9\s]([0-9]{1,2})(?:\.([0-9]*))?)?)?)?$/
const COMPACT = /^([0-9]{2,4})([0-9]{2})([0-9]{2})(?:T?([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]*))?)?$/

function partsOf(literal: string): Parts | undefined {
  const plain = /^[0-9]{5,7}$|^[0-9]{11}$|^[0-9]{13}$/.test(literal)
    ? literal.padStart(compactLength(literal), '0')
    : literal
  if (/^0+$/.test(plain)) return { fields: [0, 0, 0, 0, 0, 0], fraction: '' }
  const compact = [6, 8, 12, 14].includes(plain.split('.')[0]?.length ?? 0) ? COMPACT.exec(plain) : null
  const [, year = '', ...rest] = SEPARATED.exec(plain) ?? compact ?? []
  if (year === '' || year.length === 3) return undefined
  const short = year.length <= 2
  const full = short ? Number(year) + (Number(year) < 70 ? 2000 : 1900) : Number(year)
  const [month, day, hour, minute, second] = rest.slice(0, 5).map((field) => Number(field ?? 0))
  const zeroDate = short && Number(year) === 0 && month === 0 && day === 0
  return {
    fields: [zeroDate ? 0 : full, month ?? 0, day ?? 0, hour ?? 0, minute ?? 0, second ?? 0],
    fraction: rest[5] ?? '',
  }
}

const compactLength = (digits: string): number =>
  digits.length <= 6 ? 6 : digits.length <= 8 ? 8 : digits.length <= 12 ? 12 : 14

const CLOCK = /^(-?)(?:([0-9]{1,2})\s+)?([0-9]+):([0-9]{1,2})(?::([0-9]{1,2})(?:\.([0-9]*))?)?$/
const DAYS_HOURS = /^(-?)([0-9]{1,2})\s+([0-9]{1,2})$/
const DIGITS = /^(-?)([0-9]+)(?:\.([0-9]*))?$/

/** Text of a TIME column for a literal as MySQL reads it. */
export function parseDurationLiteral(literal: string, fsp: number): ConvertedTime {
  const zero = `00:00:00${fractionOf(0, fsp)}`
  const text = literal.trim()
  const parsed = clockOf(text)
  if (parsed === undefined) return { value: zero, fault: 'wrongValue' }
  const { negative, hours, minutes, seconds, fraction } = parsed
  if (minutes > 59 || seconds > 59) return { value: zero, fault: 'wrongValue' }
  const { carry, microsecond } = roundFraction(fraction, fsp)
  const total = hours * 3600 + minutes * 60 + seconds + carry
  const sign = negative && (total > 0 || microsecond > 0) ? '-' : ''
  const beyond = total > MAX_DURATION_SECONDS || (total === MAX_DURATION_SECONDS && microsecond > 0)
  if (beyond) return { value: `${sign}838:59:59${fractionOf(0, fsp)}`, fault: 'outOfRange' }
  const clock = `${pad(Math.floor(total / 3600), 2)}:${pad(Math.floor(total / 60) % 60, 2)}:${pad(total % 60, 2)}`
  return { value: sign + clock + fractionOf(microsecond, fsp) }
}

interface Clock {
  readonly negative: boolean
  readonly hours: number
  readonly minutes: number
  readonly seconds: number
  readonly fraction: string
}

function clockOf(text: string): Clock | undefined {
  const clock = CLOCK.exec(text)
  if (clock !== null) {
    const [, sign, days = '0', hours, minutes, seconds = '0', fraction = ''] = clock
    const allHours = Number(days) * 24 + Number(hours)
    return { negative: sign === '-', hours: allHours, minutes: Number(minutes), seconds: Number(seconds), fraction }
  }
  const daysHours = DAYS_HOURS.exec(text)
  if (daysHours !== null) {
    const hours = Number(daysHours[2]) * 24 + Number(daysHours[3])
    return { negative: daysHours[1] === '-', hours, minutes: 0, seconds: 0, fraction: '' }
  }
  const digits = DIGITS.exec(text)
  if (digits === null) return undefined
  const [, sign, packed = '', fraction = ''] = digits
  const value = Number(packed)
  return {
    negative: sign === '-',
    hours: Math.floor(value / 10_000),
    minutes: Math.floor(value / 100) % 100,
    seconds: value % 100,
    fraction,
  }
}
