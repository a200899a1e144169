import type { TableInfo } from '../tidb/table-info.ts'
import type { Ts } from '../tidb/ts.ts'

/** Reads of raw meta keys at one ts; the upstream's snapshot is one. */
export interface MetaReader {
  readonly ts: Ts
  get(key: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined>
  /** Pairs with start ≤ key < end in key order, in chunks. */
  scan(
    start: Uint8Array,
    end: Uint8Array,
    signal: AbortSignal,
  ): AsyncIterable<readonly { readonly key: Uint8Array; readonly value: Uint8Array }[]>
}

/** What the tracker asks of the changefeed's filter. Names as the upstream has them. */
export interface TableFilter {
  matchesSchema(schema: string): boolean
  matchesTable(schema: string, table: string): boolean
  /** An event filter, or `ignore-txn-start-ts`, keeps the DDL from downstream; the schema changes all the same. */
  ignoresDdl(type: number, schema: string, table: string, query: string, startTs: Ts): boolean
  isEligible(info: TableInfo): boolean
}
