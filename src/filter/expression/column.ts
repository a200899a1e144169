import type { Value, Values } from '../../event/row-change.ts'
import { FieldFlag, MysqlType, type ColumnInfo, type FieldType } from '../../tidb/table-info.ts'
import { Kind, kindOf } from '../../tidb/cell.ts'
import { convertLiteral, type Literal } from '../../tidb/literal.ts'
import { asBytes, asText } from './convert.ts'
import { parseDecimal } from './decimal.ts'
import { operand, type Operand, RANK, type Scalar } from './operand.ts'

/** Value of a column in a row. */
type Read = (row: Values) => Value

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** A column as an operand. SyntaxError for a type that no expression can use. */
export function columnOperand(type: FieldType, read: Read): Operand {
  const unsigned = (type.flag & FieldFlag.Unsigned) !== 0
  const collation = { name: type.collate === '' ? 'binary' : type.collate, rank: RANK.column }
  const rest = { column: type, unsigned, collation }
  const plain = (row: Values): Scalar => scalarOf(read(row))
  switch (kindOf(type)) {
    case Kind.Int:
    case Kind.Uint:
    case Kind.Year:
      return operand('int', plain, rest)
    case Kind.Float:
    case Kind.Double:
      return operand('real', plain, rest)
    case Kind.Decimal: {
      const evaluate = (row: Values): Scalar => {
        const value = read(row)
        return value === null ? null : parseDecimal(String(value))
      }
      return operand('decimal', evaluate, { ...rest, scale: type.decimal })
    }
    case Kind.Date:
    case Kind.Datetime:
    case Kind.Timestamp: {
      const dateOnly = kindOf(type) === Kind.Date
      return operand('time', plain, { ...rest, dateOnly, scale: Math.max(0, type.decimal) })
    }
    case Kind.Duration:
      return operand('duration', plain, { ...rest, scale: Math.max(0, type.decimal) })
    case Kind.Json:
      return operand('json', plain, { ...rest, collation: { name: 'utf8mb4_bin', rank: RANK.column } })
    case Kind.Bytes:
      return bytesOperand(read, rest)
    case Kind.Enum:
      return operand(
        'text',
        named(read, (value) => type.elems[Number(value) - 1] ?? ''),
        { ...rest, integer: whole(read) },
      )
    case Kind.Set:
      return operand(
        'text',
        named(read, (value) => membersOf(type, BigInt(value))),
        { ...rest, integer: whole(read) },
      )
    case Kind.Bit: {
      const bytes = Math.ceil(Math.max(1, type.flen) / 8)
      return operand(
        'text',
        named(read, (value) => bitText(BigInt(value), bytes)),
        { ...rest, integer: whole(read) },
      )
    }
    default:
      throw new SyntaxError('columns of this type cannot be used in expressions')
  }
}

const scalarOf = (value: Value): Scalar => {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1')
  if (value instanceof Float32Array) return `[${value.join(',')}]`
  return value
}

const whole =
  (read: Read) =>
  (row: Values): number | bigint | null => {
    const value = read(row)
    return typeof value === 'number' || typeof value === 'bigint' ? value : null
  }

const named =
  (read: Read, nameOf: (value: number | bigint) => string) =>
  (row: Values): string | null => {
    const value = read(row)
    return typeof value === 'number' || typeof value === 'bigint' ? nameOf(value) : null
  }

const membersOf = (type: FieldType, mask: bigint): string =>
  type.elems.filter((_, at) => ((mask >> BigInt(at)) & 1n) === 1n).join(',')

const bitText = (value: bigint, bytes: number): string =>
  Buffer.from(value.toString(16).padStart(bytes * 2, '0'), 'hex').toString('latin1')

function bytesOperand(read: Read, rest: Partial<Operand> & Pick<Operand, 'collation'>): Operand {
  const bytes = (row: Values): Uint8Array | null => {
    const value = read(row)
    return value instanceof Uint8Array ? value : null
  }
  const binary = rest.collation.name === 'binary'
  const evaluate = (row: Values): Scalar => {
    const value = bytes(row)
    if (value === null) return null
    if (!binary) return decoder.decode(value)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1')
  }
  return operand('text', evaluate, { ...rest, bytes })
}

/** A virtual column: its expression's value, stored as the column would store it. */
export function virtualOperand(column: ColumnInfo, expression: Operand): Operand {
  const binary = column.type.tp === MysqlType.Bit || column.type.charset === 'binary'
  const text = binary && expression.kind === 'text' ? asBytes(expression) : asText(expression)
  const numeric = expression.kind === 'int' || expression.kind === 'real'
  return columnOperand(column.type, (row) => {
    const value = numeric ? expression.evaluate(row) : text(row)
    if (value === null) return null
    let literal: Literal
    if (typeof value === 'object') return null
    if (binary && expression.kind === 'text') literal = Buffer.from(String(value), 'latin1')
    else literal = value
    return convertLiteral(column.type, literal).value
  })
}
