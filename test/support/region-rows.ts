import assert from 'node:assert/strict'

import type { RawKv } from '../../src/event/raw-kv.ts'
import { RawRow } from '../../src/event/raw-row.ts'
import { Event_Entries, Event_LogType, Event_Row_OpType } from '../../src/proto/cdcpb.ts'
import { encodeBytes } from '../../src/tidb/key.ts'
import { Ts } from '../../src/tidb/ts.ts'
import { RowCursor } from '../../src/upstream/tikv/change-data.ts'
import { FeedHolder } from '../../src/upstream/tikv/feed-holder.ts'
import { RangeLock } from '../../src/upstream/tikv/range-lock.ts'
import { RegionFeed } from '../../src/upstream/tikv/region-feed.ts'
import { UnmatchedRows } from '../../src/upstream/tikv/unmatched-rows.ts'

/** A row as a store sends it. */
export interface Row {
  readonly type: keyof typeof Event_LogType
  readonly start_ts?: number
  readonly commit_ts?: number
  readonly key?: string
  readonly value?: string
  readonly old_value?: string
  readonly generation?: number
  readonly op?: keyof typeof Event_Row_OpType
}

/** A region of a subscription of its own, or of one that shares `unmatched`; `out` is what it gave. */
export function newFeed(startTs = 0, resolvedTs = startTs, unmatched = new UnmatchedRows()) {
  const range = { start: encodeBytes(Buffer.of(0)), end: encodeBytes(Buffer.of(0x7f)) }
  const result = new RangeLock(range, Ts(BigInt(resolvedTs))).lock(range.start, range.end, 1n, 1n)
  assert.ok(result.status === 'locked')
  const out: unknown[] = []
  const row = new RawRow()
  const owner = {
    startTs: Ts(BigInt(startTs)),
    unmatched,
    keyPrefixLength: 0,
    row,
    give: () => void out.push(plainRow(row.toRawKv())),
    stopped: false,
    joins: 0,
    join: () => void owner.joins++,
    advanced() {},
    charged: 0,
    charge: (bytes: number) => void (owner.charged += bytes),
  }
  const region = { id: 1n, confVer: 1n, version: 1n, ...range, peers: [], leader: undefined }
  const feed = new RegionFeed(region, result.hold, owner, { storeId: 1n, since: 0 })
  return { owner, out, feed, holder: new FeedHolder({ ...owner, feeds: new Set([feed]), spilled() {} }) }
}

export type TestFeed = ReturnType<typeof newFeed>

/** Gives rows to a feed as one frame, which is overwritten afterwards. */
export function give({ feed, owner, out }: TestFeed, ...rows: Row[]): unknown[] {
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

/** Goes to a resolved-ts, joining what lies on disk; gives the rows that came. */
export async function resolve({ feed, out }: TestFeed, ts: number): Promise<unknown[]> {
  if (!feed.resolve(Ts(BigInt(ts)))) await feed.join()
  assert.equal(feed.hold.ts, BigInt(ts))
  return out.splice(0)
}
