import type { Clock } from '../../../base/clock.ts'
import type { Log } from '../../../base/log.ts'
import { SchemaCache } from '../catalog/schema.ts'
import type { Schema } from '../catalog/schema.ts'
import type { TxnStore } from '../txn/store.ts'
import { Transaction } from '../txn/transaction.ts'
import { AutoIds } from './auto-ids.ts'
import { MetadataLocks } from './metadata-locks.ts'

/** What all sessions of a server share. */
export class Engine {
  readonly store: TxnStore
  readonly clock: Clock
  readonly log: Log
  readonly locks = new MetadataLocks()
  readonly autoIds: AutoIds
  readonly #cache = new SchemaCache()
  /** The newest schema that any session saw. */
  latest: Schema | undefined

  constructor(store: TxnStore, clock: Clock, log: Log) {
    this.store = store
    this.clock = clock
    this.log = log
    this.autoIds = new AutoIds(store)
  }

  async begin(signal: AbortSignal): Promise<Transaction> {
    return new Transaction(this.store, await this.store.timestamp(signal))
  }

  /** The schema that a transaction sees. */
  async schemaOf(txn: Transaction, signal: AbortSignal): Promise<Schema> {
    const schema = await this.#cache.schemaAt(this.store.snapshot(txn.startTs), signal)
    if (this.latest === undefined || this.latest.version < schema.version) this.latest = schema
    return schema
  }
}
