import type { KeyRange } from '../../event/span.ts'
import { compareBytes } from '../../tidb/key.ts'
import { minTs, maxTs, type Ts } from '../../tidb/ts.ts'

/** A piece of a span: locked by one region's subscription, or uncovered for the moment. */
class Segment implements KeyRange {
  readonly start: Uint8Array
  readonly end: Uint8Array
  /** Only grows. */
  ts: Ts
  dead = false
  /** undefined = nobody covers this piece. */
  readonly owner: { readonly regionId: bigint; readonly version: bigint } | undefined
  #released: PromiseWithResolvers<void> | undefined

  constructor(start: Uint8Array, end: Uint8Array, ts: Ts, owner?: Segment['owner']) {
    this.start = start
    this.end = end
    this.ts = ts
    this.owner = owner
  }

  get released(): Promise<void> {
    this.#released ??= Promise.withResolvers()
    return this.#released.promise
  }

  die(): void {
    this.dead = true
    this.#released?.resolve()
  }
}

/** A locked range: its holder raises `ts` to the region's resolved-ts, and gives it back with `unlock`. */
export type RangeHold = Segment

export type LockResult =
  | { readonly status: 'locked'; readonly hold: RangeHold }
  /** A region that is as new or newer holds a part; `retry` are the parts that nobody holds. */
  | { readonly status: 'stale'; readonly retry: readonly KeyRange[] }
  /** Older regions hold parts: try again when they are gone. */
  | { readonly status: 'wait'; readonly released: Promise<unknown> }
  | { readonly status: 'stopped' }

/**
 * Who covers which part of a span, and how far each part is. Every key of the span lies in exactly one segment, so the
 * minimum over the segments is the span's resolved-ts, and no two subscriptions of a key are ever alive together.
 * (reference: upstream, section 6.3)
 */
export class RangeLock {
  /** In key order, without gaps. */
  readonly #segments: Segment[]
  readonly #byRegion = new Map<bigint, RangeHold>()
  /** The last known minimum; out of date once it has died or got further than `#leastTs`. */
  #least: Segment | undefined
  #leastTs = maxTs
  #stopped = false

  constructor(span: KeyRange, startTs: Ts) {
    this.#segments = []
    this.#replace(0, 0, [new Segment(span.start, span.end, startTs)])
  }

  /** Pieces of the span: held and uncovered ones. */
  get size(): number {
    return this.#segments.length
  }

  /** Pieces that nobody holds. */
  get uncovered(): number {
    return this.#segments.length - this.#byRegion.size
  }

  holds(): Iterable<RangeHold> {
    return this.#byRegion.values()
  }

  lock(start: Uint8Array, end: Uint8Array, regionId: bigint, version: bigint): LockResult {
    if (this.#stopped) return { status: 'stopped' }
    const from = this.#indexOf(start)
    let to = from
    for (let next = this.#segments[to]; next !== undefined && compareBytes(next.start, end) < 0;)
      next = this.#segments[++to]
    const touched = this.#segments.slice(from, to)
    const held = touched.filter((segment) => segment.owner !== undefined)
    const same = this.#byRegion.get(regionId)
    const inTheWay = same === undefined || held.includes(same) ? held : [...held, same]
    const [first] = touched
    const last = touched.at(-1)
    if (first === undefined || last === undefined) throw new RangeError('range lies outside of the span')
    if (inTheWay.length > 0) {
      if (inTheWay.every((segment) => segment.owner !== undefined && segment.owner.version < version)) {
        return { status: 'wait', released: Promise.all(inTheWay.map((segment) => segment.released)) }
      }
      return { status: 'stale', retry: gapsOf(start, end, held) }
    }
    const ts = touched.reduce((least, segment) => minTs(least, segment.ts), maxTs)
    const hold = new Segment(start, end, ts, { regionId, version })
    const fresh = [hold]
    if (compareBytes(first.start, start) < 0) fresh.unshift(new Segment(first.start, start, first.ts))
    if (compareBytes(end, last.end) < 0) fresh.push(new Segment(end, last.end, last.ts))
    this.#replace(from, touched.length, fresh)
    this.#byRegion.set(regionId, hold)
    return { status: 'locked', hold }
  }

  /** Leaves the range uncovered at `ts`, and wakes those that wait for it. */
  unlock(hold: RangeHold, ts: Ts = hold.ts): void {
    const at = this.#indexOf(hold.start)
    if (this.#segments[at] !== hold || hold.owner === undefined)
      throw new RangeError('range is not locked by this hold')
    this.#byRegion.delete(hold.owner.regionId)
    this.#replace(at, 1, [new Segment(hold.start, hold.end, ts)])
  }

  /**
   * The least ts of all segments. Raising one costs nothing; the question costs a look at all of them, but only when the
   * slowest one moved since the last, so twenty questions a second over 100,000 regions take some 2 % of a core.
   */
  resolvedTs(): Ts {
    if (this.#least === undefined || this.#least.dead || this.#least.ts !== this.#leastTs) {
      this.#leastTs = maxTs
      this.#least = undefined
      for (const segment of this.#segments) this.#consider(segment)
    }
    return this.#leastTs
  }

  /** Refuses new locks from now on. */
  stop(): void {
    this.#stopped = true
    for (const segment of this.#segments) segment.die()
  }

  /** Index of the segment that holds a key; the first one for a key before the span. */
  #indexOf(key: Uint8Array): number {
    let low = 0
    let high = this.#segments.length
    while (low < high) {
      const middle = (low + high) >> 1
      const segment = this.#segments[middle]
      if (segment !== undefined && compareBytes(segment.start, key) <= 0) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }

  #replace(at: number, count: number, fresh: Segment[]): void {
    for (const old of this.#segments.splice(at, count, ...fresh)) old.die()
    for (const segment of fresh) this.#consider(segment)
  }

  #consider(segment: Segment): void {
    if (this.#least !== undefined && segment.ts >= this.#leastTs) return
    this.#least = segment
    this.#leastTs = segment.ts
  }
}

/** The parts of `[start, end)` outside of `held`, which is in key order. */
function gapsOf(start: Uint8Array, end: Uint8Array, held: readonly KeyRange[]): KeyRange[] {
  const gaps: KeyRange[] = []
  let next = start
  for (const range of held) {
    if (compareBytes(next, range.start) < 0) gaps.push({ start: next, end: range.start })
    if (compareBytes(next, range.end) < 0) next = range.end
  }
  if (compareBytes(next, end) < 0) gaps.push({ start: next, end })
  return gaps
}
