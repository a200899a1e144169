// PD's answers, mostly as recorded from a real one.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  AdvanceTxnSafePointRequest,
  DeleteGCBarrierRequest,
  ErrorType,
  GetGCStateRequest,
  PDService,
  SetGCBarrierRequest,
  TsoRequest,
  UpdateServiceGCSafePointRequest,
} from '../../proto/pdpb.ts'
import { call, first, startWorld } from '../world.fixture.ts'
import { GcState } from './gc.ts'
import { TimestampOracle } from './tso.ts'

test('a wrong cluster id is refused by status, an unknown store in the header, an unknown region by silence', async () => {
  await using world = await startWorld()
  const { pd, header, clusterId } = world
  await assert.rejects(
    call(pd, PDService.getAllStores, { header: { ...header, clusterId: 4242n }, excludeTombstoneStores: false }),
    {
      code: 9,
      details: `mismatch cluster id, need ${clusterId} but got 4242`,
    },
  )
  const store = await call(pd, PDService.getStore, { header, storeId: 987_654n })
  assert.deepEqual(store.header?.error, { type: 1, message: 'invalid store ID 987654, not found' })
  const region = await call(pd, PDService.getRegionById, { header, regionId: 99_999_999n, needBuckets: false })
  assert.deepEqual([region.header?.error, region.region, region.leader], [undefined, undefined, undefined])
})

test('the tso stream answers each request with the last of its timestamps, and ends on count 0 or a wrong id', async () => {
  await using world = await startWorld()
  const { pd, header, clusterId } = world
  const stream = pd.tso()
  stream.write(TsoRequest.create({ header, count: 5 }))
  const one = await first(stream)
  stream.write(TsoRequest.create({ header, count: 5 }))
  const two = await first(stream)
  stream.end()
  assert.equal(two.count, 5)
  const at = (answer: typeof one): bigint =>
    ((answer.timestamp?.physical ?? 0n) << 18n) + (answer.timestamp?.logical ?? 0n)
  assert.ok(at(two) - at(one) >= 5n)
  for (const [request, code, details] of [
    [{ header, count: 0 }, 2, '[PD:tso:ErrGenerateTimestamp]generate timestamp failed, tso count should be positive'],
    [{ header: { ...header, clusterId: 4242n }, count: 1 }, 9, `mismatch cluster id, need ${clusterId} but got 4242`],
  ] as const) {
    const bad = pd.tso()
    bad.write(TsoRequest.create(request))
    await assert.rejects(first(bad), { code, details })
  }
})

test('while PD has no leader it says so, and works again after', async () => {
  await using world = await startWorld()
  await world.admin('POST', '/faults/pd-leader', { seconds: 60 })
  await assert.rejects(world.ts(), { code: 14, details: 'not leader' })
  await world.admin('POST', '/faults/clear', {})
  assert.ok((await world.ts()) > 0n)
})

test('gc_worker stands ten minutes back, and a service point below the least is not stored', async () => {
  await using world = await startWorld()
  const { pd, header } = world
  const update = (id: string, safePoint: bigint, TTL = 3600n) =>
    call(
      pd,
      PDService.updateServiceGcSafePoint,
      UpdateServiceGCSafePointRequest.create({ header, serviceId: Buffer.from(id), TTL, safePoint }),
    )
  const now = await world.ts()
  const worker = await update('new', now)
  assert.equal(worker.serviceId.toString(), 'gc_worker')
  const behindMs = (now >> 18n) - (worker.minSafePoint >> 18n)
  assert.ok(behindMs >= 600_000n && behindMs < 610_000n, `${behindMs} ms`)
  const refused = await update('old', 1n)
  assert.ok(refused.minSafePoint > 1n)
  const { json } = await world.admin('POST', '/faults/advance-gc', { safePoint: String(now + 100n) })
  assert.ok('gcWorker' in json)
  const held = await update('ticdc', now + 200n)
  assert.deepEqual([held.serviceId.toString(), held.minSafePoint], ['new', now])
  const removed = await update('new', 0n, 0n)
  assert.equal(removed.minSafePoint, now + 100n)
})

test('barriers hold GC back, and none is set behind the safe point', async () => {
  await using world = await startWorld()
  const { pd, header } = world
  const now = await world.ts()
  const set = (barrierId: string, barrierTs: bigint, ttlSeconds = 3600n) =>
    call(pd, PDService.setGcBarrier, SetGCBarrierRequest.create({ header, barrierId, barrierTs, ttlSeconds }))
  const behind = await set('behind', 1n)
  assert.match(behind.header?.error?.message ?? '', /ErrGCBarrierTSBehindTxnSafePoint.* ts 1 which is already behind/)
  assert.equal((await set('gc_worker', now)).header?.error?.type, ErrorType.UNKNOWN)
  assert.equal((await set('ticdc', now)).newBarrierInfo?.barrierTs, now)

  const target = now + 1000n
  const advanced = await call(pd, PDService.advanceTxnSafePoint, AdvanceTxnSafePointRequest.create({ header, target }))
  assert.equal(advanced.newTxnSafePoint, now)
  assert.match(advanced.blockerDescription, /ticdc/)
  const remove = (barrierId: string) =>
    call(pd, PDService.deleteGcBarrier, DeleteGCBarrierRequest.create({ header, barrierId }))
  assert.equal((await remove('ticdc')).deletedBarrierInfo?.barrierTs, now)
  const unknown = await remove('ticdc')
  assert.deepEqual([unknown.header?.error, unknown.deletedBarrierInfo], [undefined, undefined])
  const state = await call(pd, PDService.getGcState, GetGCStateRequest.create({ header }))
  assert.deepEqual([state.gcState?.txnSafePoint, state.gcState?.gcBarriers], [now, []])
})

test('service points expire, gc_worker never', () => {
  let now = 1_000_000_000_000
  const gc = new GcState({ saved: undefined, now: () => now, changed: () => {} })
  gc.update('a', 10n, gc.txnSafePoint + 5n)
  assert.deepEqual(
    gc.list().map(({ id }) => id),
    ['gc_worker', 'a'],
  )
  now += 12_000
  assert.deepEqual(
    gc.list().map(({ id }) => id),
    ['gc_worker'],
  )
})

test('timestamps grow when the clock stands still, goes back, or the process starts again', () => {
  let now = 1000
  let saved = 0n
  const oracle = new TimestampOracle({ saved, save: (ms) => (saved = ms), now: () => now })
  const seen = [oracle.next(), oracle.next(1 << 17), oracle.next(1 << 17), oracle.next()]
  now = 500
  seen.push(oracle.next())
  const again = new TimestampOracle({ saved, save: (ms) => (saved = ms), now: () => now })
  seen.push(again.next())
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => Number(a - b)),
  )
  assert.equal(new Set(seen).size, seen.length)
})
