const float32 = new Float32Array(1)
const float32Bits = new Uint32Array(float32.buffer)

/** Shortest decimal that reads back as the same double: `[-]d[.d…]` with an exponent only beyond 1e21 and below 1e-6. */
export const doubleText = (value: number): string => (Object.is(value, -0) ? '-0' : String(value))

/** As {@link doubleText}, for a float32: the digits suffice for 32 bits. */
export function floatText(value: number): string {
  const single = Math.fround(value)
  if (Object.is(single, -0)) return '-0'
  if (Number.isInteger(single) && Math.abs(single) < 0x1000000) return String(single)
  return String(Number(shortestFloat(single)))
}

/** `text` of a float without its exponent: `1e+21` → `1000000000000000000000`, `1.5e-7` → `0.00000015`. */
export function plainDecimal(text: string): string {
  const e = text.indexOf('e')
  if (e < 0) return text
  const sign = text.startsWith('-') ? '-' : ''
  const [whole = '', fraction = ''] = text.slice(sign.length, e).split('.')
  const digits = whole + fraction
  const point = whole.length + Number(text.slice(e + 1))
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`
  if (point >= digits.length) return sign + digits + '0'.repeat(point - digits.length)
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
}

/** Halfway between two decimals Go takes the even one, JavaScript the larger one; undefined where there is nothing to mend. */
function evenOfTie(single: number, digits: number): string | undefined {
  const [mantissa = '', exponent = '0'] = single.toExponential(digits).split('e')
  if (!/[02468]\.?5$/.test(mantissa) || Number(`${mantissa}e${exponent}`) !== single) return undefined
  const even = `${mantissa.slice(0, -1)}e${exponent}`
  return Math.fround(Number(even)) === single ? even : undefined
}

/**
 * The fewest digits that round to `single`. Below a power of two floats lie twice as dense, so there the nearest decimal
 * may fall just short of it, while the next one up still reads back; and there Go rounds a tie up.
 */
function shortestFloat(single: number): string {
  float32[0] = single
  const powerOfTwo = ((float32Bits[0] ?? 0) & 0x7fffff) === 0
  for (let digits = 1; digits < 9; digits++) {
    const text = single.toPrecision(digits)
    if (Math.fround(Number(text)) === single) return (powerOfTwo ? undefined : evenOfTie(single, digits)) ?? text
    if (!powerOfTwo) continue
    const [mantissa = '', exponent = '0'] = single.toExponential(digits - 1).split('e')
    const unit = (single < 0 ? -1 : 1) * 10 ** -(digits - 1)
    const above = `${(Number(mantissa) + unit).toFixed(digits - 1)}e${exponent}`
    if (Math.fround(Number(above)) === single) return above
  }
  return single.toPrecision(9)
}

/** `text` of the float `value` as Go's `%v` prints it: with an exponent of two digits below 1e-4 and from 1e6 on. */
export function generalText(value: number, text: string): string {
  const size = Math.abs(value)
  if (size >= 1e-4 && size < 1e6) return text
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:e(.+))?$/.exec(text) ?? []
  const digits = (whole + fraction).replace(/^0+/, '')
  if (digits === '') return `${sign}0`
  const point = whole.length + Number(exponent) - (whole.length + fraction.length - digits.length) - 1
  if (point >= -4 && point < 6) return plainDecimal(text)
  const significant = digits.replace(/0+$/, '')
  const rest = significant.length > 1 ? `.${significant.slice(1)}` : ''
  return `${sign}${significant.slice(0, 1)}${rest}e${exponentText(point)}`
}

/** `1e-7` → `1e-07`, as Go prints every exponent. */
export function paddedExponent(text: string): string {
  const e = text.indexOf('e')
  return e < 0 ? text : `${text.slice(0, e)}e${exponentText(Number(text.slice(e + 1)))}`
}

const exponentText = (exponent: number): string =>
  `${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
