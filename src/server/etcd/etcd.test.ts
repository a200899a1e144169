import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Etcd3 } from 'etcd3'
import { systemClock } from '../../base/clock.ts'
import { silentLog } from '../../base/log.ts'
import type { SecurityOptions } from '../../upstream/pd/pd.ts'
import { hasOpenssl, makeCertificates } from '../../../test/support/certificates.ts'
import { available, type EtcdServer, startEtcd } from '../../../test/support/etcd.ts'
import { waitFor } from '../../../test/support/process.ts'
import { requireOrSkip } from '../../../test/support/require.ts'
import { campaign, lossOf, withdraw } from './election.ts'
import { type Etcd, type EtcdWatchEvent, openEtcd } from './etcd.ts'

let server: EtcdServer | undefined
before(async () => {
  if ((await available()) === true) server = await startEtcd()
})
after(async () => server?.[Symbol.asyncDispose]())

const open = (...endpoints: string[]): Etcd =>
  openEtcd({
    endpoints: [...endpoints, server?.url ?? ''],
    security: {},
    log: silentLog,
    clock: systemClock,
  })
const signal = AbortSignal.timeout(60_000)

test('keys are put, read, listed by prefix and deleted', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  using etcd = open()
  await etcd.put('/kv/a', '1', {}, signal)
  await etcd.put('/kv/b', 'ü', {}, signal)
  await etcd.put('/kw', '3', {}, signal)
  assert.equal((await etcd.get('/kv/b', signal))?.value, 'ü')
  assert.equal(await etcd.get('/kv/c', signal), undefined)
  assert.deepEqual(
    (await etcd.list('/kv/', signal)).entries.map(({ key }) => key),
    ['/kv/a', '/kv/b'],
  )
  assert.equal(await etcd.delete('/kv/', { prefix: true }, signal), 2)
  assert.notEqual(await etcd.clusterId(signal), 0n)
  const independent = new Etcd3({ hosts: server?.url ?? '' })
  assert.equal(await independent.get('/kw').string(), '3')
  independent.close()
})

test('a transaction is done only where all its conditions hold', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  using etcd = open()
  const absent = { key: '/txn/a', modRevision: 0n }
  const create = [
    { put: '/txn/a', value: '1' },
    { put: '/txn/b', value: '2' },
  ]
  const done = async (...args: Parameters<Etcd['txn']>): Promise<boolean> => (await etcd.txn(...args)).succeeded
  assert.equal(await done([absent], create, { repeatable: false }, signal), true)
  assert.equal(await done([absent], [{ delete: '/txn/', prefix: true }], { repeatable: false }, signal), false)
  const modRevision = (await etcd.get('/txn/a', signal))?.modRevision ?? 0n
  assert.equal(
    await done([{ key: '/txn/a', modRevision }], [{ delete: '/txn/', prefix: true }], { repeatable: false }, signal),
    true,
  )
  assert.deepEqual((await etcd.list('/txn/', signal)).entries, [])
})

test('an endpoint that does not answer is passed over', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  using etcd = open('http://127.0.0.1:1')
  await etcd.put('/over', '1', {}, signal)
  assert.equal((await etcd.get('/over', signal))?.value, '1')
})

test('an unreachable etcd is a coded error', async () => {
  using etcd = openEtcd({ endpoints: ['http://127.0.0.1:1'], security: {}, log: silentLog, clock: systemClock })
  const soon = AbortSignal.timeout(500)
  await assert.rejects(etcd.renewLease(1n, 300, soon), { code: 'CDC:ErrPDEtcdAPIError' })
})

test('TLS: an address of numbers is dialled, the client shows its certificate', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  if (!hasOpenssl) return t.skip('openssl is missing')
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-etcd-tls-'))
  try {
    const security = makeCertificates(folder)
    await using secure = await startEtcd(security)
    const openWith = (files: SecurityOptions): Etcd =>
      openEtcd({ endpoints: [secure.url], security: files, log: silentLog, clock: systemClock })
    using etcd = openWith(security)
    await etcd.put('/tls', '1', {}, signal)
    assert.equal((await etcd.get('/tls', signal))?.value, '1')
    using anonymous = openWith({ caPath: security.caPath })
    await assert.rejects(anonymous.renewLease(1n, 2000, signal), { code: 'CDC:ErrPDEtcdAPIError' })
    return undefined
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a watch gives the snapshot, then every change, also over a restart of the server', async (t) => {
  if (!(await requireOrSkip(t, available)) || server === undefined) return
  using etcd = open()
  const stop = new AbortController()
  const seen: EtcdWatchEvent[] = []
  await etcd.put('/watch/a', '0', {}, signal)
  const watching = (async () => {
    for await (const event of etcd.watch('/watch/', stop.signal)) seen.push(event)
  })()
  const values = (): readonly (string | undefined)[] =>
    seen.flatMap((event) =>
      event.type === 'snapshot'
        ? event.entries.map(({ value }) => value)
        : event.changes.map(({ entry }) => entry?.value),
    )
  await waitFor('the snapshot', () => seen.length === 1)
  await etcd.put('/watch/a', '1', {}, signal)
  await waitFor('the change', () => values().includes('1'))
  await server.restart()
  await etcd.put('/watch/b', '2', {}, signal)
  await etcd.delete('/watch/a', {}, signal)
  await waitFor('the deletion', () => values().at(-1) === undefined)
  assert.deepEqual(values(), ['0', '1', '2', undefined])
  stop.abort()
  await watching
})

test('a lease keeps its keys while it is renewed, and takes them with it', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  using etcd = open()
  const lease = await etcd.grantLease(5, signal)
  await etcd.put('/lease/a', '1', { lease }, signal)
  assert.equal(await etcd.renewLease(lease, 1000, signal), 5)
  await etcd.revokeLease(lease, signal)
  assert.equal(await etcd.get('/lease/a', signal), undefined)
  assert.ok((await etcd.renewLease(lease, 1000, signal)) <= 0)
  await etcd.revokeLease(lease, signal)
})

test('the oldest candidate leads; the next one follows when it is gone', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  using etcd = open()
  const leases = [
    await etcd.grantLease(60, signal),
    await etcd.grantLease(60, signal),
    await etcd.grantLease(60, signal),
  ]
  const [first = 0n, second = 0n, third = 0n] = leases
  const leader = await campaign(etcd, '/elect', first, 'one', signal)
  const order: string[] = []
  const stop = new AbortController()
  const waiting = campaign(etcd, '/elect', second, 'two', stop.signal)
  await waitFor('the second candidate', async () => (await etcd.list('/elect/', signal)).entries.length === 2)
  const last = campaign(etcd, '/elect', third, 'three', signal).then((won) => {
    order.push('three')
    return won
  })
  await waitFor('the third candidate', async () => (await etcd.list('/elect/', signal)).entries.length === 3)
  assert.equal((await etcd.oldest('/elect/', signal))?.value, 'one')
  const lost = lossOf(etcd, leader, signal)
  await withdraw(etcd, leader, signal)
  await lost
  const next = await waiting
  assert.deepEqual(order, [])
  assert.equal(next.key, `/elect/${second.toString(16)}`)
  await etcd.revokeLease(second, signal)
  await last
  stop.abort()
})
