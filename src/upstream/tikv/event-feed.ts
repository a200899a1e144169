import type { Clock } from '../../base/clock.ts'
import { CdcError, errorCode, isAbort } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { backoffMs } from '../../base/retry.ts'
import type { KeyRange } from '../../event/span.ts'
import type { Error as RegionError } from '../../proto/cdcpb.ts'
import type { LockInfo } from '../../proto/kvrpcpb.ts'
import { compareBytes, encodeBytes, prefixNext } from '../../tidb/key.ts'
import { minTs, physicalMs, type Ts, tsOfMs } from '../../tidb/ts.ts'
import type { Peer, PdClient, Region, SecurityOptions } from '../pd/pd.ts'
import type { EventFeed, FeedObserver, FeedSink, FeedState, Subscription } from './feed.ts'
import type { Registration } from './feed-stream.ts'
import { type KvClient, openKvClient, rawKey } from './kv-client.ts'
import { RegionFeed, type RegionRecord } from './region-feed.ts'
import { resolveRegion } from './resolve-locks.ts'
import { StoreFeed } from './store-feed.ts'
import { StoreDirectory } from './stores.ts'
import { FeedSubscription } from './subscription.ts'

export interface EventFeedOptions {
  readonly pd: PdClient
  readonly security: SecurityOptions
  readonly log: Log
  readonly clock: Clock
  /** How many regions a store scans for us at a time; 32 when absent. */
  readonly scanWindow?: number
  readonly observer?: FeedObserver
}

/** Where key spaces end: an empty end key is written so inside of spans (reference: upstream, section 2.3). */
const SPAN_END = new Uint8Array(5).fill(0xff)
const REGIONS_PER_CALL = 1024
const SCAN_WINDOW = 32
const REGION_BACKOFF = { baseMs: 50, capMs: 2_000 }
/** A hole in PD's answer, or a region without leader, is looked at again after this long at least. */
const HOLE_MS = 100
const BUSY_CAP_MS = 600_000
const WATCH_MS = 2_000
/** A resolved-ts that stands still for longer makes us look for locks of dead clients. */
const STUCK_MS = 4_000
const RESOLVE_PAUSE_MS = 10_000
const SLOW_LOG_MS = 30_000
/** A region is slow when its resolved-ts is so old, or its scan. */
const SLOW_MS = 20_000
const SLOW_SCAN_MS = 600_000
const MAX_REMEMBERED = 10_000
/** Regions that read from disk at the same time. */
const JOINS = 4
/** What went wrong with a run file: what lay in it can be had from the store again. */
const UNREADABLE: ReadonlySet<string> = new Set(['CDC:ErrRunFileCorrupted', 'CDC:ErrRunFileIO'])

/** A change stream client; connects to stores when regions need them. */
export function openEventFeed(options: EventFeedOptions): EventFeed {
  return new TikvEventFeed(options)
}

/** Part of a subscription's range that lost its region, or never had one. */
interface LostRange {
  readonly range: KeyRange
  readonly attempt: number
  readonly dueAt: number
}

let lastRequestId = 0

class TikvEventFeed implements EventFeed {
  readonly #options: EventFeedOptions
  readonly #kv: KvClient
  readonly #stores: StoreDirectory
  readonly #storeFeeds = new Map<bigint, StoreFeed>()
  readonly #subscriptions = new Map<FeedSubscription, LostRange[]>()
  /** Regions whose locks were looked at: when, and what was found. */
  readonly #examined = new Map<bigint, { readonly at: number; readonly lock: object | undefined }>()
  readonly #stop = new AbortController()
  #tasks = new Set<Promise<void>>()
  #watching = false
  #joining = 0
  readonly #joinTurns: (() => void)[] = []
  readonly #observed: Disposable | undefined

  constructor(options: EventFeedOptions) {
    this.#options = options
    this.#stores = new StoreDirectory(options.pd, options.clock)
    this.#kv = openKvClient(options)
    this.#observed = options.observer?.opened(() => this.#state())
  }

  subscribe(
    range: KeyRange,
    startTs: Ts,
    sink: FeedSink,
    options: { readonly filterLoop?: boolean } = {},
  ): Subscription {
    this.#stop.signal.throwIfAborted()
    const { keyspace } = this.#options.pd
    const subscription = new FeedSubscription({
      id: ++lastRequestId,
      range: physicalRange(range, keyspace?.prefix),
      keyPrefixLength: keyspace?.prefix.length ?? 0,
      startTs,
      sink,
      filterLoop: options.filterLoop ?? false,
      clock: this.#options.clock,
      onStop: (stopped) => this.#forget(stopped),
      onJoin: (joining, feed) => this.#run(joining, () => this.#join(feed)),
    })
    this.#subscriptions.set(subscription, [])
    this.#run(subscription, () => this.#cover(subscription, subscription.range, 0))
    if (!this.#watching) {
      this.#watching = true
      this.#track(this.#watch())
    }
    return subscription
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new DOMException('event feed closed', 'AbortError'))
    for (const subscription of [...this.#subscriptions.keys()]) subscription[Symbol.dispose]()
    for (const store of this.#storeFeeds.values()) store[Symbol.dispose]()
    this.#observed?.[Symbol.dispose]()
    await Promise.allSettled(this.#tasks)
    await this.#kv[Symbol.asyncDispose]()
  }

  /** Asks PD who holds the range, and registers those regions; what PD cannot tell is asked again later. */
  async #cover(subscription: FeedSubscription, range: KeyRange, attempt: number): Promise<void> {
    let next = range.start
    while (compareBytes(next, range.end) < 0) {
      const from = next
      const regions = await this.#regionsOf(subscription, { start: next, end: range.end })
      for (const region of regions) {
        const part = intersect(subscription.range, region)
        if (part === undefined || compareBytes(part.end, next) <= 0) continue
        if (compareBytes(part.start, next) > 0)
          this.#lose(subscription, { start: next, end: part.start }, attempt, HOLE_MS)
        // The whole region, not the part that was asked for: after a merge two lost ranges share one registration.
        if (region.leader !== undefined) this.#register(subscription, recordOf(region), region.leader, part, attempt)
        else this.#lose(subscription, part, attempt, HOLE_MS)
        next = part.end
      }
      if (next === from) {
        this.#lose(subscription, { start: next, end: range.end }, attempt, HOLE_MS)
        return
      }
    }
  }

  /** In key order; none while PD does not answer, which is no reason to give a subscription up. */
  async #regionsOf(subscription: FeedSubscription, { start, end }: KeyRange): Promise<readonly Region[]> {
    try {
      const regions = await this.#options.pd.scanRegions(start, end, REGIONS_PER_CALL, subscription.signal)
      return compacted(regions.toSorted((a, b) => compareBytes(a.start, b.start)))
    } catch (error) {
      if (subscription.signal.aborted || errorCode(error) === 'CDC:ErrClusterIDMismatch') throw error
      this.#options.log.warn('regions not loaded', { subscription: subscription.id, error })
      return []
    }
  }

  /** Locks a region's part of the range and asks for its changes; waits elsewhere when older regions are in the way. */
  #register(subscription: FeedSubscription, region: RegionRecord, leader: Peer, part: KeyRange, attempt: number): void {
    const result = subscription.lock.lock(part.start, part.end, region.id, region.version)
    switch (result.status) {
      case 'locked': {
        const store = this.#store(leader.storeId)
        const place = { storeId: store.storeId, since: this.#options.clock.monotonic() }
        const feed = new RegionFeed(region, result.hold, subscription, place)
        subscription.feeds.add(feed)
        store.request({ subscription, feed, attempt })
        return
      }
      case 'stale':
        for (const range of result.retry) this.#lose(subscription, range, attempt, 0)
        return
      case 'wait':
        this.#run(subscription, async () => {
          await result.released
          if (!subscription.signal.aborted) this.#register(subscription, region, leader, part, attempt)
        })
        return
      case 'stopped':
    }
  }

  #store(storeId: bigint): StoreFeed {
    let store = this.#storeFeeds.get(storeId)
    if (store === undefined) {
      store = new StoreFeed({
        ...this.#options,
        scanWindow: this.#options.scanWindow ?? SCAN_WINDOW,
        storeId,
        stores: this.#stores,
        signal: this.#stop.signal,
        listener: {
          received: (rows, bytes, readMs, deliverMs) =>
            this.#options.observer?.received(rows, bytes, readMs, deliverMs),
          failed: (registration, error) => this.#failed(registration, error),
          broken: (subscription, error) => this.#broken(subscription, error),
          disconnected: (registrations) => {
            for (const registration of registrations) this.#release(registration, 0)
          },
        },
      })
      this.#storeFeeds.set(storeId, store)
    }
    return store
  }

  /** Reactions to a region's error (reference: upstream, section 7). */
  #failed(registration: Registration, error: RegionError): void {
    const { subscription, feed } = registration
    const regionId = feed.region.id
    const kind = Object.entries(error).find(([, value]) => value !== undefined)?.[0] ?? 'unknown'
    this.#options.observer?.regionError(kind)
    if (error.duplicateRequest !== undefined) {
      subscription.fail(new CdcError('CDC:ErrEventFeedEventError', `duplicate request for region ${regionId}`))
    } else if (error.compatibility !== undefined) {
      const text = `region ${regionId} needs a client of version ${error.compatibility.requiredVersion} at least`
      subscription.fail(new CdcError('CDC:ErrVersionIncompatible', `version is incompatible: ${text}`))
    } else if (error.clusterIdMismatch !== undefined) {
      const { current, request } = error.clusterIdMismatch
      subscription.fail(new CdcError('CDC:ErrClusterIDMismatch', `store is of cluster ${current}, not of ${request}`))
    } else if (error.notLeader?.leader !== undefined && error.notLeader.leader.id !== 0n) {
      this.#follow(registration, { id: error.notLeader.leader.id, storeId: error.notLeader.leader.storeId })
    } else this.#release(registration, Math.min(Number(error.serverIsBusy?.backoffMs ?? 0n), BUSY_CAP_MS))
  }

  /** The region moved to a leader that we were told: no need to ask PD. */
  #follow(registration: Registration, leader: Peer): void {
    const { subscription, feed } = registration
    const { region, hold } = feed
    const attempt = this.#unlock(registration)
    this.#run(subscription, async () => {
      const { baseMs, capMs } = REGION_BACKOFF
      await this.#options.clock.sleep(backoffMs(attempt, baseMs, capMs), subscription.signal)
      this.#register(subscription, region, leader, hold, attempt)
    })
  }

  /** Gives a region's range back to be covered anew. */
  #release(registration: Registration, atLeastMs: number): void {
    const { subscription, feed } = registration
    if (subscription.signal.aborted) return
    this.#lose(subscription, feed.hold, this.#unlock(registration) - 1, atLeastMs)
  }

  /** Ends a registration; returns which failure in a row that was. */
  #unlock({ subscription, feed, attempt }: Registration): number {
    feed.close()
    subscription.feeds.delete(feed)
    subscription.lock.unlock(feed.hold)
    return feed.initialized ? 1 : attempt + 1
  }

  /** Remembers a range without region; neighbours that are due together are asked for together. */
  #lose(subscription: FeedSubscription, range: KeyRange, attempt: number, atLeastMs: number): void {
    const lost = this.#subscriptions.get(subscription)
    if (lost === undefined) return
    const { clock } = this.#options
    const pauseMs = Math.max(atLeastMs, backoffMs(attempt + 1, REGION_BACKOFF.baseMs, REGION_BACKOFF.capMs))
    const dueAt = clock.monotonic() + pauseMs
    lost.push({ range: { start: range.start, end: range.end }, attempt: attempt + 1, dueAt })
    this.#run(subscription, async () => {
      await clock.sleep(pauseMs, subscription.signal)
      // Whoever wakes first takes all that is due soon.
      const due = takeDue(lost, dueAt + REGION_BACKOFF.baseMs)
      for (const [run, runAttempt] of due) await this.#cover(subscription, run, runAttempt)
    })
  }

  /** Lets a few regions at a time read what they have on disk. */
  async #join(feed: RegionFeed): Promise<void> {
    while (this.#joining >= JOINS) await new Promise<void>((resolve) => this.#joinTurns.push(resolve))
    this.#joining++
    try {
      await feed.join()
    } catch (error) {
      if (!UNREADABLE.has(errorCode(error))) throw error
      // The store sends everything above the region's resolved-ts again.
      this.#options.log.warn('rows of a region cannot be read from disk', { region: feed.region.id, error })
      this.#storeFeeds.get(feed.storeId)?.restart(error instanceof Error ? error : new Error(String(error)))
    } finally {
      this.#joining--
      this.#joinTurns.shift()?.()
    }
  }

  #broken(subscription: FeedSubscription, error: unknown): void {
    subscription.fail(
      error instanceof CdcError
        ? error
        : new CdcError('CDC:ErrTiKVEventFeed', 'the change stream cannot be read', { cause: error }),
    )
  }

  #forget(subscription: FeedSubscription): void {
    this.#subscriptions.delete(subscription)
    for (const store of this.#storeFeeds.values()) store.forget(subscription)
    for (const feed of subscription.feeds) feed.close()
    subscription.feeds.clear()
  }

  /** Every two seconds: idle connections, stuck locks, slow regions. */
  async #watch(): Promise<void> {
    const { clock, log } = this.#options
    const signal = this.#stop.signal
    let loggedAt = clock.monotonic()
    while (!signal.aborted) {
      try {
        await clock.sleep(WATCH_MS, signal)
        for (const store of this.#storeFeeds.values()) store.closeIdle()
        const now = clock.monotonic()
        const stuck = [...this.#subscriptions.keys()].filter((one) => now - one.advancedAt >= STUCK_MS)
        if (stuck.length === 0) continue
        const currentTs = await this.#options.pd.tso(signal)
        if (now - loggedAt >= SLOW_LOG_MS) {
          loggedAt = now
          for (const subscription of stuck) this.#logSlow(subscription, currentTs)
        }
        for (const subscription of stuck) await this.#resolveStuck(subscription, currentTs, signal)
      } catch (error) {
        if (signal.aborted) return
        log.warn('stuck regions not examined', { error })
      }
    }
  }

  async #resolveStuck(subscription: FeedSubscription, currentTs: Ts, signal: AbortSignal): Promise<void> {
    const resolvedMs = physicalMs(subscription.lock.resolvedTs())
    if (physicalMs(currentTs) - resolvedMs < STUCK_MS) return
    const target = minTs(currentTs, tsOfMs(resolvedMs + STUCK_MS))
    for (const feed of [...subscription.feeds]) {
      if (!feed.initialized || feed.hold.ts >= target || feed.hold.dead) continue
      const now = this.#options.clock.monotonic()
      const { region, storeId } = feed
      if (now - (this.#examined.get(region.id)?.at ?? -Infinity) < RESOLVE_PAUSE_MS) continue
      this.#examined.set(region.id, { at: now, lock: this.#examined.get(region.id)?.lock })
      try {
        const range = { start: rawKey(region.start), end: rawKey(region.end) }
        const { count, oldest } = await resolveRegion(this.#kv, range, target, signal)
        const lock = oldest && summaryOf(oldest)
        this.#examined.set(region.id, { at: now, lock })
        const fields = { region: region.id, store: storeId, resolvedTs: feed.hold.ts, locks: count, lock }
        this.#options.log.info('locks of a slow region examined', fields)
      } catch (error) {
        if (signal.aborted) throw error
        this.#options.log.warn('locks of a slow region not resolved', { region: region.id, store: storeId, error })
      }
    }
    if (this.#examined.size > MAX_REMEMBERED) this.#examined.clear()
  }

  #state(): FeedState {
    const { clock } = this.#options
    let [slowRegions, slowScans, uncovered, bytes] = [0, 0, 0, 0]
    let least: Ts | undefined
    for (const subscription of this.#subscriptions.keys()) {
      bytes += subscription.bytes
      uncovered += subscription.lock.uncovered
      for (const feed of subscription.feeds) {
        if (!feed.initialized) slowScans += clock.monotonic() - feed.since > SLOW_SCAN_MS ? 1 : 0
        else if (this.#lagMs(feed.hold.ts) > SLOW_MS) slowRegions++
        if (least === undefined || feed.hold.ts < least) least = feed.hold.ts
      }
    }
    const slowestLagMs = least === undefined ? 0 : this.#lagMs(least)
    const stores = [...this.#storeFeeds.values()].map((store) => store.state)
    return { stores, slowRegions, slowScans, slowestLagMs, uncovered, bytes }
  }

  #lagMs(ts: Ts): number {
    return Math.max(0, this.#options.clock.now() - physicalMs(ts))
  }

  /** Names the region that holds a span back, with its store and the lock that was found in it. */
  #logSlow(subscription: FeedSubscription, currentTs: Ts): void {
    const now = this.#options.clock.monotonic()
    const resolvedTs = subscription.lock.resolvedTs()
    const lagMs = physicalMs(currentTs) - physicalMs(resolvedTs)
    const slowest = [...subscription.feeds].find((feed) => feed.hold.ts === resolvedTs)
    if (lagMs < SLOW_MS || (slowest?.initialized === false && now - slowest.since < SLOW_SCAN_MS)) return
    this.#options.log.warn('a span does not advance', {
      subscription: subscription.id,
      resolvedTs,
      lagMs,
      uncovered: subscription.lock.uncovered,
      region: slowest?.region.id,
      store: slowest?.storeId,
      scanning: slowest?.initialized === false,
      lock: slowest && this.#examined.get(slowest.region.id)?.lock,
    })
  }

  /** Runs a subscription's task; what it throws is fatal for the subscription. */
  #run(subscription: FeedSubscription, work: () => Promise<void>): void {
    const guarded = async (): Promise<void> => {
      try {
        await work()
      } catch (error) {
        if (subscription.signal.aborted || isAbort(error)) return
        this.#broken(subscription, error)
      }
    }
    this.#track(guarded())
  }

  #track(task: Promise<void>): void {
    this.#tasks.add(task)
    void task.finally(() => this.#tasks.delete(task))
  }
}

/** A lock without its key, which has a user's values in it. */
function summaryOf({ lockVersion, lockTtl, lockType, txnSize, minCommitTs, useAsyncCommit }: LockInfo): object {
  return { startTs: lockVersion, ttlMs: lockTtl, type: lockType, txnSize, minCommitTs, useAsyncCommit }
}

/** With keys of their own instead of views into PD's answer; neighbours share a boundary. */
function compacted(regions: readonly Region[]): readonly Region[] {
  let last: Uint8Array = new Uint8Array()
  return regions.map((region) => {
    const start = compareBytes(region.start, last) === 0 ? last : new Uint8Array(region.start)
    last = new Uint8Array(region.end)
    return { ...region, start, end: last }
  })
}

/** Without what is only of use before the registration. */
const recordOf = ({ id, confVer, version, start, end }: Region): RegionRecord => ({ id, confVer, version, start, end })

/** With the prefix of the keyspace inside of the encoded keys, and an end that is no longer empty. */
function physicalRange({ start, end }: KeyRange, prefix: Uint8Array | undefined): KeyRange {
  if (prefix === undefined) return { start, end: end.length === 0 ? SPAN_END : end }
  const physical = (key: Uint8Array): Uint8Array => encodeBytes(Buffer.concat([prefix, rawKey(key)]))
  return { start: physical(start), end: end.length === 0 ? encodeBytes(prefixNext(prefix)) : physical(end) }
}

/** The part of a range that a region holds; undefined where it holds none. */
function intersect(range: KeyRange, region: Region): KeyRange | undefined {
  const start = compareBytes(region.start, range.start) > 0 ? region.start : range.start
  const end = region.end.length === 0 || compareBytes(region.end, range.end) > 0 ? range.end : region.end
  return compareBytes(start, end) < 0 ? { start, end } : undefined
}

/** Takes out what is due, as runs of neighbouring ranges with their highest attempt. */
function takeDue(lost: LostRange[], until: number): [KeyRange, number][] {
  const due = lost.filter((one) => one.dueAt <= until)
  lost.splice(0, lost.length, ...lost.filter((one) => one.dueAt > until))
  const runs: [KeyRange, number][] = []
  for (const { range, attempt } of due.toSorted((a, b) => compareBytes(a.range.start, b.range.start))) {
    const last = runs.at(-1)
    if (last !== undefined && compareBytes(last[0].end, range.start) === 0) {
      runs[runs.length - 1] = [{ start: last[0].start, end: range.end }, Math.max(last[1], attempt)]
    } else runs.push([range, attempt])
  }
  return runs
}
