import { rowOf } from '../../test/support/raw-rows.ts'
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { codecSettings } from '../../test/support/codec-settings.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import { CdcError } from '../base/errors.ts'
import { silentLog } from '../base/log.ts'
import type { FromWorker, OpenChangefeed, Progress, SharedTableInfo } from '../changefeed/messages.ts'
import { defaultReplicaConfig } from '../config/replica-config-toml.ts'
import type { BootstrapSettings, SinkSettings } from '../config/sink-settings.ts'
import type { EncodedBatch } from '../event/encoded.ts'
import type { RawKv } from '../event/raw-kv.ts'
import type { KeyRange, Span } from '../event/span.ts'
import type { RowSink } from '../sink/sink.ts'
import { createDiskMemory, openDiskQuota } from '../spill/disk-quota.ts'
import { createQuotaMemory, openQuota } from '../spill/quota.ts'
import { RunFiles } from '../spill/run-files.ts'
import { Spiller } from '../spill/spiller.ts'
import { encodeBytes, intHandle, recordKey, tableRecordRange } from '../tidb/key.ts'
import { encodeRow } from '../tidb/row-encoder.ts'
import { parseTableInfo } from '../tidb/table-info-json.ts'
import { Ts, zeroTs } from '../tidb/ts.ts'
import type { EventFeed, FeedSink } from '../upstream/tikv/feed.ts'
import { ChangefeedRun } from './changefeed-run.ts'
import { ChangefeedMetrics } from './metrics.ts'

const folder = mkdtempSync(join(tmpdir(), 'run-'))
after(() => rmSync(folder, { recursive: true }))
let started = 0

const ts = (value: number): Ts => Ts(BigInt(value))

const field = (flag: number) => ({ Tp: 8, Flag: flag, Flen: 20, Decimal: 0, Charset: 'binary', Collate: 'binary' })
const info = Buffer.from(
  JSON.stringify({
    id: 1,
    name: { O: 't', L: 't' },
    cols: [
      { id: 1, name: { O: 'id', L: 'id' }, offset: 0, type: field(4099), state: 5, version: 2 },
      { id: 2, name: { O: 'v', L: 'v' }, offset: 1, type: field(0), state: 5, version: 2 },
    ],
    state: 5,
    pk_is_handle: true,
  }),
)
const sharedInfo = (number: number, bytes: Uint8Array): SharedTableInfo => {
  const json = new Uint8Array(new SharedArrayBuffer(bytes.length))
  json.set(bytes)
  return { number, json }
}

const valueType = parseTableInfo(info).columns[1]?.type

const row = (tableId: number, id: number, commitTs: number, v: number, before?: number): RawKv => {
  if (valueType === undefined) throw new TypeError('the table has two columns')
  const value = (of: number): Uint8Array => encodeRow([{ id: 2, type: valueType, value: of }])
  return {
    startTs: ts(commitTs - 1),
    commitTs: ts(commitTs),
    key: recordKey(BigInt(tableId), intHandle(BigInt(id))),
    value: value(v),
    oldValue: before === undefined ? undefined : value(before),
  }
}

/** Gives what the test says, to the spans that the run subscribed. */
class FakeFeed implements EventFeed {
  readonly sinks = new Map<string, FeedSink>()
  /** From where on spans were subscribed; by table, in the order of the calls. */
  readonly starts: { readonly tableId: bigint; readonly startTs: Ts }[] = []

  subscribe(range: Span, startTs: Ts, sink: FeedSink) {
    const name = Buffer.from(range.start).toString('hex')
    this.sinks.set(name, sink)
    this.starts.push({ tableId: range.tableId, startTs })
    return {
      regions: { total: 1, initialized: 1 },
      resolvedTs: startTs,
      bytes: 0,
      holder: { bytes: 0, blocks: () => [], spilled() {} },
      [Symbol.dispose]: () => void this.sinks.delete(name),
    }
  }

  has(tableId: number): boolean {
    return this.sinks.has(Buffer.from(tableRecordRange(BigInt(tableId)).start).toString('hex'))
  }

  of(tableId: number, start = tableRecordRange(BigInt(tableId)).start): FeedSink {
    const sink = this.sinks.get(Buffer.from(start).toString('hex'))
    if (sink === undefined) throw new RangeError(`table ${tableId} is not subscribed`)
    return sink
  }

  async [Symbol.asyncDispose]() {}
}

/** Writes wait until the test acknowledges or breaks the sink. */
class FakeSink implements RowSink {
  readonly open: { batch: EncodedBatch; done: PromiseWithResolvers<void> }[] = []
  broken: Error | undefined

  async write(batch: EncodedBatch): Promise<void> {
    if (this.broken !== undefined) throw this.broken
    const done = Promise.withResolvers<void>()
    this.open.push({ batch, done })
    await done.promise
  }

  async partitions(): Promise<number> {
    return 1
  }

  async [Symbol.asyncDispose]() {}
}

interface Harness extends AsyncDisposable {
  readonly run: ChangefeedRun
  readonly feed: FakeFeed
  readonly sinks: FakeSink[]
  readonly posted: FromWorker[]
  readonly metrics: ChangefeedMetrics
  readonly quota: ReturnType<typeof openQuota>
  readonly delivered: string[]
  addTable(id: number, checkpoint: number): void
  grant(to: number, tables?: [number, number][]): void
  acknowledge(count?: number): Promise<void>
  /** Whatever lies in memory goes to disk. */
  spill(): void
  progress(): Progress | undefined
  /** How often the sink cannot be opened, from the first time on. */
  openFails(times: number): void
}

const blackhole = (bootstrap?: BootstrapSettings): SinkSettings => ({
  scheme: 'blackhole',
  codec: codecSettings({ simple: { encoding: 'json', bootstrap } }),
})

function start(quotaBytes = 1 << 28, failFirstOpen = 0, sink = blackhole(), diskBytes = 1 << 30): Harness {
  const posted: FromWorker[] = []
  const metrics = new ChangefeedMetrics(() => {})
  const sinks: FakeSink[] = []
  const feed = new FakeFeed()
  const delivered: string[] = []
  const shared = createQuotaMemory(quotaBytes)
  const quota = openQuota(shared)
  const disk = openDiskQuota(createDiskMemory(diskBytes))
  const spiller = new Spiller(quota, new RunFiles(join(folder, String(++started)), disk))
  let opens = 0
  let failures = failFirstOpen
  let spanSeq = 0
  const clock: Clock = {
    ...systemClock,
    sleep: (_ms, signal) => systemClock.sleep(0, signal),
  }
  const partial: Partial<OpenChangefeed> = {
    type: 'open-changefeed',
    epoch: 1n,
    changefeed: { namespace: 'default', id: 'test' },
    config: { ...defaultReplicaConfig, bdrMode: false },
    timeZone: 'UTC',
    quota: shared,
    sink,
  }
  const run = new ChangefeedRun({
    open: partial as OpenChangefeed,
    feed,
    async openSink() {
      if (opens++ < failures) throw new CdcError('CDC:ErrKafkaNewProducer', 'no broker')
      const sink = new FakeSink()
      sinks.push(sink)
      return sink
    },
    spiller,
    protocol: {
      compile: () => ({
        encode({ after, commitTs }, partition, out) {
          out.push({
            partition,
            key: null,
            value: Buffer.from(`${commitTs}:${after?.[0]}=${after?.slice(1).join()}`),
            rows: 1,
          })
        },
        flush() {},
      }),
      ddl: () => undefined,
      watermark: () => undefined,
      bootstrap: ({ physicalId }) => ({ key: null, value: Buffer.from(`table ${physicalId}`) }),
      ddlPartitions: 'all',
    },
    dispatcher: {
      topicOf: () => 't',
      compile: () => () => 0,
      compileStored: () => () => 0,
      selectColumns: () => undefined,
      routes: undefined,
      explain() {
        throw new TypeError('nobody asks')
      },
      checkConfig() {},
      checkTable() {},
    },
    filter: {
      matchesTable: () => true,
      matchesSchema: () => true,
      discardsDdl: () => false,
      ignoresDdl: () => false,
      isEligible: () => true,
      compileRowFilter: () => undefined,
      checkTable() {},
      decidingRule: () => undefined,
      eventFiltersOf: () => [],
    },
    metrics,
    clock,
    log: silentLog,
    post: (message) => posted.push(message),
  })
  return {
    run,
    metrics,
    feed,
    sinks,
    posted,
    quota,
    delivered,
    addTable(id, checkpoint) {
      run.addTable({ physicalId: BigInt(id), schema: 'd', version: ts(0), info: sharedInfo(0, info) })
      const span = { ...tableRecordRange(BigInt(id)), tableId: BigInt(id), id }
      run.addSpan({
        type: 'add-span',
        epoch: 1n,
        spanSeq: ++spanSeq,
        span,
        incarnation: 1,
        checkpointTs: ts(checkpoint),
        schemas: [],
      })
    },
    grant(to, tables = []) {
      const barriers = tables.map(([id, at]) => ({ physicalId: BigInt(id), ts: ts(at) }))
      run.grant({ type: 'grant', epoch: 1n, globalTs: ts(to), tables: barriers })
    },
    openFails(times) {
      failures = times
    },
    spill() {
      quota.addBefore(quotaBytes)
      spiller.relieve()
      quota.addBefore(-quotaBytes)
    },
    async acknowledge(count = Infinity) {
      for (let left = count; left > 0; left--) {
        const write = sinks.at(-1)?.open.shift()
        if (write === undefined) return
        delivered.push(...[...write.batch.messages].map(({ value }) => Buffer.from(value ?? []).toString()))
        write.done.resolve()
        await turn()
      }
    },
    progress: () => posted.findLast((message): message is Progress => message.type === 'progress'),
    [Symbol.asyncDispose]: () => run[Symbol.asyncDispose](),
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 5000
  while (!condition()) {
    assert.ok(Date.now() < deadline, `timed out: ${what}`)
    await turn()
  }
}

test('rows leave only when they are resolved and granted, and the checkpoint follows the acknowledgements', async () => {
  await using harness = start()
  harness.addTable(1, 100)
  harness.feed.of(1).row(rowOf(row(1, 1, 110, 1)))
  harness.feed.of(1).row(rowOf(row(1, 2, 120, 2)))
  harness.feed.of(1).resolved(ts(130))
  await turn()
  assert.equal(harness.sinks.at(-1)?.open.length ?? 0, 0)
  harness.grant(115)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the granted row')
  await until(() => harness.progress()?.checkpointTs === 109n, 'a checkpoint below the row')
  await harness.acknowledge()
  await until(() => harness.progress()?.checkpointTs === 115n, 'the grant as checkpoint')
  harness.grant(200)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the second row')
  await harness.acknowledge()
  await until(() => harness.progress()?.checkpointTs === 130n, 'the resolvedTs as checkpoint')
  assert.deepEqual(harness.delivered, ['110:1=1', '120:2=2'])
})

test('each stage counts the rows that it gives on, and what it holds until the sink has acknowledged', async () => {
  await using harness = start()
  harness.addTable(1, 100)
  for (let id = 1; id <= 3; id++) harness.feed.of(1).row(rowOf(row(1, id, 110 + id, id)))
  harness.feed.of(1).resolved(ts(130))
  harness.grant(200)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the batch')
  const { sort, plan, sink } = harness.metrics.stages
  assert.deepEqual([sort.rows, plan.rows, sink.rows], [3, 3, 0])
  assert.ok(plan.bytes > 0 && sort.bytes > 0)
  assert.equal(sink.queueBytes, plan.bytes)
  assert.equal(harness.metrics.look?.().memory.after, plan.bytes)
  await harness.acknowledge()
  await until(() => sink.rows === 3, 'the acknowledgement')
  assert.deepEqual([sink.bytes, sink.queueBytes], [plan.bytes, 0])
})

test("a table's own barrier holds only that table", async () => {
  await using harness = start()
  harness.addTable(1, 100)
  harness.addTable(2, 100)
  for (const id of [1, 2]) {
    harness.feed.of(id).row(rowOf(row(id, 1, 150, id)))
    harness.feed.of(id).resolved(ts(200))
  }
  harness.grant(180, [[2, 140]])
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the row of table 1')
  await harness.acknowledge()
  await until(() => harness.progress()?.checkpointTs === 140n, 'the barrier as checkpoint')
  harness.grant(180)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the row of table 2')
  await harness.acknowledge()
  await until(() => harness.progress()?.checkpointTs === 180n, 'the grant as checkpoint')
})

test('a span that leaves while the sink is lost sends again what that sink was given, and nothing more', async () => {
  await using harness = start()
  const feed = (): FeedSink => harness.feed.of(1)
  harness.addTable(1, 100)
  feed().row(rowOf(row(1, 1, 110, 1)))
  feed().resolved(ts(120))
  harness.grant(200)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the first row')
  feed().row(rowOf(row(1, 2, 130, 2)))
  harness.run.removeSpan({ type: 'remove-span', epoch: 1n, spanSeq: 2, spanId: 1, incarnation: 1 })
  feed().resolved(ts(140))
  harness.sinks.at(-1)?.open.shift()?.done.reject(new Error('gone'))
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the first row again')
  const removed = () => harness.posted.find((message) => message.type === 'span-removed')
  assert.equal(removed(), undefined)
  await harness.acknowledge()
  await until(() => removed() !== undefined, 'the removal')
  assert.deepEqual(harness.delivered, ['110:1=1'])
  assert.equal(removed()?.checkpointTs, 129n)
})

test("a table's schemas stay as long as one of its spans is here, in the order of their versions", async () => {
  await using harness = start()
  harness.addTable(1, 100)
  const { start: first, end } = tableRecordRange(1n)
  const middle = encodeBytes(recordKey(1n, intHandle(50n)))
  const add = (id: number, range: KeyRange, incarnation = 1): void => {
    const span = { ...range, tableId: 1n, id }
    const schemas = [0, 105].map((version) => ({
      physicalId: 1n,
      schema: 'd',
      version: ts(version),
      info: sharedInfo(0, info),
    }))
    const numbers = { epoch: 1n, spanSeq: id, incarnation, checkpointTs: ts(100) }
    harness.run.addSpan({ type: 'add-span', ...numbers, span, schemas })
  }
  add(2, { start: middle, end })
  const upper = harness.feed.of(1, middle)
  harness.run.removeSpan({ type: 'remove-span', epoch: 1n, spanSeq: 3, spanId: 1, incarnation: 1 })
  await until(() => harness.posted.some(({ type }) => type === 'span-removed'), 'the removal of the first')
  upper.row(rowOf(row(1, 60, 110, 1)))
  upper.resolved(ts(120))
  harness.grant(200)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'a row of the second')
  add(1, { start: first, end: middle }, 2)
  harness.feed.of(1).row(rowOf(row(1, 1, 103, 1)))
  harness.feed.of(1).resolved(ts(120))
  await until(() => harness.sinks.at(-1)?.open.length === 2, 'a row of the first, which came back')
})

test('a sink that cannot be opened is a warning, and tried again', async () => {
  await using harness = start(1 << 28, 3)
  await until(() => harness.sinks.length === 1, 'an open sink')
  const warnings = harness.posted.filter((message) => message.type === 'trouble')
  assert.deepEqual(
    warnings.map(({ level, code }) => [level, code]),
    Array.from({ length: 3 }, () => ['warning', 'CDC:ErrKafkaNewProducer']),
  )
})

test('what memory-quota has no room for waits on disk, as long as the sink is away', async () => {
  await using harness = start(1 << 20, Infinity)
  harness.addTable(1, 100)
  harness.addTable(2, 100)
  const rows = Array.from({ length: 20_000 }, (_, at) => row(1 + (at % 2), at, 110 + at, at))
  for (const [at, kv] of rows.entries()) {
    harness.feed.of(1 + (at % 2)).row(rowOf(kv))
    if (at % 5000 === 0) harness.feed.of(1 + (at % 2)).resolved(kv.commitTs)
    assert.ok(harness.quota.used().before < 1 << 20)
  }
  const { sortedOnDisk = 0, spilled = 0 } = harness.metrics.look?.() ?? {}
  assert.ok(sortedOnDisk > 1 << 18 && spilled >= sortedOnDisk, `${sortedOnDisk} of ${spilled} bytes are on disk`)
  for (const id of [1, 2]) harness.feed.of(id).resolved(ts(30_000))
  harness.grant(30_000)
  harness.openFails(0)
  await until(() => {
    void harness.acknowledge()
    return harness.progress()?.checkpointTs === 30_000n
  }, 'the end')
  assert.equal(harness.delivered.length, rows.length)
  assert.deepEqual(new Set(harness.delivered), new Set(rows.map((_, at) => `${110 + at}:${at}=${at}`)))
  assert.equal(harness.metrics.look?.().sortedOnDisk, 0)
  await harness[Symbol.asyncDispose]()
  assert.deepEqual(harness.quota.used(), { before: 0, after: 0 })
  assert.ok(!harness.posted.some((message) => message.type === 'trouble' && message.level === 'error'))
})

test('where the disk is full the spans furthest ahead leave the feed, and come back when there is room', async () => {
  await using harness = start(1 << 20, Infinity, blackhole(), 3 << 18)
  for (const id of [1, 2, 3]) harness.addTable(id, 100)
  const written = new Map<number, RawKv[]>([1, 2, 3].map((id) => [id, []]))
  /** As a store does: everything above where the span was subscribed. */
  const given = new Map([1, 2, 3].map((id) => [id, { starts: 0, rows: 0 }]))
  const feedAll = (): void => {
    for (const [id, rows] of written) {
      const starts = harness.feed.starts.filter(({ tableId }) => tableId === BigInt(id))
      const state = given.get(id)
      if (!harness.feed.has(id) || state === undefined) continue
      const startTs = starts.at(-1)?.startTs ?? ts(0)
      if (state.starts !== starts.length) Object.assign(state, { starts: starts.length, rows: 0 })
      for (const kv of rows.slice(state.rows)) if (kv.commitTs > startTs) harness.feed.of(id).row(rowOf(kv))
      state.rows = rows.length
    }
  }
  for (let at = 0; at < 24_000; at++) {
    const id = at % 8 === 0 ? 1 : 2 + (at % 2)
    written.get(id)?.push(row(id, at, 110 + at, at))
    if (at % 100 !== 99) continue
    feedAll()
    // Table 1 is far behind the others.
    for (const one of [2, 3]) if (harness.feed.has(one)) harness.feed.of(one).resolved(ts(110 + at))
    harness.feed.of(1).resolved(ts(110 + Math.floor(at / 8)))
    await Promise.resolve()
    assert.ok(harness.quota.used().before < 1 << 20)
  }
  assert.deepEqual(
    [1, 2, 3].map((id) => harness.feed.has(id)),
    [true, false, false],
  )
  const warnings = harness.posted.filter((message) => message.type === 'trouble' && message.code === 'CDC:ErrDiskFull')
  assert.ok(
    warnings.length > 0 && warnings.every((message) => message.type === 'trouble' && message.level === 'warning'),
  )
  harness.grant(50_000)
  harness.openFails(0)
  await until(() => {
    feedAll()
    for (const id of [1, 2, 3]) if (harness.feed.has(id)) harness.feed.of(id).resolved(ts(50_000))
    void harness.acknowledge()
    return harness.progress()?.checkpointTs === 50_000n
  }, 'the end')
  const all = [...written.values()].flat()
  assert.deepEqual(
    new Set(harness.delivered),
    new Set(all.map(({ commitTs }) => `${commitTs}:${commitTs - 110n}=${commitTs - 110n}`)),
  )
  assert.equal(harness.delivered.length, all.length)
  for (const { startTs } of harness.feed.starts.slice(3))
    assert.ok(startTs > 110n, 'what is resolved is not read again')
  await harness[Symbol.asyncDispose]()
  assert.deepEqual(harness.quota.used(), { before: 0, after: 0 })
})

test('where giving spans up does not help the changefeed stops with a named error', async () => {
  await using harness = start(1 << 20, Infinity, blackhole(), 1 << 19)
  harness.addTable(1, 100)
  const failed = (): boolean =>
    harness.posted.some((message) => message.type === 'trouble' && message.level === 'error')
  for (let at = 0; at < 50_000 && !failed(); at++) {
    harness.feed.of(1).row(rowOf(row(1, at, 110 + at, at)))
    if (at % 100 === 0) await Promise.resolve()
  }
  const trouble = harness.posted.find((message) => message.type === 'trouble' && message.level === 'error')
  assert.ok(trouble?.type === 'trouble' && trouble.code === 'CDC:ErrDiskFull' && trouble.retryable)
  await harness[Symbol.asyncDispose]()
  assert.deepEqual(harness.quota.used(), { before: 0, after: 0 })
})

test('a row that does not decode stops the changefeed alone, whatever was handed over before it', async () => {
  await using harness = start()
  harness.addTable(1, 100)
  harness.run.addTable({ physicalId: 1n, schema: 'd', version: ts(115), info: sharedInfo(0, info) })
  harness.feed.of(1).row(rowOf(row(1, 1, 110, 1)))
  harness.feed.of(1).row(rowOf({ ...row(1, 2, 120, 2), value: Buffer.from('not a row') }))
  harness.feed.of(1).resolved(ts(130))
  harness.grant(130)
  await until(() => harness.posted.some(({ type }) => type === 'trouble'), 'the error')
  const write = harness.sinks.at(-1)?.open.shift()
  assert.ok(write !== undefined)
  write.done.reject(new Error('aborted'))
  await turn()
  assert.equal(harness.quota.used().after, 0)
})

test('a downstream that cannot be asked for its partitions is a lost sink', async (t) => {
  const refuse = async (): Promise<number> => {
    throw new CdcError('CDC:ErrKafkaNewProducer', 'no broker')
  }
  t.mock.method(FakeSink.prototype, 'partitions', refuse, { times: 1 })
  await using harness = start()
  harness.addTable(1, 100)
  harness.feed.of(1).row(rowOf(row(1, 1, 110, 1)))
  harness.feed.of(1).resolved(ts(130))
  harness.grant(130)
  await until(() => harness.sinks.length === 2 && harness.sinks.at(-1)?.open.length === 1, 'the row in a second sink')
  await harness.acknowledge()
  await until(() => harness.progress()?.checkpointTs === 130n, 'the grant as checkpoint')
  const troubles = harness.posted.filter((message) => message.type === 'trouble')
  assert.deepEqual(
    troubles.map(({ level, code }) => [level, code]),
    [['warning', 'CDC:ErrKafkaNewProducer']],
  )
  assert.equal(harness.quota.used().after, 0)
})

test('a removed span waits for what was handed to the sink', async () => {
  await using harness = start()
  harness.addTable(1, 100)
  harness.feed.of(1).row(rowOf(row(1, 1, 110, 1)))
  harness.feed.of(1).resolved(ts(120))
  harness.grant(120)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the row')
  harness.run.removeSpan({ type: 'remove-span', epoch: 1n, spanSeq: 2, spanId: 1, incarnation: 1 })
  assert.ok(!harness.posted.some(({ type }) => type === 'span-removed'))
  await harness.acknowledge()
  await until(() => harness.posted.some(({ type }) => type === 'span-removed'), 'the removal')
})

test('what is acknowledged while a run closes removes nothing more', async () => {
  const harness = start()
  harness.addTable(1, 100)
  harness.feed.of(1).row(rowOf(row(1, 1, 110, 1)))
  harness.feed.of(1).resolved(ts(120))
  harness.grant(120)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the row')
  harness.run.removeSpan({ type: 'remove-span', epoch: 1n, spanSeq: 2, spanId: 1, incarnation: 1 })
  await harness.run[Symbol.asyncDispose]()
  await harness.acknowledge()
  await turn()
  assert.ok(!harness.posted.some(({ type }) => type === 'span-removed'))
  assert.deepEqual(harness.quota.used(), { before: 0, after: 0 })
})

test('whatever breaks in between: every row is delivered, per key in commit order, none above the grant, and memory is freed', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('write' as const),
        table: fc.integer({ min: 1, max: 3 }),
        rows: fc.integer({ min: 1, max: 40 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('ack' as const), count: fc.integer({ min: 1, max: 3 }) }) },
    {
      weight: 2,
      arbitrary: fc.record({ type: fc.constant('resolve' as const), table: fc.integer({ min: 1, max: 3 }) }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('grant' as const) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('break' as const) }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('spill' as const) }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('tick' as const) }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
      await using harness = start()
      const written = new Map<string, { commit: number; table: number }>()
      let now = 101
      let granted = 0
      for (const table of [1, 2, 3]) harness.addTable(table, 100)
      const tick = (): void => {
        t.mock.timers.tick(50)
        const checkpointTs = harness.progress()?.checkpointTs ?? zeroTs
        const delivered = new Set(harness.delivered)
        for (const [text, { commit }] of written)
          assert.ok(commit > checkpointTs || delivered.has(text), `${text} is missing below checkpoint ${checkpointTs}`)
      }
      for (const action of steps) {
        if (action.type === 'write') {
          const rows = Array.from({ length: action.rows }, (_, at) => {
            const commit = now + at * 2
            const id = at % 5
            written.set(`${commit}:${id}=${commit}`, { commit, table: action.table })
            return row(action.table, id, commit, commit, at % 2 === 0 ? undefined : 1)
          })
          now += action.rows * 2
          for (const kv of rows) harness.feed.of(action.table).row(rowOf(kv))
        } else if (action.type === 'ack') {
          await harness.acknowledge(action.count)
        } else if (action.type === 'resolve') {
          harness.feed.of(action.table).resolved(ts(now++))
        } else if (action.type === 'grant') {
          granted = now++
          harness.grant(granted)
        } else if (action.type === 'spill') {
          harness.spill()
        } else if (action.type === 'tick') {
          tick()
          await turn()
        } else {
          const sink = harness.sinks.at(-1)
          if (sink === undefined) continue
          sink.broken = new CdcError('CDC:ErrKafkaSendMessage', 'broken')
          for (const { done } of sink.open.splice(0)) done.reject(sink.broken)
        }
        for (const { batch } of harness.sinks.at(-1)?.open ?? []) assert.ok(batch.end.commitTs <= BigInt(granted))
      }
      for (const table of [1, 2, 3]) harness.feed.of(table).resolved(ts(now + 10))
      harness.grant(now + 10)
      await until(() => {
        void harness.acknowledge()
        tick()
        return harness.progress()?.checkpointTs === BigInt(now + 10)
      }, 'the end')
      assert.deepEqual(new Set(harness.delivered), new Set(written.keys()))
      const firsts = [...new Set(harness.delivered)]
      const newest = new Map<string, number>()
      for (const text of firsts) {
        const { commit = 0, table = 0 } = written.get(text) ?? {}
        const key = `${table}/${text.slice(text.indexOf(':'), text.indexOf('='))}`
        assert.ok((newest.get(key) ?? 0) < commit, `${text} came after commit ${newest.get(key)}`)
        newest.set(key, commit)
      }
      await harness[Symbol.asyncDispose]()
      assert.deepEqual(harness.quota.used(), { before: 0, after: 0 })
    }),
    { numRuns: 60 },
  )
})

test('a transaction larger than a batch survives the loss of the sink at any of its pieces', async () => {
  const rows = Array.from({ length: 8000 }, (_, id): RawKv => {
    const insert = { ...row(1, id, 120, id), startTs: ts(105) }
    return id % 2 === 0 ? insert : { ...insert, value: undefined, oldValue: insert.value }
  })
  for (const [breakAt, spills] of [0, 1, 2, 3].flatMap((at) => [[at, false] as const, [at, true] as const])) {
    await using harness = start()
    harness.addTable(1, 100)
    for (const [at, kv] of rows.entries()) {
      harness.feed.of(1).row(rowOf(kv))
      if (spills && at % 3000 === 0) harness.spill()
    }
    harness.feed.of(1).resolved(ts(130))
    harness.grant(130)
    await until(() => (harness.sinks.at(-1)?.open.length ?? 0) > breakAt, 'the pieces')
    await harness.acknowledge(breakAt)
    if (spills) harness.spill()
    const sink = harness.sinks.at(-1)
    if (sink !== undefined) {
      sink.broken = new CdcError('CDC:ErrKafkaSendMessage', 'broken')
      for (const { done } of sink.open.splice(0)) done.reject(sink.broken)
    }
    const before = harness.delivered.length
    await until(() => {
      assert.ok((harness.progress()?.checkpointTs ?? 0n) < 120n || harness.delivered.length >= rows.length)
      void harness.acknowledge()
      return harness.progress()?.checkpointTs === 130n
    }, 'the end')
    const again = harness.delivered.slice(before)
    assert.equal(again.length, rows.length)
    assert.deepEqual(
      again.map((text) => text.includes('undefined')),
      rows.map((_, at) => at < 4000),
    )
    await harness[Symbol.asyncDispose]()
    assert.deepEqual(harness.quota.used(), { before: 0, after: 0 })
  }
})

const BOOTSTRAP: BootstrapSettings = { intervalMs: 1e9, messages: 1e9, toAllPartitions: true, allAtStart: false }

test('a table is announced before its first row, and again after the sink was lost', async () => {
  await using harness = start(1 << 28, 0, blackhole(BOOTSTRAP))
  harness.addTable(1, 100)
  harness.feed.of(1).row(rowOf(row(1, 1, 110, 1)))
  harness.feed.of(1).row(rowOf(row(1, 2, 120, 2)))
  harness.feed.of(1).resolved(ts(130))
  harness.grant(110)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the first row')
  await harness.acknowledge()
  await until(() => harness.progress()?.checkpointTs === 110n, 'the first row as checkpoint')
  harness.grant(130)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the second row')
  harness.sinks.at(-1)?.open.shift()?.done.reject(new Error('lost'))
  await until(() => harness.sinks.length === 2 && harness.sinks.at(-1)?.open.length === 1, 'the second row again')
  await harness.acknowledge()
  assert.deepEqual(harness.delivered, ['table 1', '110:1=1', 'table 1', '120:2=2'])
})

test('with send-all-bootstrap-at-start tables without rows are announced too', async () => {
  await using harness = start(1 << 28, 0, blackhole({ ...BOOTSTRAP, allAtStart: true }))
  harness.addTable(1, 100)
  harness.addTable(2, 100)
  await until(() => harness.sinks.at(-1)?.open.length === 2, 'both announcements')
  await harness.acknowledge()
  assert.deepEqual(harness.delivered, ['table 1', 'table 2'])
})

/** Schemas of table 1: column w comes with its own default, v goes. */
const withColumns = (...columns: readonly (readonly [id: number, name: string, originDefault?: string])[]): Buffer =>
  Buffer.from(
    JSON.stringify({
      ...JSON.parse(info.toString()),
      cols: [
        { id: 1, name: { O: 'id', L: 'id' }, offset: 0, type: field(4099), state: 5, version: 2 },
        ...columns.map(([id, name, originDefault = null], at) => ({
          id,
          name: { O: name, L: name },
          offset: at + 1,
          origin_default: originDefault,
          type: field(0),
          state: 5,
          version: 2,
        })),
      ],
    }),
  )

test('rows on the way when a DDL comes are read with the schema before it, later ones with the one after it', async () => {
  await using harness = start()
  const schema = (at: number, bytes: Uint8Array | undefined): void =>
    harness.run.addTable({ physicalId: 1n, schema: 'd', version: ts(at), info: bytes && sharedInfo(at, bytes) })
  harness.addTable(1, 100)
  // Everything is in the sorter before the first DDL is known: rows at its ts belong before it.
  for (const [id, at] of [119, 120, 121, 130, 131, 140, 141].entries())
    harness.feed.of(1).row(rowOf(row(1, id, at, at)))
  harness.feed.of(1).resolved(ts(200))
  harness.grant(120)
  await until(() => harness.sinks.at(-1)?.open.length === 1, 'the rows up to the first DDL')
  schema(120, withColumns([2, 'v'], [3, 'w', '7']))
  schema(130, withColumns([3, 'w', '7']))
  // The old rows are still unacknowledged, and the sink breaks: they are read again, as they were.
  harness.sinks.at(-1)?.open.shift()?.done.reject(new CdcError('CDC:ErrKafkaSendMessage', 'broken'))
  await until(() => harness.sinks.length === 2 && harness.sinks.at(-1)?.open.length === 1, 'the rows again')
  harness.grant(140)
  await until(() => {
    void harness.acknowledge()
    return harness.progress()?.checkpointTs === 140n
  }, 'the rows up to the last DDL')
  schema(140, undefined)
  assert.deepEqual(harness.delivered.toSorted(), [
    '119:0=119',
    '120:1=120',
    '121:2=121,7',
    '130:3=130,7',
    '131:4=7',
    '140:5=7',
  ])
})
