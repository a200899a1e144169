import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { ColumnInfo, FieldType } from '../../../tidb/table-info.ts'
import { unsupported } from '../error.ts'
import type { Expression } from '../parser/ast.ts'
import { Decimal } from '../value/decimal.ts'
import { textCollation } from '../value/collation.ts'
import { buildFieldType } from './field-type.ts'

/** Names of columns that an expression mentions. */
export function columnNames(node: unknown): string[] {
  if (node === null || typeof node !== 'object' || node instanceof Uint8Array) return []
  if ('kind' in node && node.kind === 'column' && 'name' in node) return [String(node.name)]
  return Object.values(node).flatMap(columnNames)
}

const TEXT_FUNCTIONS =
  /^(LOWER|LCASE|UPPER|UCASE|TRIM|LTRIM|RTRIM|LEFT|RIGHT|SUBSTR|SUBSTRING|REVERSE|REPLACE|CONCAT|MD5|SHA1|HEX)$/
const INTEGER_FUNCTIONS =
  /^(LENGTH|CHAR_LENGTH|YEAR|MONTH|DAY|DAYOFMONTH|HOUR|MINUTE|SECOND|QUARTER|WEEK|CRC32|JSON_LENGTH|ABS|FLOOR|CEIL|MOD)$/

const base = { charset: 'binary', collate: 'binary', elems: [], array: false } as const
const BIGINT: FieldType = { ...base, tp: MysqlType.Longlong, flag: 0, flen: 20, decimal: 0 }

/** The type of a hidden column that holds an expression. Error 1235 where it cannot be told. */
export function typeOfExpression(node: Expression, columns: readonly ColumnInfo[]): FieldType {
  const type = inferType(node, columns)
  const keys = FieldFlag.PriKey | FieldFlag.UniqueKey | FieldFlag.MultipleKey | FieldFlag.NotNull
  const flag = (type.flag & ~(keys | FieldFlag.NoDefaultValue | FieldFlag.AutoIncrement)) | FieldFlag.GeneratedColumn
  return { ...type, flag }
}

function inferType(node: Expression, columns: readonly ColumnInfo[]): FieldType {
  switch (node.kind) {
    case 'column':
      return columns.find(({ name }) => name.lower === node.name.toLowerCase())?.type ?? BIGINT
    case 'literal':
      if (typeof node.value === 'number') return { ...BIGINT, tp: MysqlType.Double, flen: 22, decimal: -1 }
      if (node.value instanceof Decimal) return decimalType(node.value.scale)
      return typeof node.value === 'string' ? textType(node.value.length) : BIGINT
    case 'cast':
      if (node.type.name === 'SIGNED') return BIGINT
      if (node.type.name === 'UNSIGNED') return { ...BIGINT, flag: FieldFlag.Unsigned }
      return buildFieldType(
        { ...node.type, name: node.type.name === 'CHAR' ? 'VARCHAR' : node.type.name, length: node.type.length ?? 255 },
        '',
        textCollation,
      )
    case 'binary': {
      if (!['+', '-', '*', '/', '%', 'DIV'].includes(node.operator)) return BIGINT
      const sides = [inferType(node.left, columns), inferType(node.right, columns)]
      if (sides.some(({ tp }) => tp === MysqlType.Double || tp === MysqlType.Float))
        return { ...BIGINT, tp: MysqlType.Double, flen: 22, decimal: -1 }
      const scale = Math.max(...sides.map(({ tp, decimal }) => (tp === MysqlType.NewDecimal ? decimal : 0)))
      if (node.operator === '/') return decimalType(scale + 4)
      return sides.some(({ tp }) => tp === MysqlType.NewDecimal) ? decimalType(scale) : BIGINT
    }
    case 'unary':
      return inferType(node.operand, columns)
    case 'call':
      if (INTEGER_FUNCTIONS.test(node.name)) return BIGINT
      if (TEXT_FUNCTIONS.test(node.name)) return textOf(node, columns)
      throw unsupported(`an index over ${node.name.toLowerCase()}()`)
    case 'in':
    case 'between':
    case 'like':
    case 'is':
      return BIGINT
    default:
      throw unsupported('an index over this expression')
  }
}

const decimalType = (scale: number): FieldType => ({ ...BIGINT, tp: MysqlType.NewDecimal, flen: 65, decimal: scale })

const textType = (flen: number): FieldType => ({
  tp: MysqlType.VarString,
  flag: 0,
  flen,
  decimal: 0,
  charset: 'utf8mb4',
  collate: 'utf8mb4_bin',
  elems: [],
  array: false,
})

/** As long as its arguments together, in the collation of the first column. */
function textOf(node: Extract<Expression, { kind: 'call' }>, columns: readonly ColumnInfo[]): FieldType {
  const types = columnNames(node).flatMap(
    (name) => columns.find((one) => one.name.lower === name.toLowerCase())?.type ?? [],
  )
  const flen = Math.min(512, types.reduce((sum, type) => sum + Math.max(0, type.flen), 0) + 32)
  const first = types.find(({ charset }) => charset !== 'binary')
  return first === undefined ? textType(flen) : { ...textType(flen), charset: first.charset, collate: first.collate }
}
