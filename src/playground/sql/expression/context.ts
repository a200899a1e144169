import type { FieldType } from '../../../tidb/table-info.ts'
import type { CastContext } from '../value/cast.ts'
import type { DateTime } from '../value/time.ts'
import type { Value } from '../value/value.ts'

/** What an expression may ask of its statement and session. */
export interface EvalContext {
  readonly cast: CastContext
  /** Values for `?`. */
  readonly parameters: readonly Value[]
  /** The statement's time with microseconds, in the session's zone. */
  readonly now: DateTime
  /** Milliseconds since 1970 of the same. */
  readonly nowMs: number
  readonly database: string
  readonly user: string
  readonly connectionId: number
  readonly lastInsertId: bigint
  readonly rowCount: bigint
  readonly foundRows: bigint
  readonly sqlMode: { readonly divisionError: boolean; readonly pipesAsConcat: boolean }
  systemVariable(scope: 'session' | 'global' | 'default', name: string): Value
  userVariable(name: string): Value
  setUserVariable(name: string, value: Value): void
  /** LAST_INSERT_ID(n) */
  setLastInsertId(value: bigint): void
}

/** A column that an expression can name. */
export interface ScopeColumn {
  readonly schema: string
  readonly table: string
  readonly name: string
  readonly type: FieldType
  /** Left out by a star. */
  readonly hidden?: boolean
}

/** The columns of the rows that an expression is evaluated on; a row has its values in this order. */
export type Scope = readonly ScopeColumn[]
