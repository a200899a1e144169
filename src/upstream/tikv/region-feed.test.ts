import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

import { CdcError } from '../../base/errors.ts'
import type { RawKv } from '../../event/raw-kv.ts'
import { RawRow } from '../../event/raw-row.ts'
import { Event_Entries, Event_LogType, Event_Row_OpType } from '../../proto/cdcpb.ts'
import { encodeBytes } from '../../tidb/key.ts'
import { Ts } from '../../tidb/ts.ts'
import { RowCursor } from './change-data.ts'
import { RangeLock } from './range-lock.ts'
import { RegionFeed } from './region-feed.ts'
import { UnmatchedRows } from './unmatched-rows.ts'

interface Row {
  readonly type: keyof typeof Event_LogType
  readonly start_ts?: number
  readonly commit_ts?: number
  readonly key?: string
  readonly value?: string
  readonly old_value?: string
  readonly generation?: number
  readonly op?: keyof typeof Event_Row_OpType
}
interface Scenario {
  readonly name: string
  readonly start_ts: number
  readonly region_resolved_ts: number
  readonly steps: readonly { readonly in: Row; readonly out: readonly unknown[] }[]
}

const vectors: { matcher_scenarios: { readonly cases: readonly Scenario[] } } = JSON.parse(
  readFileSync(join(import.meta.dirname, 'vectors', 'upstream.json'), 'utf8'),
)

function newFeed(startTs = 0, resolvedTs = startTs) {
  const range = { start: encodeBytes(Buffer.of(0)), end: encodeBytes(Buffer.of(0x7f)) }
  const result = new RangeLock(range, Ts(BigInt(resolvedTs))).lock(range.start, range.end, 1n, 1n)
  assert.ok(result.status === 'locked')
  const out: unknown[] = []
  const row = new RawRow()
  const owner = {
    startTs: Ts(BigInt(startTs)),
    unmatched: new UnmatchedRows(),
    keyPrefixLength: 0,
    row,
    give: () => void out.push(plainRow(row.toRawKv())),
    stopped: false,
    join() {},
    advanced() {},
    charge() {},
  }
  const region = { id: 1n, confVer: 1n, version: 1n, ...range, peers: [], leader: undefined }
  return { owner, out, feed: new RegionFeed(region, result.hold, owner, { storeId: 1n, since: 0 }) }
}

type TestFeed = ReturnType<typeof newFeed>

/** Gives rows to a feed as one frame, which is overwritten afterwards. */
function give({ feed, owner, out }: TestFeed, ...rows: Row[]): unknown[] {
  const entries = rows.map((row) => ({
    type: Event_LogType[row.type],
    startTs: BigInt(row.start_ts ?? 0),
    commitTs: BigInt(row.commit_ts ?? 0),
    key: Buffer.from(row.key ?? ''),
    value: Buffer.from(row.value ?? ''),
    oldValue: Buffer.from(row.old_value ?? ''),
    generation: BigInt(row.generation ?? 0),
    opType: Event_Row_OpType[row.op ?? 'UNKNOWN'],
  }))
  const frame = Buffer.from(Event_Entries.encode(Event_Entries.fromPartial({ entries })).finish())
  const cursor = new RowCursor()
  cursor.reset(frame, 0, frame.length)
  feed.handle(cursor)
  owner.unmatched.retain()
  frame.fill(0xee)
  return out.splice(0)
}

function plainRow({ startTs, commitTs, key, value, oldValue }: RawKv): unknown {
  const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString()
  const op = value === undefined ? 'DELETE' : 'PUT'
  return {
    start_ts: Number(startTs),
    commit_ts: Number(commitTs),
    key: text(key),
    op,
    value: text(value),
    old_value: text(oldValue),
  }
}

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
