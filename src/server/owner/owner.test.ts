import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Registry } from 'prom-client'
import { waitFor } from '../../../test/support/process.ts'
import { systemClock } from '../../base/clock.ts'
import { silentLog } from '../../base/log.ts'
import { defaultReplicaConfig } from '../../config/replica-config-toml.ts'
import type { ChangefeedState } from '../../event/changefeed.ts'
import { Ts } from '../../tidb/ts.ts'
import type { PdClient } from '../../upstream/pd/pd.ts'
import type { Etcd, EtcdEntry } from '../etcd/etcd.ts'
import { AdminJob } from '../handle.ts'
import { clusterKeys } from '../store/keys.ts'
import { formatNewInfo, formatStatus } from '../store/values.ts'
import { Owner, type OwnerParts } from './owner.ts'

const keys = clusterKeys('test')
const changefeed = { namespace: 'default', id: 'one' }
const leadership = { key: `${keys.owner}/1`, createRevision: 1n }

/** Keys in memory; every transaction's conditions hold. */
class MemoryEtcd implements Partial<Etcd> {
  readonly entries = new Map<string, EtcdEntry>()
  #revision = 1n
  #lost = Promise.withResolvers<void>()

  set(key: string, value: string): void {
    const createRevision = this.entries.get(key)?.createRevision ?? this.#revision
    this.entries.set(key, { key, value, createRevision, modRevision: this.#revision++, lease: 0n })
  }

  async get(key: string): Promise<EtcdEntry | undefined> {
    return this.entries.get(key)
  }

  async txn(...[, operations]: Parameters<Etcd['txn']>): ReturnType<Etcd['txn']> {
    for (const operation of operations) if ('put' in operation) this.set(operation.put, operation.value)
    return { succeeded: true, revision: this.#revision - 1n }
  }

  async *watch(_prefix: string, signal: AbortSignal): ReturnType<Etcd['watch']> {
    while (!signal.aborted) {
      yield { type: 'snapshot', entries: [...this.entries.values()], revision: this.#revision }
      this.#lost = Promise.withResolvers()
      signal.addEventListener('abort', () => this.#lost.resolve(), { once: true })
      await this.#lost.promise
    }
  }

  /** The watch is broken off: it begins again with all that there is. */
  watchAgain(): void {
    this.#lost.resolve()
  }
}

/** PD for a run that gets as far as its first hold of a safe point, where `hold` decides. */
const holding = (hold: (ts: Ts) => Promise<Ts>): Partial<PdClient> => ({
  updateServiceSafePoint: async (id, _ttl, ts) => (id.includes('-initializing-') ? hold(ts) : Ts(1n)),
  tso: async () => Ts(300n),
})

/** An owner of one changefeed. */
async function own(t: TestContext, state: ChangefeedState, pd: Partial<PdClient>) {
  const etcd = new MemoryEtcd()
  etcd.set(leadership.key, 'capture')
  const info = {
    upstreamId: 1n,
    changefeed,
    sinkUri: 'blackhole://',
    createTime: '',
    startTs: Ts(100n),
    targetTs: Ts(0n),
    adminJob: AdminJob.None,
    config: defaultReplicaConfig,
    state,
    creatorVersion: 'v8.5.0',
    epoch: 1n,
  }
  etcd.set(keys.info(changefeed), formatNewInfo(info))
  etcd.set(keys.status(changefeed), formatStatus({ checkpointTs: Ts(150n), minTableBarrierTs: Ts(151n) }))
  const metrics = new Registry()
  const environment = { pd, clock: systemClock, log: silentLog, metrics, captureAddress: 'a:1' }
  const common = { keys, clusterId: 'test', etcdClusterId: 1n, leadership, captureId: 'capture', gcTtlSeconds: 60 }
  const parts: unknown = { ...common, etcd, environment }
  const owner = new Owner(parts as OwnerParts)
  const stop = new AbortController()
  const running = owner.run(stop.signal)
  running.catch(() => {})
  t.after(async () => {
    stop.abort()
    await running.catch(() => {})
  })
  await owner.loaded
  return { owner, etcd, feed: owner.feed(changefeed) }
}

test('a resumed changefeed begins at the checkpoint that etcd has, also where its writer never heard so', async (t) => {
  const held: Ts[] = []
  const hold = async (ts: Ts): Promise<Ts> => {
    held.push(ts)
    throw new Error('far enough')
  }
  const { owner, etcd, feed } = await own(t, 'stopped', holding(hold))
  etcd.set(keys.status(changefeed), formatStatus({ checkpointTs: Ts(200n), minTableBarrierTs: Ts(201n) }))
  await owner.dispatch(feed, { type: 'resume', checkpointTs: Ts(150n) })
  await waitFor('the run', () => held.length > 0)
  assert.equal(held[0], 200n)
})

test('a run that ends by an abort that nobody asked for is an error as any other', async (t) => {
  const hold = async (): Promise<Ts> => {
    throw new DOMException('a stranger gave up', 'AbortError')
  }
  const { feed } = await own(t, 'normal', holding(hold))
  await waitFor('the changefeed to wait for a retry', () => feed.state.state === 'pending')
  assert.ok(feed.run === undefined)
})

test('how long data is kept is told by the clock of the cluster', async (t) => {
  let updates = 0
  const pd: Partial<PdClient> = {
    async updateServiceSafePoint(_id, _ttl, ts) {
      updates++
      return ts
    },
    tso: async () => Ts(300n),
  }
  const { owner, feed } = await own(t, 'stopped', pd)
  await waitFor('the safe point', () => updates > 0)
  await new Promise((resolve) => setImmediate(resolve))
  await owner.dispatch(feed, { type: 'tick' })
  assert.equal(feed.state.state, 'stopped')
})

test('a changefeed that was deleted and is there again waits for the end of the run before', async (t) => {
  const held: PromiseWithResolvers<Ts>[] = []
  const hold = (): Promise<Ts> => {
    const one = Promise.withResolvers<Ts>()
    held.push(one)
    return one.promise
  }
  t.after(() => held.forEach((one) => one.reject(new Error('far enough'))))
  const { owner, etcd } = await own(t, 'normal', holding(hold))
  await waitFor('the first run', () => held.length === 1)
  const key = keys.info(changefeed)
  const info = etcd.entries.get(key)?.value ?? ''
  etcd.entries.delete(key)
  etcd.watchAgain()
  await waitFor('the changefeed to be gone', () => !owner.has(changefeed))
  etcd.set(key, info)
  etcd.watchAgain()
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(held.length, 1)
  held[0]?.reject(new Error('far enough'))
  await waitFor('the next run', () => {
    etcd.watchAgain()
    return held.length === 2
  })
})
