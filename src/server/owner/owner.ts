import { CdcError, describeError, type ErrorCode, errorCode } from '../../base/errors.ts'
import { retry } from '../../base/retry.ts'
import { Wakeup } from '../../base/wakeup.ts'
import type { ChangefeedProgress } from '../../changefeed/control.ts'
import { checkReplicaConfig } from '../../config/check-replica-config.ts'
import type { ReplicaConfig } from '../../config/replica-config.ts'
import { type ChangefeedId, changefeedKey } from '../../event/changefeed.ts'
import { createFilter, type Filter } from '../../filter/filter.ts'
import { minTs, physicalMs, previousTs, type Ts, tsOfMs } from '../../tidb/ts.ts'
import type { Leadership } from '../etcd/election.ts'
import type { Etcd, EtcdCompare, EtcdEntry, EtcdOp } from '../etcd/etcd.ts'
import { createServiceSafePoint, gcError, type ServiceSafePoint } from '../gc/service-safe-point.ts'
import type { RunningError } from '../handle.ts'
import { type ClusterKeys, parseClusterKey } from '../store/keys.ts'
import {
  changedInfo,
  type ChangefeedInfo,
  type ChangefeedInfoChange,
  type ChangefeedStatus,
  formatStatus,
  goTime,
  parseChangefeedInfo,
  parseStatus,
} from '../store/values.ts'
import {
  adoptFeedState,
  blocksGc,
  type FeedClock,
  type FeedInput,
  type FeedState,
  isRunning,
  nextFeedState,
} from './feed-state.ts'
import type { Feed, FeedPlan } from './feed.ts'
import { type FeedEnvironment, runFeed } from './run-feed.ts'

export interface OwnerParts {
  readonly etcd: Etcd
  readonly keys: ClusterKeys
  readonly clusterId: string
  readonly etcdClusterId: bigint
  readonly leadership: Leadership
  readonly captureId: string
  readonly gcTtlSeconds: number
  readonly environment: FeedEnvironment
}

const TICK_MS = 500
const GC_INTERVAL_MS = 60_000
const GC_RETRY_MS = 1000

/**
 * The capture that decides. It keeps every changefeed in memory as etcd has it, runs those whose state says so, and
 * writes only by transactions that fail once its own election key is gone.
 */
export class Owner {
  readonly #parts: OwnerParts
  readonly #feeds = new Map<string, Feed>()
  /** Runs of changefeeds that are gone, until they have ended: a new one of the same name waits for that. */
  readonly #ending = new Map<string, Promise<void>>()
  readonly #loaded = Promise.withResolvers<void>()
  readonly #gcWakeup = new Wakeup()
  readonly safePoint: ServiceSafePoint
  #gc: { readonly ownTs: Ts; readonly leastTs: Ts } | undefined
  #signal: AbortSignal = new AbortController().signal

  constructor(parts: OwnerParts) {
    this.#parts = parts
    this.#loaded.promise.catch(() => {})
    const { clusterId, etcdClusterId, gcTtlSeconds, environment } = parts
    this.safePoint = createServiceSafePoint(environment.pd, { clusterId, etcdClusterId, ttlSeconds: gcTtlSeconds })
  }

  /** Resolves when every stored changefeed is known. */
  get loaded(): Promise<void> {
    return this.#loaded.promise
  }

  /** Runs until the signal is aborted, or rejects with what ended the ownership; then no changefeed runs any more. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = new AbortController()
    this.#signal = AbortSignal.any([signal, stop.signal])
    const loops = [this.#watch(), this.#tick(), this.#holdGc()]
    try {
      await Promise.race(loops)
    } finally {
      stop.abort()
      this.#loaded.reject(notOwner())
      await Promise.allSettled([...loops, ...[...this.#feeds.values()].map((feed) => this.#stopRun(feed))])
    }
  }

  feeds(): readonly Feed[] {
    return [...this.#feeds.values()].filter((feed) => !feed.gone)
  }

  /** Error: `CDC:ErrChangeFeedNotExists`. */
  feed(id: ChangefeedId): Feed {
    const feed = this.#feeds.get(changefeedKey(id))
    if (feed !== undefined && !feed.gone) return feed
    throw new CdcError('CDC:ErrChangeFeedNotExists', `changefeed not exists, ${changefeedKey(id)}`)
  }

  has(id: ChangefeedId): boolean {
    return this.#feeds.get(changefeedKey(id))?.gone === false
  }

  /** Stores a new changefeed; error: `DFLOW:ErrMetaOpFailed` where somebody else was quicker. */
  async create(
    id: ChangefeedId,
    info: string,
    upstream: { readonly key: string; readonly value: string },
  ): Promise<Feed> {
    const { etcd, keys } = this.#parts
    const known = await etcd.get(upstream.key, this.#signal)
    const conditions = [
      this.#ownerCondition(),
      { key: upstream.key, modRevision: known?.modRevision ?? 0n },
      { key: keys.info(id), modRevision: 0n },
      { key: keys.status(id), modRevision: 0n },
    ]
    const operations = [{ put: keys.info(id), value: info }]
    if (known?.value !== upstream.value) operations.push({ put: upstream.key, value: upstream.value })
    const { succeeded } = await etcd.txn(conditions, operations, { repeatable: false }, this.#signal)
    if (!succeeded) {
      await this.#assertOwner()
      throw new CdcError(
        'DFLOW:ErrMetaOpFailed',
        `unexpected meta operation failure: Create changefeed ${changefeedKey(id)}`,
      )
    }
    const stored = await etcd.get(keys.info(id), this.#signal)
    if (stored === undefined)
      throw new CdcError('CDC:ErrChangeFeedNotExists', `changefeed not exists, ${changefeedKey(id)}`)
    const adopted = this.#feeds.get(changefeedKey(id))
    if (adopted === undefined || adopted.infoRevision < stored.modRevision) this.#adopt(id, stored, undefined)
    this.#gcWakeup.notify()
    return this.feed(id)
  }

  /** Gives the state machine an input; resolves when what follows is stored, and with the state then. */
  dispatch(feed: Feed, input: FeedInput, status?: ChangefeedStatus): Promise<FeedState> {
    return this.#change(feed, () => ({ state: nextFeedState(feed.state, input, this.#feedClock(feed)), status }))
  }

  /** Changes what a stopped changefeed is; `decide` sees the info that it applies to. */
  update(feed: Feed, decide: (info: ChangefeedInfo) => ChangefeedInfoChange): Promise<FeedState> {
    return this.#change(feed, () => ({ state: feed.state, change: decide(feed.info) }))
  }

  /** Stops a changefeed and deletes it from etcd. */
  async remove(feed: Feed): Promise<void> {
    const { etcd, keys, captureId, environment } = this.#parts
    const id = feed.info.changefeed
    feed.gone = true
    try {
      await this.#stopRun(feed)
      const operations = [
        { delete: keys.info(id) },
        { delete: keys.status(id) },
        { delete: keys.position(captureId, id) },
      ]
      const { succeeded } = await etcd.txn([this.#ownerCondition()], operations, { repeatable: true }, this.#signal)
      if (!succeeded) throw notOwner()
    } catch (error) {
      feed.gone = false
      this.#reconcile(feed)
      throw error
    }
    this.#feeds.delete(changefeedKey(id))
    environment.sinkMemories.forget(id)
    this.#gcWakeup.notify()
    environment.log.info('changefeed was removed', { changefeed: changefeedKey(id) })
    try {
      await this.safePoint.release(['creating', 'resuming', 'initializing'], id, this.#signal)
    } catch (error) {
      environment.log.warn('temporary gc safe points are left, they end by themselves', {
        changefeed: changefeedKey(id),
        error,
      })
    }
  }

  runningError(code: string, message: string): RunningError {
    const { clock, captureAddress } = this.#parts.environment
    return { time: goTime(clock.now()), addr: captureAddress, code, message }
  }

  /** Etcd as it is and as it becomes; what this owner writes itself comes back here and is known already. */
  async #watch(): Promise<void> {
    const { etcd, keys, leadership, environment } = this.#parts
    await etcd.txn(
      [{ key: keys.metaVersion, createRevision: 0n }],
      [{ put: keys.metaVersion, value: '1' }],
      { repeatable: true },
      this.#signal,
    )
    for await (const event of etcd.watch(keys.all, this.#signal)) {
      if (event.type === 'snapshot') {
        if (!event.entries.some(({ key }) => key === leadership.key)) throw notOwner()
        await this.#load(event.entries)
        this.#loaded.resolve()
        continue
      }
      for (const { key, entry, revision } of event.changes) {
        if (entry === undefined && key === leadership.key) throw notOwner()
        const parsed = parseClusterKey(keys, key)
        if (parsed.kind !== 'info') continue
        const feed = this.#feeds.get(changefeedKey(parsed.changefeed))
        if (entry !== undefined) this.#reloadLater(parsed.changefeed, feed, entry)
        else if (feed !== undefined && !feed.gone && revision > feed.infoRevision) {
          environment.log.warn('changefeed was deleted from etcd', { changefeed: changefeedKey(parsed.changefeed) })
          await this.#forget(feed)
        }
      }
    }
    this.#signal.throwIfAborted()
  }

  async #load(entries: readonly EtcdEntry[]): Promise<void> {
    const { keys } = this.#parts
    const statuses = new Map(entries.map((entry) => [entry.key, entry]))
    const seen = new Set<string>()
    for (const entry of entries) {
      const parsed = parseClusterKey(keys, entry.key)
      if (parsed.kind !== 'info') continue
      seen.add(changefeedKey(parsed.changefeed))
      const known = this.#feeds.get(changefeedKey(parsed.changefeed))
      if (known !== undefined && known.infoRevision >= entry.modRevision) continue
      this.#adopt(parsed.changefeed, entry, statuses.get(keys.status(parsed.changefeed)))
    }
    const gone = [...this.#feeds].filter(([key]) => !seen.has(key))
    await Promise.all(gone.map(([, feed]) => this.#forget(feed)))
  }

  /** A change that etcd tells of may be one of our own that is under way: it is looked at when that is done. */
  #reloadLater(id: ChangefeedId, feed: Feed | undefined, entry: EtcdEntry): void {
    const reload = async (): Promise<void> => {
      const known = this.#feeds.get(changefeedKey(id))
      if (known === undefined || entry.modRevision > known.infoRevision) await this.#reload(id, entry)
    }
    const { log } = this.#parts.environment
    const work = (feed?.queue ?? Promise.resolve()).then(reload).catch((error: unknown) => {
      if (!this.#signal.aborted)
        log.error('a changed changefeed could not be read', { changefeed: changefeedKey(id), error })
    })
    if (feed !== undefined) feed.queue = work
  }

  async #reload(id: ChangefeedId, entry: EtcdEntry): Promise<void> {
    const { etcd, keys } = this.#parts
    const known = this.#feeds.get(changefeedKey(id))
    const status = await etcd.get(keys.status(id), this.#signal)
    // A change of our own may have been stored meanwhile.
    if (known === undefined || entry.modRevision > known.infoRevision) this.#adopt(id, entry, status)
  }

  /** Takes up what etcd says about a changefeed, and runs or stops it accordingly. */
  #adopt(id: ChangefeedId, entry: EtcdEntry, statusEntry: EtcdEntry | undefined): void {
    const { clock, log } = this.#parts.environment
    const known = this.#feeds.get(changefeedKey(id))
    let info: ChangefeedInfo
    try {
      info = parseChangefeedInfo(entry.value, id)
    } catch (error) {
      log.error('a stored changefeed cannot be read, it is left alone', { changefeed: changefeedKey(id), error })
      return
    }
    const fresh = { checkpointTs: info.startTs, minTableBarrierTs: info.startTs }
    const status = statusEntry === undefined ? (known?.status ?? fresh) : parseStatus(statusEntry.value)
    const state = adoptFeedState(info, status.checkpointTs, clock.monotonic())
    const plan = planOf(info)
    if (plan instanceof Error)
      log.warn('a stored changefeed is not run', { changefeed: changefeedKey(id), error: describeError(plan) })
    const revisions = { infoRevision: entry.modRevision, infoCreateRevision: entry.createRevision }
    if (known !== undefined) {
      Object.assign(known, { info, status, state, plan, ...revisions })
      this.#reconcile(known)
      return
    }
    const feed: Feed = {
      info,
      status,
      state,
      plan,
      ...revisions,
      progress: undefined,
      run: undefined,
      queue: Promise.resolve(),
      changing: false,
      gone: false,
    }
    this.#feeds.set(changefeedKey(id), feed)
    this.#reconcile(feed)
  }

  async #forget(feed: Feed): Promise<void> {
    const key = changefeedKey(feed.info.changefeed)
    feed.gone = true
    this.#feeds.delete(key)
    const ended = this.#stopRun(feed)
    this.#ending.set(key, ended)
    await ended
    if (this.#ending.get(key) === ended) this.#ending.delete(key)
  }

  /** Starts or ends the run so that it is what the state says; a run of another epoch is ended first. */
  #reconcile(feed: Feed): void {
    if (feed.changing) return
    const { epoch, state } = feed.state
    const plan = isRunning(state) && !feed.gone && !this.#signal.aborted ? feed.plan : undefined
    const wanted = plan instanceof Error ? undefined : plan
    if (feed.run !== undefined && (wanted === undefined || feed.run.epoch !== epoch))
      void this.#stopRun(feed).then(() => this.#reconcile(feed))
    else if (feed.run === undefined && wanted !== undefined) this.#start(feed, wanted)
  }

  #start(feed: Feed, plan: FeedPlan): void {
    const abort = new AbortController()
    const signal = AbortSignal.any([this.#signal, abort.signal])
    const { epoch } = feed.state
    const done = this.#run(feed, plan, epoch, signal)
    feed.run = { epoch, abort, done, commands: undefined }
  }

  /** One run, from start to its outcome in the state machine; never rejects. */
  async #run(feed: Feed, plan: FeedPlan, epoch: bigint, signal: AbortSignal): Promise<void> {
    const { environment } = this.#parts
    const changefeed = changefeedKey(feed.info.changefeed)
    const stillMine = (): boolean => !signal.aborted && feed.state.epoch === epoch
    let input: FeedInput
    try {
      await this.#ending.get(changefeed)
      await this.#loadStatus(feed, signal)
      await runFeed(
        {
          info: feed.info,
          plan,
          run: nextRun++,
          status: feed.status,
          store: {
            save: (checkpointTs, minTableBarrierTs, saveSignal) =>
              this.#saveStatus(feed, { checkpointTs, minTableBarrierTs }, saveSignal),
          },
          safePoint: this.safePoint,
          onHeld: (heldSignal) => this.#held(feed, heldSignal),
          onRunning: (commands) => {
            if (feed.run?.epoch === epoch) feed.run.commands = commands
          },
          onProgress: (progress) => this.#onProgress(feed, epoch, progress),
          onWarning: (code, message) => {
            if (stillMine())
              void this.#dispatchSafely(feed, { type: 'warning', warning: this.runningError(code, message) })
          },
        },
        environment,
        signal,
      )
      environment.log.info('changefeed has reached its target-ts', { changefeed })
      input = { type: 'finish' }
    } catch (error) {
      if (signal.aborted) return
      environment.log.error('changefeed stopped', { changefeed, error })
      input = { type: 'error', error: this.runningError(codeForState(error), describeError(error)) }
    }
    // Not awaited: the change waits for this run's end.
    if (stillMine()) void this.#dispatchSafely(feed, input)
  }

  #onProgress(feed: Feed, epoch: bigint, progress: ChangefeedProgress): void {
    if (feed.state.epoch !== epoch) return
    feed.progress = progress
    const { checkpointTs, resolvedTs } = progress
    const input = { type: 'progress', checkpointTs, resolvedTs } as const
    const next = nextFeedState(feed.state, input, this.#feedClock(feed))
    if (isStoredAlike(next, feed.state)) feed.state = next
    else void this.#dispatchSafely(feed, input)
  }

  /** Ends the run under way, and waits until nothing of it is left. */
  async #stopRun(feed: Feed): Promise<void> {
    const { run } = feed
    if (run === undefined) return
    run.abort.abort()
    await run.done
    if (feed.run !== run) return
    feed.run = undefined
    feed.progress = undefined
  }

  /** For what nobody waits for: goes on trying as long as this capture is the owner and the changefeed is there. */
  async #dispatchSafely(feed: Feed, input: FeedInput): Promise<void> {
    const { clock, log } = this.#parts.environment
    const changefeed = changefeedKey(feed.info.changefeed)
    const onRetry = (error: unknown): void =>
      log.warn('state of a changefeed could not be stored', { changefeed, input: input.type, error })
    const policy = { baseMs: 200, capMs: 3000, retryable: () => !feed.gone, onRetry }
    try {
      await retry(() => this.dispatch(feed, input), policy, clock, this.#signal)
    } catch (error) {
      if (!this.#signal.aborted && !feed.gone) log.error('changefeed is left as it is', { changefeed, error })
    }
  }

  /** Decides and stores, one change of a changefeed after the other; tries again where etcd had something newer. */
  #change(feed: Feed, decide: () => FeedChange): Promise<FeedState> {
    const work = feed.queue.then(async () => {
      for (;;) {
        this.#signal.throwIfAborted()
        if (feed.gone)
          throw new CdcError(
            'CDC:ErrChangeFeedNotExists',
            `changefeed not exists, ${changefeedKey(feed.info.changefeed)}`,
          )
        const before = feed.state
        const { state, change, status } = decide()
        if (state === before && change === undefined) return state
        if (isStoredAlike(state, before) && change === undefined) {
          feed.state = state
          return state
        }
        if (await this.#store(feed, state, change ?? {}, status)) return feed.state
      }
    })
    feed.queue = work.catch(() => {})
    return work
  }

  /** False where etcd had a newer info, which is adopted. A new epoch is stored when the run of the old one has ended. */
  async #store(
    feed: Feed,
    state: FeedState,
    change: ChangefeedInfoChange,
    status: ChangefeedStatus | undefined,
  ): Promise<boolean> {
    feed.changing = true
    try {
      if (state.epoch !== feed.state.epoch) await this.#stopRun(feed)
      const { state: name, adminJob, error, warning, epoch } = state
      const text = changedInfo(feed.info, { ...change, state: name, adminJob, error, warning, epoch })
      const revision = await this.#putInfo(feed, text, status)
      if (revision === undefined) return false
      const { changefeed } = feed.info
      const fields = { changefeed: changefeedKey(changefeed), from: feed.state.state, to: name, error: error?.message }
      if (name !== feed.state.state) this.#parts.environment.log.info('changefeed changes its state', fields)
      feed.info = parseChangefeedInfo(text, changefeed)
      feed.infoRevision = revision
      // Progress may have been seen while the transaction was under way.
      const { checkpointTs, advancedAt } = feed.state
      const advanced = status === undefined && checkpointTs > state.checkpointTs
      feed.state = advanced ? { ...state, checkpointTs, advancedAt } : state
      if (status !== undefined) feed.status = status
      if (Object.keys(change).length > 0) feed.plan = planOf(feed.info)
      return true
    } finally {
      feed.changing = false
      this.#reconcile(feed)
    }
  }

  /** The revision of the info stored; undefined where etcd had a newer one, which is adopted. */
  async #putInfo(feed: Feed, text: string, status: ChangefeedStatus | undefined): Promise<bigint | undefined> {
    const { etcd, keys } = this.#parts
    const id = feed.info.changefeed
    const key = keys.info(id)
    const conditions: EtcdCompare[] = [this.#ownerCondition(), { key, modRevision: feed.infoRevision }]
    const operations: EtcdOp[] = [{ put: key, value: text }]
    if (status !== undefined) operations.push({ put: keys.status(id), value: formatStatus(status) })
    const { succeeded, revision } = await etcd.txn(conditions, operations, { repeatable: true }, this.#signal)
    if (succeeded) return revision
    await this.#assertOwner()
    const entry = await etcd.get(key, this.#signal)
    if (entry === undefined) await this.#forget(feed)
    else if (entry.modRevision > feed.infoRevision) await this.#reload(id, entry)
    return undefined
  }

  /** The last run may have stored more than it heard of: a checkpoint never goes back. */
  async #loadStatus(feed: Feed, signal: AbortSignal): Promise<void> {
    const { etcd, keys } = this.#parts
    const stored = await etcd.get(keys.status(feed.info.changefeed), signal)
    if (stored === undefined) await this.#saveStatus(feed, feed.status, signal)
    else feed.status = parseStatus(stored.value)
  }

  async #saveStatus(feed: Feed, status: ChangefeedStatus, signal: AbortSignal): Promise<void> {
    const { etcd, keys } = this.#parts
    const id = feed.info.changefeed
    const exists = { key: keys.info(id), createRevision: feed.infoCreateRevision }
    const put = { put: keys.status(id), value: formatStatus(status) }
    const { succeeded } = await etcd.txn([this.#ownerCondition(), exists], [put], { repeatable: true }, signal)
    if (!succeeded) {
      await this.#assertOwner()
      throw new CdcError('CDC:ErrChangeFeedNotExists', `changefeed not exists, ${changefeedKey(id)}`)
    }
    feed.status = status
  }

  /** Time passes for the state machines, and garbage collection may have taken a changefeed's data. */
  async #tick(): Promise<void> {
    const { clock } = this.#parts.environment
    for (;;) {
      await clock.sleep(TICK_MS, this.#signal)
      for (const feed of this.feeds()) {
        if (feed.plan instanceof Error) continue
        const next = nextFeedState(feed.state, { type: 'tick' }, this.#feedClock(feed))
        if (next !== feed.state) void this.#dispatchSafely(feed, { type: 'tick' })
      }
    }
  }

  async #holdGc(): Promise<void> {
    const { clock, log } = this.#parts.environment
    const { gcTtlSeconds } = this.#parts
    let updatedAt = clock.monotonic()
    await this.loaded
    for (;;) {
      try {
        await this.#updateSafePoint(this.#signal)
        updatedAt = clock.monotonic()
        await this.#gcPause()
      } catch (error) {
        this.#signal.throwIfAborted()
        log.warn('service gc safe point could not be updated', { error })
        if (clock.monotonic() - updatedAt > gcTtlSeconds * 1000)
          throw new CdcError('CDC:ErrUpdateServiceSafepointFailed', 'updating service safepoint failed', {
            cause: error,
          })
        await clock.sleep(GC_RETRY_MS, this.#signal)
      }
    }
  }

  /** Until the next round is due, or something calls for one. */
  async #gcPause(): Promise<void> {
    const over = new AbortController()
    const signal = AbortSignal.any([this.#signal, over.signal])
    try {
      await Promise.race([this.#gcWakeup.wait(signal), this.#parts.environment.clock.sleep(GC_INTERVAL_MS, signal)])
    } finally {
      over.abort()
    }
  }

  async #updateSafePoint(signal: AbortSignal): Promise<void> {
    const blocking = this.feeds().filter((feed) => blocksGc(feed.state))
    const [first, ...rest] = blocking.map((feed) => feed.status.checkpointTs)
    const least = first === undefined ? undefined : rest.reduce(minTs, first)
    const ownTs = least === undefined ? undefined : previousTs(least)
    const leastTs = await this.safePoint.update(ownTs, signal)
    this.#gc = ownTs === undefined ? undefined : { ownTs, leastTs }
    if (blocking.length === 0) return
    const nowMs = physicalMs(await this.#parts.environment.pd.tso(signal))
    for (const feed of blocking) this.#checkGc(feed, nowMs)
  }

  #checkGc(feed: Feed, nowMs: number): void {
    if (this.#gc === undefined || feed.plan instanceof Error) return
    const gc = { ...this.#gc, nowMs, ttlSeconds: this.#parts.gcTtlSeconds }
    const error = gcError(changefeedKey(feed.info.changefeed), feed.status.checkpointTs, gc)
    if (error === undefined) return
    const running = this.runningError(error.code, error.message)
    void this.#dispatchSafely(feed, { type: 'error', error: running })
  }

  /** The cluster's own safe point counts this changefeed: the holds of its creation are not needed any more. */
  async #held(feed: Feed, signal: AbortSignal): Promise<void> {
    await this.#updateSafePoint(signal)
    await this.safePoint.release(['creating', 'resuming'], feed.info.changefeed, signal)
  }

  #ownerCondition(): EtcdCompare {
    const { key, createRevision } = this.#parts.leadership
    return { key, createRevision }
  }

  async #assertOwner(): Promise<void> {
    const { etcd, leadership } = this.#parts
    const entry = await etcd.get(leadership.key, this.#signal)
    if (entry?.createRevision !== leadership.createRevision) throw notOwner()
  }

  #feedClock(feed: Feed): FeedClock {
    const { clock } = this.#parts.environment
    const epochByTime = tsOfMs(clock.now())
    return {
      now: clock.monotonic(),
      stuckMs: feed.info.config.changefeedErrorStuckDuration,
      newEpoch: epochByTime > feed.state.epoch ? epochByTime : feed.state.epoch + 1n,
      random: Math.random(),
      errorOf: (code, message) => this.runningError(code, message),
    }
  }
}

/** Names the runs of this process for its workers: epochs of different changefeeds may be equal. */
let nextRun = 1n

interface FeedChange {
  readonly state: FeedState
  readonly change?: ChangefeedInfoChange
  readonly status?: ChangefeedStatus | undefined
}

const notOwner = (): CdcError => new CdcError('CDC:ErrNotOwner', 'this capture is not a owner')

/** Nothing of the difference is kept in etcd. */
const isStoredAlike = (a: FeedState, b: FeedState): boolean =>
  a.state === b.state &&
  a.epoch === b.epoch &&
  a.error === b.error &&
  a.warning === b.warning &&
  a.adminJob === b.adminJob

/** What a changefeed without a code failed of. */
const codeForState = (error: unknown): ErrorCode => errorCode(error) || 'CDC:ErrOwnerUnknown'

/** Compiles a stored configuration; what this build cannot do is the reason why not. */
function planOf(info: ChangefeedInfo): FeedPlan | Error {
  try {
    const { sink, warnings } = checkReplicaConfig(info.sinkUri, info.config, { stored: true })
    return { sink, filter: filterOf(info.config), warnings }
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

export const filterOf = (config: ReplicaConfig): Filter =>
  createFilter(config.filter, { caseSensitive: config.caseSensitive, forceReplicate: config.forceReplicate })
