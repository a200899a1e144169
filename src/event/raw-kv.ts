import type { Ts } from '../tidb/ts.ts'
import type { RawRows } from './raw-row.ts'

/**
 * One committed change of one key, as an object of its own; what carries many rows uses `RawRow`. `key` is raw (`t…_r…`),
 * not memcomparable-encoded.
 */
export interface RawKv {
  readonly startTs: Ts
  readonly commitTs: Ts
  readonly key: Uint8Array
  /** undefined = the key was deleted. */
  readonly value: Uint8Array | undefined
  /** undefined = the key did not exist before, or its old value is not known. */
  readonly oldValue: Uint8Array | undefined
}

/** Order inside a transaction: delete < update < insert (reference: pipeline, section 3.2). */
export const opOrder = (kv: RawKv): 1 | 2 | 3 => (kv.value === undefined ? 1 : kv.oldValue === undefined ? 3 : 2)

/** How far a span is. `complete`: no row with this commitTs follows; else the checkpoint stays at `commitTs - 1`. */
export interface Position {
  readonly commitTs: Ts
  readonly startTs: Ts
  readonly complete: boolean
}

/** Rows of one span in sorter order (commitTs, startTs, delete < update < insert, key), never empty. */
export interface RawBatch {
  readonly rows: RawRows
  /** `whole`: whole transactions. The others: pieces of one transaction that is larger than a batch. */
  readonly part: 'whole' | 'first' | 'middle' | 'last'
  readonly end: Position
  /** Bytes that the batch holds, for the memory quota. */
  readonly bytes: number
}
