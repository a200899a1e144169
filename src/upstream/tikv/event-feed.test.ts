// The reader against a simulated cluster that splits, merges, loses leaders, connections and stores meanwhile. Nothing is
// known of the cluster but its ports: what was written is what its history says.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { systemClock } from '../../base/clock.ts'
import { silentLog } from '../../base/log.ts'
import { compareBytes, intHandle, rawRecordRange, recordKey, tableRecordRange } from '../../tidb/key.ts'
import { previousTs, Ts } from '../../tidb/ts.ts'
import {
  ChangeCollector,
  connect,
  differenceOf,
  digest,
  historyOf,
  randomWrites,
  runFeedModel,
} from '../../../test/support/feed-model.ts'
import { createRandom } from '../../../test/support/random.ts'
import { DEAD_MODES, LIVING_MODES, runTxn, type Write } from '../../../test/support/simulated-cluster.ts'
import { openSnapshot } from './kv-snapshot.ts'

async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  while (!condition()) await systemClock.sleep(5, signal)
}

/** For a longer run, or to repeat one that failed. */
const SEED = Number(process.env['TIDEWIRE_SEED'] ?? 7)
const STEPS = Number(process.env['TIDEWIRE_STEPS'] ?? 200)

suite('event feed against a simulated cluster', { concurrency: true }, () => {
  test(`the reader gives the whole history, whatever happens (seed ${SEED})`, { timeout: 600_000 }, async () => {
    const { steps, changes } = await runFeedModel({ seed: SEED, steps: STEPS }, AbortSignal.timeout(590_000))
    assert.ok(steps >= STEPS && changes > STEPS)
  })

  test(
    'locks of dead transactions are resolved, so that a span does not stand still',
    { timeout: 60_000 },
    async () => {
      const signal = AbortSignal.timeout(50_000)
      await using setup = await connect(signal)
      const { cluster, pd, kv, feed } = setup
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
      assert.equal(differenceOf(sink.changes, await historyOf(cluster, 1002n, startTs, endTs)), '')
    },
  )

  test('a snapshot reads through splits and past locks what was there at its ts', { timeout: 60_000 }, async () => {
    const signal = AbortSignal.timeout(50_000)
    await using setup = await connect(signal)
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

  test('a subscription that is disposed of gives nothing more', { timeout: 60_000 }, async () => {
    const signal = AbortSignal.timeout(50_000)
    await using setup = await connect(signal)
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
