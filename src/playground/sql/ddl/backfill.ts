import { decodeRecordKey, rawRecordRange } from '../../../tidb/key.ts'
import type { ColumnInfo, IndexInfo, TableInfo } from '../../../tidb/table-info.ts'
import { accessOf } from '../catalog/table-access.ts'
import { SqlError } from '../error.ts'
import type { Engine } from '../session/engine.ts'
import type { Mutation } from '../txn/store.ts'
import { utc } from '../value/time-zone.ts'
import { toText } from '../value/value.ts'

const BATCH = 2000

/**
 * Writes the entries of a new index for all rows. The table is held against other writers meanwhile. Error 1062 where two
 * rows have the same key: then nothing is left behind.
 */
export async function fillIndex(engine: Engine, info: TableInfo, index: IndexInfo, signal: AbortSignal): Promise<void> {
  const entries = new Map<string, Mutation>()
  const access = accessOf(info)
  const txn = await engine.begin(signal)
  const { start, end } = rawRecordRange(info.id)
  for await (const pairs of txn.scan(start, end, signal))
    for (const { key, value } of pairs) {
      const row = access.decode(key, value, utc)
      const entry = access.indexEntries(row, decodeRecordKey(key).handle).find((one) => one.index.id === index.id)
      if (entry === undefined) continue
      const text = Buffer.from(entry.key).toString('latin1')
      if (entries.has(text)) {
        const shown = index.columns
          .map(({ offset }) => row[offset] ?? null)
          .map((part) => (part === null ? 'NULL' : toText(part)))
        throw new SqlError(
          1062,
          `Duplicate entry '${shown.join('-')}' for key '${info.name.original}.${index.name.original}'`,
        )
      }
      entries.set(text, { kind: 'put', key: entry.key, value: entry.value })
    }
  const mutations = [...entries.values()]
  for (let at = 0; at < mutations.length; at += BATCH)
    await engine.store.commit(
      await engine.store.timestamp(signal),
      mutations.slice(at, at + BATCH),
      { asyncCommit: false, onePhase: false },
      signal,
    )
}

/** Error 1138 where a row has NULL in the column. */
export async function checkNoNull(
  engine: Engine,
  info: TableInfo,
  column: ColumnInfo,
  signal: AbortSignal,
): Promise<void> {
  const access = accessOf(info)
  const txn = await engine.begin(signal)
  const { start, end } = rawRecordRange(info.id)
  for await (const pairs of txn.scan(start, end, signal))
    for (const { key, value } of pairs)
      if ((access.decode(key, value, utc)[column.offset] ?? null) === null)
        throw new SqlError(1138, 'Invalid use of NULL value')
}
