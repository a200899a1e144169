import { SqlError } from '../error.ts'
import { toDateTime, toDurationMicros } from '../value/cast-time.ts'
import { isDateTime } from '../value/compare.ts'
import { Decimal } from '../value/decimal.ts'
import {
  dayNumber,
  daysInMonth,
  formatDateTime,
  fromMicros,
  isRealDate,
  roundFraction,
  toMicros,
  zeroDateTime,
} from '../value/time.ts'
import type { DateTime, DateTimeParts } from '../value/time.ts'
import { timestampFromUtc, timestampToUtc } from '../value/time-zone.ts'
import { toDecimal, toDouble, toText } from '../value/value.ts'
import type { Value } from '../value/value.ts'
import type { EvalContext } from './context.ts'
import type { FunctionEntry } from './functions.ts'
import type { Present } from './define.ts'

const fspOf = (value: Value | undefined): number =>
  value === null || value === undefined ? 0 : Number(toDouble(value))

function nowAt(context: EvalContext, fsp: number): DateTime {
  const unit = 10 ** (6 - fsp)
  const { year, month, day, hour, minute, second, micro } = context.now
  return { type: 'datetime', year, month, day, hour, minute, second, micro: Math.floor(micro / unit) * unit, fsp }
}

function utcNow(context: EvalContext, fsp: number): DateTime {
  const parts = fromMicros(BigInt(Math.trunc(context.nowMs)) * 1000n)
  return { type: 'datetime', ...roundFraction(parts, fsp), fsp }
}

const dateOf = (value: DateTimeParts): DateTime => ({
  ...zeroDateTime('date', 0),
  year: value.year,
  month: value.month,
  day: value.day,
})

const now = (read: (context: EvalContext, fsp: number) => Value): FunctionEntry => ({
  least: 0,
  most: 1,
  bind:
    (context) =>
    ([fsp]) =>
      read(context, fspOf(fsp)),
})

const timeOfDay = (value: DateTimeParts): number =>
  ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.micro

/** A part of a date and time; NULL where the value is none. */
const part = (read: (value: DateTimeParts) => Value): FunctionEntry => ({
  least: 1,
  most: 2,
  bind:
    (context) =>
    ([value]) => {
      const moment = value === null || value === undefined ? undefined : toDateTime(value, context.cast)
      return moment === undefined ? null : read(moment)
    },
})

const clockPart = (read: (micros: number) => number): FunctionEntry => ({
  least: 1,
  most: 1,
  bind:
    () =>
    ([value]) => {
      const micros = value === null || value === undefined ? undefined : toDurationMicros(value)
      return micros === undefined ? null : BigInt(read(Math.abs(micros)))
    },
})

const dayOfWeek = (value: DateTimeParts): number => (((dayNumber(value.year, value.month, value.day) + 4) % 7) + 7) % 7

/** Units of INTERVAL: months, or microseconds. */
const MONTHS: Readonly<Record<string, number>> = { MONTH: 1, QUARTER: 3, YEAR: 12 }
const MICROS: Readonly<Record<string, number>> = {
  MICROSECOND: 1,
  SECOND: 1e6,
  MINUTE: 60e6,
  HOUR: 3600e6,
  DAY: 86_400e6,
  WEEK: 604_800e6,
}

/** moment ± INTERVAL amount unit. NULL where the moment is none. */
export function addInterval(
  moment: Value,
  amount: Value,
  unit: string,
  subtract: boolean,
  context: EvalContext,
): Value {
  if (moment === null || amount === null) return null
  const start = toDateTime(moment, context.cast)
  if (start === undefined || !isRealDate(start)) return null
  const months = MONTHS[unit]
  const micros = MICROS[unit]
  if (months === undefined && micros === undefined)
    throw new SqlError(1235, `This version of the Tidewire playground doesn't yet support 'INTERVAL ... ${unit}'`)
  const sign = subtract ? -1 : 1
  const shifted =
    months === undefined
      ? addMicros(start, amount, micros ?? 1, sign)
      : addMonths(start, sign * months * Math.round(toDouble(amount)))
  return presentLike(moment, shifted, unit)
}

function addMicros(start: DateTimeParts, amount: Exclude<Value, null>, unit: number, sign: number): DateTimeParts {
  const total = toDecimal(amount).multiply(Decimal.ofInteger(BigInt(unit * sign)))
  return fromMicros(toMicros(start) + total.toBigInt())
}

function addMonths(start: DateTimeParts, months: number): DateTimeParts {
  const total = start.year * 12 + start.month - 1 + months
  const year = Math.floor(total / 12)
  const month = (total % 12) + 1
  return { ...start, year, month, day: Math.min(start.day, daysInMonth(year, month)) }
}

/** Dates stay dates unless the unit is finer; text gives text, as in MySQL. */
function presentLike(
  before: Present,
  { year, month, day, hour, minute, second, micro }: DateTimeParts,
  unit: string,
): Value {
  if (year < 0 || year > 9999) return null
  const parts = { year, month, day, hour, minute, second, micro }
  const fine = ['MICROSECOND', 'SECOND', 'MINUTE', 'HOUR'].includes(unit)
  const isDate = isDateTime(before) ? before.type === 'date' : !/[ T:]/.test(toText(before).trim())
  const fsp = micro === 0 && !(isDateTime(before) && before.fsp > 0) ? 0 : 6
  const result: DateTime =
    isDate && !fine
      ? dateOf(parts)
      : { type: 'datetime', ...parts, fsp: isDateTime(before) && unit !== 'MICROSECOND' ? before.fsp : fsp }
  return isDateTime(before) ? result : formatDateTime(result)
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTH_NAMES = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const two = (value: number): string => String(value).padStart(2, '0')

function formatPart(code: string, value: DateTimeParts): string {
  switch (code) {
    case 'Y':
      return String(value.year).padStart(4, '0')
    case 'y':
      return two(value.year % 100)
    case 'm':
      return two(value.month)
    case 'c':
      return String(value.month)
    case 'd':
      return two(value.day)
    case 'e':
      return String(value.day)
    case 'H':
      return two(value.hour)
    case 'k':
      return String(value.hour)
    case 'h':
    case 'I':
      return two(((value.hour + 11) % 12) + 1)
    case 'i':
      return two(value.minute)
    case 's':
    case 'S':
      return two(value.second)
    case 'f':
      return String(value.micro).padStart(6, '0')
    case 'T':
      return `${two(value.hour)}:${two(value.minute)}:${two(value.second)}`
    case 'p':
      return value.hour < 12 ? 'AM' : 'PM'
    case 'M':
      return MONTH_NAMES[value.month - 1] ?? ''
    case 'b':
      return (MONTH_NAMES[value.month - 1] ?? '').slice(0, 3)
    case 'W':
      return DAYS[dayOfWeek(value)] ?? ''
    case 'a':
      return (DAYS[dayOfWeek(value)] ?? '').slice(0, 3)
    case 'w':
      return String(dayOfWeek(value))
    case 'j':
      return String(dayOfYear(value)).padStart(3, '0')
    default:
      return code
  }
}

const dayOfYear = (value: DateTimeParts): number =>
  dayNumber(value.year, value.month, value.day) - dayNumber(value.year, 1, 1) + 1

const DIFFERENCES: Readonly<Record<string, (from: DateTimeParts, to: DateTimeParts) => bigint>> = {
  ...Object.fromEntries(
    Object.entries(MICROS).map(([unit, micros]) => [
      unit,
      (from: DateTimeParts, to: DateTimeParts) => (toMicros(to) - toMicros(from)) / BigInt(micros),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(MONTHS).map(([unit, months]) => [
      unit,
      (from: DateTimeParts, to: DateTimeParts) => monthsBetween(from, to) / BigInt(months),
    ]),
  ),
}

function monthsBetween(from: DateTimeParts, to: DateTimeParts): bigint {
  if (toMicros(to) < toMicros(from)) return -monthsBetween(to, from)
  const months = (to.year - from.year) * 12 + to.month - from.month
  const whole = to.day > from.day || (to.day === from.day && timeOfDay(to) >= timeOfDay(from))
  return BigInt(whole ? months : months - 1)
}

/** A function of two moments. */
const pair = (least: number, call: (context: EvalContext, args: readonly Present[]) => Value): FunctionEntry => ({
  least,
  most: least,
  bind: (context) => (args) => {
    const present = args.filter((arg) => arg !== null)
    return present.length < args.length ? null : call(context, present)
  },
})

function unixSeconds(context: EvalContext, value: Value | undefined): Value {
  if (value === undefined) return BigInt(Math.floor(context.nowMs / 1000))
  if (value === null) return null
  const moment = toDateTime(value, context.cast)
  if (moment === undefined) return 0n
  const utc = isDateTime(value) && value.utc !== undefined ? value.utc : timestampToUtc(moment, context.cast.zone)
  if (utc === undefined) return 0n
  const epoch = toMicros({ year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, micro: 0 })
  const micros = toMicros(utc) - epoch
  return utc.micro === 0 ? micros / 1_000_000n : new Decimal(micros, 6)
}

function fromUnix(context: EvalContext, value: Value | undefined): DateTime | null {
  if (value === null || value === undefined) return null
  const micros = toDecimal(value).multiply(Decimal.ofInteger(1_000_000n)).toBigInt()
  if (micros < 0n) return null
  const utc = fromMicros(micros)
  return { type: 'datetime', ...timestampFromUtc(utc, context.cast.zone), fsp: utc.micro === 0 ? 0 : 6 }
}

const dateFormat = (moment: DateTimeParts, format: string): string =>
  format.replaceAll(/%(.)/gs, (_, code: string) => formatPart(code, moment))

export const TIME_FUNCTIONS: Readonly<Record<string, FunctionEntry>> = {
  NOW: now(nowAt),
  CURRENT_TIMESTAMP: now(nowAt),
  LOCALTIME: now(nowAt),
  LOCALTIMESTAMP: now(nowAt),
  SYSDATE: now(nowAt),
  UTC_TIMESTAMP: now(utcNow),
  CURDATE: now((context) => dateOf(context.now)),
  CURRENT_DATE: now((context) => dateOf(context.now)),
  UTC_DATE: now((context) => dateOf(utcNow(context, 0))),
  CURTIME: now((context, fsp) => ({ type: 'time', micros: timeOfDay(nowAt(context, fsp)), fsp })),
  CURRENT_TIME: now((context, fsp) => ({ type: 'time', micros: timeOfDay(nowAt(context, fsp)), fsp })),
  UTC_TIME: now((context, fsp) => ({ type: 'time', micros: timeOfDay(utcNow(context, fsp)), fsp })),
  UNIX_TIMESTAMP: {
    least: 0,
    most: 1,
    bind:
      (context) =>
      ([value]) =>
        unixSeconds(context, value),
  },
  FROM_UNIXTIME: {
    least: 1,
    most: 2,
    bind:
      (context) =>
      ([value, format]) => {
        const moment = fromUnix(context, value)
        return moment === null || format === undefined || format === null ? moment : dateFormat(moment, toText(format))
      },
  },
  DATE: part(dateOf),
  TIME: {
    least: 1,
    most: 1,
    bind:
      () =>
      ([value]) =>
        timeValue(value),
  },
  TIMESTAMP: part((value) => ({ type: 'datetime', ...value, fsp: value.micro === 0 ? 0 : 6 })),
  YEAR: part(({ year }) => BigInt(year)),
  MONTH: part(({ month }) => BigInt(month)),
  DAY: part(({ day }) => BigInt(day)),
  DAYOFMONTH: part(({ day }) => BigInt(day)),
  DAYOFWEEK: part((value) => BigInt(dayOfWeek(value) + 1)),
  WEEKDAY: part((value) => BigInt((dayOfWeek(value) + 6) % 7)),
  DAYOFYEAR: part((value) => BigInt(dayOfYear(value))),
  QUARTER: part(({ month }) => BigInt(Math.ceil(month / 3))),
  LAST_DAY: part((value) => ({ ...dateOf(value), day: daysInMonth(value.year, value.month) })),
  TO_DAYS: part((value) => BigInt(dayNumber(value.year, value.month, value.day) + 719_528)),
  HOUR: clockPart((micros) => Math.floor(micros / 3600e6)),
  MINUTE: clockPart((micros) => Math.floor(micros / 60e6) % 60),
  SECOND: clockPart((micros) => Math.floor(micros / 1e6) % 60),
  MICROSECOND: clockPart((micros) => micros % 1e6),
  DATEDIFF: pair(2, (context, [a = '', b = '']) => {
    const to = toDateTime(a, context.cast)
    const from = toDateTime(b, context.cast)
    return to === undefined || from === undefined
      ? null
      : BigInt(dayNumber(to.year, to.month, to.day) - dayNumber(from.year, from.month, from.day))
  }),
  TIMESTAMPDIFF: pair(3, (context, [unit = '', a = '', b = '']) => {
    const from = toDateTime(a, context.cast)
    const to = toDateTime(b, context.cast)
    const difference = DIFFERENCES[toText(unit)]
    return from === undefined || to === undefined || difference === undefined ? null : difference(from, to)
  }),
  TIMESTAMPADD: pair(3, (context, [unit = '', amount = 0n, moment = '']) =>
    addInterval(moment, amount, toText(unit), false, context),
  ),
  EXTRACT: pair(2, (context, [unit = '', value = '']) => {
    const moment = toDateTime(value, context.cast)
    const name = toText(unit).toLowerCase()
    if (moment === undefined) return null
    const parts: Readonly<Record<string, number>> = {
      ...moment,
      microsecond: moment.micro,
      quarter: Math.ceil(moment.month / 3),
    }
    const found = parts[name]
    return found === undefined ? null : BigInt(found)
  }),
  DATE_FORMAT: pair(2, (context, [value = '', format = '']) => {
    const moment = toDateTime(value, context.cast)
    return moment === undefined ? null : dateFormat(moment, toText(format))
  }),
}

function timeValue(value: Value | undefined): Value {
  const micros = value === null || value === undefined ? undefined : toDurationMicros(value)
  return micros === undefined ? null : { type: 'time', micros, fsp: micros % 1_000_000 === 0 ? 0 : 6 }
}
