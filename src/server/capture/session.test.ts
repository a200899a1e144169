import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { systemClock } from '../../base/clock.ts'
import { createFence } from '../../base/fence.ts'
import { silentLog } from '../../base/log.ts'
import { available, type EtcdServer, startEtcd } from '../../../test/support/etcd.ts'
import { waitFor } from '../../../test/support/process.ts'
import { requireOrSkip } from '../../../test/support/require.ts'
import { type Etcd, openEtcd } from '../etcd/etcd.ts'
import { clusterKeys } from '../store/keys.ts'
import { formatCaptureInfo } from '../store/values.ts'
import { Session, type SessionParts } from './session.ts'

let server: EtcdServer | undefined
before(async () => {
  if ((await available()) === true) server = await startEtcd()
})
after(async () => server?.[Symbol.asyncDispose]())

const signal = AbortSignal.timeout(60_000)
const openTestEtcd = (): Etcd =>
  openEtcd({ endpoints: [server?.url ?? ''], security: {}, log: silentLog, clock: systemClock })

const capture = { address: 'a:1', version: 'v8.5.0', gitHash: 'tidewire-test', deployPath: '', startTimestamp: 1 }
const partsOf = (etcd: Etcd, clusterId: string): SessionParts => ({
  etcd,
  keys: clusterKeys(clusterId),
  ttlSeconds: 2,
  fence: createFence(),
  clock: systemClock,
  log: silentLog,
  topology: `/topology/ticdc/${clusterId}/`,
  capture,
})
const foreign = formatCaptureInfo({ ...capture, id: 'other', gitHash: 'd92e39f' })

test('a session registers its capture, opens the fence, sees others, and takes all back', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  using etcd = openTestEtcd()
  const [one, two] = [partsOf(etcd, 'see'), partsOf(etcd, 'see')]
  const first = await Session.open(one, signal)
  {
    await using second = await Session.open(two, signal)
    await waitFor('both captures', () => first.captures.length === 2 && second.captures.length === 2)
    assert.equal(one.fence.open(), true)
    assert.ok((await etcd.get('/topology/ticdc/see/a:1', signal)) !== undefined)
    const leadership = await first.campaign(signal)
    const next = second.campaign(signal)
    await first.withdraw(leadership)
    assert.ok((await next).createRevision > leadership.createRevision)
  }
  await waitFor('the end of the second capture', () => first.captures.length === 1)
  assert.equal(two.fence.open(), false)
  await first[Symbol.asyncDispose]()
  assert.deepEqual((await etcd.list(one.keys.all, signal)).entries, [])
})

test('beside a live TiCDC no capture starts', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  using etcd = openTestEtcd()
  const parts = partsOf(etcd, 'beside')
  await etcd.put(parts.keys.capture('other'), foreign, {}, signal)
  await assert.rejects(Session.open(parts, signal), { code: 'CDC:ErrVersionIncompatible' })
  assert.equal((await etcd.list(parts.keys.all, signal)).entries.length, 1)
})

test('when a TiCDC capture appears the session ends', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  using etcd = openTestEtcd()
  const parts = partsOf(etcd, 'appears')
  await using session = await Session.open(parts, signal)
  await etcd.put(parts.keys.capture('other'), foreign, {}, signal)
  await waitFor('the end of the session', () => session.signal.aborted)
  assert.equal(session.signal.reason.code, 'CDC:ErrVersionIncompatible')
})

test('a lease that is lost ends the session and closes the fence', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  using etcd = openTestEtcd()
  const parts = partsOf(etcd, 'lost')
  await using session = await Session.open(parts, signal)
  const lease = (await etcd.get(parts.keys.capture(session.id), signal))?.lease ?? 0n
  await etcd.revokeLease(lease, signal)
  await waitFor('the end of the session', () => session.signal.aborted)
  await waitFor('the end of the fence', () => !parts.fence.open())
})

test('a capture whose key is deleted writes nothing more, although its lease is alive', async (t) => {
  if (!(await requireOrSkip(t, available))) return
  using etcd = openTestEtcd()
  const parts = { ...partsOf(etcd, 'deleted'), ttlSeconds: 60 }
  await using session = await Session.open(parts, signal)
  await etcd.delete(parts.keys.capture(session.id), {}, signal)
  await waitFor('the end of the session', () => session.signal.aborted)
  assert.equal(parts.fence.open(), false)
})

test('an etcd that does not answer closes the fence before the lease ends', async (t) => {
  if (!(await requireOrSkip(t, available)) || server === undefined) return
  using etcd = openTestEtcd()
  const parts = partsOf(etcd, 'silent')
  const session = await Session.open(parts, signal)
  server.pause()
  try {
    await waitFor('the end of the fence', () => !parts.fence.open())
    assert.equal(session.signal.aborted, false)
    await waitFor('the end of the session', () => session.signal.aborted)
    assert.equal(session.signal.reason.code, 'CDC:ErrLeaseExpired')
  } finally {
    server.resume()
  }
  await session[Symbol.asyncDispose]()
})
