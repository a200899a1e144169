// A row that nobody can decode: its changefeed stops and says which row, others go on, and it can be resumed after the fix.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createConnection } from 'mysql2/promise'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { CommitRequest, Op, PrewriteRequest } from '../../src/proto/kvrpcpb.ts'
import { TikvService } from '../../src/proto/tikvpb.ts'
import { hexOf, intHandle, recordKey } from '../../src/tidb/key.ts'
import { openPdClient } from '../../src/upstream/pd/client.ts'
import { openKvClient } from '../../src/upstream/tikv/kv-client.ts'
import { available as pythonAvailable, consumeAll } from '../support/consumer.ts'
import { readCanalJson } from '../support/delivered.ts'
import { available as kafkaAvailable, startKafka } from '../support/kafka.ts'
import { waitFor } from '../support/process.ts'
import { requireOrSkip } from '../support/require.ts'
import { caughtUp, changefeed, cli, clusterTs, startPlayground, startServer } from '../support/stack.ts'

/** A row v2 whose column 2 has three bytes: no integer has so many. */
const BROKEN = Buffer.from('800001000000020300010203', 'hex')

test('a row that does not decode stops its changefeed alone, by name, and nothing is skipped', async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
  await using kafka = await startKafka()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd })
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-bad-row-'))
  const [host = '', port = ''] = playground.sql.split(':')
  const sql = await createConnection({ host, port: Number(port), user: 'root', database: 'test' })
  try {
    await sql.query('CREATE TABLE broken (id BIGINT PRIMARY KEY, v INT)')
    await sql.query('CREATE TABLE whole (id BIGINT PRIMARY KEY, v INT)')
    const config = join(folder, 'whole.toml')
    await writeFile(config, "[filter]\nrules = ['test.whole']\n")
    const uri = (topic: string): string =>
      `kafka://${kafka.bootstrap}/${topic}?protocol=canal-json&enable-tidb-extension=true&partition-num=1`
    const create = ['changefeed', 'create', '--no-confirm']
    await cli(server, ...create, '--changefeed-id', 'all', '--sink-uri', uri('all'))
    await cli(server, ...create, '--changefeed-id', 'some', '--sink-uri', uri('some'), '--config', config)
    await sql.query('INSERT INTO broken VALUES (1, 1)')
    await sql.query('INSERT INTO whole VALUES (1, 1)')
    await caughtUp(server, 'all', await clusterTs(server, playground.pd))

    const key = recordKey(await tableId(playground.admin, 'test.broken'), intHandle(2n))
    const commitTs = await writeRaw(playground.pd, key, BROKEN)
    await sql.query('INSERT INTO broken VALUES (3, 3)')
    await sql.query('INSERT INTO whole VALUES (2, 2)')

    const failed = await waitFor('the changefeed to stop', async () => {
      const found = await changefeed(server, 'all')
      return found.state === 'warning' && found
    })
    assert.equal(failed.error?.code, 'CDC:ErrDecodeRowToDatum')
    for (const part of ['`test`.`broken`', hexOf(key), 'column v', `commitTs ${commitTs}`])
      assert.ok(failed.error.message.includes(part), `${failed.error.message} does not say ${part}`)
    assert.ok(BigInt(failed.checkpoint_ts) < commitTs, 'the checkpoint stays below the row')
    await caughtUp(server, 'some', await clusterTs(server, playground.pd))
    assert.equal((await changefeed(server, 'some')).state, 'normal')

    // Without a fix it stops again, at the same row.
    await cli(server, 'changefeed', 'pause', '--changefeed-id', 'all')
    await cli(server, 'changefeed', 'resume', '--changefeed-id', 'all', '--no-confirm')
    await waitFor('it to stop again', async () => {
      const found = await changefeed(server, 'all')
      return found.state === 'warning' && found.error?.message.includes(`commitTs ${commitTs}`)
    })

    // The fix: the table is left out, everything else is taken from where it stopped.
    await cli(server, 'changefeed', 'pause', '--changefeed-id', 'all')
    await cli(server, 'changefeed', 'update', '--changefeed-id', 'all', '--config', config, '--no-confirm')
    await cli(server, 'changefeed', 'resume', '--changefeed-id', 'all', '--no-confirm')
    await sql.query('INSERT INTO whole VALUES (3, 3)')
    await caughtUp(server, 'all', await clusterTs(server, playground.pd))
    await caughtUp(server, 'some', await clusterTs(server, playground.pd))
    for (const topic of ['all', 'some']) {
      const rows = readCanalJson(await consumeAll(kafka.bootstrap, [topic])).filter((event) => event.kind === 'row')
      const ids = (table: string) => [...new Set(rows.filter((row) => row.table === table).map(({ row }) => row['id']))]
      assert.deepEqual(ids('whole'), ['1', '2', '3'], topic)
      assert.deepEqual(ids('broken'), topic === 'all' ? ['1'] : [], `${topic}: rows of broken`)
    }
  } finally {
    sql.destroy()
    await rm(folder, { recursive: true, force: true })
  }
})

async function tableId(admin: string, name: string): Promise<bigint> {
  const answer = await fetch(`${admin}/history?table=${name}`)
  const text = await answer.text()
  const [, key = ''] = /"key":\s*"(\w+)"/.exec(text) ?? []
  return BigInt.asUintN(64, Buffer.from(key, 'hex').readBigUInt64BE(1) ^ (1n << 63n))
}

/** Writes one pair in a transaction, past every check of SQL; resolves to its commitTs. */
async function writeRaw(url: string, key: Uint8Array, value: Buffer): Promise<bigint> {
  const signal = AbortSignal.timeout(20_000)
  const common = { security: {}, log: silentLog, clock: systemClock }
  await using pd = await openPdClient({ endpoints: [url], ...common }, signal)
  await using kv = openKvClient({ pd, ...common })
  const primary = Buffer.from(key)
  const startVersion = await pd.tso(signal)
  const prewritten = await kv.call(
    key,
    TikvService.kvPrewrite,
    (context) =>
      PrewriteRequest.fromPartial({
        context,
        mutations: [{ op: Op.Put, key: primary, value }],
        primaryLock: primary,
        startVersion,
        lockTtl: 20_000n,
        txnSize: 1n,
      }),
    signal,
  )
  assert.deepEqual(prewritten.answer.errors, [])
  const commitVersion = await pd.tso(signal)
  const committed = await kv.call(
    key,
    TikvService.kvCommit,
    (context) => CommitRequest.fromPartial({ context, startVersion, keys: [primary], commitVersion }),
    signal,
  )
  assert.equal(committed.answer.error, undefined)
  return commitVersion
}
