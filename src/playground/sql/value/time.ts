/** Date and time values as MySQL has them: invalid and zero parts are possible, so no JavaScript Date anywhere. */
export interface DateTime extends DateTimeParts {
  readonly type: 'date' | 'datetime' | 'timestamp'
  /** Fractional digits, 0 to 6. A timestamp's parts are wall time of the session's zone. */
  readonly fsp: number
  /** Of a timestamp: the moment itself, which wall time does not give where clocks were set back. */
  readonly utc?: DateTimeParts
}

/** A TIME value: signed microseconds. */
export interface Duration {
  readonly type: 'time'
  readonly micros: number
  readonly fsp: number
}

/** ±838:59:59 */
export const MAX_DURATION_MICROS = 3_020_399_000_000

const DAY_MICROS = 86_400_000_000

export function isZeroDate(value: DateTime): boolean {
  return value.year === 0 && value.month === 0 && value.day === 0
}

export function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

export interface DateTimeParts {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly micro: number
}

const ZERO_PARTS: DateTimeParts = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0, micro: 0 }
export const zeroDateTime = (type: DateTime['type'], fsp: number): DateTime => ({ type, ...ZERO_PARTS, fsp })

/**
 * Reads MySQL's spellings of a date and time: `2024-1-2 3:4:5.6`, any punctuation between parts, `20240102030405`,
 * two-digit years. Parts are checked for range, not for zero. undefined = not a date.
 */
export function parseDateTimeText(
  text: string,
): (DateTimeParts & { readonly digits: number; readonly nanoRest: number }) | undefined {
  const trimmed = text.trim()
  const compact = /^(\d{6}|\d{8}|\d{12}|\d{14})(?:\.(\d*))?$/.exec(trimmed)
  const found =
    compact === null
      ? /^(\d{1,4})[^\dA-Za-z\s](\d{1,2})[^\dA-Za-z\s](\d{1,2})(?:(?:[T ]+|[^\dA-Za-z\s])(\d{1,2})(?:[^\dA-Za-z\s](\d{1,2})(?:[^\dA-Za-z\s](\d{1,2})(?:\.(\d*))?)?)?)?(?:Z|([+-])(\d{1,2}):(\d{2}))?$/.exec(
          trimmed,
        )
      : null
  const parts = compact === null ? found?.slice(1, 8) : splitCompact(compact[1] ?? '', compact[2])
  if (parts === undefined) return undefined
  const [yearText = '0', month = '0', day = '0', hour = '0', minute = '0', second = '0', fraction = ''] = parts.map(
    (part) => part ?? '0',
  )
  const digits = fraction === '0' && !trimmed.includes('.') ? '' : fraction
  const value = {
    year: fullYear(yearText),
    month: Number(month),
    day: Number(day),
    hour: Number(hour),
    minute: Number(minute),
    second: Number(second),
    micro: Number(digits.slice(0, 6).padEnd(6, '0')),
    digits: Math.min(6, digits.length),
    nanoRest: Number(digits[6] ?? '0'),
  }
  const fine = value.month <= 12 && value.day <= 31 && value.hour <= 23 && value.minute <= 59 && value.second <= 59
  return fine ? value : undefined
}

function splitCompact(digits: string, fraction: string | undefined): (string | undefined)[] {
  const yearLength = digits.length === 6 || digits.length === 12 ? 2 : 4
  const pairs = digits.slice(yearLength).match(/\d\d/g) ?? []
  return [digits.slice(0, yearLength), pairs[0], pairs[1], pairs[2] ?? '0', pairs[3] ?? '0', pairs[4] ?? '0', fraction]
}

function fullYear(text: string): number {
  const year = Number(text)
  return text.length > 2 ? year : year >= 70 ? year + 1900 : year + 2000
}

/** True when the day exists (zero parts do not count as existing). */
export function isRealDate(value: DateTimeParts): boolean {
  return value.month >= 1 && value.day >= 1 && value.day <= daysInMonth(value.year, value.month)
}

/** Microseconds since 0000-03-01-like epoch of the proleptic calendar; only differences and order mean something. */
export function toMicros(value: DateTimeParts): bigint {
  const seconds = value.hour * 3600 + value.minute * 60 + value.second
  return (
    BigInt(dayNumber(value.year, value.month, value.day)) * BigInt(DAY_MICROS) +
    BigInt(seconds) * 1_000_000n +
    BigInt(value.micro)
  )
}

/** Inverse of {@link toMicros}. */
export function fromMicros(micros: bigint): DateTimeParts {
  const day = BigInt(DAY_MICROS)
  let days = micros / day
  let rest = micros % day
  if (rest < 0n) {
    rest += day
    days -= 1n
  }
  const date = dateOfDayNumber(Number(days))
  const micro = Number(rest % 1_000_000n)
  const seconds = Number(rest / 1_000_000n)
  return {
    ...date,
    hour: Math.floor(seconds / 3600),
    minute: Math.floor(seconds / 60) % 60,
    second: seconds % 60,
    micro,
  }
}

/** Days since 1970-01-01 (civil calendar). */
export function dayNumber(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719468
}

function dateOfDayNumber(days: number): { year: number; month: number; day: number } {
  const z = days + 719468
  const era = Math.floor(z / 146097)
  const dayOfEra = z - era * 146097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36524) - Math.floor(dayOfEra / 146096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const mp = Math.floor((5 * dayOfYear + 2) / 153)
  const month = mp < 10 ? mp + 3 : mp - 9
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * mp + 2) / 5) + 1,
  }
}

/** Rounds the fraction half up to `fsp` digits; `nanoRest` is the seventh digit that the text had. */
export function roundFraction(value: DateTimeParts, fsp: number, nanoRest = 0): DateTimeParts {
  const unit = 10 ** (6 - fsp)
  const rounded = Math.round((value.micro + (fsp === 6 && nanoRest >= 5 ? 1 : 0)) / unit) * unit
  if (rounded < 1_000_000) return { ...value, micro: rounded }
  return isRealDate(value) ? fromMicros(toMicros({ ...value, micro: 0 }) + 1_000_000n) : { ...value, micro: 999_999 }
}

/** Reads `[-][d ]hh:mm:ss[.f]`, `hh:mm`, `hhmmss`, or the time of a datetime text. undefined = no time. */
export function parseDurationText(text: string): { readonly micros: number; readonly digits: number } | undefined {
  const trimmed = text.trim()
  const found =
    /^([+-]?)(?:(\d{1,3})\s+)?(\d{1,4}):(\d{1,2})(?::(\d{1,2}))?(?:\.(\d*))?$/.exec(trimmed) ??
    /^([+-]?)(\d{1,3})\s+(\d{1,2})()()()$/.exec(trimmed)
  if (found !== null) {
    const [, sign, days = '0', hour = '0', minute, second, fraction] = found
    return durationOf(
      sign === '-',
      Number(days) * 24 + Number(hour),
      Number(minute ?? 0),
      Number(second ?? 0),
      fraction ?? '',
    )
  }
  const compact = /^([+-]?)(\d{1,7})(?:\.(\d*))?$/.exec(trimmed)
  if (compact !== null) {
    const digits = (compact[2] ?? '').padStart(7, '0')
    return durationOf(
      compact[1] === '-',
      Number(digits.slice(0, 3)),
      Number(digits.slice(3, 5)),
      Number(digits.slice(5, 7)),
      compact[3] ?? '',
    )
  }
  const hasClock = /^\d{14}(?:\.|$)|[T ]/.test(trimmed)
  const moment = hasClock ? parseDateTimeText(trimmed) : undefined
  if (moment === undefined) return undefined
  return {
    micros: ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1_000_000 + moment.micro,
    digits: moment.digits,
  }
}

function durationOf(
  negative: boolean,
  hour: number,
  minute: number,
  second: number,
  fraction: string,
): { micros: number; digits: number } | undefined {
  if (minute > 59 || second > 59) return undefined
  const rest = Number(fraction[6] ?? '0') >= 5 ? 1 : 0
  const micros = ((hour * 60 + minute) * 60 + second) * 1_000_000 + Number(fraction.slice(0, 6).padEnd(6, '0')) + rest
  return { micros: negative ? -micros : micros, digits: Math.min(6, fraction.length) }
}

const pad = (value: number, width = 2): string => String(value).padStart(width, '0')
const fractionText = (micro: number, fsp: number): string => (fsp === 0 ? '' : `.${pad(micro, 6).slice(0, fsp)}`)

export function formatDateTime(value: DateTime): string {
  const date = `${pad(value.year, 4)}-${pad(value.month)}-${pad(value.day)}`
  if (value.type === 'date') return date
  return `${date} ${pad(value.hour)}:${pad(value.minute)}:${pad(value.second)}${fractionText(value.micro, value.fsp)}`
}

export function formatDuration(value: Duration): string {
  const micros = Math.abs(value.micros)
  const seconds = Math.floor(micros / 1_000_000)
  const clock = `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`
  return `${value.micros < 0 ? '-' : ''}${clock}${fractionText(micros % 1_000_000, value.fsp)}`
}
