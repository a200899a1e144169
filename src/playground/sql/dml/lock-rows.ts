import { compile } from '../expression/compile.ts'
import type { Expression, TableSource } from '../parser/ast.ts'
import { toBoolean } from '../value/value.ts'
import { scopeOf } from './source.ts'
import type { QueryScope } from './source.ts'
import { readRows } from './table-rows.ts'

/** Locks the rows of one table that a condition chooses, until the transaction ends. */
export async function lockRows(
  from: Extract<TableSource, { kind: 'table' }>,
  where: Expression | undefined,
  scope: QueryScope,
): Promise<void> {
  const table = await scope.table(from.table)
  const alias = from.alias || from.table.name
  const txn = await scope.transaction()
  const condition =
    where === undefined ? undefined : compile(where, { scope: scopeOf(table, alias), context: scope.context })
  const wanted = { alias, where, partitions: from.partitions }
  for await (const batch of readRows(txn, table, wanted, scope.context, scope.signal))
    for (const { access, handle, row } of batch)
      if (condition === undefined || toBoolean(condition.evaluate(row)) === true) txn.lock(access.recordKey(handle))
}
