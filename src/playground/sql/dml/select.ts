import type { FieldType } from '../../../tidb/table-info.ts'
import { SqlError } from '../error.ts'
import { compile, findScopeColumn } from '../expression/compile.ts'
import type { Compiled, CompileOptions } from '../expression/compile.ts'
import type { EvalContext, Scope, ScopeColumn } from '../expression/context.ts'
import type { Expression, OrderItem, SelectItem, SelectStatement } from '../parser/ast.ts'
import { compareValues } from '../value/compare.ts'
import type { Collation } from '../value/collation.ts'
import { toBytes, toNumeric, toText, toBoolean } from '../value/value.ts'
import type { Row, Value } from '../value/value.ts'
import { Decimal } from '../value/decimal.ts'
import { aggregatesIn, computeAggregates, isAggregate } from './aggregate.ts'
import { resolveSubqueries, resolveAll } from './subquery.ts'
import { readSource } from './source.ts'
import type { QueryScope } from './source.ts'

export interface ResultColumn {
  readonly name: string
  readonly originalName: string
  readonly table: string
  readonly schema: string
  /** undefined = to be told from the values. */
  readonly type: FieldType | undefined
}

export interface QueryResult {
  readonly columns: readonly ResultColumn[]
  readonly rows: readonly Row[]
}

/** Runs a SELECT with its unions; everything is held in memory. */
export async function runSelect(select: SelectStatement, query: QueryScope): Promise<QueryResult> {
  const bound = await resolveSubqueriesOf(select, query)
  if (bound.unions.length === 0) return runOne(bound, query)
  return runUnion(bound, query)
}

async function runUnion(select: SelectStatement, query: QueryScope): Promise<QueryResult> {
  const first = await runOne({ ...select, orderBy: [], limit: undefined }, query)
  let rows = first.rows
  for (const { all, select: next } of select.unions) {
    const more = await runSelect(next, query)
    if (more.columns.length !== first.columns.length)
      throw new SqlError(1222, 'The used SELECT statements have a different number of columns')
    rows = [...rows, ...more.rows]
    if (!all) rows = distinct(rows)
  }
  const scope = first.columns.map(({ name, type }): ScopeColumn => ({
    schema: '',
    table: '',
    name,
    type: type ?? anyType,
  }))
  const order = orderKeys(select.orderBy, scope, query.context, [])
  const sorted = sortRows(
    rows.map((row) => ({ row, keys: order.map(({ compiled }) => compiled.evaluate(row)) })),
    order,
  )
  return {
    columns: first.columns.map((column) => ({ ...column, type: undefined })),
    rows: cut(
      sorted.map(({ row }) => row),
      select,
      query.context,
    ),
  }
}

const anyType: FieldType = { tp: 0, flag: 0, flen: -1, decimal: -1, charset: '', collate: '', elems: [], array: false }

async function resolveSubqueriesOf(select: SelectStatement, query: QueryScope): Promise<SelectStatement> {
  const run = (inner: SelectStatement): Promise<QueryResult> => runSelect(inner, query)
  return {
    ...select,
    items: await Promise.all(
      select.items.map(async (item): Promise<SelectItem> =>
        item.kind === 'star' ? item : { ...item, expression: await resolveSubqueries(item.expression, run) },
      ),
    ),
    where: select.where === undefined ? undefined : await resolveSubqueries(select.where, run),
    having: select.having === undefined ? undefined : await resolveSubqueries(select.having, run),
    groupBy: await resolveAll(select.groupBy, run),
  }
}

/** A select item with its star expanded. */
interface OutputItem {
  readonly expression: Expression
  readonly column: ResultColumn
}

async function runOne(select: SelectStatement, query: QueryScope): Promise<QueryResult> {
  const { context } = query
  const source = await readSource(select.from, select.where, query)
  const { scope } = source
  const items = select.items.flatMap((item) => outputItems(item, scope))
  const groupBy = select.groupBy.map((expression) => byPosition(byAlias(expression, select, scope), items))
  const expressions = [
    ...items.map(({ expression }) => expression),
    ...(select.having === undefined ? [] : [select.having]),
    ...select.orderBy.map(({ expression }) => expression),
  ]
  const aggregates = expressions.flatMap(aggregatesIn)
  const isGrouped = groupBy.length > 0 || aggregates.length > 0
  const limit =
    isGrouped || select.distinct || select.orderBy.length > 0 || select.having !== undefined
      ? undefined
      : lastNeeded(select, context)

  let rows = await collect(source.rows, select.where, scope, context, limit)
  let computed = new Map<Expression, number>()
  if (isGrouped) {
    checkGrouping(items, groupBy, scope)
    ;({ rows, computed } = computeAggregates(rows, groupBy, aggregates, scope, context))
  }
  const options: CompileOptions = { scope, context, computed }
  if (select.having !== undefined) {
    const having = compile(replaceAliases(select.having, select.items, scope), options)
    rows = rows.filter((row) => toBoolean(having.evaluate(row)) === true)
  }
  const outputs = items.map(({ expression }) => compile(expression, options))
  const order = orderKeys(select.orderBy, scope, context, items, options)
  let results = rows.map((row) => ({
    row: outputs.map((output) => output.evaluate(row)),
    keys: order.map(({ compiled }) => compiled.evaluate(row)),
  }))
  if (select.distinct) results = distinctBy(results, ({ row }) => row)
  if (order.length > 0) results = sortRows(results, order)
  const columns = items.map(({ column }, i): ResultColumn => ({ ...column, type: column.type ?? outputs[i]?.type }))
  return {
    columns,
    rows: cut(
      results.map(({ row }) => row),
      select,
      context,
    ),
  }
}

/** Reads what is needed: `limit` rows where nothing after WHERE can drop or reorder rows. */
async function collect(
  rows: AsyncIterable<readonly Row[]>,
  where: Expression | undefined,
  scope: Scope,
  context: EvalContext,
  limit: number | undefined,
): Promise<Row[]> {
  const condition = where === undefined ? undefined : compile(where, { scope, context })
  const kept: Row[] = []
  if (limit === 0) return kept
  for await (const batch of rows)
    for (const row of batch) {
      if (condition !== undefined && toBoolean(condition.evaluate(row)) !== true) continue
      kept.push(row)
      if (limit !== undefined && kept.length >= limit) return kept
    }
  return kept
}

export function limitNumbers(
  select: Pick<SelectStatement, 'limit'>,
  context: EvalContext,
): { readonly offset: number; readonly count: number } {
  const read = (node: Expression | undefined): number => {
    if (node === undefined) return 0
    const value = compile(node, { scope: [], context }).evaluate([])
    const number = value === null ? -1 : Number(toText(value))
    if (!Number.isInteger(number) || number < 0) throw new SqlError(1210, 'Incorrect arguments to LIMIT')
    return number
  }
  return select.limit === undefined
    ? { offset: 0, count: Infinity }
    : { offset: read(select.limit.offset), count: read(select.limit.count) }
}

function lastNeeded(select: SelectStatement, context: EvalContext): number | undefined {
  const { offset, count } = limitNumbers(select, context)
  return count === Infinity ? undefined : offset + count
}

function cut(rows: readonly Row[], select: SelectStatement, context: EvalContext): readonly Row[] {
  const { offset, count } = limitNumbers(select, context)
  return offset === 0 && count === Infinity ? rows : rows.slice(offset, offset + count)
}

function outputItems(item: SelectItem, scope: Scope): OutputItem[] {
  if (item.kind === 'expression')
    return [
      { expression: item.expression, column: resultColumn(item.expression, item.alias || columnName(item), scope) },
    ]
  const table = item.table.toLowerCase()
  const columns = scope.filter(
    (column) => column.hidden !== true && (table === '' || column.table.toLowerCase() === table),
  )
  if (columns.length === 0)
    throw table === '' ? new SqlError(1096, 'No tables used') : new SqlError(1051, `Unknown table '${item.table}'`)
  return columns.map(({ schema, table: owner, name, type }) => ({
    expression: { kind: 'column', schema, table: owner, name },
    column: { name, originalName: name, table: owner, schema, type },
  }))
}

const columnName = (item: Extract<SelectItem, { kind: 'expression' }>): string => {
  const { expression } = item
  if (expression.kind === 'column') return expression.name
  return expression.kind === 'literal' && typeof expression.value === 'string' ? expression.value : item.text
}

function resultColumn(expression: Expression, name: string, scope: Scope): ResultColumn {
  if (expression.kind !== 'column') return { name, originalName: '', table: '', schema: '', type: undefined }
  const column = scope[findScopeColumn(scope, expression)]
  return {
    name,
    originalName: column?.name ?? '',
    table: column?.table ?? '',
    schema: column?.schema ?? '',
    type: column?.type,
  }
}

/** GROUP BY may name an alias of the select list where no column has that name. */
function byAlias(expression: Expression, select: SelectStatement, scope: Scope): Expression {
  return replaceAliases(expression, select.items, scope)
}

function replaceAliases(expression: Expression, items: readonly SelectItem[], scope: Scope): Expression {
  if (expression.kind === 'binary')
    return {
      ...expression,
      left: replaceAliases(expression.left, items, scope),
      right: replaceAliases(expression.right, items, scope),
    }
  if (expression.kind !== 'column' || expression.table !== '') return expression
  if (scope.some((column) => column.name.toLowerCase() === expression.name.toLowerCase())) return expression
  const named = items.find(
    (item) => item.kind === 'expression' && item.alias.toLowerCase() === expression.name.toLowerCase(),
  )
  return named?.kind === 'expression' ? named.expression : expression
}

function byPosition(expression: Expression, items: readonly OutputItem[]): Expression {
  if (expression.kind !== 'literal' || typeof expression.value !== 'bigint') return expression
  const item = items[Number(expression.value) - 1]
  if (item === undefined) throw new SqlError(1054, `Unknown column '${expression.value}' in 'group statement'`)
  return item.expression
}

/** sql_mode ONLY_FULL_GROUP_BY: plain columns beside aggregates must be grouped by. */
function checkGrouping(items: readonly OutputItem[], groupBy: readonly Expression[], scope: Scope): void {
  const grouped = new Set(
    groupBy.flatMap((expression) => (expression.kind === 'column' ? [findScopeColumn(scope, expression)] : [])),
  )
  const whole = new Set(groupBy.map((expression) => JSON.stringify(expression, bigintText)))
  for (const [i, { expression }] of items.entries()) {
    if (whole.has(JSON.stringify(expression, bigintText))) continue
    for (const column of plainColumns(expression)) {
      if (grouped.has(findScopeColumn(scope, column))) continue
      if (groupBy.length === 0)
        throw new SqlError(
          1140,
          `In aggregated query without GROUP BY, expression #${i + 1} of SELECT list contains nonaggregated column '${column.name}'; this is incompatible with sql_mode=only_full_group_by`,
        )
      throw new SqlError(
        1055,
        `Expression #${i + 1} of SELECT list is not in GROUP BY clause and contains nonaggregated column '${column.name}' which is not functionally dependent on columns in GROUP BY clause; this is incompatible with sql_mode=only_full_group_by`,
      )
    }
  }
}

const bigintText = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value)

/** Columns outside aggregates. */
function plainColumns(expression: Expression): Extract<Expression, { kind: 'column' }>[] {
  if (expression.kind === 'column') return [expression]
  if (isAggregate(expression)) return []
  return childrenOf(expression).flatMap(plainColumns)
}

/** The expressions that an expression is made of. */
export function childrenOf(expression: Expression): Expression[] {
  const children: Expression[] = []
  for (const part of Object.values(expression)) collectNodes(part, children)
  return children
}

const isExpression = (part: object): part is Expression =>
  'kind' in part && typeof part.kind === 'string' && part.kind !== 'select'

function collectNodes(part: unknown, found: Expression[]): void {
  if (Array.isArray(part)) for (const item of part) collectNodes(item, found)
  else if (part !== null && typeof part === 'object' && !(part instanceof Uint8Array)) {
    if (isExpression(part)) found.push(part)
    else if ('when' in part && 'then' in part) {
      collectNodes(part.when, found)
      collectNodes(part.then, found)
    } else if ('expression' in part) collectNodes(part.expression, found)
  }
}

interface OrderKey {
  readonly compiled: Compiled
  readonly descending: boolean
}

/** ORDER BY takes positions, aliases of the select list and expressions. */
function orderKeys(
  orderBy: readonly OrderItem[],
  scope: Scope,
  context: EvalContext,
  items: readonly OutputItem[],
  options: CompileOptions = { scope, context },
): OrderKey[] {
  return orderBy.map(({ expression, descending }) => {
    const alias =
      expression.kind === 'column' && expression.table === ''
        ? items.find(({ column }) => column.name.toLowerCase() === expression.name.toLowerCase())
        : undefined
    const target = items.length > 0 ? byPosition(alias?.expression ?? expression, items) : positionOf(expression, scope)
    return { compiled: compile(target, options), descending }
  })
}

function positionOf(expression: Expression, scope: Scope): Expression {
  if (expression.kind !== 'literal' || typeof expression.value !== 'bigint') return expression
  const column = scope[Number(expression.value) - 1]
  return column === undefined ? expression : { kind: 'column', schema: '', table: '', name: column.name }
}

export function sortRows<T extends { readonly keys: readonly Value[] }>(
  rows: readonly T[],
  order: readonly OrderKey[],
): T[] {
  return rows.toSorted((a, b) => {
    for (const [i, { compiled, descending }] of order.entries()) {
      const result = compareNullable(a.keys[i] ?? null, b.keys[i] ?? null, compiled.collation)
      if (result !== 0) return descending ? -result : result
    }
    return 0
  })
}

/** NULL comes first. ENUM and SET are ordered by their numbers, as columns are. */
function compareNullable(a: Value, b: Value, collation: Collation): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1
  const byNumber = typeof a === 'object' && 'type' in a && (a.type === 'enum' || a.type === 'set')
  return byNumber ? compareValues(numberOf(a), numberOf(b), collation) : compareValues(a, b, collation)
}

const numberOf = (value: Exclude<Value, null>): bigint | number | Decimal => toNumeric(value)

/** Text that is equal exactly for equal values, for DISTINCT and GROUP BY. */
export function identityOf(value: Value, collation?: Collation): string {
  if (value === null) return 'n'
  if (typeof value === 'string' && collation !== undefined)
    return `s${Buffer.from(collation.sortKey(value)).toString('latin1')}`
  if (value instanceof Decimal) return `d${value.toString().replace(/\.?0+$/, '')}`
  if (typeof value === 'bigint') return `d${value}`
  return `${typeof value}${Buffer.from(toBytes(value)).toString('latin1')}`
}

const distinct = (rows: readonly Row[]): Row[] => distinctBy(rows, (row) => row)

function distinctBy<T>(rows: readonly T[], rowOf: (item: T) => Row): T[] {
  const seen = new Set<string>()
  return rows.filter((item) => {
    const identity = rowOf(item)
      .map((value) => identityOf(value))
      .join('\u0000')
    if (seen.has(identity)) return false
    seen.add(identity)
    return true
  })
}
