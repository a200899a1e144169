import type { Value } from '../tidb/value.ts'
import type { Ts } from '../tidb/ts.ts'

export type { Value }

/** The values of a row in the order of `TableVersion.columns`. */
export type Values = readonly Value[]

/** insert: no `before`; delete: no `after`; update: both. */
export interface RowChange {
  readonly startTs: Ts
  readonly commitTs: Ts
  readonly before: Values | undefined
  readonly after: Values | undefined
}
