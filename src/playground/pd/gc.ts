const NEVER = 0x7fff_ffff_ffff_ffffn
const GC_WORKER = 'gc_worker'
const LIFE_MS = 10n * 60n * 1000n

export interface ServiceSafePoint {
  readonly id: string
  readonly safePoint: bigint
  /** Seconds since 1970. */
  readonly expiredAt: bigint
}

export interface GcStateSaved {
  readonly gcSafePoint: bigint
  readonly services: readonly ServiceSafePoint[]
}

/**
 * Service GC safe points as PD 8.5 keeps them: each service holds old versions back from its own point on until it
 * expires; `gc_worker`, the cluster's own, moves on ten minutes behind the clock. Barriers are the same entries.
 */
export class GcState {
  gcSafePoint: bigint
  private readonly services = new Map<string, ServiceSafePoint>()
  private readonly now: () => number
  private readonly changed: (state: GcStateSaved) => void

  constructor(options: {
    readonly saved: GcStateSaved | undefined
    readonly now: () => number
    readonly changed: (state: GcStateSaved) => void
  }) {
    this.gcSafePoint = options.saved?.gcSafePoint ?? 0n
    this.now = options.now
    this.changed = options.changed
    for (const service of options.saved?.services ?? []) this.services.set(service.id, service)
    this.advance()
  }

  get saved(): GcStateSaved {
    return { gcSafePoint: this.gcSafePoint, services: [...this.services.values()] }
  }

  /** Entries that count, `gc_worker` first. */
  list(): readonly ServiceSafePoint[] {
    const seconds = this.seconds()
    for (const { id, expiredAt } of this.services.values()) if (expiredAt < seconds) this.services.delete(id)
    return [...this.services.values()].toSorted((a, b) => Number(b.id === GC_WORKER) - Number(a.id === GC_WORKER))
  }

  /** The entry that holds GC back most. */
  least(): ServiceSafePoint {
    return this.list().reduce((least, entry) => (entry.safePoint < least.safePoint ? entry : least))
  }

  get txnSafePoint(): bigint {
    return this.services.get(GC_WORKER)?.safePoint ?? 0n
  }

  /** A point below the least is not stored; the answer, the least, is the only sign of it. */
  update(id: string, ttlSeconds: bigint, safePoint: bigint): ServiceSafePoint {
    if (ttlSeconds <= 0n) {
      if (id !== GC_WORKER) this.remove(id)
      return this.least()
    }
    if (safePoint < this.least().safePoint) return this.least()
    const ends = this.seconds() + ttlSeconds
    this.put({ id, safePoint, expiredAt: id === GC_WORKER || ends > NEVER ? NEVER : ends })
    return this.least()
  }

  /** Undefined where the barrier lies behind the transaction safe point. */
  setBarrier(id: string, ts: bigint, ttlSeconds: bigint): ServiceSafePoint | undefined {
    if (ts < this.txnSafePoint) return undefined
    const ends = this.seconds() + ttlSeconds
    const barrier = { id, safePoint: ts, expiredAt: ends > NEVER ? NEVER : ends }
    this.put(barrier)
    return barrier
  }

  remove(id: string): ServiceSafePoint | undefined {
    const entry = this.services.get(id)
    if (entry !== undefined && this.services.delete(id)) this.changed(this.saved)
    return entry
  }

  ttlSeconds(entry: ServiceSafePoint): bigint {
    return entry.expiredAt - this.seconds()
  }

  /** Moves `gc_worker` to ten minutes ago, or to `safePoint`; never back. */
  advance(safePoint = (BigInt(this.now()) - LIFE_MS) << 18n): void {
    if (safePoint > this.txnSafePoint) this.put({ id: GC_WORKER, safePoint, expiredAt: NEVER })
  }

  advanceGcSafePoint(safePoint: bigint): void {
    if (safePoint <= this.gcSafePoint) return
    this.gcSafePoint = safePoint
    this.changed(this.saved)
  }

  private put(entry: ServiceSafePoint): void {
    this.services.set(entry.id, entry)
    this.changed(this.saved)
  }

  private seconds(): bigint {
    return BigInt(Math.floor(this.now() / 1000))
  }
}
