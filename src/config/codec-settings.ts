import { avroSettings } from './avro-settings.ts'
import { csvSettings } from './csv-settings.ts'
import { largeMessageSettings } from './large-message-settings.ts'
import { readParameters } from './parameters.ts'
import { KAFKA_KEYS } from './replica-config-keys.ts'
import type { ReplicaConfig } from './replica-config.ts'
import type { SinkFaults } from './sink-faults.ts'
import { simpleSettings } from './simple-settings.ts'
import { BUILT_PROTOCOLS, PROTOCOLS, type CodecSettings, type ProtocolName } from './sink-settings.ts'

/** Other names of protocols, and those that TiCDC has besides ours. */
const ALIASES: Readonly<Record<string, ProtocolName>> = { default: 'open-protocol', 'flat-avro': 'avro' }
const FOREIGN_PROTOCOLS = ['canal', 'craft']

/** Text of the protocol that URI and file choose together, '' = none. */
export const chosenProtocol = (uri: ReadonlyMap<string, string>, config: ReplicaConfig): string =>
  uri.get('protocol') || config.sink.protocol

/** The codec that URI and file ask for; undefined (and a fault) where it is unknown or not built. */
export function codecSettings(
  uri: ReadonlyMap<string, string>,
  config: ReplicaConfig,
  faults: SinkFaults,
): CodecSettings | undefined {
  const protocol = protocolOf(chosenProtocol(uri, config), faults)
  const { sink } = config
  const codecTable = sink.kafkaConfig?.['codecConfig']
  const codec = readParameters({
    uri,
    file: isSinkTable(codecTable) ? codecTable : undefined,
    keys: KAFKA_KEYS.codecConfig.fields,
    code: 'CDC:ErrKafkaInvalidConfig',
    faults,
  })
  const kafka = readParameters({
    uri,
    file: sink.kafkaConfig,
    keys: KAFKA_KEYS,
    code: 'CDC:ErrKafkaInvalidConfig',
    faults,
  })
  const switches = readParameters({ uri, file: { ...sink }, keys: {}, code: 'CDC:ErrKafkaInvalidConfig', faults })
  const maxMessageBytes = kafka.int('maxMessageBytes') ?? 10_485_760
  if (maxMessageBytes <= 0) faults.add('CDC:ErrCodecInvalidConfig', `invalid max-message-bytes ${maxMessageBytes}`)
  const maxBatchSize = codec.int('maxBatchSize') ?? 16
  if (maxBatchSize <= 0) faults.add('CDC:ErrCodecInvalidConfig', `invalid max-batch-size ${maxBatchSize}`)
  const contentCompatible = switches.bool('contentCompatible') ?? false
  const deleteOnlyOutputHandleKeyColumns = sink.deleteOnlyOutputHandleKeyColumns
  if (deleteOnlyOutputHandleKeyColumns && config.forceReplicate)
    faults.add(
      'CDC:ErrSinkInvalidConfig',
      'sink config invalid: [CDC:ErrCodecInvalidConfig]force-replicate must be disabled when configuration "delete-only-output-handle-key-columns" is true',
    )
  if (protocol === undefined) return undefined
  const enableTidbExtension = codec.bool('enableTidbExtension') ?? false
  return {
    protocol,
    enableTidbExtension,
    maxMessageBytes,
    maxBatchSize,
    contentCompatible,
    onlyOutputUpdatedColumns: contentCompatible || (switches.bool('onlyOutputUpdatedColumns') ?? false),
    deleteOnlyOutputHandleKeyColumns,
    openOutputOldValue: sink.open.outputOldValue,
    terminator: sink.terminator === '' ? '\r\n' : sink.terminator,
    rowChecksum: config.integrity.integrityCheckLevel === 'correctness',
    avro: avroSettings(protocol, uri, config, faults),
    simple: simpleSettings(protocol, uri, config, faults),
    csv: csvSettings(protocol, config, faults),
    debezium: {
      outputOldValue: sink.debezium.outputOldValue,
      disableSchema: switches.bool('debeziumDisableSchema') ?? false,
    },
    largeMessages: largeMessageSettings(protocol, enableTidbExtension, config, faults),
  }
}

function protocolOf(text: string, faults: SinkFaults): ProtocolName | undefined {
  const name = text.toLowerCase()
  const protocol = ALIASES[name] ?? PROTOCOLS.find((known) => known === name)
  if (protocol === undefined && !FOREIGN_PROTOCOLS.includes(name)) {
    faults.add('CDC:ErrSinkUnknownProtocol', `unknown '${text}' message protocol for sink`)
    return undefined
  }
  if (protocol !== undefined && BUILT_PROTOCOLS.includes(protocol)) return protocol
  faults.unbuilt(
    'CDC:ErrSinkUnknownProtocol',
    `the '${name}' message protocol`,
    ` (built are ${BUILT_PROTOCOLS.join(', ')})`,
  )
  return undefined
}

const isSinkTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null
