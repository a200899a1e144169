import { CdcError } from '../base/errors.ts'
import type { ColumnSelectorConfig } from '../config/replica-config.ts'
import { parseColumnRules, parseTableRules } from '../config/table-rules.ts'
import type { RowChange, Values } from '../event/row-change.ts'
import type { TableVersion } from '../event/table-version.ts'

/** The columns of one table version that are sent. */
export interface ColumnSelection {
  /** The table as the encoder sees it, without the columns that are not sent. */
  readonly table: TableVersion
  /** Positions in the whole table's columns, in table order. */
  readonly positions: readonly number[]
  /** The row without them. */
  readonly select: (row: RowChange) => RowChange
}

/** `sink.column-selectors`, compiled (reference: dispatch, section 6). */
export interface ColumnSelectors {
  /** Index of the selector that applies, the first whose matcher takes the table; undefined = all columns are sent. */
  selectorOf(schema: string, table: string): number | undefined
  /** undefined = all columns are sent. Error: `CDC:ErrColumnSelectorFailed` where no key is left. */
  compile(table: TableVersion): ColumnSelection | undefined
  /** As compile; also where a selector that takes the table drops one of `dispatched`. */
  checkTable(table: TableVersion, dispatched: readonly string[]): void
}

/** Errors: `CDC:ErrFilterRuleInvalid` for matchers and column rules. */
export function createColumnSelectors(
  configs: readonly ColumnSelectorConfig[],
  options: { readonly caseSensitive: boolean },
): ColumnSelectors {
  const selectors = configs.map(({ matcher, columns }, at) => {
    const place = `sink.column-selectors[${at}]`
    const tables = parseTableRules(matcher, { ...options, place: `${place}.matcher` })
    return {
      place,
      matches: (schema: string, table: string): boolean => tables.matchesTable(schema, table),
      keeps: parseColumnRules(columns, `${place}.columns`),
    }
  })
  const compile = (table: TableVersion): ColumnSelection | undefined => {
    const selector = selectors.find(({ matches }) => matches(table.schema, table.table))
    if (selector === undefined) return undefined
    const positions = [...table.columns.keys()].filter((at) => selector.keeps(table.columns[at]?.name ?? ''))
    if (!keepsKey(table, new Set(positions))) {
      const text = `no primary key columns or unique key columns obtained after filter out, table: ${table.schema}.${table.table} (${selector.place})`
      throw new CdcError('CDC:ErrColumnSelectorFailed', text)
    }
    if (positions.length === table.columns.length) return undefined
    return selectionOf(table, positions)
  }
  return {
    selectorOf(schema, table) {
      const at = selectors.findIndex(({ matches }) => matches(schema, table))
      return at < 0 ? undefined : at
    },
    compile,
    checkTable(table, dispatched) {
      compile(table)
      for (const { place, matches, keeps } of selectors) {
        if (!matches(table.schema, table.table)) continue
        const dropped = dispatched.find((name) => !keeps(name))
        if (dropped === undefined) continue
        const text = `the filtered out column is used in the column dispatcher, table: ${table.schema}.${table.table}, column: ${dropped} (${place})`
        throw new CdcError('CDC:ErrColumnSelectorFailed', text)
      }
    },
  }
}

/** The whole primary key is left, or one unique index; a table without primary key has nothing to lose. */
function keepsKey({ keys }: TableVersion, kept: ReadonlySet<number>): boolean {
  const primary = keys.find((key) => key.primary)
  if (primary === undefined) return true
  return keys.some((key) => (key.primary || key.unique) && key.columns.every((at) => kept.has(at)))
}

function selectionOf(table: TableVersion, positions: readonly number[]): ColumnSelection {
  const moved = new Map(positions.map((at, to) => [at, to]))
  const pick = (values: Values | undefined): Values | undefined =>
    values === undefined ? undefined : positions.map((at) => values[at] ?? null)
  return {
    positions,
    table: {
      ...table,
      columns: positions.flatMap((at) => table.columns[at] ?? []),
      handleKey: table.handleKey.flatMap((at) => moved.get(at) ?? []),
      keys: table.keys.flatMap((key) => {
        const columns = key.columns.flatMap((at) => moved.get(at) ?? [])
        return columns.length === key.columns.length ? [{ ...key, columns }] : []
      }),
    },
    select: (row) => ({ ...row, before: pick(row.before), after: pick(row.after) }),
  }
}
