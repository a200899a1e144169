import { CdcError } from '../base/errors.ts'
import type { DispatchRuleConfig, SinkConfig } from '../config/replica-config.ts'
import { parseTableRules, type TableRules } from '../config/table-rules.ts'
import type { TableVersion } from '../event/table-version.ts'
import { compilePartition, PARTITION_RULES, partitionWord, type PartitionOf } from './partition.ts'
import { compileTopic, type TopicOf } from './topic.ts'

/** Which topic and partition an event goes to (reference: dispatch). */
export interface Dispatcher {
  /** The default topic for an empty table, that is, for DDL of a schema. A rename goes by the old name. */
  topicOf(schema: string, table: string): string
  /** Errors: `CDC:ErrDispatcherFailed`, as {@link Dispatcher.checkTable}. */
  compile(table: TableVersion, partitions: number): PartitionOf
  /** Refuses what a stored changefeed may hold, but no new one: `CDC:ErrSinkInvalidConfig`, naming every fault. */
  checkConfig(): void
  /** Errors: `CDC:ErrDispatcherFailed` where the table lacks the index or columns of its rule. */
  checkTable(table: TableVersion): void
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
 * Errors: `CDC:ErrFilterRuleInvalid` for a matcher, `CDC:ErrKafkaTopicExprInvalid`, `CDC:ErrSinkInvalidConfig` for a rule
 * with both names of `partition`, `CDC:ErrColumnSelectorFailed` for column selectors, which are not built yet.
 */
export function createDispatcher(config: DispatchConfig, options: DispatcherOptions): Dispatcher {
  if (config.columnSelectors.length > 0) {
    const text = 'sink.column-selectors are not built yet in this version, remove them to replicate all columns'
    throw new CdcError('CDC:ErrColumnSelectorFailed', text)
  }
  const rules = [...config.dispatchers, EVERY_TABLE].map((rule) => compileRule(rule, options))
  /** The first rule wins; the last one takes every table. */
  const ruleOf = (schema: string, table: string): Rule => {
    const rule = rules.find(({ matcher }) => matcher.matchesTable(schema, table))
    if (rule === undefined) throw new TypeError(`no dispatch rule for ${schema}.${table}`)
    return rule
  }
  return {
    topicOf: (schema, table) => (table === '' ? options.defaultTopic : ruleOf(schema, table).topicOf(schema, table)),
    compile: (table, partitions) => compilePartition(ruleOf(table.schema, table.table).config, table, partitions),
    checkConfig: () => checkRules(config.dispatchers),
    checkTable(table) {
      compilePartition(ruleOf(table.schema, table.table).config, table, 1)
    },
  }
}

function compileRule(config: DispatchRuleConfig, options: DispatcherOptions): Rule {
  if (config.dispatcher !== '' && config.partition !== '') {
    const text = `dispatcher and partition cannot be configured both for matcher ${JSON.stringify(config.matcher)}`
    throw new CdcError('CDC:ErrSinkInvalidConfig', text)
  }
  const matcher = parseTableRules(config.matcher, options)
  return { matcher, config, topicOf: compileTopic(config.topic, options.defaultTopic, options.protocol) }
}

function checkRules(rules: readonly DispatchRuleConfig[]): void {
  const faults = rules.flatMap((rule) => {
    const word = partitionWord(rule)
    if (word === '' || PARTITION_RULES.some((known) => known === word)) return []
    return [`unknown partition rule '${rule.partition || rule.dispatcher}' for matcher ${JSON.stringify(rule.matcher)}`]
  })
  if (faults.length === 0) return
  const known = `use one of ${PARTITION_RULES.join(', ')}`
  throw new CdcError('CDC:ErrSinkInvalidConfig', `${faults.join('; ')}; ${known}`)
}
