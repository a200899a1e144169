import assert from 'node:assert/strict'
import { test } from 'node:test'
import { schemaDiffKey } from '../tidb/meta-key.ts'
import { Ts } from '../tidb/ts.ts'
import { loadSchema } from './snapshot.ts'
import { jobOf, type JobShape, MemoryMeta, type TableShape, testFilter, trackerWith } from './schema.fixture.ts'
import { createSchemaTracker, type SchemaTracker, type TrackedDdl } from './tracker.ts'

const t: TableShape = { id: 10n, name: 't' }

const tablesAt = (tracker: SchemaTracker, ts: bigint): string[] =>
  tracker
    .tablesAt(Ts(ts))
    .map((table) => `${table.schema}.${table.table}#${table.physicalId}`)
    .toSorted()

const apply = (tracker: SchemaTracker, job: JobShape): readonly TrackedDdl[] => tracker.apply(jobOf(job))

test('the snapshot holds matched tables only, and replicates eligible ones', async () => {
  const tracker = await trackerWith([t, { id: 11n, name: 'out1' }, { id: 12n, name: 'heap', ineligible: true }])
  assert.deepEqual(tablesAt(tracker, 100n), ['test.t#10'])
  assert.deepEqual(
    tracker.matchedTables(Ts(100n)).map((table) => `${table.table} ${table.eligible}`),
    ['t true', 'heap false'],
  )
})

test('databases and tables come and go at the commit ts of their DDL', async () => {
  const tracker = await trackerWith([])
  const events = [
    { id: 1n, type: 1, ts: 110n, schemaId: 5n, database: 'shop' },
    {
      id: 2n,
      type: 3,
      ts: 120n,
      schemaId: 5n,
      table: { id: 50n, name: 'a' },
      query: 'create table a (id bigint primary key)',
    },
    { id: 3n, type: 5, ts: 130n, schemaId: 5n, table: { id: 50n, name: 'a', columns: ['id', 'v'] } },
    { id: 4n, type: 11, ts: 140n, schemaId: 5n, tableId: 50n, table: { id: 51n, name: 'a', columns: ['id', 'v'] } },
    { id: 5n, type: 14, ts: 150n, schemaId: 5n, tableId: 51n, table: { id: 51n, name: 'b', columns: ['id', 'v'] } },
    { id: 6n, type: 4, ts: 160n, schemaId: 5n, tableId: 51n, table: { id: 51n, name: 'b' }, query: 'drop table b, c' },
    { id: 7n, type: 2, ts: 170n, schemaId: 5n, database: 'shop' },
  ].flatMap((job) => apply(tracker, job))
  assert.deepEqual(
    events.map(({ event, barrier }) => [
      event.query,
      `${event.schema}.${event.table}`,
      event.before?.columns.length,
      event.after?.columns.length,
      barrier === 'global' ? barrier : barrier.tables,
    ]),
    [
      ['statement 1', 'shop.', undefined, undefined, 'global'],
      ['create table a (id bigint primary key)', 'shop.a', undefined, 1, 'global'],
      ['statement 3', 'shop.a', 1, 2, [50n]],
      ['statement 4', 'shop.a', 2, 2, [50n]],
      ['statement 5', 'shop.b', 2, 2, 'global'],
      ['DROP TABLE `shop`.`b`', 'shop.b', 2, 1, [51n]],
      ['statement 7', 'shop.', undefined, undefined, 'global'],
    ],
  )
  const at = (ts: bigint): string[] => tablesAt(tracker, ts)
  assert.deepEqual([119n, 120n, 139n, 140n, 150n, 160n].map(at), [
    [],
    ['shop.a#50'],
    ['shop.a#50'],
    ['shop.a#51'],
    ['shop.b#51'],
    [],
  ])
  assert.deepEqual(
    tracker.schemasFrom(50n, Ts(125n)).map((schema) => [schema.version, schema.info !== undefined]),
    [
      [120n, true],
      [130n, true],
      [140n, false],
    ],
  )
  assert.equal(tracker.tableAt(50n, Ts(129n))?.columns.length, 1)
  assert.equal(tracker.tableAt(50n, Ts(130n))?.columns.length, 2)
})

test('dropping a database drops its tables', async () => {
  const tracker = await trackerWith([t])
  apply(tracker, { id: 1n, type: 2, ts: 110n, database: 'test' })
  assert.deepEqual(tablesAt(tracker, 110n), [])
  assert.deepEqual(tablesAt(tracker, 109n), ['test.t#10'])
})

test('jobs at or below the start, without effect, of other types or seen before change nothing', async () => {
  const tracker = await trackerWith([t])
  assert.deepEqual(apply(tracker, { id: 1n, type: 3, ts: 100n, table: { id: 11n, name: 'a' } }), [])
  assert.deepEqual(apply(tracker, { id: 2n, type: 3, ts: 110n, schemaVersion: 0n, table: { id: 11n, name: 'a' } }), [])
  assert.deepEqual(apply(tracker, { id: 3n, type: 34, ts: 110n, table: { id: 11n, name: 'seq' } }), [])
  assert.equal(apply(tracker, { id: 4n, type: 3, ts: 120n, table: { id: 11n, name: 'a' } }).length, 1)
  assert.equal(
    apply(tracker, { id: 4n, type: 3, ts: 125n, schemaVersion: 120n, table: { id: 11n, name: 'a' } }).length,
    0,
  )
})

test('a job that the snapshot contains is sent, and changes the schema no more', async () => {
  const meta = new MemoryMeta(100n, 105n)
  const tracker = await trackerWith([{ id: 10n, name: 'renamed' }], meta)
  const job = { id: 1n, type: 14, ts: 110n, schemaVersion: 105n, table: { id: 10n, name: 'renamed' } }
  assert.equal(apply(tracker, job).length, 1)
  assert.deepEqual(tablesAt(tracker, 110n), ['test.renamed#10'])
})

test('a schema version whose difference is not stored yet is not contained', async () => {
  const meta = new MemoryMeta(100n, 105n)
  meta.delete(schemaDiffKey(105n))
  const tracker = await trackerWith([], meta)
  apply(tracker, { id: 1n, type: 3, ts: 110n, schemaVersion: 105n, table: t })
  assert.deepEqual(tablesAt(tracker, 110n), ['test.t#10'])
})

test('DDLs that the filter discards leave no trace, also in schemas that are not known', async () => {
  const tracker = await trackerWith([t])
  assert.deepEqual(apply(tracker, { id: 1n, type: 3, ts: 110n, schemaId: 2n, table: { id: 91n, name: 'user2' } }), [])
  assert.deepEqual(apply(tracker, { id: 2n, type: 3, ts: 111n, table: { id: 11n, name: 'out2' } }), [])
  assert.deepEqual(apply(tracker, { id: 3n, type: 1, ts: 112n, schemaId: 6n, database: 'out' }), [])
  assert.throws(
    () =>
      apply(tracker, { id: 4n, type: 3, ts: 113n, schemaId: 7n, schemaName: 'lost', table: { id: 92n, name: 'a' } }),
    { code: 'CDC:ErrHandleDDLFailed' },
  )
})

test('an ignored DDL changes the schema and is not to be sent', async () => {
  const tracker = await trackerWith([])
  const [ddl] = apply(tracker, { id: 1n, type: 3, ts: 110n, table: { id: 11n, name: 'quiet' } })
  assert.equal(ddl?.ignored, true)
  assert.deepEqual(tablesAt(tracker, 110n), ['test.quiet#11'])
})

test('ineligible tables: creation is not sent, gaining a key is, losing one is an error, dropping is sent', async () => {
  const tracker = await trackerWith([])
  const heap = { id: 11n, name: 'heap', ineligible: true }
  assert.deepEqual(apply(tracker, { id: 1n, type: 3, ts: 110n, table: heap }), [])
  assert.deepEqual(apply(tracker, { id: 2n, type: 5, ts: 111n, table: heap }), [])
  assert.equal(apply(tracker, { id: 3n, type: 32, ts: 112n, table: { ...heap, ineligible: false } }).length, 1)
  assert.deepEqual(tablesAt(tracker, 112n), ['test.heap#11'])
  assert.throws(() => apply(tracker, { id: 4n, type: 33, ts: 113n, table: heap }), { code: 'CDC:ErrTableIneligible' })
  assert.equal(apply(tracker, { id: 5n, type: 4, ts: 114n, table: heap }).length, 1)
})

test('renames into the filter are an error, out of it and outside of it are not', async () => {
  const tracker = await trackerWith([t])
  assert.deepEqual(apply(tracker, { id: 1n, type: 14, ts: 110n, tableId: 80n, table: { id: 80n, name: 'out9' } }), [])
  assert.throws(() => apply(tracker, { id: 2n, type: 14, ts: 111n, tableId: 80n, table: { id: 80n, name: 'in' } }), {
    code: 'CDC:ErrSyncRenameTableFailed',
  })
  assert.equal(apply(tracker, { id: 3n, type: 14, ts: 112n, table: { id: 10n, name: 'out1' } }).length, 1)
  assert.deepEqual(tablesAt(tracker, 112n), [])
  assert.deepEqual(tablesAt(tracker, 111n), ['test.t#10'])
})

test('a rename into a schema that is filtered out removes the table', async () => {
  const tracker = await trackerWith([t])
  const job = { id: 1n, type: 14, ts: 110n, schemaId: 2n, schemaName: 'mysql', table: { id: 10n, name: 't' } }
  assert.equal(apply(tracker, job).length, 1)
  assert.deepEqual(tablesAt(tracker, 110n), [])
})

test('tables that swap their names in one statement are split into one event each', async () => {
  const tracker = await trackerWith([
    { id: 10n, name: 'a' },
    { id: 11n, name: 'b' },
  ])
  const names = [
    { O: 'c', L: 'c' },
    { O: 'a', L: 'a' },
    { O: 'b', L: 'b' },
  ]
  const old = [
    { O: 'a', L: 'a' },
    { O: 'b', L: 'b' },
    { O: 'c', L: 'c' },
  ]
  const schemas = [1n, 1n, 1n].map(Number)
  const test = { O: 'test', L: 'test' }
  const events = apply(tracker, {
    id: 1n,
    type: 47,
    ts: 110n,
    tables: [
      { id: 10n, name: 'c' },
      { id: 11n, name: 'a' },
      { id: 10n, name: 'b' },
    ],
    rawArgs: [schemas, schemas, names, [10, 11, 10], [test, test, test], old],
  })
  assert.deepEqual(
    events.map(({ event }) => [event.seq, event.type, event.query]),
    [
      [0, 14, 'RENAME TABLE `test`.`a` TO `test`.`c`'],
      [1, 14, 'RENAME TABLE `test`.`b` TO `test`.`a`'],
      [2, 14, 'RENAME TABLE `test`.`c` TO `test`.`b`'],
    ],
  )
  assert.deepEqual(tablesAt(tracker, 110n), ['test.a#11', 'test.b#10'])
})

test('a table keeps its id and its rows over a rename into another database', async () => {
  const tracker = await trackerWith([t])
  apply(tracker, { id: 1n, type: 1, ts: 110n, schemaId: 5n, database: 'shop' })
  const [one] = apply(tracker, { id: 2n, type: 14, ts: 120n, schemaId: 5n, table: { id: 10n, name: 'moved' } })
  assert.deepEqual(
    [one?.event.before, one?.event.after].map((table) => `${table?.schema}.${table?.table}`),
    ['test.t', 'shop.moved'],
  )
  const [two] = apply(tracker, {
    id: 3n,
    type: 47,
    ts: 130n,
    tables: [{ id: 10n, name: 't2' }],
    version: 2,
    rawArgs: {
      rename_table_infos: [
        { table_id: 10, new_schema_id: 1, old_schema_id: 5, old_schema_name: { O: 'shop', L: 'shop' } },
      ],
    },
  })
  assert.equal(two?.event.query, 'RENAME TABLE `shop`.`moved` TO `test`.`t2`')
  assert.deepEqual(
    [119n, 120n, 130n].map((ts) => tablesAt(tracker, ts)),
    [['test.t#10'], ['shop.moved#10'], ['test.t2#10']],
  )
  assert.deepEqual(
    tracker.schemasFrom(10n, Ts(110n)).map(({ schema, version }) => `${schema} ${version}`),
    ['test 100', 'shop 120', 'test 130'],
  )
})

test('of tables renamed together, each passes the filter by itself', async () => {
  const rename = (id: number, schemaId: number, name: string): object => ({
    table_id: id,
    new_schema_id: schemaId,
    old_schema_id: 1,
    old_schema_name: { O: 'test', L: 'test' },
    old_table_name: { O: name, L: name },
  })
  const job = (ts: bigint, tables: readonly TableShape[], renames: readonly object[]): JobShape => ({
    id: ts,
    type: 47,
    ts,
    tables,
    version: 2,
    rawArgs: JSON.parse(JSON.stringify({ rename_table_infos: renames })),
  })
  const tracker = await trackerWith([t, { id: 11n, name: 'u' }])
  const sent = apply(
    tracker,
    job(
      110n,
      [
        { id: 10n, name: 'out1' },
        { id: 80n, name: 'out8' },
        { id: 11n, name: 'w' },
      ],
      [rename(10, 1, 't'), rename(80, 1, 'out7'), rename(11, 1, 'u')],
    ),
  )
  assert.deepEqual(
    sent.map(({ event }) => event.query),
    ['RENAME TABLE `test`.`t` TO `test`.`out1`', 'RENAME TABLE `test`.`u` TO `test`.`w`'],
  )
  assert.deepEqual(tablesAt(tracker, 110n), ['test.w#11'])
  const into = job(120n, [{ id: 80n, name: 'in' }], [rename(80, 1, 'out8')])
  assert.throws(() => apply(tracker, into), { code: 'CDC:ErrSyncRenameTableFailed' })
  const away = job(130n, [{ id: 11n, name: 'w' }], [rename(11, 77, 'w')])
  assert.throws(() => apply(tracker, away), { code: 'CDC:ErrSnapshotSchemaNotFound' })
})

test('an exchange across the border of the filter is an error, outside of it nothing', async () => {
  const p = { id: 20n, name: 'p', partitions: [21n, 22n] }
  const tracker = await trackerWith([p])
  const exchange = { id: 1n, type: 42, ts: 110n, tableId: 80n, table: { ...p, partitions: [80n, 22n] } }
  assert.throws(() => apply(tracker, exchange), { code: 'CDC:ErrExchangePartition' })
  const outside = { id: 2n, type: 42, ts: 120n, tableId: 80n, table: { id: 81n, name: 'out', partitions: [80n] } }
  assert.deepEqual(apply(tracker, outside), [])
})

test('a dropped table comes back under its id with its rows, under its name or another', async () => {
  const tracker = await trackerWith([t])
  apply(tracker, { id: 1n, type: 4, ts: 110n, table: t })
  const query = 'FLASHBACK TABLE t TO t_back'
  const [back] = apply(tracker, { id: 2n, type: 25, ts: 120n, table: { id: 10n, name: 't_back' }, query })
  assert.match(back?.event.query ?? '', /FLASHBACK TABLE .*t_back/)
  assert.deepEqual(
    [109n, 110n, 120n].map((ts) => tablesAt(tracker, ts)),
    [['test.t#10'], [], ['test.t_back#10']],
  )
})

test('in BDR mode only DDLs of the primary are sent, all change the schema', async () => {
  const meta = new MemoryMeta(100n, 100n)
  meta.putDatabase(1n, 'test', [t])
  const loaded = await loadSchema(meta, testFilter, new AbortController().signal)
  const tracker = createSchemaTracker(loaded, { filter: testFilter, bdrMode: true })
  const [ddl] = apply(tracker, { id: 1n, type: 3, ts: 110n, table: { id: 11n, name: 'u' } })
  assert.equal(ddl?.ignored, true)
  assert.deepEqual(tablesAt(tracker, 110n), ['test.t#10', 'test.u#11'])
})

test('a table job without its table is refused by name', async () => {
  const tracker = await trackerWith([t])
  assert.throws(() => apply(tracker, { id: 1n, type: 5, ts: 110n, tableId: 10n }), { code: 'CDC:ErrInvalidDDLJob' })
})

test('tables created together become one event each, without the filtered and ineligible ones', async () => {
  const tracker = await trackerWith([])
  const events = apply(tracker, {
    id: 1n,
    type: 60,
    ts: 110n,
    query: 'create table a (id int primary key); create table out1 (id int); create table heap (id int);',
    tables: [
      { id: 11n, name: 'a' },
      { id: 12n, name: 'out1' },
      { id: 13n, name: 'heap', ineligible: true },
    ],
  })
  assert.deepEqual(
    events.map(({ event }) => event.query),
    ['create table a (id int primary key);'],
  )
  assert.deepEqual(tablesAt(tracker, 110n), ['test.a#11'])
})

test('partitions are physical tables; changing them changes the set', async () => {
  const p = { id: 20n, name: 'p', partitions: [21n, 22n] }
  const tracker = await trackerWith([p])
  const [add] = apply(tracker, { id: 1n, type: 19, ts: 110n, table: { ...p, partitions: [21n, 22n, 23n] } })
  assert.deepEqual(add?.barrier, { tables: [21n, 22n] })
  apply(tracker, { id: 2n, type: 23, ts: 120n, table: { ...p, partitions: [21n, 24n, 23n] } })
  apply(tracker, { id: 3n, type: 72, ts: 130n, tableId: 20n, table: { id: 30n, name: 'p' } })
  assert.deepEqual(tablesAt(tracker, 109n), ['test.p#21', 'test.p#22'])
  assert.deepEqual(tablesAt(tracker, 110n), ['test.p#21', 'test.p#22', 'test.p#23'])
  assert.deepEqual(tablesAt(tracker, 120n), ['test.p#21', 'test.p#23', 'test.p#24'])
  assert.deepEqual(tablesAt(tracker, 130n), ['test.p#30'])
})

test('an exchanged partition and table change owners with their ids', async () => {
  const tracker = await trackerWith([t, { id: 20n, name: 'p', partitions: [21n, 22n] }])
  const [exchange] = apply(tracker, {
    id: 1n,
    type: 42,
    ts: 110n,
    tableId: 10n,
    table: { id: 20n, name: 'p', partitions: [10n, 22n] },
    query: 'alter table p exchange partition P0 with table t without validation',
  })
  assert.equal(
    exchange?.event.query,
    'ALTER TABLE `test`.`p` EXCHANGE PARTITION `P0` WITH TABLE `test`.`t` WITHOUT VALIDATION',
  )
  assert.deepEqual([exchange.event.before?.table, exchange.event.after?.table], ['t', 'p'])
  assert.deepEqual(new Set(exchange.touched), new Set([10n, 21n, 22n]))
  assert.deepEqual(tablesAt(tracker, 109n), ['test.p#21', 'test.p#22', 'test.t#10'])
  assert.deepEqual(tablesAt(tracker, 110n), ['test.p#10', 'test.p#22', 'test.t#21'])
  assert.equal(tracker.tableAt(10n, Ts(109n))?.table, 't')
  assert.equal(tracker.tableAt(10n, Ts(110n))?.table, 'p')
  assert.equal(tracker.tableAt(21n, Ts(110n))?.table, 't')
})

test('what is collected cannot be asked for; the rest stays', async () => {
  const tracker = await trackerWith([t])
  apply(tracker, { id: 1n, type: 5, ts: 110n, table: { ...t, columns: ['id', 'v'] } })
  apply(tracker, { id: 2n, type: 4, ts: 120n, table: t })
  tracker.collect(Ts(115n))
  assert.equal(tracker.tableAt(10n, Ts(115n))?.columns.length, 2)
  assert.equal(tracker.schemasFrom(10n, Ts(115n)).length, 2)
  assert.throws(() => tracker.tablesAt(Ts(114n)), { code: 'CDC:ErrSchemaStorageGCed' })
  tracker.collect(Ts(120n))
  assert.deepEqual(tracker.schemasFrom(10n, Ts(120n)), [])
})
