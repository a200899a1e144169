import { FieldFlag } from '../../../tidb/table-info.ts'
import { nowFor } from '../catalog/column-default.ts'
import type { Table } from '../catalog/schema.ts'
import { compile } from '../expression/compile.ts'
import type { Compiled, CompileOptions } from '../expression/compile.ts'
import type { DeleteStatement, Expression, UpdateStatement } from '../parser/ast.ts'
import { toMicros } from '../value/time.ts'
import { toBoolean, toBytes } from '../value/value.ts'
import type { Value } from '../value/value.ts'
import type { WriteResult, WriteScope } from './insert.ts'
import { limitNumbers, runSelect, sortRows } from './select.ts'
import { scopeOf } from './source.ts'
import { resolveSubqueries } from './subquery.ts'
import { readRows } from './table-rows.ts'
import type { TableRow } from './table-rows.ts'
import { assign, defaultFor, offsetOf, RowWriter } from './write-rows.ts'

/** Equal in every byte: text that only collates equal is a change. */
export function sameValue(a: Value, b: Value): boolean {
  if (a === null || b === null) return a === b
  if (typeof a === 'bigint' || typeof a === 'string' || typeof a === 'number') return a === b
  if (isTimestamp(a) && isTimestamp(b)) return toMicros(a.utc ?? a) === toMicros(b.utc ?? b)
  return Buffer.compare(toBytes(a), toBytes(b)) === 0
}

const isTimestamp = (value: Value): value is Extract<Value, { type: 'date' | 'datetime' | 'timestamp' }> =>
  value !== null && typeof value === 'object' && 'type' in value && value.type === 'timestamp'

/** Rows that WHERE, ORDER BY and LIMIT choose. */
async function chosenRows(
  statement: UpdateStatement | DeleteStatement,
  table: Table,
  scope: WriteScope,
  options: CompileOptions,
): Promise<TableRow[]> {
  const alias = statement.alias || statement.table.name
  const where = await resolved(statement.where, scope)
  const condition = where === undefined ? undefined : compile(where, options)
  const rows: TableRow[] = []
  for await (const batch of readRows(await scope.transaction(), table, { alias, where }, scope.context, scope.signal))
    rows.push(...batch.filter(({ row }) => condition === undefined || toBoolean(condition.evaluate(row)) === true))
  const order = statement.orderBy.map(({ expression, descending }) => ({
    compiled: compile(expression, options),
    descending,
  }))
  const sorted =
    order.length === 0
      ? rows
      : sortRows(
          rows.map((row) => ({ ...row, keys: order.map(({ compiled }) => compiled.evaluate(row.row)) })),
          order,
        )
  const { offset, count } = limitNumbers(statement, scope.context)
  return sorted.slice(offset, offset + count)
}

const resolved = async (node: Expression | undefined, scope: WriteScope): Promise<Expression | undefined> =>
  node === undefined ? undefined : resolveSubqueries(node, (query) => runSelect(query, scope))

export async function runUpdate(statement: UpdateStatement, scope: WriteScope): Promise<WriteResult> {
  const table = await scope.table(statement.table)
  const { context } = scope
  let warnings = 0
  const cast = {
    ...context.cast,
    strict: context.cast.strict && !statement.ignore,
    warn: (errno: number, message: string) => (warnings++, context.cast.warn(errno, message)),
  }
  const fill = { cast, now: context.now, context }
  const options: CompileOptions = {
    scope: scopeOf(table, statement.alias || statement.table.name),
    context,
    defaultOf: (name) => defaultFor(table, offsetOf(table, name), fill),
  }
  const assignments: { readonly offset: number; readonly value: Compiled | undefined }[] = []
  for (const { column, value } of statement.assignments) {
    const node = await resolved(value, scope)
    const isDefault = node === undefined || (node.kind === 'default' && node.column === '')
    assignments.push({ offset: offsetOf(table, column), value: isDefault ? undefined : compile(node, options) })
  }
  const rows = await chosenRows(statement, table, scope, options)
  const writer = new RowWriter(table, await scope.transaction(), { ...context, cast }, scope.signal)
  const touched = table.info.columns.filter(
    ({ type, offset }) =>
      (type.flag & FieldFlag.OnUpdateNow) !== 0 && assignments.every((one) => one.offset !== offset),
  )
  let changed = 0
  for (const [i, before] of rows.entries()) {
    const after = [...before.row]
    for (const { offset, value } of assignments)
      after[offset] =
        value === undefined
          ? defaultFor(table, offset, fill)
          : assign(table, offset, value.evaluate(after), i + 1, fill)
    writer.generate(after, i + 1)
    if (after.every((value, n) => sameValue(value, before.row[n] ?? null))) continue
    for (const column of touched) after[column.offset] = nowFor(column, context.now, cast)
    if (touched.length > 0) writer.generate(after, i + 1)
    await writer.update(before, after)
    changed++
  }
  return {
    affectedRows: scope.foundRows ? rows.length : changed,
    insertId: 0n,
    info: `Rows matched: ${rows.length}  Changed: ${changed}  Warnings: ${warnings}`,
  }
}

export async function runDelete(statement: DeleteStatement, scope: WriteScope): Promise<WriteResult> {
  const table = await scope.table(statement.table)
  const options: CompileOptions = {
    scope: scopeOf(table, statement.alias || statement.table.name),
    context: scope.context,
  }
  const rows = await chosenRows(statement, table, scope, options)
  const writer = new RowWriter(table, await scope.transaction(), scope.context, scope.signal)
  for (const row of rows) writer.remove(row)
  return { affectedRows: rows.length, insertId: 0n, info: '' }
}
