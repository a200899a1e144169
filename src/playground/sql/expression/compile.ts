import { FieldFlag } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'
import { SqlError, unsupported } from '../error.ts'
import type { Expression } from '../parser/ast.ts'
import { binaryCollation, findCollation, textCollation } from '../value/collation.ts'
import type { Collation } from '../value/collation.ts'
import { compareValues } from '../value/compare.ts'
import { jsonPath } from '../value/json.ts'
import { castJson } from '../value/cast.ts'
import { ofBoolean, toBoolean, toText } from '../value/value.ts'
import type { Row, Value } from '../value/value.ts'
import { castTo } from './cast-to.ts'
import type { EvalContext, Scope } from './context.ts'
import { callFunction } from './functions.ts'
import { likePattern } from './like.ts'
import { arithmetic, MOST_SIGNED, negate } from './operators.ts'
import { addInterval } from './time-functions.ts'

/** An expression ready to run. `type` is known for plain columns only. */
export interface Compiled {
  readonly evaluate: (row: Row) => Value
  readonly type: FieldType | undefined
  readonly collation: Collation
  /** True where integers of it are of an unsigned type. */
  readonly unsigned?: boolean
}

export interface CompileOptions {
  readonly scope: Scope
  readonly context: EvalContext
  /** Places in the row of what was computed before: aggregates, by their node. */
  readonly computed?: ReadonlyMap<Expression, number>
  /** The row that VALUES(column) means in ON DUPLICATE KEY UPDATE. */
  readonly inserted?: (column: string) => Value
  /** DEFAULT or DEFAULT(column). */
  readonly defaultOf?: (column: string) => Value
}

/** Compiles an expression against the columns in scope. Errors: 1054, 1052 for columns, 1305 for functions. */
export function compile(expression: Expression, options: CompileOptions): Compiled {
  const place = options.computed?.get(expression)
  if (place !== undefined) return value((row) => row[place] ?? null)
  const { context } = options
  const sub = (node: Expression): Compiled => compile(node, options)
  switch (expression.kind) {
    case 'literal':
      return {
        ...constant(expression.value),
        unsigned: typeof expression.value === 'bigint' && expression.value > MOST_SIGNED,
      }
    case 'column':
      return compileColumn(expression, options)
    case 'parameter':
      return constant(context.parameters[expression.index] ?? null)
    case 'userVariable':
      return value(() => context.userVariable(expression.name))
    case 'assign': {
      const assigned = sub(expression.value)
      return value((row) => {
        const result = assigned.evaluate(row)
        context.setUserVariable(expression.name.toLowerCase(), result)
        return result
      })
    }
    case 'systemVariable':
      return constant(context.systemVariable(expression.scope, expression.name))
    case 'unary':
      return compileUnary(expression.operator, sub(expression.operand))
    case 'binary':
      return compileBinary(expression, options)
    case 'in':
      return compileIn(expression, options)
    case 'between': {
      const operand = sub(expression.operand)
      const low = compareWith(operand, sub(expression.low), (order) => order >= 0)
      const high = compareWith(operand, sub(expression.high), (order) => order <= 0)
      return value((row) => ofBoolean(not(and(toBoolean(low(row)), toBoolean(high(row))), expression.negated)))
    }
    case 'like':
      return compileLike(expression, options)
    case 'regexp':
      return compileRegexp(sub(expression.operand), sub(expression.pattern), expression.negated)
    case 'is': {
      const operand = sub(expression.operand)
      const wanted = expression.test === 'null' ? undefined : expression.test === 'true'
      return value((row) => {
        const result = operand.evaluate(row)
        const truth = expression.test === 'null' ? result === null : toBoolean(result) === wanted
        return ofBoolean(truth !== expression.negated)
      })
    }
    case 'case':
      return compileCase(expression, options)
    case 'call':
      return compileCall(expression, options)
    case 'cast': {
      const operand = sub(expression.operand)
      const cast = value((row) => castTo(operand.evaluate(row), expression.type, context.cast))
      return { ...cast, unsigned: expression.type.name === 'UNSIGNED' }
    }
    case 'default':
      return defaultValue(expression.column, options)
    case 'values': {
      const { inserted } = options
      if (inserted === undefined) return constant(null)
      return value(() => inserted(expression.column))
    }
    case 'collate': {
      const collation = findCollation(expression.collation)
      return { ...sub(expression.operand), collation }
    }
    case 'interval':
      throw new SqlError(1064, 'You have an error in your SQL syntax near INTERVAL')
    case 'row':
      throw new SqlError(1241, 'Operand should contain 1 column(s)')
    case 'query':
    case 'inQuery':
    case 'exists':
      throw unsupported('subquery here')
  }
}

const value = (evaluate: (row: Row) => Value, collation: Collation = textCollation): Compiled => ({
  evaluate,
  type: undefined,
  collation,
})

const constant = (result: Value): Compiled => value(() => result)

function defaultValue(column: string, { defaultOf }: CompileOptions): Compiled {
  if (defaultOf === undefined) throw unsupported('DEFAULT here')
  return value(() => defaultOf(column))
}

function compileColumn(node: Extract<Expression, { kind: 'column' }>, { scope }: CompileOptions): Compiled {
  const place = findScopeColumn(scope, node)
  const type = scope[place]?.type
  const collation =
    type === undefined || type.collate === ''
      ? textCollation
      : type.charset === 'binary'
        ? binaryCollation
        : findCollation(type.collate)
  const unsigned = type !== undefined && (type.flag & FieldFlag.Unsigned) !== 0
  return { evaluate: (row) => row[place] ?? null, type, collation, unsigned }
}

/** The place of a column in the row. Errors: 1054 unknown, 1052 ambiguous. */
export function findScopeColumn(
  scope: Scope,
  node: { readonly schema: string; readonly table: string; readonly name: string },
): number {
  const name = node.name.toLowerCase()
  const table = node.table.toLowerCase()
  const schema = node.schema.toLowerCase()
  let found = -1
  for (const [i, column] of scope.entries()) {
    if (column.name.toLowerCase() !== name) continue
    if (table !== '' && column.table.toLowerCase() !== table) continue
    if (schema !== '' && column.schema.toLowerCase() !== schema) continue
    if (found >= 0) throw new SqlError(1052, `Column '${node.name}' in field list is ambiguous`)
    found = i
  }
  if (found < 0)
    throw new SqlError(
      1054,
      `Unknown column '${[node.schema, node.table, node.name].filter((part) => part !== '').join('.')}' in 'field list'`,
    )
  return found
}

function compileUnary(operator: '-' | '+' | '!' | '~', operand: Compiled): Compiled {
  switch (operator) {
    case '+':
      return operand
    case '-':
      return value((row) => negate(operand.evaluate(row)))
    case '!':
      return value((row) => {
        const truth = toBoolean(operand.evaluate(row))
        return ofBoolean(truth === undefined ? undefined : !truth)
      })
    case '~':
      return value((row) => arithmetic('^', operand.evaluate(row), 0xffff_ffff_ffff_ffffn, () => null))
  }
}

const and = (a: boolean | undefined, b: boolean | undefined): boolean | undefined =>
  a === false || b === false ? false : a === undefined || b === undefined ? undefined : true
const not = (truth: boolean | undefined, negated: boolean): boolean | undefined =>
  truth === undefined ? undefined : truth !== negated

/** The collation of a comparison: an explicit or column one that is not the default wins. */
const commonCollation = (a: Compiled, b: Compiled): Collation =>
  a.collation === textCollation ? b.collation : a.collation

function compareWith(left: Compiled, right: Compiled, test: (order: number) => boolean): (row: Row) => Value {
  const collation = commonCollation(left, right)
  return (row) => {
    const a = left.evaluate(row)
    const b = right.evaluate(row)
    return a === null || b === null ? null : ofBoolean(test(compareValues(a, b, collation)))
  }
}

const TESTS: Readonly<Record<string, (order: number) => boolean>> = {
  '=': (order) => order === 0,
  '<>': (order) => order !== 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
}

function compileBinary(node: Extract<Expression, { kind: 'binary' }>, options: CompileOptions): Compiled {
  const { operator } = node
  if (node.left.kind === 'row' && node.right.kind === 'row')
    return compileRowComparison(node, node.left.items, node.right.items, options)
  if ((operator === '+' || operator === '-') && node.right.kind === 'interval') {
    const interval = node.right
    const moment = compile(node.left, options)
    const amount = compile(interval.amount, options)
    return value((row) =>
      addInterval(moment.evaluate(row), amount.evaluate(row), interval.unit, operator === '-', options.context),
    )
  }
  const left = compile(node.left, options)
  const right = compile(node.right, options)
  const test = TESTS[operator]
  if (test !== undefined) return value(compareWith(left, right, test))
  switch (operator) {
    case '<=>': {
      const equal = compareWith(left, right, (order) => order === 0)
      return value((row) => {
        const a = left.evaluate(row)
        const b = right.evaluate(row)
        return a === null || b === null ? ofBoolean(a === b) : equal(row)
      })
    }
    case 'AND':
      return value((row) => {
        const a = toBoolean(left.evaluate(row))
        return ofBoolean(a === false ? false : and(a, toBoolean(right.evaluate(row))))
      })
    case 'OR':
      return value((row) => {
        const a = toBoolean(left.evaluate(row))
        if (a === true) return 1n
        const b = toBoolean(right.evaluate(row))
        return ofBoolean(b === true ? true : a === undefined || b === undefined ? undefined : false)
      })
    case 'XOR':
      return value((row) => {
        const a = toBoolean(left.evaluate(row))
        const b = toBoolean(right.evaluate(row))
        return ofBoolean(a === undefined || b === undefined ? undefined : a !== b)
      })
    case '->':
    case '->>':
      return value((row) => extract(left.evaluate(row), right.evaluate(row), operator === '->>'))
    default: {
      const { divisionByZero } = division(options.context)
      const unsigned = left.unsigned === true || right.unsigned === true
      const result = value((row) =>
        arithmetic(operator, left.evaluate(row), right.evaluate(row), divisionByZero, unsigned),
      )
      return { ...result, unsigned }
    }
  }
}

function division(context: EvalContext): { readonly divisionByZero: () => null } {
  return {
    divisionByZero() {
      if (context.sqlMode.divisionError) throw new SqlError(1365, 'Division by 0')
      context.cast.warn(1365, 'Division by 0')
      return null
    },
  }
}

function extract(document: Value, path: Value, unquote: boolean): Value {
  if (document === null || path === null) return null
  const json = castJson(document)
  if (json === null || typeof json !== 'object' || !('type' in json) || json.type !== 'json') return null
  const found = jsonPath(json.value, toText(path))
  if (found === undefined) return null
  return unquote
    ? typeof found === 'string'
      ? found
      : toText({ type: 'json', value: found })
    : { type: 'json', value: found }
}

/** (a, b) = (1, 2) and the like; ordered comparisons go by the first difference. */
function compileRowComparison(
  node: Extract<Expression, { kind: 'binary' }>,
  left: readonly Expression[],
  right: readonly Expression[],
  options: CompileOptions,
): Compiled {
  const test = TESTS[node.operator]
  if (test === undefined || left.length !== right.length)
    throw new SqlError(1241, `Operand should contain ${left.length} column(s)`)
  const pairs = left.map((item, i) => [compile(item, options), compile(right[i] ?? item, options)] as const)
  return value((row) => {
    for (const [a, b] of pairs) {
      const x = a.evaluate(row)
      const y = b.evaluate(row)
      if (x === null || y === null) return null
      const order = compareValues(x, y, commonCollation(a, b))
      if (order !== 0) return ofBoolean(test(order))
    }
    return ofBoolean(test(0))
  })
}

function compileIn(node: Extract<Expression, { kind: 'in' }>, options: CompileOptions): Compiled {
  const equals = node.items.map((item): ((row: Row) => Value) => {
    const comparison: Expression = { kind: 'binary', operator: '=', left: node.operand, right: item }
    return compile(comparison, options).evaluate
  })
  return value((row) => {
    let unknown = false
    for (const equal of equals) {
      const truth = toBoolean(equal(row))
      if (truth === true) return ofBoolean(!node.negated)
      if (truth === undefined) unknown = true
    }
    return unknown ? null : ofBoolean(node.negated)
  })
}

function compileLike(node: Extract<Expression, { kind: 'like' }>, options: CompileOptions): Compiled {
  const operand = compile(node.operand, options)
  const pattern = compile(node.pattern, options)
  const ignoreCase = commonCollation(operand, pattern).name.endsWith('_ci')
  let lastText: string | undefined
  let last: RegExp | undefined
  return value((row) => {
    const text = operand.evaluate(row)
    const like = pattern.evaluate(row)
    if (text === null || like === null) return null
    const wanted = toText(like)
    if (last === undefined || wanted !== lastText) {
      last = likePattern(wanted, node.escape, ignoreCase)
      lastText = wanted
    }
    return ofBoolean(last.test(toText(text)) !== node.negated)
  })
}

function compileRegexp(operand: Compiled, pattern: Compiled, negated: boolean): Compiled {
  return value((row) => {
    const text = operand.evaluate(row)
    const wanted = pattern.evaluate(row)
    if (text === null || wanted === null) return null
    try {
      return ofBoolean(new RegExp(toText(wanted), 'su').test(toText(text)) !== negated)
    } catch (cause) {
      throw new SqlError(3692, `Illegal argument to a regular expression: ${toText(wanted)}`, { cause })
    }
  })
}

function compileCase(node: Extract<Expression, { kind: 'case' }>, options: CompileOptions): Compiled {
  const branches = node.branches.map(({ when, then }) => {
    const condition: Expression =
      node.operand === undefined ? when : { kind: 'binary', operator: '=', left: node.operand, right: when }
    return [compile(condition, options), compile(then, options)] as const
  })
  const otherwise = node.otherwise === undefined ? undefined : compile(node.otherwise, options)
  return value((row) => {
    for (const [condition, then] of branches) if (toBoolean(condition.evaluate(row)) === true) return then.evaluate(row)
    return otherwise?.evaluate(row) ?? null
  })
}

function compileCall(node: Extract<Expression, { kind: 'call' }>, options: CompileOptions): Compiled {
  const [first, second] = node.args
  if (/^(DATE_ADD|DATE_SUB|ADDDATE|SUBDATE)$/.test(node.name) && first !== undefined && second !== undefined) {
    const interval: Expression = second.kind === 'interval' ? second : { kind: 'interval', amount: second, unit: 'DAY' }
    return compile(
      { kind: 'binary', operator: node.name.includes('SUB') ? '-' : '+', left: first, right: interval },
      options,
    )
  }
  const args = node.args.map((arg) => compile(arg, options))
  const call = callFunction(node.name, args.length, options.context)
  return value((row) => call(args.map((arg) => arg.evaluate(row))))
}
