import type { Ts } from '../../../tidb/ts.ts'
import type { Snapshot } from '../../../upstream/tikv/snapshot.ts'

/** Rows written by a reorganization: TiKV keeps them out of the change feed (reference: upstream 10.4). */
export const LOSSY_DDL = 1n << 8n

/** One key of a transaction. `insert` must not find a value; `lock` writes nothing and conflicts like a write. */
export type Mutation =
  | { readonly kind: 'put' | 'insert'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'delete' | 'lock'; readonly key: Uint8Array }

export interface CommitOptions {
  readonly asyncCommit: boolean
  readonly onePhase: boolean
  /** Bits that tell the change feed what a transaction is for; {@link LOSSY_DDL}. */
  readonly txnSource?: bigint
}

export interface StoredRegion {
  readonly id: bigint
  readonly startKey: Uint8Array
  readonly endKey: Uint8Array
}

/** What the SQL front needs of a cluster: timestamps, reads at a timestamp, and transactions. */
export interface TxnStore extends AsyncDisposable {
  timestamp(signal: AbortSignal): Promise<Ts>
  snapshot(ts: Ts): Snapshot
  /**
   * Commits all mutations or none, and resolves with commitTs. SqlError 9007: another transaction wrote one of the keys
   * after startTs; KeyExistsError: an inserted key has a value.
   */
  commit(startTs: Ts, mutations: readonly Mutation[], options: CommitOptions, signal: AbortSignal): Promise<Ts>
  /** Regions in key order; keys are memcomparable, an empty end is without end. */
  regions(signal: AbortSignal): Promise<readonly StoredRegion[]>
  /** Asks for a region boundary at a raw key; failing to is not an error. */
  split(key: Uint8Array, signal: AbortSignal): Promise<void>
}

/** An `insert` found its key taken. */
export class KeyExistsError extends Error {
  readonly key: Uint8Array

  constructor(key: Uint8Array) {
    super('key exists')
    this.name = 'KeyExistsError'
    this.key = key
  }
}
