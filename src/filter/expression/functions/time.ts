import type { Values } from '../../../event/row-change.ts'
import { daysOf, formatSeconds, parseCivil, parseDuration, secondsOfCivil, type CivilTime } from '../../../tidb/time.ts'
import { openTimeZone, type TimeZone, utcOfLocal } from '../../../tidb/time-zone.ts'
import { asDecimal, asDuration, asInteger, asText, asTime } from '../convert.ts'
import { type Decimal, decimalText, roundDecimalTo } from '../decimal.ts'
import { type Evaluate, operand, type Operand } from '../operand.ts'
import {
  argument,
  define,
  type FunctionDefinition,
  type Functions,
  int,
  isConstant,
  real,
  strict,
  text,
} from './define.ts'

/** A field of a date; NULL for what is no date. */
const ofTime = (field: (time: CivilTime) => number | null): FunctionDefinition =>
  define(1, 1, (args) =>
    int(
      strict([asTime(argument(args, 0), 6)], (value) => field(parseCivil(value))),
      args,
    ),
  )

/** A field of a time of day, which may be longer than a day. */
const ofClock = (field: (microseconds: number) => number): FunctionDefinition =>
  define(1, 1, (args) =>
    int(
      strict([asDuration(argument(args, 0), 6)], (value) => field(Math.abs(microsecondsOf(value)))),
      args,
    ),
  )

/** Exact: a TIME is below 2^53 microseconds. */
const microsecondsOf = (duration: string): number => Number(parseDuration(duration) / 1000n)

const SECOND = 1_000_000

const isComplete = ({ year, month, day }: CivilTime): boolean => month > 0 && day > 0 && year >= 0
const dayNumber = ({ year, month, day }: CivilTime): number => daysOf(year, month, day)
/** Days since year 0, as TO_DAYS counts. */
const YEAR_ZERO = 719_528
/** 0 = Monday. */
const weekday = (time: CivilTime): number => (((dayNumber(time) + 3) % 7) + 7) % 7
const dayOfYear = (time: CivilTime): number => dayNumber(time) - daysOf(time.year, 1, 1) + 1
const complete =
  (field: (time: CivilTime) => number) =>
  (time: CivilTime): number | null =>
    isComplete(time) ? field(time) : null

/** Week and its year, for MySQL's modes 0 to 7. */
function weekOf(time: CivilTime, mode: number): { readonly year: number; readonly week: number } {
  const mondayFirst = (mode & 1) !== 0
  const wholeYears = (mode & 2) !== 0
  // The first week is the first with four days of the year (ISO), or the first that begins in it.
  const fourDays = mondayFirst === ((mode & 4) === 0)
  const day = dayNumber(time)
  const startOf = (year: number): number => {
    const first = daysOf(year, 1, 1)
    const position = (((first + (mondayFirst ? 3 : 4)) % 7) + 7) % 7
    return fourDays ? first - position + (position > 3 ? 7 : 0) : first + ((7 - position) % 7)
  }
  let { year } = time
  if (day < startOf(year)) {
    if (!wholeYears) return { year, week: 0 }
    year--
  } else if (wholeYears && day >= startOf(year + 1)) year++
  return { year, week: Math.floor((day - startOf(year)) / 7) + 1 }
}

const UNITS_OF_MONTHS: Readonly<Record<string, number>> = { year: 12, quarter: 3, month: 1, year_month: 1 }
const MICROSECONDS: Readonly<Record<string, number>> = {
  week: 7 * 86_400 * SECOND,
  day: 86_400 * SECOND,
  hour: 3600 * SECOND,
  minute: 60 * SECOND,
  second: SECOND,
  microsecond: 1,
}
/** Fields of the units of several parts, the greatest first, in microseconds. */
const COMPOUND: Readonly<Record<string, readonly string[]>> = {
  day_hour: ['day', 'hour'],
  day_minute: ['day', 'hour', 'minute'],
  day_second: ['day', 'hour', 'minute', 'second'],
  day_microsecond: ['day', 'hour', 'minute', 'second', 'microsecond'],
  hour_minute: ['hour', 'minute'],
  hour_second: ['hour', 'minute', 'second'],
  hour_microsecond: ['hour', 'minute', 'second', 'microsecond'],
  minute_second: ['minute', 'second'],
  minute_microsecond: ['minute', 'second', 'microsecond'],
  second_microsecond: ['second', 'microsecond'],
}

/** How far an interval moves: months, and microseconds. */
type Move = { readonly months: number; readonly microseconds: number }

function intervalOf(amount: Operand, unit: string): (row: Values) => Move | null {
  const months = UNITS_OF_MONTHS[unit]
  if (months !== undefined && unit !== 'year_month') {
    const count = asInteger(amount)
    return (row) => {
      const value = count(row)
      return value === null ? null : { months: Number(value) * months, microseconds: 0 }
    }
  }
  const size = MICROSECONDS[unit]
  if (size !== undefined) {
    const count = asDecimal(amount)
    return (row) => {
      const value = count(row)
      return value === null ? null : { months: 0, microseconds: Math.round(Number(scaled(value, unit)) * size) }
    }
  }
  const parts = COMPOUND[unit]
  if (parts === undefined && unit !== 'year_month') throw new SyntaxError(`unknown unit of an interval: ${unit}`)
  const written = asText(amount)
  return (row) => {
    const value = written(row)
    return value === null ? null : compoundMove(value, parts ?? ['year', 'month'])
  }
}

/** Only seconds have a fraction; the other units are rounded. */
const scaled = (value: Decimal, unit: string): string =>
  decimalText(unit === 'second' ? value : roundDecimalTo(value, 0))

function compoundMove(value: string, parts: readonly string[]): Move {
  const sign = value.trim().startsWith('-') ? -1 : 1
  const numbers = (value.match(/[0-9]+/g) ?? []).slice(0, parts.length)
  const used = parts.slice(parts.length - numbers.length)
  let months = 0
  let microseconds = 0
  for (const [i, unit] of used.entries()) {
    const digits = numbers[i] ?? '0'
    if (unit === 'year') months += Number(digits) * 12
    else if (unit === 'month') months += Number(digits)
    else if (unit === 'microsecond') microseconds += Number(digits.padEnd(6, '0'))
    else microseconds += Number(digits) * (MICROSECONDS[unit] ?? 0)
  }
  return { months: sign * months, microseconds: sign * microseconds }
}

const DATE_UNITS = ['year', 'quarter', 'month', 'week', 'day', 'year_month']

/** DATE_ADD and DATE_SUB: a date stays one when it is moved by days or more; a text becomes text. */
export function compileDateMove(date: Operand, amount: Operand, unit: string, sign: 1 | -1): Operand {
  const move = intervalOf(amount, unit)
  const constant = date.constant && amount.constant
  const wholeDays = DATE_UNITS.includes(unit)
  const fraction = unit.endsWith('microsecond') || (unit === 'second' && amount.kind !== 'int') ? 6 : 0
  const value = asTime(date, 6)
  const moved = (row: Values): string | null => {
    const from = value(row)
    if (from === null) return null
    const by = move(row)
    return by === null ? null : movedTime(parseCivil(from), by, sign)
  }
  if (date.kind === 'time') {
    const dateOnly = date.dateOnly && wholeDays
    const scale = dateOnly ? 0 : Math.max(date.scale, fraction)
    const evaluate: Evaluate<string> = (row) => cutTime(moved(row), dateOnly, scale)
    return operand('time', evaluate, { constant, dateOnly, scale })
  }
  const source = asText(date)
  const evaluate: Evaluate<string> = (row) => {
    const result = moved(row)
    const isDate = wholeDays && /^\s*[0-9]+[-/.][0-9]+[-/.][0-9]+\s*$/.test(source(row) ?? '')
    return cutTime(result, isDate, result?.endsWith('.000000') === true ? 0 : 6)
  }
  return text(evaluate, [date, amount])
}

function cutTime(value: string | null, dateOnly: boolean, scale: number): string | null {
  if (value === null) return null
  return value.slice(0, dateOnly ? 10 : scale === 0 ? 19 : 20 + scale)
}

/** NULL beyond the years 0 to 9999. */
function movedTime(time: CivilTime, { months, microseconds }: Move, sign: 1 | -1): string | null {
  if (!isComplete(time)) return null
  const month = time.year * 12 + time.month - 1 + sign * months
  const [year, monthOfYear] = [Math.floor(month / 12), (month % 12) + 1]
  if (year < 0 || year > 9999) return null
  const day = Math.min(time.day, lastDay(year, monthOfYear))
  const at = { ...time, year, month: monthOfYear, day }
  const total = at.microsecond + sign * microseconds
  const carry = Math.floor(total / SECOND)
  const seconds = secondsOfCivil(at) + carry
  if (seconds < FIRST_SECOND || seconds > LAST_SECOND) return null
  return `${formatSeconds(seconds)}.${String(total - carry * SECOND).padStart(6, '0')}`
}

const FIRST_SECOND = daysOf(0, 1, 1) * 86_400
const LAST_SECOND = daysOf(9999, 12, 31) * 86_400 + 86_399

const lastDay = (year: number, month: number): number =>
  (month === 12 ? daysOf(year + 1, 1, 1) : daysOf(year, month + 1, 1)) - daysOf(year, month, 1)

/** Whole units between two times, cut towards zero. */
function difference(unit: string, from: CivilTime, to: CivilTime): number {
  const microseconds = (time: CivilTime): number => secondsOfCivil(time) * SECOND + time.microsecond
  const size = MICROSECONDS[unit]
  if (size !== undefined) return Math.trunc((microseconds(to) - microseconds(from)) / size) + 0
  const months = UNITS_OF_MONTHS[unit]
  if (months === undefined) throw new SyntaxError(`unknown unit of a difference: ${unit}`)
  const sign = microseconds(to) < microseconds(from) ? -1 : 1
  const [early, late] = sign < 0 ? [to, from] : [from, to]
  const rest = (time: CivilTime): number => microseconds(time) - daysOf(time.year, time.month, 1) * 86_400 * SECOND
  const count = (late.year - early.year) * 12 + late.month - early.month - (rest(late) < rest(early) ? 1 : 0)
  return (sign * Math.trunc(count / months)) as number
}

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
const DAY_NAMES = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']

const two = (value: number): string => String(value).padStart(2, '0')
const twelve = (hour: number): number => hour % 12 || 12

function ordinal(day: number): string {
  if (day >= 11 && day <= 13) return `${day}th`
  return `${day}${['th', 'st', 'nd', 'rd'][day % 10] ?? 'th'}`
}

const FORMATS: Readonly<Record<string, (time: CivilTime) => string>> = {
  a: (time) => (DAY_NAMES[weekday(time)] ?? '').slice(0, 3),
  b: ({ month }) => (MONTH_NAMES[month - 1] ?? '').slice(0, 3),
  c: ({ month }) => String(month),
  D: ({ day }) => ordinal(day),
  d: ({ day }) => two(day),
  e: ({ day }) => String(day),
  f: ({ microsecond }) => String(microsecond).padStart(6, '0'),
  H: ({ hour }) => two(hour),
  h: ({ hour }) => two(twelve(hour)),
  I: ({ hour }) => two(twelve(hour)),
  i: ({ minute }) => two(minute),
  j: (time) => String(dayOfYear(time)).padStart(3, '0'),
  k: ({ hour }) => String(hour),
  l: ({ hour }) => String(twelve(hour)),
  M: ({ month }) => MONTH_NAMES[month - 1] ?? '',
  m: ({ month }) => two(month),
  p: ({ hour }) => (hour < 12 ? 'AM' : 'PM'),
  r: ({ hour, minute, second }) => `${two(twelve(hour))}:${two(minute)}:${two(second)} ${hour < 12 ? 'AM' : 'PM'}`,
  S: ({ second }) => two(second),
  s: ({ second }) => two(second),
  T: ({ hour, minute, second }) => `${two(hour)}:${two(minute)}:${two(second)}`,
  U: (time) => two(weekOf(time, 0).week),
  u: (time) => two(weekOf(time, 1).week),
  V: (time) => two(weekOf(time, 2).week),
  v: (time) => two(weekOf(time, 3).week),
  W: (time) => DAY_NAMES[weekday(time)] ?? '',
  w: (time) => String((weekday(time) + 1) % 7),
  X: (time) => String(weekOf(time, 2).year).padStart(4, '0'),
  x: (time) => String(weekOf(time, 3).year).padStart(4, '0'),
  Y: ({ year }) => String(year).padStart(4, '0'),
  y: ({ year }) => two(year % 100),
}

const formatTime = (time: CivilTime, pattern: string): string =>
  pattern.replace(/%([^])/g, (_, letter: string) => FORMATS[letter]?.(time) ?? letter)

/** Time at the moment of evaluation, in a zone. */
const now = (dateOnly: boolean, zoneOf: (zone: TimeZone) => TimeZone): FunctionDefinition =>
  define(0, 1, (args, context) => {
    const scale = args[0] === undefined ? 0 : Number(asInteger(args[0])([]) ?? 0)
    const zone = zoneOf(context.zone)
    const evaluate = (): string => {
      const ms = context.now()
      const seconds = Math.floor(ms / 1000)
      const clock = `${formatSeconds(seconds + zone.offsetAt(seconds))}.${String(ms - seconds * 1000).padStart(3, '0')}000`
      return clock.slice(0, dateOnly ? 10 : scale === 0 ? 19 : 20 + scale)
    }
    return operand('time', evaluate, { dateOnly, scale })
  })

const clockNow: FunctionDefinition = define(0, 1, (_, context) => {
  const evaluate = (): string => {
    const seconds = Math.floor(context.now() / 1000)
    return formatSeconds(seconds + context.zone.offsetAt(seconds)).slice(11)
  }
  return operand('duration', evaluate, { scale: 0 })
})

const local = now(false, (zone) => zone)
const utc = now(false, () => openTimeZone('UTC'))
const today = now(true, (zone) => zone)

const EXTRACTS: Readonly<Record<string, (time: CivilTime) => number>> = {
  year: ({ year }) => year,
  quarter: ({ month }) => Math.ceil(month / 3),
  month: ({ month }) => month,
  week: (time) => weekOf(time, 0).week,
  day: ({ day }) => day,
  hour: ({ hour }) => hour,
  minute: ({ minute }) => minute,
  second: ({ second }) => second,
  microsecond: ({ microsecond }) => microsecond,
  year_month: ({ year, month }) => year * 100 + month,
  day_hour: ({ day, hour }) => day * 100 + hour,
  day_minute: ({ day, hour, minute }) => day * 10_000 + hour * 100 + minute,
  day_second: ({ day, hour, minute, second }) => day * 1_000_000 + hour * 10_000 + minute * 100 + second,
  hour_minute: ({ hour, minute }) => hour * 100 + minute,
  hour_second: ({ hour, minute, second }) => hour * 10_000 + minute * 100 + second,
  minute_second: ({ minute, second }) => minute * 100 + second,
}

const dayOfMonth = ofTime(({ day }) => day)

const zoned = (args: readonly Operand[], evaluate: Evaluate<string>, scale: number): Operand =>
  operand('time', evaluate, { constant: isConstant(args), scale })

export const TIME_FUNCTIONS: Functions = {
  curdate: today,
  current_date: today,
  current_time: clockNow,
  current_timestamp: local,
  curtime: clockNow,
  date: define(1, 1, (args) =>
    operand('time', asTime(argument(args, 0), 0, true), { constant: isConstant(args), dateOnly: true, scale: 0 }),
  ),
  date_format: define(2, 2, (args) =>
    text(
      strict([asTime(argument(args, 0), 6), asText(argument(args, 1))], (value, pattern) =>
        formatTime(parseCivil(value), pattern),
      ),
      args,
    ),
  ),
  datediff: define(2, 2, (args) =>
    int(
      strict([asTime(argument(args, 0), 6), asTime(argument(args, 1), 6)], (left, right) => {
        const [a, b] = [parseCivil(left), parseCivil(right)]
        return isComplete(a) && isComplete(b) ? dayNumber(a) - dayNumber(b) : null
      }),
      args,
    ),
  ),
  day: dayOfMonth,
  dayname: define(1, 1, (args) =>
    text(
      strict([asTime(argument(args, 0), 6)], (value) => {
        const time = parseCivil(value)
        return isComplete(time) ? (DAY_NAMES[weekday(time)] ?? null) : null
      }),
      args,
    ),
  ),
  dayofmonth: dayOfMonth,
  dayofweek: ofTime(complete((time) => ((weekday(time) + 1) % 7) + 1)),
  dayofyear: ofTime(complete(dayOfYear)),
  extract: define(2, 2, (args) => {
    const unit = asText(argument(args, 0))([]) ?? ''
    const field = EXTRACTS[unit]
    if (field === undefined) throw new SyntaxError(`unknown unit to extract: ${unit}`)
    return int(
      strict([asTime(argument(args, 1), 6)], (value) => field(parseCivil(value))),
      args,
    )
  }),
  from_unixtime: define(1, 2, (args, { zone }) => {
    const one = argument(args, 0)
    const scale = one.kind === 'int' ? 0 : 6
    const at = strict([asDecimal(one)], (value): string | null => {
      const microseconds = roundDecimalTo(value, 6).units
      if (microseconds < 0n || microseconds > BigInt(2 ** 38) * 1_000_000n) return null
      const seconds = Number(microseconds / 1_000_000n)
      const fraction = String(microseconds % 1_000_000n).padStart(6, '0')
      return `${formatSeconds(seconds + zone.offsetAt(seconds))}.${fraction}`.slice(0, scale === 0 ? 19 : 26)
    })
    if (args[1] === undefined) return zoned(args, at, scale)
    return text(
      strict([at, asText(args[1])], (value, pattern) => formatTime(parseCivil(value), pattern)),
      args,
    )
  }),
  hour: ofClock((microseconds) => Math.floor(microseconds / (3600 * SECOND))),
  last_day: define(1, 1, (args) => {
    const evaluate = strict([asTime(argument(args, 0), 6)], (value) => {
      const { year, month } = parseCivil(value)
      return month === 0 ? null : `${value.slice(0, 8)}${two(lastDay(year, month))}`
    })
    return operand('time', evaluate, { constant: isConstant(args), dateOnly: true, scale: 0 })
  }),
  localtime: local,
  localtimestamp: local,
  makedate: define(2, 2, (args) => {
    const evaluate = strict([asInteger(argument(args, 0)), asInteger(argument(args, 1))], (year, day) => {
      if (Number(day) <= 0 || Number(year) < 0 || Number(year) > 9999) return null
      const full = Number(year) < 70 ? Number(year) + 2000 : Number(year) < 100 ? Number(year) + 1900 : Number(year)
      const seconds = (daysOf(full, 1, 1) + Number(day) - 1) * 86_400
      return seconds > LAST_SECOND ? null : formatSeconds(seconds).slice(0, 10)
    })
    return operand('time', evaluate, { constant: isConstant(args), dateOnly: true, scale: 0 })
  }),
  microsecond: ofClock((microseconds) => microseconds % SECOND),
  minute: ofClock((microseconds) => Math.floor(microseconds / (60 * SECOND)) % 60),
  month: ofTime(({ month }) => month),
  monthname: define(1, 1, (args) =>
    text(
      strict([asTime(argument(args, 0), 6)], (value) => MONTH_NAMES[parseCivil(value).month - 1] ?? null),
      args,
    ),
  ),
  now: local,
  quarter: ofTime(({ month }) => Math.ceil(month / 3)),
  sec_to_time: define(1, 1, (args) => {
    const evaluate = strict([asDecimal(argument(args, 0))], (value) => {
      const total = Number(roundDecimalTo(value, 0).units)
      const size = Math.min(Math.abs(total), 838 * 3600 + 59 * 60 + 59)
      return `${total < 0 ? '-' : ''}${two(Math.floor(size / 3600))}:${two(Math.floor(size / 60) % 60)}:${two(size % 60)}`
    })
    return operand('duration', evaluate, { constant: isConstant(args), scale: 0 })
  }),
  second: ofClock((microseconds) => Math.floor(microseconds / SECOND) % 60),
  time: define(1, 1, (args) =>
    operand('duration', asDuration(argument(args, 0), 6), { constant: isConstant(args), scale: 6 }),
  ),
  time_to_sec: define(1, 1, (args) =>
    int(
      strict([asDuration(argument(args, 0), 6)], (value) => Math.trunc(microsecondsOf(value) / SECOND) + 0),
      args,
    ),
  ),
  timestamp: define(1, 1, (args) => {
    const one = argument(args, 0)
    const scale = one.kind === 'time' ? one.scale : 6
    return zoned(args, asTime(one, scale), scale)
  }),
  timestampdiff: define(3, 3, (args) => {
    const unit = asText(argument(args, 0))([]) ?? ''
    if (UNITS_OF_MONTHS[unit] === undefined && MICROSECONDS[unit] === undefined)
      throw new SyntaxError(`unknown unit of a difference: ${unit}`)
    const evaluate = strict([asTime(argument(args, 1), 6), asTime(argument(args, 2), 6)], (from, to) => {
      const [a, b] = [parseCivil(from), parseCivil(to)]
      return isComplete(a) && isComplete(b) ? difference(unit, a, b) : null
    })
    return int(evaluate, args)
  }),
  to_days: ofTime(complete((time) => dayNumber(time) + YEAR_ZERO)),
  to_seconds: ofTime(complete((time) => secondsOfCivil(time) + YEAR_ZERO * 86_400)),
  unix_timestamp: define(0, 1, (args, { zone, now: clock }) => {
    const [one] = args
    if (one === undefined) return operand('int', () => Math.floor(clock() / 1000))
    const seconds = strict([asTime(one, 6)], (value): number => {
      const time = parseCivil(value)
      if (!isComplete(time)) return 0
      return Math.max(0, utcOfLocal(zone, secondsOfCivil(time)) + time.microsecond / SECOND)
    })
    const whole = one.kind === 'time' && one.scale === 0
    return whole ? int(seconds, args) : real(seconds, args)
  }),
  utc_timestamp: utc,
  utc_date: now(true, () => openTimeZone('UTC')),
  week: define(1, 2, (args) => {
    const mode: Evaluate<number | bigint> = args[1] === undefined ? () => 0 : asInteger(args[1])
    return int(
      strict([asTime(argument(args, 0), 6), mode], (value, wanted) => {
        const time = parseCivil(value)
        return isComplete(time) ? weekOf(time, Number(wanted) & 7).week : null
      }),
      args,
    )
  }),
  weekday: ofTime(complete(weekday)),
  weekofyear: ofTime(complete((time) => weekOf(time, 3).week)),
  year: ofTime(({ year }) => year),
  yearweek: define(1, 2, (args) => {
    const mode: Evaluate<number | bigint> = args[1] === undefined ? () => 0 : asInteger(args[1])
    return int(
      strict([asTime(argument(args, 0), 6), mode], (value, wanted) => {
        const time = parseCivil(value)
        if (!isComplete(time)) return null
        const { year, week } = weekOf(time, (Number(wanted) & 7) | 2)
        return year * 100 + week
      }),
      args,
    )
  }),
}
