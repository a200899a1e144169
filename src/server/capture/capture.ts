import type { Clock } from '../../base/clock.ts'
import { CdcError, isAbort } from '../../base/errors.ts'
import { Owner, type OwnerParts } from '../owner/owner.ts'
import { Session, type SessionParts } from './session.ts'

export interface CaptureParts {
  readonly session: SessionParts
  readonly owner: Omit<OwnerParts, 'leadership' | 'captureId'>
}

/** Restarts of a capture whose lease was lost: one in this time, and one more in reserve. */
const RESTART_INTERVAL_MS = 20_000
const RESTART_BURST = 2
const REOPEN_PAUSE_MS = 1000
const CAMPAIGN_PAUSE_MS = 1000

/**
 * A running server among others. When its lease is lost, everything stops, and it begins again as another capture with
 * a new id.
 */
export class Capture {
  readonly #parts: CaptureParts
  #session: Session | undefined
  #owner: Owner | undefined
  #resign = new AbortController()
  #stopping = false

  constructor(parts: CaptureParts) {
    this.#parts = parts
  }

  /** undefined between two lives. */
  get session(): Session | undefined {
    return this.#session?.signal.aborted === true ? undefined : this.#session
  }

  /** undefined where another capture decides, or none. */
  get owner(): Owner | undefined {
    return this.#owner
  }

  get stopping(): boolean {
    return this.#stopping
  }

  /** Registers for the first time; rejects with what forbids it. */
  async register(signal: AbortSignal): Promise<void> {
    this.#session = await Session.open(this.#parts.session, signal)
  }

  /** Runs after {@link register} until the signal is aborted; then nothing of it is left, here or in etcd. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts.session
    const allowance = new RestartAllowance(clock)
    signal.addEventListener('abort', () => (this.#stopping = true), { once: true })
    while (!signal.aborted) {
      try {
        this.#session ??= await Session.open(this.#parts.session, signal)
        log.info('capture is registered', { captureId: this.#session.id })
        await this.#live(this.#session, signal)
      } catch (error) {
        if (!signal.aborted) log.error('capture is not alive', { error })
      }
      await this.#session?.[Symbol.asyncDispose]()
      this.#session = undefined
      if (signal.aborted) return
      log.warn('capture starts again')
      await clock.sleep(Math.max(REOPEN_PAUSE_MS, allowance.take()), signal).catch(() => {})
    }
  }

  /** Gives the ownership up; this capture may win it again. */
  resign(): void {
    this.#resign.abort(new CdcError('CDC:ErrNotOwner', 'this capture is not a owner'))
    this.#resign = new AbortController()
  }

  /** Campaigns, and decides while it is the owner; until the session ends. */
  async #live(session: Session, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts.session
    const alive = AbortSignal.any([signal, session.signal])
    while (!alive.aborted) {
      try {
        await this.#lead(session, alive)
      } catch (error) {
        if (!alive.aborted && !isAbort(error)) log.warn('ownership ended', { captureId: session.id, error })
      }
      await clock.sleep(CAMPAIGN_PAUSE_MS, alive).catch(() => {})
    }
    if (!signal.aborted) throw session.signal.reason
  }

  async #lead(session: Session, alive: AbortSignal): Promise<void> {
    const { log } = this.#parts.session
    const leadership = await session.campaign(alive)
    log.info('capture is the owner', { captureId: session.id, revision: leadership.createRevision })
    const owner = new Owner({ ...this.#parts.owner, leadership, captureId: session.id })
    this.#owner = owner
    try {
      await owner.run(AbortSignal.any([alive, this.#resign.signal]))
    } finally {
      this.#owner = undefined
      if (!session.signal.aborted)
        await session.withdraw(leadership).catch((error: unknown) => log.warn('ownership was not withdrawn', { error }))
    }
  }
}

/** A bucket of restarts that fills by one in {@link RESTART_INTERVAL_MS}. */
class RestartAllowance {
  readonly #clock: Clock
  #left = RESTART_BURST
  #filledAt: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#filledAt = clock.monotonic()
  }

  /** Takes one restart; returns the ms to wait for it. */
  take(): number {
    const now = this.#clock.monotonic()
    this.#left = Math.min(RESTART_BURST, this.#left + (now - this.#filledAt) / RESTART_INTERVAL_MS) - 1
    this.#filledAt = now
    return this.#left >= 0 ? 0 : -this.#left * RESTART_INTERVAL_MS
  }
}
