import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { type Clock, systemClock } from '../base/clock.ts'
import { noFailPoints } from '../base/fail-point.ts'
import { silentLog } from '../base/log.ts'
import { defaultReplicaConfig } from '../config/replica-config-toml.ts'
import type { DdlEvent } from '../event/ddl-event.ts'
import type { FinishedJob } from '../schema/finished-job.ts'
import type { SchemaTracker, TrackedDdl } from '../schema/tracker.ts'
import { maxTs, Ts } from '../tidb/ts.ts'
import { type ChangefeedParts, runChangefeed, watermarkOf } from './control.ts'
import type { AddSpan, ChangefeedMessage, Grant, ToWorker } from './messages.ts'

/** Sleeps take no time: what waits for the clock goes on at the next turn of the event loop. */
const hastyClock: Clock = {
  ...systemClock,
  async sleep(_ms, signal) {
    await new Promise((resolve) => setImmediate(resolve))
    signal.throwIfAborted()
  },
}

/** A schema that is a list of tables per ts; jobs are DDLs already. */
function fakeTracker(tables: Map<bigint, bigint[]>): SchemaTracker & { ddls: Map<FinishedJob, TrackedDdl> } {
  const ddls = new Map<FinishedJob, TrackedDdl>()
  const at = (ts: Ts): readonly bigint[] => [...tables].findLast(([since]) => since <= ts)?.[1] ?? []
  return {
    ddls,
    apply: (job) => [ddls.get(job)].filter((ddl) => ddl !== undefined),
    tablesAt: (ts) => at(ts).map((id) => ({ physicalId: id, tableId: id, schema: 'd', table: `t${id}` })),
    schemasFrom: (physicalId, from) => [
      { physicalId, schema: 'd', version: from, info: new Uint8Array(new SharedArrayBuffer(1)) },
    ],
    tableAt: () => undefined,
    matchedTables: () => [],
    collect() {},
  }
}

interface Harness {
  readonly events: string[]
  readonly posted: ToWorker[]
  ddl(commitTs: number, barrier: TrackedDdl['barrier']): void
  resolveDdls(ts: number): void
  progress(checkpointTs: number, spanSeq: number): void
  fail(message: string): void
  /** The worker's thread ends. */
  lose(): void
  /** The next thread is there. */
  restart(): void
  stop(): void
  done: Promise<void>
  until(what: string): Promise<void>
}

async function start(
  t: TestContext,
  options: {
    tables: [number, number[]][]
    checkpoint: number
    barrier: number
    target?: number
    hangs?: boolean
    unreadable?: boolean
  },
): Promise<Harness> {
  const events: string[] = []
  const posted: ToWorker[] = []
  const jobs: FinishedJob[] = []
  const stop = new AbortController()
  const tracker = fakeTracker(new Map(options.tables.map(([ts, ids]) => [BigInt(ts), ids.map(BigInt)])))
  if (options.unreadable === true)
    tracker.schemasFrom = () => {
      throw new RangeError('no schema')
    }
  let receive: (worker: number, message: ChangefeedMessage) => void = () => {}
  let changed = (): void => {}
  const feed = { resolvedTs: Ts(0n) }
  const running = Promise.withResolvers<void>()
  const partial: Partial<ChangefeedParts> = {
    changefeed: { namespace: 'default', id: 'test' },
    epoch: 7n,
    config: defaultReplicaConfig,
    sink: { scheme: 'blackhole', codec: undefined },
    targetTs: Ts(BigInt(options.target ?? 0)),
    checkpointTs: Ts(BigInt(options.checkpoint)),
    minTableBarrierTs: Ts(BigInt(options.barrier)),
    tracker,
    openDdlFeed(from, onChange) {
      events.push(`feed from ${from}`)
      feed.resolvedTs = from
      changed = onChange
      return {
        get resolvedTs() {
          return feed.resolvedTs
        },
        error: undefined,
        take: () => jobs.splice(0),
        [Symbol.dispose]() {},
      }
    },
    openControlSink: async () => ({
      async ddl(event) {
        events.push(`ddl ${event.commitTs}`)
      },
      async watermark(ts) {
        events.push(`watermark ${ts}`)
      },
      async [Symbol.asyncDispose]() {},
    }),
    workers: {
      size: 1,
      alive: () => true,
      replace(worker) {
        events.push(`replace ${worker}`)
        receive(worker, { type: 'worker-lost', message: 'replaced' })
      },
      post(_worker, message) {
        posted.push(message)
        if (message.type === 'grant') events.push(`grant ${message.globalTs}`)
        if (message.type === 'add-span') events.push(`add ${message.span.tableId} at ${message.checkpointTs}`)
        if (message.type === 'remove-span') events.push(`remove ${message.spanId}`)
        if (message.type === 'close-changefeed' && options.hangs !== true)
          queueMicrotask(() => receive(0, { type: 'changefeed-closed', epoch: 7n }))
      },
      listen(_epoch, listener) {
        receive = listener
        return { [Symbol.dispose]() {} }
      },
    },
    status: {
      async save(checkpointTs, minTableBarrierTs) {
        events.push(`save ${checkpointTs} ${minTableBarrierTs}`)
      },
    },
    clock: hastyClock,
    log: silentLog,
    failPoints: noFailPoints,
    releaseQuota() {},
    sinkMemory: () => new SharedArrayBuffer(0),
    scanRegions: async () => [],
    onRunning: () => running.resolve(),
    onProgress() {},
    onWarning() {},
  }
  const done = runChangefeed(partial as ChangefeedParts, stop.signal)
  done.catch(() => {})
  t.after(() => stop.abort())
  await Promise.race([running.promise, done.catch(() => {})])
  return {
    events,
    posted,
    done,
    ddl(commitTs, barrier) {
      const event = { commitTs: Ts(BigInt(commitTs)), query: 'x', before: undefined, after: undefined } as DdlEvent
      const touched = barrier === 'global' ? [] : barrier.tables
      const job = {} as FinishedJob
      tracker.ddls.set(job, { event, barrier, touched, ignored: false })
      jobs.push(job)
    },
    resolveDdls(ts) {
      feed.resolvedTs = Ts(BigInt(ts))
      changed()
    },
    progress(checkpointTs, spanSeq) {
      const ts = checkpointTs < 0 ? maxTs : Ts(BigInt(checkpointTs))
      const numbers = { spans: 1, checkpointTs: ts, resolvedTs: ts, slowest: [], rows: 0, lastSyncedTs: ts }
      receive(0, { type: 'progress', epoch: 7n, spanSeq, ...numbers })
    },
    fail(message) {
      const code = 'CDC:ErrDecodeRowToDatum'
      receive(0, { type: 'trouble', epoch: 7n, level: 'error', code, message, retryable: false })
    },
    lose: () => receive(0, { type: 'worker-lost', message: 'out of memory' }),
    restart: () => receive(0, { type: 'worker-started' }),
    stop: () => stop.abort(),
    async until(what) {
      const deadline = Date.now() + 5000
      while (!events.includes(what)) {
        assert.ok(Date.now() < deadline, `"${what}" did not come, but: ${events.join(', ')}`)
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
  }
}

const grants = (harness: Harness): Grant[] => harness.posted.filter((message) => message.type === 'grant')

test('a global DDL holds every grant, runs when its ts is stored, and the watermark stays below it until then', async (t) => {
  const run = await start(t, {
    tables: [
      [0, [1]],
      [150, [1, 2]],
    ],
    checkpoint: 100,
    barrier: 101,
  })
  run.ddl(150, 'global')
  run.resolveDdls(200)
  run.progress(150, 1)
  await run.until('watermark 150')
  const { events } = run
  const order = ['grant 150', 'save 150 150', 'ddl 150', 'add 2 at 150', 'grant 200', 'save 150 201', 'watermark 150']
  assert.deepEqual(
    order.map((event) => events.indexOf(event)),
    order.map((event) => events.indexOf(event)).toSorted((a, b) => a - b),
    events.join(', '),
  )
  const early = events.slice(0, events.indexOf('ddl 150')).filter((event) => event.startsWith('watermark'))
  assert.ok(
    early.every((event) => Number(event.split(' ')[1]) < 150),
    events.join(', '),
  )
})

test('a DDL of one table holds only that table back', async (t) => {
  const run = await start(t, { tables: [[0, [1, 2]]], checkpoint: 100, barrier: 101 })
  run.ddl(150, { tables: [2n] })
  run.resolveDdls(200)
  await run.until('grant 200')
  assert.deepEqual(grants(run).at(-1)?.tables, [{ physicalId: 2n, ts: 150n }])
  const schemas = run.posted.filter((message) => message.type === 'table-schema' && message.version === 150n)
  assert.deepEqual(
    schemas.map((message) => message.type === 'table-schema' && message.physicalId),
    [2n],
  )
  run.progress(150, 2)
  await run.until('ddl 150')
  assert.deepEqual(grants(run).at(-1)?.tables, [])
})

test('a stored checkpoint equal to the barrier begins the DDLs one ts earlier and runs the DDL first', async (t) => {
  const run = await start(t, {
    tables: [
      [0, [1]],
      [100, [1, 5]],
    ],
    checkpoint: 100,
    barrier: 100,
  })
  assert.deepEqual(run.events.slice(0, 2), ['feed from 99', 'add 1 at 100'])
  run.ddl(100, 'global')
  run.resolveDdls(120)
  run.progress(100, 1)
  await run.until('add 5 at 100')
  assert.ok(run.events.indexOf('ddl 100') < run.events.indexOf('grant 120'))
})

test('spans that a DDL adds hold the checkpoint until their worker knows them', async (t) => {
  const run = await start(t, {
    tables: [
      [0, [1]],
      [150, [1, 2]],
    ],
    checkpoint: 100,
    barrier: 101,
  })
  run.ddl(150, 'global')
  run.resolveDdls(300)
  run.progress(150, 1)
  await run.until('add 2 at 150')
  run.progress(300, 1)
  await run.until('save 150 301')
  assert.ok(!run.events.includes('save 300 301'))
  run.progress(290, 2)
  await run.until('save 290 301')
})

test('a dropped table leaves at the DDL, and an empty changefeed goes on with the DDL stream', async (t) => {
  const run = await start(t, {
    tables: [
      [0, [1]],
      [150, []],
    ],
    checkpoint: 100,
    barrier: 101,
  })
  run.ddl(150, { tables: [1n] })
  run.resolveDdls(200)
  run.progress(150, 1)
  await run.until('remove 1')
  run.progress(-1, 2)
  await run.until('save 200 201')
})

test('a changefeed ends at its target after the last watermark', async (t) => {
  const run = await start(t, { tables: [[0, [1]]], checkpoint: 100, barrier: 101, target: 180 })
  run.resolveDdls(200)
  assert.equal(grants(run).at(-1)?.globalTs, 180n)
  run.progress(180, 1)
  await run.done
  assert.ok(run.events.includes('watermark 180'))
})

test('of two DDLs at one ts both run before the tables change and the watermark follows', async (t) => {
  const run = await start(t, {
    tables: [
      [0, [1]],
      [150, [2]],
    ],
    checkpoint: 100,
    barrier: 101,
  })
  run.ddl(150, { tables: [1n] })
  run.ddl(150, { tables: [1n] })
  run.resolveDdls(200)
  run.progress(150, 1)
  await run.until('watermark 150')
  const wanted = ['ddl 150', 'ddl 150', 'remove 1', 'add 2 at 150', 'save 150 201', 'watermark 150']
  assert.deepEqual(
    run.events.filter((event) => wanted.includes(event)),
    wanted,
  )
})

test('a DDL at the target runs, and the watermark of the target follows', async (t) => {
  const run = await start(t, { tables: [[0, [1]]], checkpoint: 100, barrier: 101, target: 150 })
  run.ddl(150, 'global')
  run.resolveDdls(200)
  run.progress(150, 1)
  await run.until('watermark 150')
  await run.done
  assert.ok(run.events.indexOf('ddl 150') < run.events.indexOf('save 150 201'), run.events.join(', '))
})

test('trouble in a worker ends the run with the same code, after every worker has closed', async (t) => {
  const run = await start(t, { tables: [[0, [1]]], checkpoint: 100, barrier: 101 })
  const added = run.posted.find((message): message is AddSpan => message.type === 'add-span')
  assert.equal(added?.span.tableId, 1n)
  run.fail('[CDC:ErrDecodeRowToDatum]a row of table 1')
  await assert.rejects(run.done, {
    code: 'CDC:ErrDecodeRowToDatum',
    message: '[CDC:ErrDecodeRowToDatum]a row of table 1',
  })
  assert.equal(run.posted.at(-1)?.type, 'close-changefeed')
})

test('what fails at the beginning leaves nothing open in a worker', async (t) => {
  const run = await start(t, { tables: [[0, [1]]], checkpoint: 100, barrier: 101, unreadable: true })
  await assert.rejects(run.done, { message: 'no schema' })
  assert.deepEqual(
    run.posted.map(({ type }) => type),
    ['open-changefeed', 'close-changefeed'],
  )
})

test('a lost worker costs a repetition from the last checkpoint, while DDLs wait for it', async (t) => {
  const run = await start(t, { tables: [[0, [1]]], checkpoint: 100, barrier: 101 })
  run.resolveDdls(200)
  run.progress(140, 1)
  await run.until('save 140 201')
  run.lose()
  run.ddl(150, { tables: [1n] })
  run.resolveDdls(250)
  run.restart()
  await run.until('add 1 at 140')
  const again = run.posted.map(({ type }) => type).slice(-3)
  assert.deepEqual(again, ['open-changefeed', 'grant', 'add-span'])
  assert.deepEqual(grants(run).at(-1)?.tables, [{ physicalId: 1n, ts: 150n }])
  assert.ok(!run.events.includes('ddl 150'))
  run.progress(150, 3)
  await run.until('ddl 150')
})

test('a changefeed whose workers die again and again is stopped with an error', async (t) => {
  const run = await start(t, { tables: [[0, [1]]], checkpoint: 100, barrier: 101 })
  for (let death = 0; death < 5; death++) {
    run.lose()
    run.restart()
  }
  await assert.rejects(run.done, { code: 'CDC:ErrProcessorUnknown', message: /out of memory/ })
})

test('a worker that does not close the changefeed is replaced', async (t) => {
  const run = await start(t, { tables: [[0, [1]]], checkpoint: 100, barrier: 101, hangs: true })
  t.mock.timers.enable({ apis: ['setTimeout'] })
  run.stop()
  while (run.posted.at(-1)?.type !== 'close-changefeed') await new Promise((resolve) => setImmediate(resolve))
  t.mock.timers.tick(30_000)
  await assert.rejects(run.done, { name: 'AbortError' })
  assert.equal(run.events.at(-1), 'replace 0')
})

for (const [checkpointTs, minTableBarrierTs, wanted] of [
  [100n, 101n, 100n],
  [100n, 100n, 99n],
  [100n, 90n, 89n],
] as const) {
  test(`the watermark of checkpoint ${checkpointTs} and barrier ${minTableBarrierTs} is ${wanted}`, () => {
    assert.equal(watermarkOf({ checkpointTs: Ts(checkpointTs), minTableBarrierTs: Ts(minTableBarrierTs) }), wanted)
  })
}
