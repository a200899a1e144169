import type { Ts } from '../../tidb/ts.ts'

/** Reads of raw keys at one ts, with lock resolving and region retries (reference: upstream, section 9). */
export interface Snapshot {
  readonly ts: Ts
  get(key: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined>
  /** Pairs with start ≤ key < end in key order, in chunks. */
  scan(start: Uint8Array, end: Uint8Array, signal: AbortSignal): AsyncIterable<readonly KvPair[]>
}

export interface KvPair {
  readonly key: Uint8Array
  readonly value: Uint8Array
}
