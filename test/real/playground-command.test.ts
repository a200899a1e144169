// `cdc playground` as a command: alone over another one's PD and stores, and stopping at once.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import { createConnection } from 'mysql2/promise'
import type { Connection } from 'mysql2/promise'

import { objectOf, parseJson, stringOf } from '../../src/tidb/json-big.ts'
import { run } from '../support/process.ts'
import type { Running } from '../support/process.ts'

const cdc = join(import.meta.dirname, '..', '..', 'bin', 'cdc')

const start = (...more: readonly string[]): Promise<Running> =>
  run(cdc, ['playground', '--pd-port', '0', '--sql-port', '0', '--admin-port', '0', ...more], { ready: /^\{"pd"/ })

const address = ({ readyLine }: Running, name: string): string => stringOf(objectOf(parseJson(readyLine))[name])

async function connect(playground: Running): Promise<Connection> {
  const { hostname, port } = new URL(`tcp://${address(playground, 'sql')}`)
  const connection = await createConnection({ host: hostname, port: Number(port), user: 'root', database: 'test' })
  // The playground ends before its client.
  connection.on('error', () => {})
  return connection
}

test('a SQL front over the PD and stores of another playground sees and makes the same tables', async () => {
  await using cluster = await start()
  await using front = await start('--pd', address(cluster, 'pd'))
  const here = await connect(cluster)
  const there = await connect(front)
  await here.query('CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))')
  await here.query("INSERT INTO t VALUES (1, 'here')")
  await there.query("INSERT INTO t VALUES (2, 'there')")
  await there.query('ALTER TABLE t ADD COLUMN w INT DEFAULT 7')
  await there.query("UPDATE t SET v = 'changed' WHERE id = 1")
  const [rows] = await here.query({ sql: 'SELECT id, v, w FROM t ORDER BY id', rowsAsArray: true })
  assert.deepEqual(rows, [
    [1, 'changed', 7],
    [2, 'there', 7],
  ])

  await here.query('BEGIN PESSIMISTIC')
  await here.query("UPDATE t SET v = 'open' WHERE id = 1")
  const waiting = there.query("UPDATE t SET v = 'waits' WHERE id = 1").catch(() => 'ended')
  const began = performance.now()
  assert.equal(await front.stop(), 0)
  assert.equal(await cluster.stop(), 0)
  const ms = performance.now() - began
  assert.ok(ms < 1500, `both took ${ms} ms to stop`)
  assert.equal(await waiting, 'ended')
})
