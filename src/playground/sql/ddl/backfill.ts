import { decodeRecordKey, rawRecordRange } from '../../../tidb/key.ts'
import type { ColumnInfo, IndexInfo, TableInfo } from '../../../tidb/table-info.ts'
import { compileReader } from '../catalog/computed-columns.ts'
import { compileRouter, physicalTables } from '../catalog/partitions.ts'
import type { Table } from '../catalog/schema.ts'
import { accessOf } from '../catalog/table-access.ts'
import { SqlError } from '../error.ts'
import type { EvalContext } from '../expression/context.ts'
import type { Engine } from '../session/engine.ts'
import { LOSSY_DDL } from '../txn/store.ts'
import type { Mutation } from '../txn/store.ts'
import { toText } from '../value/value.ts'
import type { Row } from '../value/value.ts'

const BATCH = 2000

/** What work on the rows of a table needs. The table is held against other writers meanwhile. */
export interface Backfill {
  readonly engine: Engine
  readonly context: EvalContext
  readonly signal: AbortSignal
}

/** Every row of a table, partition by partition. */
async function* allRows(
  { engine, context, signal }: Backfill,
  physical: readonly TableInfo[],
): AsyncGenerator<{ readonly info: TableInfo; readonly handle: Uint8Array; readonly row: Row }> {
  const txn = await engine.begin(signal)
  for (const info of physical) {
    const read = compileReader(info, context)
    const { start, end } = rawRecordRange(info.id)
    for await (const pairs of txn.scan(start, end, signal))
      for (const { key, value } of pairs) yield { info, handle: decodeRecordKey(key).handle, row: read(key, value) }
  }
}

async function write({ engine, signal }: Backfill, mutations: readonly Mutation[], txnSource = 0n): Promise<void> {
  for (let at = 0; at < mutations.length; at += BATCH)
    await engine.store.commit(
      await engine.store.timestamp(signal),
      mutations.slice(at, at + BATCH),
      { asyncCommit: false, onePhase: false, txnSource },
      signal,
    )
}

/** Writes the entries of a new index for all rows. Error 1062 where two rows have the same key: then nothing is left. */
export async function fillIndex(backfill: Backfill, table: TableInfo, index: IndexInfo): Promise<void> {
  const entries = new Map<string, Mutation>()
  for await (const { info, handle, row } of allRows(backfill, physicalTables(table))) {
    const entry = accessOf(info)
      .indexEntries(row, handle)
      .find((one) => one.index.id === index.id)
    if (entry === undefined) continue
    const text = Buffer.from(entry.key).toString('latin1')
    if (entries.has(text)) {
      const shown = index.columns
        .map(({ offset }) => row[offset] ?? null)
        .map((part) => (part === null ? 'NULL' : toText(part)))
      throw new SqlError(
        1062,
        `Duplicate entry '${shown.join('-')}' for key '${table.name.original}.${index.name.original}'`,
      )
    }
    entries.set(text, { kind: 'put', key: entry.key, value: entry.value })
  }
  await write(backfill, [...entries.values()])
}

/** Error 1138 where a row has NULL in the column. */
export async function checkNoNull(backfill: Backfill, table: TableInfo, column: ColumnInfo): Promise<void> {
  for await (const { row } of allRows(backfill, physicalTables(table)))
    if ((row[column.offset] ?? null) === null) throw new SqlError(1138, 'Invalid use of NULL value')
}

/**
 * Gives every stored row the columns of another version of its table beside those that it has, so that it can be read
 * by both. `change` makes the row of the later version. TiKV keeps these writes out of the change feed.
 */
export async function rewriteRows(
  backfill: Backfill,
  before: TableInfo,
  added: readonly ColumnInfo[],
  change: (row: Row) => Row,
): Promise<void> {
  const columns = [...before.columns, ...added.map((column, i) => ({ ...column, offset: before.columns.length + i }))]
  const mutations: Mutation[] = []
  for (const physical of physicalTables(before)) {
    const access = accessOf({ ...physical, columns })
    for await (const { handle, row } of allRows(backfill, [physical]))
      mutations.push({ kind: 'put', key: access.recordKey(handle), value: access.encode([...row, ...change(row)]) })
  }
  await write(backfill, mutations, LOSSY_DDL)
}

/** Copies rows and index entries to where another partitioning of the same table has them. Error 1526. */
export async function copyRows(
  backfill: Backfill,
  from: readonly TableInfo[],
  to: Pick<Table, 'info' | 'stored'>,
): Promise<void> {
  const route = compileRouter(to, backfill.context)
  const targets = physicalTables(to.info).map(accessOf)
  const mutations: Mutation[] = []
  for await (const { handle, row } of allRows(backfill, from)) {
    const access = targets[route(row)]
    if (access === undefined) continue
    mutations.push({ kind: 'put', key: access.recordKey(handle), value: access.encode(row) })
    for (const { key, value } of access.indexEntries(row, handle)) mutations.push({ kind: 'put', key, value })
  }
  await write(backfill, mutations, LOSSY_DDL)
}

/** Error 1737 where a row would not belong to the partition at `place`. */
export async function checkRowsFit(
  backfill: Backfill,
  rowsOf: TableInfo,
  table: Pick<Table, 'info' | 'stored'>,
  place: number,
): Promise<void> {
  const route = compileRouter(table, backfill.context)
  for await (const { row } of allRows(backfill, [rowsOf])) {
    let found = -1
    try {
      found = route(row)
    } catch (error) {
      if (!(error instanceof SqlError)) throw error
    }
    if (found !== place) throw new SqlError(1737, 'Found a row that does not match the partition')
  }
}
