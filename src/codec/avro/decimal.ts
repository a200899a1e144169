import type { AvroWriter } from '../avro-binary.ts'

/** Digits that a double holds for sure. */
const EXACT_DIGITS = 15
const [ZERO, MINUS, POINT] = [0x30, 0x2d, 0x2e]

/**
 * Writes the bytes of a decimal: the shortest big-endian two's complement of the number without its point, for text
 * with at most `scale` digits behind it. RangeError for any other text.
 */
export function writeDecimal(out: AvroWriter, text: string, scale: number): void {
  const negative = text.charCodeAt(0) === MINUS
  let unscaled = 0
  let digits = 0
  let fraction = -1
  for (let at = negative ? 1 : 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - ZERO
    if (digit >= 0 && digit <= 9) {
      unscaled = unscaled * 10 + digit
      digits++
      if (fraction >= 0) fraction++
    } else if (text.charCodeAt(at) === POINT && fraction < 0) fraction = 0
    else throw new RangeError('a decimal is not a number')
  }
  const missing = scale - Math.max(fraction, 0)
  if (digits === 0 || missing < 0) throw new RangeError(`a decimal has not 0 to ${scale} digits behind its point`)
  if (digits + missing <= EXACT_DIGITS) {
    const value = unscaled * 10 ** missing
    writeSmall(out, negative ? -value : value)
  } else writeLarge(out, BigInt(text.replace('.', '') + '0'.repeat(missing)))
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
