import { CdcError } from '../base/errors.ts'
import type { DispatchRuleConfig, ReplicaConfig, SinkConfig } from '../config/replica-config.ts'
import type { SinkSettings } from '../config/sink-settings.ts'
import { parseTableRules, type TableRules } from '../config/table-rules.ts'
import type { TableVersion } from '../event/table-version.ts'
import { type ColumnSelection, createColumnSelectors } from './column-selector.ts'
import {
  compilePartition,
  compileStoredPartition,
  PARTITION_RULES,
  partitionWord,
  type PartitionOf,
  type PartitionOfStored,
} from './partition.ts'
import { createTableRoutes, type TableRoutes } from './table-route.ts'
import { compileTopic, type TopicOf } from './topic.ts'

/** Which topic and partition an event goes to (reference: dispatch). */
export interface Dispatcher {
  /** The default topic for an empty table, that is, for DDL of a schema. A rename goes by the old name. */
  topicOf(schema: string, table: string): string
  /** Of whole rows. Errors: `CDC:ErrDispatcherFailed`, as {@link Dispatcher.checkTable}. */
  compile(table: TableVersion, partitions: number): PartitionOf
  /** The same of rows as they are stored. `cellOf`: the cell of each column of the table. */
  compileStored(table: TableVersion, partitions: number, cellOf: readonly number[]): PartitionOfStored
  /** The columns that are sent; undefined = all. Error: `CDC:ErrColumnSelectorFailed` where no key is left. */
  selectColumns(table: TableVersion): ColumnSelection | undefined
  /** Names of tables downstream; undefined = as they are. */
  readonly routes: TableRoutes | undefined
  /** What decides about a table, for people who ask. */
  explain(schema: string, table: string): DispatchDecision
  /** Refuses what a stored changefeed may hold, but no new one: `CDC:ErrSinkInvalidConfig`, naming every fault. */
  checkConfig(): void
  /**
   * Errors: `CDC:ErrDispatcherFailed` where the table lacks the index or columns of its rule, `CDC:ErrColumnSelectorFailed`
   * where a selector leaves no key, or drops a column of the rule.
   */
  checkTable(table: TableVersion): void
}

export interface DispatchDecision {
  /** In `sink.dispatchers`; undefined = no rule takes the table, and the default applies. */
  readonly rule: number | undefined
  readonly config: DispatchRuleConfig
  /** In `sink.column-selectors`; undefined = all columns are sent. */
  readonly selector: number | undefined
}

export interface DispatcherOptions {
  /** Of the sink URI. */
  readonly defaultTopic: string
  readonly caseSensitive: boolean
  readonly protocol: string
}

/** The part of a sink's configuration that matters here. */
export type DispatchConfig = Pick<SinkConfig, 'dispatchers' | 'columnSelectors'>

interface Rule {
  readonly matcher: TableRules
  readonly topicOf: TopicOf
  readonly config: DispatchRuleConfig
  /** In the configuration, for errors. */
  readonly place: string
}

const EVERY_TABLE: DispatchRuleConfig = {
  matcher: ['*.*'],
  dispatcher: '',
  partition: 'default',
  index: '',
  columns: [],
  topic: '',
}

/**
 * Errors: `CDC:ErrFilterRuleInvalid` for matchers and column rules, `CDC:ErrKafkaTopicExprInvalid`,
 * `CDC:ErrSinkInvalidConfig` for a rule with both names of `partition`.
 */
export function createDispatcher(config: DispatchConfig, options: DispatcherOptions): Dispatcher {
  const rules = [...config.dispatchers, EVERY_TABLE].map((rule, at) => compileRule(rule, at, options))
  const selectors = createColumnSelectors(config.columnSelectors, options)
  /** The first rule wins; the last one takes every table. */
  const ruleOf = (schema: string, table: string): Rule => {
    const rule = rules.find(({ matcher }) => matcher.matchesTable(schema, table))
    if (rule === undefined) throw new TypeError(`no dispatch rule for ${schema}.${table}`)
    return rule
  }
  const compile = (table: TableVersion, partitions: number): PartitionOf => {
    const { config: rule, place } = ruleOf(table.schema, table.table)
    return compilePartition(rule, table, { partitions, place, sent: selectors.compile(table)?.positions })
  }
  return {
    topicOf: (schema, table) => (table === '' ? options.defaultTopic : ruleOf(schema, table).topicOf(schema, table)),
    compile,
    compileStored(table, partitions, cellOf) {
      const { config: rule, place } = ruleOf(table.schema, table.table)
      const setting = { partitions, place, sent: selectors.compile(table)?.positions }
      return compileStoredPartition(rule, table, setting, cellOf)
    },
    selectColumns: (table) => selectors.compile(table),
    routes: createTableRoutes(config.dispatchers, options),
    explain(schema, table) {
      const rule = ruleOf(schema, table)
      const at = rules.indexOf(rule)
      return {
        rule: at < config.dispatchers.length ? at : undefined,
        config: rule.config,
        selector: selectors.selectorOf(schema, table),
      }
    },
    checkConfig: () => checkRules(config.dispatchers),
    checkTable(table) {
      compile(table, 1)
      const { config: rule } = ruleOf(table.schema, table.table)
      selectors.checkTable(table, partitionWord(rule) === 'columns' ? rule.columns : [])
    },
  }
}

/** The dispatcher of a changefeed's sink; only message queues have rules. Errors: those of {@link createDispatcher}. */
export function dispatcherOf(settings: SinkSettings, { sink, caseSensitive }: ReplicaConfig): Dispatcher {
  const queue = settings.scheme === 'kafka'
  return createDispatcher(queue ? sink : { dispatchers: [], columnSelectors: [] }, {
    defaultTopic: queue ? settings.topic : '',
    caseSensitive,
    protocol: settings.codec?.protocol ?? '',
  })
}

function compileRule(config: DispatchRuleConfig, at: number, options: DispatcherOptions): Rule {
  const place = `sink.dispatchers[${at}]`
  if (config.dispatcher !== '' && config.partition !== '') {
    const text = `dispatcher and partition cannot be configured both for matcher ${JSON.stringify(config.matcher)} (${place})`
    throw new CdcError('CDC:ErrSinkInvalidConfig', text)
  }
  const matcher = parseTableRules(config.matcher, { ...options, place: `${place}.matcher` })
  const topicOf = compileTopic(config.topic, options.defaultTopic, options.protocol, place)
  return { matcher, config, place, topicOf }
}

function checkRules(rules: readonly DispatchRuleConfig[]): void {
  const faults = rules.flatMap((rule, at) => {
    const word = partitionWord(rule)
    if (word === '' || PARTITION_RULES.some((known) => known === word)) return []
    return [
      `unknown partition rule '${rule.partition || rule.dispatcher}' for matcher ${JSON.stringify(rule.matcher)} (sink.dispatchers[${at}])`,
    ]
  })
  if (faults.length === 0) return
  const known = `use one of ${PARTITION_RULES.join(', ')}`
  throw new CdcError('CDC:ErrSinkInvalidConfig', `${faults.join('; ')}; ${known}`)
}
