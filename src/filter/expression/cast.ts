import type { CastType } from './ast.ts'
import { LITERAL_COLLATION } from './collate.ts'
import {
  asBytes,
  asDecimal,
  asDuration,
  asInteger,
  asReal,
  asText,
  asTime,
  integerOfReal,
  textOfBytes,
} from './convert.ts'
import { maxDecimal } from '../../tidb/decimal.ts'
import { integerValue } from '../../tidb/value.ts'
import { compareDecimals, parseDecimal, roundDecimalTo } from './decimal.ts'
import { asJson, normalJson } from './json-value.ts'
import { type Evaluate, folded, isBinary, operand, type Operand, RANK } from './operand.ts'

/** `cast(… as …)`, also of a value to the type of a column. */
export function compileCast(one: Operand, to: CastType): Operand {
  if (one.kind === 'null') return one
  const { constant } = one
  switch (to.name) {
    case 'signed':
    case 'unsigned':
      return folded(
        operand('int', castInteger(one, to.name === 'unsigned'), { constant, unsigned: to.name === 'unsigned' }),
      )
    case 'double':
    case 'float': {
      const real = asReal(one)
      const single = to.name === 'float' && to.length <= 24
      const evaluate: Evaluate = single ? (row) => singleOf(real(row)) : real
      return folded(operand('real', evaluate, { constant }))
    }
    case 'decimal':
      return castDecimal(one, to)
    case 'date':
      return folded(operand('time', asTime(one, 0, true), { constant, scale: 0, dateOnly: true }))
    case 'datetime': {
      const scale = Math.max(0, to.length)
      return folded(operand('time', asTime(one, scale), { constant, scale }))
    }
    case 'time': {
      const scale = Math.max(0, to.length)
      return folded(operand('duration', asDuration(one, scale), { constant, scale }))
    }
    case 'year': {
      const real = asReal(one)
      return folded(operand('int', (row) => yearOf(real(row)), { constant, unsigned: true }))
    }
    case 'json':
      return castJson(one)
    case 'binary':
    case 'char':
      return castText(one, to)
    default:
      throw new TypeError('unexpected type of cast')
  }
}

const singleOf = (value: number | null): number | null => (value === null ? null : Math.fround(value))

/** Beyond 64 bits the sign bit counts as in two's complement, or the nearest end of the range is taken. */
function castInteger(one: Operand, unsigned: boolean): Evaluate<number | bigint> {
  const real = one.kind === 'real' ? one.evaluate : undefined
  const whole = asInteger(one)
  return (row) => {
    const value = real === undefined ? whole(row) : wholeReal(real(row))
    if (value === null) return null
    if (Number.isSafeInteger(value) && (!unsigned || value >= 0)) return value
    const exact = BigInt(value)
    if (unsigned) return integerValue(exact < 0n ? BigInt.asUintN(64, exact) : exact > MAX_UINT64 ? MAX_UINT64 : exact)
    if (one.unsigned || one.integer !== undefined) return integerValue(BigInt.asIntN(64, exact))
    return integerValue(exact > MAX_INT64 ? MAX_INT64 : exact < -MAX_INT64 - 1n ? -MAX_INT64 - 1n : exact)
  }
}

export const MAX_INT64 = (1n << 63n) - 1n
export const MAX_UINT64 = (1n << 64n) - 1n

const wholeReal = (value: unknown): number | bigint | null => (typeof value === 'number' ? integerOfReal(value) : null)

function castDecimal(one: Operand, { length, scale }: CastType): Operand {
  const digits = Math.max(0, scale)
  const precision = length < 1 ? 10 : length
  if (digits > 30 || precision > 65 || digits > precision)
    throw new SyntaxError(`DECIMAL(${precision},${digits}) is not a type`)
  const most = parseDecimal(maxDecimal(precision, digits))
  const least = { units: -most.units, scale: most.scale }
  const decimal = asDecimal(one)
  const evaluate: Evaluate = (row) => {
    const value = decimal(row)
    if (value === null) return null
    const rounded = roundDecimalTo(value, digits)
    if (compareDecimals(rounded, most) > 0) return most
    return compareDecimals(rounded, least) < 0 ? least : rounded
  }
  return folded(operand('decimal', evaluate, { constant: one.constant, scale: digits }))
}

function yearOf(value: number | null): number | null {
  if (value === null) return null
  const year = Math.round(value)
  if (year === 0 || (year > 1900 && year < 2156)) return year
  if (year < 0 || year > 99) return null
  return year < 70 ? 2000 + year : 1900 + year
}

function castJson(one: Operand): Operand {
  const rest = { constant: one.constant, collation: { name: 'utf8mb4_bin', rank: RANK.column } }
  if (one.kind !== 'text' || isBinary(one)) return folded(operand('json', asJson(one), rest))
  const text = asText(one)
  return folded(
    operand(
      'json',
      (row) => {
        const value = text(row)
        return value === null ? null : normalJson(value)
      },
      rest,
    ),
  )
}

function castText(one: Operand, { name, length }: CastType): Operand {
  const { constant } = one
  if (name === 'binary') {
    const bytes = asBytes(one)
    const evaluate: Evaluate<string> = (row) => {
      const value = bytes(row)
      return value === null || length < 0 ? value : value.slice(0, length).padEnd(length, '\0')
    }
    return folded(operand('text', evaluate, { constant, collation: { name: 'binary', rank: RANK.column } }))
  }
  const text = asText(one)
  const fromBytes = one.kind === 'text' && isBinary(one)
  const evaluate: Evaluate<string> = (row) => {
    const found = text(row)
    if (found === null) return null
    const value = fromBytes ? textOfBytes(found) : found
    return length < 0 ? value : Array.from(value).slice(0, length).join('')
  }
  return folded(operand('text', evaluate, { constant, collation: { ...LITERAL_COLLATION, rank: RANK.column } }))
}
