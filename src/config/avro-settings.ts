import { parseGoUrl, UrlSyntaxError } from './go-url.ts'
import { readParameters } from './parameters.ts'
import { KAFKA_KEYS } from './replica-config-keys.ts'
import type { ReplicaConfig } from './replica-config.ts'
import type { SinkFaults } from './sink-faults.ts'
import type { AvroSettings, GlueSettings, ProtocolName, SchemaRegistrySettings } from './sink-settings.ts'

const CODEC = 'CDC:ErrCodecInvalidConfig'

/** What the avro protocol is told (reference: protocols-avro-simple-debezium, section A; interface, section 4). */
export function avroSettings(
  protocol: ProtocolName,
  uri: ReadonlyMap<string, string>,
  config: ReplicaConfig,
  faults: SinkFaults,
): AvroSettings {
  const given = readParameters({
    uri,
    file: tableOf(config.sink.kafkaConfig?.['codecConfig']),
    keys: KAFKA_KEYS.codecConfig.fields,
    code: 'CDC:ErrKafkaInvalidConfig',
    faults,
  })
  const decimalMode = given.text('avroDecimalHandlingMode') || 'precise'
  const bigintUnsignedMode = given.text('avroBigintUnsignedHandlingMode') || 'long'
  const settings: AvroSettings = {
    decimalMode: decimalMode === 'string' ? 'string' : 'precise',
    bigintUnsignedMode: bigintUnsignedMode === 'string' ? 'string' : 'long',
    enableWatermark: given.bool('avroEnableWatermark') ?? false,
    registry: protocol === 'avro' ? registryOf(uri, config, faults) : undefined,
  }
  if (protocol !== 'avro') return settings
  if (settings.decimalMode !== decimalMode)
    faults.add(CODEC, `avro-decimal-handling-mode value could only be "string" or "precise", not '${decimalMode}'`)
  if (settings.bigintUnsignedMode !== bigintUnsignedMode)
    faults.add(
      CODEC,
      `avro-bigint-unsigned-handling-mode value could only be "string" or "long", not '${bigintUnsignedMode}'`,
    )
  const extension = given.bool('enableTidbExtension') ?? false
  if (settings.enableWatermark && !extension)
    faults.add(CODEC, 'avro-enable-watermark needs enable-tidb-extension = true')
  if (config.forceReplicate)
    faults.add(
      'CDC:ErrSinkInvalidConfig',
      `sink config invalid: [${CODEC}]force-replicate must be disabled, when using avro protocol`,
    )
  if (config.integrity.integrityCheckLevel === 'correctness') checkRowChecksum(settings, extension, faults)
  return settings
}

/** Without these the values of a message are not the ones that the checksum covers. */
function checkRowChecksum(settings: AvroSettings, extension: boolean, faults: SinkFaults): void {
  const why = 'when row level checksum is enabled (integrity-check-level = correctness)'
  if (!extension) faults.add(CODEC, `enable-tidb-extension must be true ${why}`)
  if (settings.decimalMode !== 'string') faults.add(CODEC, `avro-decimal-handling-mode must be "string" ${why}`)
  if (settings.bigintUnsignedMode !== 'string')
    faults.add(CODEC, `avro-bigint-unsigned-handling-mode must be "string" ${why}`)
}

function registryOf(
  uri: ReadonlyMap<string, string>,
  config: ReplicaConfig,
  faults: SinkFaults,
): SchemaRegistrySettings | undefined {
  const url = uri.get('schema-registry') || config.sink.schemaRegistry
  const glue = tableOf(config.sink.kafkaConfig?.['glueSchemaRegistryConfig'])
  if (url !== '' && glue !== undefined)
    faults.add(
      'CDC:ErrInvalidReplicaConfig',
      'invalid replica config, schema-registry and glue-schema-registry-config exclude each other',
    )
  if (glue !== undefined) return glueSettings(glue, faults)
  if (url !== '') return confluentSettings(url, uri, config, faults)
  faults.add(CODEC, 'Avro protocol requires parameter "schema-registry" or "glue-schema-registry-config"')
  return undefined
}

function confluentSettings(
  text: string,
  uri: ReadonlyMap<string, string>,
  config: ReplicaConfig,
  faults: SinkFaults,
): SchemaRegistrySettings | undefined {
  const url = text.replace(/\/+$/, '')
  try {
    const { scheme, host } = parseGoUrl(url)
    if ((scheme !== 'http' && scheme !== 'https') || host === '')
      faults.add(CODEC, 'schema-registry must be a URL such as http://host:8081')
  } catch (error) {
    if (!(error instanceof UrlSyntaxError)) throw error
    faults.add(CODEC, 'schema-registry is not a URL')
    return undefined
  }
  const kafka = readParameters({
    uri,
    file: config.sink.kafkaConfig,
    keys: KAFKA_KEYS,
    code: 'CDC:ErrKafkaInvalidConfig',
    faults,
  })
  const path = (property: string): string | undefined => kafka.text(property) || undefined
  return { kind: 'confluent', url, ca: path('ca'), cert: path('cert'), key: path('key') }
}

function glueSettings(table: Readonly<Record<string, unknown>>, faults: SinkFaults): GlueSettings {
  const text = (property: string): string => {
    const value = table[property]
    return typeof value === 'string' ? value : ''
  }
  const refuse = (problem: string): void =>
    faults.add('CDC:ErrInvalidGlueSchemaRegistryConfig', `invalid glue schema registry config, ${problem}`)
  const [region, registryName] = [text('region'), text('registryName')]
  const [accessKey, secretAccessKey, token] = [text('accessKey'), text('secretAccessKey'), text('token')]
  if (registryName === '') refuse('registry-name must be set')
  if (region === '') refuse('region must be set')
  if ((accessKey === '') !== (secretAccessKey === '')) refuse('access-key and secret-access-key must be set together')
  return {
    kind: 'glue',
    region,
    registryName,
    credentials: accessKey === '' ? undefined : { accessKey, secretAccessKey, token: token || undefined },
  }
}

const tableOf = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === 'object' && value !== null ? { ...value } : undefined
