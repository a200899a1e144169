import { FieldFlag, MysqlType, STATE_PUBLIC } from '../../../tidb/table-info.ts'
import { ciName } from '../../../tidb/table-info-json.ts'
import type { ColumnInfo, FieldType } from '../../../tidb/table-info.ts'
import { SqlError, unsupported } from '../error.ts'
import type { ColumnNode, Expression } from '../parser/ast.ts'
import { restoreExpression } from '../parser/restore.ts'
import { castToColumn } from '../value/cast.ts'
import type { CastContext } from '../value/cast.ts'
import type { Collation } from '../value/collation.ts'
import { Decimal } from '../value/decimal.ts'
import { formatDateTime } from '../value/time.ts'
import { toBytes, toText } from '../value/value.ts'
import type { Value } from '../value/value.ts'
import { buildFieldType } from './field-type.ts'
import { isBlobType } from './type-text.ts'

export const CURRENT_TIMESTAMP = 'CURRENT_TIMESTAMP'

const NOW_NAMES = new Set(['CURRENT_TIMESTAMP', 'NOW', 'LOCALTIME', 'LOCALTIMESTAMP'])

/** Functions that TiDB allows in DEFAULT (source: its documentation, "Specify expressions as default values"). */
const DEFAULT_FUNCTIONS = new Set([
  'RAND',
  'UUID',
  'UUID_TO_BIN',
  'DATE_FORMAT',
  'REPLACE',
  'STR_TO_DATE',
  'UPPER',
  'JSON_OBJECT',
  'JSON_ARRAY',
  'JSON_QUOTE',
  'NEXTVAL',
])

/** A column as written, without key flags: those follow from the table's indexes. */
export function buildColumn(
  node: ColumnNode,
  id: number,
  offset: number,
  table: Collation,
  context: CastContext,
): ColumnInfo {
  const base = buildFieldType(node.type, node.name, table)
  const isKey = node.primary
  if (isKey && node.nullable === true)
    throw new SqlError(
      1171,
      'All parts of a PRIMARY KEY must be NOT NULL; if you need NULL in a key, use UNIQUE instead',
    )
  let flag = base.flag
  if (node.nullable === false || isKey || node.autoIncrement) flag |= FieldFlag.NotNull
  if (node.autoIncrement) flag |= FieldFlag.AutoIncrement
  if (node.onUpdateNow !== undefined) {
    checkNow(node.onUpdateNow, base, () => new SqlError(1294, `Invalid ON UPDATE clause for '${node.name}' column`))
    flag |= FieldFlag.OnUpdateNow
  }
  const hasDefault = node.defaultValue !== undefined
  if (hasDefault && (node.autoIncrement || node.generated !== undefined)) throw invalidDefault(node.name)
  if ((flag & FieldFlag.NotNull) !== 0 && !hasDefault && !node.autoIncrement) flag |= FieldFlag.NoDefaultValue
  const defaults =
    node.defaultValue === undefined
      ? { defaultValue: null, defaultBit: null }
      : buildDefault(node.name, node.defaultValue, { ...base, flag }, context)
  const type = { ...base, flag }
  return {
    id,
    name: ciName(node.name),
    offset,
    originDefault: null,
    originDefaultBit: null,
    defaultIsExpr: false,
    ...defaults,
    generatedExpr: node.generated === undefined ? '' : restoreExpression(node.generated.expression),
    generatedStored: node.generated?.stored ?? false,
    type,
    state: STATE_PUBLIC,
    comment: node.comment,
    hidden: false,
    version: 2,
  }
}

const invalidDefault = (column: string): SqlError => new SqlError(1067, `Invalid default value for '${column}'`)

/** NOW with the column's own fractional digits, on a column that has a date and a time. */
function checkNow(expression: Expression, type: FieldType, error: () => SqlError): void {
  if (expression.kind !== 'call' || !NOW_NAMES.has(expression.name)) throw error()
  const [digits] = expression.args
  const fsp = digits === undefined ? 0 : digits.kind === 'literal' ? Number(digits.value) : -1
  const fits = type.tp === MysqlType.Timestamp || type.tp === MysqlType.Datetime
  if (!fits || fsp !== Math.max(0, type.decimal)) throw error()
}

/** The stored form of DEFAULT: text as the column prints it, TIMESTAMP in UTC, BIT also in base64. */
export function buildDefault(
  column: string,
  expression: Expression,
  type: FieldType,
  context: CastContext,
): Pick<ColumnInfo, 'defaultValue' | 'defaultBit'> & Partial<Pick<ColumnInfo, 'defaultIsExpr'>> {
  if (expression.kind === 'call') {
    if (DEFAULT_FUNCTIONS.has(expression.name))
      return { defaultValue: restoreExpression(expression), defaultBit: null, defaultIsExpr: true }
    if (!NOW_NAMES.has(expression.name))
      throw new SqlError(
        3770,
        `Default value expression of column '${column}' contains a disallowed function: \`${expression.name}\`.`,
      )
    checkNow(expression, type, () => invalidDefault(column))
    return { defaultValue: CURRENT_TIMESTAMP, defaultBit: null }
  }
  const literal = literalOf(expression)
  if (literal === undefined) throw unsupported('DEFAULT with an expression')
  if (literal === null) {
    if ((type.flag & FieldFlag.NotNull) !== 0) throw invalidDefault(column)
    return { defaultValue: null, defaultBit: null }
  }
  if (isBlobType(type) || type.tp === MysqlType.Json)
    throw new SqlError(1101, `BLOB/TEXT/JSON column '${column}' can't have a default value`)
  return storedDefault(castDefault(column, literal, type, context))
}

function castDefault(column: string, literal: Value, type: FieldType, context: CastContext): Exclude<Value, null> {
  try {
    const value = castToColumn(
      literal,
      type,
      { column, row: 1 },
      {
        ...context,
        strict: true,
        noZeroDate: context.noZeroDate && context.strict,
        noZeroInDate: context.noZeroInDate && context.strict,
      },
    )
    if (value === null) throw invalidDefault(column)
    return value
  } catch (cause) {
    if (cause instanceof SqlError) throw new SqlError(1067, `Invalid default value for '${column}'`, { cause })
    throw cause
  }
}

/** A literal, also with a sign in front; undefined for anything else. */
function literalOf(expression: Expression): Value | undefined {
  if (expression.kind === 'literal') return expression.value
  if (expression.kind === 'cast' && expression.operand.kind === 'literal') return expression.operand.value
  if (expression.kind !== 'unary' || (expression.operator !== '-' && expression.operator !== '+')) return undefined
  const value = literalOf(expression.operand)
  if (expression.operator === '+') return value
  if (typeof value === 'bigint' || typeof value === 'number') return -value
  return value instanceof Decimal ? value.negate() : undefined
}

/** A value of the column's type as defaults are stored. */
export function storedDefault(value: Exclude<Value, null>): Pick<ColumnInfo, 'defaultValue' | 'defaultBit'> {
  if (typeof value === 'object' && 'type' in value) {
    if (value.type === 'timestamp')
      return { defaultValue: formatDateTime({ ...value, ...value.utc }), defaultBit: null }
    if (value.type === 'bits')
      return { defaultValue: toText(value), defaultBit: Buffer.from(value.bytes).toString('base64') }
  }
  return { defaultValue: Buffer.from(toBytes(value)).toString('utf8'), defaultBit: null }
}
