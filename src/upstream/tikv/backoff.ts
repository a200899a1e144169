import type { Clock } from '../../base/clock.ts'
import { CdcError, describeError } from '../../base/errors.ts'

/** Base and cap in ms by cause; `equal` jitter is half fixed, half random (reference: upstream, section 9). */
const BACKOFFS = {
  tikvRpc: { baseMs: 100, capMs: 2000, equal: true },
  txnLock: { baseMs: 100, capMs: 3000, equal: true },
  txnLockFast: { baseMs: 2, capMs: 3000, equal: true },
  pdRpc: { baseMs: 100, capMs: 3000, equal: true },
  regionMiss: { baseMs: 2, capMs: 500, equal: false },
  regionScheduling: { baseMs: 2, capMs: 500, equal: false },
  serverBusy: { baseMs: 2000, capMs: 10_000, equal: true },
  staleCommand: { baseMs: 2, capMs: 1000, equal: false },
  maxTsNotSynced: { baseMs: 2, capMs: 500, equal: false },
  txnNotFound: { baseMs: 2, capMs: 500, equal: false },
  diskFull: { baseMs: 500, capMs: 5000, equal: false },
  regionRecovery: { baseMs: 100, capMs: 10_000, equal: true },
  isWitness: { baseMs: 1000, capMs: 10_000, equal: true },
} as const
export type BackoffKind = keyof typeof BACKOFFS

/** Pauses of one piece of work: each cause grows by itself, all share a budget. */
export class Backoff {
  readonly #clock: Clock
  readonly #budgetMs: number
  readonly #attempts = new Map<BackoffKind, number>()
  #spentMs = 0

  constructor(clock: Clock, budgetMs: number) {
    this.#clock = clock
    this.#budgetMs = budgetMs
  }

  /**
   * Sleeps before the next try, at most `limitMs`. Rejects with `CDC:ErrReachMaxTry` (cause: `why`) when the budget is
   * spent. Time that a busy server asks for is not counted.
   */
  async pause(kind: BackoffKind, why: unknown, signal: AbortSignal, limitMs = Infinity): Promise<void> {
    const { baseMs, capMs, equal } = BACKOFFS[kind]
    const attempt = this.#attempts.get(kind) ?? 0
    this.#attempts.set(kind, attempt + 1)
    const full = Math.min(capMs, baseMs * 2 ** attempt)
    const pauseMs = Math.min(limitMs, equal ? full / 2 + (Math.random() * full) / 2 : full)
    if (this.#spentMs > this.#budgetMs) {
      const text = `gave up after ${Math.round(this.#spentMs)} ms of pauses: ${describeError(why)}`
      throw new CdcError('CDC:ErrReachMaxTry', text, { cause: why })
    }
    if (kind !== 'serverBusy') this.#spentMs += Math.max(1, pauseMs)
    await this.#clock.sleep(pauseMs, signal)
  }
}
