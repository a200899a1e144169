import { MysqlType } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'
import type { Table } from '../catalog/schema.ts'
import { SqlError } from '../error.ts'
import { compile } from '../expression/compile.ts'
import { objectOf, stringOf } from '../../../tidb/json-big.ts'
import { parseQuery } from '../parser/parser.ts'
import type { EvalContext, Scope, ScopeColumn } from '../expression/context.ts'
import type { Expression, TableName, TableSource } from '../parser/ast.ts'
import type { Transaction } from '../txn/transaction.ts'
import { toBoolean } from '../value/value.ts'
import type { Row } from '../value/value.ts'
import { runSelect } from './select.ts'
import { readRows } from './table-rows.ts'
import type { Wanted } from './table-rows.ts'

/** What reading needs of the statement that reads. */
export interface QueryScope {
  readonly context: EvalContext
  readonly signal: AbortSignal
  /** The open transaction; begins one where there is none. */
  transaction(): Promise<Transaction>
  /** Looks a table up, and holds its definition until the transaction ends. */
  table(name: TableName): Promise<Table>
  /** Rows of a table that has no keys in the store (information_schema), undefined where the name is none. */
  virtualTable(name: TableName): Promise<VirtualTable | undefined>
}

export interface VirtualTable {
  readonly columns: readonly { readonly name: string; readonly type: FieldType }[]
  readonly rows: readonly Row[]
}

export interface Source {
  readonly scope: Scope
  readonly rows: AsyncIterable<readonly Row[]>
}

/** Opens what FROM names; `where` only helps to choose how a single table is read. */
export async function readSource(
  from: TableSource | undefined,
  where: Expression | undefined,
  query: QueryScope,
): Promise<Source> {
  if (from === undefined) return { scope: [], rows: once([[]]) }
  if (from.kind === 'join') return readJoin(from, query)
  if (from.kind === 'query') return readDerived(from, query)
  const virtual = await query.virtualTable(from.table)
  const alias = from.alias || from.table.name
  if (virtual !== undefined)
    return {
      scope: virtual.columns.map((column) => ({ ...column, schema: from.table.schema, table: alias })),
      rows: once(virtual.rows),
    }
  const table = await query.table(from.table)
  if (table.info.isView) return readView(table, alias, query)
  return { scope: scopeOf(table, alias), rows: readTable(table, { alias, where, partitions: from.partitions }, query) }
}

async function* readTable(table: Table, wanted: Wanted, query: QueryScope): AsyncGenerator<readonly Row[]> {
  const txn = await query.transaction()
  for await (const batch of readRows(txn, table, wanted, query.context, query.signal)) yield batch.map(({ row }) => row)
}

/** A view is its SELECT, with the names that CREATE VIEW gave. */
async function readView({ database, info, stored }: Table, alias: string, query: QueryScope): Promise<Source> {
  const text = stringOf(objectOf(stored['view'])['view_select'])
  const [parsed] = parseQuery(Buffer.from(text, 'utf8').toString('latin1'), {
    ansiQuotes: false,
    noBackslashEscapes: false,
  })
  if (parsed?.statement.kind !== 'select')
    throw new SqlError(
      1356,
      `View '${database.name.original}.${info.name.original}' references invalid table(s) or column(s)`,
    )
  const { columns, rows } = await runSelect(parsed.statement, query)
  return {
    scope: columns.map(({ name, type }, i) => ({
      schema: database.name.original,
      table: alias,
      name: info.columns[i]?.name.original ?? name,
      type: type ?? untyped,
    })),
    rows: once(rows),
  }
}

async function* once(rows: readonly Row[]): AsyncGenerator<readonly Row[]> {
  yield rows
}

export function scopeOf(table: Table, alias: string): ScopeColumn[] {
  return table.info.columns.map(({ name, type, hidden }) => ({
    schema: table.database.name.original,
    table: alias,
    name: name.original,
    type,
    ...(hidden ? { hidden } : {}),
  }))
}

const untyped: FieldType = {
  tp: MysqlType.Unspecified,
  flag: 0,
  flen: -1,
  decimal: -1,
  charset: '',
  collate: '',
  elems: [],
  array: false,
}

async function readDerived(from: Extract<TableSource, { kind: 'query' }>, query: QueryScope): Promise<Source> {
  const { columns, rows } = await runSelect(from.query, query)
  return {
    scope: columns.map(({ name, type }) => ({ schema: '', table: from.alias, name, type: type ?? untyped })),
    rows: once(rows),
  }
}

async function all(source: Source): Promise<Row[]> {
  const rows: Row[] = []
  for await (const batch of source.rows) rows.push(...batch)
  return rows
}

/** Nested loops over both sides in memory. */
async function readJoin(join: Extract<TableSource, { kind: 'join' }>, query: QueryScope): Promise<Source> {
  const left = await readSource(join.left, undefined, query)
  const right = await readSource(join.right, undefined, query)
  if (join.type === 'right') {
    const swapped = await joinRows(right, left, 'left', join, query)
    const width = right.scope.length
    return {
      scope: [...left.scope, ...right.scope],
      rows: once(swapped.map((row) => [...row.slice(width), ...row.slice(0, width)])),
    }
  }
  const rows = await joinRows(left, right, join.type, join, query)
  return { scope: [...left.scope, ...right.scope], rows: once(rows) }
}

async function joinRows(
  left: Source,
  right: Source,
  type: 'inner' | 'left',
  join: Extract<TableSource, { kind: 'join' }>,
  query: QueryScope,
): Promise<Row[]> {
  const condition = compile(joinCondition(join, left.scope, right.scope), {
    scope: [...left.scope, ...right.scope],
    context: query.context,
  })
  const inner = await all(right)
  const missing = right.scope.map(() => null)
  const joined: Row[] = []
  for (const a of await all(left)) {
    let matched = false
    for (const b of inner) {
      const row = [...a, ...b]
      if (toBoolean(condition.evaluate(row)) !== true) continue
      matched = true
      joined.push(row)
    }
    if (!matched && type === 'left') joined.push([...a, ...missing])
  }
  return joined
}

function joinCondition({ on, using }: Extract<TableSource, { kind: 'join' }>, left: Scope, right: Scope): Expression {
  if (using.length === 0) return on ?? { kind: 'literal', value: 1n }
  const column = (scope: Scope, name: string): Expression => {
    const found = scope.find((one) => one.name.toLowerCase() === name.toLowerCase())
    if (found === undefined) throw new SqlError(1054, `Unknown column '${name}' in 'from clause'`)
    return { kind: 'column', schema: '', table: found.table, name: found.name }
  }
  return using
    .map((name): Expression => ({
      kind: 'binary',
      operator: '=',
      left: column(left, name),
      right: column(right, name),
    }))
    .reduce((a, b): Expression => ({ kind: 'binary', operator: 'AND', left: a, right: b }))
}
