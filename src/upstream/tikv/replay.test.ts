import assert from 'node:assert/strict'
import { test } from 'node:test'

import { silentLog } from '../../base/log.ts'
import type { RawRow } from '../../event/raw-row.ts'
import { compareBytes, encodeBytes } from '../../tidb/key.ts'
import { type Ts, zeroTs } from '../../tidb/ts.ts'
import { openEventFeed } from './event-feed.ts'
import type { FeedSink } from './feed.ts'
import { hasExpected, openExpected, recordings } from '../../../test/support/recorded-feed.ts'
import { createRandom } from '../../../test/support/random.ts'
import { SpillingFeed, type SpillingOptions } from '../../../test/support/spilling-feed.ts'
import { fastClock, type RecordedSubscription, Replay } from '../../../test/support/feed-replay.ts'

/** Without `errors-*`: there the recorded client provokes refusals that a correct one never gets. */
const played = recordings.filter((name) => hasExpected(name) && !name.startsWith('errors-'))

/** Streams of the recordings that hold several sessions, one after the other. */
const SESSIONS: Readonly<Record<string, readonly (readonly number[])[]>> = {
  'large-txn-v2': [
    [1, 2, 3],
    [101, 102, 103],
  ],
  'busy-congested-v2': [[91, 92, 93]],
}
/** Sessions in which the recorded client did not come back after an error. */
const GIVEN_UP: readonly (readonly number[])[] = [
  [1, 2, 3],
  [51, 52, 53],
  [61, 62, 63],
]

/** Collects what a subscription gives, and holds it to its promises. */
class Collector implements FeedSink {
  readonly rowsByName = new Map<string, { readonly value: string | undefined; readonly old: string | undefined }>()
  repeated = 0
  resolvedTs = zeroTs
  error: Error | undefined

  row(raw: RawRow): void {
    const { startTs, commitTs, key, value, oldValue } = raw.toRawKv()
    assert.ok(commitTs > this.resolvedTs, `row at ${commitTs} after resolved ${this.resolvedTs}`)
    const name = `${startTs} ${commitTs} ${Buffer.from(key).toString('hex')}`
    const row = { value: base64(value), old: base64(oldValue) }
    if (this.rowsByName.has(name)) {
      this.repeated++
      assert.deepEqual(row, this.rowsByName.get(name))
    }
    this.rowsByName.set(name, row)
  }
  resolved(ts: Ts): void {
    assert.ok(ts > this.resolvedTs)
    this.resolvedTs = ts
  }
  failed(error: Error): void {
    this.error = error
  }
}

const base64 = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString('base64')

function expectedRows(name: string, subscription: RecordedSubscription): Map<string, unknown> {
  const rows = new Map<string, unknown>()
  for (const txn of openExpected(name).txns) {
    const commitTs = BigInt(txn.commit_ts)
    if (commitTs <= subscription.checkpoint || (txn.txn_source ?? 0) >= 256) continue
    for (const { op, key, value, old } of txn.mutations) {
      const encoded = encodeBytes(Buffer.from(key, 'hex'))
      const inside = compareBytes(encoded, subscription.start) >= 0 && compareBytes(encoded, subscription.end) < 0
      // Flushed as PUT, then deleted by the same transaction: nothing has changed.
      const undone = name === 'pipelined-v2' && op === 'delete' && old === undefined
      if (op === 'lock' || !inside || undone) continue
      const row = { value: op === 'put' ? value : undefined, old }
      rows.set(`${txn.start_ts} ${txn.commit_ts} ${key}`, row)
    }
  }
  return rows
}

function open(replay: Replay, spilling?: SpillingOptions) {
  const options = { pd: replay.pd, security: {}, log: silentLog, clock: fastClock(50), scanWindow: 1000 }
  const feed = spilling === undefined ? openEventFeed(options) : new SpillingFeed(options, spilling)
  const readers = replay.subscriptions.map((recorded) => {
    const sink = new Collector()
    return { recorded, sink, subscription: feed.subscribe(recorded, recorded.checkpoint, sink) }
  })
  return { feed, readers }
}

async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  while (!condition()) {
    signal.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** The recorded client came back from the last resolved-ts, where one that still reads from disk asks for more. */
const CAME_BACK = ['leader-transfer-v2', 'merge-v2', 'split-v2', 'store-restart-v2']
/** How often rows that wait for their commit go to disk: never, half of the times, always. */
const CHANCES = [0, 0.5, 1]
let seed = 0
const parts = played.flatMap((name) =>
  (SESSIONS[name] ?? [undefined]).flatMap((streams) =>
    CHANCES.filter((chance) => chance === 0 || !CAME_BACK.includes(name)).map((chance) => ({ name, streams, chance })),
  ),
)

for (const { name, streams, chance } of parts) {
  const title = streams === undefined ? name : `${name}, streams ${streams.join(', ')}`
  const spilling = chance === 0 ? undefined : { random: createRandom(++seed), chance }
  test(
    `the reader gets from ${title} exactly what was written${chance > 0 ? `, spilling ${chance}` : ''}`,
    { timeout: 30_000 },
    async () => {
      await using replay = await new Replay(name, streams).open()
      const { feed, readers } = open(replay, spilling)
      await using _ = feed
      const signal = AbortSignal.timeout(20_000)
      const endTs = BigInt(openExpected(name).end_ts ?? 0)
      await replay.run(signal)
      for (const { recorded, sink, subscription } of readers) {
        await until(() => sink.resolvedTs >= endTs || sink.error !== undefined, signal)
        assert.equal(sink.error, undefined)
        const expected = expectedRows(name, recorded)
        assert.deepEqual([...sink.rowsByName].toSorted(byName), [...expected].toSorted(byName))
        if (!replay.registeredAgain) assert.equal(sink.repeated, 0)
        assert.ok(subscription.bytes < 16 << 20)
        subscription[Symbol.dispose]()
        assert.equal(subscription.bytes, 0)
      }
      if (feed instanceof SpillingFeed) assert.equal(feed.files.bytes, 0)
    },
  )
}

for (const streams of recordings.includes('busy-congested-v2') ? GIVEN_UP : []) {
  test(
    `the reader comes back after busy-congested-v2, streams ${streams.join(', ')}`,
    { timeout: 30_000 },
    async () => {
      await using replay = await new Replay('busy-congested-v2', streams).open()
      const { feed, readers } = open(replay)
      await using _ = feed
      const signal = AbortSignal.timeout(20_000)
      await replay.run(signal)
      await until(() => replay.failedRegions.every((region) => replay.askedAgain(region)), signal)
      assert.ok(replay.failedRegions.length > 0)
      for (const { recorded, sink } of readers) {
        assert.equal(sink.error, undefined)
        const expected = expectedRows('busy-congested-v2', recorded)
        for (const [row, values] of sink.rowsByName) assert.deepEqual(values, expected.get(row))
      }
    },
  )
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  a < b ? -1 : a > b ? 1 : 0
