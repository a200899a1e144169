import { readParameters } from './parameters.ts'
import { KAFKA_KEYS } from './replica-config-keys.ts'
import type { ReplicaConfig } from './replica-config.ts'
import type { SinkFaults } from './sink-faults.ts'
import type { ProtocolName, SimpleSettings } from './sink-settings.ts'

/** What the simple protocol is told (reference: protocols-avro-simple-debezium, section B). */
export function simpleSettings(
  protocol: ProtocolName,
  uri: ReadonlyMap<string, string>,
  config: ReplicaConfig,
  faults: SinkFaults,
): SimpleSettings {
  const { sink } = config
  const table = sink.kafkaConfig?.['codecConfig']
  const given = readParameters({
    uri,
    file: typeof table === 'object' && table !== null ? { ...table } : undefined,
    keys: KAFKA_KEYS.codecConfig.fields,
    code: 'CDC:ErrKafkaInvalidConfig',
    faults,
  })
  const encoding = given.text('encodingFormat') || 'json'
  if (protocol === 'simple' && encoding !== 'json' && encoding !== 'avro')
    faults.add('CDC:ErrCodecInvalidConfig', `unsupported encoding format type: ${encoding} for the simple protocol`)
  const repeated = sink.sendBootstrapIntervalInSec > 0 && sink.sendBootstrapInMsgCount > 0
  return {
    encoding: encoding === 'avro' ? 'avro' : 'json',
    bootstrap:
      protocol === 'simple' && repeated
        ? {
            intervalMs: sink.sendBootstrapIntervalInSec * 1000,
            messages: sink.sendBootstrapInMsgCount,
            toAllPartitions: sink.sendBootstrapToAllPartition,
            allAtStart: sink.sendAllBootstrapAtStart,
          }
        : undefined,
  }
}
