// Two changefeeds in one data worker: one that has a lot to catch up with, one that hardly has anything to do.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createConnection } from 'mysql2/promise'
import { startFakeKafka } from './support/fake-kafka.ts'
import { framesOf } from './support/large-backlog.ts'
import { waitFor } from './support/process.ts'
import { startScriptedFeed } from './support/scripted-feed.ts'
import { createChangefeed, startServer } from './support/stack.ts'

const BACKLOG = 300_000
/** Rows of the idle changefeed that must get through meanwhile, one waiting for the other. */
const LEAST = 4

test('a changefeed that catches up does not hold up another in the same worker', async () => {
  /** What arrived, in its order: for each row of the steady changefeed how many of the backlog came before it. */
  const steady: number[] = []
  let backlog = 0
  await using kafka = await startFakeKafka({
    partitions: 1,
    received(_partition, values) {
      for (const value of values) {
        if (value.includes('"table":"large"')) backlog++
        else if (value.includes('"type":"INSERT"')) steady.push(backlog)
      }
    },
  })
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  await using feed = await startScriptedFeed(failed.reject)
  let startTs = 0n
  await feed.table('large', 100, async (registration) => {
    let ts = startTs + 1n
    for (const ids of framesOf(BACKLOG)) {
      await registration.committed(ts, ids)
      ts += 2n * BigInt(ids.length)
    }
    await registration.initialized()
    await registration.resolved(ts)
  })
  const [host = '', port = ''] = feed.sql.split(':')
  const sql = await createConnection({ host, port: Number(port), user: 'root', database: 'scripted' })
  await using _ = { [Symbol.asyncDispose]: () => sql.end() }
  await sql.query('CREATE TABLE steady (id BIGINT PRIMARY KEY)')
  await using server = await startServer({ pd: feed.pd, args: ['--data-workers', '1'] })
  const sinkUri = `kafka://${kafka.bootstrap}/t?protocol=canal-json`
  startTs = await feed.tso()
  const create = (table: string): Promise<void> =>
    createChangefeed(server, { id: table, sinkUri, startTs, config: ['[filter]', `rules = ["scripted.${table}"]`] })

  await create('steady')
  const insert = async (): Promise<void> => {
    const before = steady.length
    await sql.query(`INSERT INTO steady VALUES (${before})`)
    await Promise.race([waitFor('the row of the steady changefeed', () => steady.length > before), failed.promise])
  }
  await insert()
  await create('large')
  while (backlog < BACKLOG) await insert()
  const meanwhile = steady.filter((before) => before > 0 && before < BACKLOG)
  assert.ok(meanwhile.length >= LEAST, `${meanwhile.length} rows got through, at ${meanwhile.join()} of the backlog`)
})
