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
  readonly before: Values | undefined
  readonly after: Values | undefined
}
