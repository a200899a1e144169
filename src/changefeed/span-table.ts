import type { Span } from '../event/span.ts'
import { laterTs, maxTs, minTs, type Ts } from '../tidb/ts.ts'
import type { Progress } from './messages.ts'

export interface OwnedSpan {
  readonly span: Span
  readonly worker: number
  readonly incarnation: number
}

interface WorkerState {
  /** Count of changes of the worker's span set; a progress that echoes it knows them all. */
  spanSeq: number
  spans: number
  /** Checkpoint with which the latest spans were added: holds until a progress knows them. */
  floorTs: Ts
  progress: Progress | undefined
}

/** The owner's table of spans: who has which, and the least checkpoint of all. */
export class SpanTable {
  readonly #spans = new Map<bigint, OwnedSpan>()
  readonly #workers: readonly WorkerState[]
  #nextSpanId = 1

  constructor(workers: number) {
    this.#workers = Array.from({ length: workers }, () => ({
      spanSeq: 0,
      spans: 0,
      floorTs: maxTs,
      progress: undefined,
    }))
  }

  get size(): number {
    return this.#spans.size
  }

  get(physicalId: bigint): OwnedSpan | undefined {
    return this.#spans.get(physicalId)
  }

  physicalIds(): Iterable<bigint> {
    return this.#spans.keys()
  }

  /** Gives a table to the worker with the fewest; until that worker reports it, its checkpoint counts as `checkpointTs`. */
  add(range: Omit<Span, 'id'>, checkpointTs: Ts): OwnedSpan & { readonly spanSeq: number } {
    const worker = this.#workers.reduce(
      (best, state, index, all) => (state.spans < (all[best]?.spans ?? 0) ? index : best),
      0,
    )
    const state = this.#state(worker)
    const owned = { span: { ...range, id: this.#nextSpanId++ }, worker, incarnation: 1 }
    this.#spans.set(range.tableId, owned)
    state.spans++
    state.floorTs = this.#pending(state) ? minTs(state.floorTs, checkpointTs) : checkpointTs
    return { ...owned, spanSeq: ++state.spanSeq }
  }

  remove(physicalId: bigint): (OwnedSpan & { readonly spanSeq: number }) | undefined {
    const owned = this.#spans.get(physicalId)
    if (owned === undefined) return undefined
    this.#spans.delete(physicalId)
    const state = this.#state(owned.worker)
    if (!this.#pending(state)) state.floorTs = maxTs
    state.spans--
    return { ...owned, spanSeq: ++state.spanSeq }
  }

  report(worker: number, progress: Progress): void {
    this.#state(worker).progress = progress
  }

  /** The least over all spans; the maximum ts where there are none. */
  least(what: 'checkpointTs' | 'resolvedTs'): Ts {
    let least: Ts = maxTs
    for (const state of this.#workers) {
      if (state.spanSeq === 0) continue
      least = minTs(least, state.progress?.[what] ?? state.floorTs)
      if (this.#pending(state)) least = minTs(least, state.floorTs)
    }
    return least
  }

  get rows(): number {
    return this.#workers.reduce((sum, { progress }) => sum + (progress?.rows ?? 0), 0)
  }

  lastSyncedTs(): Ts | undefined {
    return this.#workers
      .map(({ progress }) => progress?.lastSyncedTs)
      .reduce((a, b) => (a === undefined ? b : b === undefined ? a : laterTs(a, b)), undefined)
  }

  /** True while the worker has not reported its latest spans. */
  #pending(state: WorkerState): boolean {
    return state.progress === undefined || state.progress.spanSeq < state.spanSeq
  }

  #state(worker: number): WorkerState {
    const state = this.#workers[worker]
    if (state === undefined) throw new RangeError(`there is no worker ${worker}`)
    return state
  }
}
