import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { ColumnInfo } from '../../../tidb/table-info.ts'
import { SqlError } from '../error.ts'
import { castToColumn, enumAt, setOf } from '../value/cast.ts'
import type { CastContext } from '../value/cast.ts'
import { Decimal } from '../value/decimal.ts'
import { compile } from '../expression/compile.ts'
import type { EvalContext } from '../expression/context.ts'
import { parseExpressionText } from '../parser/parser.ts'
import { parseDateTimeText, roundFraction, zeroDateTime } from '../value/time.ts'
import type { DateTime } from '../value/time.ts'
import { timestampFromUtc } from '../value/time-zone.ts'
import type { Value } from '../value/value.ts'
import { CURRENT_TIMESTAMP, storedDefault } from './build-column.ts'

/** The value of a column that INSERT does not name. `now` is the statement's time, wall and UTC. Error 1364: no default. */
export function defaultOf(column: ColumnInfo, now: DateTime, evaluation: EvalContext): Value {
  const context = evaluation.cast
  if (column.generatedExpr !== '') return null
  if (column.defaultIsExpr) {
    const value = compile(parseExpressionText(String(column.defaultValue)), {
      scope: [],
      context: evaluation,
    }).evaluate([])
    return castToColumn(value, column.type, { column: column.name.original, row: 1 }, context)
  }
  if ((column.type.flag & FieldFlag.NoDefaultValue) !== 0) {
    if (column.type.tp === MysqlType.Enum) return enumAt(column.type, 1)
    const message = `Field '${column.name.original}' doesn't have a default value`
    if (context.strict) throw new SqlError(1364, message)
    context.warn(1364, message)
    return zeroOf(column)
  }
  return readDefault(column, column.defaultValue, column.defaultBit, now, context)
}

function readDefault(
  column: ColumnInfo,
  stored: ColumnInfo['defaultValue'],
  bits: string | null,
  now: DateTime,
  context: CastContext,
): Value {
  if (bits !== null) return { type: 'bits', bytes: Buffer.from(bits, 'base64') }
  if (stored === null) return null
  if (stored === CURRENT_TIMESTAMP && isMoment(column)) return nowFor(column, now, context)
  const target = { column: column.name.original, row: 1 }
  if (column.type.tp === MysqlType.Timestamp) {
    const moment = parseDateTimeText(String(stored))
    if (moment !== undefined)
      return {
        type: 'timestamp',
        ...timestampFromUtc(moment, context.zone),
        fsp: Math.max(0, column.type.decimal),
        utc: moment,
      }
  }
  const text = typeof stored === 'boolean' ? (stored ? '1' : '0') : String(stored)
  return castToColumn(text, column.type, target, { ...context, strict: false, warn() {} })
}

const isMoment = (column: ColumnInfo): boolean =>
  column.type.tp === MysqlType.Timestamp || column.type.tp === MysqlType.Datetime

/** The statement's time as a column stores it. */
export function nowFor(column: ColumnInfo, now: DateTime, context: CastContext): Value {
  const fsp = Math.max(0, column.type.decimal)
  const cut = 10 ** (6 - fsp)
  const micro = Math.floor(now.micro / cut) * cut
  const moment: DateTime = { ...now, micro, fsp, ...(now.utc === undefined ? {} : { utc: { ...now.utc, micro } }) }
  return castToColumn(
    moment,
    column.type,
    { column: column.name.original, row: 1 },
    { ...context, strict: false, warn() {} },
  )
}

/** The zero value of a NOT NULL column's type. */
export function zeroOf(column: ColumnInfo): Value {
  const { type } = column
  switch (type.tp) {
    case MysqlType.Tiny:
    case MysqlType.Short:
    case MysqlType.Int24:
    case MysqlType.Long:
    case MysqlType.Longlong:
    case MysqlType.Year:
      return 0n
    case MysqlType.Float:
      return { type: 'float', value: 0 }
    case MysqlType.Double:
      return 0
    case MysqlType.NewDecimal:
      return new Decimal(0n, Math.max(0, type.decimal))
    case MysqlType.Date:
      return zeroDateTime('date', 0)
    case MysqlType.Datetime:
      return zeroDateTime('datetime', Math.max(0, type.decimal))
    case MysqlType.Timestamp: {
      const zero = zeroDateTime('timestamp', Math.max(0, type.decimal))
      return { ...zero, utc: roundFraction(zero, 6) }
    }
    case MysqlType.Duration:
      return { type: 'time', micros: 0, fsp: Math.max(0, type.decimal) }
    case MysqlType.Bit:
      return { type: 'bits', bytes: new Uint8Array((Math.max(1, type.flen) + 7) >> 3) }
    case MysqlType.Enum:
      return enumAt(type, 1)
    case MysqlType.Set:
      return setOf(type, 0n)
    case MysqlType.Json:
      return { type: 'json', value: null }
    case MysqlType.VectorFloat32:
      return { type: 'vector', elements: new Float32Array() }
    default:
      if (type.charset !== 'binary') return ''
      return new Uint8Array(type.tp === MysqlType.String ? Math.max(0, type.flen) : 0)
  }
}

/**
 * What rows written before ADD COLUMN have: the default as it is now, the zero value where the column is NOT NULL and has
 * none. Source: TiDB's generateOriginDefaultValue.
 */
export function originDefault(
  column: ColumnInfo,
  now: DateTime,
  evaluation: EvalContext,
): Pick<ColumnInfo, 'originDefault' | 'originDefaultBit'> {
  const value =
    (column.type.flag & FieldFlag.NoDefaultValue) !== 0 ? zeroOf(column) : defaultOf(column, now, evaluation)
  if (value === null) return { originDefault: null, originDefaultBit: null }
  const isText = typeof value === 'string' || value instanceof Uint8Array
  const stored = isText && value.length === 0 ? { defaultValue: '', defaultBit: null } : storedDefault(value)
  return { originDefault: stored.defaultValue, originDefaultBit: stored.defaultBit }
}
