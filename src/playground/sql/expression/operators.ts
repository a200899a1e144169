import { SqlError, unsupported } from '../error.ts'
import { Decimal } from '../value/decimal.ts'
import { toDecimal, toDouble, toNumeric } from '../value/value.ts'
import type { Value } from '../value/value.ts'

const LEAST = -(1n << 63n)
export const MOST_SIGNED = (1n << 63n) - 1n
const MOST = (1n << 64n) - 1n

function checked(result: bigint, unsigned: boolean): bigint {
  if (result < (unsigned ? 0n : LEAST) || result > (unsigned ? MOST : MOST_SIGNED))
    throw new SqlError(1690, `BIGINT${unsigned ? ' UNSIGNED' : ''} value is out of range`)
  return result
}

export function negate(value: Value): Value {
  if (value === null) return null
  const number = toNumeric(value)
  if (number instanceof Decimal) return number.negate()
  return typeof number === 'bigint' ? checked(-number, false) : number === 0 ? 0 : -number
}

/**
 * `divisionByZero` decides what a division by zero is: NULL with a warning, or an error. `isUnsigned`: one of the operands is of an
 * unsigned type, so the result of integers is.
 */
export function arithmetic(
  operator: string,
  a: Value,
  b: Value,
  divisionByZero: () => null,
  isUnsigned = false,
): Value {
  if (a === null || b === null) return null
  const left = toNumeric(a)
  const right = toNumeric(b)
  switch (operator) {
    case '&':
      return unsigned(left) & unsigned(right)
    case '|':
      return unsigned(left) | unsigned(right)
    case '^':
      return unsigned(left) ^ unsigned(right)
    case '<<':
      return unsigned(right) > 63n ? 0n : BigInt.asUintN(64, unsigned(left) << unsigned(right))
    case '>>':
      return unsigned(right) > 63n ? 0n : unsigned(left) >> unsigned(right)
    case 'DIV': {
      const quotient = integerQuotient(left, right)
      return quotient === undefined ? divisionByZero() : checked(quotient, isUnsigned)
    }
    default:
  }
  if (typeof left === 'number' || typeof right === 'number')
    return doubles(operator, toDouble(left), toDouble(right), divisionByZero)
  if (operator === '/') return toDecimal(left).divide(toDecimal(right)) ?? divisionByZero()
  if (left instanceof Decimal || right instanceof Decimal)
    return decimals(operator, toDecimal(left), toDecimal(right), divisionByZero)
  return integers(operator, left, right, divisionByZero, isUnsigned)
}

const unsigned = (value: bigint | number | Decimal): bigint =>
  BigInt.asUintN(
    64,
    typeof value === 'bigint' ? value : value instanceof Decimal ? value.toBigInt() : BigInt(Math.round(value)),
  )

function integerQuotient(left: bigint | number | Decimal, right: bigint | number | Decimal): bigint | undefined {
  if (typeof left === 'bigint' && typeof right === 'bigint') return right === 0n ? undefined : left / right
  const divisor = toDecimal(right)
  if (divisor.unscaled === 0n) return undefined
  const scale = Math.max(toDecimal(left).scale, divisor.scale)
  return toDecimal(left).round(scale).unscaled / divisor.round(scale).unscaled
}

function doubles(operator: string, a: number, b: number, divisionByZero: () => null): Value {
  if ((operator === '/' || operator === '%') && b === 0) return divisionByZero()
  const result =
    operator === '+' ? a + b : operator === '-' ? a - b : operator === '*' ? a * b : operator === '/' ? a / b : a % b
  if (!Number.isFinite(result)) throw new SqlError(1690, 'DOUBLE value is out of range')
  return result
}

function decimals(operator: string, a: Decimal, b: Decimal, divisionByZero: () => null): Value {
  switch (operator) {
    case '+':
      return a.add(b)
    case '-':
      return a.subtract(b)
    case '*':
      return a.multiply(b)
    case '%':
      return a.remainder(b) ?? divisionByZero()
    default:
      throw unsupported(`operator ${operator}`)
  }
}

function integers(operator: string, a: bigint, b: bigint, divisionByZero: () => null, isUnsigned: boolean): Value {
  switch (operator) {
    case '+':
      return checked(a + b, isUnsigned)
    case '-':
      return checked(a - b, isUnsigned)
    case '*':
      return checked(a * b, isUnsigned)
    case '%':
      return b === 0n ? divisionByZero() : a % b
    default:
      throw unsupported(`operator ${operator}`)
  }
}
