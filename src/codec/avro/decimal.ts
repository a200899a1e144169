import type { AvroWriter } from '../avro-binary.ts'

/** Digits that a double holds for sure. */
const EXACT_DIGITS = 15

/**
 * Writes the bytes of a decimal: the shortest big-endian two's complement of the number without its point, for text
 * with at most `scale` digits behind it. RangeError for any other text.
 */
export function writeDecimal(out: AvroWriter, text: string, scale: number): void {
  const point = text.indexOf('.')
  const fraction = point < 0 ? 0 : text.length - point - 1
  if (fraction > scale) throw new RangeError(`a decimal has more than ${scale} digits behind its point`)
  const digits = (point < 0 ? text : text.slice(0, point) + text.slice(point + 1)) + '0'.repeat(scale - fraction)
  if (!/^-?\d+$/.test(digits)) throw new RangeError('a decimal is not a number')
  if (digits.length <= EXACT_DIGITS) writeSmall(out, Number(digits))
  else writeLarge(out, BigInt(digits))
}

/** Of an integer below 2^53. */
function writeSmall(out: AvroWriter, value: number): void {
  let length = 1
  for (let limit = 128; value >= limit || value < -limit; limit *= 256) length++
  out.long(length)
  for (let shift = 256 ** (length - 1); shift >= 1; shift /= 256) out.byte(Math.floor(value / shift) & 0xff)
}

function writeLarge(out: AvroWriter, value: bigint): void {
  const magnitude = value < 0n ? ~value : value
  const hex = magnitude.toString(16)
  // One more bit than the magnitude has, for the sign.
  const bits = hex.length * 4 - Math.clz32(Number.parseInt(hex[0] ?? '0', 16)) + 28 + 1
  const length = Math.ceil(bits / 8)
  const bytes = BigInt.asUintN(length * 8, value)
    .toString(16)
    .padStart(length * 2, '0')
  out.bytes(Buffer.from(bytes, 'hex'))
}

/** The text with exactly `scale` digits behind the point. */
export function decimalText(bytes: Uint8Array, scale: number): string {
  const hex = Buffer.from(bytes).toString('hex')
  const value = BigInt.asIntN(bytes.length * 8, BigInt(hex === '' ? 0 : `0x${hex}`))
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0')
  const sign = value < 0n ? '-' : ''
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}
