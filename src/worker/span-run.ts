import type { RawBatch } from '../event/raw-kv.ts'
import type { Span } from '../event/span.ts'
import type { SorterCursor, SpanSorter } from '../sorter/sorter.ts'
import type { Holder } from '../spill/spiller.ts'
import { laterTs, minTs, previousTs, type Ts } from '../tidb/ts.ts'
import type { Subscription } from '../upstream/tikv/feed.ts'
import type { HoldingSpan } from './memory-relief.ts'
import type { Pass } from './row-plan.ts'

/** A batch between the cursor and its acknowledgement. */
export interface InFlight {
  /** commitTs of its first row: until the batch is acknowledged the checkpoint stays below it. */
  readonly firstTs: Ts
  done: boolean
}

/** A span's way into the feed. */
export interface SpanFeed {
  subscribe(startTs: Ts): Subscription
  /** Until disposed. */
  spills(holder: Holder): Disposable
  /** What the subscription held is free. */
  unsubscribed(): void
}

/** One span of a changefeed in this worker: from its subscription to its checkpoint. */
export class SpanRun implements HoldingSpan {
  readonly span: Span
  readonly incarnation: number
  readonly sorter: SpanSorter
  /** Bytes that the feed holds for the span, as counted in the quota. */
  feedBytes = 0
  /** True while the span waits in the run's queue for its turn. */
  queued = false
  /** True while the run's set of spans has it listed for its next look. */
  touched = false
  removing = false
  checkpointTs: Ts
  /** The table's own barrier, where it has one below the global grant. */
  barrierTs: Ts | undefined
  /** Acknowledged since somebody set them to 0. */
  ackedBytes = 0
  ackedRows = 0
  readonly #feed: SpanFeed
  #subscription: Subscription | undefined
  /** What the subscription holds can go to disk as long as it lives. */
  #holding: Disposable | undefined
  #cursor: SorterCursor
  #inFlight: InFlight[] = []
  #pass: Pass = 'all'
  /** Nothing at or below it is still to be acknowledged, and nothing more will come; of the last {@link settle}. */
  #settledTs: Ts
  /** The greatest commitTs that was ever read, and may have reached the sink. */
  #sentTs: Ts

  constructor(span: Span, incarnation: number, checkpointTs: Ts, sorter: SpanSorter, feed: SpanFeed) {
    this.span = span
    this.incarnation = incarnation
    this.checkpointTs = checkpointTs
    this.#sentTs = this.#settledTs = checkpointTs
    this.sorter = sorter
    this.#feed = feed
    this.#cursor = sorter.cursor(checkpointTs)
  }

  get resolvedTs(): Ts {
    return laterTs(this.sorter.resolvedTs, this.checkpointTs)
  }

  get drained(): boolean {
    return this.checkpointTs >= this.sorter.resolvedTs
  }

  get subscribed(): boolean {
    return this.#subscription !== undefined
  }

  /** Memory of the feed for changes that wait for their commit. */
  get unmatchedBytes(): number {
    return this.#subscription?.bytes ?? 0
  }

  subscribe(): void {
    this.#subscription = this.#feed.subscribe(this.resolvedTs)
    this.#holding = this.#feed.spills(this.#subscription.holder)
  }

  unsubscribe(): void {
    this.#leave()
    this.sorter.dropUnresolved()
    this.#feed.unsubscribed()
  }

  get pass(): Pass {
    return this.#pass
  }

  /** Whatever any sink was ever given is acknowledged. */
  get idle(): boolean {
    const next = this.#cursor.peek()
    return this.#inFlight.length === 0 && (next === undefined || next > this.#sentTs)
  }

  /** How far rows may be sent: what is granted, and for this table; when removed, only what was sent once. */
  limit(grantTs: Ts): Ts {
    const granted = this.#granted(grantTs)
    return this.removing ? minTs(granted, this.#sentTs) : granted
  }

  /** commitTs of the next row that is resolved, where there is one. */
  get nextTs(): Ts | undefined {
    return this.#cursor.peek()
  }

  /** Reads the next batch; it counts as in flight until {@link acknowledge}. */
  async read(grantTs: Ts, maxBytes: number, signal: AbortSignal): Promise<[RawBatch, InFlight] | undefined> {
    const firstTs = this.#cursor.peek()
    if (firstTs === undefined) return undefined
    const inFlight: InFlight = { firstTs, done: false }
    this.#inFlight.push(inFlight)
    const batch = await this.#cursor.next(this.limit(grantTs), maxBytes, signal)
    if (batch !== undefined) {
      this.#sentTs = laterTs(this.#sentTs, batch.end.commitTs)
      return [batch, inFlight]
    }
    inFlight.done = true
    this.#shift()
    return undefined
  }

  /**
   * Chooses the pass over a transaction that is larger than a batch. Where the order inside it matters it is read for its
   * deletes first and then, from its first row again, for the rest.
   */
  beginPart(batch: RawBatch, ordered: boolean): Pass {
    if (batch.part === 'first' && ordered && this.#pass === 'all') this.#pass = 'deletes'
    const pass = this.#pass
    if (batch.part === 'last' && pass === 'deletes') {
      this.#pass = 'rest'
      this.#cursor.rewindTransaction()
    } else if (batch.part === 'last') {
      this.#pass = 'all'
    }
    return pass
  }

  acknowledge(inFlight: InFlight): void {
    inFlight.done = true
    this.#shift()
  }

  /** Takes note of what was resolved, read and acknowledged. */
  settle(): void {
    const pending = this.#inFlight[0]?.firstTs ?? this.#cursor.peek()
    const { resolvedTs } = this.sorter
    this.#settledTs = pending === undefined ? resolvedTs : minTs(previousTs(pending), resolvedTs)
  }

  /** Moves the checkpoint as far as rows are settled and granted, and frees the sorter up to it. */
  advance(grantTs: Ts): void {
    const reached = minTs(this.#settledTs, this.#granted(grantTs))
    if (reached <= this.checkpointTs) return
    this.checkpointTs = reached
    this.sorter.release(reached)
  }

  /** After the sink was lost: reading begins again above the checkpoint. */
  rewind(): void {
    this.#inFlight = []
    this.#pass = 'all'
    this.#cursor[Symbol.dispose]()
    this.#cursor = this.sorter.cursor(this.checkpointTs)
  }

  dispose(): void {
    this.#leave()
    this.sorter[Symbol.dispose]()
  }

  #leave(): void {
    this.#holding?.[Symbol.dispose]()
    this.#subscription?.[Symbol.dispose]()
    this.#subscription = undefined
  }

  #granted(grantTs: Ts): Ts {
    return this.barrierTs === undefined ? grantTs : minTs(grantTs, this.barrierTs)
  }

  #shift(): void {
    let count = 0
    while (this.#inFlight[count]?.done === true) count++
    if (count > 0) this.#inFlight = this.#inFlight.slice(count)
  }
}
