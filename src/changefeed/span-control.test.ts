import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kafkaSettings } from '../../test/support/kafka-settings.ts'
import { testTable } from '../../test/support/table-version.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import { silentLog } from '../base/log.ts'
import type { ReplicaConfig } from '../config/replica-config.ts'
import { defaultReplicaConfig, parseReplicaConfigToml } from '../config/replica-config-toml.ts'
import type { KeyRange } from '../event/span.ts'
import type { ReplicatedTable, SchemaTracker } from '../schema/tracker.ts'
import { compareBytes, encodeBytes, intHandle, recordKey, tableRecordRange } from '../tidb/key.ts'
import { Ts } from '../tidb/ts.ts'
import type { AddSpan, ToWorker } from './messages.ts'
import { SpanControl, type SpanControlParts, surveyTables } from './span-control.ts'

const ts = (value: number): Ts => Ts(BigInt(value))
const { signal } = new AbortController()

interface Harness {
  readonly parts: SpanControlParts
  readonly control: SpanControl
  /** What each worker was sent and has not been asked for here. */
  readonly take: (worker: number) => string[]
  readonly removed: (worker: number, spanId: number, checkpoint: number, incarnation?: number) => void
  readonly load: (loads: readonly (readonly [busy: number, ...[spanId: number, share: number][]])[]) => void
  readonly pass: (ms: number) => void
}

/** Two workers; tables 1 … n, each cut into as many regions as given. */
async function start(
  regions: readonly number[],
  options: { size?: number; scheme?: 'storage'; kafka?: ReplicaConfig } = {},
): Promise<Harness> {
  const { size = 2, scheme = 'blackhole', kafka } = options
  const sent = Array.from({ length: size }, (): ToWorker[] => [])
  let now = 0
  const clock: Clock = { ...systemClock, monotonic: () => now }
  const tables: ReplicatedTable[] = regions.map((_, i) => {
    const id = BigInt(i + 1)
    return { physicalId: id, tableId: id, schema: 'd', table: `t${id}` }
  })
  const starts = regions.flatMap((count, i) =>
    Array.from({ length: count }, (_, at) =>
      at === 0
        ? tableRecordRange(BigInt(i + 1)).start
        : encodeBytes(recordKey(BigInt(i + 1), intHandle(BigInt(at * 100)))),
    ),
  )
  const all: KeyRange[] = starts.map((from, i) => ({ start: from, end: starts[i + 1] ?? new Uint8Array() }))
  const partial: Partial<SpanControlParts> = {
    epoch: 2n,
    config: kafka ?? defaultReplicaConfig,
    sink:
      kafka === undefined
        ? ({ scheme, codec: undefined } as SpanControlParts['sink']) // as far as it is looked at
        : kafkaSettings('127.0.0.1:9092'),
    releaseQuota() {},
    sinkMemory: () => new SharedArrayBuffer(0),
    tracker: {
      tablesAt: () => tables,
      schemasFrom: (physicalId, from) => [
        { physicalId, schema: 'd', version: from, info: new Uint8Array(new SharedArrayBuffer(1)) },
      ],
      apply: () => [],
      tableAt: (physicalId) => ({ ...testTable({ columns: { id: 'int primary key' } }), physicalId }),
      matchedTables: () => [],
      collect() {},
    },
    workers: {
      size,
      alive: () => true,
      post: (worker, message) => void sent[worker]?.push(message),
      replace() {},
      listen: () => ({ [Symbol.dispose]() {} }),
    },
    scanRegions: async (from, end) =>
      all.filter(
        (region) =>
          compareBytes(region.start, end) < 0 && (region.end.length === 0 || compareBytes(from, region.end) < 0),
      ),
    clock,
    log: silentLog,
  }
  const parts = partial as SpanControlParts
  const control = new SpanControl(parts, signal, (work) => work())
  const borders = await surveyTables(parts, ts(100), signal)
  control.setTables(tables, ts(100), borders)
  return {
    parts,
    control,
    take: (worker) => (sent[worker] ?? []).splice(0).map(textOf),
    removed: (worker, spanId, checkpoint, incarnation = 1) =>
      control.receive(worker, { type: 'span-removed', epoch: 2n, spanId, incarnation, checkpointTs: ts(checkpoint) }),
    load(loads) {
      for (const [worker, [busy, ...spans]] of loads.entries()) {
        const shares = spans.map(([spanId, share]) => ({ spanId, share, rowsPerMinute: 0 }))
        control.receive(worker, { type: 'load', epoch: 2n, busy, spans: shares })
      }
    },
    pass(ms) {
      now += ms
    },
  }
}

const textOf = (message: ToWorker): string =>
  message.type === 'add-span'
    ? `add ${addText(message)}`
    : message.type === 'remove-span'
      ? `remove ${message.spanId}`
      : message.type === 'table-schema'
        ? `schema ${message.info?.number} of ${message.physicalId}`
        : message.type
const addText = ({ span, checkpointTs, schemas }: AddSpan): string =>
  `${span.id} of ${span.tableId} at ${checkpointTs} with ${schemas.length}`

test('a large table is cut for all workers at the start, one of one region is not', async () => {
  const { take } = await start([40, 1])
  assert.deepEqual([take(0).length, take(1).length], [1 + 5, 1 + 4])
})

test('with one worker, and where the sink wants a table in one place, nothing is cut', async () => {
  const one = await start([40, 1], { size: 1 })
  assert.deepEqual(one.take(0), ['open-changefeed', 'add 1 of 1 at 100 with 1', 'add 2 of 2 at 100 with 1'])
  const storage = await start([40, 1], { scheme: 'storage' })
  assert.deepEqual(storage.take(0).slice(1), ['add 1 of 1 at 100 with 1'])
  assert.equal(storage.control.moveTable(1n), false)
})

test('a span moves when it is told so: removed, then added with its checkpoint and schemas', async () => {
  const { control, take, removed } = await start([1])
  assert.deepEqual(take(0), ['open-changefeed', 'add 1 of 1 at 100 with 1'])
  assert.equal(control.moveTable(1n), true)
  assert.deepEqual(take(0), ['remove 1'])
  assert.equal(control.moveTable(1n), false, 'not while it is in transit')
  removed(0, 1, 170)
  assert.deepEqual(take(1), ['open-changefeed', 'add 1 of 1 at 170 with 1'])
})

test('the next thread of a lost worker gets the changefeed, the grant and its spans, and keeps them for a while', async () => {
  const { control, take, pass } = await start([1])
  control.grant({ type: 'grant', epoch: 2n, globalTs: ts(200), tables: [] })
  take(0)
  pass(1000)
  control.receive(0, { type: 'worker-lost', message: 'gone' })
  assert.deepEqual(take(0), [])
  control.receive(0, { type: 'worker-started' })
  assert.deepEqual(take(0), ['open-changefeed', 'grant', 'add 1 of 1 at 100 with 1'])
  assert.equal(control.moveTable(1n), false)
  pass(60_000)
  assert.equal(control.moveTable(1n), true)
})

test('many spans leave over several turns, before the grant that follows them, and once for each thread', async () => {
  const { control, take } = await start(Array.from({ length: 1500 }, () => 1))
  control.grant({ type: 'grant', epoch: 2n, globalTs: ts(200), tables: [] })
  const first = [take(0), take(1)]
  assert.ok(first.flat().length < 1000)
  control.receive(1, { type: 'worker-lost', message: 'gone' })
  control.receive(1, { type: 'worker-started' })
  const later: [string[], string[]] = [[], []]
  const [zero, one] = later
  while (one.length < 752) {
    await new Promise((resolve) => setImmediate(resolve))
    zero.push(...take(0))
    one.push(...take(1))
  }
  const inZero = [...(first[0] ?? []), ...zero]
  assert.deepEqual([inZero.length, inZero[0], inZero.at(-1)], [752, 'open-changefeed', 'grant'])
  assert.deepEqual([one.length, ...one.slice(0, 2)], [752, 'open-changefeed', 'grant'])
  assert.deepEqual(new Set([...inZero, ...one]).size, 1502)
})

test('physical tables with the same info are told so', async () => {
  const { parts, control, take } = await start([1, 1, 1], { size: 1 })
  take(0)
  const [shared, other] = [1, 2].map((length) => new Uint8Array(new SharedArrayBuffer(length)))
  const schemasFrom: SchemaTracker['schemasFrom'] = (physicalId, version) => [
    { physicalId, schema: 'd', version, info: physicalId === 3n ? other : shared },
  ]
  Object.assign(parts, { tracker: { ...parts.tracker, schemasFrom } })
  for (const tableId of [1n, 2n, 3n]) control.postSchemas(tableId, ts(150))
  assert.deepEqual(take(0), ['schema 4 of 1', 'schema 4 of 2', 'schema 5 of 3'])
})

test('only an imbalance that lasts moves a span, and not at once after the last change', async () => {
  const { take, load, pass } = await start([1, 1, 1])
  for (const worker of [0, 1]) take(worker)
  // Tables 1 and 3 are in worker 0.
  const uneven = () =>
    load([
      [0.9, [1, 0.4], [3, 0.4]],
      [0.1, [2, 0.1]],
    ])
  uneven()
  uneven()
  assert.deepEqual(take(0), [], 'the changefeed has only begun')
  pass(10_000)
  uneven()
  load([[0.3], [0.3]])
  uneven()
  assert.deepEqual(take(0), [])
  uneven()
  assert.deepEqual(take(0), ['remove 1'])
})

test('one span that is too much for a worker is split at its regions as they are then', async () => {
  const { parts, control, take, load, pass, removed } = await start([1])
  for (const worker of [0, 1]) take(worker)
  const heavy = () => load([[0.9, [1, 0.9]], [0]])
  pass(10_000)
  heavy()
  heavy()
  await control.settled()
  assert.deepEqual(take(0), [], 'one region stays one span')
  const { start: first, end } = tableRecordRange(1n)
  const middle = encodeBytes(recordKey(1n, intHandle(7n)))
  Object.assign(parts, {
    scanRegions: async () => [
      { start: first, end: middle },
      { start: middle, end },
    ],
  })
  pass(20_000)
  heavy()
  await control.settled()
  assert.deepEqual(take(0), ['remove 1'])
  removed(0, 1, 150)
  assert.deepEqual([take(0), take(1)], [['add 3 of 1 at 150 with 1'], ['add 2 of 1 at 150 with 1']])
})

test('rebalance cuts and joins tables as their regions are', async () => {
  const { parts, control, take, removed } = await start([2])
  assert.deepEqual([take(0).length, take(1).length], [2, 2])
  Object.assign(parts, { scanRegions: async () => [tableRecordRange(1n)] })
  await control.rebalance(signal)
  assert.deepEqual([take(0), take(1)], [['remove 1'], ['remove 2']])
  removed(1, 2, 130)
  assert.deepEqual([take(0), take(1)], [[], []])
  removed(0, 1, 120)
  assert.deepEqual([take(0), take(1)], [['add 3 of 1 at 120 with 1'], []])
})

test('a table that is renamed to a name with another rule becomes one span, before a later grant', async () => {
  const { config } = parseReplicaConfigToml(
    "[sink]\ndispatchers = [{ matcher = ['d.t1', 'd.u1'], partition = 'index-value' }]",
    'changefeed.toml',
  )
  const { control, take, removed } = await start([2], { kafka: config })
  assert.deepEqual([take(0).length, take(1).length], [2, 2])
  const named = (table: string) => [{ physicalId: 1n, tableId: 1n, schema: 'd', table }]
  control.setTables(named('u1'), ts(120))
  assert.deepEqual([take(0), take(1)], [[], []], 'the same rule')
  control.setTables(named('other'), ts(130))
  control.grant({ type: 'grant', epoch: 2n, globalTs: ts(200), tables: [] })
  assert.deepEqual(
    [take(0), take(1)],
    [
      ['remove 1', 'grant'],
      ['remove 2', 'grant'],
    ],
  )
  removed(0, 1, 130)
  removed(1, 2, 130)
  assert.deepEqual([take(0), take(1)], [['add 3 of 1 at 130 with 1'], []])
})

test('one that is in transit when it is renamed is joined when it is at rest', async () => {
  const { config } = parseReplicaConfigToml(
    "[sink]\ndispatchers = [{ matcher = ['d.t1'], partition = 'index-value' }]",
    'changefeed.toml',
  )
  const { control, take, removed } = await start([2], { kafka: config })
  control.moveTable(1n)
  control.setTables([{ physicalId: 1n, tableId: 1n, schema: 'd', table: 'other' }], ts(130))
  for (const worker of [0, 1]) take(worker)
  removed(0, 1, 130)
  assert.deepEqual([take(0), take(1)], [[], ['add 1 of 1 at 130 with 1']])
  removed(1, 2, 130)
  assert.deepEqual([take(0), take(1)], [['add 2 of 1 at 130 with 1', 'remove 2'], ['remove 1']])
})
