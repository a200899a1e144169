// What the reader does when a store or PD says something unpleasant; a scripted store over real gRPC.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'

import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js'
import { Registry } from 'prom-client'

import { systemClock } from '../../base/clock.ts'
import { describeError, type ErrorCode, errorCode } from '../../base/errors.ts'
import { type Log, silentLog } from '../../base/log.ts'
import { StageCounter } from '../../base/stage-counter.ts'
import type { RawKv } from '../../event/raw-kv.ts'
import {
  ChangeDataEvent,
  type ChangeDataRequest,
  ChangeDataService,
  Event_LogType,
  type Event_Row,
} from '../../proto/cdcpb.ts'
import { encodeBytes } from '../../tidb/key.ts'
import { Ts, tsOfMs } from '../../tidb/ts.ts'
import { hasOpenssl, makeCertificates } from '../../../test/support/certificates.ts'
import type { PdClient, Region, SecurityOptions } from '../pd/pd.ts'
import { openEventFeed } from './event-feed.ts'
import type { EventFeed, FeedObserver, Subscription } from './feed.ts'
import { createFeedMetrics } from './metrics.ts'

type Call = ServerDuplexStream<ChangeDataRequest, Buffer>
type Answer = Parameters<typeof ChangeDataEvent.fromPartial>[0]
type Errors = NonNullable<Extract<ChangeDataEvent['events'][number]['event'], { $case: 'error' }>>['value']

const START = Ts(100n)
const noOpenssl = !hasOpenssl && 'no openssl'
const clock = {
  ...systemClock,
  monotonic: () => performance.now() * 20,
  sleep: (ms: number, signal: AbortSignal) => systemClock.sleep(ms / 20, signal),
}
const at = (n: number): Buffer => Buffer.from(encodeBytes(Buffer.from(String(n).padStart(4, '0'))))

/** A region over `[from, to)` whose leader is on store 1. */
function regionOf(id: bigint, from: number, to: number, version = 1n): Region {
  const leader = { id: id * 10n, storeId: 1n }
  return { id, confVer: 1n, version, start: at(from), end: at(to), peers: [leader], leader }
}

class Fake implements AsyncDisposable {
  regions: Region[] = [regionOf(1n, 0, 100)]
  version = '8.5.0'
  /** Where PD says that the store is; where it is when undefined. */
  address: string | undefined
  now = Ts(0n)
  scans = 0
  readonly requests: ChangeDataRequest[] = []
  readonly features: unknown[] = []
  /** Answers a registration; by default at once with the end of the scan and a resolved-ts. */
  onRequest = (call: Call, request: ChangeDataRequest): void => this.settle(call, request)
  readonly #server = new Server()
  #port = 0

  async open(credentials = ServerCredentials.createInsecure()): Promise<this> {
    const serve = (call: Call): void => {
      this.features.push(call.metadata.get('features')[0])
      call.on('error', () => {})
      call.on('data', (request: ChangeDataRequest) => {
        this.requests.push(request)
        if (request.request?.$case !== 'deregister') this.onRequest(call, request)
      })
    }
    const raw = { responseSerialize: (bytes: Buffer) => bytes }
    this.#server.addService({ eventFeedV2: { ...ChangeDataService.eventFeedV2, ...raw } }, { eventFeedV2: serve })
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      )
    })
    return this
  }

  send(call: Call, answer: Answer): void {
    call.write(Buffer.from(ChangeDataEvent.encode(ChangeDataEvent.fromPartial(answer)).finish()))
  }
  rows(call: Call, { regionId, requestId }: ChangeDataRequest, ...entries: object[]): void {
    this.send(call, { events: [{ regionId, requestId, event: { $case: 'entries', value: { entries } } }] })
  }
  settle(call: Call, request: ChangeDataRequest, ts = 1000n): void {
    this.rows(call, request, { type: Event_LogType.INITIALIZED })
    this.send(call, { resolvedTs: { regions: [request.regionId], ts, requestId: request.requestId } })
  }
  fail(call: Call, { regionId, requestId }: ChangeDataRequest, value: Partial<Errors>): void {
    this.send(call, { events: [{ regionId, requestId, event: { $case: 'error', value } }] })
  }

  get pd(): PdClient {
    return {
      clusterId: 42n,
      keyspace: undefined,
      endpoints: [],
      tso: async () => this.now,
      scanRegions: async () => (this.scans++, this.regions),
      region: async () => undefined,
      regionById: async () => undefined,
      store: async (id) => ({
        id,
        address: this.address ?? `127.0.0.1:${this.#port}`,
        version: this.version,
        state: 'up',
        tiflash: false,
      }),
      stores: async () => [],
      updateServiceSafePoint: async () => Ts(0n),
      txnSafePoint: async () => Ts(0n),
      sourceId: async () => 1,
      [Symbol.asyncDispose]: async () => {},
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown()
  }
}

interface Run extends AsyncDisposable {
  readonly fake: Fake
  readonly feed: EventFeed
  readonly rows: RawKv[]
  readonly resolved: Ts[]
  readonly errors: Error[]
  subscribe(): Subscription
  until(condition: () => boolean): Promise<void>
}

interface Options {
  readonly credentials?: ServerCredentials
  readonly security?: SecurityOptions
  readonly log?: Log
  readonly observer?: FeedObserver
}

async function start(prepare: (fake: Fake) => void = () => {}, options: Options = {}): Promise<Run> {
  const stack = new AsyncDisposableStack()
  const fake = stack.use(await new Fake().open(options.credentials))
  prepare(fake)
  const { security = {}, log = silentLog, observer } = options
  const feed = stack.use(openEventFeed({ pd: fake.pd, security, log, clock, ...(observer && { observer }) }))
  const [rows, resolved, errors]: [RawKv[], Ts[], Error[]] = [[], [], []]
  const signal = AbortSignal.timeout(10_000)
  return {
    fake,
    feed,
    rows,
    resolved,
    errors,
    subscribe: () =>
      feed.subscribe({ start: at(0), end: at(100) }, START, {
        row: (row) => void rows.push(row.toRawKv()),
        resolved: (ts) => void resolved.push(ts),
        failed: (error) => void errors.push(error),
      }),
    async until(condition) {
      while (!condition()) {
        signal.throwIfAborted()
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

suite('refusals', { concurrency: true }, () => {
  test('a registration says what a store has to know', async () => {
    await using run = await start()
    const subscription = run.subscribe()
    await run.until(() => run.resolved.length > 0)
    const [request] = run.fake.requests
    assert.deepEqual(run.fake.features, ['stream-multiplexing'])
    assert.equal(request?.header?.clusterId, 42n)
    assert.equal(request?.header?.ticdcVersion, '8.5.0')
    assert.equal(request?.checkpointTs, START)
    assert.deepEqual([request?.startKey, request?.endKey], [at(0), at(100)])
    assert.deepEqual(subscription.regions, { total: 1, initialized: 1 })
    subscription[Symbol.dispose]()
    await run.until(() => run.fake.requests.length === 2)
    assert.equal(run.fake.requests[1]?.request?.$case, 'deregister')
    assert.equal(run.fake.requests[1]?.requestId, request?.requestId)
  })

  for (const [name, error, code] of [
    ['duplicateRequest', { duplicateRequest: { regionId: 1n } }, 'CDC:ErrEventFeedEventError'],
    ['compatibility', { compatibility: { requiredVersion: '9.9.9' } }, 'CDC:ErrVersionIncompatible'],
    ['clusterIdMismatch', { clusterIdMismatch: { current: 7n, request: 42n } }, 'CDC:ErrClusterIDMismatch'],
  ] as const satisfies readonly (readonly [string, Partial<Errors>, ErrorCode])[]) {
    test(`${name} ends the subscription`, async () => {
      await using run = await start((fake) => (fake.onRequest = (call, request) => fake.fail(call, request, error)))
      run.subscribe()
      await run.until(() => run.errors.length > 0)
      assert.deepEqual(run.errors.map(errorCode), [code])
    })
  }

  test('after a split the new regions go on from where the old one was', async () => {
    await using run = await start((fake) => {
      fake.onRequest = (call, request) => {
        fake.settle(call, request, request.regionEpoch?.version === 1n ? 500n : 900n)
        if (request.regionEpoch?.version !== 1n) return
        fake.regions = [regionOf(2n, 0, 50, 2n), regionOf(1n, 50, 100, 2n)]
        fake.fail(call, request, { epochNotMatch: { currentRegions: [] } })
      }
    })
    run.subscribe()
    await run.until(() => run.resolved.includes(Ts(900n)))
    assert.deepEqual(run.resolved, [500n, 900n])
    const again = run.fake.requests.slice(1).map(({ regionId, checkpointTs }) => `${regionId} from ${checkpointTs}`)
    assert.deepEqual(new Set(again), new Set(['1 from 500', '2 from 500']))
  })

  test('a region without leader is asked for again, its neighbour is not held up', async () => {
    const waiting: Region = { ...regionOf(1n, 0, 50), leader: undefined }
    await using run = await start((fake) => (fake.regions = [waiting, regionOf(2n, 50, 100)]))
    run.subscribe()
    await run.until(() => run.fake.requests.length === 1 && run.fake.scans > 3)
    assert.equal(run.fake.requests[0]?.regionId, 2n)
    assert.deepEqual(run.resolved, [])
    run.fake.regions = [regionOf(1n, 0, 50), regionOf(2n, 50, 100)]
    await run.until(() => run.resolved.length > 0)
  })

  test('a hole in the answer of PD is filled later, and holds the resolved-ts back', async () => {
    await using run = await start((fake) => (fake.regions = [regionOf(2n, 50, 100)]))
    run.subscribe()
    await run.until(() => run.fake.requests.length === 1 && run.fake.scans > 2)
    assert.deepEqual(run.resolved, [])
    run.fake.regions = [regionOf(1n, 0, 50), regionOf(2n, 50, 100)]
    await run.until(() => run.resolved.length > 0)
    assert.equal(run.fake.requests.length, 2)
  })

  test('resolved-ts of nobody, of zero, of the past and of a scan that goes on change nothing', async () => {
    await using run = await start((fake) => {
      fake.onRequest = (call, request) => {
        const { regionId, requestId } = request
        fake.send(call, { resolvedTs: { regions: [regionId], ts: 700n, requestId } })
        fake.rows(call, request, { type: Event_LogType.INITIALIZED })
        fake.send(call, { resolvedTs: { regions: [regionId], ts: 0n, requestId } })
        fake.send(call, { resolvedTs: { regions: [regionId], ts: 50n, requestId } })
        fake.send(call, { resolvedTs: { regions: [regionId, 99n], ts: 200n, requestId: 99_999n } })
        fake.send(call, { resolvedTs: { regions: [99n, regionId], ts: 300n, requestId } })
        fake.send(call, { resolvedTs: { regions: [regionId], ts: 250n, requestId } })
        fake.send(call, { resolvedTs: { regions: [regionId], ts: 400n, requestId } })
      }
    })
    run.subscribe()
    await run.until(() => run.resolved.includes(Ts(400n)))
    assert.deepEqual(run.resolved, [300n, 400n])
  })

  test('rows of an ended registration do not reach the next one', async () => {
    await using run = await start((fake) => {
      const row = {
        type: Event_LogType.PREWRITE,
        startTs: 150n,
        opType: 1,
        key: Buffer.from('0001'),
        value: Buffer.from('v'),
      }
      fake.onRequest = (call, request) => {
        if (fake.requests.length > 1) {
          fake.settle(call, request)
          return
        }
        fake.rows(call, request, row, { type: Event_LogType.INITIALIZED })
        fake.fail(call, request, { regionNotFound: { regionId: 1n } })
        fake.rows(call, request, { ...row, type: Event_LogType.COMMIT, commitTs: 160n })
      }
    })
    const subscription = run.subscribe()
    await run.until(() => run.resolved.length > 0)
    assert.deepEqual(run.rows, [])
    assert.deepEqual(run.errors, [])
    assert.equal(subscription.bytes, 0)
  })

  test('a frame that cannot be read ends the subscription, with the reason', async () => {
    await using run = await start((fake) => (fake.onRequest = (call) => void call.write(Buffer.from([0x0a, 0x7f, 1]))))
    run.subscribe()
    await run.until(() => run.errors.length > 0)
    assert.match(String(run.errors[0]?.cause), /offset/)
  })

  test('a subscriber that throws is told so, others go on', async () => {
    await using run = await start()
    let failure: Error | undefined
    run.feed.subscribe({ start: at(0), end: at(100) }, START, {
      row() {},
      resolved() {
        throw new Error('subscriber broke')
      },
      failed: (error) => (failure = error),
    })
    run.subscribe()
    await run.until(() => run.resolved.length > 0 && failure !== undefined)
    assert.match(String(failure?.cause), /subscriber broke/)
  })

  test('a store scans no more than 32 regions at a time for us', async () => {
    const held: [Call, ChangeDataRequest][] = []
    await using run = await start((fake) => {
      fake.regions = Array.from({ length: 100 }, (_, i) => regionOf(BigInt(i + 1), i, i + 1))
      fake.onRequest = (call, request) => void held.push([call, request])
    })
    const subscription = run.subscribe()
    let settled = 0
    while (settled < 100) {
      await run.until(() => held.length === Math.min(32, 100 - settled))
      const [call, request] = held.shift() ?? []
      assert.ok(call !== undefined && request !== undefined)
      run.fake.settle(call, request)
      settled++
    }
    await run.until(() => run.resolved.length > 0)
    assert.deepEqual(subscription.regions, { total: 100, initialized: 100 })
  })

  test('a store of a version that we do not know is left alone until it is upgraded', async () => {
    await using run = await start((fake) => (fake.version = '6.5.0'))
    run.subscribe()
    await run.until(() => run.fake.scans > 2)
    assert.equal(run.fake.requests.length, 0)
    run.fake.version = '8.5.0'
    await run.until(() => run.resolved.length > 0)
    assert.deepEqual(run.errors, [])
  })

  const prewrite: Partial<Event_Row> = {
    type: Event_LogType.PREWRITE,
    startTs: 150n,
    opType: 1,
    key: Buffer.from('0001'),
    value: Buffer.from('v'),
  }
  const commit: Partial<Event_Row> = { ...prewrite, type: Event_LogType.COMMIT, commitTs: 160n, value: Buffer.alloc(0) }

  test('rows and events of kinds that we do not know are passed over, those around them are not', async () => {
    await using run = await start((fake) => {
      fake.onRequest = (call, request) => {
        const { regionId, requestId } = request
        fake.send(call, { events: [{ regionId, requestId, event: { $case: 'admin', value: {} } }] })
        // A field 99 of the event, which no version has.
        call.write(Buffer.from('0a050801980601', 'hex'))
        fake.rows(call, request, prewrite, { type: 99, key: Buffer.from('0001') }, { type: 0 }, commit)
        fake.settle(call, request)
      }
    })
    run.subscribe()
    await run.until(() => run.resolved.length > 0 || run.errors.length > 0)
    assert.deepEqual(run.errors, [])
    assert.deepEqual(
      run.rows.map(({ commitTs, value }) => [commitTs, Buffer.from(value ?? []).toString()]),
      [[160n, 'v']],
    )
  })

  for (const [name, rows, code] of [
    ['a commit of unknown kind', [prewrite, Object.assign({}, commit, { opType: 7 })], 'CDC:ErrUnknownKVEventType'],
    ['a commit of nothing after the scan', [{ type: Event_LogType.INITIALIZED }, commit], 'CDC:ErrPrewriteNotMatch'],
  ] as const)
    test(`${name} ends the subscription`, async () => {
      await using run = await start((fake) => (fake.onRequest = (call, request) => fake.rows(call, request, ...rows)))
      run.subscribe()
      await run.until(() => run.errors.length > 0)
      assert.deepEqual(run.errors.map(errorCode), [code])
      assert.deepEqual(run.rows, [])
    })

  test('rows outside of what was asked for reach nobody', async () => {
    await using run = await start((fake) => {
      fake.onRequest = (call, request) => {
        for (const key of ['9999', '', '0001'].map((text) => Buffer.from(text)))
          fake.rows(call, request, { ...prewrite, key }, { ...commit, key })
        fake.settle(call, request)
      }
    })
    run.subscribe()
    await run.until(() => run.resolved.length > 0)
    assert.deepEqual(
      run.rows.map(({ key }) => Buffer.from(key).toString()),
      ['0001'],
    )
  })

  test('a region outside of the span is not asked for anything', async () => {
    await using run = await start((fake) => (fake.regions = [regionOf(7n, 200, 300)]))
    run.subscribe()
    await run.until(() => run.fake.scans > 3)
    assert.deepEqual(run.fake.requests, [])
    run.fake.regions = [regionOf(1n, 0, 100), regionOf(7n, 200, 300)]
    await run.until(() => run.resolved.length > 0)
    assert.deepEqual(
      run.fake.requests.map(({ regionId }) => regionId),
      [1n],
    )
  })

  test('what answers garbage is dialled again, and left when PD knows a new address', async () => {
    let dialled = 0
    const garbage = createServer((socket) => {
      dialled++
      socket.on('error', () => {})
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n\0\u0001garbage')
    })
    garbage.listen(0, '127.0.0.1')
    await once(garbage, 'listening')
    const at = garbage.address()
    const port = typeof at === 'object' ? at?.port : 0
    await using run = await start((fake) => (fake.address = `127.0.0.1:${port}`))
    run.subscribe()
    await run.until(() => dialled > 1)
    assert.deepEqual(run.errors, [])
    run.fake.address = undefined
    await run.until(() => run.resolved.length > 0)
    garbage.close()
  })

  for (const code of [status.UNAVAILABLE, status.INTERNAL, status.CANCELLED, status.RESOURCE_EXHAUSTED, status.OK])
    test(`a stream that ends with ${status[code]} is opened again, and goes on where it was`, async () => {
      await using run = await start((fake) => {
        fake.onRequest = (call, request) => {
          fake.settle(call, request, fake.requests.length === 1 ? 500n : 900n)
          if (fake.requests.length === 1)
            setImmediate(() => (code === status.OK ? call.end() : call.emit('error', { code })))
        }
      })
      run.subscribe()
      await run.until(() => run.resolved.includes(Ts(900n)))
      assert.deepEqual(run.errors, [])
      assert.deepEqual(
        run.fake.requests.map(({ checkpointTs }) => checkpointTs),
        [START, 500n],
      )
    })

  test(
    'TLS: a store that shows another certificate gets nothing, and it is said why',
    { skip: noOpenssl },
    async () => {
      const [ours, theirs] = [mkdtempSync(join(tmpdir(), 'tidewire-a-')), mkdtempSync(join(tmpdir(), 'tidewire-b-'))]
      try {
        const [security, foreign] = [makeCertificates(ours), makeCertificates(theirs)]
        const [ca, cert, key] = [security.caPath, security.certPath, security.keyPath].map((path = '') =>
          readFileSync(path),
        )
        assert.ok(ca !== undefined && cert !== undefined && key !== undefined)
        const credentials = ServerCredentials.createSsl(ca, [{ cert_chain: cert, private_key: key }], true)
        {
          await using run = await start(undefined, { credentials, security })
          run.subscribe()
          await run.until(() => run.resolved.length > 0)
        }
        for (const wrong of [foreign, { caPath: security.caPath }, {}]) {
          const lost: unknown[] = []
          const log: Log = {
            ...silentLog,
            warn: (text, fields) => void lost.push(text, describeError(fields?.['error'])),
          }
          await using run = await start(undefined, { credentials, security: wrong, log })
          run.subscribe()
          await run.until(() => lost.includes('change stream lost'))
          assert.match(lost.join('\n'), /certificate|Last error/)
          assert.deepEqual([run.resolved, run.errors, run.fake.requests], [[], [], []])
        }
      } finally {
        for (const folder of [ours, theirs]) rmSync(folder, { recursive: true })
      }
    },
  )

  test('a region that stands still is shown with its store', async () => {
    const warned: object[] = []
    const log: Log = { ...silentLog, warn: (text, fields) => void warned.push({ text, ...fields }) }
    const registry = new Registry()
    const work = { feed: new StageCounter(), sort: new StageCounter() }
    const observer = createFeedMetrics(registry, clock)({ namespace: 'default', id: 'slow' }, work)
    await using run = await start((fake) => (fake.onRequest = (call, request) => fake.settle(call, request, 700n)), {
      log,
      observer,
    })
    run.fake.now = tsOfMs(Date.now())
    run.subscribe()
    await run.until(() => warned.some((line) => 'text' in line && line.text === 'a span does not advance'))
    const line = Object(warned.find((one) => 'text' in one && one.text === 'a span does not advance'))
    assert.deepEqual([line.region, line.store, line.resolvedTs, line.scanning], [1n, 1n, 700n, false])
    assert.ok(work.feed.bytes > 0 && work.feed.workMs > 0)
    const page = await registry.metrics()
    const feed = '{namespace="default",changefeed="slow"}'
    assert.ok(page.includes(`tidewire_kvclient_slow_region_count${feed} 1`), page)
    assert.match(page, /ticdc_kvclient_cached_region\{store="127[^"]*",namespace="default",changefeed="slow"\} 1/)
    assert.doesNotMatch(page, /region="/)
  })

  test('closing the feed ends everything that it began', async () => {
    const run = await start((fake) => (fake.onRequest = () => {}))
    run.subscribe()
    await run.until(() => run.fake.requests.length > 0)
    await run[Symbol.asyncDispose]()
    assert.deepEqual(run.errors, [])
  })
})
