import { setTimeout as delay } from 'node:timers/promises'

/** Time as a parameter, so that tests can advance it. */
export interface Clock {
  /** Wall clock, ms since 1970. */
  now(): number
  /** Monotonic, ms from an arbitrary start. */
  monotonic(): number
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, { signal })
    } catch (error) {
      throw signal.aborted ? signal.reason : error
    }
  },
}
