import { CdcError } from '../base/errors.ts'
import type { EventFilterConfig, FilterConfig } from '../config/replica-config.ts'
import { compileRe2 } from '../config/re2.ts'
import { parseTableRules, toLower, type TableRules } from '../config/table-rules.ts'
import type { RowChange } from '../event/row-change.ts'
import type { TableVersion } from '../event/table-version.ts'
import { STATE_PUBLIC, FieldFlag, type IndexInfo, type TableInfo } from '../tidb/table-info.ts'
import { ignoresDdlType, IGNORABLE_EVENTS, isReplicatedDdl, isSchemaDdl } from './ddl-events.ts'

/** What a changefeed keeps; compiled from its configuration (reference: filters). */
export interface Filter {
  /** By the rules and never true for a system schema. */
  matchesTable(schema: string, table: string): boolean
  /** For DDL of a whole schema. */
  matchesSchema(schema: string): boolean
  /** True: the job is not even applied to the schema history, its table stays unknown (section 4, stage 1). */
  discardsDdl(type: number, schema: string, table: string, startTs: bigint): boolean
  /**
   * True: the job is applied, but not sent (stage 2). `table` is empty for a schema DDL, the old name for a rename; `query`
   * is the text as the user wrote it.
   */
  ignoresDdl(type: number, schema: string, table: string, query: string, startTs: bigint): boolean
  /** Can rows of the table be told apart, or is that waived (section 9)? */
  isEligible(info: TableInfo): boolean
  /** True for rows to be dropped; undefined = there is nothing to check. */
  compileRowFilter(table: TableVersion): ((row: RowChange) => boolean) | undefined
}

export interface FilterOptions {
  readonly caseSensitive: boolean
  readonly forceReplicate: boolean
}

const SYSTEM_SCHEMAS: ReadonlySet<string> = new Set([
  'dm_heartbeat',
  'information_schema',
  'inspection_schema',
  'lightning_task_info',
  'metrics_schema',
  'mysql',
  'performance_schema',
  'sys',
  'tidb_cdc',
  'workload_schema',
])

/** Compared without regard to case; no rule can bring such a schema back. */
export const isSystemSchema = (schema: string): boolean => SYSTEM_SCHEMAS.has(toLower(schema))

/**
 * Errors: `CDC:ErrFilterRuleInvalid` for rules, matchers and patterns, `CDC:ErrInvalidIgnoreEventType`, and
 * `CDC:ErrInvalidFilterExpression` for value expressions, which are not built yet.
 */
export function createFilter(config: FilterConfig, options: FilterOptions): Filter {
  const rules = parseTableRules(config.rules.length > 0 ? config.rules : ['*.*'], options)
  const eventFilters = config.eventFilters.map((one) => compileEventFilter(one, options))
  const ignoredStartTs: ReadonlySet<bigint> = new Set(config.ignoreTxnStartTs)

  const filter: Filter = {
    matchesTable: (schema, table) => !isSystemSchema(schema) && rules.matchesTable(schema, table),
    matchesSchema: (schema) => !isSystemSchema(schema) && rules.matchesSchema(schema),
    discardsDdl(type, schema, table, startTs) {
      if (!isReplicatedDdl(type) || ignoredStartTs.has(startTs)) return true
      return !(isSchemaDdl(type) ? filter.matchesSchema(schema) : filter.matchesTable(schema, table))
    },
    ignoresDdl(type, schema, table, query, startTs) {
      if (ignoredStartTs.has(startTs)) return true
      return eventFilters.some((one) => one.matches(schema, table) && one.ignoresDdl(type, query))
    },
    isEligible(info) {
      if (info.isSequence) return false
      return options.forceReplicate || info.isView || hasHandleKey(info)
    },
    compileRowFilter(table) {
      const words = eventFilters.flatMap((one) => (one.matches(table.schema, table.table) ? one.ignoredEvents : []))
      const ignores = (word: string): boolean => words.includes(word) || words.includes('all dml')
      const [inserts, updates, deletes] = [ignores('insert'), ignores('update'), ignores('delete')]
      if (!inserts && !updates && !deletes && ignoredStartTs.size === 0) return undefined
      return (row) =>
        (row.before === undefined ? inserts : row.after === undefined ? deletes : updates) ||
        (ignoredStartTs.size > 0 && ignoredStartTs.has(row.startTs))
    },
  }
  return filter
}

interface EventFilter {
  /** An empty table stands for the schema as a whole. */
  matches(schema: string, table: string): boolean
  readonly ignoredEvents: readonly string[]
  ignoresDdl(type: number, query: string): boolean
}

function compileEventFilter(config: EventFilterConfig, options: FilterOptions): EventFilter {
  const unknown = config.ignoreEvent.find((word) => !IGNORABLE_EVENTS.has(word))
  if (unknown !== undefined) {
    throw new CdcError('CDC:ErrInvalidIgnoreEventType', `invalid ignore event type: '${unknown}'`)
  }
  refuseExpressions(config)
  const rules: TableRules = parseTableRules(config.matcher, options)
  const sql = config.ignoreSql.length === 0 ? undefined : compileSqlPatterns(config.ignoreSql)
  return {
    matches: (schema, table) => (table === '' ? rules.matchesSchema(schema) : rules.matchesTable(schema, table)),
    ignoredEvents: config.ignoreEvent,
    ignoresDdl: (type, query) =>
      ignoresDdlType(config.ignoreEvent, type) || (query !== '' && sql !== undefined && sql.test(query)),
  }
}

function compileSqlPatterns(patterns: readonly string[]): RegExp {
  try {
    for (const pattern of patterns) compileRe2(pattern, { ignoreCase: true })
    return compileRe2(patterns.join('|'), { ignoreCase: true })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CdcError('CDC:ErrFilterRuleInvalid', `filter rule is invalid: ignore-sql: ${reason}`, { cause: error })
  }
}

function refuseExpressions(config: EventFilterConfig): void {
  const keys = {
    'ignore-insert-value-expr': config.ignoreInsertValueExpr,
    'ignore-update-new-value-expr': config.ignoreUpdateNewValueExpr,
    'ignore-update-old-value-expr': config.ignoreUpdateOldValueExpr,
    'ignore-delete-value-expr': config.ignoreDeleteValueExpr,
  }
  const used = Object.entries(keys).filter(([, expression]) => expression !== '')
  if (used.length === 0) return
  const list = used.map(([key, expression]) => `${key} = '${expression}'`).join(', ')
  const text = `filter expressions are not built yet in this version, remove them from the event filter: ${list}`
  throw new CdcError('CDC:ErrInvalidFilterExpression', text)
}

function hasHandleKey(info: TableInfo): boolean {
  if (info.pkIsHandle) return true
  return info.indexes.some((index) => index.state === STATE_PUBLIC && (index.primary || isNotNullUnique(index, info)))
}

function isNotNullUnique(index: IndexInfo, info: TableInfo): boolean {
  if (!index.unique) return false
  return index.columns.every(({ offset }) => {
    const column = info.columns[offset]
    if (column === undefined) return false
    const virtual = column.generatedExpr !== '' && !column.generatedStored
    return (column.type.flag & FieldFlag.NotNull) !== 0 && !virtual
  })
}
