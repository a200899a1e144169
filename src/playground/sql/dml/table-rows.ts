import { compareBytes, decodeRecordKey, intHandle, prefixNext, rawRecordRange } from '../../../tidb/key.ts'
import type { IndexInfo } from '../../../tidb/table-info.ts'
import { unsupported } from '../error.ts'
import { accessOf } from '../catalog/table-access.ts'
import type { TableAccess } from '../catalog/table-access.ts'
import { isForeign } from '../catalog/schema.ts'
import type { Table } from '../catalog/schema.ts'
import type { TimeZone } from '../value/time-zone.ts'
import type { Row } from '../value/value.ts'
import type { Transaction } from '../txn/transaction.ts'
import type { AccessPath } from './access-path.ts'

/** A row with where it is stored. */
export interface TableRow {
  readonly handle: Uint8Array
  readonly row: Row
}

/**
 * Rows of a table that a path leads to, in key order of the path; conditions are checked again by whoever asked.
 */
export async function* readRows(
  txn: Transaction,
  table: Table,
  path: AccessPath,
  zone: TimeZone,
  signal: AbortSignal,
): AsyncGenerator<readonly TableRow[]> {
  if (isForeign(table)) throw unsupported(`reading ${table.info.name.original}: a view, sequence or partitioned table`)
  const access = accessOf(table.info)
  switch (path.kind) {
    case 'none':
      return
    case 'scan':
      yield* scanRecords(txn, access, undefined, zone, signal)
      return
    case 'range':
      yield* scanRecords(txn, access, path, zone, signal)
      return
    case 'handles':
      yield await rowsOfHandles(txn, access, path.handles, zone, signal)
      return
    case 'index':
      for (const prefix of path.prefixes) yield await rowsOfIndex(txn, access, path.index, prefix, zone, signal)
  }
}

async function* scanRecords(
  txn: Transaction,
  access: TableAccess,
  range: { readonly from: bigint | undefined; readonly to: bigint | undefined } | undefined,
  zone: TimeZone,
  signal: AbortSignal,
): AsyncGenerator<readonly TableRow[]> {
  const whole = rawRecordRange(access.info.id)
  const start = range?.from === undefined ? whole.start : access.recordKey(intHandle(range.from))
  const end = range?.to === undefined ? whole.end : Buffer.concat([access.recordKey(intHandle(range.to)), Buffer.of(0)])
  if (compareBytes(start, end) >= 0) return
  for await (const pairs of txn.scan(start, end, signal))
    yield pairs.map(({ key, value }) => ({ handle: decodeRecordKey(key).handle, row: access.decode(key, value, zone) }))
}

async function rowsOfHandles(
  txn: Transaction,
  access: TableAccess,
  handles: readonly Uint8Array[],
  zone: TimeZone,
  signal: AbortSignal,
): Promise<TableRow[]> {
  const rows: TableRow[] = []
  for (const handle of handles) {
    const row = await readRow(txn, access, handle, zone, signal)
    if (row !== undefined) rows.push({ handle, row })
  }
  return rows
}

export async function readRow(
  txn: Transaction,
  access: TableAccess,
  handle: Uint8Array,
  zone: TimeZone,
  signal: AbortSignal,
): Promise<Row | undefined> {
  const key = access.recordKey(handle)
  const value = await txn.get(key, signal)
  return value === undefined ? undefined : access.decode(key, value, zone)
}

async function rowsOfIndex(
  txn: Transaction,
  access: TableAccess,
  index: IndexInfo,
  prefix: Uint8Array,
  zone: TimeZone,
  signal: AbortSignal,
): Promise<TableRow[]> {
  const handles: Uint8Array[] = []
  for await (const pairs of txn.scan(prefix, prefixNext(prefix), signal))
    for (const { key, value } of pairs) handles.push(access.handleOfEntry(index, key, value))
  return rowsOfHandles(txn, access, handles, zone, signal)
}
