const MAX_DIGITS = 65
export const MAX_SCALE = 30

/** Exact decimal number `unscaled / 10^scale`, as MySQL's DECIMAL; immutable. */
export class Decimal {
  readonly unscaled: bigint
  readonly scale: number

  constructor(unscaled: bigint, scale: number) {
    this.unscaled = unscaled
    this.scale = scale
  }

  static ofInteger(value: bigint): Decimal {
    return new Decimal(value, 0)
  }

  /** Reads the longest numeric prefix; `rest` is what follows it, undefined = no number at all. */
  static parse(text: string): { readonly value: Decimal; readonly rest: string } | undefined {
    const found = /^\s*([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?/.exec(text)
    if (found === null) return undefined
    const fraction = found[3] ?? found[4] ?? ''
    const exponent = Number(found[5] ?? 0)
    let unscaled = BigInt((found[2] ?? '') + fraction)
    if (found[1] === '-') unscaled = -unscaled
    let scale = fraction.length - Math.max(-400, Math.min(400, exponent))
    if (scale < 0) {
      unscaled *= 10n ** BigInt(-scale)
      scale = 0
    }
    const value = new Decimal(unscaled, scale)
    return { value: scale > MAX_SCALE + 10 ? value.round(MAX_SCALE) : value, rest: text.slice(found[0].length) }
  }

  /** Rounds half away from zero; a larger `scale` appends zeros. */
  round(scale: number): Decimal {
    if (scale === this.scale) return this
    if (scale > this.scale) return new Decimal(this.unscaled * 10n ** BigInt(scale - this.scale), scale)
    const divisor = 10n ** BigInt(this.scale - scale)
    const half = this.unscaled < 0n ? -divisor / 2n : divisor / 2n
    return new Decimal((this.unscaled + half) / divisor, scale)
  }

  truncate(scale: number): Decimal {
    return scale >= this.scale ? this : new Decimal(this.unscaled / 10n ** BigInt(this.scale - scale), scale)
  }

  /** Rounded to an integer, half away from zero. */
  toBigInt(): bigint {
    return this.round(0).unscaled
  }

  toNumber(): number {
    return Number(this.toString())
  }

  toString(): string {
    const digits = (this.unscaled < 0n ? -this.unscaled : this.unscaled).toString().padStart(this.scale + 1, '0')
    const sign = this.unscaled < 0n ? '-' : ''
    if (this.scale === 0) return sign + digits
    return `${sign}${digits.slice(0, -this.scale)}.${digits.slice(-this.scale)}`
  }

  /** Digits before the point that the value needs (at least 0). */
  get integerDigits(): number {
    const whole = this.truncate(0).unscaled
    return whole === 0n ? 0 : (whole < 0n ? -whole : whole).toString().length
  }

  negate(): Decimal {
    return new Decimal(-this.unscaled, this.scale)
  }

  add(other: Decimal): Decimal {
    const scale = Math.max(this.scale, other.scale)
    return new Decimal(this.round(scale).unscaled + other.round(scale).unscaled, scale)
  }

  subtract(other: Decimal): Decimal {
    return this.add(other.negate())
  }

  multiply(other: Decimal): Decimal {
    const product = new Decimal(this.unscaled * other.unscaled, this.scale + other.scale)
    return product.scale > MAX_SCALE ? product.round(MAX_SCALE) : product
  }

  /** MySQL's division: four more fractional digits than the dividend has; undefined = divided by zero. */
  divide(other: Decimal): Decimal | undefined {
    if (other.unscaled === 0n) return undefined
    const scale = Math.min(MAX_SCALE, this.scale + 4)
    const numerator = this.unscaled * 10n ** BigInt(scale + 1 + other.scale - this.scale)
    return new Decimal(numerator / other.unscaled, scale + 1).round(scale)
  }

  remainder(other: Decimal): Decimal | undefined {
    if (other.unscaled === 0n) return undefined
    const scale = Math.max(this.scale, other.scale)
    return new Decimal(this.round(scale).unscaled % other.round(scale).unscaled, scale)
  }

  compare(other: Decimal): number {
    const scale = Math.max(this.scale, other.scale)
    const left = this.round(scale).unscaled
    const right = other.round(scale).unscaled
    return left < right ? -1 : left > right ? 1 : 0
  }
}

/** The largest absolute value of DECIMAL(precision, scale). */
export function decimalLimit(precision: number, scale: number): Decimal {
  return new Decimal(10n ** BigInt(Math.min(precision, MAX_DIGITS)) - 1n, scale)
}
