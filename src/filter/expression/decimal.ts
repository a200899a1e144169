import { expandExponent } from '../../tidb/decimal.ts'

/** `units / 10^scale`; the scale is part of the value, as in MySQL. */
export interface Decimal {
  readonly units: bigint
  readonly scale: number
}

const MAX_SCALE = 30
/** Digits that a division adds to the scale of its left side (`div_precision_increment`). */
const DIVISION_DIGITS = 4

const powers: bigint[] = [1n]
function powerOfTen(exponent: number): bigint {
  for (let at = powers.length; at <= exponent; at++) powers.push((powers[at - 1] ?? 1n) * 10n)
  return powers[exponent] ?? 1n
}

/** Reads plain digits, or a number with exponent. RangeError where it is none. */
export function parseDecimal(text: string): Decimal {
  const plain = /^-?[0-9]+(?:\.[0-9]+)?$/.test(text) ? text : expandExponent(text)
  if (plain === undefined) throw new RangeError(`not a decimal: ${text}`)
  const point = plain.indexOf('.')
  if (point < 0) return { units: BigInt(plain), scale: 0 }
  const fraction = plain.slice(point + 1)
  const whole = plain.slice(0, point)
  return { units: BigInt((whole === '' || whole === '-' ? `${whole}0` : whole) + fraction), scale: fraction.length }
}

export const decimalOfInteger = (value: number | bigint): Decimal => ({ units: BigInt(value), scale: 0 })

export function decimalText({ units, scale }: Decimal): string {
  const negative = units < 0n
  const digits = (negative ? -units : units).toString().padStart(scale + 1, '0')
  const point = digits.length - scale
  return `${negative ? '-' : ''}${digits.slice(0, point)}${scale === 0 ? '' : `.${digits.slice(point)}`}`
}

const scaledTo = ({ units, scale }: Decimal, wanted: number): bigint => units * powerOfTen(wanted - scale)

export function compareDecimals(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale)
  const [left, right] = [scaledTo(a, scale), scaledTo(b, scale)]
  return left < right ? -1 : left > right ? 1 : 0
}

export function addDecimals(a: Decimal, b: Decimal, sign: 1n | -1n = 1n): Decimal {
  const scale = Math.max(a.scale, b.scale)
  return { units: scaledTo(a, scale) + sign * scaledTo(b, scale), scale }
}

export const multiplyDecimals = (a: Decimal, b: Decimal): Decimal =>
  roundDecimalTo({ units: a.units * b.units, scale: a.scale + b.scale }, Math.min(a.scale + b.scale, MAX_SCALE))

/** undefined for a division by zero. */
export function divideDecimals(a: Decimal, b: Decimal): Decimal | undefined {
  if (b.units === 0n) return undefined
  const scale = Math.min(a.scale + DIVISION_DIGITS, MAX_SCALE)
  // One digit more than kept decides about the rounding; what is behind it cannot change the outcome.
  const units = (a.units * powerOfTen(scale + 1 + b.scale)) / (b.units * powerOfTen(a.scale))
  return roundDecimalTo({ units, scale: scale + 1 }, scale)
}

/** The whole part of a quotient; undefined for a division by zero. */
export function wholeQuotient(a: Decimal, b: Decimal): bigint | undefined {
  if (b.units === 0n) return undefined
  const scale = Math.max(a.scale, b.scale)
  return scaledTo(a, scale) / scaledTo(b, scale)
}

/** With the sign of the left side; undefined for a division by zero. */
export function remainderOf(a: Decimal, b: Decimal): Decimal | undefined {
  if (b.units === 0n) return undefined
  const scale = Math.max(a.scale, b.scale)
  return { units: scaledTo(a, scale) % scaledTo(b, scale), scale }
}

/** Rounds half away from zero; a negative scale rounds whole digits. */
export function roundDecimalTo(value: Decimal, scale: number): Decimal {
  if (scale >= value.scale) return { units: scaledTo(value, scale), scale }
  const unit = powerOfTen(value.scale - scale)
  const half = unit / 2n
  const units = (value.units + (value.units < 0n ? -half : half)) / unit
  return scale >= 0 ? { units, scale } : { units: units * powerOfTen(-scale), scale: 0 }
}

/** Cuts digits off; a negative scale cuts whole digits. */
export function truncateDecimal(value: Decimal, scale: number): Decimal {
  if (scale >= value.scale) return { units: scaledTo(value, scale), scale }
  const units = value.units / powerOfTen(value.scale - scale)
  return scale >= 0 ? { units, scale } : { units: units * powerOfTen(-scale), scale: 0 }
}

export const integerOfDecimal = (value: Decimal): bigint => roundDecimalTo(value, 0).units

export const numberOfDecimal = (value: Decimal): number => Number(decimalText(value))
