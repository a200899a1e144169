import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ChangeDataEvent, Event_LogType, type Event_Row } from '../src/proto/cdcpb.ts'
import { intHandle, recordKey } from '../src/tidb/key.ts'
import { type FrameMode, makeTemplate, nextFrame } from './frames.ts'
import { manyTables, TABLES } from './tables.ts'

const TABLE_ID = 1_000_007n
const AFTER_TS = 467_996_279_696_261_139n
const AFTER_HANDLE = 40_000_000_000n

/** Rows of frames of at most `perFrame` rows, all of a region. */
function rowsOf(mode: FrameMode, count: number, perFrame: number): Event_Row[] {
  const [table] = manyTables(1)
  if (table === undefined) throw new TypeError('one table was asked for')
  const region = {
    template: makeTemplate(table, TABLE_ID, mode, 64),
    mode,
    regionId: 300n,
    requestId: 70_000n,
    afterTs: AFTER_TS,
    afterHandle: AFTER_HANDLE,
    scanRows: count,
    sent: 0,
    nextEvent: 0,
  }
  const rows: Event_Row[] = []
  while (region.sent < count) {
    const { events } = ChangeDataEvent.decode(nextFrame(region, Math.min(perFrame, count - region.sent)))
    for (const { regionId, requestId, event } of events) {
      assert.deepEqual([regionId, requestId, event?.$case], [300n, 70_000n, 'entries'])
      if (event?.$case === 'entries') rows.push(...event.value.entries)
    }
  }
  return rows
}

for (const perFrame of [1, 37, 10_000])
  test(`live rows are in commit order, each prewritten and committed or committed at once, ${perFrame} a frame`, () => {
    const rows = rowsOf('live', 1000, perFrame)
    const done = rows.filter(({ type }) => type !== Event_LogType.PREWRITE)
    assert.deepEqual(
      done.map(({ commitTs }) => commitTs),
      Array.from({ length: 1000 }, (_, at) => AFTER_TS + 2n * BigInt(at + 1)),
    )
    for (const [at, { key, startTs, commitTs }] of done.entries()) {
      assert.equal(startTs, commitTs - 1n)
      assert.deepEqual(Buffer.from(key), Buffer.from(recordKey(TABLE_ID, intHandle(AFTER_HANDLE + BigInt(at + 1)))))
    }
    for (const [at, row] of rows.entries()) {
      if (row.type !== Event_LogType.COMMIT) continue
      const before = rows[at - 1]
      assert.equal(before?.type, Event_LogType.PREWRITE)
      assert.deepEqual([before?.startTs, before?.key, before?.commitTs], [row.startTs, row.key, 0n])
    }
  })

test('a scan has every timestamp once, and keys in order', () => {
  const rows = rowsOf('scan', 1000, 300)
  assert.ok(rows.every(({ type }) => type === Event_LogType.COMMITTED))
  const timestamps = rows.map(({ commitTs }) => commitTs)
  const inOrder = Array.from({ length: 1000 }, (_, at) => AFTER_TS + 2n * BigInt(at + 1))
  assert.deepEqual(
    timestamps.toSorted((a, b) => (a < b ? -1 : 1)),
    inOrder,
  )
  assert.notDeepEqual(timestamps, inOrder)
  const keys = rows.map(({ key }) => Buffer.from(key).toString('hex'))
  assert.deepEqual(keys, keys.toSorted())
})

test('Events are of 32 KiB, rows of some 280 bytes', () => {
  for (const table of TABLES) {
    const template = makeTemplate(table, TABLE_ID, 'live', 1024)
    for (const { bytes, valueBytes, ends } of template) {
      assert.ok(bytes.length >= 32 * 1024 && bytes.length < 34 * 1024)
      assert.ok(valueBytes / ends.length > 200 && valueBytes / ends.length < 340)
    }
  }
})
