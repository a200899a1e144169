import type { Values } from '../../event/row-change.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import { parseDuration } from '../../tidb/time.ts'
import type { ComparisonOperator } from './ast.ts'
import { commonCollation, compareTexts } from './collate.ts'
import { asBytes, asDecimal, asDuration, asReal, asText, asTime, plainText } from './convert.ts'
import { compareDecimals } from './decimal.ts'
import { asJson, compareJson } from './json-value.ts'
import { type Evaluate, operand, type Operand, RANK, type Scalar } from './operand.ts'

/** Order of two values; null where one is NULL. */
type Compare = (row: Values) => number | null

/** As what two operands are compared (TiDB's GetAccurateCmpType). */
export type ComparedAs = 'int' | 'real' | 'decimal' | 'text' | 'time' | 'duration' | 'json'

export function comparedAs(left: Operand, right: Operand): ComparedAs {
  if (left.kind === 'null') return right.kind === 'null' ? 'text' : ownKind(right)
  if (right.kind === 'null') return ownKind(left)
  if (left.kind === 'json' || right.kind === 'json') return 'json'
  if (left.kind === 'duration' && right.kind === 'duration') return 'duration'
  if (isTextual(left) && isTextual(right))
    return left.kind === 'time' || right.kind === 'time' ? 'time' : temporalOr('text', left, right)
  if (isInteger(left) && isInteger(right)) return 'int'
  if (isExact(left) && isExact(right)) return 'decimal'
  if (isWholeConstant(left, right) || isWholeConstant(right, left)) return 'int'
  if ((left.kind === 'decimal' && isConstantText(right)) || (right.kind === 'decimal' && isConstantText(left)))
    return 'decimal'
  return temporalOr('real', left, right)
}

const ownKind = (one: Operand): ComparedAs => (one.kind === 'null' ? 'text' : one.kind)
/** A BIT is a number, even beside a text. */
const isTextual = ({ kind, column }: Operand): boolean =>
  (kind === 'text' && column?.tp !== MysqlType.Bit) || kind === 'time' || kind === 'duration'
const isInteger = (one: Operand): boolean => one.kind === 'int' || one.integer !== undefined
const isExact = (one: Operand): boolean => isInteger(one) || one.kind === 'decimal'
const isConstantText = (one: Operand): boolean => one.constant && one.kind === 'text'

/** An integer beside a constant text that is one too: `id = '9007199254740993'` stays exact. */
function isWholeConstant(number: Operand, text: Operand): boolean {
  if (number.kind !== 'int' || number.constant || !isConstantText(text)) return false
  return /^\s*[+-]?[0-9]+\s*$/.test(plainText(text.evaluate([])))
}

/** A column of a time beside a constant: the constant becomes a time. */
function temporalOr(otherwise: 'real' | 'text', left: Operand, right: Operand): ComparedAs {
  for (const [column, constant] of [
    [left, right],
    [right, left],
  ] as const) {
    if (column.column === undefined || !constant.constant) continue
    if (column.kind === 'time' || column.kind === 'duration') return column.kind
  }
  return otherwise
}

export function compileCompare(left: Operand, right: Operand): Compare {
  switch (comparedAs(left, right)) {
    case 'int':
      return ordered(left, right, (one) => integerBeside(one, one === left ? right : left), compareNumbers)
    case 'real':
      return ordered(left, right, asReal, compareNumbers)
    case 'decimal':
      return ordered(left, right, asDecimal, compareDecimals)
    case 'time':
      return ordered(left, right, (one) => asTime(one, 6), compareText)
    case 'duration':
      return ordered(left, right, (one) => asDuration(one, 6), compareDurations)
    case 'json':
      return ordered(left, right, asJson, compareJson)
    case 'text': {
      const collation = commonCollation([left, right])
      return ordered(left, right, collation.name === 'binary' ? asBytes : asText, compareTexts(collation.name))
    }
    default:
      throw new TypeError('unexpected kind of comparison')
  }
}

/** Converts both sides, a constant one only once, and compares. */
function ordered<T extends Exclude<Scalar, null>>(
  leftOperand: Operand,
  rightOperand: Operand,
  as: (one: Operand) => Evaluate<T>,
  compare: (a: T, b: T) => number,
): Compare {
  const [left, right] = [onceIfConstant(leftOperand, as(leftOperand)), onceIfConstant(rightOperand, as(rightOperand))]
  return (row) => {
    const a = left(row)
    if (a === null) return null
    const b = right(row)
    return b === null ? null : compare(a, b)
  }
}

function onceIfConstant<T extends Exclude<Scalar, null>>(one: Operand, evaluate: Evaluate<T>): Evaluate<T> {
  if (!one.constant) return evaluate
  let value: T | null
  try {
    value = evaluate([])
  } catch {
    return evaluate
  }
  return () => value
}

/** JavaScript compares `number` and `bigint` by their exact values. */
const compareNumbers = (a: number | bigint, b: number | bigint): number => (a < b ? -1 : a > b ? 1 : 0)

/** As integers; two digits beside a YEAR column are a year. */
function integerBeside(one: Operand, other: Operand): Evaluate<number | bigint> {
  const { integer } = one
  const evaluate: Evaluate<number | bigint> = integer ?? wholeOf(one)
  if (!one.constant || other.column?.tp !== MysqlType.Year) return evaluate
  const value = evaluate([])
  const isShort = value !== null && value > 0 && value < 100
  const year = isShort ? Number(value) + (value < 70 ? 2000 : 1900) : value
  return () => year
}

function wholeOf(one: Operand): Evaluate<number | bigint> {
  if (one.kind === 'text') {
    const text = one.evaluate([])
    const value = text === null ? null : BigInt(plainText(text).trim().replace('+', ''))
    return () => value
  }
  return (row) => {
    const value = one.evaluate(row)
    return typeof value === 'bigint' || value === null ? value : Number(value)
  }
}

/** `YYYY-MM-DD hh:mm:ss.ffffff` orders as text does. */
const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const compareDurations = (a: string, b: string): number => compareNumbers(parseDuration(a), parseDuration(b))

const HOLDS: Readonly<Record<ComparisonOperator, (order: number) => boolean>> = {
  '=': (order) => order === 0,
  '<=>': (order) => order === 0,
  '<>': (order) => order !== 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
}

/** 1, 0 or NULL. */
export function compileComparison(operator: ComparisonOperator, left: Operand, right: Operand): Operand {
  const constant = left.constant && right.constant
  if (operator === '<=>') {
    const compare = compileCompare(left, right)
    const isNull = (row: Values): boolean => left.evaluate(row) === null && right.evaluate(row) === null
    return operand('int', (row) => ((compare(row) ?? (isNull(row) ? 0 : 1)) === 0 ? 1 : 0), { constant })
  }
  const fast = compileBytesEqual(operator, left, right)
  if (fast !== undefined) return fast
  const compare = compileCompare(left, right)
  const holds = HOLDS[operator]
  const evaluate: Evaluate<number> = (row) => {
    const order = compare(row)
    return order === null ? null : holds(order) ? 1 : 0
  }
  return operand('int', evaluate, { constant })
}

/**
 * `column = 'text'` under a collation of bytes, which rules are mostly made of: no string is made per row. undefined where
 * it is something else.
 */
function compileBytesEqual(operator: ComparisonOperator, left: Operand, right: Operand): Operand | undefined {
  if (operator !== '=' && operator !== '<>') return undefined
  const [column, literal] = left.bytes === undefined ? [right, left] : [left, right]
  const { bytes } = column
  if (bytes === undefined || !literal.constant || literal.kind !== 'text' || literal.integer !== undefined)
    return undefined
  const padded = /^(?:utf8mb4|utf8|ascii|latin1)_bin$/.test(column.collation.name)
  const wholly = column.collation.name === 'binary' || column.collation.name === 'utf8mb4_0900_bin'
  if ((!padded && !wholly) || literal.collation.rank < RANK.literal) return undefined
  const text = literal.evaluate([])
  if (text === null) return undefined
  const wanted = Buffer.from(plainText(text), literal.collation.name === 'binary' ? 'latin1' : 'utf8')
  const length = padded ? unpaddedLength(wanted) : wanted.length
  const [equal, other] = operator === '=' ? [1, 0] : [0, 1]
  return operand('int', (row) => {
    const value = bytes(row)
    if (value === null) return null
    const end = padded ? unpaddedLength(value) : value.length
    if (end !== length) return other
    for (let i = 0; i < length; i++) if (value[i] !== wanted[i]) return other
    return equal
  })
}

function unpaddedLength(bytes: Uint8Array): number {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0x20) end--
  return end
}

/** `a in (…)`: 1, 0, or NULL where it is not found and something is NULL. */
export function compileIn(left: Operand, list: readonly Operand[]): Operand {
  const constant = left.constant && list.every((one) => one.constant)
  const set = integerSet(left, list)
  if (set !== undefined) {
    return operand('int', (row) => {
      const value = left.evaluate(row)
      return value === null ? null : set.has(value) ? 1 : 0
    })
  }
  const tests = list.map((one) => compileComparison('=', left, one))
  const evaluate: Evaluate<number> = (row) => {
    let unknown = false
    for (const test of tests) {
      const found = test.evaluate(row)
      if (found === 1) return 1
      if (found === null) unknown = true
    }
    return unknown ? null : 0
  }
  return operand('int', evaluate, { constant })
}

/** Integers are in their normal form, so that a set finds them. */
function integerSet(left: Operand, list: readonly Operand[]): ReadonlySet<Scalar> | undefined {
  const plain = left.kind === 'int' && left.column?.tp !== MysqlType.Year
  if (!plain || list.length < 4 || !list.every((one) => one.constant && one.kind === 'int')) return undefined
  return new Set(list.map((one) => one.evaluate([])))
}
