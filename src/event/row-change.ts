import type { Value } from '../tidb/value.ts'
import type { Ts } from '../tidb/ts.ts'

export type { Value }

/** The values of a row in the order of `TableVersion.columns`. */
export type Values = readonly Value[]

/** insert: no `before`; delete: no `after`; update: both; the delete of a key that did not exist: neither. */
export interface RowChange {
  readonly startTs: Ts
  readonly commitTs: Ts
  /** The raw record key, for protocols that print the row's handle; a view that lives as long as the raw pair. */
  readonly key?: Uint8Array
  /** Only where the changefeed checks integrity and TiDB wrote a checksum. */
  readonly checksum?: RowChecksums
  readonly before: Values | undefined
  readonly after: Values | undefined
}

/** CRC-32 over the values in the order of column ids, as consumers verify it; 0 = that side has none. */
export interface RowChecksums {
  /** Of what the row stores: 0 = over its values, 1 and 2 = over its bytes. */
  readonly version: number
  /** What the row stores did not fit its values. */
  readonly corrupted: boolean
  readonly current: number
  readonly previous: number
}
