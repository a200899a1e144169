import type { Expression } from '../ast.ts'
import { type ExpressionContext, folded, type Operand } from '../operand.ts'
import { CONTROL_FUNCTIONS } from './control.ts'
import type { Functions } from './define.ts'
import { JSON_FUNCTIONS } from './json.ts'
import { NUMBER_FUNCTIONS } from './number.ts'
import { TEXT_FUNCTIONS } from './text.ts'
import { compileDateMove, TIME_FUNCTIONS } from './time.ts'

const FUNCTIONS: Functions = {
  ...CONTROL_FUNCTIONS,
  ...JSON_FUNCTIONS,
  ...NUMBER_FUNCTIONS,
  ...TEXT_FUNCTIONS,
  ...TIME_FUNCTIONS,
}

/** Names of all functions, in alphabetical order; for documentation. */
export const functionNames = (): readonly string[] => Object.keys(FUNCTIONS).toSorted()

const DATE_MOVES: Readonly<Record<string, 1 | -1>> = { date_add: 1, adddate: 1, date_sub: -1, subdate: -1 }

/** SyntaxError for an unknown function and for a wrong number of arguments. */
export function compileCall(
  { name, args }: Extract<Expression, { kind: 'call' }>,
  compile: (one: Expression) => Operand,
  context: ExpressionContext,
): Operand {
  const sign = DATE_MOVES[name]
  if (sign !== undefined) {
    const [date, moved] = args
    if (date === undefined || moved === undefined || args.length > 2) throw wrongCount(name)
    const interval = moved.kind === 'interval' ? moved : { kind: 'interval' as const, amount: moved, unit: 'day' }
    return folded(compileDateMove(compile(date), compile(interval.amount), interval.unit, sign))
  }
  const definition = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
  if (definition === undefined) throw new SyntaxError(`function ${name} does not exist or is not supported in filters`)
  if (args.length < definition.least || args.length > definition.most) throw wrongCount(name)
  return folded(
    definition.compile(
      args.map((one) => compile(one)),
      context,
    ),
  )
}

const wrongCount = (name: string): SyntaxError =>
  new SyntaxError(`Incorrect parameter count in the call to native function '${name}'`)
