// The Kafka sink through TLS and SASL.
import { Messages } from '../../src/event/encoded.ts'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { describeError } from '../../src/base/errors.ts'
import type { KafkaSettings, SaslPasswordSettings, TlsSettings } from '../../src/config/sink-settings.ts'
import { openRowSink, prepareSink } from '../../src/sink/open-sink.ts'
import { Ts } from '../../src/tidb/ts.ts'
import { kafkaSettings } from '../support/kafka-settings.ts'
import * as kafka from '../support/kafka.ts'
import { hasCommand } from '../support/process.ts'
import { type Availability, requireOrSkip } from '../support/require.ts'
import { sinkContext } from '../support/sink-context.ts'
import { testTable } from '../support/table-version.ts'

const signal = new AbortController().signal
const PASSWORD = 'correct horse'
const JAAS = 'org.apache.kafka.common.security'

const openssl = async (): Promise<Availability> => hasCommand('openssl', 'version') || 'openssl is missing'

let folder = ''
let broker: kafka.KafkaBroker
before(async () => {
  if ((await kafka.available()) !== true || (await openssl()) !== true) return
  folder = await mkdtemp(join(tmpdir(), 'tidewire-tls-'))
  const [key, cert, both] = [file('key.pem'), file('cert.pem'), file('both.pem')]
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert]
  execFileSync('openssl', [...request, ...subject], { stdio: 'ignore' })
  await writeFile(both, (await readFile(key, 'utf8')) + (await readFile(cert, 'utf8')))
  const secure = 'listener.name.secure'
  broker = await kafka.startKafka({
    secure: 'SASL_SSL',
    properties: {
      [`${secure}.ssl.keystore.type`]: 'PEM',
      [`${secure}.ssl.keystore.location`]: both,
      [`${secure}.sasl.enabled.mechanisms`]: 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      [`${secure}.plain.sasl.jaas.config`]: `${JAAS}.plain.PlainLoginModule required user_alice="${PASSWORD}";`,
      [`${secure}.scram-sha-256.sasl.jaas.config`]: `${JAAS}.scram.ScramLoginModule required;`,
      [`${secure}.scram-sha-512.sasl.jaas.config`]: `${JAAS}.scram.ScramLoginModule required;`,
    },
  })
  // The tool takes one credential at a time.
  for (const mechanism of ['SCRAM-SHA-256', 'SCRAM-SHA-512']) {
    const change = ['--alter', '--add-config', `${mechanism}=[password=${PASSWORD}]`]
    const user = ['--entity-type', 'users', '--entity-name', 'alice']
    await broker.tool('kafka.admin.ConfigCommand', '--bootstrap-server', broker.bootstrap, ...change, ...user)
  }
})
after(async () => {
  await broker?.[Symbol.asyncDispose]()
  if (folder !== '') await rm(folder, { recursive: true })
})

const file = (name: string): string => join(folder, name)

const tls = (changes: Partial<TlsSettings> = {}): TlsSettings => ({
  ca: file('cert.pem'),
  cert: undefined,
  key: undefined,
  insecureSkipVerify: false,
  ...changes,
})

function secured(sasl: Partial<SaslPasswordSettings>, changes: Partial<KafkaSettings> = {}): KafkaSettings {
  return kafkaSettings(broker.secureBootstrap, {
    tls: tls(),
    sasl: { mechanism: 'PLAIN', user: 'alice', password: PASSWORD, ...sasl },
    ...changes,
  })
}

for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)
  test(`messages go through TLS and ${mechanism}`, async (t) => {
    if (!(await requireOrSkip(t, kafka.available, openssl))) return
    const settings = await prepareSink(secured({ mechanism }), sinkContext(), signal)
    await using sink = await openRowSink(settings, sinkContext(), signal)
    const messages = Messages.of([{ partition: 0, key: null, value: Buffer.from('x'), rows: 1 }])
    const end = { commitTs: Ts(1n), startTs: Ts(1n), complete: true }
    const table = testTable({ columns: { id: 'int' } })
    await sink.write({ table, topic: settings.topic, messages, end }, signal)
  })

test('what is refused is named, without the password', async (t) => {
  if (!(await requireOrSkip(t, kafka.available, openssl))) return
  const wrong = 'battery staple'
  for (const [settings, expected] of [
    [secured({ password: wrong }), /ErrKafkaNewProducer.*SASL authentication failed/],
    [secured({ mechanism: 'SCRAM-SHA-256', password: wrong }), /ErrKafkaNewProducer.*SASL authentication failed/],
    [secured({}, { tls: tls({ ca: undefined }) }), /ErrKafkaNewProducer.*self-signed certificate/],
    [
      secured({}, { tls: tls({ ca: file('absent.pem') }) }),
      /ErrKafkaInvalidConfig\]cannot read the TLS file .*absent\.pem/,
    ],
    [secured({}, { tls: undefined }), /ErrKafkaNewProducer/],
  ] as const) {
    const error = await prepareSink(settings, sinkContext(), signal).then(() => 'no error', describeError)
    assert.match(error, expected)
    assert.doesNotMatch(error, /battery|correct horse/)
  }
})

test('a certificate that cannot be checked is taken where that is asked for', async (t) => {
  if (!(await requireOrSkip(t, kafka.available, openssl))) return
  const settings = secured({}, { tls: tls({ ca: undefined, insecureSkipVerify: true }) })
  await prepareSink(settings, sinkContext(), signal)
})
