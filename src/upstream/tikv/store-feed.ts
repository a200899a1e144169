import { type Client, status } from '@grpc/grpc-js'

import type { Clock } from '../../base/clock.ts'
import type { Log } from '../../base/log.ts'
import { HealthService } from '../../proto/health.ts'
import { physicalMs } from '../../tidb/ts.ts'
import { ChannelPool, isServiceError, unary } from '../channel.ts'
import type { PdClient, SecurityOptions } from '../pd/pd.ts'
import { checkServerVersion } from '../pd/version.ts'
import type { FeedState } from './feed.ts'
import { FeedStream, isUnimplemented, type Registration, type StreamListener } from './feed-stream.ts'
import type { StoreDirectory } from './stores.ts'
import type { FeedSubscription } from './subscription.ts'

export interface StoreFeedOptions {
  readonly storeId: bigint
  readonly pd: PdClient
  readonly stores: StoreDirectory
  readonly security: SecurityOptions
  readonly log: Log
  readonly clock: Clock
  /** How many regions the store scans for us at a time; the rest wait here, the most urgent first. */
  readonly scanWindow: number
  readonly listener: StoreListener
  readonly signal: AbortSignal
}

/** What a store's feed tells the event feed. */
export interface StoreListener extends Omit<StreamListener, 'ended' | 'initialized'> {
  /** The connection is gone, or never came up. */
  disconnected(registrations: readonly Registration[], reason: Error): void
}

const CONNECT_TIMEOUT_MS = 5_000
const RECONNECT_MS = 1_000
const IDLE_MS = 60_000
/** A registration that begins this little in the past goes before long scans. */
const URGENT_MS = 600_000
/** Own connection per feed: a stream that is read slowly must not use up the window of others. */
const CHANNEL_OPTIONS = { 'grpc.use_local_subchannel_pool': 1, 'grpc-node.flow_control_window': 8 << 20 }

/** The change stream of one store: its connection, its window of initial scans, and which protocol it speaks. */
export class StoreFeed implements Disposable {
  readonly #options: StoreFeedOptions
  readonly #channels: ChannelPool
  readonly #urgent = new Line<Registration>()
  readonly #patient = new Line<Registration>()
  readonly #scanning = new Set<Registration>()
  /** By subscription id, or the one for all under 0. */
  readonly #streams = new Map<number, FeedStream>()
  #state: 'idle' | 'connecting' | 'ready' | 'pausing' = 'idle'
  #client: Client | undefined
  #address = ''
  /** False once the store turned out to know only single-subscription streams. */
  #multiplexed = true
  #usedAt = 0

  constructor(options: StoreFeedOptions) {
    this.#options = options
    this.#channels = new ChannelPool(options.security, CHANNEL_OPTIONS)
  }

  get storeId(): bigint {
    return this.#options.storeId
  }

  get state(): FeedState['stores'][number] {
    const streams = [...this.#streams.values()]
    return {
      address: this.#address,
      streams: streams.length,
      regions: streams.reduce((sum, stream) => sum + stream.regions, 0),
      scanning: this.#scanning.size,
      waiting: this.#queued,
    }
  }

  request(registration: Registration): void {
    const { subscription, feed } = registration
    const late = this.#options.clock.now() - physicalMs(feed.hold.ts)
    const queue = subscription.caughtUp || late < URGENT_MS ? this.#urgent : this.#patient
    queue.push(registration)
    this.#pump()
  }

  /** Drops a subscription's registrations, here and at the store. */
  forget(subscription: FeedSubscription): void {
    const others = (one: Registration): boolean => one.subscription !== subscription
    for (const queue of [this.#urgent, this.#patient])
      for (const one of queue.takeAll()) if (others(one)) queue.push(one)
    for (const [key, stream] of this.#streams) {
      stream.forget(subscription)
      if (stream.only === subscription) this.#streams.delete(key)
    }
    for (const one of this.#scanning) if (!others(one)) this.#scanning.delete(one)
    this.#pump()
  }

  /** Ends all streams; their regions are registered again. */
  restart(reason: Error): void {
    for (const stream of [...this.#streams.values()]) stream.end(reason)
  }

  /** Closes the connection when nothing was registered for a while. */
  closeIdle(): void {
    const now = this.#options.clock.monotonic()
    if ([...this.#streams.values()].some((stream) => stream.regions > 0) || this.#queued > 0) this.#usedAt = now
    else if (this.#state === 'ready' && now - this.#usedAt > IDLE_MS) this.#disconnect()
  }

  [Symbol.dispose](): void {
    this.#disconnect()
    this.#channels[Symbol.dispose]()
  }

  get #queued(): number {
    return this.#urgent.length + this.#patient.length
  }

  #pump(): void {
    if (this.#options.signal.aborted || this.#queued === 0) return
    if (this.#state === 'idle') {
      this.#state = 'connecting'
      void this.#connect()
    }
    while (this.#state === 'ready' && this.#scanning.size < this.#options.scanWindow) {
      const next = this.#urgent.take() ?? this.#patient.take()
      if (next === undefined) return
      this.#scanning.add(next)
      this.#streamFor(next.subscription).register(next)
    }
  }

  #streamFor(subscription: FeedSubscription): FeedStream {
    const key = this.#multiplexed ? 0 : subscription.id
    let stream = this.#streams.get(key)
    if (stream === undefined) {
      if (this.#client === undefined) throw new TypeError('no connection')
      const only = this.#multiplexed ? undefined : subscription
      stream = new FeedStream(this.#client, this.#options.pd.clusterId, only, this.#listener)
      this.#streams.set(key, stream)
    }
    return stream
  }

  readonly #listener: StreamListener = {
    received: (rows, bytes, readMs, deliverMs) => this.#options.listener.received(rows, bytes, readMs, deliverMs),
    initialized: (registration) => this.#scanned(registration),
    failed: (registration, error) => {
      this.#options.listener.failed(registration, error)
      this.#scanned(registration)
    },
    broken: (subscription, error) => this.#options.listener.broken(subscription, error),
    ended: (stream, registrations, reason) => this.#ended(stream, registrations, reason),
  }

  #scanned(registration: Registration): void {
    if (this.#scanning.delete(registration)) this.#pump()
  }

  /** Never rejects. */
  async #connect(): Promise<void> {
    const { storeId, stores, signal, clock, log } = this.#options
    try {
      const store = await stores.find(storeId, signal)
      checkServerVersion('TiKV', store.version)
      this.#address = store.address
      this.#client = this.#channels.client(store.address)
      await ready(this.#client, signal)
      this.#state = 'ready'
      this.#usedAt = clock.monotonic()
      log.info('change stream opened', { store: storeId, address: store.address })
      this.#pump()
    } catch (error) {
      if (!signal.aborted) this.#lost([], error instanceof Error ? error : new Error(String(error)))
    }
  }

  #ended(stream: FeedStream, registrations: readonly Registration[], reason: Error): void {
    for (const [key, known] of this.#streams) if (known === stream) this.#streams.delete(key)
    for (const registration of registrations) this.#scanning.delete(registration)
    if (stream.only === undefined && isUnimplemented(reason)) {
      this.#options.log.info('store knows no multiplexed change streams', { store: this.#options.storeId })
      this.#multiplexed = false
      for (const registration of registrations) this.#urgent.push(registration)
      this.#pump()
    } else this.#lost(registrations, reason)
  }

  /** Gives back everything that waits for this store, and lets it rest before the next try. */
  #lost(registrations: readonly Registration[], reason: Error): void {
    const { storeId, stores, log, listener, signal, clock } = this.#options
    const others = [...this.#streams.values()]
    const lost = [...registrations, ...this.#urgent.takeAll(), ...this.#patient.takeAll()]
    log.warn('change stream lost', { store: storeId, address: this.#address, regions: lost.length, error: reason })
    this.#state = 'pausing'
    stores.forget(storeId)
    // Single-subscription streams share the connection; they end by themselves if it is gone.
    if (others.length === 0) this.#disconnect()
    listener.disconnected(lost, reason)
    clock.sleep(RECONNECT_MS, signal).then(
      () => {
        if (this.#state === 'pausing') this.#state = this.#client === undefined ? 'idle' : 'ready'
        this.#pump()
      },
      () => {},
    )
  }

  #disconnect(): void {
    for (const stream of this.#streams.values()) stream.close()
    this.#streams.clear()
    this.#scanning.clear()
    if (this.#state !== 'pausing') this.#state = 'idle'
    // It may come back as another version.
    this.#multiplexed = true
    this.#client = undefined
    if (this.#address !== '') this.#channels.drop(this.#address)
  }
}

/** First in, first out; `Array.shift` moves all the rest, which a hundred thousand regions would feel. */
class Line<T> {
  #items: T[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }
  push(item: T): void {
    this.#items.push(item)
  }
  take(): T | undefined {
    const item = this.#items[this.#head]
    if (item === undefined) return undefined
    this.#head++
    if (this.#head * 2 > this.#items.length) this.#items = this.takeAll()
    return item
  }
  takeAll(): T[] {
    const items = this.#items.slice(this.#head)
    this.#items = []
    this.#head = 0
    return items
  }
}

/** Resolves when there is a connection; what the store thinks of the question is of no matter, but a failure tells why. */
async function ready(client: Client, signal: AbortSignal): Promise<void> {
  try {
    await unary(client, HealthService.check, { service: '' }, CONNECT_TIMEOUT_MS, signal)
  } catch (error) {
    if (!isServiceError(error)) throw error
    if (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED) throw error
  }
}
