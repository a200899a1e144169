import type { Value } from '../value/value.ts'
import type { FunctionEntry } from './functions.ts'

export type Present = Exclude<Value, null>

const isPresent = (args: readonly Value[]): args is readonly Present[] => !args.includes(null)

/** A function that is NULL as soon as one argument is. */
export function strict(least: number, most: number, call: (...args: readonly Present[]) => Value): FunctionEntry {
  return { least, most, bind: () => (args) => (isPresent(args) ? call(...args) : null) }
}

/** A function that sees NULL arguments itself. */
export function plain(least: number, most: number, call: (...args: readonly Value[]) => Value): FunctionEntry {
  return { least, most, bind: () => (args) => call(...args) }
}
