import type { KeyRange, Span } from '../event/span.ts'
import { compareBytes } from '../tidb/key.ts'
import { laterTs, maxTs, minTs, type Ts } from '../tidb/ts.ts'
import type { Progress, SpanRemoved } from './messages.ts'

/** A part of a table's records and the load that is expected of it, in regions. */
export interface Piece {
  readonly range: KeyRange
  readonly weight: number
}

/** A piece whose worker is decided. */
export interface PlacedPiece extends Piece {
  readonly worker: number
}

export interface OwnedSpan {
  readonly span: Span
  readonly weight: number
  readonly worker: number
}

/** What a worker is to be told, in this order. */
export type SpanCommand =
  | {
      readonly type: 'add'
      readonly worker: number
      readonly spanSeq: number
      readonly span: Span
      readonly incarnation: number
      readonly checkpointTs: Ts
    }
  | {
      readonly type: 'remove'
      readonly worker: number
      readonly spanSeq: number
      readonly spanId: number
      readonly incarnation: number
    }

type RemovedSpan = Pick<SpanRemoved, 'spanId' | 'incarnation' | 'checkpointTs'>

interface SpanState {
  readonly span: Span
  readonly weight: number
  readonly worker: number
  incarnation: number
  /** Number of the change of the worker's span set that added it. */
  addedAt: number
  /** Everything at or below it is out, whatever becomes of the worker. */
  checkpointTs: Ts
  /** `leaving`: its worker was told to remove it. `removed`: it is in no worker, and holds the checkpoint by itself. */
  state: 'running' | 'leaving' | 'removed'
  /** undefined while it runs, and where it leaves for good. */
  change: Change | undefined
}

/** Spans of one table that make room for others. */
interface Change {
  readonly sources: readonly SpanState[]
  /** undefined = the change was given up: the sources come back where they were. */
  successors: readonly PlacedPiece[] | undefined
}

interface WorkerState {
  alive: boolean
  /** Count of changes of the worker's span set; a progress that echoes it knows them all. */
  spanSeq: number
  weight: number
  /** Least checkpoint with which its latest spans were added: holds until a progress knows them. */
  floorTs: Ts
  progress: Progress | undefined
  /** Of the threads before. */
  rowsBefore: number
  syncedBefore: Ts | undefined
}

/**
 * The owner's table of spans: who has which, and the least checkpoint of all. A table's spans cover its records without
 * gap or overlap. They change in two phases: the old ones are removed, each with its last checkpoint; when all are gone,
 * their successors are added from there. Meanwhile they hold the least checkpoint. Every method that answers with
 * commands has changed the table already.
 */
export class SpanTable {
  readonly #spans = new Map<number, SpanState>()
  /** The tables that are wanted, and their spans. */
  readonly #tables = new Map<bigint, Set<SpanState>>()
  readonly #inTransit = new Set<SpanState>()
  readonly #workers: readonly WorkerState[]
  readonly #firstWorker: number
  #nextSpanId = 1

  /** @param firstWorker which of equals is taken: so that small changefeeds do not all meet in one worker */
  constructor(workers: number, firstWorker = 0) {
    this.#firstWorker = firstWorker
    this.#workers = Array.from({ length: workers }, () => ({
      alive: true,
      spanSeq: 0,
      weight: 0,
      floorTs: maxTs,
      progress: undefined,
      rowsBefore: 0,
      syncedBefore: undefined,
    }))
  }

  tableIds(): Iterable<bigint> {
    return this.#tables.keys()
  }

  has(tableId: bigint): boolean {
    return this.#tables.has(tableId)
  }

  alive(worker: number): boolean {
    return this.#state(worker).alive
  }

  /** A span that runs and takes part in no change. */
  steady(spanId: number): OwnedSpan | undefined {
    const found = this.#spans.get(spanId)
    return found?.state === 'running' ? found : undefined
  }

  /** The spans of a table, in key order; undefined while one of them is in transit, or its worker is not there. */
  steadySpansOf(tableId: bigint): readonly OwnedSpan[] | undefined {
    const spans = [...(this.#tables.get(tableId) ?? [])]
    if (spans.some(({ state, worker }) => state !== 'running' || !this.alive(worker))) return undefined
    return spans.toSorted((a, b) => compareBytes(a.span.start, b.span.start))
  }

  /** Workers that carry rows of a table, and need its new schemas. */
  workersOf(tableId: bigint): Iterable<number> {
    const running = [...(this.#tables.get(tableId) ?? [])].filter(({ state }) => state === 'running')
    return new Set(running.map(({ worker }) => worker).filter((worker) => this.alive(worker)))
  }

  /** Gives every piece to the worker with the least weight; until reported, its checkpoint counts as `checkpointTs`. */
  addTable(tableId: bigint, pieces: readonly Piece[], checkpointTs: Ts): SpanCommand[] {
    if (this.#tables.has(tableId)) throw new RangeError(`table ${tableId} is there already`)
    this.#tables.set(tableId, new Set())
    const commands: SpanCommand[] = []
    for (const piece of pieces) {
      const span = { ...piece.range, tableId, id: this.#nextSpanId++ }
      this.#place({ span, weight: piece.weight, worker: this.lightest() }, 1, checkpointTs, commands)
    }
    return commands
  }

  /** The living worker with the least weight. */
  lightest(): number {
    const count = this.#workers.length
    let best: number | undefined
    for (let i = 0; i < count; i++) {
      const worker = (this.#firstWorker + i) % count
      const state = this.#state(worker)
      if (state.alive && (best === undefined || state.weight < this.#state(best).weight)) best = worker
    }
    return best ?? this.#firstWorker % count
  }

  /** The table is wanted no more: everything of it up to now is out. */
  dropTable(tableId: bigint): SpanCommand[] {
    const commands: SpanCommand[] = []
    for (const span of this.#tables.get(tableId) ?? []) {
      span.change = undefined
      if (span.state === 'running' && this.alive(span.worker)) this.#leave(span, commands)
      else if (span.state !== 'leaving') this.#forget(span)
    }
    this.#tables.delete(tableId)
    return commands
  }

  /** Puts `successors` in the place of running spans of one table, whose range they must cover. */
  rearrange(spanIds: readonly number[], successors: readonly PlacedPiece[]): SpanCommand[] {
    const sources = spanIds.map((id) => this.#spans.get(id)).filter((span) => span !== undefined)
    const [first] = sources
    const fit = sources.every(
      ({ state, worker, span }) => state === 'running' && this.alive(worker) && span.tableId === first?.span.tableId,
    )
    if (first === undefined || sources.length < spanIds.length || !fit) throw new RangeError('spans are not at rest')
    const commands: SpanCommand[] = []
    const change: Change = { sources, successors }
    for (const span of sources) {
      span.change = change
      this.#leave(span, commands)
    }
    return commands
  }

  report(worker: number, progress: Progress): void {
    this.#state(worker).progress = progress
  }

  /** A worker has written everything of a span that it had handed to its sink, and has it no more. */
  removed({ spanId, incarnation, checkpointTs }: RemovedSpan): SpanCommand[] {
    const commands: SpanCommand[] = []
    const span = this.#spans.get(spanId)
    if (span?.state !== 'leaving' || span.incarnation !== incarnation) return commands
    span.checkpointTs = laterTs(span.checkpointTs, checkpointTs)
    this.#left(span, commands)
    return commands
  }

  /**
   * A worker's thread has ended. Its spans wait for the next one: what the broker may still apply of the old thread is
   * fenced by that worker's own successor alone, so a span that was about to move comes back too.
   */
  lost(worker: number): SpanCommand[] {
    const state = this.#state(worker)
    const { progress } = state
    const commands: SpanCommand[] = []
    const spans = [...this.#spans.values()].filter((span) => span.worker === worker && span.state !== 'removed')
    for (const span of spans) {
      if (progress !== undefined && span.addedAt <= progress.spanSeq)
        span.checkpointTs = laterTs(span.checkpointTs, progress.checkpointTs)
    }
    state.alive = false
    state.spanSeq++
    state.progress = undefined
    state.floorTs = spans.reduce((least, { checkpointTs }) => minTs(least, checkpointTs), maxTs)
    state.rowsBefore += progress?.rows ?? 0
    state.syncedBefore = latest(state.syncedBefore, progress?.lastSyncedTs)
    for (const span of spans) {
      if (span.state !== 'leaving') continue
      if (span.change !== undefined) span.change.successors = undefined
      this.#left(span, commands)
    }
    return commands
  }

  /** A new thread is there, and knows the changefeed: it gets the spans that wait for it. */
  started(worker: number): SpanCommand[] {
    const state = this.#state(worker)
    const commands: SpanCommand[] = []
    state.alive = true
    state.floorTs = maxTs
    for (const span of this.#spans.values()) {
      if (span.worker !== worker || span.state !== 'running') continue
      span.incarnation++
      this.#send(span, commands)
    }
    return commands
  }

  /** The least over all spans; the maximum ts where there are none. */
  least(what: 'checkpointTs' | 'resolvedTs'): Ts {
    let least: Ts = maxTs
    for (const state of this.#workers) {
      if (state.spanSeq === 0) continue
      least = minTs(least, state.progress?.[what] ?? state.floorTs)
      if (isPending(state)) least = minTs(least, state.floorTs)
    }
    for (const span of this.#inTransit) least = minTs(least, span.checkpointTs)
    return least
  }

  get rows(): number {
    return this.#workers.reduce((sum, { rowsBefore, progress }) => sum + rowsBefore + (progress?.rows ?? 0), 0)
  }

  lastSyncedTs(): Ts | undefined {
    let found: Ts | undefined
    for (const { syncedBefore, progress } of this.#workers)
      found = latest(latest(found, syncedBefore), progress?.lastSyncedTs)
    return found
  }

  #place({ span, weight, worker }: OwnedSpan, incarnation: number, checkpointTs: Ts, commands: SpanCommand[]): void {
    const placed: SpanState = {
      span,
      weight,
      worker,
      incarnation,
      addedAt: 0,
      checkpointTs,
      state: 'running',
      change: undefined,
    }
    this.#spans.set(span.id, placed)
    this.#tables.get(span.tableId)?.add(placed)
    this.#state(worker).weight += weight
    this.#send(placed, commands)
  }

  /** Gives a running span to its worker, or lets it wait for one. */
  #send(placed: SpanState, commands: SpanCommand[]): void {
    const { span, worker, incarnation, checkpointTs } = placed
    const state = this.#state(worker)
    state.floorTs = isPending(state) ? minTs(state.floorTs, checkpointTs) : checkpointTs
    placed.addedAt = ++state.spanSeq
    if (state.alive) commands.push({ type: 'add', worker, spanSeq: placed.addedAt, span, incarnation, checkpointTs })
  }

  #leave(span: SpanState, commands: SpanCommand[]): void {
    const { worker, incarnation } = span
    const state = this.#state(worker)
    if (!isPending(state)) state.floorTs = maxTs
    span.state = 'leaving'
    commands.push({ type: 'remove', worker, spanSeq: ++state.spanSeq, spanId: span.span.id, incarnation })
  }

  /** A leaving span is in no worker any more. */
  #left(span: SpanState, commands: SpanCommand[]): void {
    if (span.change === undefined) return this.#forget(span)
    span.state = 'removed'
    this.#inTransit.add(span)
    const { sources, successors } = span.change
    if (!sources.every(({ state }) => state === 'removed')) return
    for (const source of sources) this.#forget(source)
    const [first] = sources
    const { tableId } = span.span
    if (successors === undefined) {
      for (const source of sources) this.#place(source, source.incarnation + 1, source.checkpointTs, commands)
    } else if (first !== undefined && sources.length === 1 && successors.length === 1) {
      const moved = { span: first.span, weight: first.weight, worker: successors[0]?.worker ?? first.worker }
      this.#place(moved, first.incarnation + 1, first.checkpointTs, commands)
    } else {
      for (const { range, weight, worker } of successors) {
        const checkpointTs = leastWithin(sources, range)
        this.#place({ span: { ...range, tableId, id: this.#nextSpanId++ }, weight, worker }, 1, checkpointTs, commands)
      }
    }
  }

  #forget(span: SpanState): void {
    this.#spans.delete(span.span.id)
    this.#inTransit.delete(span)
    this.#tables.get(span.span.tableId)?.delete(span)
    this.#state(span.worker).weight -= span.weight
  }

  #state(worker: number): WorkerState {
    const state = this.#workers[worker]
    if (state === undefined) throw new RangeError(`there is no worker ${worker}`)
    return state
  }
}

/** True while the worker has not reported its latest spans. */
const isPending = ({ progress, spanSeq }: WorkerState): boolean => progress === undefined || progress.spanSeq < spanSeq

const latest = (a: Ts | undefined, b: Ts | undefined): Ts | undefined =>
  a === undefined ? b : b === undefined ? a : laterTs(a, b)

function leastWithin(sources: readonly SpanState[], { start, end }: KeyRange): Ts {
  return sources
    .filter(({ span }) => compareBytes(span.start, end) < 0 && compareBytes(start, span.end) < 0)
    .reduce((least, { checkpointTs }) => minTs(least, checkpointTs), maxTs)
}
