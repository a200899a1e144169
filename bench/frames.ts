/** Event-feed frames made beforehand, so that the generator is not what a benchmark measures. */
import { ChangeDataEvent, Event, type Event_Row, Event_LogType, Event_Row_OpType } from '../src/proto/cdcpb.ts'
import { intHandle, recordKey } from '../src/tidb/key.ts'
import { encodeRow } from '../src/tidb/row-encoder.ts'
import { parseTableInfo } from '../src/tidb/table-info-json.ts'
import type { FieldType } from '../src/tidb/table-info.ts'
import type { Value } from '../src/tidb/value.ts'

export interface BenchTable {
  readonly name: string
  readonly ddl: string
  /** Columns after the primary key `id`, ids from 2 on. */
  readonly columns: readonly { readonly type: FieldType; readonly value: (id: number) => Value }[]
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'
const text = (length: number) => (id: number) =>
  Buffer.from(Array.from({ length }, (_, at) => LETTERS[(id * 7 + at * 11) % LETTERS.length]).join(''))

const INT = { sql: 'INT', Tp: 3, Flen: 11 }
const BIGINT = { sql: 'BIGINT', Tp: 8, Flen: 20 }
const DOUBLE = { sql: 'DOUBLE', Tp: 5, Flen: 22 }
const DECIMAL = { sql: 'DECIMAL(18,4)', Tp: 246, Flen: 18, Decimal: 4 }
const DATETIME = { sql: 'DATETIME(3)', Tp: 12, Flen: 23, Decimal: 3 }
const DATE = { sql: 'DATE', Tp: 10, Flen: 10 }
const TIMESTAMP = { sql: 'TIMESTAMP', Tp: 7, Flen: 19, Decimal: 0 }
const JSON_TYPE = { sql: 'JSON', Tp: 245, Flen: -1 }
const varchar = (length: number) => ({ sql: `VARCHAR(${length})`, Tp: 15, Flen: length, Charset: 'utf8mb4' })

interface ColumnKind {
  readonly sql: string
  readonly Tp: number
  readonly Flen: number
  readonly Decimal?: number
  readonly Charset?: string
}

const fieldType = ({ Tp, Flen, Decimal = 0, Charset = 'binary' }: ColumnKind): FieldType => {
  const type = { Tp, Flen, Decimal, Charset, Collate: Charset === 'binary' ? 'binary' : 'utf8mb4_bin', Flag: 0 }
  const cols = [{ id: 1, name: { O: 'c', L: 'c' }, offset: 0, type, state: 5, version: 2 }]
  const parsed = parseTableInfo(JSON.stringify({ id: 1, name: { O: 't', L: 't' }, cols, state: 5 })).columns[0]
  if (parsed === undefined) throw new TypeError('a table of one column')
  return parsed.type
}

type Spec = readonly (readonly [kind: ColumnKind, value: (id: number) => Value])[]

function table(name: string, spec: Spec): BenchTable {
  const columns = spec.map(([{ sql }], at) => `c${at + 2} ${sql}`).join(', ')
  return {
    name,
    ddl: `CREATE TABLE ${name} (id BIGINT PRIMARY KEY, ${columns})`,
    columns: spec.map(([kind, value]) => ({ type: fieldType(kind), value })),
  }
}

const integer = (id: number): Value => id % 1_000_000
const time = (id: number): Value => `2026-03-0${1 + (id % 9)} 10:20:30`

/** Four shapes of ten columns; a row is about 280 bytes. */
export const TABLES: readonly BenchTable[] = [
  table('numbers', [
    ...Array.from({ length: 4 }, () => [BIGINT, integer] as const),
    [INT, integer],
    [DOUBLE, (id) => id / 7],
    [DECIMAL, (id) => `${id % 100000}.1234`],
    [varchar(100), text(90)],
    [varchar(120), text(100)],
  ]),
  table('strings', [
    [varchar(60), text(50)],
    [varchar(60), text(40)],
    [varchar(60), text(45)],
    [varchar(60), text(55)],
    [varchar(60), text(30)],
    [INT, integer],
    [INT, integer],
    [BIGINT, integer],
    [varchar(20), () => null],
  ]),
  table('times', [
    [DATETIME, (id) => `${time(id)}.123`],
    [TIMESTAMP, time],
    [DATE, () => '2026-03-04'],
    [DATETIME, (id) => `${time(id)}.456`],
    [varchar(80), text(70)],
    [varchar(80), text(80)],
    [varchar(80), text(60)],
    [BIGINT, integer],
    [INT, integer],
  ]),
  table('mixed', [
    [JSON_TYPE, (id) => `{"id": ${id % 1000}, "tags": ["a", "b"]}`],
    [DECIMAL, (id) => `${id % 1000}.5000`],
    [varchar(100), text(90)],
    [varchar(100), text(80)],
    [INT, integer],
    [DOUBLE, (id) => id * 1.5],
    [DATE, () => '2025-12-31'],
    [BIGINT, integer],
    [varchar(20), () => Buffer.from('München')],
  ]),
]

export interface FramePlan {
  readonly table: BenchTable
  readonly tableId: bigint
  readonly regionId: bigint
  readonly requestId: bigint
  readonly rows: number
  /** Rows have commitTs above it, two apart. */
  readonly afterTs: bigint
  /** Handles are above it. */
  readonly afterHandle: bigint
}

export interface Frames {
  readonly frames: readonly Buffer[]
  /** commitTs of each frame's last row. */
  readonly endTs: readonly bigint[]
  readonly bytes: number
  readonly lastTs: bigint
}

/** Rows per Event: about TiKV's 32 KiB. */
const ROWS_PER_EVENT = 100
/** Different rows per region; their bytes are made once. */
const DISTINCT = 512

/** 70 % PREWRITE and COMMIT, 30 % COMMITTED; half of the rows are updates with their old value. */
export function makeFrames(plan: FramePlan): Frames {
  const { table, regionId, requestId } = plan
  const images = Array.from({ length: DISTINCT + 1 }, (_, id) =>
    Buffer.from(encodeRow(table.columns.map(({ type, value }, at) => ({ id: at + 2, type, value: value(id) })))),
  )
  const keys = Array.from({ length: DISTINCT }, (_, id) =>
    Buffer.from(recordKey(plan.tableId, intHandle(plan.afterHandle + 1n + BigInt(id)))),
  )
  const frames: Buffer[] = []
  const endTs: bigint[] = []
  let bytes = 0
  let ts = plan.afterTs
  const none = Buffer.alloc(0)
  const flush = (entries: Event_Row[]): void => {
    const event = Event.create({ regionId, requestId, event: { $case: 'entries', value: { entries } } })
    const frame = Buffer.from(ChangeDataEvent.encode(ChangeDataEvent.create({ events: [event] })).finish())
    frames.push(frame)
    endTs.push(ts)
    bytes += frame.length
  }
  let entries: Event_Row[] = []
  for (let at = 0; at < plan.rows; at++) {
    const [key = none, value = none] = [keys[at % DISTINCT], images[at % DISTINCT]]
    const oldValue = at % 2 === 0 ? (images[(at % DISTINCT) + 1] ?? none) : none
    const [startTs, commitTs] = [ts + 1n, ts + 2n]
    ts += 2n
    const put = Event_Row_OpType.PUT
    if (at % 10 < 7) {
      entries.push(row({ type: Event_LogType.PREWRITE, opType: put, startTs, key, value, oldValue }))
      entries.push(row({ type: Event_LogType.COMMIT, opType: put, startTs, commitTs, key }))
    } else {
      entries.push(row({ type: Event_LogType.COMMITTED, opType: put, startTs, commitTs, key, value, oldValue }))
    }
    if (entries.length < ROWS_PER_EVENT) continue
    flush(entries)
    entries = []
  }
  if (entries.length > 0) flush(entries)
  return { frames, endTs, bytes, lastTs: ts }
}

export function initializedFrame(regionId: bigint, requestId: bigint): Buffer {
  const entries = [row({ type: Event_LogType.INITIALIZED })]
  const event = Event.create({ regionId, requestId, event: { $case: 'entries', value: { entries } } })
  return Buffer.from(ChangeDataEvent.encode(ChangeDataEvent.create({ events: [event] })).finish())
}

export function resolvedFrame(regionId: bigint, requestId: bigint, ts: bigint): Buffer {
  const resolvedTs = { regions: [regionId], ts, requestId }
  return Buffer.from(ChangeDataEvent.encode(ChangeDataEvent.create({ resolvedTs })).finish())
}

type RowFields = Partial<Event_Row>

function row(fields: RowFields): Event_Row {
  const none = Buffer.alloc(0)
  return {
    startTs: 0n,
    commitTs: 0n,
    type: Event_LogType.UNKNOWN,
    opType: Event_Row_OpType.UNKNOWN,
    key: none,
    value: none,
    oldValue: none,
    expireTsUnixSecs: 0n,
    txnSource: 0n,
    generation: 0n,
    ...fields,
  }
}
