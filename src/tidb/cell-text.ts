import { type CellFormat, Kind } from './cell.ts'
import { BYTES_OF_DIGITS, decimalEnd, POWER_OF_TEN } from './decimal.ts'
import { printPadded, printSafe, printSigned, printSmall, printUnsigned, u32le } from './integer-text.ts'
import { daysOf, formatDatetime, formatDuration, formatTimestamp, ymdOfDays } from './time.ts'

/**
 * The text of stored cells, written as ASCII where it is wanted, without values in between: what `String(readCell(…))` gives,
 * byte by byte. Every printer writes at `at` and returns where it ended; the caller has made room for {@link MAX_CELL_TEXT}.
 */
const ZERO = 0x30
const MINUS = 0x2d
const COLON = 0x3a
const SPACE = 0x20
const POINT = 0x2e
const LOW = 2 ** 32

/**
 * Prints the cell `bytes[start, end)` of a row v2, of any kind but byte strings, FLOAT, DOUBLE, JSON and VECTOR. RangeError where
 * it is broken, or of such a kind.
 */
export function printCell(
  format: CellFormat,
  bytes: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  at: number,
): number {
  switch (format.kind) {
    case Kind.Int:
    case Kind.Year:
      return printSignedCell(bytes, start, end, to, at)
    case Kind.Uint:
    case Kind.Bit:
      return printUnsigned(unsignedHigh(bytes, start, end), unsignedLow(bytes, start, end), to, at)
    case Kind.Decimal:
      if (decimalEnd(bytes, start) !== end) throw new RangeError(`decimal of ${end - start} bytes`)
      return printDecimal(bytes, start, to, at)
    case Kind.Date:
      return printDate(unsignedHigh(bytes, start, end), to, at)
    case Kind.Datetime:
      return printDatetime(unsignedHigh(bytes, start, end), unsignedLow(bytes, start, end), format.fsp, to, at)
    case Kind.Timestamp:
      return printTimestamp(format, unsignedHigh(bytes, start, end), unsignedLow(bytes, start, end), to, at)
    case Kind.Duration:
      return printDuration(signedHigh(bytes, start, end), signedLow(bytes, start, end), format.fsp, to, at)
    case Kind.Enum: {
      const low = unsignedLow(bytes, start, end)
      const valid = unsignedHigh(bytes, start, end) === 0 && low <= format.members
      return printUnsigned(0, valid ? low : 0, to, at)
    }
    case Kind.Set: {
      const high = unsignedHigh(bytes, start, end)
      const low = unsignedLow(bytes, start, end)
      if (format.members < 64 && (high >>> 0) * LOW + low >= 2 ** format.members)
        throw new RangeError(`set value has bits beyond its ${format.members} elements`)
      return printUnsigned(high, low, to, at)
    }
    default:
      throw new RangeError('values of this column type have no plain text')
  }
}

/** The upper half of an unsigned cell, as a signed number. RangeError where its width is none of an integer. */
export function unsignedHigh(bytes: Uint8Array, start: number, end: number): number {
  const width = end - start
  if (width === 8) return u32le(bytes, start + 4) | 0
  if (width !== 1 && width !== 2 && width !== 4) throw new RangeError(`integer of ${width} bytes`)
  return 0
}

/** The lower half, not negative. */
export function unsignedLow(bytes: Uint8Array, start: number, end: number): number {
  const width = end - start
  if (width === 1) return bytes[start] ?? 0
  if (width === 2) return (bytes[start] ?? 0) | ((bytes[start + 1] ?? 0) << 8)
  return u32le(bytes, start)
}

/** A signed cell of less than 8 bytes. */
function signedSmall(bytes: Uint8Array, start: number, end: number): number {
  switch (end - start) {
    case 1:
      return ((bytes[start] ?? 0) << 24) >> 24
    case 2:
      return (((bytes[start] ?? 0) | ((bytes[start + 1] ?? 0) << 8)) << 16) >> 16
    case 4:
      return u32le(bytes, start) | 0
    default:
      throw new RangeError(`integer of ${end - start} bytes`)
  }
}

const signedHigh = (bytes: Uint8Array, start: number, end: number): number =>
  end - start === 8 ? u32le(bytes, start + 4) | 0 : signedSmall(bytes, start, end) >> 31

const signedLow = (bytes: Uint8Array, start: number, end: number): number =>
  end - start === 8 ? u32le(bytes, start) : signedSmall(bytes, start, end) >>> 0

/** As {@link printCell}, of an INT or YEAR. */
export function printSignedCell(bytes: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  if (end - start === 8) return printSigned(u32le(bytes, start + 4) | 0, u32le(bytes, start), to, at)
  const value = signedSmall(bytes, start, end)
  if (value >= 0) return printSmall(value, to, at)
  to[at] = MINUS
  return printSafe(-value, to, at + 1)
}

const GROUP = 9

/** The decimal that begins with its precision and scale at `start`; {@link decimalEnd} has looked at its frame. */
function printDecimal(bytes: Uint8Array, start: number, to: Uint8Array, begin: number): number {
  const scale = bytes[start + 1] ?? 0
  const wholeDigits = (bytes[start] ?? 0) - scale
  const negative = ((bytes[start + 2] ?? 0) & 0x80) === 0
  const mask = negative ? 0xff : 0
  let from = start + 2
  let flip = 0x80
  let zero = true
  let at = begin
  if (negative) to[at++] = MINUS
  const firstDigit = at
  for (let left = wholeDigits; left > 0;) {
    const digits = left % GROUP === 0 ? GROUP : left % GROUP
    const value = groupOf(bytes, from, digits, mask, flip)
    from += BYTES_OF_DIGITS[digits] ?? 0
    left -= digits
    flip = 0
    if (at > firstDigit) at = printPadded(value, digits, to, at)
    else if (value !== 0) at = printSmall(value, to, at)
  }
  if (at > firstDigit) zero = false
  else to[at++] = ZERO
  if (scale > 0) to[at++] = POINT
  for (let left = scale; left > 0;) {
    const digits = Math.min(GROUP, left)
    const value = groupOf(bytes, from, digits, mask, flip)
    from += BYTES_OF_DIGITS[digits] ?? 0
    left -= digits
    flip = 0
    if (value !== 0) zero = false
    at = printPadded(value, digits, to, at)
  }
  if (!negative || !zero) return at
  to.copyWithin(begin, firstDigit, at)
  return at - 1
}

/** `flip`: the sign bit of the first byte, which stands upside down. */
function groupOf(bytes: Uint8Array, from: number, digits: number, mask: number, flip: number): number {
  const size = BYTES_OF_DIGITS[digits] ?? 0
  let value = (bytes[from] ?? 0) ^ mask ^ flip
  for (let i = 1; i < size; i++) value = value * 256 + ((bytes[from + i] ?? 0) ^ mask)
  if (value >= (POWER_OF_TEN[digits] ?? 0)) throw new RangeError(`decimal group of ${digits} digits at offset ${from}`)
  return value
}

function printPair(value: number, to: Uint8Array, at: number): number {
  const tens = (value / 10) | 0
  to[at] = ZERO + tens
  to[at + 1] = ZERO + value - tens * 10
  return at + 2
}

/** `year`: at most 9999. */
function printYmd(year: number, month: number, day: number, to: Uint8Array, at: number): number {
  const century = (year / 100) | 0
  printPair(century, to, at)
  printPair(year - century * 100, to, at + 2)
  to[at + 4] = MINUS
  printPair(month, to, at + 5)
  to[at + 7] = MINUS
  return printPair(day, to, at + 8)
}

function printClock(hour: number, minute: number, second: number, to: Uint8Array, at: number): number {
  const next = hour < 100 ? printPair(hour, to, at) : printSmall(hour, to, at)
  to[next] = COLON
  printPair(minute, to, next + 1)
  to[next + 3] = COLON
  return printPair(second, to, next + 4)
}

/** `microsecond`: below 1e6; cut to `fsp` digits, not rounded. */
function printFraction(microsecond: number, fsp: number, to: Uint8Array, at: number): number {
  if (fsp <= 0) return at
  to[at] = POINT
  const digits = Math.min(fsp, 6)
  const unit = POWER_OF_TEN[6 - digits] ?? 1
  return printPadded((microsecond / unit) | 0, digits, to, at + 1)
}

function printAscii(text: string, to: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) to[at + i] = text.charCodeAt(i)
  return at + text.length
}

/** Years and fractions that no date has: text of the common kind, whatever it looks like. */
const isOdd = (year: number, microsecond: number): boolean => year > 9999 || microsecond >= 1e6

function printDate(high: number, to: Uint8Array, at: number): number {
  const ymd = high >>> 9
  const yearMonth = ymd >>> 5
  const year = (yearMonth / 13) | 0
  if (isOdd(year, 0)) return printAscii(formatDatetime(high, 0, 0).split(' ')[0] ?? '', to, at)
  return printYmd(year, yearMonth - year * 13, ymd & 31, to, at)
}

function printDatetime(high: number, low: number, fsp: number, to: Uint8Array, at: number): number {
  const yearMonth = high >>> 14
  const year = (yearMonth / 13) | 0
  const microsecond = low & 0xff_ffff
  if (isOdd(year, microsecond)) return printAscii(formatDatetime(high, low, fsp), to, at)
  const hms = ((high & 0x1ff) << 8) | (low >>> 24)
  const space = printYmd(year, yearMonth - year * 13, (high >>> 9) & 31, to, at)
  to[space] = SPACE
  return printFraction(microsecond, fsp, to, printClock(hms >>> 12, (hms >>> 6) & 63, hms & 63, to, space + 1))
}

function printTimestamp(format: CellFormat, high: number, low: number, to: Uint8Array, at: number): number {
  const { fsp, zone } = format
  if (high === 0 && low === 0) return printDatetime(0, 0, fsp, to, at)
  const ymd = high >>> 9
  const yearMonth = ymd >>> 5
  const year = (yearMonth / 13) | 0
  const month = yearMonth - year * 13
  const hms = ((high & 0x1ff) << 8) | (low >>> 24)
  const utc = (hms >>> 12) * 3600 + ((hms >>> 6) & 63) * 60 + (hms & 63)
  const days = daysOf(year, month, ymd & 31)
  let local = utc + zone.offsetAt(days * 86_400 + utc)
  let date = (year << 9) | (month << 5) | (ymd & 31)
  if (local < 0 || local >= 86_400) {
    const moved = Math.floor(local / 86_400)
    date = ymdOfDays(days + moved)
    local -= moved * 86_400
  }
  const microsecond = low & 0xff_ffff
  if (date < 0 || isOdd(date >> 9, microsecond)) return printAscii(formatTimestamp(high, low, fsp, zone), to, at)
  const space = printYmd(date >> 9, (date >> 5) & 15, date & 31, to, at)
  to[space] = SPACE
  return printFraction(microsecond, fsp, to, printSecondsOfDay(local, to, space + 1))
}

function printSecondsOfDay(seconds: number, to: Uint8Array, at: number): number {
  const minutes = (seconds / 60) | 0
  const hours = (minutes / 60) | 0
  return printClock(hours, minutes - hours * 60, seconds - minutes * 60, to, at)
}

function printDuration(high: number, low: number, fsp: number, to: Uint8Array, at: number): number {
  const nanoseconds = high * LOW + low
  const microseconds = Math.floor(Math.abs(nanoseconds) / 1000)
  const seconds = Math.floor(microseconds / 1e6)
  if (seconds > 0x7fff_ffff) return printAscii(formatDuration(high, low, fsp), to, at)
  let next = at
  if (nanoseconds < 0) to[next++] = MINUS
  return printFraction(microseconds - seconds * 1e6, fsp, to, printSecondsOfDay(seconds, to, next))
}
