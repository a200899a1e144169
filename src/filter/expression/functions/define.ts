import type { Values } from '../../../event/row-change.ts'
import { LITERAL_COLLATION } from '../collate.ts'
import {
  type Collation,
  type Evaluate,
  type ExpressionContext,
  operand,
  type Operand,
  type Scalar,
} from '../operand.ts'

/** A function: how many arguments it takes, and what it makes of them. */
export interface FunctionDefinition {
  readonly least: number
  readonly most: number
  compile(args: readonly Operand[], context: ExpressionContext): Operand
}

export type Functions = Readonly<Record<string, FunctionDefinition>>

export const define = (
  least: number,
  most: number,
  compile: (args: readonly Operand[], context: ExpressionContext) => Operand,
): FunctionDefinition => ({ least, most, compile })

/** The argument at a place that the arity guarantees. */
export function argument(args: readonly Operand[], at: number): Operand {
  const found = args[at]
  if (found === undefined) throw new TypeError(`argument ${at} is missing`)
  return found
}

export const isConstant = (args: readonly Operand[]): boolean => args.every((one) => one.constant)

type Present<T extends readonly Evaluate[]> = { [K in keyof T]: Exclude<ReturnType<T[K]>, null> }

/** NULL where an argument is. */
export function strict<const T extends readonly Evaluate[], R extends Scalar>(
  evaluates: T,
  compute: (...values: Present<T>) => R | null,
): Evaluate<Exclude<R, null>> {
  return (row: Values) => {
    const values: Scalar[] = []
    for (const evaluate of evaluates) {
      const value = evaluate(row)
      if (value === null) return null
      values.push(value)
    }
    // Each value is what its own evaluation gives, and not NULL.
    return compute(...(values as unknown as Present<T>)) as Exclude<R, null> | null
  }
}

export const int = (evaluate: Evaluate<number | bigint>, args: readonly Operand[], unsigned = false): Operand =>
  operand('int', evaluate, { constant: isConstant(args), unsigned })

export const real = (evaluate: Evaluate<number>, args: readonly Operand[]): Operand =>
  operand('real', evaluate, { constant: isConstant(args) })

export const text = (
  evaluate: Evaluate<string>,
  args: readonly Operand[],
  collation: Collation = LITERAL_COLLATION,
): Operand => operand('text', evaluate, { constant: isConstant(args), collation })
