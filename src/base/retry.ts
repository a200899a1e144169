import type { Clock } from './clock.ts'
import { CdcError } from './errors.ts'

export interface RetryPolicy {
  readonly baseMs: number
  readonly capMs: number
  /** Tries in all; infinite when absent. */
  readonly tries?: number
  /** Total time after which no further try is made. */
  readonly totalMs?: number
  /** Decides whether an error is worth another try; by default a coded error's own `retryable`, anything else yes. */
  readonly retryable?: (error: unknown) => boolean
  /** Called before each pause. */
  readonly onRetry?: (error: unknown, attempt: number, pauseMs: number) => void
}

/** Pause before try `attempt` + 1 (`attempt` counts from 1): exponential, capped, with equal jitter (half + random half). */
export function backoffMs(attempt: number, baseMs: number, capMs: number, random: () => number = Math.random): number {
  const full = Math.min(capMs, baseMs * 2 ** (attempt - 1))
  return full / 2 + (random() * full) / 2
}

/** Runs `work` until it succeeds, its error is not retryable, the policy ends or the signal is aborted. */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  policy: RetryPolicy,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  const began = clock.monotonic()
  const retryable = policy.retryable ?? ((error: unknown) => !(error instanceof CdcError) || error.retryable)
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await work(attempt)
    } catch (error) {
      signal.throwIfAborted()
      const pauseMs = backoffMs(attempt, policy.baseMs, policy.capMs)
      const spent = clock.monotonic() - began + pauseMs
      if (attempt >= (policy.tries ?? Infinity) || spent > (policy.totalMs ?? Infinity) || !retryable(error))
        throw error
      policy.onRetry?.(error, attempt, pauseMs)
      await clock.sleep(pauseMs, signal)
    }
  }
}
