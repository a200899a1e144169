import type { Clock } from '../base/clock.ts'
import { CdcError } from '../base/errors.ts'
import type { Spiller } from '../spill/spiller.ts'
import { compareTs, type Ts } from '../tidb/ts.ts'

/** A span as far as its memory goes. */
export interface HoldingSpan {
  readonly resolvedTs: Ts
  /** Whether the feed gives its changes now. */
  readonly subscribed: boolean
  /** Whether everything up to its resolvedTs is out, so that it holds the others back while it is not in the feed. */
  readonly drained: boolean
  /** Leaves the feed, and forgets what it has above its resolvedTs. */
  unsubscribe(): void
  /** Joins the feed again, from its resolvedTs on. */
  subscribe(): void
}

export interface MemoryReliefParts {
  readonly spiller: Spiller
  /** Those that may leave the feed and join it again. */
  readonly spans: () => Iterable<HoldingSpan>
  readonly clock: Clock
  /** Spans left the feed because of this error; everything is read again later. */
  readonly warn: (error: CdcError) => void
  /** Nothing helps: the changefeed has to stop. */
  readonly fail: (error: CdcError) => void
}

/** After a failed write the disk is tried again. */
const RETRY_MS = 1_000

/**
 * Keeps the memory before the cursor within its share (design, "Memory"). Where it cannot go to disk the spans that are
 * furthest ahead leave the feed, and join it again when there is room or nothing of them is left; never the one with the
 * least resolvedTs, which everything waits for.
 */
export class MemoryRelief {
  readonly #parts: MemoryReliefParts
  #trouble: CdcError | undefined
  #retryAt = 0
  #givingUp = false
  /** Spans that left the feed. */
  #left = 0

  constructor(parts: MemoryReliefParts) {
    this.#parts = parts
  }

  /** When memory was taken. Returns when what has to go to disk is there; it may be called by the feed's callbacks. */
  relieve(): void {
    const { spiller, clock } = this.#parts
    const { quota } = spiller
    if (!quota.crowded()) return
    if (this.#trouble !== undefined && clock.monotonic() < this.#retryAt && !quota.exceeded()) return
    try {
      spiller.relieve()
      this.#trouble = undefined
    } catch (error) {
      if (!isOfDisk(error)) throw error
      this.#trouble = error
      this.#retryAt = clock.monotonic() + RETRY_MS
      this.#giveUpSoon()
    }
  }

  /** Now and then: spans join the feed again, the one furthest behind first. */
  rejoin(): void {
    if (this.#left === 0) return
    const outside = this.#sorted().filter(({ subscribed }) => !subscribed)
    this.#left = outside.length
    const { spiller, clock } = this.#parts
    const wait = this.#trouble !== undefined && clock.monotonic() < this.#retryAt
    const hasRoom = !wait && !spiller.quota.crowded() && !spiller.files.halfFull
    const span = hasRoom ? outside[0] : outside.find(({ drained }) => drained)
    if (span === undefined) return
    span.subscribe()
    this.#left--
  }

  /** Not inside of the feed's callback: the feed is about to be changed. */
  #giveUpSoon(): void {
    if (this.#givingUp) return
    this.#givingUp = true
    queueMicrotask(() => {
      this.#givingUp = false
      this.#giveUp()
    })
  }

  #giveUp(): void {
    const { quota } = this.#parts.spiller
    const error = this.#trouble
    if (error === undefined) return
    const before = this.#left
    for (const span of this.#sorted().slice(1).toReversed()) {
      if (!quota.crowded()) break
      if (!span.subscribed) continue
      span.unsubscribe()
      this.#left++
    }
    if (this.#left > before) this.#parts.warn(error)
    if (quota.exceeded()) this.#parts.fail(error)
  }

  /** The one that everything waits for first; of several such ones, one that is in the feed. */
  #sorted(): HoldingSpan[] {
    return [...this.#parts.spans()].toSorted(
      (a, b) => compareTs(a.resolvedTs, b.resolvedTs) || Number(b.subscribed) - Number(a.subscribed),
    )
  }
}

const isOfDisk = (error: unknown): error is CdcError =>
  error instanceof CdcError && (error.code === 'CDC:ErrDiskFull' || error.code === 'CDC:ErrRunFileIO')
