import { type TimeZone, utcOfLocal } from './time-zone.ts'

/**
 * Times as TiDB stores and prints them. A packed time is 64 bits, handled as two halves (`high` signed, `low`
 * unsigned): (year * 13 + month) << 46 | day << 41 | hour << 36 | minute << 30 | second << 24 | microsecond. Source:
 * TiDB pkg/types (reference: tidb-storage, section 4). Dates that do not exist are legal.
 */
export interface CivilTime {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly microsecond: number
}

const PAIRS = Array.from({ length: 100 }, (_, value) => String(value).padStart(2, '0'))
const pair = (value: number): string => PAIRS[value] ?? String(value)
const LOW = 2 ** 32

export const ZERO_DATE = '0000-00-00'
export const ZERO_DATETIME = '0000-00-00 00:00:00'

/** Dates printed before, by the low bits of their number: rows of one stream have few of them. */
const CACHED = 256
const cachedDays = new Int32Array(CACHED).fill(-1)
const cachedDates = Array.from({ length: CACHED }, () => '')

/** `YYYY-MM-DD` of a packed time. */
export function formatDate(high: number): string {
  const ymd = high >>> 9
  const slot = ymd % CACHED
  if (cachedDays[slot] === ymd) return cachedDates[slot] ?? ''
  const yearMonth = ymd >>> 5
  const text = dateText(Math.floor(yearMonth / 13), yearMonth % 13, ymd & 31)
  cachedDays[slot] = ymd
  cachedDates[slot] = text
  return text
}

/** `YYYY-MM-DD hh:mm:ss[.f]` with `fsp` digits, cut, not rounded. */
export function formatDatetime(high: number, low: number, fsp: number): string {
  const hms = ((high & 0x1ff) << 8) | (low >>> 24)
  return `${formatDate(high)} ${clockText(hms >>> 12, (hms >>> 6) & 63, hms & 63)}${fractionText(low & 0xff_ffff, fsp)}`
}

/** The same for a packed time in UTC, shown in a zone. The zero time stays as it is. */
export function formatTimestamp(high: number, low: number, fsp: number, zone: TimeZone): string {
  if (high === 0 && low === 0) return formatDatetime(0, 0, fsp)
  const ymd = high >>> 9
  const yearMonth = ymd >>> 5
  const hms = ((high & 0x1ff) << 8) | (low >>> 24)
  const days = daysOf(Math.floor(yearMonth / 13), yearMonth % 13, ymd & 31)
  const utc = (hms >>> 12) * 3600 + ((hms >>> 6) & 63) * 60 + (hms & 63)
  const local = utc + zone.offsetAt(days * 86_400 + utc)
  const fraction = fractionText(low & 0xff_ffff, fsp)
  if (local < 0 || local >= 86_400) return formatSeconds(days * 86_400 + local) + fraction
  return `${formatDate(high)} ${clockOfSeconds(local)}${fraction}`
}

/** `YYYY-MM-DD hh:mm:ss` of seconds since 1970 without zone. */
export function formatSeconds(seconds: number): string {
  const days = Math.floor(seconds / 86_400)
  return `${dateOfDays(days)} ${clockOfSeconds(seconds - days * 86_400)}`
}

const clockOfSeconds = (seconds: number): string =>
  clockText(Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60)

const dateText = (year: number, month: number, day: number): string => `${yearText(year)}-${pair(month)}-${pair(day)}`
const yearText = (year: number): string => pair(Math.floor(year / 100)) + pair(year % 100)
const MINUTES = Array.from({ length: 24 * 60 }, (_, minute) => `${pair(Math.floor(minute / 60))}:${pair(minute % 60)}:`)

const clockText = (hour: number, minute: number, second: number): string =>
  (hour < 24 && minute < 60 ? (MINUTES[hour * 60 + minute] ?? '') : `${pair(hour)}:${pair(minute)}:`) + pair(second)

const POWER_OF_TEN = [1, 10, 100, 1e3, 1e4, 1e5, 1e6] as const

function fractionText(microsecond: number, fsp: number): string {
  if (fsp <= 0) return ''
  const digits = Math.min(fsp, 6)
  const unit = POWER_OF_TEN[digits] ?? 1
  return `.${String(unit + Math.floor((microsecond * unit) / 1e6)).slice(1)}`
}

/** Days since 1970-01-01 in the Gregorian calendar. */
export function daysOf(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}

function dateOfDays(days: number): string {
  const ymd = ymdOfDays(days)
  return dateText(ymd >> 9, (ymd >> 5) & 15, ymd & 31)
}

/** Year << 9 | month << 5 | day of days since 1970-01-01. */
export function ymdOfDays(days: number): number {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  return ((yearOfEra + era * 400 + (month <= 2 ? 1 : 0)) << 9) | (month << 5) | day
}

const TIME = /^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?)?$/

/** Reads the text that {@link formatDate} and {@link formatDatetime} print. RangeError where it is another. */
export function parseCivil(text: string): CivilTime {
  const match = TIME.exec(text)
  if (match === null) throw new RangeError(`not a time: ${text}`)
  const [, year, month, day, hour, minute, second, fraction] = match
  return {
    year: Number(year),
    month: Number(month),
    day: Number(day),
    hour: Number(hour ?? 0),
    minute: Number(minute ?? 0),
    second: Number(second ?? 0),
    microsecond: Number((fraction ?? '').padEnd(6, '0')),
  }
}

export const secondsOfCivil = (time: CivilTime): number =>
  daysOf(time.year, time.month, time.day) * 86_400 + time.hour * 3600 + time.minute * 60 + time.second

/** Packed form of DATE and DATETIME text. */
export const packTime = (text: string): bigint => packCivil(parseCivil(text))

/** Packed form, in UTC, of TIMESTAMP text of a zone. */
export function packTimestamp(text: string, zone: TimeZone): bigint {
  const local = parseCivil(text)
  if (packCivil(local) === 0n) return 0n
  const utc = utcOfLocal(zone, secondsOfCivil(local))
  return packCivil({ ...parseCivil(formatSeconds(utc)), microsecond: local.microsecond })
}

export function packCivil(time: CivilTime): bigint {
  const ymd = ((time.year * 13 + time.month) << 5) | time.day
  const hms = (time.hour << 12) | (time.minute << 6) | time.second
  return (((BigInt(ymd) << 17n) | BigInt(hms)) << 24n) | BigInt(time.microsecond)
}

/** `[-]hh:mm:ss[.f]` of nanoseconds given as two halves. */
export function formatDuration(high: number, low: number, fsp: number): string {
  const nanoseconds = high * LOW + low
  const microseconds = Math.floor(Math.abs(nanoseconds) / 1000)
  const seconds = Math.floor(microseconds / 1e6)
  return `${nanoseconds < 0 ? '-' : ''}${clockOfSeconds(seconds)}${fractionText(microseconds % 1e6, fsp)}`
}

/** Nanoseconds of the text that {@link formatDuration} prints. */
export function parseDuration(text: string): bigint {
  const match = /^(-?)([0-9]+):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?$/.exec(text)
  if (match === null) throw new RangeError(`not a duration: ${text}`)
  const [, sign, hour, minute, second, fraction = ''] = match
  const seconds = Number(hour) * 3600 + Number(minute) * 60 + Number(second)
  const nanoseconds = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(6, '0')) * 1000n
  return sign === '-' ? -nanoseconds : nanoseconds
}

/** Text of the time inside a JSON value (CoreTime bits), six digits of fraction for all but dates. */
export function formatCoreTime(bits: bigint, dateOnly: boolean): string {
  const field = (shift: bigint, width: bigint): number => Number((bits >> shift) & ((1n << width) - 1n))
  const date = dateText(field(50n, 14n), field(46n, 4n), field(41n, 5n))
  if (dateOnly) return date
  return `${date} ${clockText(field(36n, 5n), field(30n, 6n), field(24n, 6n))}${fractionText(field(4n, 20n), 6)}`
}
