import { readCounter } from '../catalog/schema.ts'
import { counterKeyOf } from '../catalog/row-ids.ts'
import type { Table } from '../catalog/schema.ts'
import { SqlError, TXN_CONFLICT } from '../error.ts'
import type { TxnStore } from '../txn/store.ts'
import { Transaction } from '../txn/transaction.ts'

/** How many ids are taken from the store at once: what TiDB takes. A restart leaves a gap. */
const STEP = 30_000n
const MAX_ID = (1n << 63n) - 1n

/** Ids at hand: the last one given, and the last one that may be given. */
interface Range {
  last: bigint
  end: bigint
}

/**
 * Numbers for AUTO_INCREMENT columns and `_tidb_rowid`. The counter in the store holds the largest id that some server
 * may have given out.
 */
export class AutoIds {
  readonly #store: TxnStore
  readonly #ranges = new Map<bigint, Range>()
  /** One change of a range at a time. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(store: TxnStore) {
    this.#store = store
  }

  /** The next id. */
  async next(table: Table, signal: AbortSignal): Promise<bigint> {
    const ready = this.#ranges.get(table.info.id)
    if (ready !== undefined && ready.last < ready.end) return ++ready.last
    return this.#alone(async () => {
      const range = this.#ranges.get(table.info.id) ?? { last: 0n, end: 0n }
      if (range.last >= range.end) {
        const base = await this.#advance(table, 0n, signal)
        if (base >= MAX_ID) throw new SqlError(1467, 'Failed to read auto-increment value from storage engine')
        range.last = base
        range.end = base + STEP
        this.#ranges.set(table.info.id, range)
      }
      return ++range.last
    })
  }

  /** Takes note of an id that a statement gave by itself: later ones are larger. */
  async rebase(table: Table, id: bigint, signal: AbortSignal): Promise<void> {
    const ready = this.#ranges.get(table.info.id)
    if (id <= 0n || (ready !== undefined && id <= ready.last)) return
    if (ready !== undefined && id < ready.end) {
      ready.last = id
      return
    }
    await this.#alone(async () => {
      const range = this.#ranges.get(table.info.id)
      if (range !== undefined && id <= range.last) return
      const base = await this.#advance(table, id, signal)
      this.#ranges.set(table.info.id, { last: id > base ? id : base, end: (id > base ? id : base) + STEP })
    })
  }

  /** Drops the ids at hand, because the table is about to go on under another id. */
  async forget(table: Table, _signal: AbortSignal): Promise<void> {
    await this.#alone(async () => this.#ranges.delete(table.info.id))
  }

  /** The counter in the store. */
  async stored(table: Table, signal: AbortSignal): Promise<bigint> {
    const ts = await this.#store.timestamp(signal)
    return readCounter(this.#store.snapshot(ts), counterKeyOf(table), signal)
  }

  /** What the next id will be, as SHOW CREATE TABLE prints it; 1 for a fresh table. */
  async peek(table: Table, signal: AbortSignal): Promise<bigint> {
    const range = this.#ranges.get(table.info.id)
    if (range !== undefined) return range.end + 1n
    const ts = await this.#store.timestamp(signal)
    return (await readCounter(this.#store.snapshot(ts), counterKeyOf(table), signal)) + 1n
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work)
    this.#turn = mine.catch(() => {})
    return mine
  }

  /** Moves the counter a step beyond itself and beyond `least`; returns where the step begins. */
  async #advance(table: Table, least: bigint, signal: AbortSignal): Promise<bigint> {
    const key = counterKeyOf(table)
    for (;;) {
      const txn = new Transaction(this.#store, await this.#store.timestamp(signal))
      const stored = await readCounter(txn, key, signal)
      const base = stored > least ? stored : least
      const end = base > MAX_ID - STEP ? MAX_ID : base + STEP
      txn.put(key, Buffer.from(end.toString()))
      try {
        await txn.commit({ asyncCommit: false, onePhase: true }, signal)
        return base
      } catch (error) {
        if (!(error instanceof SqlError) || error.errno !== TXN_CONFLICT) throw error
      }
    }
  }
}
