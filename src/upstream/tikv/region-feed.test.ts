import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

import { CdcError } from '../../base/errors.ts'
import { Ts } from '../../tidb/ts.ts'
import { give, newFeed, resolve, type Row } from '../../../test/support/region-rows.ts'
import { openTestRunFiles, spillAll } from '../../../test/support/spilling-feed.ts'
import { FeedHolder } from './feed-holder.ts'

interface Scenario {
  readonly name: string
  readonly start_ts: number
  readonly region_resolved_ts: number
  readonly steps: readonly { readonly in: Row; readonly out: readonly unknown[] }[]
}

const vectors: { matcher_scenarios: { readonly cases: readonly Scenario[] } } = JSON.parse(
  readFileSync(join(import.meta.dirname, 'vectors', 'upstream.json'), 'utf8'),
)

const FATAL = {
  'FATAL: prewrite not match': 'CDC:ErrPrewriteNotMatch',
  'FATAL: commit ts <= resolved ts': 'CDC:ErrUnexpected',
} as const

for (const scenario of vectors.matcher_scenarios.cases) {
  test(`matcher: ${scenario.name}`, () => {
    const feed = newFeed(scenario.start_ts, scenario.region_resolved_ts)
    for (const step of scenario.steps) {
      const [first] = step.out
      if (typeof first === 'string') {
        const code = Object.entries(FATAL).find(([text]) => text === first)?.[1]
        assert.throws(
          () => give(feed, step.in),
          (error) => error instanceof CdcError && error.code === code,
        )
      } else assert.deepEqual(give(feed, step.in), step.out)
    }
  })
}

const byText = (rows: readonly unknown[]): string[] => rows.map((row) => JSON.stringify(row)).toSorted()

for (const scenario of vectors.matcher_scenarios.cases) {
  test(`matcher, everything on disk: ${scenario.name}`, async () => {
    using files = openTestRunFiles()
    const feed = newFeed(scenario.start_ts, scenario.region_resolved_ts)
    const expected = scenario.steps.flatMap(({ out }) => out)
    const fatal = expected.find((one) => typeof one === 'string')
    const rows: unknown[] = []
    const play = async (): Promise<void> => {
      for (const step of scenario.steps) {
        rows.push(...give(feed, step.in))
        if (feed.holder.bytes > 0) spillAll(feed.holder, files)
      }
      if (feed.feed.initialized) rows.push(...(await resolve(feed, 1_000_000)))
    }
    if (fatal === undefined) await play()
    else {
      const code = Object.entries(FATAL).find(([text]) => text === fatal)?.[1]
      await assert.rejects(play, { code })
    }
    assert.deepEqual(byText(rows), byText(expected.filter((one) => one !== fatal)))
    feed.feed.close()
    assert.equal(files.bytes, 0)
    assert.deepEqual([feed.owner.charged, feed.owner.unmatched.bytes], [0, 0])
  })
}

test('a commit of nothing is fatal, also where its transaction is on disk', async () => {
  using files = openTestRunFiles()
  const feed = newFeed()
  give(feed, { type: 'INITIALIZED' }, { type: 'PREWRITE', start_ts: 1, key: 'k', value: 'v', op: 'PUT' })
  spillAll(feed.holder, files)
  give(feed, { type: 'COMMIT', start_ts: 1, commit_ts: 5, key: 'other', op: 'PUT' })
  assert.deepEqual(await resolve(feed, 4), [])
  await assert.rejects(resolve(feed, 5), { code: 'CDC:ErrPrewriteNotMatch' })
})

test('the newest prewrite counts, wherever the others lie', async () => {
  using files = openTestRunFiles()
  const feed = newFeed()
  const of = { start_ts: 1, key: 'k', op: 'PUT' } as const
  give(feed, { type: 'INITIALIZED' })
  for (const [generation, value] of [
    [1, 'first'],
    [3, 'third'],
    [2, 'second'],
    [0, ''],
  ] as const) {
    give(feed, { type: 'PREWRITE', ...of, generation, value })
    spillAll(feed.holder, files)
  }
  give(feed, { type: 'COMMIT', ...of, commit_ts: 9 })
  const row = { start_ts: 1, commit_ts: 9, key: 'k', op: 'PUT', value: 'third', old_value: '' }
  assert.deepEqual(await resolve(feed, 9), [row])
  assert.equal(files.bytes, 0)
})

test('commits go to disk too, and a region stands still until they are joined', async () => {
  using files = openTestRunFiles()
  const feed = newFeed()
  const keys = Array.from({ length: 5_000 }, (_, i) => `key ${i}`)
  const value = 'x'.repeat(200)
  give(feed, { type: 'INITIALIZED' })
  for (const type of ['PREWRITE', 'COMMIT'] as const) {
    for (let at = 0; at < keys.length; at += 1_000) {
      const rows = keys.slice(at, at + 1_000).map((key) => ({ type, start_ts: 1, key, op: 'PUT' as const }))
      const fields = type === 'PREWRITE' ? { value } : { commit_ts: 7 }
      assert.deepEqual(give(feed, ...rows.map((row) => ({ ...row, ...fields }))), [])
      spillAll(feed.holder, files)
      assert.equal(feed.owner.unmatched.bytes, 0)
    }
  }
  // A later transaction of the same region is not held up.
  const small = { start_ts: 8, key: 'small', op: 'PUT' } as const
  const live = give(feed, { type: 'PREWRITE', ...small, value }, { type: 'COMMIT', ...small, commit_ts: 10 })
  assert.equal(live.length, 1)
  assert.equal(feed.feed.resolve(Ts(6n)), true)
  assert.equal(feed.feed.resolve(Ts(9n)), false)
  assert.equal(feed.feed.hold.ts, 6n)
  assert.equal(feed.owner.joins, 1)
  await feed.feed.join()
  assert.equal(feed.feed.hold.ts, 9n)
  assert.deepEqual(
    byText(feed.out),
    byText(keys.map((key) => ({ start_ts: 1, commit_ts: 7, key, op: 'PUT', value, old_value: '' }))),
  )
  assert.deepEqual([files.bytes, feed.owner.charged], [0, 0])
})

test('a transaction that is rolled back gives its disk back', () => {
  using files = openTestRunFiles()
  const feed = newFeed()
  give(feed, { type: 'INITIALIZED' })
  for (const key of ['a', 'b']) give(feed, { type: 'PREWRITE', start_ts: 1, key, value: 'v', op: 'PUT' })
  spillAll(feed.holder, files)
  give(feed, { type: 'ROLLBACK', start_ts: 1, key: 'a' })
  assert.ok(files.bytes > 0)
  give(feed, { type: 'ROLLBACK', start_ts: 1, key: 'b' })
  assert.equal(files.bytes, 0)
  assert.equal(feed.feed.resolve(Ts(9n)), true)
})

test('blocks are counted right behind a region that has only rollbacks', async () => {
  using files = openTestRunFiles()
  const scanning = newFeed()
  const feed = newFeed(0, 0, scanning.owner.unmatched)
  const feeds = new Set([scanning.feed, feed.feed])
  const holder = new FeedHolder({ ...feed.owner, feeds, spilled() {} })
  const of = { start_ts: 1, key: 'k', op: 'PUT' } as const
  give(scanning, { type: 'ROLLBACK', start_ts: 1, key: 'a' })
  give(feed, { type: 'INITIALIZED' }, { type: 'PREWRITE', ...of, value: 'v' })
  spillAll(holder, files)
  give(feed, { type: 'COMMIT', ...of, commit_ts: 5 })
  assert.equal((await resolve(feed, 5)).length, 1)
  for (const one of feeds) one.close()
  assert.deepEqual([files.bytes, feed.owner.charged, feed.owner.unmatched.bytes], [0, 0, 0])
})

test('a rollback that came while its region is scanned is remembered, whatever goes to disk', async () => {
  using files = openTestRunFiles()
  const feed = newFeed()
  const prewrite = { type: 'PREWRITE', value: 'v', op: 'PUT' } as const
  give(feed, { ...prewrite, start_ts: 1, key: 'on disk' }, { type: 'ROLLBACK', start_ts: 2, key: 'later' })
  spillAll(feed.holder, files)
  give(feed, { ...prewrite, start_ts: 2, key: 'later' }, { type: 'ROLLBACK', start_ts: 1, key: 'on disk' })
  spillAll(feed.holder, files)
  assert.deepEqual(give(feed, { type: 'INITIALIZED' }), [])
  assert.deepEqual([files.bytes, feed.owner.charged, feed.owner.unmatched.bytes], [0, 0, 0])
})

test('what cannot be read back is an error, and the region stays where it was', async () => {
  using files = openTestRunFiles()
  const feed = newFeed()
  const of = { start_ts: 1, key: 'k', op: 'PUT' } as const
  give(feed, { type: 'INITIALIZED' }, { type: 'PREWRITE', ...of, value: 'v' })
  const [segment] = files.write([feed.holder.blocks()])
  assert.ok(segment !== undefined)
  const readBlock = async (): Promise<never> => {
    throw new CdcError('CDC:ErrRunFileCorrupted', 'as the test wants it')
  }
  feed.holder.spilled({ bytes: segment.bytes, blocks: segment.blocks, readBlock, release: () => segment.release() })
  give(feed, { type: 'COMMIT', ...of, commit_ts: 5 })
  await assert.rejects(resolve(feed, 5), { code: 'CDC:ErrRunFileCorrupted' })
  assert.equal(feed.feed.hold.ts, 0n)
  feed.feed.close()
  assert.deepEqual([files.bytes, feed.owner.charged, feed.owner.unmatched.bytes], [0, 0, 0])
})

test('a region that ends while it reads gives nothing more', async () => {
  using files = openTestRunFiles()
  const feed = newFeed()
  const of = { start_ts: 1, key: 'k', op: 'PUT' } as const
  give(feed, { type: 'INITIALIZED' }, { type: 'PREWRITE', ...of, value: 'v' })
  spillAll(feed.holder, files)
  give(feed, { type: 'COMMIT', ...of, commit_ts: 5 })
  assert.equal(feed.feed.resolve(Ts(5n)), false)
  const joined = feed.feed.join()
  feed.feed.close()
  await assert.rejects(joined, { name: 'AbortError' })
  assert.deepEqual(feed.out, [])
  assert.deepEqual([files.bytes, feed.owner.charged, feed.owner.unmatched.bytes], [0, 0, 0])
})

test('a stale commit that waited for the end of the scan is swallowed', () => {
  const feed = newFeed(5)
  const row = { start_ts: 1, key: 'k' } as const
  give(feed, { type: 'COMMIT', ...row, commit_ts: 5, op: 'PUT' })
  give(feed, { type: 'PREWRITE', ...row, value: 'v', op: 'PUT' })
  assert.deepEqual(give(feed, { type: 'INITIALIZED' }), [])
  assert.equal(feed.owner.unmatched.size, 0)
})

test('a delete never carries a value, and none is made of a key written and deleted in one transaction', () => {
  const feed = newFeed()
  give(feed, { type: 'INITIALIZED' })
  for (const old_value of ['old', '']) {
    give(feed, { type: 'PREWRITE', start_ts: 1, key: 'k', value: 'flushed', old_value, op: 'PUT' })
    give(feed, { type: 'PREWRITE', start_ts: 1, key: 'k', old_value, op: 'DELETE' })
    const out = give(feed, { type: 'COMMIT', start_ts: 1, commit_ts: 2, key: 'k', op: 'DELETE' })
    const row = { start_ts: 1, commit_ts: 2, key: 'k', op: 'DELETE', value: '', old_value: 'old' }
    assert.deepEqual(out, old_value === '' ? [] : [row])
  }
})

test('resolved-ts counts only after the scan, and never goes back', () => {
  const feed = newFeed(10)
  assert.equal(feed.feed.resolve(Ts(20n)), false)
  give(feed, { type: 'INITIALIZED' })
  assert.equal(feed.feed.resolve(Ts(0n)), false)
  assert.equal(feed.feed.resolve(Ts(20n)), true)
  assert.equal(feed.feed.resolve(Ts(15n)), false)
  assert.equal(feed.feed.hold.ts, 20n)
})

test('rows outside of the range and empty rows are skipped', () => {
  const feed = newFeed()
  give(feed, { type: 'INITIALIZED' })
  const row = { type: 'COMMITTED', start_ts: 1, commit_ts: 2, op: 'PUT', value: 'v' } as const
  assert.deepEqual(give(feed, { type: 'UNKNOWN' }, { ...row, key: '\x7fz' }), [])
  assert.equal(give(feed, { ...row, key: 'k' }).length, 1)
})

test('an unknown operation is fatal', () => {
  const feed = newFeed()
  assert.throws(() => give(feed, { type: 'COMMITTED', start_ts: 1, commit_ts: 2, key: 'k' }), /ErrUnknownKVEventType/)
})

test('memory of prewrites is counted, and given back', () => {
  const feed = newFeed()
  give(feed, { type: 'INITIALIZED' })
  const value = 'x'.repeat(1000)
  for (let i = 0; i < 200; i++) give(feed, { type: 'PREWRITE', start_ts: 10 + i, key: `k${i}`, value, op: 'PUT' })
  assert.ok(feed.owner.unmatched.bytes >= 200_000 && feed.owner.unmatched.bytes < 400_000)
  for (let i = 0; i < 200; i++) {
    const row = { start_ts: 10 + i, key: `k${i}` }
    if (i % 2 === 0) give(feed, { type: 'ROLLBACK', ...row })
    else assert.equal(give(feed, { type: 'COMMIT', ...row, commit_ts: 1000 + i, op: 'PUT' }).length, 1)
  }
  assert.equal(feed.owner.unmatched.size, 0)
  assert.equal(feed.owner.unmatched.bytes, 0)
  give(feed, { type: 'PREWRITE', start_ts: 1, key: 'left', value, op: 'PUT' })
  assert.ok(feed.owner.unmatched.bytes > 0)
  feed.feed.close()
  assert.equal(feed.owner.unmatched.bytes, 0)
})

test('commits that wait for the scan are counted too', () => {
  const feed = newFeed()
  give(
    feed,
    { type: 'COMMIT', start_ts: 1, commit_ts: 2, key: 'k', op: 'PUT' },
    { type: 'ROLLBACK', start_ts: 3, key: 'k' },
  )
  assert.ok(feed.owner.unmatched.bytes > 0)
  give(feed, { type: 'INITIALIZED' })
  assert.equal(feed.owner.unmatched.bytes, 0)
})
