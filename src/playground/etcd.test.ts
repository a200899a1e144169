// The etcd API on PD's port, used by a client that others wrote; embedded, and with a real etcd behind the port.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { Etcd3 } from 'etcd3'

import { listen } from './shared-port.ts'
import { startWorld, until } from './world.fixture.ts'

test('etcd3 reads, writes, compares, watches and leases in the embedded etcd', async () => {
  await using world = await startWorld()
  await useEtcd(world.playground.pd)
})

const binary = await hasEtcd()
if (!binary && process.env['REQUIRE_ALL'] === '1') throw new Error('etcd is not installed (Debian: etcd-server)')
test(
  'etcd3 does the same through the port that forwards to a real etcd',
  { skip: binary ? false : 'etcd is not installed (Debian: etcd-server)' },
  async () => {
    await using etcd = await startEtcd()
    await using world = await startWorld({ etcd: etcd.url })
    await useEtcd(world.playground.pd)
    const direct = new Etcd3({ hosts: etcd.url })
    assert.equal(await direct.get('kept').string(), 'yes')
    direct.close()
  },
)

test('keys of a lease that is not kept alive go, and a watch from an old revision tells it', async () => {
  await using world = await startWorld()
  const client = new Etcd3({ hosts: world.playground.pd })
  try {
    const lease = client.lease(1, { autoKeepAlive: false })
    const put = await lease.put('mortal').value('x').exec()
    const watcher = await client.watch().key('mortal').startRevision(put.header.revision).create()
    const seen: string[] = []
    watcher.on('put', () => seen.push('put'))
    watcher.on('delete', () => seen.push('delete'))
    await until(
      () => seen.length === 2,
      () => seen.join(),
    )
    assert.deepEqual(seen, ['put', 'delete'])
    assert.equal(await client.get('mortal').string(), null)
    await watcher.cancel()
  } finally {
    client.close()
  }
})

/** What TiCDC does with etcd, in short. */
async function useEtcd(url: string): Promise<void> {
  const client = new Etcd3({ hosts: url })
  try {
    const seen: string[] = []
    const watcher = await client.watch().prefix('cdc/').withPreviousKV().create()
    watcher.on('put', (kv, previous) =>
      seen.push(`${kv.key.toString()}=${kv.value.toString()} was ${previous?.value.toString()}`),
    )
    watcher.on('delete', (kv) => seen.push(`${kv.key.toString()} deleted`))
    await client.put('cdc/a').value('1')
    await client.put('cdc/a').value('2')
    const cas = await client
      .if('cdc/a', 'Value', '==', '2')
      .then(client.put('cdc/b').value('3'))
      .else(client.get('cdc/a'))
      .commit()
    assert.equal(cas.succeeded, true)
    const lost = await client.if('cdc/none', 'Version', '>', 0).then(client.put('cdc/c').value('4')).commit()
    assert.equal(lost.succeeded, false)
    assert.deepEqual(await client.getAll().prefix('cdc/').strings(), { 'cdc/a': '2', 'cdc/b': '3' })
    assert.deepEqual(await client.getAll().prefix('cdc/').sort('Key', 'Descend').limit(1).strings(), { 'cdc/b': '3' })
    const lease = client.lease(5)
    await lease.put('cdc/leased').value('x')
    assert.equal((await lease.keepaliveOnce()).TTL, '5')
    await lease.revoke()
    assert.equal(await client.get('cdc/leased').string(), null)
    await client.delete().key('cdc/a')
    await until(
      () => seen.length >= 6,
      () => seen.join('; '),
    )
    assert.deepEqual(seen, [
      'cdc/a=1 was undefined',
      'cdc/a=2 was 1',
      'cdc/b=3 was undefined',
      'cdc/leased=x was undefined',
      'cdc/leased deleted',
      'cdc/a deleted',
    ])
    await watcher.cancel()
    await client.put('kept').value('yes')
    const status = await client.maintenance.status()
    assert.match(status.version, /^3\./)
    const members = await client.cluster.memberList({})
    assert.deepEqual(members.members[0]?.clientURLs, [url])
  } finally {
    client.close()
  }
}

async function startEtcd(): Promise<AsyncDisposable & { readonly url: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'etcd-'))
  const [client, peer] = [await freePort(), await freePort()]
  const url = `http://127.0.0.1:${client}`
  const peerUrl = `http://127.0.0.1:${peer}`
  const args = [
    '--data-dir',
    folder,
    '--listen-client-urls',
    url,
    '--advertise-client-urls',
    url,
    '--listen-peer-urls',
    peerUrl,
  ]
  const etcd = spawn(
    'etcd',
    [
      ...args,
      '--initial-advertise-peer-urls',
      peerUrl,
      '--initial-cluster',
      `default=${peerUrl}`,
      '--log-level',
      'error',
    ],
    { stdio: 'ignore' },
  )
  const ended = new Promise((resolve) => etcd.once('exit', resolve))
  let healthy = false
  await until(
    () => {
      fetch(`${url}/health`)
        .then((response) => (healthy = response.ok))
        .catch(() => {})
      return healthy
    },
    () => 'etcd does not answer',
  )
  return {
    url,
    async [Symbol.asyncDispose]() {
      etcd.kill()
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listen(server, '127.0.0.1', 0)
  await new Promise((resolve) => server.close(resolve))
  return port
}

function hasEtcd(): Promise<boolean> {
  const probe = spawn('etcd', ['--version'], { stdio: 'ignore' })
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false))
    probe.once('exit', (code) => resolve(code === 0))
  })
}
