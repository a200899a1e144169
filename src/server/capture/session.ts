import { randomUUID } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { CdcError } from '../../base/errors.ts'
import type { FenceControl } from '../../base/fence.ts'
import type { Log } from '../../base/log.ts'
import { campaign, type Leadership, withdraw } from '../etcd/election.ts'
import type { Etcd } from '../etcd/etcd.ts'
import type { ClusterKeys } from '../store/keys.ts'
import { type CaptureInfo, formatCaptureInfo, isForeign, parseCaptureInfo } from '../store/values.ts'

export interface SessionParts {
  readonly etcd: Etcd
  readonly keys: ClusterKeys
  readonly ttlSeconds: number
  readonly fence: FenceControl
  readonly clock: Clock
  readonly log: Log
  /** Where TiDB Dashboard looks for captures of this cluster; ends with a slash. */
  readonly topology: string
  /** What is said of this capture; the id is the session's. */
  readonly capture: Omit<CaptureInfo, 'id'>
}

/** The fence closes this much before etcd lets the lease go: what was sent in time may still be under way. */
const FENCE_MARGIN_MS = 1000
const WITHDRAW_TIMEOUT_MS = 5000
const UNREGISTER_TIMEOUT_MS = 3000

/**
 * One life of a capture: its lease, its id, and the captures that it sees. Everything that it does ends with `signal`,
 * which is aborted when the lease is lost or a foreign capture is found; `ended` says why.
 */
export class Session implements AsyncDisposable {
  readonly id = randomUUID()
  readonly #parts: SessionParts
  readonly #stop = new AbortController()
  readonly #lease: bigint
  readonly #captures = new Map<string, CaptureInfo>()
  #watching: Promise<void> = Promise.resolve()
  #renewing: Promise<void> = Promise.resolve()

  private constructor(parts: SessionParts, lease: bigint) {
    this.#parts = parts
    this.#lease = lease
  }

  /**
   * Registers a capture. Error: `CDC:ErrVersionIncompatible` while a capture of another product is alive under this
   * cluster id.
   */
  static async open(parts: SessionParts, signal: AbortSignal): Promise<Session> {
    const { etcd, keys, ttlSeconds, fence, topology, capture } = parts
    refuseForeign((await etcd.list(keys.captures, signal)).entries.map((entry) => parseCaptureInfo(entry.value)))
    const sentNs = process.hrtime.bigint()
    const session = new Session(parts, await etcd.grantLease(ttlSeconds, signal))
    try {
      fence.extend(sentNs, ttlSeconds * 1000 - FENCE_MARGIN_MS)
      session.#renewing = session.#renew()
      const value = formatCaptureInfo({ id: session.id, ...capture })
      await etcd.put(keys.capture(session.id), value, { lease: session.#lease }, signal)
      await etcd.put(`${topology}${capture.address}`, value, { lease: session.#lease }, signal)
      session.#captures.set(keys.capture(session.id), session.info)
      session.#watching = session.#watch()
      return session
    } catch (error) {
      await session[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Aborted when the session is over. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  get info(): CaptureInfo {
    return { id: this.id, ...this.#parts.capture }
  }

  /** Captures alive, this one included. */
  get captures(): readonly CaptureInfo[] {
    return [...this.#captures.values()]
  }

  /** Resolves when this capture has become the owner. */
  campaign(signal: AbortSignal): Promise<Leadership> {
    const { etcd, keys } = this.#parts
    return campaign(etcd, keys.owner, this.#lease, this.id, AbortSignal.any([signal, this.signal]))
  }

  async withdraw(leadership: Leadership): Promise<void> {
    await withdraw(this.#parts.etcd, leadership, AbortSignal.timeout(WITHDRAW_TIMEOUT_MS))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { etcd, keys, log } = this.#parts
    this.#end(new CdcError('CDC:ErrCaptureSuicide', 'capture suicide'))
    await Promise.all([this.#watching, this.#renewing])
    try {
      const signal = AbortSignal.timeout(UNREGISTER_TIMEOUT_MS)
      await etcd.delete(keys.capture(this.id), {}, signal)
      await etcd.revokeLease(this.#lease, signal)
    } catch (error) {
      log.warn('capture could not be unregistered, its lease will end by itself', { error })
    }
  }

  /** From now on another capture may write. */
  #end(reason: Error): void {
    this.#parts.fence.close()
    if (!this.#stop.signal.aborted) this.#stop.abort(reason)
  }

  /** Renews the lease three times in its life. What counts is when a renewal was sent, not when it was answered. */
  async #renew(): Promise<void> {
    const { etcd, ttlSeconds, fence, clock, log } = this.#parts
    const intervalMs = (ttlSeconds * 1000) / 3
    let aliveSince = clock.monotonic()
    let failures = 0
    while (!this.signal.aborted) {
      const sentNs = process.hrtime.bigint()
      const sentAt = clock.monotonic()
      try {
        const left = await etcd.renewLease(this.#lease, intervalMs, this.signal)
        if (this.signal.aborted) return
        if (left <= 0) return this.#lost('the lease has expired')
        fence.extend(sentNs, left * 1000 - FENCE_MARGIN_MS)
        aliveSince = sentAt
        failures = 0
        await clock.sleep(intervalMs, this.signal).catch(() => {})
      } catch (error) {
        if (this.signal.aborted) return
        if (failures++ === 0) log.warn('lease could not be renewed, it is tried again', { error })
        if (clock.monotonic() - aliveSince >= ttlSeconds * 1000)
          return this.#lost('the lease could not be renewed in time')
        await clock.sleep(intervalMs / 10, this.signal).catch(() => {})
      }
    }
  }

  #lost(text: string): void {
    this.#end(new CdcError('CDC:ErrLeaseExpired', text))
  }

  async #watch(): Promise<void> {
    const { etcd, keys, log } = this.#parts
    try {
      for await (const event of etcd.watch(keys.captures, this.signal)) {
        if (event.type === 'snapshot') {
          this.#captures.clear()
          for (const entry of event.entries) this.#captures.set(entry.key, parseCaptureInfo(entry.value))
        } else
          for (const { key, entry } of event.changes) {
            if (entry === undefined) this.#captures.delete(key)
            else this.#captures.set(key, parseCaptureInfo(entry.value))
          }
        refuseForeign(this.captures)
        if (!this.#captures.has(keys.capture(this.id)))
          throw new CdcError('CDC:ErrCaptureSuicide', 'capture suicide: its key is gone')
      }
    } catch (error) {
      if (this.signal.aborted) return
      log.error('capture stops', { error })
      this.#end(error instanceof Error ? error : new Error(String(error)))
    }
  }
}

/** Another product's cluster is never disturbed. */
function refuseForeign(captures: readonly CaptureInfo[]): void {
  const foreign = captures.find(isForeign)
  if (foreign === undefined) return
  throw new CdcError(
    'CDC:ErrVersionIncompatible',
    `version is incompatible: a TiCDC capture ${foreign.id} (${foreign.address}, ${foreign.version}) is alive under this cluster id; ` +
      'stop it, or start with another --cluster-id',
  )
}
