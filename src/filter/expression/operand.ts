import type { Values } from '../../event/row-change.ts'
import type { FieldType } from '../../tidb/table-info.ts'
import type { TimeZone } from '../../tidb/time-zone.ts'
import type { Decimal } from './decimal.ts'

/**
 * A value while an expression is evaluated. By {@link Operand.kind}: int: `number`, or `bigint` beyond 2^53; real:
 * `number`; decimal: {@link Decimal}; text: a string, in which a binary string has one character per byte; time, duration,
 * json: text as TiDB prints it. SQL NULL is `null`.
 */
export type Scalar = null | number | bigint | string | Decimal

export type Evaluate<T extends Scalar = Scalar> = (row: Values) => T | null

export type Kind = 'null' | 'int' | 'real' | 'decimal' | 'text' | 'time' | 'duration' | 'json'

/** Of text: how it is compared, and how strongly that is meant (the lower rank wins: MySQL's coercibility). */
export interface Collation {
  readonly name: string
  readonly rank: number
}

export const RANK = { explicit: 0, mixed: 1, column: 2, literal: 4, number: 5, ignorable: 6 } as const

/** An expression compiled against a table: what is known before any row, and how to evaluate it. */
export interface Operand {
  readonly kind: Kind
  readonly evaluate: Evaluate
  readonly collation: Collation
  /** Of int. */
  readonly unsigned: boolean
  /** Of int: TRUE or FALSE, which JSON tells from 1 and 0. */
  readonly isBoolean: boolean
  /** Digits behind the point (decimal) or the second (time, duration); -1 = each value's own. */
  readonly scale: number
  /** The same for every row. */
  readonly constant: boolean
  /** Of time: no time of day. */
  readonly dateOnly: boolean
  /** Where it is a column. */
  readonly column: FieldType | undefined
  /** Of a text that is an integer in numeric context: ENUM, SET, BIT, hexadecimal literals. */
  readonly integer: Evaluate<number | bigint> | undefined
  /** Of a column of bytes, whatever its character set: the bytes as they are stored. */
  readonly bytes: ((row: Values) => Uint8Array | null) | undefined
}

const BINARY_NUMBER: Collation = { name: 'binary', rank: RANK.number }

/** What is not given: signed, without scale, not a column, not constant. */
export function operand(kind: Kind, evaluate: Evaluate, rest: Partial<Operand> = {}): Operand {
  return {
    kind,
    evaluate,
    collation: BINARY_NUMBER,
    unsigned: false,
    isBoolean: false,
    scale: -1,
    constant: false,
    dateOnly: false,
    column: undefined,
    integer: undefined,
    bytes: undefined,
    ...rest,
  }
}

export const nullOperand: Operand = operand('null', () => null, {
  constant: true,
  collation: { name: 'binary', rank: RANK.ignorable },
})

export const isBinary = (one: Operand): boolean => one.collation.name === 'binary'

/** What an expression may depend on beside the row. */
export interface ExpressionContext {
  readonly zone: TimeZone
  /** ms since 1970. */
  readonly now: () => number
}

/** Evaluates what is the same for every row once; an error stays one of evaluation. */
export function folded(one: Operand): Operand {
  if (!one.constant) return one
  let value: Scalar
  try {
    value = one.evaluate([])
  } catch {
    return one
  }
  return { ...one, evaluate: () => value }
}
