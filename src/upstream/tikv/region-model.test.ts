import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as yieldToEvents } from 'node:timers/promises'

import { Ts } from '../../tidb/ts.ts'
import { createRandom, type Random } from '../../../test/support/random.ts'
import { give, newFeed, type Row } from '../../../test/support/region-rows.ts'
import { openTestRunFiles, spillAll } from '../../../test/support/spilling-feed.ts'
import { FeedHolder } from './feed-holder.ts'

const KEYS = ['1', '2', '3', '4', '5', '6']
const END = 200

/** A transaction's lock on one key: a row as the store sends it at each time. */
interface Lock {
  readonly startTs: number
  /** undefined = it is rolled back. */
  readonly commitTs: number | undefined
  readonly key: string
  readonly from: number
  readonly until: number
}

/** Locks of one region that do not contradict each other: per key one after the other, all before their commit-ts. */
function randomLocks(random: Random, region: string): Lock[] {
  const locks: Lock[] = []
  const freeAt = new Map<string, number>()
  for (let txn = 0; txn < 25; txn++) {
    const keys = KEYS.filter(() => random.chance(0.4))
    let startTs = Math.max(random.below(END - 50), ...keys.map((key) => freeAt.get(key) ?? 0)) + 1
    while (locks.some((lock) => lock.startTs === startTs)) startTs++
    if (startTs > END) continue
    const from = keys.map(() => startTs + 1 + random.below(10))
    const decided = Math.max(startTs, ...from) + 1 + random.below(15)
    const commitTs = random.chance(0.7) ? decided : undefined
    for (const [at, key] of keys.entries()) {
      const until = decided + 1 + random.below(15)
      locks.push({ startTs, commitTs, key: region + key, from: from[at] ?? 0, until })
      freeAt.set(key, until)
    }
  }
  return locks
}

const valueOf = ({ startTs, key }: Lock): string => `${key} of ${startTs}`.repeat(1 + (startTs % 5))
const prewriteOf = (lock: Lock, value = valueOf(lock)): Row => ({
  type: 'PREWRITE',
  start_ts: lock.startTs,
  key: lock.key,
  value,
  op: 'PUT',
})
const endOf = ({ startTs: start_ts, commitTs: commit_ts, key }: Lock): Row =>
  commit_ts === undefined
    ? { type: 'ROLLBACK', start_ts, key }
    : { type: 'COMMIT', start_ts, commit_ts, key, op: 'PUT' }

type Event = { readonly row: Row } | { readonly resolvedTs: number }

/** What a store sends of a region that is registered at a random time and scanned at a later one. */
function* eventsOf(locks: readonly Lock[], random: Random): Generator<Event> {
  const registered = random.below(END / 2)
  const scanned = registered + random.below(40)
  const initialized = scanned + random.below(40)
  /** Rows of the scan: in any order, a prewrite before its commit unless only that came live. */
  const scan: { readonly at: number; readonly row: Row }[] = []
  for (const lock of locks) {
    const { startTs: start_ts, commitTs: commit_ts, key } = lock
    const between = (from: number, to: number): number => from + random.below(Math.max(1, to - from))
    if (lock.until <= scanned && commit_ts !== undefined) {
      const row = { start_ts, commit_ts, key, value: valueOf(lock), op: 'PUT' } as const
      scan.push({ at: between(scanned, initialized), row: { type: 'COMMITTED', ...row } })
    } else if (lock.from <= scanned && lock.until > scanned) {
      const live = lock.from > registered && commit_ts !== undefined
      const to = live ? Math.min(initialized, lock.until) : initialized
      scan.push({ at: between(scanned, to), row: prewriteOf(lock) })
    }
  }
  for (let now = registered + 1; now < 2 * END; now++) {
    for (const { at, row } of scan) if (at === now - 1) yield { row }
    if (now === initialized + 1) yield { row: { type: 'INITIALIZED' } }
    for (const lock of locks) {
      if (lock.from === now) yield { row: prewriteOf(lock) }
      // A heartbeat rewrites the lock.
      else if (now > lock.from && now < lock.until && random.chance(0.05)) yield { row: prewriteOf(lock, '') }
      if (lock.until === now) yield { row: endOf(lock) }
    }
    const held = locks.filter(({ from, until }) => from <= now && now < until).map(({ startTs }) => startTs)
    if (random.chance(0.2) || now === 2 * END - 1) yield { resolvedTs: Math.min(now, ...held) - 1 }
  }
}

test('whatever goes to disk, and whenever: regions give each committed row before the resolved-ts that covers it', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = createRandom(seed)
    const chance = random.pick([0, 0.05, 0.3])
    using files = openTestRunFiles()
    const first = newFeed()
    const second = newFeed(0, 0, first.owner.unmatched)
    const feeds = [first, second]
    const holder = new FeedHolder({ ...first.owner, feeds: new Set([first.feed, second.feed]), spilled() {} })
    const joins: Promise<void>[] = []
    const regions = feeds.map((feed, at) => {
      const locks = randomLocks(random, 'ab'[at] ?? '')
      const given = new Set<string>()
      const names = (rows: readonly unknown[]): void => {
        for (const row of rows) given.add(JSON.stringify(row))
      }
      const upTo = (ts: bigint): string[] =>
        locks.flatMap((lock) => {
          const { startTs: start_ts, commitTs: commit_ts, key } = lock
          if (commit_ts === undefined || BigInt(commit_ts) > ts) return []
          return [JSON.stringify({ start_ts, commit_ts, key, op: 'PUT', value: valueOf(lock), old_value: '' })]
        })
      const check = (): void => {
        names(feed.out.splice(0))
        for (const row of upTo(feed.feed.hold.ts)) assert.ok(given.has(row), `seed ${seed}: ${row} is missing`)
      }
      feed.owner.join = () => void joins.push(feed.feed.join())
      feed.owner.advanced = check
      return { feed, given, names, check, upTo, events: eventsOf(locks, random) }
    })
    for (let live = regions; live.length > 0;) {
      const region = random.pick(live)
      const frame: Row[] = []
      let resolvedTs: number | undefined
      while (resolvedTs === undefined && !random.chance(0.2)) {
        const next = region.events.next()
        if (next.done === true) {
          live = live.filter((one) => one !== region)
          break
        }
        if ('row' in next.value) frame.push(next.value.row)
        else ({ resolvedTs } = next.value)
      }
      region.names(give(region.feed, ...frame))
      if (random.chance(chance)) spillAll(holder, files)
      if (resolvedTs !== undefined && region.feed.feed.resolve(Ts(BigInt(resolvedTs)))) region.check()
      if (random.chance(chance)) spillAll(holder, files)
      if (random.chance(0.3)) await yieldToEvents()
    }
    await Promise.all(joins)
    for (const { feed, given, upTo } of regions) {
      assert.equal(feed.feed.hold.ts, BigInt(2 * END - 2))
      assert.deepEqual([...given].toSorted(), upTo(feed.feed.hold.ts).toSorted(), `seed ${seed}`)
    }
    assert.equal(first.owner.unmatched.bytes, 0, `seed ${seed}`)
    // A prewrite that was repeated, and rolled back, stays on disk until its region ends.
    for (const { feed } of regions) feed.feed.close()
    assert.deepEqual([files.bytes, first.owner.charged, second.owner.charged], [0, 0, 0], `seed ${seed}`)
  }
})
