// The reader against a simulated cluster that splits, merges, loses leaders, connections and stores meanwhile. Nothing is
// known of the cluster but its ports: what was written is what its history says.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { Registry } from 'prom-client'

import { systemClock } from '../../base/clock.ts'
import { type LogFields, silentLog } from '../../base/log.ts'
import { StageCounter } from '../../base/stage-counter.ts'
import { compareBytes, intHandle, keyspacePrefix, rawRecordRange, recordKey, tableRecordRange } from '../../tidb/key.ts'
import { previousTs, Ts } from '../../tidb/ts.ts'
import {
  ChangeCollector,
  type Connected,
  connect,
  differenceOf,
  digest,
  hasty,
  historyOf,
  randomWrites,
  runFeedModel,
} from '../../../test/support/feed-model.ts'
import { createRandom } from '../../../test/support/random.ts'
import { run, waitFor } from '../../../test/support/process.ts'
import { DEAD_MODES, LIVING_MODES, runTxn, type Write } from '../../../test/support/simulated-cluster.ts'
import { openPdClient } from '../pd/client.ts'
import { openEventFeed } from './event-feed.ts'
import { openSnapshot } from './kv-snapshot.ts'
import { createFeedMetrics } from './metrics.ts'
import type { Snapshot } from './snapshot.ts'

const PAUSED_READER = join(import.meta.dirname, '../../../test/support/paused-reader.ts')

async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  while (!condition()) await systemClock.sleep(5, signal)
}

/** For a longer run, or to repeat one that failed. */
const SEED = Number(process.env['TIDEWIRE_SEED'] ?? 7)
const STEPS = Number(process.env['TIDEWIRE_STEPS'] ?? 200)

/** One for all tests that leave it as it was; each has tables of its own. */
let peaceful: Promise<Connected> | undefined
const shared = (signal: AbortSignal): Promise<Connected> => (peaceful ??= connect(signal))
after(async () => (await peaceful)?.[Symbol.asyncDispose]())

suite('event feed against a simulated cluster', { concurrency: true }, () => {
  test(`the reader gives the whole history, whatever happens (seed ${SEED})`, { timeout: 600_000 }, async () => {
    const { steps, changes } = await runFeedModel({ seed: SEED, steps: STEPS }, AbortSignal.timeout(590_000))
    assert.ok(steps >= STEPS && changes > STEPS)
  })

  test(`the same where nearly everything goes to disk (seed ${SEED})`, { timeout: 600_000 }, async () => {
    const model = { seed: SEED, steps: STEPS, spill: 0.7 }
    const { steps, changes } = await runFeedModel(model, AbortSignal.timeout(590_000))
    assert.ok(steps >= STEPS && changes > STEPS)
  })

  test(
    'locks of dead transactions are resolved, so that a span does not stand still',
    { timeout: 60_000 },
    async () => {
      const signal = AbortSignal.timeout(50_000)
      const setup = await shared(signal)
      const { cluster, pd, kv } = setup
      const examined: LogFields[] = []
      const info = (text: string, fields: LogFields = {}): void =>
        void (text === 'locks of a slow region examined' && examined.push(fields))
      await using feed = openEventFeed({ pd, security: {}, log: { ...silentLog, info }, clock: hasty })
      const startTs = await pd.tso(signal)
      const sink = new ChangeCollector(startTs)
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
      const withLock = examined.find(({ lock }) => lock !== undefined)
      assert.ok(withLock !== undefined && BigInt(Object(withLock['lock']).startTs) > startTs)
      assert.ok(BigInt(String(withLock['region'])) > 0n && BigInt(String(withLock['store'])) > 0n)
      assert.equal(differenceOf(sink.changes, await historyOf(cluster, 1002n, startTs, endTs)), '')
    },
  )

  test('a keyspace is read like a cluster of its own', { timeout: 60_000 }, async () => {
    const signal = AbortSignal.timeout(50_000)
    const setup = await shared(signal)
    const { cluster, pd: whole, kv } = setup
    const options = { security: {}, log: silentLog, clock: hasty }
    await using pd = await openPdClient({ endpoints: [cluster.pd], keyspace: 'DEFAULT', ...options }, signal)
    const work = { feed: new StageCounter(), sort: new StageCounter() }
    const observer = createFeedMetrics(new Registry(), hasty)({ namespace: 'default', id: 'keyspace' }, work)
    await using feed = openEventFeed({ pd, observer, ...options })
    assert.equal(pd.keyspace?.id, 0)
    const startTs = await pd.tso(signal)
    const sink = new ChangeCollector(startTs)
    feed.subscribe(tableRecordRange(1006n), startTs, sink)
    const inKeyspace = (key: Uint8Array): Uint8Array => Buffer.concat([keyspacePrefix(0), key])
    const key = recordKey(1006n, intHandle(5n))
    const value = Buffer.from('in the keyspace')
    const commitTs = await runTxn(kv, [{ key: inKeyspace(key), value }], 'two-phase', signal)
    // The same key outside is another one.
    await runTxn(kv, [{ key, value: Buffer.from('outside') }], 'two-phase', signal)
    await runTxn(kv, [{ key: inKeyspace(recordKey(1006n, intHandle(6n))), value }], 'left-prewritten', signal)
    const endTs = await whole.tso(signal)
    await until(() => sink.resolvedTs >= endTs || sink.error !== undefined, signal)
    assert.deepEqual(
      [...sink.changes].map((text) => text.replace(/ \d+/, '')),
      [`${commitTs} ${Buffer.from(key).toString('hex')} ${digest(value)} -`],
    )
    assert.ok(work.feed.rows >= 1)
    assert.ok(work.feed.bytes > value.length && work.feed.workMs > 0 && work.sort.workMs > 0)
    const snapshot = openSnapshot(pd, endTs, options)
    assert.deepEqual(Buffer.from((await snapshot.get(key, signal)) ?? []), value)
    const { start, end } = rawRecordRange(1006n)
    for (const to of [end, new Uint8Array()])
      for await (const pairs of snapshot.scan(start, to, signal))
        assert.deepEqual(
          pairs.map((pair) => Buffer.from(pair.key)),
          [Buffer.from(key)],
        )
    // Barriers of the keyspace: held, refused below the safe point, taken back.
    const hold = (ttl: number, ts: bigint): Promise<Ts> => pd.updateServiceSafePoint('test', ttl, Ts(ts), signal)
    assert.ok((await hold(100, endTs)) <= endTs)
    assert.ok((await hold(100, 5n)) > 5n)
    await hold(0, endTs)
  })

  test('what another CDC wrote is left out where that is asked for', { timeout: 60_000 }, async () => {
    const signal = AbortSignal.timeout(50_000)
    const setup = await shared(signal)
    const { cluster, pd, kv, feed } = setup
    const startTs = await pd.tso(signal)
    const [all, own] = [new ChangeCollector(startTs), new ChangeCollector(startTs)]
    feed.subscribe(tableRecordRange(1007n), startTs, all)
    feed.subscribe(tableRecordRange(1007n), startTs, own, { filterLoop: true })
    const foreign = new Set<bigint>()
    const random = createRandom(5)
    for (let i = 0; i < 20; i++) {
      const txnSource = BigInt(i % 2)
      const mode = LIVING_MODES[i % 3] ?? 'two-phase'
      const commitTs = await runTxn(kv, randomWrites(random, 1007n, 60), mode, signal, { txnSource })
      if (txnSource > 0n) foreign.add(commitTs)
    }
    const endTs = await pd.tso(signal)
    await until(() => all.resolvedTs >= endTs && own.resolvedTs >= endTs, signal)
    const expected = await historyOf(cluster, 1007n, startTs, endTs)
    assert.equal(differenceOf(all.changes, expected), '')
    const ours = [...expected].filter((text) => !foreign.has(BigInt(text.split(' ')[0] ?? '')))
    assert.ok(ours.length < expected.size)
    assert.equal(differenceOf(own.changes, new Set(ours)), '')
  })

  test('a read below the safe point is refused', { timeout: 60_000 }, async () => {
    const signal = AbortSignal.timeout(50_000)
    await using setup = await connect(signal)
    const { cluster, pd, kv } = setup
    const ts = await pd.tso(signal)
    const open = (): Snapshot => openSnapshot(pd, ts, { security: {}, log: silentLog, clock: systemClock, kv })
    assert.equal(await open().get(recordKey(1008n, intHandle(1n)), signal), undefined)
    await cluster.fault('advance-gc', { safePoint: `${await pd.tso(signal)}` })
    const refused = { code: 'CDC:ErrSnapshotLostByGC' }
    await assert.rejects(open().get(recordKey(1008n, intHandle(1n)), signal), refused)
    const { start, end } = rawRecordRange(1008n)
    await assert.rejects(open().scan(start, end, signal)[Symbol.asyncIterator]().next(), refused)
  })

  test('a snapshot reads through splits and past locks what was there at its ts', { timeout: 60_000 }, async () => {
    const signal = AbortSignal.timeout(50_000)
    const setup = await shared(signal)
    const { cluster, pd, kv } = setup
    const random = createRandom(11)
    for (let i = 0; i < 30; i++)
      await runTxn(kv, randomWrites(random, 1003n, 60), LIVING_MODES[i % 4] ?? 'async', signal)
    const ts = await pd.tso(signal)
    const { start, end } = rawRecordRange(1003n)
    const expected = new Map<string, string>()
    const versions = [...(await historyOf(cluster, 1003n, Ts(0n), ts))].map((text) => text.split(' '))
    for (const [, , key = '', value = '-'] of versions) {
      if (value === '-') expected.delete(key)
      else expected.set(key, value)
    }
    await cluster.fault('split', { tableId: 1003, count: 4 })
    await runTxn(kv, randomWrites(random, 1003n, 60), 'left-prewritten', signal)
    for (let i = 0; i < 10; i++) await runTxn(kv, randomWrites(random, 1003n, 60), 'two-phase', signal)
    for (const at of [ts, Ts(previousTs(ts))]) {
      const snapshot = openSnapshot(pd, at, { security: {}, log: silentLog, clock: systemClock, kv })
      const found = new Map<string, string>()
      let last: Uint8Array = Buffer.alloc(0)
      for await (const pairs of snapshot.scan(start, end, signal)) {
        for (const { key, value } of pairs) {
          assert.ok(compareBytes(last, key) < 0)
          found.set(Buffer.from(key).toString('hex'), digest(value))
          last = key
        }
      }
      assert.deepEqual(found, expected)
      for (const [key, value] of expected)
        assert.equal(digest(await snapshot.get(Buffer.from(key, 'hex'), signal)), value)
      assert.equal(await snapshot.get(recordKey(1003n, intHandle(-1n)), signal), undefined)
    }
  })

  test(
    'a reader that was stopped is shed by its stores, and catches up in little memory',
    { timeout: 60_000 },
    async () => {
      const signal = AbortSignal.timeout(50_000)
      await using setup = await connect(signal)
      const { cluster, pd, kv } = setup
      const args = [PAUSED_READER, cluster.pd, '1005', `${await pd.tso(signal)}`]
      await using reader = await run(process.execPath, args, { ready: /resolvedTs/ })
      reader.kill('SIGSTOP')
      const value = Buffer.alloc(256 << 10, 'x')
      for (let i = 0; i < 32; i++) {
        const handles = Array.from({ length: 16 }, (_, n) => intHandle(BigInt(i * 16 + n)))
        const writes = handles.map((handle) => ({ key: recordKey(1005n, handle), value }))
        await runTxn(kv, writes, 'two-phase', signal)
      }
      const endTs = await pd.tso(signal)
      reader.kill('SIGCONT')
      const last = (): Record<string, unknown> => JSON.parse(reader.stdout.at(-1) ?? '{}')
      await waitFor('the reader to catch up', () => BigInt(String(last()['resolvedTs'])) >= endTs)
      const { rows, errors, rssMib, heldMib } = last()
      assert.equal(rows, 512)
      assert.ok(Number(Object(errors).congested) > 0, JSON.stringify(errors))
      assert.ok(Number(rssMib) < 400, `${rssMib} MiB`)
      assert.equal(heldMib, 0)
    },
  )

  test('a subscription that is disposed of gives nothing more', { timeout: 60_000 }, async () => {
    const signal = AbortSignal.timeout(50_000)
    const setup = await shared(signal)
    const { pd, kv, feed } = setup
    const startTs = await pd.tso(signal)
    const [stopped, other] = [new ChangeCollector(startTs), new ChangeCollector(startTs)]
    const subscription = feed.subscribe(tableRecordRange(1004n), startTs, stopped)
    feed.subscribe(tableRecordRange(1004n), startTs, other)
    await until(() => stopped.resolvedTs > startTs, signal)
    subscription[Symbol.dispose]()
    const before = stopped.resolvedTs
    await runTxn(kv, randomWrites(createRandom(3), 1004n, 60), 'two-phase', signal)
    const endTs = await pd.tso(signal)
    await until(() => other.resolvedTs >= endTs, signal)
    assert.equal(stopped.changes.size, 0)
    assert.equal(stopped.resolvedTs, before)
    assert.equal(stopped.error, undefined)
    assert.ok(other.changes.size > 0)
  })
})
