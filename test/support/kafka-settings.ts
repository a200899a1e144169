import type { KafkaSettings } from '../../src/config/sink-settings.ts'
import { codecSettings } from './codec-settings.ts'

/** The defaults of a Kafka sink URI, with what a test changes. */
export function kafkaSettings(bootstrap: string, changes: Partial<KafkaSettings> = {}): KafkaSettings {
  return {
    scheme: 'kafka',
    brokers: [bootstrap],
    topic: 'changes',
    codec: codecSettings(),
    partitionNum: undefined,
    replicationFactor: 1,
    compression: 'none',
    requiredAcks: -1,
    clientId: undefined,
    autoCreateTopic: true,
    dialTimeoutMs: 10_000,
    writeTimeoutMs: 10_000,
    readTimeoutMs: 10_000,
    tls: undefined,
    sasl: undefined,
    ...changes,
  }
}
