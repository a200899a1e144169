import type { Clock } from '../base/clock.ts'
import { CdcError, describeError, errorCode, type ErrorCode } from '../base/errors.ts'
import type { FailPoints } from '../base/fail-point.ts'
import type { Log } from '../base/log.ts'
import { backoffMs } from '../base/retry.ts'
import { Wakeup } from '../base/wakeup.ts'
import type { ReplicaConfig } from '../config/replica-config.ts'
import type { SinkSettings } from '../config/sink-settings.ts'
import type { ChangefeedId } from '../event/changefeed.ts'
import type { TableName } from '../event/ddl-event.ts'
import { createTableRoutes, type TableRoutes } from '../dispatcher/table-route.ts'
import type { FinishedJob } from '../schema/finished-job.ts'
import type { SchemaTracker, TrackedDdl } from '../schema/tracker.ts'
import type { ControlSink } from '../sink/sink.ts'
import { tableRecordRange } from '../tidb/key.ts'
import { minTs, previousTs, type Ts } from '../tidb/ts.ts'
import { type Barriers, barriersOf } from './barriers.ts'
import type { Addressed, FromWorker, ToWorker } from './messages.ts'
import { SpanTable } from './span-table.ts'

/** The capture's data workers, as a changefeed sees them. */
export interface DataWorkers {
  readonly size: number
  post(worker: number, message: ToWorker): void
  listen(epoch: bigint, receive: (worker: number, message: Extract<FromWorker, Addressed>) => void): Disposable
}

/** DDL jobs as the upstream finishes them. */
export interface DdlFeed extends Disposable {
  /** Every job at or below it has been given or can be taken. */
  readonly resolvedTs: Ts
  /** Set when the feed is dead. */
  readonly error: Error | undefined
  /** Jobs with commitTs ≤ resolvedTs, in order, each once. */
  take(): readonly FinishedJob[]
}

/** Where the changefeed's status lives; the write fails when this capture is no longer the owner. */
export interface StatusStore {
  save(checkpointTs: Ts, minTableBarrierTs: Ts, signal: AbortSignal): Promise<void>
}

export interface ChangefeedProgress {
  readonly checkpointTs: Ts
  readonly resolvedTs: Ts
  readonly lastSyncedTs: Ts | undefined
  /** Rows acknowledged in this run. */
  readonly rows: number
  readonly tableIds: () => readonly bigint[]
}

export interface ChangefeedParts {
  readonly changefeed: ChangefeedId
  readonly epoch: bigint
  readonly config: ReplicaConfig
  /** As the downstream allows them (sink/open-sink, prepareSink). */
  readonly sink: SinkSettings
  readonly timeZone: string
  readonly quota: SharedArrayBuffer
  /** 0 = none. */
  readonly targetTs: Ts
  /** As stored: rows ≤ checkpointTs are out; equal ts say that a DDL at it may not be. */
  readonly checkpointTs: Ts
  readonly minTableBarrierTs: Ts
  /** Loaded at {@link ddlStartTs}. */
  readonly tracker: SchemaTracker
  /** Opens the feed of jobs with commitTs above `from`; `changed` is called when there is something to look at. */
  readonly openDdlFeed: (from: Ts, changed: () => void) => DdlFeed
  readonly openControlSink: (signal: AbortSignal) => Promise<ControlSink>
  readonly workers: DataWorkers
  readonly status: StatusStore
  readonly clock: Clock
  readonly log: Log
  readonly failPoints: FailPoints
  readonly onProgress: (progress: ChangefeedProgress) => void
  /** The changefeed goes on by itself. */
  readonly onWarning: (code: ErrorCode | '', message: string) => void
}

/** Where the schema and the DDL stream of a stored changefeed begin: a DDL at the checkpoint may not have run. */
export const ddlStartTs = (checkpointTs: Ts, minTableBarrierTs: Ts): Ts =>
  checkpointTs === minTableBarrierTs ? previousTs(checkpointTs) : checkpointTs

/** Shortest time between two writes of the status, ms. */
const STATUS_INTERVAL_MS = 50
const WATERMARK_INTERVAL_MS = 1000
const SINK_RETRY_BASE_MS = 1000
const SINK_RETRY_CAP_MS = 30_000
/** How long workers may take to close their part, ms. */
const CLOSE_TIMEOUT_MS = 30_000

/**
 * Runs a changefeed: grants, DDLs, checkpoint, watermarks. Resolves when target-ts is reached; rejects with what stopped
 * it. When it settles, nothing of it is running any more, in any worker.
 */
export async function runChangefeed(parts: ChangefeedParts, signal: AbortSignal): Promise<void> {
  await using control = new ChangefeedControl(parts, signal)
  await control.run()
}

interface Status {
  readonly checkpointTs: Ts
  readonly minTableBarrierTs: Ts
}

class ChangefeedControl implements AsyncDisposable {
  readonly #parts: ChangefeedParts
  readonly #routes: TableRoutes | undefined
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #spans: SpanTable
  readonly #listening: Disposable
  readonly #closed: PromiseWithResolvers<void>[]
  readonly #failure = Promise.withResolvers<never>()
  readonly #storeWakeup = new Wakeup()
  readonly #ddlWakeup = new Wakeup()
  readonly #watermarkWakeup = new Wakeup()
  readonly #feed: DdlFeed
  #sink: Promise<ControlSink> | undefined
  #pending: TrackedDdl[] = []
  #barriers: Barriers
  /** Text of the grant that the workers have, to send a new one only when it differs. */
  #granted = ''
  #checkpointTs: Ts
  #stored: Status
  /** Names of the tables replicated now: whose topics get watermarks. */
  #tableNames: readonly TableName[] = []

  constructor(parts: ChangefeedParts, signal: AbortSignal) {
    this.#parts = parts
    this.#routes = createTableRoutes(parts.config.sink.dispatchers, parts.config)
    this.#signal = AbortSignal.any([signal, this.#stop.signal])
    this.#checkpointTs = parts.checkpointTs
    this.#stored = { checkpointTs: parts.checkpointTs, minTableBarrierTs: parts.minTableBarrierTs }
    this.#spans = new SpanTable(parts.workers.size)
    this.#closed = Array.from({ length: parts.workers.size }, () => Promise.withResolvers<void>())
    this.#failure.promise.catch(() => {})
    this.#listening = parts.workers.listen(parts.epoch, (worker, message) => this.#receive(worker, message))
    const startTs = ddlStartTs(parts.checkpointTs, parts.minTableBarrierTs)
    this.#barriers = barriersOf(startTs, [], parts.targetTs)
    this.#feed = parts.openDdlFeed(startTs, () => this.#guard(() => this.#step()))
    const { epoch, changefeed, config, sink, timeZone, quota } = parts
    this.#postAll({ type: 'open-changefeed', epoch, changefeed, config, sink, timeZone, quota })
    this.#changeTables(startTs, parts.checkpointTs)
  }

  async run(): Promise<void> {
    this.#guard(() => this.#step())
    const loops = [this.#storeStatus(), this.#runDdls(), this.#sendWatermarks()]
    try {
      await Promise.race([Promise.all(loops), this.#failure.promise])
    } finally {
      this.#stop.abort()
      await Promise.allSettled(loops)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#feed[Symbol.dispose]()
    this.#postAll({ type: 'close-changefeed', epoch: this.#parts.epoch })
    const timeout = AbortSignal.timeout(CLOSE_TIMEOUT_MS)
    const late = Promise.withResolvers<void>()
    timeout.addEventListener('abort', () => late.resolve(), { once: true })
    await Promise.race([Promise.all(this.#closed.map(({ promise }) => promise)), late.promise])
    if (timeout.aborted) this.#parts.log.error('a data worker did not close the changefeed in time')
    this.#listening[Symbol.dispose]()
    try {
      await (await this.#sink)?.[Symbol.asyncDispose]()
    } catch (error) {
      this.#parts.log.warn('closing the control side of the sink failed', { error })
    }
  }

  get #finished(): boolean {
    const { targetTs } = this.#parts
    if (targetTs === 0n || this.#checkpointTs < targetTs) return false
    return this.#barriers.minTableBarrierTs > targetTs
  }

  #receive(worker: number, message: Extract<FromWorker, Addressed>): void {
    switch (message.type) {
      case 'progress':
        this.#spans.report(worker, message)
        this.#guard(() => this.#step())
        break
      case 'trouble':
        if (message.level === 'warning') this.#parts.onWarning(message.code, message.message)
        else this.#failure.reject(troubleError(message.code, message.message))
        break
      case 'changefeed-closed':
        this.#closed[worker]?.resolve()
        break
      case 'span-removed':
        break
    }
  }

  /** Everything that follows from what is known now; called after each event, waits for nothing. */
  #step(): void {
    if (this.#signal.aborted) return
    if (this.#feed.error !== undefined) throw this.#feed.error
    for (const job of this.#feed.take()) this.#takeJob(job)
    this.#barriers = barriersOf(this.#feed.resolvedTs, this.#pending, this.#parts.targetTs)
    this.#grant()
    const reached = minTs(this.#spans.least('checkpointTs'), this.#barriers.checkpointCapTs)
    if (reached > this.#checkpointTs) this.#checkpointTs = reached
    const resolved = minTs(this.#spans.least('resolvedTs'), this.#feed.resolvedTs)
    this.#parts.onProgress({
      checkpointTs: this.#checkpointTs,
      resolvedTs: resolved > this.#checkpointTs ? resolved : this.#checkpointTs,
      lastSyncedTs: this.#spans.lastSyncedTs(),
      rows: this.#spans.rows,
      tableIds: () => [...this.#spans.physicalIds()],
    })
    this.#storeWakeup.notify()
    this.#ddlWakeup.notify()
  }

  /** The tables' new schemas leave for the workers before any grant above the DDL can. */
  #takeJob(job: FinishedJob): void {
    const ddls = this.#parts.tracker.apply(job)
    if (ddls.length > 0) this.#checkRoutes(job.commitTs)
    for (const tracked of ddls) {
      this.#pending.push(tracked)
      const { commitTs } = tracked.event
      for (const physicalId of tracked.touched) {
        const owned = this.#spans.get(physicalId)
        if (owned !== undefined) this.#postSchemas(owned.worker, physicalId, commitTs)
      }
    }
  }

  /** Two tables that are routed to one name stop the changefeed before a row of the second leaves. */
  #checkRoutes(ts: Ts): void {
    const check = this.#routes?.conflictCheck()
    if (check === undefined) return
    for (const table of this.#parts.tracker.tablesAt(ts)) check(table)
  }

  #grant(): void {
    const { grantTs, tables } = this.#barriers
    const text = `${grantTs} ${tables.map(({ physicalId, ts }) => `${physicalId}:${ts}`).join()}`
    if (text === this.#granted) return
    this.#granted = text
    this.#postAll({ type: 'grant', epoch: this.#parts.epoch, globalTs: grantTs, tables })
  }

  /** Makes the spans those of the schema at `schemaTs`; new ones begin above `checkpointTs`. */
  #changeTables(schemaTs: Ts, checkpointTs: Ts): void {
    const { tracker, workers, epoch } = this.#parts
    const tables = tracker.tablesAt(schemaTs)
    const wanted = new Set(tables.map(({ physicalId }) => physicalId))
    for (const physicalId of [...this.#spans.physicalIds()]) {
      if (wanted.has(physicalId)) continue
      const removed = this.#spans.remove(physicalId)
      if (removed === undefined) continue
      const { span, worker, incarnation, spanSeq } = removed
      workers.post(worker, { type: 'remove-span', epoch, spanSeq, spanId: span.id, incarnation })
    }
    for (const physicalId of wanted) {
      if (this.#spans.get(physicalId) !== undefined) continue
      const range = tableRecordRange(physicalId)
      const { span, worker, incarnation, spanSeq } = this.#spans.add({ ...range, tableId: physicalId }, checkpointTs)
      this.#postSchemas(worker, physicalId, schemaTs)
      workers.post(worker, { type: 'add-span', epoch, spanSeq, span, incarnation, checkpointTs })
    }
    const names = new Map(tables.map(({ schema, table }) => [`${schema}\0${table}`, { schema, table }]))
    this.#tableNames = [...names.values()]
    // New workers' spans know no grant yet.
    this.#granted = ''
  }

  /** Keeps etcd at most {@link STATUS_INTERVAL_MS} behind. */
  async #storeStatus(): Promise<void> {
    const { failPoints, status, clock } = this.#parts
    for (;;) {
      await this.#storeWakeup.wait(this.#signal)
      const next = { checkpointTs: this.#checkpointTs, minTableBarrierTs: this.#barriers.minTableBarrierTs }
      if (next.checkpointTs > this.#stored.checkpointTs || next.minTableBarrierTs > this.#stored.minTableBarrierTs) {
        failPoints('after-ack-before-etcd')
        await status.save(next.checkpointTs, next.minTableBarrierTs, this.#signal)
        this.#stored = next
        failPoints('after-etcd-before-watermark')
        this.#ddlWakeup.notify()
        this.#watermarkWakeup.notify()
        await clock.sleep(STATUS_INTERVAL_MS, this.#signal)
      }
      // The DDL at the target may have run since that was stored.
      if (this.#finished && watermarkOf(this.#stored) >= this.#parts.targetTs) break
    }
    this.#watermarkWakeup.notify()
    this.#ddlWakeup.notify()
  }

  /** Runs each DDL when everything below it is out and stored, strictly in order. */
  async #runDdls(): Promise<void> {
    for (;;) {
      while (this.#nextDdlIsDue()) {
        const [due] = this.#pending
        if (due === undefined) break
        await this.#runDdl(due)
      }
      if (this.#finished) return
      await this.#ddlWakeup.wait(this.#signal)
    }
  }

  #nextDdlIsDue(): boolean {
    const commitTs = this.#pending[0]?.event.commitTs
    const { checkpointTs, minTableBarrierTs } = this.#stored
    return commitTs !== undefined && checkpointTs === commitTs && minTableBarrierTs === commitTs
  }

  async #runDdl({ event, ignored }: TrackedDdl): Promise<void> {
    const { log, failPoints, tracker } = this.#parts
    const fields = { query: event.query, commitTs: event.commitTs }
    if (ignored) {
      log.info('ddl is ignored by the filter', fields)
    } else {
      await this.#withSink((sink, signal) => sink.ddl(event, signal))
      log.info('ddl sent', fields)
    }
    failPoints('ddl-sent-before-stored')
    this.#pending.shift()
    const last = this.#pending[0]?.event.commitTs !== event.commitTs
    if (last) this.#changeTables(event.commitTs, event.commitTs)
    tracker.collect(previousTs(event.commitTs))
    this.#step()
  }

  /** Sends what is stored, at most once a second. */
  async #sendWatermarks(): Promise<void> {
    const { clock, targetTs } = this.#parts
    let sent: Ts | undefined
    for (;;) {
      const ts = watermarkOf(this.#stored)
      if (sent === undefined ? ts > 0n : ts > sent) {
        await this.#withSink((sink, signal) => sink.watermark(ts, this.#tableNames, signal))
        sent = ts
        if (!(this.#finished && ts >= targetTs)) await clock.sleep(WATERMARK_INTERVAL_MS, this.#signal)
      }
      if (this.#finished && sent !== undefined && sent >= targetTs) return
      await this.#watermarkWakeup.wait(this.#signal)
    }
  }

  /** Works with the control side of the sink, and opens it anew as often as it takes. */
  async #withSink(work: (sink: ControlSink, signal: AbortSignal) => Promise<void>): Promise<void> {
    const { openControlSink, clock, log, onWarning } = this.#parts
    for (let attempt = 1; ; attempt++) {
      this.#sink ??= openControlSink(this.#signal)
      const opened = this.#sink
      try {
        await work(await opened, this.#signal)
        return
      } catch (error) {
        this.#signal.throwIfAborted()
        if (error instanceof CdcError && !error.retryable) throw error
        log.warn('the control side of the sink was lost and is opened again', { error })
        onWarning(errorCode(error), describeError(error))
        if (this.#sink === opened) {
          this.#sink = undefined
          await opened.then((sink) => sink[Symbol.asyncDispose]()).catch(() => {})
        }
        await clock.sleep(backoffMs(attempt, SINK_RETRY_BASE_MS, SINK_RETRY_CAP_MS), this.#signal)
      }
    }
  }

  /** The schema for rows right above `from`, and every later one known. */
  #postSchemas(worker: number, physicalId: bigint, from: Ts): void {
    const { tracker, workers, epoch } = this.#parts
    for (const schema of tracker.schemasFrom(physicalId, from)) {
      workers.post(worker, { type: 'table-schema', epoch, ...schema })
    }
  }

  #postAll(message: ToWorker): void {
    for (let worker = 0; worker < this.#parts.workers.size; worker++) this.#parts.workers.post(worker, message)
  }

  #guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#failure.reject(error)
    }
  }
}

/** The highest ts of which the stored status says that every row and DDL at or below it is out. */
export const watermarkOf = ({ checkpointTs, minTableBarrierTs }: Status): Ts =>
  minTableBarrierTs > checkpointTs ? checkpointTs : previousTs(minTs(checkpointTs, minTableBarrierTs))

/** A worker's trouble as an error again; the text begins with the code already. */
function troubleError(code: ErrorCode | '', message: string): Error {
  if (code === '') return new Error(message)
  const prefix = `[${code}]`
  return new CdcError(code, message.startsWith(prefix) ? message.slice(prefix.length) : message)
}
