import type { Clock } from '../base/clock.ts'
import type { SpanLoad } from './messages.ts'

/** What would even the workers' loads out. */
export type BalanceStep =
  | { readonly type: 'move'; readonly span: SpanLoad; readonly to: number }
  /** The span alone is too much for one worker: its parts could be shared. */
  | { readonly type: 'split'; readonly span: SpanLoad; readonly to: number }

export interface BalanceInput {
  /** By worker; undefined where nothing is known, or the worker is not there. */
  readonly loads: readonly (WorkerLoad | undefined)[]
  readonly movable: (span: SpanLoad) => boolean
  readonly splittable: (span: SpanLoad) => boolean
}

export interface WorkerLoad {
  /** Share of the thread's time, 0 to 1. */
  readonly busy: number
  readonly spans: readonly SpanLoad[]
}

/** Below it a thread has enough time for all its spans. */
const BUSY = 0.4
/** Share of a thread by which two must differ, and by which a move must relieve the busier. */
const CLEAR_DIFFERENCE = 0.2
const CLEAR_GAIN = 0.1

/** The step that relieves the busiest worker most; undefined where no clear imbalance would get better. */
export function nextBalanceStep({ loads, movable, splittable }: BalanceInput): BalanceStep | undefined {
  const known = loads.flatMap((load, worker) => (load === undefined ? [] : [{ ...load, worker }]))
  const ordered = known.toSorted((a, b) => b.busy - a.busy)
  const [busiest] = ordered
  const idlest = ordered.at(-1)
  if (busiest === undefined || idlest === undefined) return undefined
  if (busiest.busy < BUSY || busiest.busy - idlest.busy < CLEAR_DIFFERENCE) return undefined
  const to = idlest.worker
  const [best] = busiest.spans
    .filter(movable)
    .map((span) => ({ span, after: Math.max(busiest.busy - span.share, idlest.busy + span.share) }))
    .toSorted((a, b) => a.after - b.after)
  if (best !== undefined && busiest.busy - best.after >= CLEAR_GAIN) return { type: 'move', span: best.span, to }
  const heavy = busiest.spans.find((span) => span.share >= CLEAR_DIFFERENCE && splittable(span))
  return heavy && { type: 'split', span: heavy, to }
}

/** Shortest time between two steps, ms. */
const PACE_MS = 10_000

export interface Balanced extends Omit<BalanceInput, 'loads'> {
  readonly alive: (worker: number) => boolean
}

/** Asks for a step when an imbalance lasts: seen in two rounds of reports, and not soon after the step before. */
export class Balancer {
  readonly #clock: Clock
  readonly #loads: (WorkerLoad | undefined)[]
  #changedAt: number
  #proposed = ''

  constructor(workers: number, clock: Clock) {
    this.#clock = clock
    this.#loads = Array.from({ length: workers }, () => undefined)
    this.#changedAt = clock.monotonic()
  }

  /** Takes a worker's report, the last of a round when every living worker has told its own; the step to take then. */
  report(worker: number, load: WorkerLoad, balanced: Balanced): BalanceStep | undefined {
    this.#loads[worker] = load
    if (this.#loads.some((known, at) => known === undefined && balanced.alive(at))) return undefined
    const loads = this.#loads.splice(0, this.#loads.length, ...this.#loads.map(() => undefined))
    if (this.#clock.monotonic() - this.#changedAt < PACE_MS) return undefined
    const step = nextBalanceStep({ ...balanced, loads })
    const proposed = step === undefined ? '' : `${step.type} ${step.span.spanId}`
    const lasting = proposed === this.#proposed
    this.#proposed = proposed
    if (step === undefined || !lasting) return undefined
    // Other changefeeds see the same: not all at the next moment.
    this.#changedAt = this.#clock.monotonic() + Math.random() * PACE_MS
    return step
  }

  lost(worker: number): void {
    this.#loads[worker] = undefined
  }
}
