// Every wrong key, value, parameter and flag that a user can write gets a named error, and leaves nothing behind.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { openApi } from '../src/api/api.ts'
import { createFakeServer, NOW } from '../src/api/server.fixture.ts'
import { silentLog } from '../src/base/log.ts'
import { runCli } from '../src/cli/cli.ts'
import { checkReplicaConfig } from '../src/config/check-replica-config.ts'
import { parseStoredReplicaConfig } from '../src/config/replica-config-json.ts'
import { parseReplicaConfigToml } from '../src/config/replica-config-toml.ts'
import { checkServerConfig, parseServerConfigToml } from '../src/config/server-config.ts'

const KAFKA = 'kafka://127.0.0.1:9092/t?protocol=canal-json'
const unbuilt = /is not built yet in this version/

/** Sink URIs alone. */
const URIS: readonly (readonly [uri: string, code: string, what: RegExp])[] = [
  ['', 'ErrSinkURIInvalid', /sink_uri is empty/],
  ['nope', 'ErrSinkURIInvalid', /the sink scheme \(\) is not supported/],
  ['http://h/t', 'ErrSinkURIInvalid', /the sink scheme \(http\) is not supported/],
  ['kafka://u:a/b@h:1/t?protocol=canal-json', 'ErrSinkURIInvalid', /invalid port after host/],
  ['mysql://root@127.0.0.1:4000/', 'ErrSinkURIInvalid', unbuilt],
  ['tidb+ssl://root@h/', 'ErrSinkURIInvalid', unbuilt],
  ['pulsar://h:6650/t?protocol=canal-json', 'ErrSinkURIInvalid', unbuilt],
  ['s3:///prefix?protocol=canal-json', 'ErrStorageSinkInvalidConfig', /please specify the bucket for s3/],
  ['s3://b/p?protocol=csv&access-key=a', 'ErrStorageSinkInvalidConfig', /secret_access_key not found/],
  ['s3://b/p?protocol=csv&endpoint=h:9000', 'ErrStorageSinkInvalidConfig', /needs scheme and host/],
  ['gcs://bucket/prefix?protocol=csv', 'ErrSinkURIInvalid', unbuilt],
  ['kafka://127.0.0.1:9092/?protocol=canal-json', 'ErrKafkaInvalidConfig', /no topic is specified in sink-uri/],
  ['kafka://127.0.0.1:9092/a%20b?protocol=canal-json', 'ErrKafkaInvalidConfig', /topic name 'a b' is illegal/],
  ['kafka:///t?protocol=canal-json', 'ErrKafkaInvalidConfig', /no broker is specified/],
  ['kafka://a,b:9092/t?protocol=canal-json', 'ErrKafkaInvalidConfig', /broker a has no port/],
  ['kafka://::1:9092/t?protocol=canal-json', 'ErrSinkURIInvalid', /IPv6/],
  ['kafka://127.0.0.1:9092/t', 'ErrSinkUnknownProtocol', /unknown '' message protocol for sink/],
  ['kafka://127.0.0.1:9092/t?protocol=random', 'ErrSinkUnknownProtocol', /unknown 'random' message protocol for sink/],
  ['kafka://127.0.0.1:9092/t?protocol=avro', 'ErrCodecInvalidConfig', /requires parameter "schema-registry"/],
  ['kafka://127.0.0.1:9092/t?protocol=csv', 'ErrSinkUnknownProtocol', /unknown 'csv' message protocol/],
  ['kafka://127.0.0.1:9092/t?protocol=canal', 'ErrSinkUnknownProtocol', unbuilt],
  ['blackhole://?protocol=random', 'ErrSinkUnknownProtocol', /unknown 'random'/],
  ['file:///tmp/x?protocol=open-protocol', 'ErrSinkUnknownProtocol', /storage takes csv and canal-json/],
  ['file://relative/x?protocol=canal-json', 'ErrStorageSinkInvalidConfig', /absolute/],
  [
    'file:///tmp/x?protocol=canal-json&flush-interval=5',
    'ErrStorageSinkInvalidConfig',
    /flush-interval "5" is not a duration/,
  ],
  ['file:///tmp/x?protocol=canal-json&worker-count=0', 'ErrStorageSinkInvalidConfig', /invalid worker-count 0/],
  [`${KAFKA}&partition-num=0`, 'ErrKafkaInvalidPartitionNum', /invalid partition num 0/],
  [`${KAFKA}&partition-num=-1`, 'ErrKafkaInvalidPartitionNum', /invalid partition num -1/],
  [`${KAFKA}&partition-num=`, 'ErrKafkaInvalidPartitionNum', /invalid partition num 0/],
  [`${KAFKA}&partition-num=three`, 'ErrKafkaInvalidConfig', /partition-num "three" is not a whole number/],
  [`${KAFKA}&replication-factor=0`, 'ErrKafkaInvalidConfig', /replication-factor 0/],
  [`${KAFKA}&kafka-version=2`, 'ErrKafkaInvalidVersion', /invalid kafka version '2'/],
  [`${KAFKA}&max-message-bytes=0`, 'ErrCodecInvalidConfig', /invalid max-message-bytes 0/],
  [`${KAFKA}&max-batch-size=-1`, 'ErrCodecInvalidConfig', /invalid max-batch-size -1/],
  [`${KAFKA}&compression=best`, 'ErrKafkaInvalidConfig', /unknown compression 'best'/],
  [`${KAFKA}&kafka-client-id=a%2Fb`, 'ErrKafkaInvalidClientID', /invalid kafka client ID 'a\/b'/],
  [`${KAFKA}&auto-create-topic=maybe`, 'ErrKafkaInvalidConfig', /auto-create-topic "maybe" is not true or false/],
  [`${KAFKA}&dial-timeout=10`, 'ErrKafkaInvalidConfig', /dial-timeout "10" is not a duration/],
  [`${KAFKA}&read-timeout=-1s`, 'ErrKafkaInvalidConfig', /read-timeout must be larger than 0/],
  [`${KAFKA}&required-acks=2`, 'ErrKafkaInvalidRequiredAcks', /invalid required acks 2/],
  [`${KAFKA}&sasl-mechanism=MAGIC`, 'ErrKafkaInvalidConfig', /unknown sasl-mechanism 'MAGIC'/],
  [`${KAFKA}&sasl-mechanism=plain`, 'ErrKafkaInvalidConfig', /needs sasl-user and sasl-password/],
  [`${KAFKA}&sasl-mechanism=gssapi`, 'ErrKafkaInvalidConfig', unbuilt],
  [`${KAFKA}&sasl-mechanism=OAUTHBEARER`, 'ErrKafkaInvalidConfig', unbuilt],
  [
    `${KAFKA}&enable-tls=false&ca=/tmp/ca.pem`,
    'ErrKafkaInvalidConfig',
    /enable-tls is false, but certificate files are given/,
  ],
  [`${KAFKA}&cert=/tmp/cert.pem`, 'ErrKafkaInvalidConfig', /cert and key must be given together/],
  [
    `${KAFKA}&transaction-atomicity=table`,
    'ErrSinkURIInvalid',
    /table level atomicity is not supported by kafka scheme/,
  ],
  ['blackhole://?transaction-atomicity=global', 'ErrSinkURIInvalid', /global level atomicity/],
]

for (const [uri, code, what] of URIS)
  test(`sink uri ${JSON.stringify(uri)}: CDC:${code}`, () =>
    assert.throws(() => checkReplicaConfig(uri, parseReplicaConfigToml('', 'none').config), {
      code: `CDC:${code}`,
      message: what,
    }))

/** Files that can be read, and mean nothing good. */
const CONFIGS: readonly (readonly [toml: string, code: string, what: RegExp])[] = [
  [
    'changefeed-error-stuck-duration = "1m"',
    'ErrInvalidReplicaConfig',
    /ChangefeedErrorStuckDuration:1m0s must be larger than 30m0s/,
  ],
  ['enable-sync-point = true', 'ErrSinkURIInvalid', /sync point is not supported by kafka scheme/],
  ['bdr-mode = true', 'ErrSinkURIInvalid', /bdr mode is not supported by kafka scheme/],
  ['[consistent]\nlevel = "eventual"', 'ErrInvalidReplicaConfig', unbuilt],
  ['[integrity]\nintegrity-check-level = "full"', 'ErrInvalidReplicaConfig', /integrity-check-level 'full'/],
  ['[integrity]\ncorruption-handle-level = "panic"', 'ErrInvalidReplicaConfig', /corruption-handle-level 'panic'/],
  ['[sink]\nencoder-concurrency = -1', 'ErrSinkInvalidConfig', /encoder-concurrency should greater than 0, but got -1/],
  [
    '[sink]\ndispatchers = [{matcher = ["a.*"], partition = "rnd"}]',
    'ErrSinkInvalidConfig',
    /unknown partition rule 'rnd'/,
  ],
  [
    '[sink]\ndispatchers = [{matcher = ["a.*"], partition = "ts", dispatcher = "ts"}]',
    'ErrSinkInvalidConfig',
    /dispatcher and partition cannot be configured both/,
  ],
  [
    'force-replicate = true\n[sink]\ndelete-only-output-handle-key-columns = true',
    'ErrSinkInvalidConfig',
    /CDC:ErrCodecInvalidConfig/,
  ],
  ['[sink.kafka-config]\npartition-num = 0', 'ErrKafkaInvalidPartitionNum', /invalid partition num 0/],
  ['[sink.kafka-config]\nsasl-oauth-token-url = "http://h"', 'ErrInvalidReplicaConfig', unbuilt],
  [
    '[sink.kafka-config.large-message-handle]\nlarge-message-handle-option = "handle-key-only"',
    'ErrInvalidReplicaConfig',
    /protocol is canal-json, but enable-tidb-extension is false/,
  ],
  [
    '[sink.kafka-config.codec-config]\nenable-tidb-extension = true\n' +
      '[sink.kafka-config.large-message-handle]\nlarge-message-handle-option = "claim-check"',
    'ErrInvalidReplicaConfig',
    /claim-check-storage-uri is empty/,
  ],
  [
    '[sink.kafka-config.codec-config]\nenable-tidb-extension = true\n' +
      '[sink.kafka-config.large-message-handle]\nlarge-message-handle-option = "claim-check"\n' +
      'claim-check-storage-uri = "ftp://h/x"',
    'ErrStorageSinkInvalidConfig',
    /the storage scheme \(ftp\) is not supported/,
  ],
  [
    'force-replicate = true\n[sink.kafka-config.codec-config]\nenable-tidb-extension = true\n' +
      '[sink.kafka-config.large-message-handle]\nlarge-message-handle-option = "handle-key-only"',
    'ErrInvalidReplicaConfig',
    /force-replicate must be disabled/,
  ],
  [
    '[sink.kafka-config.large-message-handle]\nlarge-message-handle-option = "drop"',
    'ErrInvalidReplicaConfig',
    /supported are none, handle-key-only, claim-check/,
  ],
  [
    '[sink.kafka-config.large-message-handle]\nlarge-message-handle-compression = "gzip"',
    'ErrInvalidReplicaConfig',
    /large-message-handle-compression = gzip/,
  ],
]

for (const [toml, code, what] of CONFIGS)
  test(`${JSON.stringify(toml)}: CDC:${code}`, () =>
    assert.throws(() => checkReplicaConfig(KAFKA, parseReplicaConfigToml(toml, 'f.toml').config), {
      code: `CDC:${code}`,
      message: what,
    }))

/** Files for a storage sink, which writes csv. */
const CSV: readonly (readonly [toml: string, what: RegExp])[] = [
  ['[sink.csv]\nquote = "ab"', /quote contains more than one character/],
  ['[sink.csv]\nquote = "\\n"', /quote cannot be line break character/],
  ['[sink.csv]\ndelimiter = ""', /delimiter cannot be empty/],
  ['[sink.csv]\ndelimiter = "abcd"', /delimiter contains more than three characters/],
  ['[sink.csv]\ndelimiter = "a\\r"', /delimiter contains line break characters/],
  ['[sink.csv]\ndelimiter = "é"', /not ASCII/],
  ['[sink.csv]\ndelimiter = "a|"\nquote = "|"', /quote and delimiter have common characters/],
  ['[sink.csv]\nbinary-encoding-method = "base32"', /can only be base64 or hex/],
  ['[sink]\ndelete-only-output-handle-key-columns = true', /CSV protocol always output all columns/],
]

for (const [toml, what] of CSV)
  test(`csv with ${JSON.stringify(toml)}`, () =>
    assert.throws(
      () => checkReplicaConfig('file:///tmp/x?protocol=csv', parseReplicaConfigToml(toml, 'f.toml').config),
      { code: 'CDC:ErrSinkInvalidConfig', message: what },
    ))

test('every fault is named, not only the first', () => {
  const { config } = parseReplicaConfigToml(
    'changefeed-error-stuck-duration = "1m"\n[consistent]\nlevel = "eventual"',
    'f.toml',
  )
  assert.throws(() => checkReplicaConfig(`${KAFKA}&partition-num=0&required-acks=9`, config), {
    code: 'CDC:ErrKafkaInvalidPartitionNum',
    message: /partition num 0.*required acks 9.*stuck.*redo log/i,
  })
})

/** Files that cannot be read; TiCDC has no codes for these. */
const FILES: readonly (readonly [toml: string, what: RegExp])[] = [
  [
    'foo = 1\n[sink]\nbar = 2\n[sink.zed]\nk = 1',
    /^component TiCDC changefeed's config file f\.toml contained unknown configuration options: foo, sink\.bar, sink\.zed, sink\.zed\.k$/,
  ],
  [
    'case-sensitive = "x"',
    /^f\.toml: toml: line 1 \(last key "case-sensitive"\): incompatible types: TOML value has type string; destination has type boolean$/,
  ],
  ['memory-quota = 1\nmemory-quota = 2', /^f\.toml: toml: line 2/],
  ['memory-quota = -1', /^f\.toml: toml: line 1 \(last key "memory-quota"\): -1 is negative$/],
  ['sync-point-interval = "1 day"', /line 1 \(last key "sync-point-interval"\): invalid duration "1 day"/],
  ["[sink]\ndispatchers = [\n {matcher = ['test5.*, 'test6.*'], topic = \"a\"},\n]", /^f\.toml: toml: line 3/],
  [
    '[filter]\nrules = "*.*"',
    /line 2 \(last key "filter\.rules"\): incompatible types: TOML value has type string; destination has type slice/,
  ],
  ['[filter]\nrules = [1]', /TOML value has type int64; destination has type string/],
  ['a = 1\ncase-sensitive = 2', /case-sensitive.*\ncomponent TiCDC.*: a$/],
  ['[sink', /^f\.toml: toml: line 1/],
]

for (const [toml, what] of FILES)
  test(`file ${JSON.stringify(toml)} is refused by place and key`, () =>
    assert.throws(() => parseReplicaConfigToml(toml, 'f.toml'), { name: 'ConfigFileError', message: what }))

/** Options of a server: its file, `--pd`. */
const PD = 'http://127.0.0.1:2379'
const SERVERS: readonly (readonly [toml: string, pd: string, code: string, what: RegExp])[] = [
  ['addr = ""', PD, 'ErrInvalidServerOption', /empty address/],
  ['addr = "localhost"', PD, 'ErrInvalidServerOption', /does not contain a port/],
  ['addr = "0.0.0.0:8300"', PD, 'ErrInvalidServerOption', /unspecified IP/],
  ['advertise-addr = "[::]:8300"', PD, 'ErrInvalidServerOption', /unspecified IP/],
  ['advertise-addr = "host"', PD, 'ErrInvalidServerOption', /does not contain a port/],
  ['cluster-id = "a_b"', PD, 'ErrInvalidServerOption', /bad cluster-id/],
  ['cluster-id = "owner"', PD, 'ErrInvalidServerOption', /reserved/],
  ['gc-ttl = 0', PD, 'ErrInvalidServerOption', /empty GC TTL is not allowed/],
  ['log-level = "loud"', PD, 'ErrInvalidServerOption', /unknown log level "loud"/],
  ['tz = "Mars/Olympus"', PD, 'ErrLoadTimezone', /can not load timezone.*Mars\/Olympus/],
  ['[security]\nclient-user-required = true', PD, 'ErrInvalidServerOption', /client-allowed-user should not be empty/],
  ['[sorter]\ncache-size-in-mb = 7', PD, 'ErrIllegalSorterParameter', /cache-size-in-mb/],
  ['[kv-client]\nregion-scan-limit = 0', PD, 'ErrInvalidServerOption', /region-scan-limit should be at least 1/],
  ['[kv-client]\nregion-retry-duration = "0s"', PD, 'ErrInvalidServerOption', /region-retry-duration/],
  ['[debug.db]\ncompression = "lz4"', PD, 'ErrIllegalSorterParameter', /compression/],
  ['[debug.messages]\nserver-worker-pool-size = 33', PD, 'ErrInvalidServerOption', /server-worker-pool-size/],
  ['[debug.scheduler]\nheartbeat-tick = 0', PD, 'ErrInvalidServerOption', /heartbeat-tick must be larger than 0/],
  ['', '', 'ErrInvalidServerOption', /empty PD address/],
  ['', '127.0.0.1:2379', 'ErrInvalidServerOption', /PD endpoint should be a valid http or https URL/],
  ['', 'https://h:2379', 'ErrInvalidServerOption', /PD endpoint scheme is https, please provide certificate/],
  [
    '[security]\nca-path = "a"\ncert-path = "b"\nkey-path = "c"',
    PD,
    'ErrInvalidServerOption',
    /PD endpoint scheme should be https/,
  ],
]

for (const [toml, pd, code, what] of SERVERS)
  test(`server ${JSON.stringify(toml)} --pd=${pd}: CDC:${code}`, () =>
    assert.throws(() => checkServerConfig(parseServerConfigToml(toml, 's.toml').config, pd), {
      code: `CDC:${code}`,
      message: what,
    }))

test("a server's file is as strict as a changefeed's, but for debug", () => {
  assert.throws(() => parseServerConfigToml('x = 1\n[debug]\ny = 1', 's.toml'), {
    message: "component TiCDC server's config file s.toml contained unknown configuration options: x",
  })
})

const folder = mkdtempSync(join(tmpdir(), 'tidewire-bad-input-'))
after(() => rmSync(folder, { recursive: true }))
const badFile = join(folder, 'bad.toml')
writeFileSync(badFile, 'case-sensitive = "x"\n')

/** Command lines; `@` stands for a working server's address. */
const COMMANDS: readonly (readonly [argv: readonly string[], what: RegExp])[] = [
  [['cli', 'changefeed', 'create', '--server=@'], /CDC:ErrSinkURIInvalid.*sink_uri is empty/],
  [
    ['cli', 'changefeed', 'create', '--server=@', `--sink-uri=${KAFKA}`, '-c', 'a_b'],
    /CDC:ErrAPIInvalidParam\]invalid changefeed_id: a_b/,
  ],
  [
    ['cli', 'changefeed', 'create', '--server=@', `--sink-uri=${KAFKA}`, '-c', 'taken'],
    /CDC:ErrChangeFeedAlreadyExists/,
  ],
  [
    ['cli', 'changefeed', 'create', '--server=@', `--sink-uri=${KAFKA}`, '-n', 'a.b'],
    /CDC:ErrAPIInvalidParam\]invalid namespace: a\.b/,
  ],
  [
    ['cli', 'changefeed', 'create', '--server=@', `--sink-uri=${KAFKA}`, `--start-ts=${NOW + 1n}`],
    /CDC:ErrAPIInvalidParam.*larger than current tso/,
  ],
  [
    ['cli', 'changefeed', 'create', '--server=@', `--sink-uri=${KAFKA}`, '--start-ts=-1'],
    /invalid argument "-1" for "--start-ts" flag/,
  ],
  [
    ['cli', 'changefeed', 'create', '--server=@', `--sink-uri=${KAFKA}&compression=best`],
    /CDC:ErrKafkaInvalidConfig.*compression/,
  ],
  [
    ['cli', 'changefeed', 'create', '--server=@', `--sink-uri=${KAFKA}`, `--config=${badFile}`],
    /bad\.toml: toml: line 1 \(last key "case-sensitive"\)/,
  ],
  [
    ['cli', 'changefeed', 'create', '--server=@', `--sink-uri=${KAFKA}`, '--config=/no/such.toml'],
    /open \/no\/such\.toml: no such file or directory/,
  ],
  [
    ['cli', 'changefeed', 'create', '--server=@', `--sink-uri=${KAFKA}`, '--sort-dir=/tmp'],
    /creating changefeed with `--sort-dir`, it's invalid/,
  ],
  [['cli', 'changefeed', 'create', '--server=127.0.0.1:1', `--sink-uri=${KAFKA}`], /ECONNREFUSED/],
  [['cli', 'changefeed', 'list', '--pd=http://127.0.0.1:1'], /CDC:ErrPDEtcdAPIError/],
  [['cli', 'tso', 'query', '--pd=http://127.0.0.1:1'], /CDC:Err/],
  [['server', '--pd=127.0.0.1:2379'], /CDC:ErrInvalidServerOption/],
  [['server', '--addr=nowhere'], /CDC:ErrInvalidServerOption/],
  [['server', '--config=/no/such.toml'], /no such file or directory/],
]

for (const [argv, what] of COMMANDS)
  test(`cdc ${argv.join(' ')}: a named error within 10 s, and exit code 1`, { timeout: 10_000 }, async () => {
    const server = createFakeServer()
    await using api = await openApi({ host: '127.0.0.1', port: 0, log: silentLog })
    api.serve(server)
    const create = ['cli', 'changefeed', 'create', '-c', 'taken', `--sink-uri=${KAFKA}`, '--server=@']
    const run = async (words: readonly string[]): Promise<{ code: number; err: string }> => {
      const [stdout, stderr] = [new PassThrough().resume(), new PassThrough()]
      const err = text(stderr)
      const address = words.map((word) => word.replace('=@', `=127.0.0.1:${api.port}`))
      const signal = new AbortController().signal
      const code = await runCli(address, {}, signal, { stdin: Readable.from(['y\n']), stdout, stderr })
      stderr.end()
      return { code, err: await err }
    }
    assert.deepEqual(await run(create), { code: 0, err: '' })
    const { code, err } = await run(argv)
    assert.equal(code, 1)
    assert.match(err, /^Error: /)
    assert.match(err, what)
    assert.deepEqual([...server.changefeeds.keys()], ['default/taken'])
  })

test('a stored changefeed that needs what is not built is named, also by keys that v8.5 does not know', () => {
  for (const [json, key] of [
    [
      { filter: { 'event-filters': [{ matcher: ['a.*'], 'ignore-update-only-columns': ['c'] }] } },
      'filter.event-filters.ignore-update-only-columns',
    ],
    [{ 'enable-active-active': true }, 'enable-active-active'],
    [{ consistent: { level: 'eventual' } }, 'consistent.level'],
  ] as const)
    assert.throws(() => checkReplicaConfig(KAFKA, parseStoredReplicaConfig(json).config, { stored: true }), {
      message: new RegExp(`${key}.*is not built yet`),
    })
  const harmless = {
    'enable-active-active': false,
    sink: { dispatchers: [{ matcher: ['a.*'], 'target-schema': '', partition: 'rnd' }] },
  }
  const { warnings } = checkReplicaConfig(KAFKA, parseStoredReplicaConfig(harmless).config, { stored: true })
  assert.match(warnings.join(), /unknown partition rule 'rnd'.*default is used/)
})
