// The reader against a simulated cluster that splits, merges, loses leaders, connections and stores meanwhile. Nothing is
// known of the cluster but its ports: what was written is what its history says.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { type Clock, systemClock } from '../../base/clock.ts'
import { silentLog } from '../../base/log.ts'
import type { RawKv } from '../../event/raw-kv.ts'
import { parseJson } from '../../tidb/json-big.ts'
import { compareBytes, intHandle, rawRecordRange, recordKey, tableRecordRange } from '../../tidb/key.ts'
import { previousTs, Ts } from '../../tidb/ts.ts'
import { openPdClient } from '../pd/client.ts'
import type { PdClient } from '../pd/pd.ts'
import {
  type Cluster,
  DEAD_MODES,
  LIVING_MODES,
  runTxn,
  startCluster,
  type TxnMode,
  type Write,
} from '../../../test/support/simulated-cluster.ts'
import { openEventFeed } from './event-feed.ts'
import type { EventFeed, FeedSink } from './feed.ts'
import { type KvClient, openKvClient } from './kv-client.ts'
import { openSnapshot } from './kv-snapshot.ts'

/** One change as text, to compare sets of them. */
type Change = string
const change = (
  startTs: bigint,
  commitTs: bigint,
  key: string,
  value: string | undefined,
  old: string | undefined,
): Change => `${commitTs} ${startTs} ${key} ${value ?? '-'} ${old ?? '-'}`

class Collector implements FeedSink {
  readonly changes = new Set<Change>()
  resolvedTs: Ts
  error: Error | undefined

  constructor(startTs: Ts) {
    this.resolvedTs = startTs
  }
  rows(rows: readonly RawKv[]): void {
    for (const { startTs, commitTs, key, value, oldValue } of rows) {
      assert.ok(commitTs > this.resolvedTs, `row at ${commitTs} after resolved ${this.resolvedTs}`)
      this.changes.add(change(startTs, commitTs, hex(key), base64(value), base64(oldValue)))
    }
  }
  resolved(ts: Ts): void {
    assert.ok(ts > this.resolvedTs)
    this.resolvedTs = ts
  }
  failed(error: Error): void {
    this.error = error
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const base64 = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString('base64')

/** What the cluster says was committed, with the old value that each change saw. */
async function history(cluster: Cluster, tableId: number): Promise<Set<Change>> {
  const text = await (await fetch(`${cluster.admin}/history?table=${tableId}`)).text()
  const changes = new Set<Change>()
  const current = new Map<string, string | undefined>()
  const versions = parseJson(text)
  assert.ok(
    typeof versions === 'object' && versions !== null && 'versions' in versions && Array.isArray(versions.versions),
  )
  const sorted = versions.versions
    .map((one) => ({
      key: String(one.key),
      op: one.op,
      value: one.value,
      startTs: BigInt(one.startTs),
      commitTs: BigInt(one.commitTs),
    }))
    .toSorted((a, b) => (a.commitTs < b.commitTs ? -1 : 1))
  for (const { key, op, value, startTs, commitTs } of sorted) {
    const after = op === 'put' ? String(value) : undefined
    changes.add(change(startTs, commitTs, key, after, current.get(key)))
    current.set(key, after)
  }
  return changes
}

/** A small generator of numbers that gives the same ones every time. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return Math.floor((state / 0x8000_0000) * below)
  }
}

interface Setup extends AsyncDisposable {
  readonly cluster: Cluster
  readonly pd: PdClient
  readonly kv: KvClient
  readonly feed: EventFeed
}

/** Pauses are a tenth as long as in life. */
const hasty: Clock = {
  ...systemClock,
  monotonic: () => performance.now() * 10,
  sleep: (ms, signal) => systemClock.sleep(ms / 10, signal),
}

async function open(signal: AbortSignal): Promise<Setup> {
  const stack = new AsyncDisposableStack()
  const cluster = stack.use(await startCluster())
  const common = { security: {}, log: silentLog, clock: hasty }
  const pd = stack.use(await openPdClient({ endpoints: [cluster.pd], ...common }, signal))
  const kv = stack.use(openKvClient({ pd, ...common }))
  const feed = stack.use(openEventFeed({ pd, ...common }))
  return { cluster, pd, kv, feed, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  while (!condition()) await systemClock.sleep(5, signal)
}

function randomTxn(next: (below: number) => number, tableId: bigint): Write[] {
  const count = 1 + next(8)
  const handles = new Set(Array.from({ length: count }, () => next(60)))
  return [...handles].map((handle) => ({
    key: recordKey(tableId, intHandle(BigInt(handle))),
    value: next(5) === 0 ? undefined : Buffer.alloc(1 + next(600), 97 + next(26)),
  }))
}

/** Faults that end by themselves. */
const FAULTS: readonly [name: string, body: object][] = [
  ['split', { tableId: 1001, count: 3 }],
  ['transfer-leader', { tableId: 1001 }],
  ['region-error', { kind: 'epoch_not_match', count: 2 }],
  ['cut-streams', {}],
  ['merge', { tableId: 1001 }],
  ['region-error', { kind: 'congested', count: 2 }],
  ['split', { tableId: 1001, count: 5 }],
  ['region-error', { kind: 'server_is_busy', count: 1 }],
  ['kill-store', { store: 2, seconds: 1 }],
  ['region-error', { kind: 'region_not_found', count: 3 }],
  ['pd-leader', { seconds: 1 }],
  ['transfer-leader', { tableId: 1001 }],
  ['region-error', { kind: 'not_leader', count: 2 }],
  ['merge', { tableId: 1001 }],
]

suite('event feed against a simulated cluster', { concurrency: true }, () => {
  test('the reader gives the whole history, whatever happens to regions and stores', { timeout: 60_000 }, async () => {
    const signal = AbortSignal.timeout(50_000)
    await using setup = await open(signal)
    const { cluster, pd, kv, feed } = setup
    const next = numbers(7)
    const startTs = await pd.tso(signal)
    const live = new Collector(startTs)
    const subscription = feed.subscribe(tableRecordRange(1001n), startTs, live)
    let faults: Promise<void> | undefined
    for (const [name, body] of FAULTS) {
      faults = cluster.fault(name, body)
      const writers = Array.from({ length: 4 }, async () => {
        for (let i = 0; i < 5; i++) {
          const mode: TxnMode = LIVING_MODES[next(LIVING_MODES.length)] ?? 'two-phase'
          await runTxn(kv, randomTxn(next, 1001n), mode, signal)
        }
      })
      await Promise.all([faults, ...writers])
    }
    const endTs = await pd.tso(signal)
    const late = new Collector(startTs)
    feed.subscribe(tableRecordRange(1001n), startTs, late)
    await until(() => [live, late].every((sink) => sink.resolvedTs >= endTs || sink.error !== undefined), signal)
    const expected = await history(cluster, 1001)
    assert.ok(expected.size > 200)
    for (const sink of [live, late]) {
      assert.equal(sink.error, undefined)
      assert.deepEqual([...sink.changes].toSorted(), [...expected].toSorted())
    }
    assert.equal(subscription.resolvedTs, live.resolvedTs)
    assert.equal(subscription.regions.initialized, subscription.regions.total)
  })

  test(
    'locks of dead transactions are resolved, so that a span does not stand still',
    { timeout: 60_000 },
    async () => {
      const signal = AbortSignal.timeout(50_000)
      await using setup = await open(signal)
      const { cluster, pd, kv, feed } = setup
      const startTs = await pd.tso(signal)
      const sink = new Collector(startTs)
      feed.subscribe(tableRecordRange(1002n), startTs, sink)
      const write = (handle: bigint): Write => ({ key: recordKey(1002n, intHandle(handle)), value: Buffer.from('v') })
      await runTxn(kv, [write(1n)], 'two-phase', signal)
      await cluster.fault('split', { tableId: 1002, count: 2 })
      for (const [i, mode] of DEAD_MODES.entries()) {
        const handles = [0n, 1n, 50n].map((handle) => handle + BigInt(100 * (i + 1)))
        await runTxn(kv, handles.map(write), mode, signal)
      }
      await cluster.fault('lock', { tableId: 1002, ttlMs: 1 })
      const endTs = await pd.tso(signal)
      await until(() => sink.resolvedTs >= endTs || sink.error !== undefined, signal)
      assert.equal(sink.error, undefined)
      assert.deepEqual(sink.changes, await history(cluster, 1002))
    },
  )

  test('a snapshot reads through splits and past locks what was there at its ts', { timeout: 60_000 }, async () => {
    const signal = AbortSignal.timeout(50_000)
    await using setup = await open(signal)
    const { cluster, pd, kv } = setup
    const next = numbers(11)
    for (let i = 0; i < 30; i++) await runTxn(kv, randomTxn(next, 1003n), LIVING_MODES[i % 4] ?? 'async', signal)
    const ts = await pd.tso(signal)
    const { start, end } = rawRecordRange(1003n)
    const expected = new Map<string, string>()
    const versions = [...(await history(cluster, 1003))].map((text) => text.split(' '))
    for (const [, , key = '', value = '-'] of versions.toSorted((a, b) =>
      BigInt(a[0] ?? 0) < BigInt(b[0] ?? 0) ? -1 : 1,
    )) {
      if (value === '-') expected.delete(key)
      else expected.set(key, value)
    }
    await cluster.fault('split', { tableId: 1003, count: 4 })
    await runTxn(kv, randomTxn(next, 1003n), 'left-prewritten', signal)
    for (let i = 0; i < 10; i++) await runTxn(kv, randomTxn(next, 1003n), 'two-phase', signal)
    for (const at of [ts, Ts(previousTs(ts))]) {
      const snapshot = openSnapshot(pd, at, { security: {}, log: silentLog, clock: systemClock, kv })
      const found = new Map<string, string>()
      let last: Uint8Array = Buffer.alloc(0)
      for await (const pairs of snapshot.scan(start, end, signal)) {
        for (const { key, value } of pairs) {
          assert.ok(compareBytes(last, key) < 0)
          found.set(hex(key), base64(value) ?? '')
          last = key
        }
      }
      assert.deepEqual(found, expected)
      for (const [key, value] of expected)
        assert.equal(base64(await snapshot.get(Buffer.from(key, 'hex'), signal)), value)
      assert.equal(await snapshot.get(recordKey(1003n, intHandle(-1n)), signal), undefined)
    }
  })

  test('a subscription that is disposed of gives nothing more', { timeout: 60_000 }, async () => {
    const signal = AbortSignal.timeout(50_000)
    await using setup = await open(signal)
    const { pd, kv, feed } = setup
    const startTs = await pd.tso(signal)
    const [stopped, other] = [new Collector(startTs), new Collector(startTs)]
    const subscription = feed.subscribe(tableRecordRange(1004n), startTs, stopped)
    feed.subscribe(tableRecordRange(1004n), startTs, other)
    await until(() => stopped.resolvedTs > startTs, signal)
    subscription[Symbol.dispose]()
    const before = stopped.resolvedTs
    await runTxn(kv, randomTxn(numbers(3), 1004n), 'two-phase', signal)
    const endTs = await pd.tso(signal)
    await until(() => other.resolvedTs >= endTs, signal)
    assert.equal(stopped.changes.size, 0)
    assert.equal(stopped.resolvedTs, before)
    assert.equal(stopped.error, undefined)
    assert.ok(other.changes.size > 0)
  })
})
