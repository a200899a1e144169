/**
 * Event-feed frames as TiKV sends them, made when they are sent: a table's Events are encoded once, and a frame is a copy
 * of some with ids, timestamps and handles set in place. So a row costs the generator little, and no row waits in memory.
 */
import { ChangeDataEvent, Event, Event_LogType, Event_Row, Event_Row_OpType } from '../src/proto/cdcpb.ts'
import { intHandle, recordKey } from '../src/tidb/key.ts'
import { encodeRow } from '../src/tidb/row-encoder.ts'
import type { BenchTable } from './tables.ts'

/**
 * `live`: 70 % PREWRITE and COMMIT, 30 % COMMITTED, in commit order. `scan`: COMMITTED alone, in the order of keys, as
 * the first scan of a region gives them. In both, every second row is an update with its old value.
 */
export type FrameMode = 'live' | 'scan'

/** TiKV's CDC_EVENT_MAX_BYTES: it cuts a scan's rows into Events of this size. */
const EVENT_BYTES = 32 * 1024
/** TiKV puts up to 64 Events, but at most 6 MiB, into a message; a busy store's had up to 40. This is a modest one. */
const EVENTS_PER_FRAME = 4

/** Timestamps of 2⁵⁶ to 2⁶³ - 1 are varints of nine bytes. */
const TS_BYTES = 9
/** Any timestamp of that length. */
const SOME_TS = (1n << 62n) + 1n
/** Where the handle lies in a record key: behind `t`, the table's id and `_r`. */
const HANDLE_AT = 11

export interface EventTemplate {
  /** cdcpb's Event.Entries. */
  readonly bytes: Buffer
  /** Where each row ends: a shorter Event is the bytes up to there. */
  readonly ends: readonly number[]
  /** Three numbers for each entry: its row, where its timestamps and where its handle lie. */
  readonly patches: Int32Array
  /** Patches of the rows up to each one. */
  readonly patchEnds: readonly number[]
  /** Of all rows, without old values. */
  readonly valueBytes: number
}

/** The Events of a table: `distinct` different rows, in Events of {@link EVENT_BYTES}. */
export function makeTemplate(table: BenchTable, tableId: bigint, mode: FrameMode, distinct: number): EventTemplate[] {
  const images = Array.from({ length: distinct + 1 }, (_, id) =>
    Buffer.from(encodeRow(table.columns.map(({ type, value }, at) => ({ id: at + 2, type, value: value(id) })))),
  )
  const key = Buffer.from(recordKey(tableId, intHandle(0n)))
  const events: EventTemplate[] = []
  for (let at = 0; at < distinct;) {
    const parts: Buffer[] = []
    const ends: number[] = []
    const patches: number[] = []
    const patchEnds: number[] = []
    let bytes = 0
    let valueBytes = 0
    const add = (fields: Partial<Event_Row>): void => {
      const entry = entryBytes({ ...fields, key })
      patches.push(ends.length, bytes + entry.tsAt, bytes + entry.keyAt + HANDLE_AT)
      parts.push(entry.bytes)
      bytes += entry.bytes.length
    }
    // Few different rows repeat until the Event is full.
    for (; bytes < EVENT_BYTES; at++) {
      const value = images[at % distinct] ?? key
      const opType = Event_Row_OpType.PUT
      const old = at % 2 === 0 ? { oldValue: images[(at % distinct) + 1] ?? key } : {}
      const [startTs, commitTs] = [SOME_TS, SOME_TS]
      if (mode === 'live' && at % 10 < 7) {
        add({ type: Event_LogType.PREWRITE, opType, startTs, value, ...old })
        add({ type: Event_LogType.COMMIT, opType, startTs, commitTs })
      } else {
        add({ type: Event_LogType.COMMITTED, opType, startTs, commitTs, value, ...old })
      }
      valueBytes += value.length
      ends.push(bytes)
      patchEnds.push(patches.length)
    }
    events.push({ bytes: Buffer.concat(parts), ends, patches: Int32Array.from(patches), patchEnds, valueBytes })
  }
  return events
}

const NO_BYTES = Buffer.alloc(0)
const NO_ROW = Event_Row.create({ key: NO_BYTES, value: NO_BYTES, oldValue: NO_BYTES })

/** One element of Event.Entries, with its tag and length. Timestamps are the first fields, a commit-ts behind a start-ts. */
function entryBytes(fields: Partial<Event_Row> & { readonly key: Buffer }) {
  const row = Buffer.from(Event_Row.encode({ ...NO_ROW, ...fields }).finish())
  const head = varint(row.length)
  const bytes = Buffer.concat([Buffer.from([0x0a]), head, row])
  return { bytes, tsAt: 1 + head.length + 1, keyAt: bytes.indexOf(fields.key) }
}

/** How far one region's rows are. */
export interface RegionRows {
  readonly template: readonly EventTemplate[]
  readonly mode: FrameMode
  readonly regionId: bigint
  readonly requestId: bigint
  /** Rows have commitTs above it: `afterTs + 2 n`, startTs one below. */
  afterTs: bigint
  /** Handles are above it, one apart. */
  readonly afterHandle: bigint
  /** Rows of a scan, whose timestamps are in another order than its keys. */
  readonly scanRows: number
  /** Rows so far. */
  sent: number
  nextEvent: number
}

/** commitTs of the last of the first so many rows. */
export const commitTsOf = ({ afterTs }: { readonly afterTs: bigint }, rows: number): bigint =>
  afterTs + 2n * BigInt(rows)

/** Not a divisor of any number of rows: steps of it reach every timestamp of a scan once. */
const SCAN_STEP = 7_368_787

/** The next frame of a region, of at most so many rows; counts them as sent. */
export function nextFrame(region: RegionRows, maxRows: number): Buffer {
  const { template } = region
  const parts: { event: EventTemplate; rows: number; size: number }[] = []
  const ids = { region: varint(Number(region.regionId)), request: varint(Number(region.requestId)) }
  const overhead = ids.region.length + ids.request.length + 3
  let rows = 0
  let total = 0
  while (parts.length < EVENTS_PER_FRAME && rows < maxRows) {
    const event = template[region.nextEvent++ % template.length]
    if (event === undefined) throw new RangeError('a table without rows')
    const count = Math.min(event.ends.length, maxRows - rows)
    const bytes = event.ends[count - 1] ?? 0
    const size = overhead + varintLength(bytes) + bytes
    parts.push({ event, rows: count, size })
    rows += count
    total += 1 + varintLength(size) + size
  }
  const frame = Buffer.allocUnsafeSlow(total)
  let at = 0
  for (const { event, rows: count, size } of parts) {
    const bytes = event.ends[count - 1] ?? 0
    // ChangeDataEvent.events = 1 { Event: region_id = 1, entries = 3, request_id = 7 }
    frame[at++] = 0x0a
    at = writeVarint(frame, at, size)
    frame[at++] = 0x08
    at += ids.region.copy(frame, at)
    frame[at++] = 0x1a
    at = writeVarint(frame, at, bytes)
    event.bytes.copy(frame, at, 0, bytes)
    patch(frame, at, event, count, region)
    at += bytes
    frame[at++] = 0x38
    at += ids.request.copy(frame, at)
    region.sent += count
  }
  return frame
}

const LOW_BITS = 28
const LOW = 2 ** LOW_BITS

/** Sets the timestamps and handles of an Event's first `count` rows, which follow those that were sent. */
function patch(frame: Buffer, base: number, event: EventTemplate, count: number, region: RegionRows): void {
  const { patches, patchEnds } = event
  const { sent, scanRows, mode } = region
  const tsHigh = Number(region.afterTs >> BigInt(LOW_BITS))
  const tsLow = Number(region.afterTs & BigInt(LOW - 1))
  const handle = Number(region.afterHandle) + sent + 1
  const end = patchEnds[count - 1] ?? 0
  for (let at = 0; at < end; at += 3) {
    const row = patches[at] ?? 0
    const tsAt = base + (patches[at + 1] ?? 0)
    const number = mode === 'live' ? sent + row : ((sent + row) * SCAN_STEP) % scanRows
    writeTs(frame, tsAt, tsHigh, tsLow + 2 * number + 1)
    // A PREWRITE has no commit-ts: what follows is its type.
    if (frame[tsAt + TS_BYTES] === 0x10) writeTs(frame, tsAt + TS_BYTES + 1, tsHigh, tsLow + 2 * number + 2)
    const handleAt = base + (patches[at + 2] ?? 0)
    const value = handle + row
    // 2⁶³ + handle: a signed integer in an order of bytes.
    frame.writeUInt32BE(0x8000_0000 + Math.floor(value / 2 ** 32), handleAt)
    frame.writeUInt32BE(value % 2 ** 32, handleAt + 4)
  }
}

/** A varint of nine bytes: `high` are the bits above the lowest 28, `low` may be more than those. */
function writeTs(frame: Buffer, at: number, high: number, low: number): void {
  const lowBits = low % LOW
  const highBits = high + (low - lowBits) / LOW
  frame[at] = (lowBits & 0x7f) | 0x80
  frame[at + 1] = ((lowBits >>> 7) & 0x7f) | 0x80
  frame[at + 2] = ((lowBits >>> 14) & 0x7f) | 0x80
  frame[at + 3] = (lowBits >>> 21) | 0x80
  frame[at + 4] = (highBits & 0x7f) | 0x80
  frame[at + 5] = ((highBits >>> 7) & 0x7f) | 0x80
  frame[at + 6] = ((highBits >>> 14) & 0x7f) | 0x80
  frame[at + 7] = ((highBits >>> 21) & 0x7f) | 0x80
  frame[at + 8] = (highBits >>> 28) & 0x7f
}

function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length += 1
  return length
}

function writeVarint(to: Buffer, from: number, value: number): number {
  let at = from
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) to[at++] = (rest % 128) | 0x80
  to[at++] = rest
  return at
}

function varint(value: number): Buffer {
  const bytes = Buffer.alloc(varintLength(value))
  writeVarint(bytes, 0, value)
  return bytes
}

export function initializedFrame({ regionId, requestId }: Pick<RegionRows, 'regionId' | 'requestId'>): Buffer {
  const entries = [Event_Row.create({ ...NO_ROW, type: Event_LogType.INITIALIZED })]
  const event = Event.create({ regionId, requestId, event: { $case: 'entries', value: { entries } } })
  return Buffer.from(ChangeDataEvent.encode(ChangeDataEvent.create({ events: [event] })).finish())
}

/** One resolved-ts for regions of one request. */
export function resolvedFrame(regions: bigint[], requestId: bigint, ts: bigint): Buffer {
  return Buffer.from(
    ChangeDataEvent.encode(ChangeDataEvent.create({ resolvedTs: { regions, ts, requestId } })).finish(),
  )
}
