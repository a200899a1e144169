import type { Clock } from '../base/clock.ts'
import { describeError, isAbort } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { ReplicaConfig } from '../config/replica-config.ts'
import type { SinkSettings } from '../config/sink-settings.ts'
import type { ChangefeedId } from '../event/changefeed.ts'
import type { ReplicatedTable, SchemaTracker } from '../schema/tracker.ts'
import { tableRecordRange } from '../tidb/key.ts'
import { type Ts, zeroTs } from '../tidb/ts.ts'
import { Balancer, type BalanceStep } from './balance.ts'
import type { ChangefeedMessage, Grant, LoadReport, SchemaVersion, SpanLoad, ToWorker } from './messages.ts'
import { PacedPosts } from './paced-posts.ts'
import { cutRange, type ScanRegions, surveyRegions } from './region-survey.ts'
import { createSpanRules, type SpanRules } from './span-rules.ts'
import { type OwnedSpan, type Piece, type SpanCommand, SpanTable } from './span-table.ts'

/** The capture's data workers, as a changefeed sees them. */
export interface DataWorkers {
  readonly size: number
  /** False while a worker's thread has ended and the next one is not there: what is posted to it is lost. */
  alive(worker: number): boolean
  post(worker: number, message: ToWorker): void
  /** Ends a worker's thread, whatever it is doing; the next one comes as after any loss. */
  replace(worker: number): void
  listen(epoch: bigint, receive: (worker: number, message: ChangefeedMessage) => void): Disposable
}

export interface SpanControlParts {
  readonly changefeed: ChangefeedId
  readonly epoch: bigint
  readonly config: ReplicaConfig
  /** As the downstream allows them (sink/open-sink, prepareSink). */
  readonly sink: SinkSettings
  readonly timeZone: string
  readonly quota: SharedArrayBuffer
  /** Frees what a worker held of it whose thread has ended. */
  readonly releaseQuota: (worker: number) => void
  /** Memory of the sink of each worker (sink/sink-memory). */
  readonly sinkMemory: (worker: number) => SharedArrayBuffer
  readonly tracker: SchemaTracker
  readonly workers: DataWorkers
  readonly scanRegions: ScanRegions
  readonly clock: Clock
  readonly log: Log
}

/** At most so many spans of one table for each worker. */
const SPANS_PER_WORKER = 4
/** How long the survey of regions may hold up a start, ms. */
const SURVEY_TIMEOUT_MS = 10_000
/** Spans of a replaced worker stay: it is sure by then that the broker applies nothing more of the old thread. */
const SETTLE_MS = 60_000

/**
 * Region borders inside each table's records, by physical table id: what decides into how many spans a table is cut. Tables
 * are missing where PD could not be asked in time, which costs no more than balance.
 */
export async function surveyTables(
  { tracker, scanRegions, sink, config, workers, log }: SpanControlParts,
  ts: Ts,
  signal: AbortSignal,
): Promise<ReadonlyMap<bigint, readonly Uint8Array[]>> {
  if (workers.size === 1) return new Map()
  const rules = createSpanRules(sink, config, () => true)
  const tables = tracker.tablesAt(ts)
  if (tables.length < 2 && !tables.some((table) => rules.splittable(table, Infinity, Infinity))) return new Map()
  const ids = tables.map(({ physicalId }) => physicalId)
  const limited = AbortSignal.any([signal, AbortSignal.timeout(SURVEY_TIMEOUT_MS)])
  try {
    const borders = await surveyRegions(ids.map(tableRecordRange), scanRegions, limited)
    return new Map(ids.map((id, i) => [id, borders[i] ?? []]))
  } catch (error) {
    signal.throwIfAborted()
    log.warn('regions could not be counted, tables are shared out evenly', { error })
    return new Map()
  }
}

/** The spans of one changefeed: which worker has which, and what follows when that changes. */
export class SpanControl {
  readonly #parts: SpanControlParts
  readonly #rules: SpanRules
  readonly #table: SpanTable
  readonly #signal: AbortSignal
  readonly #balancer: Balancer
  readonly #lostAt: number[]
  readonly #posts: PacedPosts
  readonly #infoNumbers = new WeakMap<Uint8Array, number>()
  #nextInfoNumber = 1
  #names = new Map<bigint, ReplicatedTable>()
  /** The tables' schema can be asked for from here on. */
  #schemaTs: Ts = zeroTs
  #grant: Grant | undefined
  /** Tables of several spans that were renamed to a name with another rule: they are to be one. */
  readonly #toJoin = new Set<bigint>()
  #surveying: Promise<unknown> = Promise.resolve()

  /** @param guard does work of a later turn of the event loop, and hears its error */
  constructor(parts: SpanControlParts, signal: AbortSignal, guard: (work: () => void) => void) {
    const { workers, sink, config, epoch, clock } = parts
    this.#parts = parts
    this.#signal = signal
    this.#rules = createSpanRules(sink, config, (table) => this.#isClustered(table))
    this.#table = new SpanTable(workers.size, Number(epoch % BigInt(workers.size)))
    this.#balancer = new Balancer(workers.size, clock)
    this.#lostAt = Array.from({ length: workers.size }, () => -Infinity)
    this.#posts = new PacedPosts((worker, message) => workers.post(worker, message), guard, signal)
    for (let worker = 0; worker < workers.size; worker++) {
      if (workers.alive(worker)) this.#open(worker)
      else this.#table.lost(worker)
    }
  }

  get progress(): Pick<SpanTable, 'least' | 'rows' | 'lastSyncedTs' | 'tableIds'> {
    return this.#table
  }

  /** Makes the tables those given; new ones begin above `checkpointTs`, cut at region `borders` where those are known. */
  setTables(
    tables: readonly ReplicatedTable[],
    checkpointTs: Ts,
    borders: ReadonlyMap<bigint, readonly Uint8Array[]> = new Map(),
  ): void {
    const former = this.#names
    this.#names = new Map(tables.map((table) => [table.physicalId, table]))
    this.#schemaTs = checkpointTs
    for (const table of tables) if (isRenamed(former.get(table.physicalId), table)) this.#followRule(table)
    for (const tableId of [...this.#table.tableIds()])
      if (!this.#names.has(tableId)) this.#perform(this.#table.dropTable(tableId))
    const added = tables.filter(({ physicalId }) => !this.#table.has(physicalId))
    const regions = added.reduce((sum, { physicalId }) => sum + (borders.get(physicalId)?.length ?? 0) + 1, 0)
    const pieces = added.map((table) => {
      const cuts = borders.get(table.physicalId) ?? []
      return { tableId: table.physicalId, pieces: this.#cut(table, cuts, regions), weight: cuts.length + 1 }
    })
    for (const { tableId, pieces: parts } of pieces.toSorted((a, b) => b.weight - a.weight))
      this.#perform(this.#table.addTable(tableId, parts, checkpointTs))
  }

  /** Tells the workers of a table the schemas above `from`. */
  postSchemas(tableId: bigint, from: Ts): void {
    const { epoch } = this.#parts
    for (const worker of this.#table.workersOf(tableId))
      this.#posts.post(worker, () =>
        this.#schemasFrom(tableId, from).map((schema) => ({ type: 'table-schema', epoch, ...schema })),
      )
  }

  grant(grant: Grant): void {
    this.#grant = grant
    for (const worker of this.workers()) this.#posts.post(worker, () => [grant])
  }

  /** Those that know the changefeed. */
  workers(): readonly number[] {
    const { workers } = this.#parts
    const all = Array.from({ length: workers.size }, (_, worker) => worker)
    return all.filter((worker) => this.#table.alive(worker) && workers.alive(worker))
  }

  /** What became of a worker and its spans; other messages say nothing of them. */
  receive(worker: number, message: ChangefeedMessage): void {
    switch (message.type) {
      case 'progress':
        this.#table.report(worker, message)
        break
      case 'span-removed':
        this.#perform(this.#table.removed(message))
        this.#join()
        break
      case 'load':
        this.#join()
        this.#balance(worker, message)
        break
      case 'worker-lost':
        this.#lostAt[worker] = this.#parts.clock.monotonic()
        this.#balancer.lost(worker)
        this.#parts.releaseQuota(worker)
        this.#posts.drop(worker)
        this.#perform(this.#table.lost(worker))
        break
      case 'worker-started':
        this.#open(worker)
        this.#perform(this.#table.started(worker))
        break
      case 'trouble':
      case 'changefeed-closed':
        break
    }
  }

  /** Gives each span of a table to the next worker; false where it has to stay, or there is none. */
  moveTable(tableId: bigint): boolean {
    const spans = this.#table.steadySpansOf(tableId) ?? []
    const { size } = this.#parts.workers
    let moved = false
    for (const span of spans.filter((one) => this.#movable(one))) {
      const targets = Array.from({ length: size - 1 }, (_, i) => (span.worker + i + 1) % size)
      const to = targets.find((worker) => this.#table.alive(worker))
      if (to === undefined) continue
      this.#move(span, to)
      moved = true
    }
    return moved
  }

  /** Cuts and joins tables as their regions are now. Resolves when the changes have begun. */
  async rebalance(signal: AbortSignal): Promise<void> {
    const tables = [...this.#names.values()].filter(({ physicalId }) => this.#table.has(physicalId))
    const ranges = tables.map(({ physicalId }) => tableRecordRange(physicalId))
    const borders = await surveyRegions(ranges, this.#parts.scanRegions, signal)
    const regions = borders.reduce((sum, list) => sum + list.length + 1, 0)
    for (const [i, { physicalId }] of tables.entries()) {
      // By the name that it has now.
      const table = this.#names.get(physicalId)
      if (table === undefined) continue
      const spans = this.#table.steadySpansOf(physicalId) ?? []
      const pieces = this.#cut(table, borders[i] ?? [], regions)
      if (pieces.length === spans.length || spans.length === 0) continue
      if (spans.every((span) => this.#movable(span))) this.#replace(spans, pieces, this.#table.lightest())
    }
  }

  /** Resolves when nothing that was begun here is under way. The signal is aborted already. */
  async settled(): Promise<void> {
    await this.#surveying
  }

  #open(worker: number): void {
    const { epoch, changefeed, config, sink, timeZone, quota, sinkMemory } = this.#parts
    const opening = { epoch, changefeed, config, sink, timeZone, quota, sinkMemory: sinkMemory(worker) }
    const grant = this.#grant
    this.#posts.post(worker, () => [{ type: 'open-changefeed', ...opening }, ...(grant === undefined ? [] : [grant])])
  }

  #perform(commands: readonly SpanCommand[]): void {
    const { epoch } = this.#parts
    for (const { worker, ...command } of commands)
      this.#posts.post(worker, () => {
        if (command.type === 'remove') return [{ ...command, type: 'remove-span', epoch }]
        // Still known when the post leaves: until then the span's checkpoint holds back what the tracker forgets.
        const schemas = this.#schemasFrom(command.span.tableId, command.checkpointTs)
        return [{ ...command, type: 'add-span', epoch, schemas }]
      })
  }

  #schemasFrom(tableId: bigint, from: Ts): SchemaVersion[] {
    return this.#parts.tracker.schemasFrom(tableId, from).map(({ info, ...schema }) => ({
      ...schema,
      info: info && { number: this.#numberOf(info), json: info },
    }))
  }

  #numberOf(info: Uint8Array): number {
    const known = this.#infoNumbers.get(info)
    if (known !== undefined) return known
    this.#infoNumbers.set(info, this.#nextInfoNumber)
    return this.#nextInfoNumber++
  }

  /** Pieces of about as many regions for all workers, of a table that may be cut. */
  #cut(table: ReplicatedTable, borders: readonly Uint8Array[], regions: number): Piece[] {
    const { size } = this.#parts.workers
    const own = borders.length + 1
    const most = size * SPANS_PER_WORKER
    const splittable = size > 1 && this.#rules.splittable(table, own, 0)
    const count = splittable ? Math.min(most, Math.ceil(own / Math.max(1, regions / most))) : 1
    return cutRange(tableRecordRange(table.physicalId), borders, count)
  }

  #balance(worker: number, load: LoadReport): void {
    const step = this.#balancer.report(worker, load, {
      alive: (at) => this.#table.alive(at),
      movable: ({ spanId }) => this.#movable(this.#table.steady(spanId)),
      splittable: (span) => this.#splittable(span),
    })
    const span = step && this.#table.steady(step.span.spanId)
    if (span === undefined) return
    if (step?.type === 'move') this.#move(span, step.to)
    else if (step?.type === 'split') {
      const before = this.#surveying
      this.#surveying = this.#split(span, step).then(() => before)
    }
  }

  async #split(owned: OwnedSpan, { to, span: load }: BalanceStep): Promise<void> {
    const { scanRegions, log, workers } = this.#parts
    const { span } = owned
    try {
      const [borders = []] = await surveyRegions([span], scanRegions, this.#signal)
      const table = this.#names.get(span.tableId)
      if (table === undefined || this.#table.steady(span.id) !== owned || !this.#movable(owned)) return
      if (!this.#rules.splittable(table, borders.length + 1, load.rowsPerMinute)) return
      const pieces = cutRange(span, borders, workers.size)
      if (pieces.length > 1) this.#replace([owned], pieces, to)
    } catch (error) {
      if (!isAbort(error)) log.warn('a span could not be split', { span: span.id, error: describeError(error) })
    }
  }

  #movable(span: OwnedSpan | undefined): boolean {
    if (span === undefined || !this.#rules.movable || !this.#table.alive(span.worker)) return false
    return this.#parts.clock.monotonic() - (this.#lostAt[span.worker] ?? 0) >= SETTLE_MS
  }

  #splittable({ spanId, rowsPerMinute }: SpanLoad): boolean {
    const span = this.#table.steady(spanId)
    const table = span && this.#names.get(span.span.tableId)
    if (table === undefined || !this.#movable(span)) return false
    const spans = this.#table.steadySpansOf(table.physicalId)
    if (spans === undefined || spans.length >= this.#parts.workers.size * SPANS_PER_WORKER) return false
    return this.#rules.splittable(table, Infinity, rowsPerMinute)
  }

  /** A table that may not be several spans under its new name becomes one, before rows above the renaming may leave. */
  #followRule(table: ReplicatedTable): void {
    if (this.#rules.splittable(table, Infinity, Infinity)) this.#toJoin.delete(table.physicalId)
    else this.#toJoin.add(table.physicalId)
    this.#join()
  }

  /** Joins the tables that are to be one span, as soon as none of their spans is in transit or has to stay. */
  #join(): void {
    for (const tableId of this.#toJoin) {
      const spans = this.#table.steadySpansOf(tableId)
      if (spans === undefined || !spans.every((span) => this.#movable(span))) continue
      this.#toJoin.delete(tableId)
      const weight = spans.reduce((sum, span) => sum + span.weight, 0)
      if (spans.length > 1) this.#replace(spans, [{ range: tableRecordRange(tableId), weight }], this.#table.lightest())
    }
  }

  #isClustered({ physicalId }: ReplicatedTable): boolean {
    const info = this.#parts.tracker.tableAt(physicalId, this.#schemaTs)?.info
    return info?.pkIsHandle === true || info?.isCommonHandle === true
  }

  #move({ span, weight, worker }: OwnedSpan, to: number): void {
    const { log } = this.#parts
    log.info('a span moves', { span: span.id, table: span.tableId, from: worker, to })
    this.#perform(this.#table.rearrange([span.id], [{ range: span, weight, worker: to }]))
  }

  /** Puts pieces in the place of a table's spans; the first goes to `first`, the others to the workers after it. */
  #replace(spans: readonly OwnedSpan[], pieces: readonly Piece[], first: number): void {
    const { log, workers } = this.#parts
    const living = Array.from({ length: workers.size }, (_, i) => (first + i) % workers.size).filter((worker) =>
      this.#table.alive(worker),
    )
    const successors = pieces.map((piece, i) => ({ ...piece, worker: living[i % living.length] ?? first }))
    const ids = spans.map(({ span }) => span.id)
    log.info('a table is cut anew', { table: spans[0]?.span.tableId, spans: ids.length, into: pieces.length })
    this.#perform(this.#table.rearrange(ids, successors))
  }
}

const isRenamed = (before: ReplicatedTable | undefined, now: ReplicatedTable): boolean =>
  before !== undefined && (before.schema !== now.schema || before.table !== now.table)
