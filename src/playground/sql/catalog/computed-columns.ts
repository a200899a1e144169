import type { ColumnInfo, TableInfo } from '../../../tidb/table-info.ts'
import { compile } from '../expression/compile.ts'
import type { EvalContext, Scope } from '../expression/context.ts'
import { parseExpressionText } from '../parser/parser.ts'
import { castToColumn } from '../value/cast.ts'
import type { Row, Value } from '../value/value.ts'
import { accessOf } from './table-access.ts'

export const isVirtual = (column: ColumnInfo): boolean => column.generatedExpr !== '' && !column.generatedStored

/** The columns of a table as expressions in its metadata name them. */
export const scopeOfColumns = (info: TableInfo): Scope =>
  info.columns.map(({ name, type }) => ({ schema: '', table: '', name: name.original, type }))

/** Sets generated columns in their order; undefined where the table has none of them. */
export function compileGenerated(
  info: TableInfo,
  context: EvalContext,
  wanted: (column: ColumnInfo) => boolean = ({ generatedExpr }) => generatedExpr !== '',
): ((row: Value[], number?: number) => void) | undefined {
  const scope = scopeOfColumns(info)
  const parts = info.columns.filter(wanted).map((column) => ({
    column,
    compiled: compile(parseExpressionText(column.generatedExpr), { scope, context }),
  }))
  if (parts.length === 0) return undefined
  return (row, number = 1) => {
    for (const { column, compiled } of parts) {
      const target = { column: column.name.original, row: number }
      row[column.offset] = castToColumn(compiled.evaluate(row), column.type, target, context.cast)
    }
  }
}

/** Reads stored rows of one physical table with their virtual columns. */
export function compileReader(info: TableInfo, context: EvalContext): (key: Uint8Array, value: Uint8Array) => Row {
  const access = accessOf(info)
  const { zone } = context.cast
  const lenient = { ...context, cast: { ...context.cast, strict: false, warn() {} } }
  const fill = compileGenerated(info, lenient, isVirtual)
  if (fill === undefined) return (key, value) => access.decode(key, value, zone)
  return (key, value) => {
    const row = [...access.decode(key, value, zone)]
    fill(row)
    return row
  }
}
