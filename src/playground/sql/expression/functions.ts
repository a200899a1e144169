import { SqlError } from '../error.ts'
import type { Value } from '../value/value.ts'
import type { EvalContext } from './context.ts'
import { INFO_FUNCTIONS } from './info-functions.ts'
import { JSON_FUNCTIONS } from './json-functions.ts'
import { NUMBER_FUNCTIONS } from './number-functions.ts'
import { TEXT_FUNCTIONS } from './text-functions.ts'
import { TIME_FUNCTIONS } from './time-functions.ts'

export type Call = (args: readonly Value[]) => Value

/** A function by its name: how many arguments it takes, and what makes it for a statement. */
export interface FunctionEntry {
  readonly least: number
  readonly most: number
  bind(context: EvalContext): Call
}

const ALL: Readonly<Record<string, FunctionEntry>> = {
  ...TEXT_FUNCTIONS,
  ...NUMBER_FUNCTIONS,
  ...TIME_FUNCTIONS,
  ...INFO_FUNCTIONS,
  ...JSON_FUNCTIONS,
}

/** The function of that name. Errors: 1305 where there is none, 1582 for a wrong number of arguments. */
export function callFunction(name: string, count: number, context: EvalContext): Call {
  const entry = ALL[name]
  if (entry === undefined)
    throw new SqlError(
      1305,
      `FUNCTION ${context.database}.${name.toLowerCase()} does not exist, or the playground does not have it`,
    )
  if (count < entry.least || count > entry.most)
    throw new SqlError(1582, `Incorrect parameter count in the call to native function '${name.toLowerCase()}'`)
  return entry.bind(context)
}
