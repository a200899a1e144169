import { compareBytes, decodeRecordKey, intHandle, prefixNext, rawRecordRange } from '../../../tidb/key.ts'
import type { IndexInfo } from '../../../tidb/table-info.ts'
import { compileReader } from '../catalog/computed-columns.ts'
import { partitionPlaces, physicalTables } from '../catalog/partitions.ts'
import { checkReadable } from '../catalog/schema.ts'
import type { Table } from '../catalog/schema.ts'
import { accessOf } from '../catalog/table-access.ts'
import type { TableAccess } from '../catalog/table-access.ts'
import type { EvalContext } from '../expression/context.ts'
import type { Expression } from '../parser/ast.ts'
import type { Row } from '../value/value.ts'
import type { Transaction } from '../txn/transaction.ts'
import { choosePath } from './access-path.ts'

/** A row with where it is stored. */
export interface TableRow {
  /** Of the partition that has it. */
  readonly access: TableAccess
  readonly handle: Uint8Array
  readonly row: Row
}

/** Which rows are wanted: conditions only help to find them, whoever asked checks them again. */
export interface Wanted {
  readonly alias: string
  readonly where: Expression | undefined
  /** undefined = all partitions. */
  readonly partitions?: readonly string[] | undefined
}

/** One physical table as a transaction sees it. */
interface Reader {
  readonly txn: Transaction
  readonly access: TableAccess
  readonly read: (key: Uint8Array, value: Uint8Array) => Row
  readonly signal: AbortSignal
}

/** Rows of a table, partition by partition. */
export async function* readRows(
  txn: Transaction,
  table: Table,
  wanted: Wanted,
  context: EvalContext,
  signal: AbortSignal,
): AsyncGenerator<readonly TableRow[]> {
  checkReadable(table)
  const all = physicalTables(table.info)
  const places = wanted.partitions === undefined ? undefined : partitionPlaces(table.info, wanted.partitions)
  for (const [place, info] of all.entries()) {
    if (places?.includes(place) === false) continue
    const reader = { txn, access: accessOf(info), read: compileReader(info, context), signal }
    const path = choosePath(info, wanted.alias, wanted.where, context)
    switch (path.kind) {
      case 'none':
        break
      case 'scan':
        yield* scanRecords(reader, undefined)
        break
      case 'range':
        yield* scanRecords(reader, path)
        break
      case 'handles':
        yield await rowsOfHandles(reader, path.handles)
        break
      case 'index':
        for (const prefix of path.prefixes) yield await rowsOfIndex(reader, path.index, prefix)
    }
  }
}

async function* scanRecords(
  { txn, access, read, signal }: Reader,
  range: { readonly from: bigint | undefined; readonly to: bigint | undefined } | undefined,
): AsyncGenerator<readonly TableRow[]> {
  const whole = rawRecordRange(access.info.id)
  const start = range?.from === undefined ? whole.start : access.recordKey(intHandle(range.from))
  const end = range?.to === undefined ? whole.end : Buffer.concat([access.recordKey(intHandle(range.to)), Buffer.of(0)])
  if (compareBytes(start, end) >= 0) return
  for await (const pairs of txn.scan(start, end, signal))
    yield pairs.map(({ key, value }) => ({ access, handle: decodeRecordKey(key).handle, row: read(key, value) }))
}

async function rowsOfHandles(reader: Reader, handles: readonly Uint8Array[]): Promise<TableRow[]> {
  const rows: TableRow[] = []
  for (const handle of handles) {
    const row = await readRow(reader, handle)
    if (row !== undefined) rows.push({ access: reader.access, handle, row })
  }
  return rows
}

export async function readRow({ txn, access, read, signal }: Reader, handle: Uint8Array): Promise<Row | undefined> {
  const key = access.recordKey(handle)
  const value = await txn.get(key, signal)
  return value === undefined ? undefined : read(key, value)
}

async function rowsOfIndex(reader: Reader, index: IndexInfo, prefix: Uint8Array): Promise<TableRow[]> {
  const handles: Uint8Array[] = []
  for await (const pairs of reader.txn.scan(prefix, prefixNext(prefix), reader.signal))
    for (const { key, value } of pairs) handles.push(reader.access.handleOfEntry(index, key, value))
  return rowsOfHandles(reader, handles)
}
