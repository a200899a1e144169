import { CdcError } from '../../base/errors.ts'
import type { Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { STATE_PUBLIC, type ColumnInfo } from '../../tidb/table-info.ts'
import { type Expression } from './ast.ts'
import { columnOperand, virtualOperand } from './column.ts'
import { compileExpression, type FindColumn } from './compile.ts'
import type { ExpressionContext, Operand } from './operand.ts'
import { parseExpression } from './parse.ts'

/** An expression that stands in a configuration, and where. */
export interface RowTestSource {
  /** For example `filter.event-filters[0].ignore-insert-value-expr`. */
  readonly place: string
  readonly text: string
}

/** Holds when an expression is exactly the integer 1 for a row; values are in the order of `TableVersion.columns`. */
export type RowTest = (row: Values) => boolean

/** A parsed expression, to be compiled for each version of a table. */
export interface RowTestPlan {
  readonly source: RowTestSource
  /** Errors: `CDC:ErrExpressionColumnNotFound`, `CDC:ErrInvalidFilterExpression`; the test: `CDC:ErrFailedToFilterDML`. */
  compile(table: TableVersion, context: ExpressionContext): RowTest
}

/** Error: `CDC:ErrInvalidFilterExpression`. */
export function parseRowTest(source: RowTestSource): RowTestPlan {
  let expression: Expression
  try {
    expression = parseExpression(source.text)
  } catch (error) {
    throw invalid(source, error)
  }
  return { source, compile: (table, context) => compileRowTest(source, expression, table, context) }
}

function compileRowTest(
  source: RowTestSource,
  expression: Expression,
  table: TableVersion,
  context: ExpressionContext,
): RowTest {
  let compiled: Operand
  try {
    compiled = compileExpression(expression, columnFinder(table, source, context), context)
  } catch (error) {
    throw error instanceof CdcError ? error : invalid(source, error)
  }
  // TiCDC looks at the integer of the result only: 1.0 and '1' do not count.
  if (compiled.kind !== 'int') return () => false
  const { evaluate } = compiled
  return (row) => {
    try {
      return evaluate(row) === 1
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      const place = `${source.place} = '${source.text}' on ${table.schema}.${table.table}`
      throw new CdcError('CDC:ErrFailedToFilterDML', `failed to filter dml event: ${place}: ${reason}`, {
        cause: error,
      })
    }
  }
}

function invalid(source: RowTestSource, error: unknown): CdcError {
  if (!(error instanceof SyntaxError)) throw error
  const text = `invalid filter expressions. There is a syntax error in: '${source.text}' (${source.place}: ${error.message})`
  return new CdcError('CDC:ErrInvalidFilterExpression', text, { cause: error })
}

/** Columns of a table by name; a virtual one is its expression. */
function columnFinder(table: TableVersion, source: RowTestSource, context: ExpressionContext): FindColumn {
  const found = new Map<string, Operand>()
  const findVisible = (name: string): Operand | undefined => {
    const wanted = name.toLowerCase()
    const known = found.get(wanted)
    if (known !== undefined) return known
    const info = table.info.columns.find((one) => one.name.lower === wanted && isVisible(one))
    if (info === undefined) return undefined
    const operand = compileColumn(info)
    found.set(wanted, operand)
    return operand
  }
  const compileColumn = (info: ColumnInfo): Operand => {
    const position = table.columns.findIndex((column) => column.id === info.id)
    if (position >= 0) return columnOperand(info.type, (row) => row[position] ?? null)
    return virtualOperand(info, compileExpression(parseExpression(info.generatedExpr), find, context))
  }
  const find: FindColumn = (name, tableName, schema) => {
    const fits =
      (tableName === '' || tableName.toLowerCase() === table.table.toLowerCase()) &&
      (schema === '' || schema.toLowerCase() === table.schema.toLowerCase())
    const column = fits ? findVisible(name) : undefined
    if (column !== undefined) return column
    const written = [schema, tableName, name].filter((part) => part !== '').join('.')
    const text = `invalid filter expression(s). Cannot find column '${written}' from table '${table.schema}.${table.table}' in: ${source.text} (${source.place})`
    throw new CdcError('CDC:ErrExpressionColumnNotFound', text)
  }
  return find
}

/** Hidden columns belong to expression indexes. */
const isVisible = (column: ColumnInfo): boolean => column.state === STATE_PUBLIC && !column.hidden
