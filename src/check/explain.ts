import { describeError, errorCode } from '../base/errors.ts'
import { checkReplicaConfig } from '../config/check-replica-config.ts'
import type { DispatchRuleConfig, EventFilterConfig, ReplicaConfig } from '../config/replica-config.ts'
import type { SinkSettings } from '../config/sink-settings.ts'
import { type Dispatcher, dispatcherOf } from '../dispatcher/dispatcher.ts'
import { hashedColumns, partitionWord } from '../dispatcher/partition.ts'
import type { TableName } from '../event/ddl-event.ts'
import { ColumnFlag, type TableVersion } from '../event/table-version.ts'
import { createFilter, type Filter, isSystemSchema } from '../filter/filter.ts'
import { ruleWarnings } from './rule-warnings.ts'

/** A table to be explained; without `version` nothing is known but its name. */
export interface AskedTable {
  readonly schema: string
  readonly table: string
  readonly version?: TableVersion | undefined
}

/** What a configuration does with one table. */
export interface TableExplanation {
  readonly schema: string
  readonly table: string
  readonly replicated: boolean
  /** Which rule decided about that. */
  readonly because: string
  /** The following are absent for a table that is not replicated, and topic to hashed for a sink without topics. */
  /** What it is called downstream, where that is another name. */
  readonly target?: string
  readonly topic?: string
  /** Of `sink.dispatchers`; absent = no rule takes the table, and the defaults apply. */
  readonly dispatcher?: string
  readonly partition?: string
  /** As the sink URI has it; 0 = as many as the topic has. */
  readonly partitions?: number
  readonly columnsHashed?: readonly string[]
  /** Absent where the table's columns are not known. */
  readonly columnsSent?: readonly string[]
  /** Of `sink.column-selectors`, where one applies. */
  readonly selector?: string
  readonly ignored?: readonly IgnoredEvents[]
  readonly warnings: readonly string[]
  /** What creating the changefeed would be refused with. */
  readonly errors: readonly { readonly code: string; readonly message: string }[]
}

export interface IgnoredEvents {
  readonly eventFilter: string
  /** Words of `ignore-event`. */
  readonly events: readonly string[]
  readonly sql: readonly string[]
  /** Rows that are ignored where an expression is 1. */
  readonly rows: readonly { readonly kind: string; readonly where: string }[]
}

export interface Explanation {
  readonly tables: readonly TableExplanation[]
  /** About rules, not about one table. */
  readonly warnings: readonly string[]
}

/**
 * Says what a configuration does with tables. `cluster`: the tables are all that exist, so that what matches none of them
 * is known. Errors: those of {@link checkReplicaConfig}, `createFilter` and `createDispatcher`.
 */
export function explain(
  given: ReplicaConfig,
  sinkUri: string,
  tables: readonly AskedTable[],
  { cluster }: { readonly cluster: boolean },
): Explanation {
  const { config, sink, warnings } = checkReplicaConfig(sinkUri, given)
  const { caseSensitive, forceReplicate } = config
  const filter = createFilter(config.filter, { caseSensitive, forceReplicate })
  const dispatcher = dispatcherOf(sink, config)
  dispatcher.checkConfig()
  const checkRoute = dispatcher.routes?.conflictCheck()
  const compiled: Compiled = { config, sink, filter, dispatcher, checkRoute }
  const explained = tables.map((table) => explainTable(table, compiled))
  return {
    tables: explained,
    warnings: [
      ...warnings,
      ...ruleWarnings(config, filter, dispatcher, cluster ? tables : []),
      ...collisions(explained),
    ],
  }
}

interface Compiled {
  readonly config: ReplicaConfig
  readonly sink: SinkSettings
  readonly filter: Filter
  readonly dispatcher: Dispatcher
  /** Of tables in their order: a later one may not be called as an earlier one is. */
  readonly checkRoute: ((table: TableName) => void) | undefined
}

function explainTable(asked: AskedTable, compiled: Compiled): TableExplanation {
  const { schema, table, version } = asked
  const { config, filter } = compiled
  const because = reasonOf(asked, compiled)
  const eligible = version === undefined || filter.isEligible(version.info)
  if (!filter.matchesTable(schema, table))
    return { schema, table, replicated: false, because, warnings: [], errors: [] }
  if (!eligible) {
    const text = `[CDC:ErrTableIneligible]some tables are not eligible to replicate: ${schema}.${table} has no primary key and no not-null unique key`
    const errors = config.ignoreIneligibleTable ? [] : [{ code: 'CDC:ErrTableIneligible', message: text }]
    const warnings = ['set force-replicate = true to replicate it, or ignore-ineligible-table = true to go without it']
    return { schema, table, replicated: false, because: 'it has no key', warnings, errors }
  }
  const ignored = filter.eventFiltersOf(schema, table).map(({ index, config: one }) => ignoredBy(index, one))
  return { ...dispatchOf(asked, compiled), schema, table, replicated: true, because, ignored }
}

function reasonOf({ schema, table }: AskedTable, { config, filter }: Compiled): string {
  if (isSystemSchema(schema)) return 'system schemas are never replicated'
  const at = filter.decidingRule(schema, table)
  if (at === undefined) return 'no rule of filter.rules matches it'
  const rule = config.filter.rules[at]
  return rule === undefined ? 'the default rule *.*' : `filter.rules[${at}] '${rule}'`
}

type Dispatch = Omit<TableExplanation, 'schema' | 'table' | 'replicated' | 'because' | 'ignored'>

function dispatchOf({ schema, table, version }: AskedTable, compiled: Compiled): Dispatch {
  const { config, sink, filter, dispatcher, checkRoute } = compiled
  const errors: { code: string; message: string }[] = []
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work()
    } catch (error) {
      const found = { code: errorCode(error), message: describeError(error) }
      if (!errors.some(({ message }) => message === found.message)) errors.push(found)
      return undefined
    }
  }
  if (version !== undefined) attempt(() => filter.checkTable(version))
  if (sink.scheme !== 'kafka') {
    const sent = version?.columns.map(({ name }) => name)
    return { ...(sent === undefined ? {} : { columnsSent: sent }), warnings: [], errors }
  }
  if (version !== undefined) attempt(() => dispatcher.checkTable(version))
  attempt(() => checkRoute?.({ schema, table }))
  const { rule, config: ruleConfig, selector } = dispatcher.explain(schema, table)
  const word = partitionWord(ruleConfig) || 'default'
  const selection = version === undefined ? undefined : attempt(() => dispatcher.selectColumns(version))
  const shown = selection?.table ?? version
  const place = rule === undefined ? 'the default' : `sink.dispatchers[${rule}]`
  const setting = { partitions: 1, place, sent: selection?.positions }
  const hashed =
    version === undefined ? namedColumns(ruleConfig, word) : attempt(() => hashedColumns(ruleConfig, version, setting))
  const topic = dispatcher.topicOf(schema, table)
  const isDefault = topic === sink.topic
  const target = dispatcher.routes?.route(schema, table)
  const renamed = target !== undefined && (target.schema !== schema || target.table !== table)
  return {
    ...(renamed ? { target: `${target.schema}.${target.table}` } : {}),
    topic,
    ...(rule === undefined ? {} : { dispatcher: describeRule(place, ruleConfig) }),
    partition: word,
    partitions: isDefault ? (sink.partitionNum ?? 0) : 0,
    ...(hashed === undefined ? {} : { columnsHashed: hashed }),
    ...(shown === undefined ? {} : { columnsSent: shown.columns.map(({ name }) => name) }),
    ...(selector === undefined
      ? {}
      : {
          selector: `sink.column-selectors[${selector}] [${config.sink.columnSelectors[selector]?.columns.join(', ') ?? ''}]`,
        }),
    warnings: version === undefined ? [] : orderWarnings(word, hashed ?? [], version, config),
    errors,
  }
}

const describeRule = (place: string, { matcher, topic, index, columns }: DispatchRuleConfig): string =>
  [
    `${place} matcher [${matcher.join(', ')}]`,
    ...(topic === '' ? [] : [`topic '${topic}'`]),
    ...(index === '' ? [] : [`index '${index}'`]),
    ...(columns.length === 0 ? [] : [`columns [${columns.join(', ')}]`]),
  ].join(', ')

/** What is hashed as far as the rule alone tells. */
function namedColumns({ index, columns }: DispatchRuleConfig, word: string): readonly string[] | undefined {
  if (word === 'columns') return columns
  return word === 'index-value' || word === 'rowid' ? [index === '' ? '(handle key)' : `(index ${index})`] : []
}

/** Ways in which changes of one row may reach a consumer out of order. */
function orderWarnings(
  word: string,
  hashed: readonly string[],
  table: TableVersion,
  config: ReplicaConfig,
): readonly string[] {
  if (word === 'ts')
    return ['partition = "ts" spreads the changes of one row over partitions: a consumer may see them out of order']
  if (word === 'index-value' || word === 'rowid') {
    if (hashed.length === 0)
      return ['no column is hashed, since the table has no key that is sent: all its rows go to one partition']
    if (config.sink.kafkaConfig?.['outputRawChangeEvent'] !== true) return []
    return ['output-raw-change-event = true: an update of the key leaves the old partition without a delete']
  }
  if (word !== 'columns') return []
  const key = ColumnFlag.UniqueKey | ColumnFlag.HandleKey
  const loose = hashed.filter((name) => table.columns.some((one) => one.name === name && (one.flags & key) === 0))
  if (loose.length === 0) return []
  return [
    `${loose.join(', ')} may change while the row stays the same: an update of it moves the row to another partition, where a consumer may see it before older changes`,
  ]
}

function ignoredBy(index: number, config: EventFilterConfig): IgnoredEvents {
  const rows = [
    { kind: 'insert', where: config.ignoreInsertValueExpr },
    { kind: 'update, new row', where: config.ignoreUpdateNewValueExpr },
    { kind: 'update, old row', where: config.ignoreUpdateOldValueExpr },
    { kind: 'delete', where: config.ignoreDeleteValueExpr },
  ].filter(({ where }) => where !== '')
  return { eventFilter: `filter.event-filters[${index}]`, events: config.ignoreEvent, sql: config.ignoreSql, rows }
}

/** Tables that one topic expression sends to one topic because a topic's name can hold fewer characters. */
function collisions(tables: readonly TableExplanation[]): readonly string[] {
  const groups = new Map<string, string[]>()
  for (const { schema, table, topic, dispatcher } of tables) {
    if (topic === undefined || !/topic '[^']*\{table\}/.test(dispatcher ?? '')) continue
    if (!/topic '[^']*\{schema\}/.test(dispatcher ?? '')) continue
    const names = groups.get(topic) ?? []
    names.push(`${schema}.${table}`)
    groups.set(topic, names)
  }
  return [...groups].flatMap(([topic, names]) =>
    names.length < 2
      ? []
      : [`${names.join(' and ')} share the topic ${topic}, which cannot hold their names as they are`],
  )
}
