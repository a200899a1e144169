/** Integers of 64 bits as two halves of 32, and their text, written as ASCII at `at`; printers return where it ended. */

/** Room for every printer of an integer, a time or a decimal. */
export const MAX_CELL_TEXT = 96

const ZERO = 0x30
const MINUS = 0x2d
const POINT = 0x2e
const LOW = 2 ** 32
const BILLION = 1e9

export const u32le = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0

export const u32be = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0

/** The signed integer of two halves, the lower one not negative. */
export function printSigned(high: number, low: number, to: Uint8Array, at: number): number {
  if (high >= 0) return printUnsigned(high, low, to, at)
  to[at] = MINUS
  const negated = -low >>> 0
  return printUnsigned(negated === 0 ? -high | 0 : ~high, negated, to, at + 1)
}

/** The unsigned integer of two halves; the sign of the upper one does not count. */
export function printUnsigned(high: number, low: number, to: Uint8Array, at: number): number {
  if (high === 0 && low < BILLION) return printSmall(low, to, at)
  if (high >= 0 && high < 0x20_0000) return printSafe(high * LOW + low, to, at)
  // Long division by 1e9: the upper half, then 16 bits at a time.
  const top = Math.floor((high >>> 0) / BILLION)
  const middle = ((high >>> 0) - top * BILLION) * 0x1_0000 + (low >>> 16)
  const middleDigit = Math.floor(middle / BILLION)
  const last = (middle - middleDigit * BILLION) * 0x1_0000 + (low & 0xffff)
  const lastDigit = Math.floor(last / BILLION)
  const quotient = (top * 0x1_0000 + middleDigit) * 0x1_0000 + lastDigit
  const rest = last - lastDigit * BILLION
  return printPadded(rest, 9, to, printSafe(quotient, to, at))
}

/** An integer from 0 to 2^53 - 1. */
export function printSafe(value: number, to: Uint8Array, at: number): number {
  if (value < BILLION) return printSmall(value, to, at)
  const top = Math.floor(value / BILLION)
  return printPadded(value - top * BILLION, 9, to, printSmall(top, to, at))
}

/** An integer from 0 to 1e9 - 1, or up to 2^31 - 1. */
export function printSmall(value: number, to: Uint8Array, at: number): number {
  const end = at + digitsOf(value)
  let rest = value | 0
  for (let i = end - 1; i > at; i--) {
    const next = (rest / 10) | 0
    to[i] = ZERO + rest - next * 10
    rest = next
  }
  to[at] = ZERO + rest
  return end
}

const digitsOf = (n: number): number =>
  n < 1e4
    ? n < 100
      ? n < 10
        ? 1
        : 2
      : n < 1e3
        ? 3
        : 4
    : n < 1e7
      ? n < 1e5
        ? 5
        : n < 1e6
          ? 6
          : 7
      : n < 1e8
        ? 8
        : n < 1e9
          ? 9
          : 10

/** Exactly `digits` digits, at most 9. */
export function printPadded(value: number, digits: number, to: Uint8Array, at: number): number {
  let rest = value | 0
  for (let i = at + digits - 1; i >= at; i--) {
    const next = (rest / 10) | 0
    to[i] = ZERO + rest - next * 10
    rest = next
  }
  return at + digits
}

/** An integer of ten-thousandths, less than 2^53, as a decimal without zeros at its end. */
export function printShortDecimal(units: number, to: Uint8Array, begin: number): number {
  let at = begin
  if (units < 0) to[at++] = MINUS
  const size = Math.abs(units)
  const whole = Math.floor(size / 1e4)
  let fraction = size - whole * 1e4
  at = printSafe(whole, to, at)
  if (fraction === 0) return at
  to[at] = POINT
  let digits = 4
  for (; fraction % 10 === 0; digits--) fraction /= 10
  return printPadded(fraction, digits, to, at + 1)
}
