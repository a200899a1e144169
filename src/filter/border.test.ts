// DDL across the filter's border, with the real filter and the real schema tracker (reference: filters, sections 4, 10).
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { EventFilterConfig, FilterConfig } from '../config/replica-config.ts'
import { loadSchema } from '../schema/snapshot.ts'
import { jobOf, type JobShape, MemoryMeta } from '../schema/schema.fixture.ts'
import { createSchemaTracker, type SchemaTracker } from '../schema/tracker.ts'
import { Ts } from '../tidb/ts.ts'
import { createFilter } from './filter.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR'] ?? join(import.meta.dirname, 'vectors')
const vectors = JSON.parse(readFileSync(join(folder, 'filters.json'), 'utf8'))

const CREATE_TABLE = 3
const DROP_TABLE = 4
const TRUNCATE_TABLE = 11
const RENAME_TABLE = 14
const DROP_DATABASE = 2

/** Schema `test` (id 1) with `in1` (id 10) and `out1` (id 20), of which rules take what begins with `in`. */
async function trackerOf(changes: Partial<FilterConfig> = {}): Promise<SchemaTracker> {
  const config = { rules: ['test.in*'], ignoreTxnStartTs: [], eventFilters: [], ...changes }
  const filter = createFilter(config, { caseSensitive: false, forceReplicate: false })
  const meta = new MemoryMeta(100n, 100n)
  meta.putDatabase(1n, 'test', [
    { id: 10n, name: 'in1' },
    { id: 20n, name: 'out1' },
  ])
  const loaded = await loadSchema(meta, filter, new AbortController().signal)
  return createSchemaTracker(loaded, { filter, bdrMode: false })
}

const eventFilter = (changes: Partial<EventFilterConfig>): EventFilterConfig => ({
  matcher: ['test.*'],
  ignoreEvent: [],
  ignoreSql: [],
  ignoreInsertValueExpr: '',
  ignoreUpdateNewValueExpr: '',
  ignoreUpdateOldValueExpr: '',
  ignoreDeleteValueExpr: '',
  ...changes,
})

const names = (tracker: SchemaTracker, ts: bigint): readonly string[] =>
  tracker.tablesAt(Ts(ts)).map(({ table, physicalId }) => `${table}#${physicalId}`)

const rename = (id: bigint, to: string): JobShape => ({ id: 1n, type: RENAME_TABLE, ts: 110n, table: { id, name: to } })

for (const { oldIn, newIn, result } of vectors.rename.singleTable)
  test(`a rename from ${oldIn ? 'inside' : 'outside'} to ${newIn ? 'inside' : 'outside'}: ${result}`, async () => {
    const tracker = await trackerOf()
    const job = jobOf(rename(oldIn ? 10n : 20n, newIn ? 'in9' : 'out9'))
    if (result.startsWith('error')) {
      assert.throws(() => tracker.apply(job), { code: 'CDC:ErrSyncRenameTableFailed', retryable: false })
      return
    }
    const sent = tracker.apply(job).filter(({ ignored }) => !ignored)
    assert.equal(sent.length, result === 'discard' ? 0 : 1)
    assert.deepEqual(names(tracker, 109n), ['in1#10'])
    assert.deepEqual(names(tracker, 110n), result === 'replicate' ? ['in9#10'] : oldIn ? [] : ['in1#10'])
  })

test('a rename of a table that the snapshot does not hold fails into the rules, and is skipped outside of them', async () => {
  const tracker = await trackerOf()
  assert.deepEqual(tracker.apply(jobOf(rename(77n, 'out9'))), [])
  assert.throws(() => tracker.apply(jobOf({ ...rename(77n, 'in9'), id: 2n, ts: 120n })), {
    code: 'CDC:ErrSyncRenameTableFailed',
  })
})

test('a DDL that an event filter ignores is not sent, and its rows flow all the same', async () => {
  const tracker = await trackerOf({
    eventFilters: [eventFilter({ ignoreEvent: ['create table', 'truncate table', 'rename table', 'drop table'] })],
  })
  const jobs: readonly JobShape[] = [
    { id: 1n, type: CREATE_TABLE, ts: 110n, table: { id: 30n, name: 'in2' } },
    { id: 2n, type: TRUNCATE_TABLE, ts: 120n, tableId: 30n, table: { id: 31n, name: 'in2' } },
    { id: 3n, type: RENAME_TABLE, ts: 130n, tableId: 31n, table: { id: 31n, name: 'in3' } },
    { id: 4n, type: DROP_TABLE, ts: 140n, tableId: 31n, table: { id: 31n, name: 'in3' }, query: 'drop table in3' },
    { id: 5n, type: CREATE_TABLE, ts: 150n, table: { id: 40n, name: 'out2' } },
  ]
  const ignored = jobs.flatMap((job) => tracker.apply(jobOf(job)).map((ddl) => ddl.ignored))
  assert.deepEqual(ignored, [true, true, true, true])
  assert.deepEqual(
    [110n, 120n, 130n, 140n, 150n].map((ts) => names(tracker, ts).filter((name) => name !== 'in1#10')),
    [['in2#30'], ['in2#31'], ['in3#31'], [], []],
  )
})

test('event filters judge a rename by its old name', async () => {
  const byOld = await trackerOf({
    eventFilters: [eventFilter({ matcher: ['test.in1'], ignoreEvent: ['rename table'] })],
  })
  assert.deepEqual(
    byOld.apply(jobOf(rename(10n, 'in9'))).map(({ ignored }) => ignored),
    [true],
  )
  const byNew = await trackerOf({
    eventFilters: [eventFilter({ matcher: ['test.in9'], ignoreEvent: ['rename table'] })],
  })
  assert.deepEqual(
    byNew.apply(jobOf(rename(10n, 'in9'))).map(({ ignored }) => ignored),
    [false],
  )
})

test('ignore-sql of a table applies to the dropping of its database too', async () => {
  const tracker = await trackerOf({
    eventFilters: [eventFilter({ matcher: ['test.in1'], ignoreSql: ['^drop database'] })],
  })
  const job = { id: 1n, type: DROP_DATABASE, ts: 110n, database: 'test', query: 'DROP DATABASE test' }
  assert.deepEqual(
    tracker.apply(jobOf(job)).map(({ ignored }) => ignored),
    [true],
  )
  assert.deepEqual(names(tracker, 110n), [])
})
