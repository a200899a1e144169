import { setImmediate as yieldToEvents } from 'node:timers/promises'
import { type Clock } from '../base/clock.ts'
import { CdcError, describeError, errorCode, isAbort } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { backoffMs } from '../base/retry.ts'
import { Wakeup } from '../base/wakeup.ts'
import type {
  AddSpan,
  ChangefeedTrouble,
  FromWorker,
  Grant,
  OpenChangefeed,
  RemoveSpan,
  SchemaVersion,
} from '../changefeed/messages.ts'
import type { Protocol } from '../codec/protocol.ts'
import type { Dispatcher } from '../dispatcher/dispatcher.ts'
import type { ChangefeedId } from '../event/changefeed.ts'
import { Messages } from '../event/encoded.ts'
import type { Position, RawBatch } from '../event/raw-kv.ts'
import type { RawRow } from '../event/raw-row.ts'
import type { Filter } from '../filter/filter.ts'
import type { RowSink } from '../sink/sink.ts'
import { RowArena } from '../sorter/row-arena.ts'
import { createSpanSorter } from '../sorter/sorter.ts'
import type { Quota } from '../spill/quota.ts'
import type { Spiller } from '../spill/spiller.ts'
import { laterTs, maxTs, nextTs, type Ts, zeroTs } from '../tidb/ts.ts'
import type { EventFeed, Subscription } from '../upstream/tikv/feed.ts'
import { Bootstraps } from './bootstraps.ts'
import { createTableCompiler } from './compile-table.ts'
import { MemoryRelief } from './memory-relief.ts'
import type { ChangefeedLook, ChangefeedMetrics } from './metrics.ts'
import { planBatch, type PlannedRows } from './plan-batch.ts'
import type { Pass, RowPlan } from './row-plan.ts'
import { type InFlight, SpanRun } from './span-run.ts'
import { SpanSet } from './span-set.ts'
import { TableHistory } from './table-history.ts'
import { TableInfos } from './table-infos.ts'

/** Bytes of raw rows that one turn of a span reads. */
const BATCH_BYTES = 256 * 1024
/** Longest stretch without a look at the event loop, ms. */
const TURN_MS = 8
/** Time between two looks at all spans for progress, ms. */
const TICK_MS = 50
const SLOWEST_SPANS = 8
/** Pause before a lost sink is opened again, ms. */
const SINK_RETRY_BASE_MS = 1000
const SINK_RETRY_CAP_MS = 30_000

export interface ChangefeedRunParts {
  readonly open: OpenChangefeed
  readonly feed: EventFeed
  /** Called at the beginning and after each loss of the sink. */
  readonly openSink: (signal: AbortSignal) => Promise<RowSink>
  /** Of the changefeed's quota, and with files of its own, which end with the run. */
  readonly spiller: Spiller
  readonly protocol: Protocol | undefined
  readonly dispatcher: Dispatcher
  readonly filter: Filter
  readonly metrics: ChangefeedMetrics
  readonly clock: Clock
  readonly log: Log
  readonly post: (message: FromWorker) => void
  /** What the protocol works with; ended with the run. */
  readonly registry?: AsyncDisposable | undefined
}

/** What a span sent, and had acknowledged. */
export interface SpanWork {
  readonly spanId: number
  readonly bytes: number
  readonly rows: number
}

/** A changefeed's part in one worker: its spans, from the feed to the sink. */
export class ChangefeedRun implements AsyncDisposable {
  readonly #parts: ChangefeedRunParts
  readonly #quota: Quota
  readonly #arena: RowArena
  readonly #relief: MemoryRelief
  readonly #stop = new AbortController()
  readonly #spans = new SpanSet()
  readonly #tables = new Map<bigint, TableHistory>()
  readonly #infos = new TableInfos()
  readonly #compile: (schema: SchemaVersion) => Promise<RowPlan>
  /** Tables with schema versions that may be dropped some day. */
  readonly #changing = new Set<TableHistory>()
  readonly #ready: SpanRun[] = []
  /** undefined where the rows say everything themselves. */
  readonly #bootstraps: Bootstraps | undefined
  /** Spans whose tables are announced before anything else. */
  readonly #unannounced: SpanRun[] = []
  readonly #wakeup = new Wakeup()
  readonly #finished: Promise<void>
  readonly #ticker: NodeJS.Timeout
  #sink: RowSink | undefined
  /** Counts the sinks: what an older one acknowledges or rejects no longer matters. */
  #sinkNumber = 0
  #sinkError: unknown
  #sinkFailures = 0
  #grantTs: Ts = zeroTs
  #barriers: ReadonlyMap<bigint, Ts> = new Map()
  #spanSeq = 0
  #rows = 0
  /** Sum of what the feed holds for the spans. */
  #unmatchedBytes = 0
  #lastSyncedTs: Ts = zeroTs
  #reported = ''
  #failed = false

  constructor(parts: ChangefeedRunParts) {
    this.#parts = parts
    this.#quota = parts.spiller.quota
    this.#arena = new RowArena(this.#quota)
    this.#relief = new MemoryRelief({
      spiller: parts.spiller,
      spans: () => this.#spans.values().filter(({ removing }) => !removing),
      clock: parts.clock,
      warn: (error) => this.#spansLeft(error),
      fail: (error) => this.#fail(error),
    })
    this.#compile = createTableCompiler({
      ...parts,
      infos: this.#infos,
      partitionsOf: (topic) => this.#partitionsOf(topic),
      signal: this.#stop.signal,
    })
    this.#bootstraps = openBootstraps(parts)
    parts.metrics.look = () => this.#look()
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    this.#finished = this.#pump()
  }

  get changefeed(): ChangefeedId {
    return this.#parts.open.changefeed
  }

  addTable(schema: SchemaVersion): void {
    const table = this.#tableOf(schema.physicalId)
    table.add(schema)
    this.#changing.add(table)
  }

  addSpan(message: AddSpan): void {
    this.#spanSeq = message.spanSeq
    if (this.#failed) return
    const { tableId } = message.span
    for (const schema of message.schemas) this.addTable(schema)
    this.#tableOf(tableId).spans++
    const sorter = createSpanSorter(this.#arena, this.#parts.spiller)
    const span: SpanRun = new SpanRun(message.span, message.incarnation, message.checkpointTs, sorter, {
      subscribe: (startTs) => this.#subscribe(span, startTs),
      spills: (holder) => this.#parts.spiller.add(holder),
      unsubscribed: () => this.#countFeed(span, 0),
    })
    span.barrierTs = this.#barriers.get(tableId)
    this.#spans.add(span)
    if (this.#bootstraps?.allAtStart === true) {
      this.#unannounced.push(span)
      this.#wakeup.notify()
    }
    span.subscribe()
  }

  #subscribe(span: SpanRun, startTs: Ts): Subscription {
    return this.#parts.feed.subscribe(
      span.span,
      startTs,
      {
        row: (row) => this.#receive(span, row),
        resolved: (ts) =>
          this.#guard(() => {
            this.#parts.metrics.resolved++
            span.sorter.resolve(ts)
            this.#spans.touch(span)
            this.#enqueue(span)
          }),
        frame: () =>
          this.#guard(() => {
            this.#spans.touch(span)
            const before = this.#unmatchedBytes
            this.#countFeed(span, span.unmatchedBytes)
            if (this.#unmatchedBytes > before) this.#relief.relieve()
          }),
        failed: (error) => this.#fail(error),
      },
      { filterLoop: this.#parts.open.config.bdrMode },
    )
  }

  removeSpan(message: RemoveSpan): void {
    this.#spanSeq = message.spanSeq
    const span = this.#spans.get(message.spanId)
    if (span === undefined || span.incarnation !== message.incarnation) return
    span.removing = true
    this.#removeIfIdle(span)
  }

  grant(message: Grant): void {
    this.#grantTs = laterTs(this.#grantTs, message.globalTs)
    if (message.tables.length > 0 || this.#barriers.size > 0) {
      this.#barriers = new Map(message.tables.map(({ physicalId, ts }) => [physicalId, ts]))
      for (const span of this.#spans.values()) span.barrierTs = this.#barriers.get(span.span.tableId)
    }
    for (const span of this.#spans.granted()) this.#enqueue(span)
  }

  /** What was acknowledged since the call before, by span; spans without are left out. */
  takeLoads(): SpanWork[] {
    const loads: SpanWork[] = []
    for (const span of this.#spans.values()) {
      if (span.ackedBytes === 0) continue
      loads.push({ spanId: span.span.id, bytes: span.ackedBytes, rows: span.ackedRows })
      span.ackedBytes = 0
      span.ackedRows = 0
    }
    return loads
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#ticker)
    this.#stop.abort()
    await this.#finished
    for (const span of this.#spans.values()) this.#discard(span)
    this.#spans.clear()
    await this.#parts.feed[Symbol.asyncDispose]()
    await this.#sink?.[Symbol.asyncDispose]()
    this.#parts.metrics[Symbol.dispose]()
    await this.#parts.registry?.[Symbol.asyncDispose]()
    this.#arena[Symbol.dispose]()
    this.#parts.spiller.files[Symbol.dispose]()
  }

  /** Called for every row; what {@link #guard} does. */
  #receive(span: SpanRun, row: RawRow): void {
    if (this.#failed) return
    try {
      span.sorter.add(row)
      if (!this.#arena.grew) return
      this.#arena.grew = false
      this.#relief.relieve()
    } catch (error) {
      this.#fail(error)
    }
  }

  #enqueue(span: SpanRun): void {
    if (span.queued) return
    const next = span.nextTs
    if (next === undefined) return
    if (next > span.limit(this.#grantTs)) {
      this.#spans.wait(span)
      return
    }
    span.queued = true
    this.#ready.push(span)
    this.#wakeup.notify()
  }

  /** Gives every ready span its turn, in the order in which they became ready, until the run is stopped. */
  async #pump(): Promise<void> {
    const { signal } = this.#stop
    try {
      let turnBegan = performance.now()
      while (!signal.aborted) {
        if (this.#sink === undefined || this.#sinkError !== undefined) await this.#reopenSink(signal)
        if (this.#bootstraps !== undefined) await this.#announceNewTables(this.#bootstraps)
        const span = this.#ready.shift()
        if (span === undefined) {
          await this.#wakeup.wait(signal)
          turnBegan = performance.now()
          continue
        }
        span.queued = false
        await this.#turn(span, signal)
        this.#spans.touch(span)
        this.#enqueue(span)
        if (performance.now() - turnBegan > TURN_MS) {
          await yieldToEvents()
          turnBegan = performance.now()
        }
      }
    } catch (error) {
      if (!signal.aborted) this.#fail(error)
    }
  }

  async #turn(span: SpanRun, signal: AbortSignal): Promise<void> {
    const { metrics } = this.#parts
    const { sort, sink } = metrics.stages
    const beganAt = performance.now()
    const read = await span.read(this.#grantTs, BATCH_BYTES, signal)
    if (read === undefined) {
      if (span.removing) this.#removeIfIdle(span)
      return
    }
    const [batch, inFlight] = read
    sort.add(batch.rows.length, batch.bytes, performance.now() - beganAt)
    await this.#reserve(batch.bytes, signal)
    const writes: Promise<void>[] = []
    let rows = 0
    let bytes = 0
    try {
      const { tableId } = span.span
      const table = this.#tables.get(tableId) ?? new TableHistory(tableId, this.#infos)
      const pieces = await planBatch(batch.rows, table, this.#compile)
      const pass = span.beginPart(batch, pieces[0]?.plan.splits ?? false)
      bytes = this.#send(pieces, batch, pass, writes)
      // A transaction that is read twice counts once.
      rows = pass === 'deletes' ? 0 : batch.rows.length
    } catch (error) {
      // What was handed over before the row that failed: its outcome is nobody's business any more.
      for (const write of writes) write.catch(() => {})
      this.#quota.releaseAfter(batch.bytes)
      // The batch is read again for the next sink.
      if (this.#sinkError !== undefined) return
      throw error
    }
    const sinkNumber = this.#sinkNumber
    sink.queueBytes += bytes
    // From here on the messages are what is held, no longer the rows.
    this.#quota.addAfter(bytes - batch.bytes)
    void Promise.all(writes)
      .then(
        () => {
          if (sinkNumber !== this.#sinkNumber) return
          sink.add(rows, bytes, 0)
          this.#acknowledged(span, batch, inFlight, rows)
        },
        (error: unknown) => this.#sinkLost(sinkNumber, error),
      )
      .finally(() => {
        sink.queueBytes -= bytes
        this.#quota.releaseAfter(bytes)
      })
  }

  /** Waits for memory after the cursor: for the sink, where that is slower than the feed. */
  async #reserve(bytes: number, signal: AbortSignal): Promise<void> {
    const { metrics } = this.#parts
    const { plan } = metrics.stages
    const beganAt = performance.now()
    plan.queueBytes += bytes
    try {
      await this.#quota.reserveAfter(bytes, signal)
    } finally {
      plan.queueBytes -= bytes
      metrics.blockedMs += performance.now() - beganAt
    }
  }

  /** Encodes and hands to the sink; the acknowledgements are added to `writes`. Returns the bytes of the messages. */
  #send(pieces: readonly PlannedRows[], batch: RawBatch, pass: Pass, writes: Promise<void>[]): number {
    const { metrics } = this.#parts
    const { stages } = metrics
    let sent = 0
    let now = performance.now()
    for (const { plan, from, to } of pieces) {
      const messages = new Messages()
      plan.run(batch.rows, from, to, pass, messages)
      const encodedAt = performance.now()
      stages.plan.add(to - from, messages.bytes, encodedAt - now)
      now = encodedAt
      if (messages.length === 0) continue
      sent += messages.bytes
      metrics.sentRows += messages.rowCount
      writes.push(this.#write(plan, this.#bootstraps?.before(plan, messages) ?? messages, batch.end))
      now = performance.now()
      stages.sink.workMs += now - encodedAt
    }
    return sent
  }

  #write({ table, topic }: RowPlan, messages: Messages, end: Position): Promise<void> {
    const sink = this.#sink
    return sink === undefined ? Promise.resolve() : sink.write({ table, topic, messages, end }, this.#stop.signal)
  }

  /** Announces the tables that joined; nothing of them has been sent yet. */
  async #announceNewTables(bootstraps: Bootstraps): Promise<void> {
    for (let span = this.#unannounced.shift(); span !== undefined; span = this.#unannounced.shift()) {
      const table = this.#tables.get(span.span.tableId)
      if (span.removing || table === undefined) continue
      try {
        this.#announce(bootstraps, await table.planAt(nextTs(span.checkpointTs), this.#compile))
      } catch (error) {
        if (this.#sinkError === undefined) throw error
        this.#unannounced.unshift(span)
        return
      }
    }
  }

  #announceDueTables(): void {
    if (this.#bootstraps === undefined || this.#sink === undefined || this.#sinkError !== undefined) return
    for (const plan of this.#bootstraps.due()) this.#announce(this.#bootstraps, plan)
  }

  #announce(bootstraps: Bootstraps, plan: RowPlan): void {
    const sinkNumber = this.#sinkNumber
    const end = { commitTs: zeroTs, startTs: zeroTs, complete: false }
    this.#write(plan, Messages.of(bootstraps.announce(plan)), end).catch((error: unknown) =>
      this.#sinkLost(sinkNumber, error),
    )
  }

  #acknowledged(span: SpanRun, batch: RawBatch, inFlight: InFlight, rows: number): void {
    span.acknowledge(inFlight)
    this.#spans.touch(span)
    span.ackedBytes += batch.bytes
    span.ackedRows += rows
    this.#rows += rows
    this.#sinkFailures = 0
    this.#lastSyncedTs = laterTs(this.#lastSyncedTs, batch.end.commitTs)
    this.#parts.metrics.acknowledgedRawBytes += batch.bytes
    if (span.removing) this.#removeIfIdle(span)
  }

  #sinkLost(sinkNumber: number, error: unknown): void {
    if (sinkNumber !== this.#sinkNumber || this.#sinkError !== undefined || this.#stop.signal.aborted) return
    this.#sinkError = error
    this.#wakeup.notify()
  }

  /** Opens the sink, as often as it takes; cursors go back to their checkpoints. */
  async #reopenSink(signal: AbortSignal): Promise<void> {
    for (;;) {
      const lost = this.#sink
      if (lost !== undefined) {
        const error = this.#sinkError
        if (error instanceof CdcError && !error.retryable) throw error
        this.#sink = undefined
        this.#sinkNumber++
        await lost[Symbol.asyncDispose]()
        this.#warn(error)
        await this.#pauseForSink(signal)
      }
      this.#sinkError = undefined
      try {
        this.#sink = await this.#parts.openSink(signal)
        break
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof CdcError && !error.retryable) throw error
        this.#warn(error)
        await this.#pauseForSink(signal)
      }
    }
    this.#bootstraps?.forget()
    for (const table of this.#tables.values()) table.forgetPlans()
    for (const span of this.#spans.values()) {
      span.rewind()
      this.#spans.touch(span)
      if (span.removing && span.idle) this.#removeIfIdle(span)
      else this.#enqueue(span)
    }
  }

  async #pauseForSink(signal: AbortSignal): Promise<void> {
    this.#sinkFailures++
    await this.#parts.clock.sleep(backoffMs(this.#sinkFailures, SINK_RETRY_BASE_MS, SINK_RETRY_CAP_MS), signal)
  }

  /** A downstream that cannot be asked is a lost sink. */
  async #partitionsOf(topic: string): Promise<number> {
    try {
      return (await this.#sink?.partitions(topic, this.#stop.signal)) ?? 1
    } catch (error) {
      this.#sinkLost(this.#sinkNumber, error)
      throw error
    }
  }

  #tick(): void {
    if (this.#failed) return
    this.#guard(() => this.#announceDueTables())
    const changed = this.#spans.advance(this.#grantTs, (span) => this.#countFeed(span, span.unmatchedBytes))
    this.#guard(() => {
      this.#relief.relieve()
      this.#relief.rejoin()
    })
    if (!changed) return
    const { checkpointTs, resolvedTs } = this.#spans.least()
    const state = `${this.#spanSeq} ${checkpointTs} ${resolvedTs} ${this.#rows}`
    if (state === this.#reported) return
    this.#reported = state
    if (checkpointTs !== maxTs)
      for (const table of this.#changing) if (table.release(checkpointTs)) this.#changing.delete(table)
    this.#parts.post({
      type: 'progress',
      epoch: this.#parts.open.epoch,
      spanSeq: this.#spanSeq,
      spans: this.#spans.size,
      checkpointTs,
      resolvedTs,
      slowest: this.#spans.slowest(SLOWEST_SPANS),
      rows: this.#rows,
      lastSyncedTs: this.#lastSyncedTs,
    })
  }

  #look(): ChangefeedLook {
    const { files } = this.#parts.spiller
    return {
      memory: { ...this.#quota.used(), limit: this.#quota.limitBytes },
      unmatched: this.#unmatchedBytes,
      sortedInMemory: this.#arena.heldBytes,
      sortedOnDisk: files.bytes,
      spilled: files.writtenBytes,
    }
  }

  #removeIfIdle(span: SpanRun): void {
    if (!span.idle || !this.#spans.delete(span)) return
    span.settle()
    span.advance(this.#grantTs)
    const { span: removed, incarnation, checkpointTs } = span
    this.#discard(span)
    const table = this.#tableOf(removed.tableId)
    if (--table.spans === 0) {
      this.#tables.delete(removed.tableId)
      table[Symbol.dispose]()
      this.#changing.delete(table)
      this.#bootstraps?.drop(removed.tableId)
    }
    const { epoch } = this.#parts.open
    this.#parts.post({ type: 'span-removed', epoch, spanId: removed.id, incarnation, checkpointTs })
  }

  #tableOf(physicalId: bigint): TableHistory {
    return this.#tables.getOrInsertComputed(physicalId, () => new TableHistory(physicalId, this.#infos))
  }

  #discard(span: SpanRun): void {
    this.#countFeed(span, 0)
    span.dispose()
  }

  #countFeed(span: SpanRun, bytes: number): void {
    const change = bytes - span.feedBytes
    if (change === 0) return
    this.#quota.addBefore(change)
    this.#unmatchedBytes += change
    span.feedBytes = bytes
  }

  /** An error inside a callback of the feed must not reach the feed. */
  #guard(work: () => void): void {
    if (this.#failed) return
    try {
      work()
    } catch (error) {
      this.#fail(error)
    }
  }

  #warn(error: unknown): void {
    if (isAbort(error)) return
    this.#parts.log.warn('the sink was lost and is opened again', { error })
    this.#trouble('warning', error)
  }

  #spansLeft(error: CdcError): void {
    this.#parts.log.warn('spans leave the feed until there is disk for them', { error })
    this.#trouble('warning', error)
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    this.#parts.log.error('the changefeed stops in this worker', { error })
    this.#stop.abort()
    for (const span of this.#spans.values()) this.#discard(span)
    this.#spans.clear()
    this.#trouble('error', error)
  }

  #trouble(level: 'warning' | 'error', error: unknown): void {
    this.#parts.post(troubleOf(this.#parts.open.epoch, level, error))
  }
}

/** An error as the owner is told. */
export const troubleOf = (epoch: bigint, level: 'warning' | 'error', error: unknown): ChangefeedTrouble => ({
  type: 'trouble',
  epoch,
  level,
  code: errorCode(error),
  message: describeError(error),
  retryable: !(error instanceof CdcError) || error.retryable,
})

function openBootstraps({ open, protocol, clock }: ChangefeedRunParts): Bootstraps | undefined {
  const settings = open.sink.codec?.simple.bootstrap
  if (settings === undefined || protocol === undefined) return undefined
  return new Bootstraps(settings, ({ table }) => protocol.bootstrap?.(table), clock)
}
