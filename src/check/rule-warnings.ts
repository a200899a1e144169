import type { ReplicaConfig } from '../config/replica-config.ts'
import { parseTableRules } from '../config/table-rules.ts'
import type { Dispatcher } from '../dispatcher/dispatcher.ts'
import { type Filter, isSystemSchema } from '../filter/filter.ts'

interface Named {
  readonly schema: string
  readonly table: string
}

/** Rules that do nothing, and tables that no rule takes. `tables`: all that exist; empty = that is not known. */
export function ruleWarnings(
  config: ReplicaConfig,
  filter: Filter,
  dispatcher: Dispatcher,
  tables: readonly Named[],
): readonly string[] {
  if (tables.length === 0) return []
  const kept = tables.filter(({ schema, table }) => filter.matchesTable(schema, table))
  return [
    ...idleFilterRules(config, tables),
    ...idleMatchers(config, kept),
    ...idleDispatchers(config, dispatcher, kept),
    ...leftOut(tables, filter),
  ]
}

/** Lines that match no table at all, whatever other lines say. */
function idleFilterRules({ filter, caseSensitive }: ReplicaConfig, tables: readonly Named[]): readonly string[] {
  return filter.rules.flatMap((rule, at) => {
    const positive = rule.trim().replace(/^!/, '')
    if (positive === '' || positive.startsWith('#') || positive.startsWith('@')) return []
    return matchesOne([positive], caseSensitive, tables) ? [] : [`filter.rules[${at}] '${rule}' matches no table`]
  })
}

const matchesOne = (lines: readonly string[], caseSensitive: boolean, tables: readonly Named[]): boolean => {
  const rules = parseTableRules(lines, { caseSensitive })
  return tables.some(({ schema, table }) => rules.matchesTable(schema, table))
}

function idleMatchers({ filter, sink, caseSensitive }: ReplicaConfig, kept: readonly Named[]): readonly string[] {
  const matchers = [
    ...filter.eventFilters.map(({ matcher }, at) => ({ place: `filter.event-filters[${at}]`, matcher })),
    ...sink.columnSelectors.map(({ matcher }, at) => ({ place: `sink.column-selectors[${at}]`, matcher })),
    ...sink.dispatchers.map(({ matcher }, at) => ({ place: `sink.dispatchers[${at}]`, matcher })),
  ]
  return matchers.flatMap(({ place, matcher }) =>
    matchesOne(matcher, caseSensitive, kept)
      ? []
      : [`${place} matcher [${matcher.join(', ')}] matches no table that is replicated`],
  )
}

/** Dispatchers and selectors that match tables, of which earlier ones take every one. */
function idleDispatchers(
  { sink, caseSensitive }: ReplicaConfig,
  dispatcher: Dispatcher,
  kept: readonly Named[],
): readonly string[] {
  const decisions = kept.map(({ schema, table }) => dispatcher.explain(schema, table))
  const idle = (
    place: string,
    rules: readonly { readonly matcher: readonly string[] }[],
    used: readonly (number | undefined)[],
  ): readonly string[] =>
    rules.flatMap(({ matcher }, at) =>
      used.includes(at) || !matchesOne(matcher, caseSensitive, kept)
        ? []
        : [`${place}[${at}] matcher [${matcher.join(', ')}] never decides: earlier rules take all its tables`],
    )
  return [
    ...idle(
      'sink.dispatchers',
      sink.dispatchers,
      decisions.map(({ rule }) => rule),
    ),
    ...idle(
      'sink.column-selectors',
      sink.columnSelectors,
      decisions.map(({ selector }) => selector),
    ),
  ]
}

function leftOut(tables: readonly Named[], filter: Filter): readonly string[] {
  const names = tables
    .filter(({ schema, table }) => !isSystemSchema(schema) && filter.decidingRule(schema, table) === undefined)
    .map(({ schema, table }) => `${schema}.${table}`)
  return names.length === 0 ? [] : [`no filter rule matches ${names.join(', ')}`]
}
