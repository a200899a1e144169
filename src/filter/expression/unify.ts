import { compileCast } from './cast.ts'
import { commonCollation } from './collate.ts'
import { asBytes, asDecimal, asInteger, asReal, asText, asTime } from './convert.ts'
import { numericKind } from './arithmetic.ts'
import { asJson } from './json-value.ts'
import { type Evaluate, operand, type Operand } from './operand.ts'

/** What a choice among values is (IF, CASE, COALESCE …), and each of the values as that. */
export interface Unified {
  readonly evaluates: readonly Evaluate[]
  /** Makes the operand of the choice. */
  readonly of: (evaluate: Evaluate, constant: boolean) => Operand
}

export function unify(operands: readonly Operand[]): Unified {
  const values = operands.filter(({ kind }) => kind !== 'null')
  const [first] = values
  if (first === undefined)
    return unified(operands, asText, (evaluate, constant) => operand('null', evaluate, { constant }))
  const isAll = (test: (one: Operand) => boolean): boolean => values.every(test)
  if (isAll((one) => one.kind === 'int')) {
    const unsigned = isAll((one) => one.unsigned)
    return unified(operands, asInteger, (evaluate, constant) => operand('int', evaluate, { constant, unsigned }))
  }
  if (isAll((one) => one.kind === 'int' || one.kind === 'decimal'))
    return unified(operands, asDecimal, (evaluate, constant) => operand('decimal', evaluate, { constant }))
  if (isAll((one) => ['int', 'decimal', 'real'].includes(one.kind)))
    return unified(operands, asReal, (evaluate, constant) => operand('real', evaluate, { constant }))
  if (isAll((one) => one.kind === 'time')) {
    const scale = Math.max(...values.map((one) => one.scale))
    const dateOnly = isAll((one) => one.dateOnly)
    const as = (one: Operand): Evaluate => asTime(one, scale, dateOnly)
    return unified(operands, as, (evaluate, constant) => operand('time', evaluate, { constant, scale, dateOnly }))
  }
  if (isAll((one) => one.kind === 'duration')) {
    const { scale } = first
    return unified(operands, asText, (evaluate, constant) => operand('duration', evaluate, { constant, scale }))
  }
  if (isAll((one) => one.kind === 'json'))
    return unified(operands, asJson, (evaluate, constant) =>
      operand('json', evaluate, { constant, collation: first.collation }),
    )
  const collation = commonCollation(values)
  const as = collation.name === 'binary' ? asBytes : asText
  return unified(operands, as, (evaluate, constant) => operand('text', evaluate, { constant, collation }))
}

const unified = (operands: readonly Operand[], as: (one: Operand) => Evaluate, of: Unified['of']): Unified => ({
  evaluates: operands.map((one) => (one.kind === 'null' ? one.evaluate : as(one))),
  of,
})

/** As numbers of one kind, for functions that take what arithmetic takes. */
export function toNumeric(one: Operand): Operand {
  const kind = numericKind(one)
  if (kind === one.kind) return one
  switch (kind) {
    case 'int':
      return operand('int', asInteger(one), { constant: one.constant })
    case 'decimal':
      return operand('decimal', asDecimal(one), { constant: one.constant, scale: one.scale })
    default:
      return compileCast(one, { name: 'double', length: -1, scale: -1 })
  }
}
