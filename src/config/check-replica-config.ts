import { formatGoDuration } from './go-values.ts'
import type { ResolveOptions } from './kafka-settings.ts'
import { chosenProtocol } from './codec-settings.ts'
import { isLeaf, kebabCase, type Fields, type KeyNode } from './key-table.ts'
import { REPLICA_CONFIG } from './replica-config-keys.ts'
import { defaultReplicaConfig } from './replica-config-toml.ts'
import type { DispatchRuleConfig, ReplicaConfig } from './replica-config.ts'
import { SinkFaults } from './sink-faults.ts'
import type { SinkSettings } from './sink-settings.ts'
import { parseSinkUri, resolveSink, SCHEMES } from './sink-uri.ts'

export interface CheckedConfig {
  /** With the adjustments that TiCDC makes before it stores a configuration. */
  readonly config: ReplicaConfig
  readonly sink: SinkSettings
  readonly warnings: readonly string[]
}

/** Partition rules of Kafka topics; `rowid` is the older name of `index-value`. */
const PARTITION_RULES = ['', 'default', 'ts', 'table', 'rowid', 'index-value', 'columns']

/**
 * Everything about a configuration and its sink URI that can be told without a connection (reference: interface,
 * section 3.1), in one coded error that names every fault. With `stored` what TiCDC only warns about is a warning.
 */
export function checkReplicaConfig(uri: string, given: ReplicaConfig, options: ResolveOptions = {}): CheckedConfig {
  const { url, parameters } = parseSinkUri(uri)
  const family = SCHEMES[url.scheme]
  const faults = new SinkFaults()
  const config = adjust(given, url.scheme, chosenProtocol(parameters, given))
  const protocol = parameters.get('protocol') ?? ''
  if (protocol !== '' && given.sink.protocol !== '' && protocol !== given.sink.protocol)
    faults.warn(`protocol is ${protocol} in the sink uri and ${given.sink.protocol} in the configuration: the uri wins`)
  const sink = faults.attempt(() => resolveSink(uri, config, options, faults.warnings))
  if (family !== 'mysql') checkMysqlOnly(config, url.scheme, faults)
  checkDispatchers(config, family === 'mq', faults, options)
  checkBounds(config, faults)
  checkIntegrity(config, faults)
  checkUnbuilt(config, faults)
  if (config.sink.enableKafkaSinkV2) faults.warn('sink.enable-kafka-sink-v2 is ignored: there is one Kafka sink')
  faults.throwIfAny()
  if (sink === undefined) throw new TypeError('a sink without settings has faults')
  return { config, sink, warnings: faults.warnings }
}

function adjust(config: ReplicaConfig, scheme: string, protocol: string): ReplicaConfig {
  const { sink } = config
  return Object.freeze({
    ...config,
    memoryQuota: config.memoryQuota === 0 ? defaultReplicaConfig.memoryQuota : config.memoryQuota,
    scheduler: {
      ...config.scheduler,
      enableTableAcrossNodes:
        config.scheduler.enableTableAcrossNodes && (scheme.includes('kafka') || scheme.includes('blackhole')),
    },
    integrity: scheme.startsWith('kafka') ? config.integrity : { ...config.integrity, integrityCheckLevel: 'none' },
    sink: {
      ...sink,
      protocol,
      dispatchers: sink.dispatchers.map((rule) =>
        rule.partition === '' && rule.dispatcher !== ''
          ? { ...rule, partition: rule.dispatcher, dispatcher: '' }
          : rule,
      ),
      terminator: sink.terminator === '' ? '\r\n' : sink.terminator,
      advanceTimeoutInSec: sink.advanceTimeoutInSec === 0 ? 150 : sink.advanceTimeoutInSec,
    },
  })
}

function checkMysqlOnly(config: ReplicaConfig, scheme: string, faults: SinkFaults): void {
  if (config.enableSyncPoint)
    faults.add(
      'CDC:ErrSinkURIInvalid',
      `sink uri invalid 'sync point is not supported by ${scheme} scheme, only by mysql and tidb'`,
    )
  if (config.bdrMode)
    faults.add(
      'CDC:ErrSinkURIInvalid',
      `sink uri invalid 'bdr mode is not supported by ${scheme} scheme, only by mysql and tidb'`,
    )
}

function checkDispatchers(config: ReplicaConfig, mq: boolean, faults: SinkFaults, { stored }: ResolveOptions): void {
  for (const rule of config.sink.dispatchers) {
    if (rule.dispatcher !== '' && rule.partition !== '')
      faults.add(
        'CDC:ErrSinkInvalidConfig',
        `sink config invalid: dispatcher and partition cannot be configured both for rule ${describeRule(rule)}`,
      )
    if (!mq || PARTITION_RULES.includes(rule.partition.toLowerCase())) continue
    const problem = `unknown partition rule '${rule.partition}' of ${describeRule(rule)}, supported are default, ts, table, index-value, columns`
    if (stored === true) faults.warn(`${problem}; default is used`)
    else faults.add('CDC:ErrSinkInvalidConfig', problem)
  }
  if (!mq && config.sink.dispatchers.some(isRouting))
    faults.unbuilt(
      'CDC:ErrInvalidReplicaConfig',
      'invalid replica config, target-schema and target-table but for Kafka',
    )
  if (!mq && config.sink.columnSelectors.length > 0)
    faults.warn('sink.column-selectors is ignored: only message queues have it')
  if (config.sink.encoderConcurrency < 0)
    faults.add(
      'CDC:ErrSinkInvalidConfig',
      `encoder-concurrency should greater than 0, but got ${config.sink.encoderConcurrency}`,
    )
}

const isRouting = ({ targetSchema = '', targetTable = '' }: DispatchRuleConfig): boolean =>
  targetSchema !== '' || targetTable !== ''

const describeRule = (rule: DispatchRuleConfig): string => `matcher [${rule.matcher.join(', ')}]`

const SECOND = 1000

function checkBounds(config: ReplicaConfig, faults: SinkFaults): void {
  const atLeast = (name: string, ms: number, leastMs: number): void => {
    if (ms >= leastMs) return
    const text = `The ${name}:${formatGoDuration(ms)} must be larger than ${formatGoDuration(leastMs)}`
    faults.add('CDC:ErrInvalidReplicaConfig', `invalid replica config, ${text}`)
  }
  if (config.enableSyncPoint) {
    atLeast('SyncPointInterval', config.syncPointInterval, 30 * SECOND)
    atLeast('SyncPointRetention', config.syncPointRetention, 3600 * SECOND)
  }
  atLeast('ChangefeedErrorStuckDuration', config.changefeedErrorStuckDuration, 1800 * SECOND)
  const { enableTableAcrossNodes, regionThreshold, writeKeyThreshold } = config.scheduler
  if (enableTableAcrossNodes && (regionThreshold < 0 || writeKeyThreshold < 0))
    faults.add(
      'CDC:ErrInvalidReplicaConfig',
      'invalid replica config, region-threshold and write-key-threshold must be larger than 0',
    )
}

function checkIntegrity({ integrity, sink }: ReplicaConfig, faults: SinkFaults): void {
  const { integrityCheckLevel: level, corruptionHandleLevel: handling } = integrity
  if (level !== 'none' && level !== 'correctness')
    faults.add(
      'CDC:ErrInvalidReplicaConfig',
      `invalid replica config, integrity-check-level '${level}', supported are none, correctness`,
    )
  if (handling !== 'warn' && handling !== 'error')
    faults.add(
      'CDC:ErrInvalidReplicaConfig',
      `invalid replica config, corruption-handle-level '${handling}', supported are warn, error`,
    )
  if (level !== 'correctness') return
  if (sink.columnSelectors.length > 0)
    faults.add(
      'CDC:ErrInvalidReplicaConfig',
      'invalid replica config, integrity check enabled and column selector set, not allowed',
    )
}

/** Refuses what the table marks as not built, and the features that are switched on by one of their values. */
function checkUnbuilt(config: ReplicaConfig, faults: SinkFaults): void {
  if (config.consistent.level === 'eventual')
    faults.unbuilt('CDC:ErrInvalidReplicaConfig', 'invalid replica config, consistent.level = eventual (redo log)')
  const { enableSyncPoint: _syncPoint, bdrMode: _bdrMode, ...others } = config // refused above, by their sink
  walkUnbuilt(REPLICA_CONFIG.fields, { ...others }, [], (path) =>
    faults.unbuilt('CDC:ErrInvalidReplicaConfig', `${path.join('.')}`),
  )
}

function walkUnbuilt(
  fields: Fields,
  value: Readonly<Record<string, unknown>>,
  path: readonly string[],
  found: (path: readonly string[]) => void,
): void {
  for (const [property, node] of Object.entries(fields)) {
    const at = [...path, kebabCase(property)]
    for (const member of membersOf(node, value[property])) {
      if (isLeaf(node)) {
        if (node.unbuilt === true && isSet(member, node.fallback ?? node.implied)) found(at)
      } else walkUnbuilt(node.fields, { ...toObject(member) }, at, found)
    }
  }
}

const membersOf = (node: KeyNode, value: unknown): readonly unknown[] =>
  !isLeaf(node) && node.kind === 'tables' && Array.isArray(value) ? value : [value]
const toObject = (value: unknown): object => (typeof value === 'object' && value !== null ? value : {})
const isSet = (value: unknown, fallback: unknown): boolean =>
  value !== undefined && value !== fallback && value !== '' && !(Array.isArray(value) && value.length === 0)
