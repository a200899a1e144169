import type { EventFilterConfig, FilterConfig } from '../config/replica-config.ts'
import { parseTableRules, toLower } from '../config/table-rules.ts'
import type { RowChange } from '../event/row-change.ts'
import type { TableVersion } from '../event/table-version.ts'
import { STATE_PUBLIC, FieldFlag, type IndexInfo, type TableInfo } from '../tidb/table-info.ts'
import { openTimeZone } from '../tidb/time-zone.ts'
import { isReplicatedDdl, isSchemaDdl } from './ddl-events.ts'
import { compileEventFilter } from './event-filter.ts'
import type { ExpressionContext } from './expression/operand.ts'

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
  /**
   * True for rows to be dropped; undefined = there is nothing to check. A value expression that does not fit the table
   * fails with the first row that needs it, as {@link Filter.checkTable} does.
   */
  compileRowFilter(table: TableVersion): ((row: RowChange) => boolean) | undefined
  /**
   * Compiles every value expression for a table. Errors: `CDC:ErrExpressionColumnNotFound`,
   * `CDC:ErrInvalidFilterExpression`.
   */
  checkTable(table: TableVersion): void
  /** Index in `filter.rules` of the rule that decides about a table; undefined = none matches it. */
  decidingRule(schema: string, table: string): number | undefined
  /** Event filters whose matcher takes a table (or, with an empty one, the schema), by their index in the configuration. */
  eventFiltersOf(schema: string, table: string): readonly MatchingEventFilter[]
}

export interface MatchingEventFilter {
  readonly index: number
  readonly config: EventFilterConfig
}

export interface FilterOptions {
  readonly caseSensitive: boolean
  readonly forceReplicate: boolean
  /** In which expressions read times; the machine's when absent. */
  readonly timeZone?: string
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
 * `CDC:ErrInvalidFilterExpression` for a value expression that nobody can read.
 */
export function createFilter(config: FilterConfig, options: FilterOptions): Filter {
  const rules = parseTableRules(config.rules.length > 0 ? config.rules : ['*.*'], { ...options, place: 'filter.rules' })
  const eventFilters = config.eventFilters.map((one, at) => compileEventFilter(one, at, options))
  const context: ExpressionContext = { zone: openTimeZone(options.timeZone ?? ''), now: Date.now }
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
      const matching = eventFilters.filter((one) => one.matches(table.schema, table.table))
      const types = matching.map((one) => one.rowTypes()).filter((one) => one !== undefined)
      const tests = matching.map((one) => one.compileValues(table, context)).filter((one) => one !== undefined)
      if (types.length === 0 && tests.length === 0 && ignoredStartTs.size === 0) return undefined
      const inserts = types.some((one) => one.inserts)
      const updates = types.some((one) => one.updates)
      const deletes = types.some((one) => one.deletes)
      return (row) =>
        (row.before === undefined ? inserts : row.after === undefined ? deletes : updates) ||
        (ignoredStartTs.size > 0 && ignoredStartTs.has(row.startTs)) ||
        tests.some((ignores) => ignores(row))
    },
    checkTable(table) {
      for (const one of eventFilters) if (one.matches(table.schema, table.table)) one.checkTable(table, context)
    },
    decidingRule: (schema, table) => rules.decidingLine(schema, table),
    eventFiltersOf: (schema, table) =>
      eventFilters.flatMap((one, index) => (one.matches(schema, table) ? [{ index, config: one.config }] : [])),
  }
  return filter
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
