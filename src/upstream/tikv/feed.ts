import type { RawRow } from '../../event/raw-row.ts'
import type { KeyRange } from '../../event/span.ts'
import type { Holder } from '../../spill/spiller.ts'
import type { Ts } from '../../tidb/ts.ts'

/**
 * Where a subscription delivers. Calls come in order and are synchronous: every row with commitTs ≤ T was given before
 * `resolved(T)`. Rows may repeat (a region that is scanned again), never below a resolvedTs that was given.
 */
export interface FeedSink {
  /** One object serves for all rows, and its bytes are the received frame's: copy what must outlive the call. */
  row(row: RawRow): void
  /** At the end of a frame with something for the subscription, after its rows, and whenever else `bytes` has changed. */
  frame?(): void
  /** Nothing at or below `ts` will still arrive for the whole range; grows strictly. */
  resolved(ts: Ts): void
  /** The subscription is dead (fatal for its changefeed); nothing follows. */
  failed(error: Error): void
}

export interface Subscription extends Disposable {
  /** Regions that cover the range now, and how many of them finished their initial scan. */
  readonly regions: { readonly total: number; readonly initialized: number }
  readonly resolvedTs: Ts
  /** Memory for changes that wait for their commit, for the quota. */
  readonly bytes: number
  /** What of it can go to disk. Rows that went there are given later, before the `resolved` that covers them. */
  readonly holder: Holder
}

/** How a feed is doing, for people. */
export interface FeedState {
  readonly stores: readonly {
    readonly address: string
    readonly streams: number
    readonly regions: number
    readonly scanning: number
    /** Registrations that wait for their turn to be scanned. */
    readonly waiting: number
  }[]
  /** Regions that lag by more than twenty seconds, and those that are scanned for more than ten minutes. */
  readonly slowRegions: number
  readonly slowScans: number
  /** How far the slowest region is behind; 0 without regions. */
  readonly slowestLagMs: number
  /** Ranges that wait for a region. */
  readonly uncovered: number
  readonly bytes: number
}

/** Change streams of TiKV: one gRPC stream per store, regions of all subscriptions multiplexed. */
export interface EventFeed extends AsyncDisposable {
  /** Rows of `range` with commitTs > startTs. `filterLoop` drops rows that another CDC wrote (BDR). */
  subscribe(range: KeyRange, startTs: Ts, sink: FeedSink, options?: { readonly filterLoop?: boolean }): Subscription
}

/** Who watches over a feed: its metrics. */
export interface FeedObserver {
  /** A feed is there; `look` goes over all its regions, so it is for now and then. Disposed of with the feed. */
  opened(look: () => FeedState): Disposable
  /** A store sent an error of this kind for a region. */
  regionError(kind: string): void
  /** A frame was read, which took `readMs`, and `rows` were delivered, which took `deliverMs` (an estimate) of the subscribers. */
  received(rows: number, bytes: number, readMs: number, deliverMs: number): void
}
