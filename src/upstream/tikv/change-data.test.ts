import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ChangeDataEvent, type Error as RegionError, type Event_Row, Event_LogType } from '../../proto/cdcpb.ts'
import type { Ts } from '../../tidb/ts.ts'
import { ChangeDataReader, type ChangeDataVisitor, type RowCursor } from './change-data.ts'
import { createRandom } from '../../../test/support/random.ts'
import { openRecording, recordings } from '../../../test/support/recorded-feed.ts'

/** What a frame says, as plain values. */
class Collector implements ChangeDataVisitor {
  readonly seen: unknown[] = []

  rows(regionId: bigint, requestId: number, rows: RowCursor): void {
    while (rows.next()) {
      const { type, op, startTs, commitTs, generation, frame } = rows
      const key = frame.toString('hex', rows.keyAt, rows.keyEnd)
      const value = frame.toString('hex', rows.valueAt, rows.valueEnd)
      const old = frame.toString('hex', rows.oldAt, rows.oldEnd)
      this.seen.push({ regionId, requestId, type, op, startTs, commitTs, generation, key, value, old })
    }
  }
  failed(regionId: bigint, requestId: number, error: RegionError): void {
    this.seen.push({ regionId, requestId, error })
  }
  regionResolved(regionId: bigint, requestId: number, ts: Ts): void {
    this.seen.push({ regionId, requestId, ts })
  }
  resolved(ts: Ts, regionIds: readonly bigint[], requestId: number): void {
    this.seen.push({ regionIds: [...regionIds], requestId, ts })
  }
}

function byGeneratedDecoder(frame: Buffer): unknown[] {
  const message = ChangeDataEvent.decode(frame)
  const seen = message.events.flatMap((event): unknown[] => {
    const regionId = event.regionId
    const requestId = Number(event.requestId)
    if (event.event?.$case === 'entries') {
      return event.event.value.entries.map((row) => ({ regionId, requestId, ...plainRow(row) }))
    }
    if (event.event?.$case === 'error') return [{ regionId, requestId, error: event.event.value }]
    if (event.event?.$case === 'resolvedTs') return [{ regionId, requestId, ts: event.event.value }]
    return []
  })
  if (message.resolvedTs !== undefined) {
    const { regions, ts, requestId } = message.resolvedTs
    seen.push({ regionIds: regions, requestId: Number(requestId), ts })
  }
  return seen
}

function plainRow(row: Event_Row): object {
  const { type, opType: op, startTs, commitTs } = row
  const [key, value, old] = [row.key, row.value, row.oldValue].map((bytes) => bytes.toString('hex'))
  return { type, op, startTs, commitTs, generation: Number(row.generation), key, value, old }
}

function read(frame: Buffer): unknown[] {
  const collector = new Collector()
  new ChangeDataReader().read(frame, collector)
  return collector.seen
}

for (const name of recordings) {
  test(`frames of ${name} read as the generated decoder reads them`, () => {
    let frames = 0
    for (const line of openRecording(name).lines) {
      if (line.k !== 'resp' || line.rpc !== '' || line.frame === undefined) continue
      frames++
      assert.deepEqual(read(line.frame), byGeneratedDecoder(line.frame))
    }
    assert.ok(frames > 0)
  })
}

const sample = Buffer.from(
  ChangeDataEvent.encode(
    ChangeDataEvent.fromPartial({
      events: [
        {
          regionId: 14n,
          requestId: 3n,
          event: {
            $case: 'entries',
            value: {
              entries: [
                {
                  type: Event_LogType.PREWRITE,
                  startTs: 0xffff_ffff_ffff_fffen,
                  generation: 7n,
                  key: Buffer.from('k'),
                  value: Buffer.alloc(300, 1),
                },
                { type: Event_LogType.COMMIT, startTs: 1n, commitTs: 1n << 63n, key: Buffer.from('k') },
              ],
            },
          },
        },
      ],
      resolvedTs: { regions: [1n, 300n, 1n << 40n], ts: 9n, requestId: 3n },
    }),
  ).finish(),
)

test('timestamps use all 64 bits', () => {
  assert.deepEqual(read(sample), byGeneratedDecoder(sample))
})

test('a frame that ends early is an error, wherever it is cut', () => {
  let refused = 0
  for (let length = 1; length < sample.length; length++) {
    try {
      read(Buffer.from(sample.subarray(0, length)))
    } catch (error) {
      assert.ok(error instanceof RangeError)
      refused++
    }
  }
  // A cut between two top-level fields is a whole message.
  assert.ok(refused >= sample.length - 4)
})

test('fields that are not known are skipped, and their order does not matter', () => {
  const unknown = Buffer.from([0xf8, 0x01, 0x05, 0xf2, 0x01, 0x02, 0x61, 0x62, 0xf9, 0x01, 1, 2, 3, 4, 5, 6, 7, 8])
  const requestFirst = Buffer.from([0x0a, 0x0a, 0x38, 0x03, 0x1a, 0x04, 0x0a, 0x02, 0x18, 0x05, 0x08, 0x0e])
  const [row] = read(Buffer.concat([unknown, requestFirst]))
  assert.deepEqual(row, byGeneratedDecoder(requestFirst)[0])
})

test('a resolved-ts whose regions are not packed is read as well', () => {
  const frame = Buffer.from([0x12, 0x08, 0x08, 0x0e, 0x08, 0x10, 0x10, 0x20, 0x18, 0x03])
  assert.deepEqual(read(frame), [{ regionIds: [14n, 16n], requestId: 3, ts: 32n }])
})

test('bytes that are wrong anywhere give an error or other rows, and always an end', () => {
  const random = createRandom(1)
  const row = { type: Event_LogType.PREWRITE, startTs: 5n, key: Buffer.from('key'), value: Buffer.alloc(40, 'v') }
  const frame = Buffer.from(
    ChangeDataEvent.encode(
      ChangeDataEvent.fromPartial({
        events: [{ regionId: 7n, requestId: 3n, event: { $case: 'entries', value: { entries: [row, row] } } }],
        resolvedTs: { regions: [1n, 300n], ts: 99n, requestId: 3n },
      }),
    ).finish(),
  )
  let refused = 0
  for (let i = 0; i < 20_000; i++) {
    const broken = Buffer.from(frame)
    for (let n = 0; n <= random.below(3); n++) broken[random.below(broken.length)] = random.below(256)
    try {
      new ChangeDataReader().read(broken, new Collector())
    } catch (error) {
      assert.ok(error instanceof RangeError || /wire type/.test(String(error)), String(error))
      refused++
    }
  }
  assert.ok(refused > 1000)
})
