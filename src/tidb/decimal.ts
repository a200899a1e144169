import type { ByteWriter } from './byte-writer.ts'

/**
 * DECIMAL as text `-?digits(.digits)?` and as MySQL's binary digits. Source: TiDB pkg/types/mydecimal.go (reference:
 * tidb-storage, section 3).
 */
const GROUP = 9
/** Bytes that hold so many digits. */
export const BYTES_OF_DIGITS = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4] as const
const ZEROS = '0'.repeat(81)
export const POWER_OF_TEN = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9] as const

/** Digits in front of and behind the point, without sign; `whole` has no leading zeros. */
interface Digits {
  readonly negative: boolean
  readonly whole: string
  readonly fraction: string
}

const bytesOf = (digits: number): number => Math.floor(digits / GROUP) * 4 + (BYTES_OF_DIGITS[digits % GROUP] ?? 0)

/** Where a decimal ends that begins with its precision and scale at `offset`. */
export function decimalEnd(bytes: Uint8Array, offset: number): number {
  const precision = bytes[offset]
  const scale = bytes[offset + 1]
  if (precision === undefined || scale === undefined) throw new RangeError(`decimal ends early at offset ${offset}`)
  if (precision === 0 || scale > precision || precision > 81)
    throw new RangeError(`decimal of precision ${precision} and scale ${scale} at offset ${offset}`)
  const end = offset + 2 + bytesOf(precision - scale) + bytesOf(scale)
  if (end > bytes.length) throw new RangeError(`decimal ends early at offset ${bytes.length}`)
  return end
}

/** Text with exactly the stored scale; layout: precision, scale, digits. */
export function decodeDecimal(bytes: Uint8Array, offset: number): string {
  decimalEnd(bytes, offset)
  const scale = bytes[offset + 1] ?? 0
  const wholeDigits = (bytes[offset] ?? 0) - scale
  const first = offset + 2
  const mask = (bytes[first] ?? 0) & 0x80 ? 0 : 0xff
  let at = first
  let zero = true

  const group = (digits: number): number => {
    let value = 0
    for (let left = BYTES_OF_DIGITS[digits] ?? 0; left > 0; left--, at++) {
      const byte = (bytes[at] ?? 0) ^ mask
      value = value * 256 + (at === first ? byte ^ 0x80 : byte)
    }
    if (value >= (POWER_OF_TEN[digits] ?? 0)) throw new RangeError(`decimal group of ${digits} digits at offset ${at}`)
    if (value !== 0) zero = false
    return value
  }

  let whole = ''
  const leading = wholeDigits % GROUP
  if (leading > 0) {
    const value = group(leading)
    if (value !== 0) whole = String(value)
  }
  for (let left = wholeDigits - leading; left > 0; left -= GROUP) {
    const value = group(GROUP)
    if (whole !== '') whole += padded(value, GROUP)
    else if (value !== 0) whole = String(value)
  }
  let fraction = ''
  for (let left = scale; left > 0; left -= GROUP) {
    const digits = Math.min(GROUP, left)
    fraction += padded(group(digits), digits)
  }
  const text = fraction === '' ? whole || '0' : `${whole || '0'}.${fraction}`
  return mask !== 0 && !zero ? `-${text}` : text
}

const padded = (value: number, digits: number): string => {
  const text = String(value)
  return text.length === digits ? text : ZEROS.slice(0, digits - text.length) + text
}

/**
 * Writes precision, scale and digits. Precision 0 stands for the value's own. RangeError where digits would be lost:
 * round first ({@link roundDecimal}).
 */
export function writeDecimal(writer: ByteWriter, text: string, precision = 0, scale = 0): void {
  const { negative, whole, fraction } = parseDigits(text)
  const ownScale = precision === 0 ? fraction.length : scale
  const ownPrecision = precision === 0 ? Math.max(1, whole.length + fraction.length) : precision
  const wholeDigits = ownPrecision - ownScale
  if (whole.length > wholeDigits || fraction.length > ownScale || wholeDigits < 0)
    throw new RangeError(`${text} does not fit into DECIMAL(${ownPrecision},${ownScale})`)
  const digits = whole.padStart(wholeDigits, '0') + fraction.padEnd(ownScale, '0')
  const mask = negative && /[1-9]/.test(digits) ? 0xff : 0
  writer.u8(ownPrecision).u8(ownScale)
  let sign = 0x80
  const group = (from: number, count: number): void => {
    const value = Number(digits.slice(from, from + count))
    for (let shift = ((BYTES_OF_DIGITS[count] ?? 0) - 1) * 8; shift >= 0; shift -= 8) {
      writer.u8(((value >>> shift) & 0xff) ^ mask ^ sign)
      sign = 0
    }
  }
  const leading = wholeDigits % GROUP
  if (leading > 0) group(0, leading)
  for (let at = leading; at < digits.length; at += GROUP) group(at, Math.min(GROUP, digits.length - at))
}

function parseDigits(text: string): Digits {
  const match = /^([+-]?)([0-9]*)(?:\.([0-9]*))?$/.exec(text)
  const whole = match?.[2] ?? ''
  const fraction = match?.[3] ?? ''
  if (match === null || whole.length + fraction.length === 0) throw new RangeError(`not a decimal: ${text}`)
  return { negative: match[1] === '-', whole: whole.replace(/^0+/, ''), fraction }
}

/** Plain digits of a number with exponent (`1.5e-3`); undefined where the text is no number. */
export function expandExponent(text: string): string | undefined {
  const match = /^([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,4}))?$/.exec(text)
  if (match === null) return undefined
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  if (whole.length + fraction.length === 0) return undefined
  const point = whole.length + Number(exponent)
  const digits = whole + fraction
  const front = point <= 0 ? '0' : digits.slice(0, point).padEnd(point, '0')
  const back = point < 0 ? '0'.repeat(-point) + digits : digits.slice(point)
  const plain = front.replace(/^0+(?=[0-9])/, '') + (back === '' ? '' : `.${back}`)
  return sign === '-' ? `-${plain}` : plain
}

/** Rounds half away from zero to `scale` digits behind the point; `-0` becomes `0`. The text has exactly that scale. */
export function roundDecimal(text: string, scale: number): string {
  const { negative, whole, fraction } = parseDigits(text)
  const kept = whole + fraction.slice(0, scale).padEnd(scale, '0')
  const up = (fraction[scale] ?? '0') >= '5'
  const rounded = (BigInt(kept || '0') + (up ? 1n : 0n)).toString().padStart(scale + 1, '0')
  const point = rounded.length - scale
  const plain = scale === 0 ? rounded : `${rounded.slice(0, point)}.${rounded.slice(point)}`
  return negative && /[1-9]/.test(plain) ? `-${plain}` : plain
}

/** The greatest value of DECIMAL(precision, scale), without sign. */
export function maxDecimal(precision: number, scale: number): string {
  const whole = '9'.repeat(precision - scale) || '0'
  return scale === 0 ? whole : `${whole}.${'9'.repeat(scale)}`
}

/** Digits in front of the point, leading zeros not counted. */
export const wholeDigitsOf = (text: string): number => parseDigits(text).whole.length
