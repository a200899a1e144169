import { CdcError } from '../base/errors.ts'
import type { EventFilterConfig } from '../config/replica-config.ts'
import { compileRe2 } from '../config/re2.ts'
import { parseTableRules, type RuleOptions } from '../config/table-rules.ts'
import type { RowChange } from '../event/row-change.ts'
import type { TableVersion } from '../event/table-version.ts'
import { ignoresDdlType, IGNORABLE_EVENTS } from './ddl-events.ts'
import type { ExpressionContext } from './expression/operand.ts'
import { parseRowTest, type RowTest, type RowTestPlan } from './expression/row-test.ts'

/** One of `filter.event-filters`, compiled. */
export interface EventFilter {
  readonly config: EventFilterConfig
  /** An empty table stands for the schema as a whole. */
  matches(schema: string, table: string): boolean
  ignoresDdl(type: number, query: string): boolean
  /** True for rows to be dropped by their type; undefined = none is. */
  rowTypes(): RowTypes | undefined
  /** True for rows to be dropped by their values; undefined = there is no expression. Errors come with the first row. */
  compileValues(table: TableVersion, context: ExpressionContext): ((row: RowChange) => boolean) | undefined
  /** Compiles every expression for a table. Errors: {@link RowTestPlan.compile}. */
  checkTable(table: TableVersion, context: ExpressionContext): void
}

interface RowTypes {
  readonly inserts: boolean
  readonly updates: boolean
  readonly deletes: boolean
}

/** `at`: index in the list, for errors. Errors: those of `createFilter`. */
export function compileEventFilter(config: EventFilterConfig, at: number, options: RuleOptions): EventFilter {
  const unknown = config.ignoreEvent.find((word) => !IGNORABLE_EVENTS.has(word))
  const place = `filter.event-filters[${at}]`
  if (unknown !== undefined) throw unknownEvent(unknown, place)
  const rules = parseTableRules(config.matcher, { ...options, place: `${place}.matcher` })
  const sql = config.ignoreSql.length === 0 ? undefined : compileSqlPatterns(config.ignoreSql, place)
  const test = (key: string, text: string): RowTestPlan | undefined =>
    text === '' ? undefined : parseRowTest({ place: `${place}.${key}`, text })
  const inserted = test('ignore-insert-value-expr', config.ignoreInsertValueExpr)
  const updatedNew = test('ignore-update-new-value-expr', config.ignoreUpdateNewValueExpr)
  const updatedOld = test('ignore-update-old-value-expr', config.ignoreUpdateOldValueExpr)
  const deleted = test('ignore-delete-value-expr', config.ignoreDeleteValueExpr)
  const plans = [inserted, updatedNew, updatedOld, deleted].filter((one) => one !== undefined)

  const ignores = (word: string): boolean => config.ignoreEvent.some((one) => one === word || one === 'all dml')
  const types = { inserts: ignores('insert'), updates: ignores('update'), deletes: ignores('delete') }

  return {
    config,
    matches: (schema, table) => (table === '' ? rules.matchesSchema(schema) : rules.matchesTable(schema, table)),
    ignoresDdl: (type, query) =>
      ignoresDdlType(config.ignoreEvent, type) || (query !== '' && sql !== undefined && sql.test(query)),
    rowTypes: () => (types.inserts || types.updates || types.deletes ? types : undefined),
    compileValues(table, context) {
      if (plans.length === 0) return undefined
      const [insert, updateNew, updateOld, remove] = [inserted, updatedNew, updatedOld, deleted].map((plan) =>
        onUse(plan, table, context),
      )
      return ({ before, after }) => {
        if (before === undefined) return after !== undefined && insert?.(after) === true
        if (after === undefined) return remove?.(before) === true
        return updateOld?.(before) === true || updateNew?.(after) === true
      }
    },
    checkTable(table, context) {
      for (const plan of plans) plan.compile(table, context)
    },
  }
}

/** Compiled with the first row that needs it: a broken expression harms no other kind of row. */
function onUse(plan: RowTestPlan | undefined, table: TableVersion, context: ExpressionContext): RowTest | undefined {
  if (plan === undefined) return undefined
  let test: RowTest | undefined
  return (row) => {
    test ??= plan.compile(table, context)
    return test(row)
  }
}

function unknownEvent(word: string, place: string): CdcError {
  const plain = word.trim().toLowerCase()
  const near = [...IGNORABLE_EVENTS].find((known) => known === plain || isOneEditApart(known, plain))
  const hint = near === undefined ? '' : `, did you mean '${near}'?`
  return new CdcError('CDC:ErrInvalidIgnoreEventType', `invalid ignore event type: '${word}'${hint} (${place})`)
}

/** One letter more, less, or another one. */
function isOneEditApart(a: string, b: string): boolean {
  let start = 0
  while (start < a.length && a[start] === b[start]) start++
  const [restA, restB] = [a.slice(start), b.slice(start)]
  return restA.slice(1) === restB || restA === restB.slice(1) || restA.slice(1) === restB.slice(1)
}

function compileSqlPatterns(patterns: readonly string[], place: string): RegExp {
  try {
    for (const pattern of patterns) compileRe2(pattern, { ignoreCase: true })
    return compileRe2(patterns.join('|'), { ignoreCase: true })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const text = `filter rule is invalid: ${place}.ignore-sql: ${reason}`
    throw new CdcError('CDC:ErrFilterRuleInvalid', text, { cause: error })
  }
}
