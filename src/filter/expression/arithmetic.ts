import type { Values } from '../../event/row-change.ts'
import { integerValue } from '../../tidb/value.ts'
import type { ArithmeticOperator, BitOperator } from './ast.ts'
import { MAX_INT64, MAX_UINT64 } from './cast.ts'
import { asDecimal, asInteger, asReal } from './convert.ts'
import { addDecimals, type Decimal, divideDecimals, multiplyDecimals, remainderOf, wholeQuotient } from './decimal.ts'
import { type Evaluate, folded, operand, type Operand } from './operand.ts'

export type Numeric = 'int' | 'decimal' | 'real'

/** What an operand is in arithmetic. */
export function numericKind(one: Operand): Numeric {
  if (one.integer !== undefined) return 'int'
  switch (one.kind) {
    case 'int':
    case 'null':
      return 'int'
    case 'decimal':
      return 'decimal'
    case 'time':
    case 'duration':
      return one.scale > 0 ? 'decimal' : 'int'
    default:
      return 'real'
  }
}

function commonKind(left: Operand, right: Operand): Numeric {
  const kinds = [numericKind(left), numericKind(right)]
  return kinds.includes('real') ? 'real' : kinds.includes('decimal') ? 'decimal' : 'int'
}

const both = <T extends Decimal | number | bigint, R extends Decimal | number | bigint>(
  left: Evaluate<T>,
  right: Evaluate<T>,
  compute: (a: T, b: T) => R | undefined,
): Evaluate<R> => {
  return (row: Values) => {
    const a = left(row)
    if (a === null) return null
    const b = right(row)
    return b === null ? null : (compute(a, b) ?? null)
  }
}

/** A division by zero is NULL. At run time RangeError where an integer leaves its 64 bits. */
export function compileArithmetic(operator: ArithmeticOperator, left: Operand, right: Operand): Operand {
  const constant = left.constant && right.constant
  const unsigned = isUnsigned(left) || isUnsigned(right)
  if (operator === 'div') return folded(operand('int', wholeDivision(left, right, unsigned), { constant, unsigned }))
  const kind = commonKind(left, right)
  if (kind === 'int' && operator !== '/') {
    const resultUnsigned = operator === '%' ? isUnsigned(left) : unsigned
    const compute = both(asInteger(left), asInteger(right), INTEGER[operator])
    const evaluate: Evaluate<number | bigint> = (row) => {
      const value = compute(row)
      return typeof value === 'number' && value >= 0 ? value : checked(value, resultUnsigned)
    }
    return folded(operand('int', evaluate, { constant, unsigned: resultUnsigned }))
  }
  if (kind === 'real') {
    const compute = both(asReal(left), asReal(right), REAL[operator])
    const evaluate: Evaluate<number> = (row) => {
      const value = compute(row)
      if (value !== null && !Number.isFinite(value)) throw new RangeError('DOUBLE value is out of range')
      return value
    }
    return folded(operand('real', evaluate, { constant }))
  }
  const scale = operator === '/' && left.scale >= 0 ? left.scale + 4 : -1
  return folded(operand('decimal', both(asDecimal(left), asDecimal(right), EXACT[operator]), { constant, scale }))
}

const isUnsigned = (one: Operand): boolean => one.integer !== undefined || (one.kind === 'int' && one.unsigned)

type Whole = number | bigint

/** `number` where the outcome is exact, else by way of bigint. */
const exact =
  (fast: (a: number, b: number) => number, slow: (a: bigint, b: bigint) => bigint) =>
  (a: Whole, b: Whole): Whole => {
    if (typeof a === 'number' && typeof b === 'number') {
      const value = fast(a, b)
      if (Number.isSafeInteger(value)) return value + 0
    }
    return slow(BigInt(a), BigInt(b))
  }

const add = exact(
  (a, b) => a + b,
  (a, b) => a + b,
)
const subtract = exact(
  (a, b) => a - b,
  (a, b) => a - b,
)
const multiply = exact(
  (a, b) => a * b,
  (a, b) => a * b,
)
const remainder = exact(
  (a, b) => a % b,
  (a, b) => a % b,
)

type Compute<T> = Readonly<Record<Exclude<ArithmeticOperator, 'div'>, (a: T, b: T) => T | undefined>>

const INTEGER: Omit<Compute<Whole>, '/'> = {
  '+': add,
  '-': subtract,
  '*': multiply,
  '%': (a, b) => (BigInt(b) === 0n ? undefined : remainder(a, b)),
}

const REAL: Compute<number> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => (b === 0 ? undefined : a / b),
  '%': (a, b) => (b === 0 ? undefined : a % b),
}

const EXACT: Compute<Decimal> = {
  '+': addDecimals,
  '-': (a, b) => addDecimals(a, b, -1n),
  '*': multiplyDecimals,
  '/': divideDecimals,
  '%': remainderOf,
}

function wholeDivision(left: Operand, right: Operand, unsigned: boolean): Evaluate<Whole> {
  const compute = both(asDecimal(left), asDecimal(right), wholeQuotient)
  return (row) => checked(compute(row), unsigned)
}

/** In normal form. RangeError where 64 bits cannot hold it. */
function checked(value: Whole | null, unsigned: boolean): Whole | null {
  if (value === null || (Number.isSafeInteger(value) && (!unsigned || value >= 0))) return value
  const whole = BigInt(value)
  if (unsigned ? whole < 0n || whole > MAX_UINT64 : whole > MAX_INT64 || whole < -MAX_INT64 - 1n)
    throw new RangeError(`BIGINT${unsigned ? ' UNSIGNED' : ''} value is out of range: ${whole}`)
  return integerValue(whole)
}

export function compileNegation(one: Operand): Operand {
  const { constant, scale } = one
  switch (numericKind(one)) {
    case 'int': {
      const whole = asInteger(one)
      const evaluate: Evaluate<Whole> = (row) => {
        const value = whole(row)
        if (value === null) return null
        return checked(typeof value === 'number' ? 0 - value : -value, false)
      }
      return folded(operand('int', evaluate, { constant }))
    }
    case 'decimal': {
      const decimal = asDecimal(one)
      const evaluate: Evaluate<Decimal> = (row) => {
        const value = decimal(row)
        return value === null ? null : { units: -value.units, scale: value.scale }
      }
      return folded(operand('decimal', evaluate, { constant, scale }))
    }
    default: {
      const real = asReal(one)
      const evaluate: Evaluate<number> = (row) => {
        const value = real(row)
        return value === null ? null : -value
      }
      return folded(operand('real', evaluate, { constant }))
    }
  }
}

const BITS: Readonly<Record<BitOperator, (a: bigint, b: bigint) => bigint>> = {
  '&': (a, b) => a & b,
  '|': (a, b) => a | b,
  '^': (a, b) => a ^ b,
  '<<': (a, b) => (b > 63n ? 0n : a << b),
  '>>': (a, b) => (b > 63n ? 0n : a >> b),
}

const bitsOf = (value: Whole): bigint => BigInt.asUintN(64, BigInt(value))

/** On 64 bits without sign. */
export function compileBits(operator: BitOperator, left: Operand, right: Operand): Operand {
  const bits = BITS[operator]
  const compute = both(asInteger(left), asInteger(right), (a, b): Whole =>
    integerValue(BigInt.asUintN(64, bits(bitsOf(a), bitsOf(b)))),
  )
  return folded(operand('int', compute, { constant: left.constant && right.constant, unsigned: true }))
}

export function compileComplement(one: Operand): Operand {
  const whole = asInteger(one)
  const evaluate: Evaluate<Whole> = (row) => {
    const value = whole(row)
    return value === null ? null : integerValue(BigInt.asUintN(64, ~bitsOf(value)))
  }
  return folded(operand('int', evaluate, { constant: one.constant, unsigned: true }))
}
