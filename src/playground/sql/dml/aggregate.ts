import { SqlError } from '../error.ts'
import { compile } from '../expression/compile.ts'
import type { Compiled } from '../expression/compile.ts'
import type { EvalContext, Scope } from '../expression/context.ts'
import type { Expression } from '../parser/ast.ts'
import { compareValues } from '../value/compare.ts'
import { Decimal } from '../value/decimal.ts'
import { toDecimal, toDouble, toNumeric, toText } from '../value/value.ts'
import type { Row, Value } from '../value/value.ts'
import { childrenOf, identityOf, sortRows } from './select.ts'

const AGGREGATES = new Set([
  'COUNT',
  'SUM',
  'AVG',
  'MIN',
  'MAX',
  'GROUP_CONCAT',
  'BIT_AND',
  'BIT_OR',
  'BIT_XOR',
  'ANY_VALUE',
])

type AggregateNode = Extract<Expression, { kind: 'call' }>

export const isAggregate = (node: Expression): node is AggregateNode =>
  node.kind === 'call' && AGGREGATES.has(node.name)

/** The aggregates inside an expression; one inside another is error 1111. */
export function aggregatesIn(node: Expression): AggregateNode[] {
  if (!isAggregate(node)) return childrenOf(node).flatMap(aggregatesIn)
  if (node.args.some((arg) => aggregatesIn(arg).length > 0)) throw new SqlError(1111, 'Invalid use of group function')
  return [node]
}

/**
 * One row per group: the values of the group's first row, then the aggregates. `computed` tells where each stands.
 */
export function computeAggregates(
  rows: readonly Row[],
  groupBy: readonly Expression[],
  aggregates: readonly AggregateNode[],
  scope: Scope,
  context: EvalContext,
): { rows: Row[]; computed: Map<Expression, number> } {
  const keys = groupBy.map((expression) => compile(expression, { scope, context }))
  const groups = new Map<string, Row[]>()
  if (groupBy.length === 0) groups.set('', [])
  for (const row of rows) {
    const identity = keys.map((key) => identityOf(key.evaluate(row), key.collation)).join('\u0000')
    const group = groups.get(identity)
    if (group === undefined) groups.set(identity, [row])
    else group.push(row)
  }
  const runs = aggregates.map((node) => compileAggregate(node, scope, context))
  const computed = new Map<Expression, number>(aggregates.map((node, i) => [node, scope.length + i]))
  const results = [...groups.values()].map((group): Row => {
    const first = group[0] ?? scope.map(() => null)
    return [...first.slice(0, scope.length), ...runs.map((run) => run(group))]
  })
  return { rows: results, computed }
}

function compileAggregate(node: AggregateNode, scope: Scope, context: EvalContext): (rows: readonly Row[]) => Value {
  if (node.star) return (rows) => BigInt(rows.length)
  const args = node.args.map((arg) => compile(arg, { scope, context }))
  const [first] = args
  if (first === undefined)
    throw new SqlError(1064, `You have an error in your SQL syntax: ${node.name} needs an argument`)
  if (node.name === 'GROUP_CONCAT') return compileConcat(node, args, scope, context)
  if (node.name === 'COUNT' && args.length > 1) return (rows) => BigInt(distinctTuples(rows, args))
  return (rows) => {
    const values = rows.map((row) => first.evaluate(row)).filter((value) => value !== null)
    return reduce(
      node.name,
      node.distinct ? distinctValues(values, first) : values,
      first,
      rows.length === 0 ? null : (rows[0] ?? null),
    )
  }
}

function distinctTuples(rows: readonly Row[], args: readonly Compiled[]): number {
  const seen = new Set<string>()
  for (const row of rows) {
    const values = args.map((arg) => arg.evaluate(row))
    if (!values.includes(null)) seen.add(values.map((value) => identityOf(value)).join('\u0000'))
  }
  return seen.size
}

type Present = Exclude<Value, null>

function distinctValues(values: readonly Present[], { collation }: Compiled): Present[] {
  const seen = new Map(values.map((value) => [identityOf(value, collation), value]))
  return [...seen.values()]
}

function reduce(name: string, values: readonly Present[], argument: Compiled, firstRow: Row | null): Value {
  switch (name) {
    case 'COUNT':
      return BigInt(values.length)
    case 'ANY_VALUE':
      return firstRow === null ? null : argument.evaluate(firstRow)
    case 'MIN':
    case 'MAX': {
      const sign = name === 'MIN' ? -1 : 1
      return values.reduce<Present | null>(
        (best, value) => (best === null || compareValues(value, best, argument.collation) * sign > 0 ? value : best),
        null,
      )
    }
    case 'SUM':
      return sum(values)
    case 'AVG': {
      const total = sum(values)
      if (total === null) return null
      if (typeof total === 'number') return total / values.length
      return toDecimal(total).divide(Decimal.ofInteger(BigInt(values.length))) ?? null
    }
    default: {
      const bits = values.map((value) => BigInt.asUintN(64, toDecimal(value).toBigInt()))
      if (name === 'BIT_AND') return bits.reduce((a, b) => a & b, 0xffff_ffff_ffff_ffffn)
      return bits.reduce((a, b) => (name === 'BIT_OR' ? a | b : a ^ b), 0n)
    }
  }
}

/** Exact numbers give a DECIMAL, doubles and text a DOUBLE. */
function sum(values: readonly Present[]): Decimal | number | null {
  if (values.length === 0) return null
  const numbers = values.map(toNumeric)
  if (numbers.some((number) => typeof number === 'number'))
    return numbers.reduce<number>((total, number) => total + toDouble(number), 0)
  return numbers.reduce<Decimal>((total, number) => total.add(toDecimal(number)), Decimal.ofInteger(0n))
}

function compileConcat(
  node: AggregateNode,
  args: readonly Compiled[],
  scope: Scope,
  context: EvalContext,
): (rows: readonly Row[]) => Value {
  const order = node.orderBy.map(({ expression, descending }) => ({
    compiled: compile(expression, { scope, context }),
    descending,
  }))
  return (rows) => {
    const sorted = sortRows(
      rows.map((row) => ({ row, keys: order.map(({ compiled }) => compiled.evaluate(row)) })),
      order,
    )
    const texts = sorted
      .map(({ row }) => args.map((arg) => arg.evaluate(row)))
      .filter((values) => !values.includes(null))
    const joined = texts.map((values) => values.map((value) => (value === null ? '' : toText(value))).join(''))
    if (joined.length === 0) return null
    return (node.distinct ? [...new Set(joined)] : joined).join(node.separator)
  }
}
