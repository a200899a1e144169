import { codecSettings } from './codec-settings.ts'
import type { GoUrl } from './go-url.ts'
import { kebabCase } from './key-table.ts'
import { readParameters, type Parameters } from './parameters.ts'
import { KAFKA_KEYS } from './replica-config-keys.ts'
import type { ReplicaConfig } from './replica-config.ts'
import type { SinkFaults } from './sink-faults.ts'
import {
  COMPRESSIONS,
  type Compression,
  type KafkaSettings,
  type SaslPasswordSettings,
  type TlsSettings,
} from './sink-settings.ts'

export interface ResolveOptions {
  /** For a changefeed that is already stored: what TiCDC let pass with a warning is let pass. */
  readonly stored?: boolean
}

/** Settings of a Kafka sink (reference: kafka-sink, section 1). undefined where a fault makes them unusable. */
export function kafkaSettings(
  url: GoUrl,
  uri: ReadonlyMap<string, string>,
  config: ReplicaConfig,
  faults: SinkFaults,
  options: ResolveOptions,
): KafkaSettings | undefined {
  const file = config.sink.kafkaConfig
  const given = readParameters({ uri, file, keys: KAFKA_KEYS, code: 'CDC:ErrKafkaInvalidConfig', faults })
  const brokers = brokersOf(url.host, faults)
  const topic = url.path.replace(/^\/+|\/+$/g, '')
  if (topic === '') faults.add('CDC:ErrKafkaInvalidConfig', 'no topic is specified in sink-uri')
  else if (!/^[A-Za-z0-9._-]{1,249}$/.test(topic) || topic === '.' || topic === '..')
    faults.add(
      'CDC:ErrKafkaInvalidConfig',
      `topic name '${topic}' is illegal: Kafka allows a-z A-Z 0-9 . _ - and 249 characters`,
    )
  const codec = codecSettings(uri, config, faults)
  if (codec?.protocol === 'csv')
    faults.add('CDC:ErrSinkUnknownProtocol', `unknown 'csv' message protocol for sink: it is for storage`)
  const partitionNum = given.int('partitionNum')
  if (partitionNum !== undefined && (partitionNum <= 0 || partitionNum > 0x7fff_ffff))
    faults.add('CDC:ErrKafkaInvalidPartitionNum', `invalid partition num ${partitionNum}`)
  const replicationFactor = given.int('replicationFactor') ?? 1
  if (replicationFactor <= 0 || replicationFactor > 0x7fff)
    faults.add('CDC:ErrKafkaInvalidConfig', `replication-factor ${replicationFactor} is out of range`)
  const version = given.text('kafkaVersion') ?? ''
  if (version !== '' && !/^\d+\.\d+\.\d+(?:\.\d+)?$/.test(version))
    faults.add('CDC:ErrKafkaInvalidVersion', `invalid kafka version '${version}'`)
  const clientId = given.text('kafkaClientId') ?? ''
  if (!/^[A-Za-z0-9._-]*$/.test(clientId))
    faults.add('CDC:ErrKafkaInvalidClientID', `invalid kafka client ID '${clientId}'`)
  const acks = given.int('requiredAcks')
  const requiredAcks = acks === -1 || acks === 0 || acks === 1 ? acks : undefined
  if (requiredAcks === undefined && acks !== undefined)
    faults.add(
      'CDC:ErrKafkaInvalidRequiredAcks',
      `invalid required acks ${acks}, only support these values: 0(NoResponse),1(WaitForLocal) and -1(WaitForAll)`,
    )
  const settings = {
    scheme: 'kafka',
    brokers,
    topic,
    partitionNum,
    replicationFactor,
    compression: compressionOf(given.text('compression') ?? '', faults, options),
    requiredAcks: requiredAcks ?? -1,
    clientId: clientId === '' ? undefined : clientId,
    autoCreateTopic: given.bool('autoCreateTopic') ?? true,
    dialTimeoutMs: timeoutMs('dialTimeout', given, faults),
    writeTimeoutMs: timeoutMs('writeTimeout', given, faults),
    readTimeoutMs: timeoutMs('readTimeout', given, faults),
    tls: tlsOf(given, faults),
    sasl: saslOf(given, faults),
  } as const
  return codec === undefined ? undefined : { ...settings, codec }
}

function brokersOf(host: string, faults: SinkFaults): string[] {
  const brokers = host.split(',').filter((broker) => broker !== '')
  if (brokers.length === 0) faults.add('CDC:ErrKafkaInvalidConfig', 'no broker is specified in sink-uri')
  for (const broker of brokers) {
    if (!broker.startsWith('[') && broker.split(':').length > 2)
      faults.add(
        'CDC:ErrSinkURIInvalid',
        `sink uri invalid 'broker ${broker}: an IPv6 address must be written [address]:port'`,
      )
    else if (!/:\d+$/.test(broker))
      faults.add('CDC:ErrKafkaInvalidConfig', `broker ${broker} has no port: write each broker as host:port`)
  }
  return brokers
}

function compressionOf(text: string, faults: SinkFaults, { stored }: ResolveOptions): Compression {
  const name = text.trim().toLowerCase()
  const compression = COMPRESSIONS.find((known) => known === name)
  if (compression !== undefined) return compression
  const problem = `unknown compression '${text}', supported are ${COMPRESSIONS.join(', ')}`
  if (stored === true) faults.warn(`${problem}; messages are not compressed`)
  else faults.add('CDC:ErrKafkaInvalidConfig', problem)
  return 'none'
}

function timeoutMs(
  property: 'dialTimeout' | 'writeTimeout' | 'readTimeout',
  given: Parameters,
  faults: SinkFaults,
): number {
  const ms = given.duration(property)
  if (ms !== undefined && ms <= 0)
    faults.add('CDC:ErrKafkaInvalidConfig', `${kebabCase(property)} must be larger than 0`)
  return ms ?? 10_000
}

function tlsOf(given: Parameters, faults: SinkFaults): TlsSettings | undefined {
  const path = (property: string): string | undefined => given.text(property) || undefined
  const files = { ca: path('ca'), cert: path('cert'), key: path('key') }
  const anyFile = Object.values(files).some((file) => file !== undefined)
  const enabled = given.bool('enableTls') ?? anyFile
  if ((files.cert === undefined) !== (files.key === undefined))
    faults.add('CDC:ErrKafkaInvalidConfig', 'cert and key must be given together')
  if (!enabled && anyFile)
    faults.add('CDC:ErrKafkaInvalidConfig', 'enable-tls is false, but certificate files are given')
  const insecureSkipVerify = given.bool('insecureSkipVerify') ?? false
  if (!enabled) return undefined
  return { ...files, insecureSkipVerify }
}

function saslOf(given: Parameters, faults: SinkFaults): SaslPasswordSettings | undefined {
  const mechanism = (given.text('saslMechanism') ?? '').toUpperCase()
  const user = given.text('saslUser') ?? ''
  const password = given.text('saslPassword') ?? ''
  switch (mechanism) {
    case '':
      if (user !== '' || password !== '')
        faults.warn('sasl-user and sasl-password are given without sasl-mechanism: SASL stays off')
      return undefined
    case 'PLAIN':
    case 'SCRAM-SHA-256':
    case 'SCRAM-SHA-512':
      if (user === '' || password === '')
        faults.add('CDC:ErrKafkaInvalidConfig', `sasl-mechanism ${mechanism} needs sasl-user and sasl-password`)
      return { mechanism, user, password }
    case 'GSSAPI':
    case 'OAUTHBEARER':
      faults.unbuilt('CDC:ErrKafkaInvalidConfig', `sasl-mechanism ${mechanism}`)
      return undefined
    default:
      faults.add(
        'CDC:ErrKafkaInvalidConfig',
        `unknown sasl-mechanism '${mechanism}', supported are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512`,
      )
      return undefined
  }
}
