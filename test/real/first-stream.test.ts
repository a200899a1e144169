// The heart of the tests: playground, server and a real Kafka as separate processes, under mixed DML and DDL, read by a
// client that is not ours, while the server is killed at the worst moments.
import { test } from 'node:test'
import { available as pythonAvailable, consumeAll, type ConsumedRecord } from '../support/consumer.ts'
import { type Delivered, readCanalJson, readOpenProtocol } from '../support/delivered.ts'
import { verifyHistory } from '../support/history.ts'
import { available as kafkaAvailable, startKafka } from '../support/kafka.ts'
import { waitFor } from '../support/process.ts'
import { createRandom } from '../support/random.ts'
import { requireOrSkip } from '../support/require.ts'
import {
  caughtUp,
  cli,
  clusterTs,
  createChangefeed,
  type ServerProcess,
  startPlayground,
  startServer,
} from '../support/stack.ts'
import { openWorkload } from '../support/workload.ts'

const SEED = Number(process.env['TIDEWIRE_SEED'] ?? Date.now() % 1_000_000)
const MEMORY_QUOTA = 512 << 10
const withWorkers = (count: number) => ['--data-workers', String(count)]

interface Case {
  readonly name: string
  readonly uri: string
  readonly read: (records: readonly ConsumedRecord[]) => Delivered[]
}

const canalJson: Case = {
  name: 'canal-json',
  uri: 'protocol=canal-json&enable-tidb-extension=true&partition-num=4&max-message-bytes=4096',
  read: readCanalJson,
}
const openProtocol: Case = {
  name: 'open-protocol',
  uri: 'protocol=open-protocol&partition-num=3&max-batch-size=4&max-message-bytes=4096',
  read: readOpenProtocol,
}

for (const [workers, { name, uri, read }] of [
  [1, canalJson],
  [4, canalJson],
  [4, openProtocol],
] as const) {
  test(`${name}, ${workers} workers: tables and history of a random workload arrive whole and in order (seed ${SEED})`, async (t) => {
    if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
    await using kafka = await startKafka()
    await using playground = await startPlayground()
    await using server = await startServer({ pd: playground.pd, args: withWorkers(workers) })
    const topic = `stream-${name}`
    await using workload = await openWorkload({
      sql: playground.sql,
      database: 'shop',
      random: createRandom(SEED),
      ddl: true,
      writers: 3,
    })
    await create(server, `kafka://${kafka.bootstrap}/${topic}?${uri}`)
    await workload.run(400)
    await caughtUp(server, 'first', await clusterTs(server, playground.pd))
    await verifyHistory(read(await consumeAll(kafka.bootstrap, [topic])), workload, playground.admin)
  })
}

for (const [workers, failPoint, { name, uri, read }] of [
  // Every worker counts for itself.
  [1, 'kafka-after-produce-before-ack@20', canalJson],
  [4, 'kafka-after-produce-before-ack@8', openProtocol],
  [1, 'after-ack-before-etcd@20', openProtocol],
  [4, 'after-ack-before-etcd@15', canalJson],
  [4, 'after-etcd-before-watermark@15', canalJson],
  [4, 'ddl-sent-before-stored@2', openProtocol],
] as const) {
  test(`${name}, ${workers} workers: nothing is lost or out of order when the server dies at ${failPoint} (seed ${SEED})`, async (t) => {
    if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
    await using kafka = await startKafka()
    await using playground = await startPlayground()
    const options = { pd: playground.pd, args: withWorkers(workers) }
    let server = await startServer({ ...options, env: { TIDEWIRE_FAIL_POINTS: failPoint } })
    try {
      const topic = 'killed'
      await using workload = await openWorkload({
        sql: playground.sql,
        database: 'shop',
        random: createRandom(SEED),
        ddl: true,
        writers: 2,
      })
      await create(server, `kafka://${kafka.bootstrap}/${topic}?${uri}`)
      for (let round = 0; server.process.alive && round < 30; round++) await workload.run(32)
      await waitFor('the server to die at its fail point', () => !server.process.alive)
      await workload.run(64)
      await server[Symbol.asyncDispose]()
      server = await startServer(options)
      await workload.run(64)
      await caughtUp(server, 'first', await clusterTs(server, playground.pd), 90_000)
      await verifyHistory(read(await consumeAll(kafka.bootstrap, [topic])), workload, playground.admin)
    } finally {
      await server[Symbol.asyncDispose]()
    }
  })
}

test(`nothing is lost or out of order when the server is killed again and again (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
  await using kafka = await startKafka()
  await using playground = await startPlayground()
  const options = { pd: playground.pd, args: withWorkers(4) }
  let server = await startServer(options)
  try {
    const topic = 'killed'
    const random = createRandom(SEED)
    await using workload = await openWorkload({ sql: playground.sql, database: 'shop', random, ddl: true, writers: 2 })
    await create(server, `kafka://${kafka.bootstrap}/${topic}?${canalJson.uri}`)
    for (let kill = 0; kill < 3; kill++) {
      await workload.run(32 + random.below(64))
      const rows = server.process.lines.length
      if (random.chance(0.5)) await waitFor('a sign of life', () => server.process.lines.length >= rows)
      await server[Symbol.asyncDispose]()
      server = await startServer(options)
    }
    await workload.run(64)
    await caughtUp(server, 'first', await clusterTs(server, playground.pd), 90_000)
    await verifyHistory(readCanalJson(await consumeAll(kafka.bootstrap, [topic])), workload, playground.admin)
  } finally {
    await server[Symbol.asyncDispose]()
  }
})

test('a changefeed goes on from its checkpoint after pause and resume, and after the broker was away', async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
  await using kafka = await startKafka()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd })
  const topic = 'paused'
  await using workload = await openWorkload({
    sql: playground.sql,
    database: 'shop',
    random: createRandom(SEED),
    ddl: false,
    writers: 2,
  })
  await create(server, `kafka://${kafka.bootstrap}/${topic}?${canalJson.uri}`)
  await workload.run(64)
  await cli(server, 'changefeed', 'pause', '--changefeed-id', 'first')
  await workload.run(64)
  await cli(server, 'changefeed', 'resume', '--changefeed-id', 'first', '--no-confirm')
  await workload.run(64)
  await kafka.kill()
  await workload.run(64)
  await waitFor('the changefeed to say what is wrong', async () => {
    const text = await cli(server, 'changefeed', 'query', '--changefeed-id', 'first', '--simple')
    return text.includes('"state": "warning"') && text.includes('CDC:ErrKafka')
  })
  await kafka.restart()
  await workload.run(32)
  await caughtUp(server, 'first', await clusterTs(server, playground.pd), 120_000)
  await verifyHistory(readCanalJson(await consumeAll(kafka.bootstrap, [topic])), workload, playground.admin)
})

const create = (server: ServerProcess, sinkUri: string): Promise<void> =>
  createChangefeed(server, { id: 'first', sinkUri, config: [`memory-quota = ${MEMORY_QUOTA}`] })
