import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatGoUrl, parseGoQuery, parseGoUrl } from './go-url.ts'
import { restoreMaskedUri } from './mask.ts'
import { defaultReplicaConfig, parseReplicaConfigToml } from './replica-config-toml.ts'
import { maskSinkUri, resolveSink } from './sink-uri.ts'

// Expected values: Go 1.23's net/url.
for (const [text, expected] of [
  ['kafka://a:9092,b:9093/t', { host: 'a:9092,b:9093', path: '/t' }],
  ['kafka://a,b,c:9092/t', { host: 'a,b,c:9092' }],
  ['mysql://root:1234#56@h:3306/', { host: 'root:1234', fragment: '56@h:3306/' }],
  ['mysql://root:p%40ss@h', { user: 'root', password: 'p@ss', host: 'h' }],
  ['mysql://root:p@ss@h:1/', { user: 'root', password: 'p@ss', host: 'h:1' }],
  ['kafka://[::1]:9092/t', { host: '[::1]:9092' }],
  ['MYSQL://u@h', { scheme: 'mysql', user: 'u' }],
  ['blackhole://', { scheme: 'blackhole', host: '' }],
  ['file:///tmp/a%20b?x=1', { host: '', path: '/tmp/a b', query: 'x=1' }],
] as const)
  test(`${text} is taken apart as Go does it`, () => {
    const url: Record<string, unknown> = { ...parseGoUrl(text) }
    for (const [name, value] of Object.entries(expected)) assert.equal(url[name], value)
  })

for (const text of ['mysql://root:a/b@h/', 'kafka://h:port/t', 'kafka://h/%zz', '://h', 'kafka://u:p w@h/', 'a b:c'])
  test(`${text} is no URL`, () => assert.throws(() => parseGoUrl(text), { name: 'UrlSyntaxError' }))

test('queries are read as Go reads them', () => {
  assert.deepEqual(parseGoQuery('access-key=a+b/c&secret-access-key=x;y&z=1'), [
    ['access-key', 'a b/c'],
    ['z', '1'],
  ])
  assert.deepEqual(parseGoQuery('&time-zone=&a=%zz&b=%2C'), [
    ['time-zone', ''],
    ['b', ','],
  ])
})

test('a URL is printed as Go prints it', () => {
  assert.equal(formatGoUrl(parseGoUrl('blackhole://')), 'blackhole:')
  assert.equal(formatGoUrl(parseGoUrl('kafka://u:p%40@h:1,g:2/t?a=b')), 'kafka://u:p%40@h:1,g:2/t?a=b')
})

for (const [uri, masked] of [
  [
    'kafka://u:pw@h:9092/t?sasl-password=se cret&protocol=canal-json&sasl-user=u&a=x,y',
    'kafka://u:xxxxx@h:9092/t?a=x%2Cy&protocol=canal-json&sasl-password=xxxxx&sasl-user=u',
  ],
  [
    'kafka://h:1/t?protocol=avro&schema-registry=http%3A%2F%2Fann%3Apw%40r%3A8081',
    'kafka://h:1/t?protocol=avro&schema-registry=http%3A%2F%2Fann%3Axxxxx%40r%3A8081',
  ],
  ['s3://b/p?access-key=a&secret-access-key=b', 's3://b/p?access-key=xxxxx&secret-access-key=xxxxx'],
  ['kafka://h:1/t?protocol=canal-json&partition-num=3', 'kafka://h:1/t?protocol=canal-json&partition-num=3'],
  ['mysql://root:a/b@h/', '<invalid uri>'],
] as const)
  test(`${uri} is shown as ${masked}`, () => assert.equal(maskSinkUri(uri), masked))

test('masked parts of a URI are restored from the one that it was made of', () => {
  const registry = 'kafka://h:1/t?schema-registry=http%3A%2F%2Fann%3Apw%40r%3A8081'
  assert.equal(restoreMaskedUri(`${maskSinkUri(registry)}&partition-num=2`, registry).includes('ann%3Apw%40r'), true)
  const current = 'kafka://u:p%40w@h:1/t?protocol=canal-json&sasl-password=s3'
  assert.equal(restoreMaskedUri(maskSinkUri(current), current), current)
  assert.equal(
    restoreMaskedUri('kafka://u:xxxxx@h:2/t?protocol=canal-json&sasl-password=xxxxx', current),
    'kafka://u:p%40w@h:2/t?protocol=canal-json&sasl-password=s3',
  )
  assert.equal(restoreMaskedUri('kafka://u:new@h:1/t', current), 'kafka://u:new@h:1/t')
})

test('what the URI names wins over the file, zero values too', () => {
  const { config } = parseReplicaConfigToml(
    "[sink]\nprotocol = 'open-protocol'\n[sink.kafka-config]\ncompression = 'gzip'\npartition-num = 4\nauto-create-topic = true\nrequired-acks = 1\n[sink.kafka-config.codec-config]\nenable-tidb-extension = true",
    'f.toml',
  )
  const sink = resolveSink(
    'kafka://h:1/t?protocol=canal-json&compression=none&auto-create-topic=false&enable-tidb-extension=false&required-acks=0',
    config,
  )
  assert.ok(sink.scheme === 'kafka')
  assert.deepEqual(
    [sink.codec.protocol, sink.compression, sink.autoCreateTopic, sink.codec.enableTidbExtension, sink.requiredAcks],
    ['canal-json', 'none', false, false, 0],
  )
  assert.equal(sink.partitionNum, 4)
})

test('the example of the user guide resolves', () => {
  const sink = resolveSink(
    'kafka://127.0.0.1:9092/topic-name?&protocol=canal-json&kafka-version=2.4.0&partition-num=6&max-message-bytes=67108864&replication-factor=1',
    defaultReplicaConfig,
  )
  assert.ok(sink.scheme === 'kafka')
  assert.deepEqual(
    [sink.brokers, sink.topic, sink.partitionNum, sink.codec.maxMessageBytes],
    [['127.0.0.1:9092'], 'topic-name', 6, 67_108_864],
  )
})

test('unknown parameters are ignored, with a warning that names them', () => {
  const warnings: string[] = []
  resolveSink('blackhole://?protocl=canal-json', defaultReplicaConfig, {}, warnings)
  assert.deepEqual(warnings, ['parameter "protocl" of the sink uri is unknown and ignored'])
})

test('what is stored may have an unknown compression: a warning, and none', () => {
  const warnings: string[] = []
  const sink = resolveSink(
    'kafka://h:1/t?protocol=canal-json&compression=best',
    defaultReplicaConfig,
    { stored: true },
    warnings,
  )
  assert.ok(sink.scheme === 'kafka' && sink.compression === 'none')
  assert.match(warnings.join(), /unknown compression 'best'/)
})
