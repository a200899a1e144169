import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseReplicaConfigToml } from './replica-config-toml.ts'
import type { CodecSettings } from './sink-settings.ts'
import { resolveSink } from './sink-uri.ts'

const REGISTRY = '[sink]\nschema-registry = "http://user:pw@registry:8081///"\n'

function codecOf(parameters: string, toml = REGISTRY): CodecSettings {
  const settings = resolveSink(`kafka://h:9092/t?${parameters}`, parseReplicaConfigToml(toml, 'changefeed.toml').config)
  assert.ok(settings.codec)
  return settings.codec
}

test('avro has the defaults of the reference, and the registry of the file or the URI', () => {
  const { avro } = codecOf('protocol=avro')
  assert.deepEqual(avro, {
    decimalMode: 'precise',
    bigintUnsignedMode: 'long',
    enableWatermark: false,
    registry: {
      kind: 'confluent',
      url: 'http://user:pw@registry:8081',
      ca: undefined,
      cert: undefined,
      key: undefined,
    },
  })
  const other = codecOf('protocol=flat-avro&schema-registry=https%3A%2F%2Fother&ca=/ca.pem&enable-tls=true').avro
    .registry
  assert.ok(other?.kind === 'confluent')
  assert.deepEqual([other.url, other.ca], ['https://other', '/ca.pem'])
})

test('modes come from the URI before the file', () => {
  const toml = `${REGISTRY}[sink.kafka-config.codec-config]\navro-decimal-handling-mode = "string"\nencoding-format = "avro"\n`
  assert.equal(codecOf('protocol=avro', toml).avro.decimalMode, 'string')
  assert.equal(codecOf('protocol=avro&avro-decimal-handling-mode=precise', toml).avro.decimalMode, 'precise')
  assert.equal(codecOf('protocol=avro&avro-bigint-unsigned-handling-mode=string').avro.bigintUnsignedMode, 'string')
  assert.equal(codecOf('protocol=simple', toml).simple.encoding, 'avro')
  assert.equal(codecOf('protocol=simple&encoding-format=json', toml).simple.encoding, 'json')
})

test('glue: region and name, keys or the chain of AWS', () => {
  const glue = (lines: string): string => `[sink.kafka-config.glue-schema-registry-config]\n${lines}`
  const named = 'region = "r"\nregistry-name = "n"\n'
  const common = { kind: 'glue', region: 'r', registryName: 'n' }
  assert.deepEqual(codecOf('protocol=avro', glue(named)).avro.registry, { ...common, credentials: undefined })
  const keys = 'access-key = "a"\nsecret-access-key = "s"\n'
  const credentials = { accessKey: 'a', secretAccessKey: 's', token: undefined }
  assert.deepEqual(codecOf('protocol=avro', glue(named + keys)).avro.registry, { ...common, credentials })
  const token = codecOf('protocol=avro', glue(`${named}${keys}token = "t"`)).avro.registry
  assert.deepEqual(token, { ...common, credentials: { ...credentials, token: 't' } })
  for (const [toml, message] of [
    [glue('region = "r"'), /ErrInvalidGlueSchemaRegistryConfig.*registry-name/],
    [glue('registry-name = "n"'), /ErrInvalidGlueSchemaRegistryConfig.*region/],
    [glue(`${named}access-key = "a"`), /ErrInvalidGlueSchemaRegistryConfig.*set together/],
    [REGISTRY + glue(named), /ErrInvalidReplicaConfig.*exclude each other/],
  ] as const)
    assert.throws(() => codecOf('protocol=avro', toml), { message })
})

const CHECKSUM = `${REGISTRY}[integrity]\nintegrity-check-level = "correctness"\n`

for (const [what, parameters, toml, message] of [
  ['no registry', 'protocol=avro', '', /ErrCodecInvalidConfig.*requires parameter "schema-registry"/],
  ['another scheme', 'protocol=avro&schema-registry=ftp%3A%2F%2Fh', '', /ErrCodecInvalidConfig.*URL such as http/],
  ['a decimal mode', 'protocol=avro&avro-decimal-handling-mode=float', REGISTRY, /decimal-handling-mode.*'float'/],
  ['a bigint mode', 'protocol=avro&avro-bigint-unsigned-handling-mode=x', REGISTRY, /bigint-unsigned.*'x'/],
  ['an encoding', 'protocol=simple&encoding-format=xml', '', /ErrCodecInvalidConfig.*xml/],
  ['force-replicate', 'protocol=avro', `force-replicate = true\n${REGISTRY}`, /force-replicate must be disabled/],
  ['a watermark alone', 'protocol=avro&avro-enable-watermark=true', REGISTRY, /needs enable-tidb-extension/],
  ['checksums alone', 'protocol=avro', CHECKSUM, /enable-tidb-extension must be true.*"string".*"string"/],
] as const)
  test(`refused by name: ${what}`, () => {
    assert.throws(
      () => codecOf(parameters, toml),
      (error: Error) => {
        assert.match(error.message, message)
        assert.doesNotMatch(error.message, /user:pw/)
        return true
      },
    )
  })

test('checksums with all that they need, and with simple without any of it', () => {
  const modes = 'enable-tidb-extension=1&avro-decimal-handling-mode=string&avro-bigint-unsigned-handling-mode=string'
  assert.equal(codecOf(`protocol=avro&${modes}`, CHECKSUM).rowChecksum, true)
  assert.equal(codecOf('protocol=simple', CHECKSUM).rowChecksum, true)
  assert.equal(codecOf('protocol=simple').rowChecksum, false)
})

test('bootstrap messages are of simple alone, and off where time or count is not positive', () => {
  const bootstrap = (toml: string, protocol = 'simple') => codecOf(`protocol=${protocol}`, toml).simple.bootstrap
  const defaults = { intervalMs: 120_000, messages: 10_000, toAllPartitions: true, allAtStart: false }
  assert.deepEqual(bootstrap(''), defaults)
  assert.equal(bootstrap('', 'canal-json'), undefined)
  assert.equal(bootstrap('[sink]\nsend-bootstrap-interval-in-sec = 0'), undefined)
  assert.equal(bootstrap('[sink]\nsend-bootstrap-in-msg-count = -1'), undefined)
  const changed = bootstrap('[sink]\nsend-bootstrap-to-all-partition = false\nsend-all-bootstrap-at-start = true')
  assert.deepEqual(changed, { ...defaults, toAllPartitions: false, allAtStart: true })
})
