import { type Client, type ClientDuplexStream, Metadata, type StatusObject, status } from '@grpc/grpc-js'

import {
  ChangeDataRequest,
  ChangeDataRequest_KvAPI,
  ChangeDataService,
  type Error as RegionError,
} from '../../proto/cdcpb.ts'
import { ExtraOp } from '../../proto/kvrpcpb.ts'
import type { Ts } from '../../tidb/ts.ts'
import { isServiceError } from '../channel.ts'
import { ChangeDataReader, type ChangeDataVisitor, type RowCursor } from './change-data.ts'
import type { RegionFeed } from './region-feed.ts'
import type { FeedSubscription } from './subscription.ts'

/** A region's registration on a stream. */
export interface Registration {
  readonly subscription: FeedSubscription
  readonly feed: RegionFeed
  /** Failures in a row, for the back-off. */
  readonly attempt: number
}

/** Who hears what happens on a stream. Calls are synchronous, in the order of arrival. */
export interface StreamListener {
  /** Of every frame, when nothing points into it any more; see `FeedObserver`. */
  received(rows: number, bytes: number, readMs: number, deliverMs: number): void
  initialized(registration: Registration): void
  failed(registration: Registration, error: RegionError): void
  /** The subscription cannot go on. */
  broken(subscription: FeedSubscription, error: unknown): void
  /** Nothing follows; the registrations that were alive come along. */
  ended(stream: FeedStream, registrations: readonly Registration[], reason: Error): void
}

/** TiKV takes version and features from the first request of a stream; below 5.3.0 it would not check the cluster. */
const CLIENT_VERSION = '8.5.0'
const FEATURES = 'stream-multiplexing'

/**
 * One `EventFeedV2` stream that carries all subscriptions of a store, or one `EventFeed` stream for a single subscription
 * (`only`): there resolved-ts come without request id.
 */
export class FeedStream implements ChangeDataVisitor {
  readonly only: FeedSubscription | undefined
  readonly #clusterId: bigint
  readonly #listener: StreamListener
  readonly #call: ClientDuplexStream<ChangeDataRequest, Buffer>
  readonly #reader = new ChangeDataReader()
  readonly #registrations = new Map<number, Map<bigint, Registration>>()
  /** What the frame that is being read has touched. */
  readonly #touched = new Set<FeedSubscription>()
  /** Estimated, and not yet told. */
  #givingMs = 0
  #ended = false

  constructor(client: Client, clusterId: bigint, only: FeedSubscription | undefined, listener: StreamListener) {
    this.#clusterId = clusterId
    this.#listener = listener
    this.only = only
    const method = only === undefined ? ChangeDataService.eventFeedV2 : ChangeDataService.eventFeed
    const metadata = new Metadata()
    if (only === undefined) metadata.set('features', FEATURES)
    this.#call = client.makeBidiStreamRequest(method.path, method.requestSerialize, (frame) => frame, metadata)
    this.#call.on('data', (frame: Buffer) => this.#receive(frame))
    this.#call.on('error', (error: unknown) => this.end(error instanceof Error ? error : new Error(String(error))))
    this.#call.on('status', ({ code }: StatusObject) => {
      if (code === status.OK) this.end(new Error('the store ended the stream'))
    })
  }

  get regions(): number {
    let count = 0
    for (const ofRequest of this.#registrations.values()) count += ofRequest.size
    return count
  }

  /** Sends a registration; the state stands before the request leaves, because the answer may be fast. */
  register(registration: Registration): void {
    const { subscription, feed } = registration
    let ofRequest = this.#registrations.get(subscription.id)
    if (ofRequest === undefined) {
      ofRequest = new Map()
      this.#registrations.set(subscription.id, ofRequest)
    }
    if (ofRequest.has(feed.region.id)) throw new RangeError(`region ${feed.region.id} is registered twice`)
    ofRequest.set(feed.region.id, registration)
    this.#call.write(
      ChangeDataRequest.fromPartial({
        header: { clusterId: this.#clusterId, ticdcVersion: CLIENT_VERSION },
        regionId: feed.region.id,
        regionEpoch: { confVer: feed.region.confVer, version: feed.region.version },
        checkpointTs: feed.hold.ts,
        startKey: Buffer.from(feed.hold.start),
        endKey: Buffer.from(feed.hold.end),
        requestId: BigInt(subscription.id),
        extraOp: ExtraOp.ReadOldValue,
        kvApi: ChangeDataRequest_KvAPI.TiDB,
        filterLoop: subscription.filterLoop,
      }),
    )
  }

  /** Ends all registrations of a subscription; what still comes for it is ignored. */
  forget(subscription: FeedSubscription): Registration[] {
    const ofRequest = this.#registrations.get(subscription.id)
    this.#registrations.delete(subscription.id)
    if (this.only === subscription) this.close()
    else if (ofRequest !== undefined && !this.#ended) {
      this.#call.write(
        ChangeDataRequest.fromPartial({
          header: { clusterId: this.#clusterId, ticdcVersion: CLIENT_VERSION },
          requestId: BigInt(subscription.id),
          request: { $case: 'deregister', value: {} },
          filterLoop: subscription.filterLoop,
        }),
      )
    }
    return [...(ofRequest?.values() ?? [])]
  }

  close(): void {
    this.#ended = true
    this.#registrations.clear()
    this.#call.cancel()
  }

  rows(regionId: bigint, requestId: number, rows: RowCursor): void {
    const registration = this.#find(regionId, requestId)
    if (registration === undefined) return
    const { feed, subscription } = registration
    const wasInitialized = feed.initialized
    this.#touched.add(subscription)
    try {
      feed.handle(rows)
    } catch (error) {
      this.#break(subscription, error)
      return
    }
    if (!wasInitialized && feed.initialized) this.#listener.initialized(registration)
  }

  failed(regionId: bigint, requestId: number, error: RegionError): void {
    const registration = this.#find(regionId, requestId)
    if (registration === undefined) return
    this.#registrations.get(registration.subscription.id)?.delete(regionId)
    this.#listener.failed(registration, error)
  }

  regionResolved(regionId: bigint, requestId: number, ts: Ts): void {
    this.#resolve(this.#find(regionId, requestId), ts)
  }

  resolved(ts: Ts, regionIds: readonly bigint[], requestId: number): void {
    const ofRequest = this.#registrations.get(this.only?.id ?? requestId)
    if (ofRequest === undefined) return
    for (const regionId of regionIds) this.#resolve(ofRequest.get(regionId), ts)
  }

  #resolve(registration: Registration | undefined, ts: Ts): void {
    if (registration === undefined || !registration.feed.resolve(ts)) return
    registration.subscription.dirty = true
    this.#touched.add(registration.subscription)
  }

  #find(regionId: bigint, requestId: number): Registration | undefined {
    return this.#registrations.get(this.only?.id ?? requestId)?.get(regionId)
  }

  #receive(frame: Buffer): void {
    if (this.#ended) return
    const beganAt = performance.now()
    let unreadable: unknown
    try {
      this.#reader.read(frame, this)
    } catch (error) {
      unreadable = error
    }
    const readAt = performance.now()
    let rows = 0
    // Behind the rows the resolved-ts that covers them; nothing may point into the frame any more.
    for (const subscription of this.#touched) {
      rows += subscription.given
      this.#givingMs += subscription.givingMs
      subscription.given = subscription.givingMs = 0
      try {
        subscription.endFrame()
      } catch (error) {
        this.#break(subscription, error)
      }
    }
    this.#touched.clear()
    // The estimate may be more than this frame took as a whole; the rest goes with the next one.
    const givingMs = Math.min(this.#givingMs, readAt - beganAt)
    this.#givingMs -= givingMs
    const deliverMs = givingMs + performance.now() - readAt
    this.#listener.received(rows, frame.length, readAt - beganAt - givingMs, deliverMs)
    if (unreadable !== undefined) this.#unreadable(unreadable)
  }

  /** A frame that we cannot read would come again: no use in trying. */
  #unreadable(error: unknown): void {
    const live = [...this.#registrations.values()].flatMap((ofRequest) => [...ofRequest.values()])
    for (const subscription of new Set(live.map((registration) => registration.subscription)))
      this.#break(subscription, error)
    this.end(new Error('unreadable frame', { cause: error }))
  }

  #break(subscription: FeedSubscription, error: unknown): void {
    this.#touched.delete(subscription)
    this.#listener.broken(subscription, error)
  }

  /** Gives up what is registered here. */
  end(reason: Error): void {
    if (this.#ended) return
    this.#ended = true
    const live = [...this.#registrations.values()].flatMap((ofRequest) => [...ofRequest.values()])
    this.#registrations.clear()
    this.#call.cancel()
    this.#listener.ended(this, live, reason)
  }
}

/** True when the store does not know `EventFeedV2` or its multiplexing. */
export const isUnimplemented = (error: Error): boolean => isServiceError(error, status.UNIMPLEMENTED)
