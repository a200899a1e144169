// The whole product in a keyspace: its schema and its rows lie behind a prefix, beside those of a cluster without.
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createConnection } from 'mysql2/promise'
import { systemClock } from '../src/base/clock.ts'
import { silentLog } from '../src/base/log.ts'
import { keyspacePrefix } from '../src/tidb/key.ts'
import type { Ts } from '../src/tidb/ts.ts'
import { openPdClient } from '../src/upstream/pd/client.ts'
import type { PdClient } from '../src/upstream/pd/pd.ts'
import { type KvClient, openKvClient } from '../src/upstream/tikv/kv-client.ts'
import { openSnapshot } from '../src/upstream/tikv/kv-snapshot.ts'
import { waitFor } from './support/process.ts'
import { runTxn } from './support/simulated-cluster.ts'
import { caughtUp, cli, command, startPlayground, startServer } from './support/stack.ts'

const common = { security: {}, log: silentLog, clock: systemClock }

/** Copies what begins with `letter` into keyspace 0, as one transaction. */
async function copyIntoKeyspace(pd: PdClient, kv: KvClient, letter: 'm' | 't', signal: AbortSignal): Promise<Ts> {
  const snapshot = openSnapshot(pd, await pd.tso(signal), { ...common, kv })
  const start = Buffer.from(letter)
  const end = Buffer.of((start[0] ?? 0) + 1)
  const writes: { key: Uint8Array; value: Uint8Array }[] = []
  for await (const pairs of snapshot.scan(start, end, signal))
    for (const { key, value } of pairs) writes.push({ key: Buffer.concat([keyspacePrefix(0), key]), value })
  return runTxn(kv, writes, 'two-phase', signal)
}

async function messages(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true })
  const files = names.filter((name) => /CDC\d+\.json$/.test(name)).toSorted()
  return (await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))).join('\n')
}

test('a changefeed of a keyspace replicates its rows, and none of others', { timeout: 120_000 }, async () => {
  const signal = AbortSignal.timeout(110_000)
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-keyspace-'))
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const playground = stack.use(await startPlayground())
  const [host = '', port = ''] = playground.sql.split(':')
  const sql = await createConnection({ host, port: Number(port), user: 'root', database: 'test' })
  stack.defer(() => sql.destroy())
  await sql.query('CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(40))')
  const pd = stack.use(await openPdClient({ endpoints: [playground.pd], ...common }, signal))
  const kv = stack.use(openKvClient({ pd, ...common }))
  await copyIntoKeyspace(pd, kv, 'm', signal)

  const config = join(folder, 'server.toml')
  await writeFile(config, 'keyspace-name = "nobody"\n')
  const refused = await command('server', '--pd', playground.pd, '--addr', '127.0.0.1:0', '--config', config)
  assert.equal(refused.code, 1)
  assert.match(refused.output, /\[CDC:ErrLoadKeyspaceFailed\]keyspace 'nobody' does not exist/)

  await writeFile(config, 'keyspace-name = "DEFAULT"\n')
  const server = stack.use(await startServer({ pd: playground.pd, args: ['--config', config] }))
  const output = join(folder, 'out')
  const uri = `file://${output}?protocol=canal-json&flush-interval=2s`
  await cli(server, 'changefeed', 'create', '--changefeed-id', 'k', '--sink-uri', uri, '--no-confirm')
  await sql.query("INSERT INTO t VALUES (1, 'copied')")
  const commitTs = await copyIntoKeyspace(pd, kv, 't', signal)
  await sql.query("INSERT INTO t VALUES (2, 'outside')")
  await caughtUp(server, 'k', BigInt(await pd.tso(signal)))
  assert.ok(commitTs > 0n)
  const text = await waitFor('the row', async () => (await messages(output)).includes('copied') && messages(output))
  assert.match(text, /"name":"copied"/)
  assert.doesNotMatch(text, /outside/)
})
