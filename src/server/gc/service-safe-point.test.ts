import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ts, tsOfMs } from '../../tidb/ts.ts'
import type { PdClient } from '../../upstream/pd/pd.ts'
import { createServiceSafePoint, gcError } from './service-safe-point.ts'

const signal = new AbortController().signal

/** PD's service safe points, as PD answers before it stores. */
function createPd(gcWorker: bigint): {
  readonly pd: Pick<PdClient, 'updateServiceSafePoint'>
  readonly services: Map<string, bigint>
} {
  const services = new Map([['gc_worker', gcWorker]])
  const least = (): bigint => [...services.values()].reduce((a, b) => (a < b ? a : b))
  return {
    services,
    pd: {
      async updateServiceSafePoint(id, ttl, safePoint) {
        if (ttl <= 0) services.delete(id)
        else if (safePoint >= least()) services.set(id, safePoint)
        return Ts(least())
      },
    },
  }
}

const safePointOf = (pd: Pick<PdClient, 'updateServiceSafePoint'>) =>
  createServiceSafePoint(pd, { clusterId: 'default', etcdClusterId: 7n, ttlSeconds: 86_400 })

test('holds have the names that other tools know, and go again', async () => {
  const { pd, services } = createPd(5n)
  const safePoint = safePointOf(pd)
  const changefeed = { namespace: 'default', id: 'a' }
  await safePoint.hold('creating', changefeed, Ts(9n), signal)
  await safePoint.update(Ts(8n), signal)
  assert.deepEqual(
    [...services],
    [
      ['gc_worker', 5n],
      ['ticdc-default-7-creating-default_a', 9n],
      ['ticdc-default-7', 8n],
    ],
  )
  await safePoint.release(['creating', 'resuming'], changefeed, signal)
  await safePoint.update(undefined, signal)
  assert.deepEqual([...services.keys()], ['gc_worker'])
})

test('what is collected already cannot be held', async () => {
  const { pd } = createPd(10n)
  for (const ts of [9n, 10n])
    await assert.rejects(safePointOf(pd).hold('creating', { namespace: 'n', id: 'a' }, Ts(ts), signal), {
      code: 'CDC:ErrStartTsBeforeGC',
    })
})

const nowMs = 1_700_000_000_000
const agoTs = (seconds: number): Ts => tsOfMs(nowMs - seconds * 1000)
const cases = [
  ['we hold it, within the ttl', agoTs(50), agoTs(50), agoTs(50), undefined],
  ['we hold it for too long', agoTs(101), agoTs(101), agoTs(101), 'CDC:ErrGCTTLExceeded'],
  ['another service holds an older one', agoTs(500), agoTs(500), agoTs(600), undefined],
  ['ours was refused, the checkpoint is lost', agoTs(50), Ts(agoTs(50) - 1n), agoTs(40), 'CDC:ErrSnapshotLostByGC'],
  ['ours was refused, this checkpoint is above', agoTs(30), Ts(agoTs(50) - 1n), agoTs(40), undefined],
] as const
for (const [name, checkpointTs, ownTs, leastTs, code] of cases)
  test(`garbage collection: ${name}`, () =>
    assert.equal(gcError('default/a', checkpointTs, { ownTs, leastTs, nowMs, ttlSeconds: 100 })?.code, code))
