// Plays recorded change streams to a reader: stores over real gRPC, and a PD that knows the regions the recorded client
// knew. Only request ids are translated, and scanned rows at or below the reader's checkpoint are left out, as TiKV does.
import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import { ChangeDataEvent, ChangeDataRequest, ChangeDataService, Event_LogType } from '../../src/proto/cdcpb.ts'
import { compareBytes } from '../../src/tidb/key.ts'
import { Ts } from '../../src/tidb/ts.ts'
import type { PdClient, Region } from '../../src/upstream/pd/pd.ts'
import { openRecording, type RecordedLine } from './recorded-feed.ts'

type Call = ServerDuplexStream<ChangeDataRequest, ChangeDataEvent>

/** A registration of the reader that the recording has not reached yet. */
interface Waiting {
  readonly store: bigint
  readonly call: Call
  readonly request: ChangeDataRequest
}

interface Step {
  readonly line: RecordedLine
  readonly stream: number
  readonly store: bigint
  readonly v2: boolean
  /** Of a `req` that registers. */
  readonly register: ChangeDataRequest | undefined
}

/** One recorded request id: what a reader has to subscribe to. */
export interface RecordedSubscription {
  readonly requestId: bigint
  readonly start: Uint8Array
  readonly end: Uint8Array
  readonly checkpoint: Ts
}

/** A clock that runs `factor` times as fast as the real one. */
export function fastClock(factor: number): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now() * factor,
    sleep: (ms, signal) => systemClock.sleep(ms / factor, signal),
  }
}

export class Replay implements AsyncDisposable {
  readonly pd: PdClient
  readonly subscriptions: readonly RecordedSubscription[]
  /** Regions (of one request id) that the recording sent an error for. */
  readonly failedRegions: string[] = []
  readonly #steps: readonly Step[]
  readonly #servers = new Map<bigint, { readonly server: Server; port: number }>()
  readonly #refuseV2: boolean
  #at = 0
  #lost = false
  #waiting: Waiting[] = []
  /** Recorded request id → ours, with the checkpoint that we registered each region from. */
  readonly #ids = new Map<bigint, bigint>()
  readonly #checkpoints = new Map<string, bigint>()
  readonly #calls = new Map<number, Call>()
  #arrived = Promise.withResolvers<void>()

  /** `streams`: the ones of one session, all where it is absent. */
  constructor(name: string, streams?: readonly number[]) {
    const { clusterId, lines } = openRecording(name)
    this.#steps = stepsOf(lines).filter((step) => streams?.includes(step.stream) ?? true)
    this.#refuseV2 = !this.#steps.some((step) => step.v2)
    this.subscriptions = subscriptionsOf(this.#steps)
    for (const { store } of this.#steps) this.#servers.set(store, { server: this.#newServer(store), port: 0 })
    this.pd = this.#newPd(clusterId)
  }

  async open(): Promise<this> {
    for (const entry of this.#servers.values()) {
      entry.port = await new Promise<number>((resolve, reject) => {
        entry.server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
          error === null ? resolve(port) : reject(error),
        )
      })
    }
    return this
  }

  /** Plays to the end of the recording; waits where the recorded client had asked for something. */
  async run(signal: AbortSignal): Promise<void> {
    for (; this.#at < this.#steps.length; this.#at++) {
      signal.throwIfAborted()
      const step = this.#steps[this.#at]
      if (step?.register !== undefined) await this.#expect(step, step.register, signal)
      else if (step?.line.k === 'resp') this.#send(step)
      else if (step?.line.k === 'end' && step.line.code !== 0) this.#fail(step)
    }
  }

  get registeredAgain(): boolean {
    return this.failedRegions.length > 0 || this.#lost
  }

  /** Has the reader registered it once more than the recording did? */
  askedAgain(region: string): boolean {
    return this.#waiting.some(({ request }) => `${request.requestId}/${request.regionId}` === region)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { server } of this.#servers.values()) server.forceShutdown()
  }

  #newServer(store: bigint): Server {
    const server = new Server({ 'grpc.max_send_message_length': -1 })
    const serve = (call: Call): void => {
      call.on('error', () => {})
      call.on('data', (request: ChangeDataRequest) => {
        if (request.request?.$case === 'deregister') return
        this.#waiting.push({ store, call, request })
        this.#arrived.resolve()
        this.#arrived = Promise.withResolvers()
      })
    }
    server.addService(ChangeDataService, {
      eventFeed: serve,
      eventFeedV2: (call: Call) => {
        if (!this.#refuseV2) serve(call)
        else call.emit('error', { code: status.UNIMPLEMENTED, details: 'stream-multiplexing' })
      },
    })
    return server
  }

  #newPd(clusterId: bigint): PdClient {
    return {
      clusterId,
      keyspace: undefined,
      endpoints: [],
      tso: async () => Ts(0n),
      scanRegions: async (start, end) => this.#regions().filter((region) => touches(region, start, end)),
      region: async () => undefined,
      regionById: async () => undefined,
      store: async (id) => ({
        id,
        address: `127.0.0.1:${this.#servers.get(id)?.port ?? 0}`,
        version: '8.5.0',
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

  /** What the recorded client asks for next for a key is what PD knows; where nothing is left, the last it asked for. */
  #regions(): Region[] {
    const regions: Region[] = []
    const later = this.#steps.slice(this.#at)
    for (const { register, store } of [...later, ...this.#steps.slice(0, this.#at).toReversed()]) {
      if (register === undefined) continue
      const { startKey: start, endKey: end, regionEpoch } = register
      if (regions.some((known) => touches(known, start, end))) continue
      const leader = { id: register.regionId * 10n + store, storeId: store }
      const { confVer = 0n, version = 0n } = regionEpoch ?? {}
      regions.push({ id: register.regionId, confVer, version, start, end, peers: [leader], leader })
    }
    return regions.toSorted((a, b) => compareBytes(a.start, b.start))
  }

  async #expect(step: Step, recorded: ChangeDataRequest, signal: AbortSignal): Promise<void> {
    const found = (): number =>
      this.#waiting.findIndex(
        ({ store, request }) =>
          store === step.store &&
          request.regionId === recorded.regionId &&
          request.regionEpoch?.version === recorded.regionEpoch?.version &&
          request.startKey.equals(recorded.startKey) &&
          request.endKey.equals(recorded.endKey) &&
          request.checkpointTs >= recorded.checkpointTs &&
          (this.#ids.get(recorded.requestId) ?? request.requestId) === request.requestId,
      )
    let at = found()
    for (; at < 0; at = found()) {
      const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
      await Promise.race([this.#arrived.promise, aborted])
      if (signal.aborted) {
        const asked = this.#waiting.map(({ store, request }) => `${store}: region ${request.regionId}`).join(', ')
        const wanted = `region ${recorded.regionId} version ${recorded.regionEpoch?.version} at store ${step.store}`
        throw new Error(`the reader never asked for ${wanted}; it asked for ${asked || 'nothing'}`)
      }
    }
    const [match] = this.#waiting.splice(at, 1)
    if (match === undefined) return
    this.#ids.set(recorded.requestId, match.request.requestId)
    this.#checkpoints.set(`${recorded.requestId}/${recorded.regionId}`, match.request.checkpointTs)
    this.#calls.set(step.stream, match.call)
  }

  #send({ line, stream }: Step): void {
    const message = ChangeDataEvent.decode(line.frame ?? Buffer.alloc(0))
    for (const event of message.events) {
      const checkpoint = this.#checkpoints.get(`${event.requestId}/${event.regionId}`) ?? 0n
      event.requestId = this.#ids.get(event.requestId) ?? 0n
      if (event.event?.$case === 'error') this.failedRegions.push(`${event.requestId}/${event.regionId}`)
      if (event.event?.$case !== 'entries') continue
      event.event.value.entries = event.event.value.entries.filter(
        (row) => row.type !== Event_LogType.COMMITTED || row.commitTs > checkpoint,
      )
    }
    if (message.resolvedTs !== undefined) {
      message.resolvedTs.requestId = this.#ids.get(message.resolvedTs.requestId) ?? 0n
    }
    this.#calls.get(stream)?.write(message)
  }

  #fail({ line, stream }: Step): void {
    this.#lost = true
    this.#calls.get(stream)?.emit('error', { code: line.code ?? status.UNAVAILABLE, details: 'ended as recorded' })
  }
}

function stepsOf(lines: readonly RecordedLine[]): Step[] {
  const opened = new Map<number, { readonly store: bigint; readonly v2: boolean }>()
  const steps: Step[] = []
  for (const line of lines) {
    if (line.s === undefined) continue
    if (line.k === 'open') opened.set(line.s, { store: line.store ?? 0n, v2: line.rpc.endsWith('V2') })
    const stream = opened.get(line.s)
    if (stream === undefined || !['req', 'resp', 'end'].includes(line.k)) continue
    const request = line.k === 'req' && line.frame !== undefined ? ChangeDataRequest.decode(line.frame) : undefined
    if (request?.request?.$case === 'deregister') continue
    steps.push({ line, stream: line.s, ...stream, register: request })
  }
  return steps
}

function subscriptionsOf(steps: readonly Step[]): RecordedSubscription[] {
  const byId = Map.groupBy(
    steps.flatMap(({ register }) => register ?? []),
    (request) => request.requestId,
  )
  return [...byId].map(([requestId, requests]) => {
    const starts = requests.map((request) => request.startKey).toSorted(compareBytes)
    const ends = requests.map((request) => request.endKey).toSorted(compareBytes)
    const checkpoint = requests.reduce((least, one) => (one.checkpointTs < least ? one.checkpointTs : least), 1n << 63n)
    return {
      requestId,
      start: starts[0] ?? Buffer.alloc(0),
      end: ends.at(-1) ?? Buffer.alloc(0),
      checkpoint: Ts(checkpoint),
    }
  })
}

const touches = (region: Region, start: Uint8Array, end: Uint8Array): boolean =>
  compareBytes(region.start, end) < 0 && compareBytes(start, region.end) < 0
