import { CdcError, describeError, errorCode, type ErrorCode } from '../base/errors.ts'
import type { FailPoints } from '../base/fail-point.ts'
import { backoffMs } from '../base/retry.ts'
import { Wakeup } from '../base/wakeup.ts'
import type { TableName } from '../event/ddl-event.ts'
import { createTableRoutes, type TableRoutes } from '../dispatcher/table-route.ts'
import type { FinishedJob } from '../schema/finished-job.ts'
import type { TrackedDdl } from '../schema/tracker.ts'
import type { ControlSink } from '../sink/sink.ts'
import { laterTs, minTs, previousTs, type Ts } from '../tidb/ts.ts'
import { type Barriers, barriersOf } from './barriers.ts'
import type { ChangefeedMessage } from './messages.ts'
import { SpanControl, type SpanControlParts, surveyTables } from './span-control.ts'

export type { DataWorkers } from './span-control.ts'

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

/** What may be asked of a changefeed while it runs. */
export interface ChangefeedCommands {
  /** Gives each span of a physical table to another worker; false where it has to stay, or there is no other. */
  moveTable(tableId: bigint): boolean
  /** Cuts and joins tables as their regions are now. Resolves when the changes have begun. */
  rebalance(signal: AbortSignal): Promise<void>
}

/** `tracker`: loaded at {@link ddlStartTs}. */
export interface ChangefeedParts extends SpanControlParts {
  /** 0 = none. */
  readonly targetTs: Ts
  /** As stored: rows ≤ checkpointTs are out; equal ts say that a DDL at it may not be. */
  readonly checkpointTs: Ts
  readonly minTableBarrierTs: Ts
  /** Opens the feed of jobs with commitTs above `from`; `changed` is called when there is something to look at. */
  readonly openDdlFeed: (from: Ts, changed: () => void) => DdlFeed
  readonly openControlSink: (signal: AbortSignal) => Promise<ControlSink>
  readonly status: StatusStore
  readonly failPoints: FailPoints
  readonly onRunning: (commands: ChangefeedCommands) => void
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
/** A worker that has not closed its part by then is replaced, ms. */
const CLOSE_TIMEOUT_MS = 30_000
/** So many threads lost within so long, ms, are more than bad luck. */
const LOSSES = 5
const LOSSES_WITHIN_MS = 60_000

/**
 * Runs a changefeed: grants, DDLs, checkpoint, watermarks. Resolves when target-ts is reached; rejects with what stopped
 * it. When it settles, nothing of it is running any more, in any worker.
 */
export async function runChangefeed(parts: ChangefeedParts, signal: AbortSignal): Promise<void> {
  const borders = await surveyTables(parts, ddlStartTs(parts.checkpointTs, parts.minTableBarrierTs), signal)
  await using control = new ChangefeedControl(parts, signal)
  control.begin(borders)
  parts.onRunning(control)
  await control.run()
}

interface Status {
  readonly checkpointTs: Ts
  readonly minTableBarrierTs: Ts
}

class ChangefeedControl implements ChangefeedCommands, AsyncDisposable {
  readonly #parts: ChangefeedParts
  readonly #routes: TableRoutes | undefined
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #spans: SpanControl
  readonly #listening: Disposable
  /** Workers that have something of the changefeed; known from the moment they are asked to close. */
  readonly #open = new Set<number>()
  readonly #closed = Promise.withResolvers<void>()
  /** When threads were lost, ms. */
  readonly #losses: number[] = []
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
  #resolvedTs: Ts
  #stored: Status
  /** Names of the tables replicated now: whose topics get watermarks. */
  #tableNames: readonly TableName[] = []

  /** Opens the changefeed in the workers, without tables. */
  constructor(parts: ChangefeedParts, signal: AbortSignal) {
    this.#parts = parts
    this.#routes = createTableRoutes(parts.config.sink.dispatchers, parts.config)
    this.#signal = AbortSignal.any([signal, this.#stop.signal])
    this.#checkpointTs = parts.checkpointTs
    this.#resolvedTs = parts.checkpointTs
    this.#stored = { checkpointTs: parts.checkpointTs, minTableBarrierTs: parts.minTableBarrierTs }
    this.#failure.promise.catch(() => {})
    this.#listening = parts.workers.listen(parts.epoch, (worker, message) => this.#receive(worker, message))
    const startTs = ddlStartTs(parts.checkpointTs, parts.minTableBarrierTs)
    this.#barriers = barriersOf(startTs, [], parts.targetTs)
    this.#feed = parts.openDdlFeed(startTs, () => this.#guard(() => this.#step()))
    this.#spans = new SpanControl(parts, this.#signal, (work) => this.#guard(work))
  }

  /** Shares the tables out, cut at region `borders` where those are known. */
  begin(borders: ReadonlyMap<bigint, readonly Uint8Array[]>): void {
    const { checkpointTs, minTableBarrierTs } = this.#parts
    this.#changeTables(ddlStartTs(checkpointTs, minTableBarrierTs), checkpointTs, borders)
  }

  moveTable(tableId: bigint): boolean {
    return !this.#signal.aborted && this.#spans.moveTable(tableId)
  }

  rebalance(signal: AbortSignal): Promise<void> {
    return this.#spans.rebalance(AbortSignal.any([this.#signal, signal]))
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
    await this.#spans.settled()
    await this.#closeWorkers()
    this.#listening[Symbol.dispose]()
    try {
      await (await this.#sink)?.[Symbol.asyncDispose]()
    } catch (error) {
      this.#parts.log.warn('closing the control side of the sink failed', { error })
    }
  }

  /** Waits until no worker has anything of the changefeed any more; one that hangs is replaced. */
  async #closeWorkers(): Promise<void> {
    const { workers, epoch, log } = this.#parts
    for (const worker of this.#spans.workers()) {
      this.#open.add(worker)
      workers.post(worker, { type: 'close-changefeed', epoch })
    }
    if (this.#open.size === 0) return
    const late = setTimeout(() => {
      for (const worker of this.#open) {
        log.error('a data worker did not close the changefeed in time, it is replaced', { worker })
        workers.replace(worker)
      }
    }, CLOSE_TIMEOUT_MS)
    await this.#closed.promise
    clearTimeout(late)
  }

  #closedIn(worker: number): void {
    if (this.#open.delete(worker) && this.#open.size === 0) this.#closed.resolve()
  }

  get #finished(): boolean {
    const { targetTs } = this.#parts
    if (targetTs === 0n || this.#checkpointTs < targetTs) return false
    return this.#barriers.minTableBarrierTs > targetTs
  }

  #receive(worker: number, message: ChangefeedMessage): void {
    if (message.type === 'worker-lost' || message.type === 'changefeed-closed') this.#closedIn(worker)
    if (this.#signal.aborted) return
    switch (message.type) {
      case 'worker-lost':
        this.#parts.log.warn('a data worker was lost, its spans begin again from their checkpoints', { worker })
        this.#guard(() => this.#countLoss(message.message))
        this.#guard(() => this.#spans.receive(worker, message))
        break
      case 'progress':
      case 'span-removed':
      case 'load':
      case 'worker-started':
        this.#guard(() => {
          this.#spans.receive(worker, message)
          this.#step()
        })
        break
      case 'trouble':
        if (message.level === 'warning') this.#parts.onWarning(message.code, message.message)
        else this.#failure.reject(troubleError(message.code, message.message))
        break
      case 'changefeed-closed':
        break
    }
  }

  #countLoss(message: string): void {
    const now = this.#parts.clock.monotonic()
    this.#losses.push(now)
    if (this.#losses.length > LOSSES) this.#losses.shift()
    if (this.#losses.length === LOSSES && now - (this.#losses[0] ?? now) < LOSSES_WITHIN_MS)
      throw new CdcError('CDC:ErrProcessorUnknown', `data workers die again and again: ${message}`)
  }

  /** Everything that follows from what is known now; called after each event, waits for nothing. */
  #step(): void {
    if (this.#signal.aborted) return
    if (this.#feed.error !== undefined) throw this.#feed.error
    for (const job of this.#feed.take()) this.#takeJob(job)
    this.#barriers = barriersOf(this.#feed.resolvedTs, this.#pending, this.#parts.targetTs)
    this.#grant()
    const spans = this.#spans.progress
    this.#checkpointTs = laterTs(this.#checkpointTs, minTs(spans.least('checkpointTs'), this.#barriers.checkpointCapTs))
    // A span that begins again has yet to receive what it had.
    const resolved = laterTs(this.#checkpointTs, minTs(spans.least('resolvedTs'), this.#feed.resolvedTs))
    this.#resolvedTs = laterTs(this.#resolvedTs, resolved)
    this.#parts.onProgress({
      checkpointTs: this.#checkpointTs,
      resolvedTs: this.#resolvedTs,
      lastSyncedTs: spans.lastSyncedTs(),
      rows: spans.rows,
      tableIds: () => [...spans.tableIds()],
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
      for (const physicalId of tracked.touched) this.#spans.postSchemas(physicalId, commitTs)
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
    this.#spans.grant({ type: 'grant', epoch: this.#parts.epoch, globalTs: grantTs, tables })
  }

  /** Makes the spans those of the schema at `schemaTs`; new ones begin above `checkpointTs`. */
  #changeTables(schemaTs: Ts, checkpointTs: Ts, borders?: ReadonlyMap<bigint, readonly Uint8Array[]>): void {
    const tables = this.#parts.tracker.tablesAt(schemaTs)
    this.#spans.setTables(tables, checkpointTs, borders)
    const names = new Map(tables.map(({ schema, table }) => [`${schema}\0${table}`, { schema, table }]))
    this.#tableNames = [...names.values()]
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
