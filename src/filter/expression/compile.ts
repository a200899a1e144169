import type { Values } from '../../event/row-change.ts'
import type { Expression, Literal, LogicOperator } from './ast.ts'
import { compileArithmetic, compileBits, compileComplement, compileNegation } from './arithmetic.ts'
import { compileCast } from './cast.ts'
import { BINARY_LITERAL, checkedCollation, LITERAL_COLLATION } from './collate.ts'
import { compileComparison, compileIn } from './compare.ts'
import { asText, asTruth, timeOfText } from './convert.ts'
import { parseDecimal } from './decimal.ts'
import { compileCall } from './functions/functions.ts'
import { compileLike, compileRegexp } from './match.ts'
import { type Evaluate, type ExpressionContext, folded, nullOperand, operand, type Operand, RANK } from './operand.ts'
import { integerValue } from '../../tidb/value.ts'
import { parseDurationLiteral } from '../../tidb/time-literal.ts'
import { unify } from './unify.ts'

/** Finds a column by its name as written, schema and table empty where not given. */
export type FindColumn = (name: string, table: string, schema: string) => Operand

/** SyntaxError for what TiDB would refuse, and what is not built. */
export function compileExpression(expression: Expression, find: FindColumn, context: ExpressionContext): Operand {
  const compile = (one: Expression): Operand => compileExpression(one, find, context)
  switch (expression.kind) {
    case 'column':
      return find(expression.name, expression.table, expression.schema)
    case 'unary': {
      const one = compile(expression.operand)
      if (expression.operator === 'not') return compileNot(one)
      return expression.operator === '-' ? compileNegation(one) : compileComplement(one)
    }
    case 'binary':
      return compileBinary(expression, compile)
    case 'in':
      return compileInList(expression, compile)
    case 'like': {
      const escape = expression.escape === undefined ? undefined : compile(expression.escape)
      return compileLike(compile(expression.operand), compile(expression.pattern), escape)
    }
    case 'is':
      return compileIs(compile(expression.operand), expression.what)
    case 'case':
      return compileCase(expression, compile)
    case 'cast':
      return compileCast(compile(expression.operand), expression.to)
    case 'collate': {
      const one = compile(expression.operand)
      const name = checkedCollation(expression.collation)
      const rest = { constant: one.constant, collation: { name, rank: RANK.explicit } }
      return operand('text', asText(one), rest)
    }
    case 'call':
      return compileCall(expression, compile, context)
    case 'interval':
      throw new SyntaxError('an interval stands only beside a date')
    case 'row':
      throw new SyntaxError('a row of values is only compared with = , <> and in')
    default:
      return compileLiteral(expression)
  }
}

type Compile = (one: Expression) => Operand
type Node<K extends Expression['kind']> = Extract<Expression, { kind: K }>

function compileLiteral(literal: Literal): Operand {
  switch (literal.kind) {
    case 'null':
      return nullOperand
    case 'boolean': {
      const value = literal.value ? 1 : 0
      return operand('int', () => value, { constant: true, isBoolean: true })
    }
    case 'integer': {
      const whole = BigInt(literal.text)
      if (whole >= 1n << 64n) return decimalLiteral(literal.text)
      const value = integerValue(whole)
      return operand('int', () => value, { constant: true, unsigned: whole >= 1n << 63n })
    }
    case 'decimal':
      return decimalLiteral(literal.text)
    case 'real': {
      const value = Number(literal.text)
      if (!Number.isFinite(value)) throw new SyntaxError(`${literal.text} is out of range`)
      return operand('real', () => value, { constant: true })
    }
    case 'hex': {
      const whole = BigInt.asUintN(64, BigInt(`0x0${Buffer.from(literal.text, 'latin1').toString('hex')}`))
      const value = integerValue(whole)
      return operand('text', () => literal.text, { constant: true, collation: BINARY_LITERAL, integer: () => value })
    }
    case 'string': {
      const text = literal.binary ? Buffer.from(literal.text, 'utf8').toString('latin1') : literal.text
      return operand('text', () => text, {
        constant: true,
        collation: literal.binary ? BINARY_LITERAL : LITERAL_COLLATION,
      })
    }
    case 'time':
      return timeLiteral(literal)
    default:
      throw new TypeError('unexpected literal')
  }
}

function decimalLiteral(text: string): Operand {
  const value = parseDecimal(text)
  return operand('decimal', () => value, { constant: true, scale: value.scale })
}

function timeLiteral({ type, text }: Node<'time'>): Operand {
  const scale = Math.min(6, /\.([0-9]*)\s*$/.exec(text)?.[1]?.length ?? 0)
  if (type === 'time') {
    const { value, fault } = parseDurationLiteral(text, scale)
    if (fault !== undefined) throw new SyntaxError(`Incorrect TIME value: '${text}'`)
    return operand('duration', () => String(value), { constant: true, scale })
  }
  const dateOnly = type === 'date'
  const value = timeOfText(text, scale, dateOnly)
  if (value === null || !/^\s*[0-9]+[-/.:][0-9]+[-/.:][0-9]+/.test(text))
    throw new SyntaxError(`Incorrect ${dateOnly ? 'DATE' : 'DATETIME'} value: '${text}'`)
  return operand('time', () => value, { constant: true, scale: dateOnly ? 0 : scale, dateOnly })
}

function compileBinary({ operator, left, right }: Node<'binary'>, compile: Compile): Operand {
  if (left.kind === 'row' || right.kind === 'row') return compileRows(operator, left, right, compile)
  const [a, b] = [compile(left), compile(right)]
  switch (operator) {
    case 'and':
    case 'or':
    case 'xor':
      return compileLogic(operator, a, b)
    case '=':
    case '<=>':
    case '<>':
    case '<':
    case '<=':
    case '>':
    case '>=':
      return folded(compileComparison(operator, a, b))
    case '&':
    case '|':
    case '^':
    case '<<':
    case '>>':
      return compileBits(operator, a, b)
    case 'regexp':
      return compileRegexp(a, b)
    default:
      return compileArithmetic(operator, a, b)
  }
}

/** `(a, b) = (1, 2)`: item by item. */
function compileRows(operator: string, left: Expression, right: Expression, compile: Compile): Operand {
  if (left.kind !== 'row' || right.kind !== 'row' || left.items.length !== right.items.length)
    throw new SyntaxError('rows of values with as many items on both sides are expected')
  if (operator !== '=' && operator !== '<>')
    throw new SyntaxError(`rows of values cannot be compared with '${operator}'`)
  const equal = left.items
    .map((one, i): Operand => compileComparison('=', compile(one), compile(right.items[i] ?? one)))
    .reduce((all, one) => compileLogic('and', all, one))
  return operator === '=' ? equal : compileNot(equal)
}

function compileInList({ operand: left, list }: Node<'in'>, compile: Compile): Operand {
  if (left.kind !== 'row')
    return folded(
      compileIn(
        compile(left),
        list.map((one) => compile(one)),
      ),
    )
  return list.map((one) => compileRows('=', left, one, compile)).reduce((any, one) => compileLogic('or', any, one))
}

const bit = (value: boolean | null): number | null => (value === null ? null : value ? 1 : 0)

function compileNot(one: Operand): Operand {
  const truth = asTruth(one)
  const evaluate = (row: Values): number | null => {
    const value = truth(row)
    return value === null ? null : value ? 0 : 1
  }
  return folded(operand('int', evaluate, { constant: one.constant, isBoolean: true }))
}

/** Three-valued; the right side is not evaluated where the left one decides. */
function compileLogic(operator: LogicOperator, left: Operand, right: Operand): Operand {
  const [a, b] = [asTruth(left), asTruth(right)]
  let evaluate: Evaluate<number>
  if (operator === 'xor')
    evaluate = (row) => {
      const [x, y] = [a(row), b(row)]
      return x === null || y === null ? null : bit(x !== y)
    }
  else {
    // What decides alone: a false for AND, a true for OR.
    const decisive = operator === 'or'
    evaluate = (row) => {
      const x = a(row)
      if (x === decisive) return bit(decisive)
      const y = b(row)
      if (y === decisive) return bit(decisive)
      return x === null || y === null ? null : bit(!decisive)
    }
  }
  return folded(operand('int', evaluate, { constant: left.constant && right.constant, isBoolean: true }))
}

function compileIs(one: Operand, what: 'null' | 'true' | 'false'): Operand {
  const rest = { constant: one.constant, isBoolean: true }
  if (what === 'null') return folded(operand('int', (row) => bit(one.evaluate(row) === null), rest))
  const truth = asTruth(one)
  const wanted = what === 'true'
  return folded(operand('int', (row) => bit(truth(row) === wanted), rest))
}

function compileCase(node: Node<'case'>, compile: Compile): Operand {
  const subject = node.operand === undefined ? undefined : compile(node.operand)
  const whens = node.branches.map(({ when }) => {
    const one = compile(when)
    return subject === undefined ? one : compileComparison('=', subject, one)
  })
  const tests = whens.map(asTruth)
  const results = [
    ...node.branches.map(({ then }) => compile(then)),
    node.otherwise === undefined ? nullOperand : compile(node.otherwise),
  ]
  const { evaluates, of } = unify(results)
  const constant = [...whens, ...results].every((one) => one.constant)
  return folded(
    of((row) => {
      const chosen = tests.findIndex((test) => test(row) === true)
      return evaluates.at(chosen)?.(row) ?? null
    }, constant),
  )
}
