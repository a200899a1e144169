import { MysqlType } from '../../../tidb/table-info.ts'
import { asTruth } from '../convert.ts'
import { compileCompare, compileComparison } from '../compare.ts'
import { nullOperand, operand, type Operand, type Scalar } from '../operand.ts'
import { toNumeric, unify } from '../unify.ts'
import { argument, define, type Functions, int, isConstant } from './define.ts'

const coalesce = (args: readonly Operand[]): Operand => {
  const { evaluates, of } = unify(args)
  return of((row) => {
    for (const evaluate of evaluates) {
      const value = evaluate(row)
      if (value !== null) return value
    }
    return null
  }, isConstant(args))
}

/** GREATEST (`sign` 1) and LEAST (-1): NULL where one is NULL. */
function extreme(args: readonly Operand[], sign: 1 | -1): Operand {
  const { evaluates, of } = unify(args)
  let left: Scalar = null
  let right: Scalar = null
  const { kind, scale, dateOnly, collation } = of(() => null, false)
  const compare = compileCompare(
    operand(kind, () => left, { scale, dateOnly, collation }),
    operand(kind, () => right, { scale, dateOnly, collation }),
  )
  return of((row) => {
    let best: Scalar = null
    for (const evaluate of evaluates) {
      const value = evaluate(row)
      if (value === null) return null
      ;[left, right] = [value, best]
      if (best === null || (compare([]) ?? 0) * sign > 0) best = value
    }
    return best
  }, isConstant(args))
}

export const CONTROL_FUNCTIONS: Functions = {
  if: define(3, 3, (args) => {
    const test = asTruth(argument(args, 0))
    const { evaluates, of } = unify(args.slice(1))
    return of((row) => evaluates[test(row) === true ? 0 : 1]?.(row) ?? null, isConstant(args))
  }),
  ifnull: define(2, 2, coalesce),
  coalesce: define(1, 1000, coalesce),
  nullif: define(2, 2, (args) => {
    const [given, other] = [argument(args, 0), argument(args, 1)]
    const one = given.column?.tp === MysqlType.Bit ? toNumeric(given) : given
    const equal = compileComparison('=', one, other)
    return {
      ...one,
      evaluate: (row) => (equal.evaluate(row) === 1 ? null : one.evaluate(row)),
      constant: isConstant(args),
      column: undefined,
      integer: undefined,
      bytes: undefined,
    }
  }),
  isnull: define(1, 1, (args) => {
    const { evaluate } = argument(args, 0)
    return int((row) => (evaluate(row) === null ? 1 : 0), args)
  }),
  greatest: define(2, 1000, (args) => extreme(args, 1)),
  least: define(2, 1000, (args) => extreme(args, -1)),
  strcmp: define(2, 2, (args) => {
    const compare = compileCompare(argument(args, 0), argument(args, 1))
    return int((row) => {
      const order = compare(row)
      return order === null ? null : Math.sign(order)
    }, args)
  }),
  field: define(2, 1000, (args) => {
    const [wanted, ...list] = args
    const tests = list.map((one) => compileComparison('=', wanted ?? nullOperand, one))
    return int((row) => tests.findIndex((test) => test.evaluate(row) === 1) + 1, args)
  }),
  elt: define(2, 1000, (args) => {
    const [at, ...list] = args
    const { evaluates, of } = unify(list)
    return of((row) => evaluates[Number(at?.evaluate(row) ?? 0) - 1]?.(row) ?? null, isConstant(args))
  }),
  interval: define(2, 1000, (args) => {
    const [wanted = nullOperand, ...list] = args
    const tests = list.map((one) => compileComparison('<', wanted, one))
    return int((row) => {
      if (wanted.evaluate(row) === null) return -1
      const at = tests.findIndex((test) => test.evaluate(row) === 1)
      return at < 0 ? list.length : at
    }, args)
  }),
  any_value: define(1, 1, (args) => argument(args, 0)),
}
