import type { Clock } from '../../base/clock.ts'
import { RawRow } from '../../event/raw-row.ts'
import type { KeyRange } from '../../event/span.ts'
import type { Holder } from '../../spill/spiller.ts'
import type { Ts } from '../../tidb/ts.ts'
import type { FeedSink, Subscription } from './feed.ts'
import { FeedHolder } from './feed-holder.ts'
import { RangeLock } from './range-lock.ts'
import type { FeedOwner, RegionFeed } from './region-feed.ts'
import { UnmatchedRows } from './unmatched-rows.ts'

export interface SubscriptionOptions {
  /** Doubles as the request id on the wire: unique in the process, never reused. */
  readonly id: number
  readonly range: KeyRange
  /** What is cut off before the keys that it gets. */
  readonly keyPrefixLength: number
  readonly startTs: Ts
  readonly sink: FeedSink
  readonly filterLoop: boolean
  readonly clock: Clock
  /** Called once, when the subscription is disposed of or has failed. */
  readonly onStop: (subscription: FeedSubscription) => void
  /** A region has rows to join, see `RegionFeed.join`. */
  readonly onJoin: (subscription: FeedSubscription, feed: RegionFeed) => void
}

/** Of a span with many regions the minimum is looked for this often; of a small one at once. */
const ADVANCE_MS = 50
const SMALL = 64
/** One row of so many is timed: a clock for each would cost more than what it measures. */
const TIMED_ROWS = 64

/** One subscriber: gives it rows as they come, and at a frame's end says how far the span is. */
export class FeedSubscription implements Subscription, FeedOwner {
  readonly id: number
  readonly range: KeyRange
  readonly keyPrefixLength: number
  readonly startTs: Ts
  readonly filterLoop: boolean
  readonly lock: RangeLock
  readonly unmatched = new UnmatchedRows()
  readonly row = new RawRow()
  readonly holder: Holder = new FeedHolder(this)
  /** Live registrations. */
  readonly feeds = new Set<RegionFeed>()
  stopped = false
  /** Rows given since it was last set to 0, and the time that the subscriber took for them: an estimate, ms. */
  given = 0
  givingMs = 0
  /** Some region got further since the last `resolved`. */
  dirty = false
  resolvedTs: Ts
  /** When `resolvedTs` last grew, on the monotonic clock. */
  advancedAt: number
  readonly #sink: FeedSink
  readonly #clock: Clock
  readonly #onStop: SubscriptionOptions['onStop']
  readonly #onJoin: SubscriptionOptions['onJoin']
  readonly #stop = new AbortController()
  #lookedAt = -Infinity
  #looking = false
  #untimed = 0
  #charged = 0

  constructor(options: SubscriptionOptions) {
    this.id = options.id
    this.range = options.range
    this.keyPrefixLength = options.keyPrefixLength
    this.startTs = this.resolvedTs = options.startTs
    this.filterLoop = options.filterLoop
    this.lock = new RangeLock(options.range, options.startTs)
    this.advancedAt = options.clock.monotonic()
    this.#sink = options.sink
    this.#clock = options.clock
    this.#onStop = options.onStop
    this.#onJoin = options.onJoin
  }

  get signal(): AbortSignal {
    return this.#stop.signal
  }

  get bytes(): number {
    return this.unmatched.bytes + this.#charged
  }

  get regions(): { total: number; initialized: number } {
    let initialized = 0
    for (const feed of this.feeds) if (feed.initialized) initialized++
    return { total: this.lock.size, initialized }
  }

  /** True once it was up to date: its regions are scanned before those of subscriptions that begin in the past. */
  get caughtUp(): boolean {
    return this.resolvedTs > this.startTs
  }

  give(): void {
    this.given++
    this.#untimed = (this.#untimed + 1) % TIMED_ROWS
    if (this.#untimed > 0) {
      this.#sink.row(this.row)
      return
    }
    const at = performance.now()
    this.#sink.row(this.row)
    this.givingMs += (performance.now() - at) * TIMED_ROWS
  }

  join(feed: RegionFeed): void {
    this.#onJoin(this, feed)
  }

  charge(bytes: number): void {
    this.#charged += bytes
  }

  spilled(): void {
    if (!this.stopped) this.#sink.frame?.()
  }

  advanced(): void {
    if (!this.stopped) this.#sink.frame?.()
    this.dirty = true
    this.#tell()
  }

  /** At the end of a frame, whose rows were given: lets go of it, then perhaps tells a resolved-ts. */
  endFrame(): void {
    this.unmatched.retain()
    if (!this.stopped) this.#sink.frame?.()
    this.#tell()
  }

  #tell(): void {
    if (!this.dirty || this.stopped) return
    const waitMs = this.#lookedAt + ADVANCE_MS - this.#clock.monotonic()
    if (waitMs <= 0 || this.lock.size <= SMALL) this.#advance()
    else if (!this.#looking) {
      this.#looking = true
      void this.#advanceLater(waitMs)
    }
  }

  /** Tells the subscriber that it is dead, and stops. */
  fail(error: Error): void {
    if (this.stopped) return
    this[Symbol.dispose]()
    this.#sink.failed(error)
  }

  [Symbol.dispose](): void {
    if (this.stopped) return
    this.stopped = true
    this.#stop.abort(new DOMException('subscription ended', 'AbortError'))
    this.lock.stop()
    this.#onStop(this)
  }

  /** Never rejects. */
  async #advanceLater(ms: number): Promise<void> {
    try {
      await this.#clock.sleep(ms, this.signal)
      this.#looking = false
      this.#advance()
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #advance(): void {
    this.dirty = false
    this.#lookedAt = this.#clock.monotonic()
    if (this.stopped) return
    const ts = this.lock.resolvedTs()
    if (ts <= this.resolvedTs) return
    this.resolvedTs = ts
    this.advancedAt = this.#lookedAt
    this.#sink.resolved(ts)
  }
}
