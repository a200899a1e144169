// The SQL front over the playground's own PD and stores: transactions through gRPC.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { createConnection } from 'mysql2/promise'
import type { Connection, RowDataPacket } from 'mysql2/promise'

import { systemClock } from '../../base/clock.ts'
import { silentLog } from '../../base/log.ts'
import { objectOf, parseJson, stringifyJson } from '../../tidb/json-big.ts'
import { intHandle, recordKey } from '../../tidb/key.ts'
import { tableInfoOf } from '../../tidb/table-info-json.ts'
import { encodeTableRow } from '../../tidb/table-codec.ts'
import { utcZone } from '../../tidb/time-zone.ts'
import { Ts } from '../../tidb/ts.ts'
import { openPdClient } from '../../upstream/pd/client.ts'
import { startPlayground } from '../playground.ts'
import type { Playground } from '../playground.ts'
import { openGrpcStore } from './txn/grpc-store.ts'
import { KeyExistsError } from './txn/store.ts'
import type { CommitOptions, Mutation } from './txn/store.ts'

const signal = AbortSignal.timeout(60_000)
let playground: Playground

before(async () => {
  playground = await startPlayground(
    { host: '127.0.0.1', pdPort: 0, sqlPort: 0, adminPort: 0, stores: 3, log: silentLog },
    signal,
  )
})
after(() => playground[Symbol.asyncDispose]())

const connect = (database = 'test'): Promise<Connection> =>
  createConnection({
    host: '127.0.0.1',
    port: Number(playground.sql.split(':')[1]),
    user: 'root',
    database,
    multipleStatements: true,
  })

async function openStore(): Promise<AsyncDisposable & { readonly store: ReturnType<typeof openGrpcStore> }> {
  const stack = new AsyncDisposableStack()
  const pd = stack.use(
    await openPdClient({ endpoints: [playground.pd], security: {}, log: silentLog, clock: systemClock }, signal),
  )
  const store = stack.use(openGrpcStore({ pd, log: silentLog, clock: systemClock }))
  return { store, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() }
}

const put = (key: string, value: string): Mutation => ({
  kind: 'put',
  key: Buffer.from(key),
  value: Buffer.from(value),
})

const WAYS: readonly (readonly [string, CommitOptions])[] = [
  ['two phases', { asyncCommit: false, onePhase: false }],
  ['one phase', { asyncCommit: false, onePhase: true }],
  ['async commit', { asyncCommit: true, onePhase: false }],
  ['whatever fits', { asyncCommit: true, onePhase: true }],
]

for (const [name, options] of WAYS)
  test(`a transaction over regions is seen whole at its commitTs and not before (${name})`, async () => {
    await using opened = await openStore()
    const { store } = opened
    await store.split(Buffer.from(`z${name}m`), signal)
    const keys = Array.from({ length: 40 }, (_, i) => `z${name}${String.fromCharCode(97 + (i % 26))}${i}`)
    const startTs = await store.timestamp(signal)
    const lateTs = await store.timestamp(signal)
    const commitTs = await store.commit(
      startTs,
      keys.map((key) => put(key, key)),
      options,
      signal,
    )
    assert.ok(commitTs > startTs)
    const read = async (ts: Ts): Promise<(string | undefined)[]> =>
      Promise.all(keys.map(async (key) => (await store.snapshot(ts).get(Buffer.from(key), signal))?.toString()))
    assert.deepEqual(await read(commitTs), keys)
    assert.deepEqual(new Set(await read(Ts(commitTs - 1n))), new Set([undefined]))
    await assert.rejects(store.commit(lateTs, [put(keys[0] ?? '', 'late')], options, signal), { errno: 9007 })
    const insert: Mutation = { kind: 'insert', key: Buffer.from(keys[1] ?? ''), value: Buffer.from('again') }
    await assert.rejects(store.commit(await store.timestamp(signal), [insert], options, signal), KeyExistsError)
  })

test('transfers between accounts lose nothing, whatever commits them', async () => {
  const admin = await connect()
  await admin.query(
    'CREATE TABLE account (id INT PRIMARY KEY, v INT NOT NULL, note VARCHAR(20), UNIQUE KEY n (note)); INSERT INTO account VALUES (1,100,"a"),(2,100,"b"),(3,100,"c")',
  )
  const transfer = async (worker: number): Promise<void> => {
    const db = await connect()
    await db.query(`SET tidb_enable_async_commit = ${worker % 2}, tidb_enable_1pc = ${worker < 2 ? 1 : 0}`)
    for (let i = 0; i < 12; i++)
      for (;;)
        try {
          await db.query('BEGIN')
          await db.query(
            'UPDATE account SET v = v - 1 WHERE id = ?; UPDATE account SET v = v + 1, note = CONCAT(LEFT(note, 1), ?) WHERE id = ?',
            [1 + (i % 3), `${worker}-${i}`, 1 + ((i + 1) % 3)],
          )
          await db.query('COMMIT')
          break
        } catch (error) {
          assert.ok(error instanceof Error && 'errno' in error && error.errno === 9007, String(error))
        }
    await db.end()
  }
  await Promise.all([0, 1, 2, 3].map(transfer))
  const [rows] = await admin.query({ sql: 'SELECT SUM(v), COUNT(DISTINCT note) FROM account', rowsAsArray: true })
  assert.deepEqual(rows, [['300', 3]])
  await admin.end()
})

test('a second SQL front over the same cluster finds what the first one made', async () => {
  const { startSqlServer } = await import('./server.ts')
  const one = await connect()
  await one.query(
    'CREATE TABLE shared (a VARCHAR(5), b INT, c TEXT, PRIMARY KEY (a, b), KEY k (c(2))); INSERT INTO shared VALUES ("x ", 1, "long"), ("y", 2, NULL)',
  )
  await using second = await startSqlServer(
    { host: '127.0.0.1', port: 0, pdEndpoint: playground.pd, log: silentLog },
    signal,
  )
  const two = await createConnection({
    host: '127.0.0.1',
    port: Number(second.address.split(':')[1]),
    user: 'root',
    database: 'test',
    rowsAsArray: true,
  })
  const [rows] = await two.query('SELECT * FROM shared WHERE a = "x" AND b = 1')
  assert.deepEqual(rows, [['x ', 1, 'long']])
  await one.query('ALTER TABLE shared ADD COLUMN d INT DEFAULT 9')
  const [wider] = await two.query('SELECT d FROM shared WHERE a = "y"')
  assert.deepEqual(wider, [[9]])
  await Promise.all([one.end(), two.end()])
})

async function inject(path: string, body: object): Promise<void> {
  const answer = await fetch(`${playground.admin}${path}`, { method: 'POST', body: stringifyJson(body) })
  assert.equal(answer.status, 200, await answer.text())
}

test('an injected DDL job makes its table, injected pairs its rows', async () => {
  const client = await connect()
  await using db = Object.assign(client, { [Symbol.asyncDispose]: () => client.end() })
  const file = readFileSync(join(import.meta.dirname, '..', '..', 'tidb', 'vectors', 'tableinfo-minimal.json'), 'utf8')
  const table = objectOf(objectOf(parseJson(file))['table_info'])
  await inject('/inject/ddl-job', {
    type: 3,
    schema_id: 2,
    table_id: 9116,
    schema_name: 'test',
    table_name: 'minimal',
    query: 'CREATE TABLE minimal (id BIGINT PRIMARY KEY, v BIGINT NOT NULL)',
    binlog: { TableInfo: { ...table, id: 9116 } },
  })
  const key = Buffer.from(recordKey(9116n, intHandle(5n))).toString('hex')
  const value = Buffer.from(encodeTableRow(tableInfoOf(table), [5, 77], utcZone)).toString('base64')
  await inject('/inject/kv', { writes: [{ key, value }] })
  const [rows] = await db.query({ sql: 'SELECT * FROM minimal', rowsAsArray: true })
  assert.deepEqual(rows, [[5, 77]])
  await inject('/inject/ddl-job', {
    type: 4,
    schema_id: 2,
    table_id: 9116,
    schema_name: 'test',
    table_name: 'minimal',
    query: 'DROP TABLE minimal',
    binlog: { TableInfo: { ...table, id: 9116, state: 0 } },
  })
  await assert.rejects(db.query('SELECT * FROM minimal'), /doesn't exist/)
})

test('partitions and reorganized columns work over gRPC', async () => {
  const client = await connect()
  await using db = Object.assign(client, { [Symbol.asyncDispose]: () => client.end() })
  await db.query('CREATE TABLE parted (a INT PRIMARY KEY, b INT, KEY (b)) PARTITION BY HASH (a) PARTITIONS 3')
  await db.query('INSERT INTO parted VALUES (1, 10), (2, 20), (3, 30), (4, 40)')
  await db.query('ALTER TABLE parted MODIFY COLUMN b VARCHAR(5); ALTER TABLE parted REMOVE PARTITIONING')
  const [[status]] = await db.query<RowDataPacket[]>(
    "SELECT COUNT(*) AS n FROM information_schema.tikv_region_status WHERE table_name = 'parted'",
  )
  assert.ok(Number(status?.['n']) >= 1)
  const [rows] = await db.query({ sql: "SELECT * FROM parted WHERE b = '20'", rowsAsArray: true })
  assert.deepEqual(rows, [[2, '20']])
})
