import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'
import { unsupported } from '../error.ts'
import type { TypeNode } from '../parser/ast.ts'
import { castJson, castToColumn } from '../value/cast.ts'
import type { CastContext } from '../value/cast.ts'
import { Decimal } from '../value/decimal.ts'
import { toBytes, toDouble, toNumeric, toText } from '../value/value.ts'
import type { Value } from '../value/value.ts'

const BASE = { charset: 'binary', collate: 'binary', elems: [], array: false } as const

/** CAST(value AS type): values that do not fit become NULL or the nearest that fits, with a warning. */
export function castTo(value: Value, node: TypeNode, context: CastContext): Value {
  if (value === null) return null
  switch (node.name) {
    case 'SIGNED':
      return BigInt.asIntN(64, castInteger(value, node, context))
    case 'UNSIGNED':
      return BigInt.asUintN(64, castInteger(value, node, context))
    case 'CHAR':
    case 'VARCHAR': {
      const text = toText(value)
      return node.length === undefined ? text : Array.from(text).slice(0, node.length).join('')
    }
    case 'BINARY':
    case 'VARBINARY': {
      const bytes = toBytes(value)
      if (node.length === undefined) return bytes
      const sized = new Uint8Array(node.length)
      sized.set(bytes.subarray(0, node.length))
      return sized
    }
    case 'DECIMAL':
      return lenient(
        value,
        { ...BASE, tp: MysqlType.NewDecimal, flag: 0, flen: node.length ?? 10, decimal: node.scale ?? 0 },
        context,
      )
    case 'DOUBLE':
    case 'FLOAT':
      return toDouble(value)
    case 'DATE':
      return timeOrNull(value, { ...BASE, tp: MysqlType.Date, flag: 0, flen: 10, decimal: 0 }, context)
    case 'DATETIME':
      return timeOrNull(
        value,
        { ...BASE, tp: MysqlType.Datetime, flag: 0, flen: 19, decimal: node.length ?? 0 },
        context,
      )
    case 'TIME':
      return timeOrNull(
        value,
        { ...BASE, tp: MysqlType.Duration, flag: 0, flen: 10, decimal: node.length ?? 0 },
        context,
      )
    case 'YEAR':
      return lenient(value, { ...BASE, tp: MysqlType.Year, flag: FieldFlag.Unsigned, flen: 4, decimal: 0 }, context)
    case 'JSON':
      return castJson(value)
    default:
      throw unsupported(`CAST AS ${node.name}`)
  }
}

const TARGET = { column: 'cast', row: 1 }

const lenient = (value: Value, type: FieldType, context: CastContext): Value =>
  castToColumn(value, type, TARGET, { ...context, strict: false })

/** A value that is no time is NULL. */
function timeOrNull(value: Value, type: FieldType, context: CastContext): Value {
  let failed = false
  const result = castToColumn(value, type, TARGET, {
    ...context,
    strict: false,
    noZeroDate: false,
    noZeroInDate: false,
    warn: () => (failed = true),
  })
  if (!failed) return result
  context.warn(
    1292,
    `Incorrect ${type.tp === MysqlType.Duration ? 'time' : 'datetime'} value: '${value === null ? '' : toText(value)}'`,
  )
  return null
}

function castInteger(value: Exclude<Value, null>, node: TypeNode, context: CastContext): bigint {
  const numeric =
    typeof value === 'string' || value instanceof Uint8Array
      ? integerPrefix(toText(value), node, context)
      : toNumeric(value)
  if (typeof numeric === 'bigint') return numeric
  return numeric instanceof Decimal ? numeric.toBigInt() : BigInt(Math.round(numeric))
}

function integerPrefix(text: string, node: TypeNode, context: CastContext): bigint {
  const found = /^\s*([+-]?\d+)/.exec(text)
  if (found === null || found[0].length !== text.trimEnd().length)
    context.warn(1292, `Truncated incorrect ${node.name === 'SIGNED' ? 'INTEGER' : 'UNSIGNED'} value: '${text}'`)
  return found === null ? 0n : BigInt(found[1] ?? '0')
}
