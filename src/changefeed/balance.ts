import type { SpanLoad } from './messages.ts'

/** What would even the workers' loads out. */
export type BalanceStep =
  | { readonly type: 'move'; readonly spanId: number; readonly to: number }
  /** The span alone is too much for one worker: its parts could be shared. */
  | { readonly type: 'split'; readonly spanId: number; readonly to: number }

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
    .map(({ spanId, share }) => ({ spanId, after: Math.max(busiest.busy - share, idlest.busy + share) }))
    .toSorted((a, b) => a.after - b.after)
  if (best !== undefined && busiest.busy - best.after >= CLEAR_GAIN) return { type: 'move', spanId: best.spanId, to }
  const heavy = busiest.spans.find((span) => span.share >= CLEAR_DIFFERENCE && splittable(span))
  return heavy && { type: 'split', spanId: heavy.spanId, to }
}
