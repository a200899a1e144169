import { SqlError } from '../error.ts'

const WAIT_MS = 60_000

/** A transaction as the owner of metadata locks. */
export type LockOwner = object

/**
 * Keeps DDL and transactions on one table apart, as TiDB's metadata lock does: a DDL waits until transactions that used
 * the table have ended; transactions new to the table wait until the DDL is done. DDL statements run one at a time.
 */
export class MetadataLocks {
  readonly #holders = new Map<bigint, Set<LockOwner>>()
  #claimed: ReadonlySet<bigint> = new Set()
  /** Resolves when something was released. */
  #changed = Promise.withResolvers<void>()
  #queue: Promise<void> = Promise.resolve()

  /** Marks a table as used until {@link leave}. */
  async enter(owner: LockOwner, tableId: bigint, signal: AbortSignal): Promise<void> {
    const held = this.#holders.get(tableId)
    if (held?.has(owner) === true) return
    await this.#until(() => !this.#claimed.has(tableId), signal)
    const holders = this.#holders.get(tableId) ?? new Set()
    holders.add(owner)
    this.#holders.set(tableId, holders)
  }

  leave(owner: LockOwner): void {
    for (const [tableId, holders] of this.#holders) {
      holders.delete(owner)
      if (holders.size === 0) this.#holders.delete(tableId)
    }
    this.#notify()
  }

  /** Runs DDL; `tables` is asked when it is this one's turn. */
  async exclusive<T>(
    tables: () => Promise<readonly bigint[]>,
    work: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const before = this.#queue
    const turn = Promise.withResolvers<void>()
    this.#queue = turn.promise
    try {
      await before
      this.#claimed = new Set(await tables())
      await this.#until(() => ![...this.#claimed].some((tableId) => this.#holders.has(tableId)), signal)
      return await work()
    } finally {
      this.#claimed = new Set()
      this.#notify()
      turn.resolve()
    }
  }

  #notify(): void {
    const { resolve } = this.#changed
    this.#changed = Promise.withResolvers<void>()
    resolve()
  }

  async #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    const deadline = Date.now() + WAIT_MS
    while (!condition()) {
      signal.throwIfAborted()
      if (Date.now() > deadline) throw new SqlError(1205, 'Lock wait timeout exceeded; try restarting transaction')
      await this.#pause(signal)
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const woken = Promise.withResolvers<void>()
    const wake = (): void => woken.resolve()
    const limit = AbortSignal.any([signal, AbortSignal.timeout(1000)])
    limit.addEventListener('abort', wake, { once: true })
    void this.#changed.promise.then(wake)
    await woken.promise
    limit.removeEventListener('abort', wake)
  }
}
