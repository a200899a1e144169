// A changefeed may begin anywhere in a long history: whoever joins late sees what those see who were there all the time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRandom, type Random } from '../../test/support/random.ts'
import { integerOf, objectOf, stringifyJson, stringOf } from '../tidb/json-big.ts'
import { Ts } from '../tidb/ts.ts'
import { openJobReader } from './ddl-source.ts'
import { DDL_JOB_TABLE_ID, tableKey } from '../tidb/meta-key.ts'
import { loadSchema } from './snapshot.ts'
import { ddlJobVectors, jobOf, type JobShape, MemoryMeta, type TableShape, testFilter } from './schema.fixture.ts'
import { createSchemaTracker, type SchemaTracker } from './tracker.ts'

const signal = new AbortController().signal
const DDLS = 400
const FIRST_TS = 1000n

interface World {
  /** Database id → its tables by id. */
  readonly databases: Map<bigint, { readonly name: string; readonly tables: Map<bigint, TableShape> }>
}

const empty = (): World => ({ databases: new Map([[1n, { name: 'test', tables: new Map() }]]) })

/** The metadata of the world at `ts`; schema version = number of DDLs so far. */
function metaOf(world: World, ts: bigint, schemaVersion: bigint): MemoryMeta {
  const meta = new MemoryMeta(ts, schemaVersion)
  meta.putDatabase(2n, 'mysql', [{ id: 90n, name: 'user' }])
  for (const [id, { name, tables }] of world.databases) meta.putDatabase(id, name, [...tables.values()])
  return meta
}

interface Step {
  readonly job: JobShape
  readonly meta: MemoryMeta
}

/** Random DDLs, each with the metadata that it leaves behind. */
function history(random: Random): readonly Step[] {
  const world: World = { databases: new Map([[1n, { name: 'test', tables: new Map() }]]) }
  let nextId = 100n
  const steps: Step[] = []
  const newName = (): string => `${random.chance(0.15) ? 'out' : 't'}${nextId}`
  const anyTable = (): { schemaId: bigint; tables: Map<bigint, TableShape>; table: TableShape } | undefined => {
    const all = [...world.databases].flatMap(([schemaId, { tables }]) =>
      [...tables.values()].map((table) => ({ schemaId, tables, table })),
    )
    return all.length === 0 ? undefined : random.pick(all)
  }
  const change = (): Omit<JobShape, 'id' | 'ts'> | undefined => {
    const kind = random.below(12)
    if (kind === 0 && world.databases.size < 5) {
      const schemaId = nextId++
      const name = `db${schemaId}`
      world.databases.set(schemaId, { name, tables: new Map() })
      return { type: 1, schemaId, database: name }
    }
    if (kind === 1 && world.databases.size > 2) {
      const [schemaId, { name }] = random.pick([...world.databases])
      if (schemaId === 1n) return undefined
      world.databases.delete(schemaId)
      return { type: 2, schemaId, database: name }
    }
    if (kind <= 4) {
      const [schemaId, { tables }] = random.pick([...world.databases])
      const id = nextId++
      const partitions = random.chance(0.3) ? [nextId++, nextId++] : undefined
      const table: TableShape = { id, name: newName(), ...(partitions === undefined ? {} : { partitions }) }
      tables.set(id, table)
      return { type: 3, schemaId, table }
    }
    const found = anyTable()
    if (found === undefined) return undefined
    const { schemaId, tables, table } = found
    const put = (type: number, shape: TableShape): Omit<JobShape, 'id' | 'ts'> => {
      tables.delete(table.id)
      tables.set(shape.id, shape)
      return { type, schemaId, tableId: table.id, table: shape }
    }
    const columns = [...(table.columns ?? ['id']), `c${nextId++}`]
    switch (kind) {
      case 5:
        tables.delete(table.id)
        return { type: 4, schemaId, tableId: table.id, table }
      case 6:
      case 7:
        return put(5, { ...table, columns })
      case 8: {
        const partitions = table.partitions?.map(() => nextId++)
        return put(11, { ...table, id: nextId++, ...(partitions === undefined ? {} : { partitions }) })
      }
      case 9: {
        // Inside what the filter matches, or inside what it does not: a rename into it is an error by design.
        const [newSchemaId, target] = random.pick([...world.databases])
        const name = `${table.name.startsWith('out') ? 'out' : 't'}${nextId++}`
        tables.delete(table.id)
        target.tables.set(table.id, { ...table, name })
        return { type: 14, schemaId: newSchemaId, tableId: table.id, table: { ...table, name } }
      }
      default:
        if (table.partitions === undefined) return put(7, table)
        return put(19, { ...table, partitions: [...table.partitions, nextId++] })
    }
  }
  while (steps.length < DDLS) {
    const found = change()
    if (found === undefined) continue
    const version = BigInt(steps.length + 1)
    const ts = FIRST_TS + version * 10n
    const job = { ...found, id: version, ts, schemaVersion: version }
    steps.push({ job, meta: metaOf(world, ts, version) })
  }
  return steps
}

const show = (tracker: SchemaTracker, ts: bigint): readonly string[] =>
  tracker
    .tablesAt(Ts(ts))
    .map(({ schema, table, physicalId, tableId }) => {
      const columns = tracker.tableAt(physicalId, Ts(ts))?.columns.map(({ name }) => name)
      return `${schema}.${table} ${tableId}/${physicalId} (${columns?.join()})`
    })
    .toSorted()

const trackerFrom = async (meta: MemoryMeta): Promise<SchemaTracker> =>
  createSchemaTracker(await loadSchema(meta, testFilter, signal), { filter: testFilter, bdrMode: false })

for (const seed of [1, 2])
  test(`who starts inside a history of ${DDLS} DDLs sees the same schemas and DDLs (seed ${seed})`, async () => {
    const steps = history(createRandom(seed))
    const first = await trackerFrom(metaOf(empty(), FIRST_TS, 0n))
    const sent = steps.map(({ job }) => first.apply(jobOf(job)).map(({ event }) => event.query))
    for (let at = 0; at < steps.length; at += 133) {
      const step = steps[at]
      if (step === undefined) continue
      const late = await trackerFrom(step.meta)
      // All jobs arrive, also those that the snapshot holds.
      const sentLate = steps.map(({ job }) => late.apply(jobOf(job)).map(({ event }) => event.query))
      assert.deepEqual(
        sentLate,
        sent.map((queries, i) => (i <= at ? [] : queries)),
      )
      for (const { job } of steps.slice(at).filter((_, later) => later % 9 === 0))
        assert.deepEqual(show(late, job.ts), show(first, job.ts), `at ${job.ts}`)
    }
    // The snapshot itself says the same as the jobs that led to it.
    for (const { job, meta } of steps.filter((_, at) => at % 7 === 0))
      assert.deepEqual(show(await trackerFrom(meta), job.ts), show(first, job.ts))
  })

test('a DDL at the checkpoint is sent again, over a snapshot that may hold it already', async () => {
  const steps = history(createRandom(4))
  for (const [at, step] of steps.entries()) {
    if (at % 3 !== 0) continue
    // A restart reads the schema right below the DDL; async commit may show it there before its job is done.
    const before = steps[at - 1]?.meta ?? metaOf(empty(), FIRST_TS, 0n)
    const expected = (await trackerFrom(before)).apply(jobOf(step.job))
    const again = await trackerFrom(step.meta.as(step.job.ts - 1n))
    assert.deepEqual(
      again.apply(jobOf(step.job)).map(({ event }) => event.query),
      expected.map(({ event }) => event.query),
      `${at}: ${JSON.stringify(step.job, (_, value) => (typeof value === 'bigint' ? Number(value) : value))}`,
    )
    assert.deepEqual(show(again, step.job.ts), show(await trackerFrom(step.meta), step.job.ts))
  }
})

const SEQUENCE: readonly string[] = [
  'create-schema',
  'create-table',
  'rename-table',
  'rename-tables-v1',
  'rename-tables-v2',
  'create-tables',
  'exchange-partition',
  'drop-table',
]

test('the DDL jobs of the vectors, one after the other, leave the schema that they say', async (t) => {
  const { jobTable, rows: all } = ddlJobVectors()
  const meta = new MemoryMeta(1n, 1n)
  meta.putDatabase(1n, 'mysql')
  meta.put(tableKey(1n, DDL_JOB_TABLE_ID), stringifyJson(jobTable))
  const read = await openJobReader(meta, signal)
  const rows = SEQUENCE.flatMap((id) => all.filter((row) => row['id'] === `ddl-job-${id}`))
  assert.equal(rows.length, SEQUENCE.length)
  const start = new MemoryMeta(1n, 1n)
  start.putDatabase(1n, 'mysql')
  // What the jobs take for granted, created by nobody: other tables of the vectors' database.
  const tracker = await trackerFrom(start)
  const known = new Set<bigint>()
  let ts = 10n
  const create = (id: bigint, name: string, partitions?: readonly bigint[]): void => {
    if (known.has(id)) return
    known.add(id)
    ts += 1n
    const table = { id, name, ...(partitions === undefined ? {} : { partitions }) }
    tracker.apply(jobOf({ id: -ts, type: 3, ts, schemaVersion: ts, schemaId: 112n, table }))
  }
  const names: Record<string, readonly string[]> = {}
  for (const row of rows) {
    const id = stringOf(row['id'])
    if (id === 'ddl-job-rename-table') create(122n, 'minimal')
    if (id === 'ddl-job-rename-tables-v1') create(130n, 'other')
    if (id === 'ddl-job-exchange-partition') create(150n, 'p', [151n, 152n])
    ts += 10n
    const found = read({
      startTs: Ts(ts - 1n),
      commitTs: Ts(ts),
      key: Buffer.from(stringOf(row['key']), 'hex'),
      value: Buffer.from(stringOf(row['value']), 'hex'),
      oldValue: undefined,
    })
    assert.ok(found !== undefined)
    assert.equal(found.job.id, integerOf(objectOf(row['job'])['id']))
    const sent = tracker.apply({ ...found, schemaVersion: ts })
    names[id] = sent.map(({ event }) => event.query)
  }
  assert.deepEqual(names['ddl-job-drop-table'], ['DROP TABLE `u6`.`b`'])
  assert.deepEqual(names['ddl-job-rename-tables-v1'], [
    'RENAME TABLE `u6`.`small` TO `u6`.`s1`',
    'RENAME TABLE `u6`.`other` TO `u6`.`o1`',
  ])
  assert.deepEqual(names['ddl-job-rename-tables-v2'], [
    'RENAME TABLE `u6`.`s1` TO `u6`.`small`',
    'RENAME TABLE `u6`.`o1` TO `u6`.`other`',
  ])
  assert.equal(names['ddl-job-create-tables']?.length, 2)
  t.diagnostic(`DDL job vectors applied: ${rows.length}`)
  assert.deepEqual(
    tracker
      .tablesAt(Ts(ts))
      .map(({ table, physicalId }) => `${table}#${physicalId}`)
      .toSorted(),
    ['a#151', 'minimal#116', 'other#130', 'p#140', 'p#152', 'small#122'],
  )
})
