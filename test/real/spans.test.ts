// Spans under way: tables that are cut and joined, spans that move and workers that die while rows and DDLs flow into a
// real Kafka. What arrives is the whole history, and the changes of each row are in order.
import assert from 'node:assert/strict'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { available as pythonAvailable, consumeAll } from '../support/consumer.ts'
import { readCanalJson } from '../support/delivered.ts'
import { verifyHistory } from '../support/history.ts'
import { available as kafkaAvailable, startKafka } from '../support/kafka.ts'
import { createRandom } from '../support/random.ts'
import { requireOrSkip } from '../support/require.ts'
import {
  caughtUp,
  changefeed,
  cli,
  clusterTs,
  type PlaygroundProcess,
  type ServerProcess,
  startPlayground,
  startServer,
} from '../support/stack.ts'

import { openWorkload, type Workload } from '../support/workload.ts'

const SEED = Number(process.env['TIDEWIRE_SEED'] ?? Date.now() % 1_000_000)
const TOPIC = 'spans'

async function create(server: ServerProcess, bootstrap: string, startTs: bigint): Promise<void> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tidewire-spans-'))
  const config = join(folder.path, 'changefeed.toml')
  await writeFile(config, "[sink]\ndispatchers = [{ matcher = ['*.*'], partition = 'index-value' }]\n")
  const uri = `kafka://${bootstrap}/${TOPIC}?protocol=canal-json&enable-tidb-extension=true&partition-num=4`
  const args = ['--sink-uri', uri, '--config', config, '--start-ts', String(startTs), '-c', 'first', '--no-confirm']
  await cli(server, 'changefeed', 'create', ...args)
}

async function call(server: ServerProcess, path: string, body: object = {}): Promise<void> {
  const url = `${server.url}/api/v1/changefeeds/first/tables/${path}`
  const text = JSON.stringify(body, (_, value) => (typeof value === 'bigint' ? Number(value) : value))
  const answer = await fetch(url, { method: 'POST', body: text })
  // A table may have been dropped between the question which there are, and the move.
  assert.ok([202, 400, 500].includes(answer.status), `${path}: ${answer.status} ${await answer.text()}`)
}

async function splitTables(playground: PlaygroundProcess, workload: Workload, count: number): Promise<void> {
  for (const table of workload.tables()) {
    const body = JSON.stringify({ table: `shop.${table}`, count })
    const answer = await fetch(`${playground.admin}/faults/split`, { method: 'POST', body })
    assert.ok(answer.ok, await answer.text())
  }
}

async function moveAll(server: ServerProcess): Promise<void> {
  const { task_status: tasks } = await changefeed(server, 'first')
  for (const { capture_id: capture, table_ids: tables } of tasks ?? [])
    for (const table of tables) await call(server, 'move_table', { capture_id: capture, table_id: table })
}

const count = (server: ServerProcess, what: string): number =>
  server.process.lines.filter((line) => line.includes(what)).length

test(`nothing is lost or out of order while tables are cut and spans move (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
  await using kafka = await startKafka()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd, args: ['--data-workers', '3'] })
  const random = createRandom(SEED)
  await using workload = await openWorkload({ sql: playground.sql, database: 'shop', random, ddl: true, writers: 3 })
  const startTs = await clusterTs(server, playground.pd)
  await workload.run(64)
  await splitTables(playground, workload, 4)
  await create(server, kafka.bootstrap, startTs)
  for (let round = 0; round < 6; round++) {
    await Promise.all([workload.run(48), moveAll(server)])
    await splitTables(playground, workload, 2)
    await Promise.all([workload.run(16), call(server, 'rebalance_table')])
  }
  await caughtUp(server, 'first', await clusterTs(server, playground.pd))
  assert.ok(count(server, 'a span moves') >= 6, 'spans moved')
  assert.ok(count(server, 'a table is cut anew') >= 1, 'tables were cut')
  await verifyHistory(readCanalJson(await consumeAll(kafka.bootstrap, [TOPIC])), workload, playground.admin)
})

test(`nothing is lost or out of order when workers die, and the changefeed goes on without them (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
  await using kafka = await startKafka()
  await using playground = await startPlayground()
  const env = { TIDEWIRE_FAIL_POINTS: 'worker-after-produce-before-ack@10' }
  await using server = await startServer({ pd: playground.pd, args: ['--data-workers', '2'], env })
  const random = createRandom(SEED)
  await using workload = await openWorkload({ sql: playground.sql, database: 'shop', random, ddl: true, writers: 2 })
  await create(server, kafka.bootstrap, await clusterTs(server, playground.pd))
  const deaths = (): number => count(server, 'a data worker ended')
  for (let round = 0; deaths() < 2 && round < 40; round++) await workload.run(32)
  assert.ok(deaths() >= 2, server.process.lines.slice(-40).join('\n'))
  await workload.run(32)
  await caughtUp(server, 'first', await clusterTs(server, playground.pd), 90_000)
  // Five within a minute are taken for a fault of the changefeed.
  if (deaths() < 5) assert.equal(count(server, 'changefeed starts'), 1, 'the changefeed was not started again')
  await verifyHistory(readCanalJson(await consumeAll(kafka.bootstrap, [TOPIC])), workload, playground.admin)
})
