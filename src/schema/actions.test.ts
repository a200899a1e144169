// Every DDL action code of TiDB in one table: what it does to the schema, what it waits for, what is sent, and under which
// name an event filter knows it (reference: schema-tracking, section 2.2).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFilter } from '../filter/filter.ts'
import { Ts } from '../tidb/ts.ts'
import { actionOf } from './actions.ts'
import { jobOf, type JobShape, type TableShape, trackerWith } from './schema.fixture.ts'

const t: TableShape = { id: 10n, name: 't' }
const p: TableShape = { id: 20n, name: 'p', partitions: [21n, 22n] }
const view: TableShape = { id: 30n, name: 'v', view: true }
/** All that is there before each case. */
const START = ['p#21', 'p#22', 't#10']

interface Case {
  readonly event: string
  readonly alter?: boolean
  readonly barrier: 'global' | readonly bigint[]
  readonly job: Omit<JobShape, 'id' | 'type' | 'ts'>
  /** Physical tables after it where they differ from {@link START}. */
  readonly tables?: readonly string[]
  /** Names of the table before and after. */
  readonly names: readonly [before: string | undefined, after: string | undefined]
  /** Where they are not the job's own. */
  readonly queries?: readonly string[]
  /** Action code of the events where it is not the job's. */
  readonly type?: number
}

/** A change of table t that leaves it where it is. */
const alter = (event: string, rest: Partial<Case> = {}): Case => ({
  event,
  alter: true,
  barrier: [10n],
  job: { table: { ...t, columns: ['id', 'v'] } },
  names: ['t', 't'],
  ...rest,
})

/** A change of the partitions of table p. */
const repartition = (event: string, partitions: readonly bigint[]): Case => ({
  event,
  alter: true,
  barrier: [21n, 22n],
  job: { table: { ...p, partitions } },
  tables: [...partitions.map((id) => `p#${id}`), 't#10'].toSorted(),
  names: ['p', 'p'],
})

const a = { O: 't', L: 't' }
const b = { O: 'p', L: 'p' }
const inTest = { O: 'test', L: 'test' }
const renames = {
  rawArgs: [
    [1, 1],
    [1, 1],
    [b, a],
    [10, 20],
    [inTest, inTest],
    [a, b],
  ],
}

const CASES: Readonly<Record<number, Case>> = {
  1: {
    event: 'create schema',
    barrier: 'global',
    job: { schemaId: 5n, database: 'shop' },
    names: [undefined, undefined],
  },
  2: { event: 'drop schema', barrier: 'global', job: { database: 'test' }, tables: [], names: [undefined, undefined] },
  3: {
    event: 'create table',
    barrier: 'global',
    job: { table: { id: 11n, name: 'n' } },
    tables: ['n#11', ...START],
    names: [undefined, 'n'],
  },
  4: {
    event: 'drop table',
    barrier: [10n],
    job: { table: t },
    tables: ['p#21', 'p#22'],
    names: ['t', 't'],
    queries: ['DROP TABLE `test`.`t`'],
  },
  5: alter('add column'),
  6: alter('drop column'),
  7: alter('create index'),
  8: alter('drop index'),
  9: alter('add foreign key', { barrier: 'global', alter: false }),
  10: alter('drop foreign key', { barrier: 'global', alter: false }),
  11: {
    event: 'truncate table',
    barrier: [10n],
    job: { tableId: 10n, table: { id: 12n, name: 't' } },
    tables: ['p#21', 'p#22', 't#12'],
    names: ['t', 't'],
  },
  12: alter('modify column'),
  13: alter('rebase auto id'),
  14: {
    event: 'rename table',
    alter: true,
    barrier: 'global',
    job: { table: { id: 10n, name: 'n' } },
    tables: ['n#10', 'p#21', 'p#22'],
    names: ['t', 'n'],
  },
  15: alter('set default value'),
  17: alter('modify table comment'),
  18: alter('rename index'),
  19: repartition('add table partition', [21n, 22n, 23n]),
  20: repartition('drop table partition', [21n]),
  21: {
    event: 'create view',
    barrier: [31n],
    job: { table: { ...view, id: 31n, name: 'w' } },
    names: [undefined, 'w'],
  },
  22: alter('modify table charset and collate'),
  23: repartition('truncate table partition', [21n, 24n]),
  24: {
    event: 'drop view',
    barrier: [30n],
    job: { table: view },
    names: ['v', 'v'],
    queries: ['DROP VIEW `test`.`v`'],
  },
  25: {
    event: 'recover table',
    barrier: [13n],
    job: { table: { id: 13n, name: 'back' } },
    tables: ['back#13', ...START],
    names: [undefined, 'back'],
  },
  26: {
    event: 'modify schema charset and collate',
    barrier: 'global',
    job: { database: 'test' },
    names: [undefined, undefined],
  },
  32: alter('add primary key'),
  33: alter('drop primary key'),
  37: alter('add column', { barrier: 'global' }),
  38: alter('drop column', { barrier: 'global' }),
  41: alter('alter index visibility'),
  42: {
    event: 'exchange table partition',
    alter: true,
    barrier: 'global',
    job: {
      tableId: 10n,
      table: { ...p, partitions: [10n, 22n] },
      query: 'alter table p exchange partition p0 with table t',
    },
    tables: ['p#10', 'p#22', 't#21'],
    names: ['t', 'p'],
    queries: ['ALTER TABLE `test`.`p` EXCHANGE PARTITION `p0` WITH TABLE `test`.`t`'],
  },
  47: {
    event: 'rename table',
    alter: true,
    barrier: 'global',
    job: {
      tables: [
        { id: 10n, name: 'p' },
        { ...p, name: 't' },
      ],
      ...renames,
    },
    tables: ['p#10', 't#21', 't#22'],
    names: ['t', 'p'],
    queries: ['RENAME TABLE `test`.`t` TO `test`.`p`', 'RENAME TABLE `test`.`p` TO `test`.`t`'],
    type: 14,
  },
  60: {
    event: 'create table',
    barrier: 'global',
    job: {
      tables: [
        { id: 14n, name: 'b1' },
        { id: 15n, name: 'b2' },
      ],
      query: 'CREATE TABLE `b1` (id BIGINT PRIMARY KEY);CREATE TABLE `b2` (id BIGINT PRIMARY KEY);',
    },
    tables: ['b1#14', 'b2#15', ...START],
    names: [undefined, 'b1'],
    queries: ['CREATE TABLE `b1` (id BIGINT PRIMARY KEY);', 'CREATE TABLE `b2` (id BIGINT PRIMARY KEY);'],
  },
  61: alter('multi schema change'),
  64: repartition('reorganize table partition', [25n, 26n, 27n]),
  65: alter('alter ttl info'),
  67: alter('alter ttl remove'),
  71: {
    event: 'alter table partitioning',
    alter: true,
    barrier: [10n],
    job: { tableId: 10n, table: { id: 40n, name: 't', partitions: [41n, 42n] } },
    tables: ['p#21', 'p#22', 't#41', 't#42'],
    names: ['t', 't'],
  },
  72: {
    event: 'remove table partitioning',
    alter: true,
    barrier: [21n, 22n],
    job: { tableId: 20n, table: { id: 43n, name: 'p' } },
    tables: ['p#43', 't#10'],
    names: ['p', 'p'],
  },
}

/** Highest code of TiDB's table, and the numbers that the new TiCDC uses inside itself. */
const CODES = [...Array.from({ length: 100 }, (_, code) => code), 230, 231]

const ignoring = (word: string) =>
  createFilter(
    {
      rules: [],
      ignoreTxnStartTs: [],
      eventFilters: [
        {
          matcher: ['*.*'],
          ignoreEvent: [word],
          ignoreSql: [],
          ignoreInsertValueExpr: '',
          ignoreUpdateNewValueExpr: '',
          ignoreUpdateOldValueExpr: '',
          ignoreDeleteValueExpr: '',
        },
      ],
    },
    { caseSensitive: false, forceReplicate: false },
  )

for (const code of CODES) {
  const wanted = CASES[code]
  if (wanted === undefined) {
    test(`action ${code} is not replicated: it changes nothing and is not sent`, async () => {
      assert.equal(actionOf(code), undefined)
      const tracker = await trackerWith([t, p, view])
      const job = { id: 1n, type: code, ts: 110n, table: { ...t, columns: ['id', 'v'] }, database: 'test' }
      assert.deepEqual(tracker.apply(jobOf(job)), [])
      assert.equal(tracker.tableAt(10n, Ts(110n))?.columns.length, 1)
    })
    continue
  }
  test(`action ${code}, ${wanted.event}: schema, barrier, events`, async () => {
    const tracker = await trackerWith([t, p, view])
    const sent = tracker.apply(jobOf({ id: 1n, type: code, ts: 110n, ...wanted.job }))
    assert.deepEqual(
      sent.map(({ event }) => event.query),
      wanted.queries ?? [wanted.job.query ?? 'statement 1'],
    )
    for (const [seq, { event, barrier, ignored }] of sent.entries()) {
      assert.deepEqual([event.seq, event.type, event.commitTs, event.startTs], [seq, wanted.type ?? code, 110n, 105n])
      assert.deepEqual(barrier, wanted.barrier === 'global' ? 'global' : { tables: wanted.barrier })
      assert.equal(ignored, false)
    }
    const [first] = sent
    assert.deepEqual([first?.event.before?.table, first?.event.after?.table], wanted.names)
    if (first?.event.after !== undefined) assert.equal(first.event.after.version, 110n)
    const tablesAt = (ts: bigint): string[] =>
      tracker
        .tablesAt(Ts(ts))
        .map(({ table, physicalId }) => `${table}#${physicalId}`)
        .toSorted()
    assert.deepEqual(tablesAt(109n), START)
    assert.deepEqual(tablesAt(110n), wanted.tables ?? START)
  })
  test(`action ${code} is "${wanted.event}" to event filters`, () => {
    for (const [word, ignored] of [
      [wanted.event, true],
      ['all ddl', true],
      ['alter table', wanted.alter === true],
      ['all dml', false],
      [wanted.event === 'add column' ? 'drop column' : 'add column', false],
    ] as const)
      assert.equal(ignoring(word).ignoresDdl(code, 'test', 't', '', 1n), ignored, word)
  })
}

test(`every replicated action has its case: ${Object.keys(CASES).length}`, () => {
  assert.deepEqual(
    CODES.filter((code) => actionOf(code) !== undefined),
    Object.keys(CASES).map(Number),
  )
})
