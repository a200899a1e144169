// Every protocol over one workload, each topic and file read by code that others wrote; the tables that they rebuild
// equal the source.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { CreateBucketCommand, GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { available as pythonAvailable, consumeAll, type ConsumedRecord } from '../support/consumer.ts'
import { available as kafkaAvailable, startKafka } from '../support/kafka.ts'
import { available as motoAvailable, startMoto } from '../support/moto.ts'
import { createRandom } from '../support/random.ts'
import {
  available as readersAvailable,
  type FormatRecord,
  type ReadChange,
  readCsvFiles,
  readWithJava,
  readWithPython,
} from '../support/readers.ts'
import { requireOrSkip } from '../support/require.ts'
import { caughtUp, cli, clusterTs, type ServerProcess, startPlayground, startServer } from '../support/stack.ts'
import { openWorkload, type RowText, type Workload } from '../support/workload.ts'

const SEED = Number(process.env['TIDEWIRE_SEED'] ?? Date.now() % 1_000_000)
const TABLES = ['accounts', 'positions', 'events']

/** Of the workload's tables, as Flink names types. */
const SCHEMAS = {
  accounts: {
    id: 'BIGINT',
    v: 'BIGINT',
    name: 'STRING',
    balance: 'DECIMAL(20,4)',
    opened: 'TIMESTAMP(3)',
    note: 'STRING',
  },
  positions: { book: 'STRING', line: 'BIGINT', v: 'BIGINT', amount: 'DECIMAL(20,0)', tag: 'STRING' },
  events: { code: 'INT', v: 'BIGINT', day: 'DATE', at: 'STRING', body: 'STRING' },
}

const KEYS: Readonly<Record<string, readonly string[]>> = {
  accounts: ['id'],
  positions: ['book', 'line'],
  events: ['code'],
}

/** A row of the source as a format shows it. */
const AS_SHOWN: Readonly<Record<string, (row: RowText) => RowText>> = {
  'canal-json': (row) => row,
  'open-protocol': (row) => row,
  maxwell: (row) => ({ ...row, ...change(row, 'tag', base64) }),
  csv: (row) => ({ ...row, ...change(row, 'tag', base64) }),
  duckdb: (row) => ({ ...row, ...change(row, 'tag', base64) }),
  debezium: (row) => ({
    ...row,
    ...change(row, 'tag', base64),
    ...change(row, 'balance', (text) => String(Number(text))),
    ...change(row, 'opened', (text) => String(Date.parse(`${text.replace(' ', 'T')}Z`))),
    ...change(row, 'amount', (text) => String(BigInt.asIntN(64, BigInt(text)))),
    ...change(row, 'day', (text) => String(Date.parse(text) / 86_400_000)),
    ...change(row, 'at', microseconds),
  }),
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

function change(row: RowText, name: string, of: (text: string) => string): RowText {
  const value = row[name]
  return value === undefined || value === null ? {} : { [name]: of(value) }
}

function microseconds(time: string): string {
  const [hours = 0, minutes = 0, seconds = 0] = time.replace('-', '').split(':').map(Number)
  const all = ((hours * 60 + minutes) * 60 + seconds) * 1e6
  return String(time.startsWith('-') ? -all : all)
}

/** A changefeed of one protocol, with a topic per table. */
const FEEDS: Readonly<Record<string, { readonly uri: string; readonly config?: string }>> = {
  'canal-json': {
    uri: 'protocol=canal-json&enable-tidb-extension=true&max-message-bytes=620',
    config: `[sink.kafka-config.large-message-handle]
large-message-handle-option = "claim-check"
claim-check-raw-value = true
claim-check-storage-uri = "S3"`,
  },
  'open-protocol': {
    uri: 'protocol=open-protocol&max-message-bytes=420',
    config: `[sink.kafka-config.large-message-handle]
large-message-handle-option = "claim-check"
claim-check-storage-uri = "FILE"`,
  },
  maxwell: { uri: 'protocol=maxwell' },
  debezium: { uri: 'protocol=debezium' },
}

test(`each protocol, read by others: the tables are those of the source (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable, motoAvailable, readersAvailable))) return
  await using kafka = await startKafka()
  await using moto = await startMoto()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd })
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-protocols-'))
  t.after(() => rm(folder, { recursive: true }))
  const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' }
  const s3 = new S3Client({ endpoint: moto.url, region: 'us-east-1', forcePathStyle: true, credentials })
  t.after(() => s3.destroy())
  await s3.send(new CreateBucketCommand({ Bucket: 'claims' }))
  const bucket = `s3://claims/large?endpoint=${moto.url}&access-key=id&secret-access-key=secret`
  await using workload = await openWorkload({
    sql: playground.sql,
    database: 'shop',
    random: createRandom(SEED),
    ddl: false,
    writers: 3,
  })

  for (const [format, { uri, config = '' }] of Object.entries(FEEDS)) {
    const rules = `matcher = ["shop.*"], topic = "${format}_{schema}_{table}", partition = "index-value"`
    const toml = `[sink]\ndispatchers = [{${rules}}]\n${config.replace('S3', bucket).replace('FILE', `file://${folder}/claims`)}`
    await create(server, format, `kafka://${kafka.bootstrap}/${format}?${uri}&partition-num=2`, toml)
  }
  const csv = '[sink]\n[sink.csv]\ninclude-commit-ts = true\noutput-field-header = true\n'
  await create(server, 'csv', `file://${folder}/csv?protocol=csv&flush-interval=2s`, csv)
  await create(server, 'csv-s3', `s3://claims/csv?${bucket.split('?')[1]}&protocol=csv&flush-interval=2s`, csv)

  await workload.run(300)
  const end = await clusterTs(server, playground.pd)
  for (const id of [...Object.keys(FEEDS), 'csv', 'csv-s3']) await caughtUp(server, id, end, 90_000)

  const records: FormatRecord[] = []
  let claimed = 0
  for (const format of Object.keys(FEEDS)) {
    for (const table of TABLES) {
      for (const record of await consumeAll(kafka.bootstrap, [`${format}_shop_${table}`])) {
        const whole = format === 'canal-json' ? await redeemed(record) : record
        if (whole !== undefined) records.push({ format, table, record: whole })
      }
    }
  }

  /** Without watermarks, which Flink does not know; with the whole row where the message points to it. */
  async function redeemed(record: ConsumedRecord): Promise<ConsumedRecord | undefined> {
    const document = JSON.parse(Buffer.from(record.value ?? '', 'base64').toString())
    if (document.type === 'TIDB_WATERMARK') return undefined
    const location: string | undefined = document._tidb.claimCheckLocation
    if (location === undefined) return record
    claimed++
    const [, key] = /^s3:\/\/claims\/(large\/[0-9a-f-]{36}\.json)$/.exec(location) ?? []
    assert.ok(key !== undefined, location)
    const found = await s3.send(new GetObjectCommand({ Bucket: 'claims', Key: key }))
    return { ...record, value: Buffer.from((await found.Body?.transformToByteArray()) ?? []).toString('base64') }
  }

  const java = records.filter(({ format }) => format === 'canal-json' || format === 'debezium')
  const python = records.filter(({ format }) => format === 'open-protocol' || format === 'maxwell')
  const changes = [
    ...(await readWithJava(java, SCHEMAS)),
    ...(await readWithPython(python)),
    ...(await readCsvFiles('csv', `${folder}/csv`)),
    ...(await readCsvFiles('duckdb', `${folder}/csv`)),
  ]
  const stored = (await readdir(`${folder}/claims`)).length
  assert.ok(claimed > 0 && stored > 0, 'no message was large')
  for (const format of Object.keys(AS_SHOWN)) {
    const own = changes.filter((one) => one.format === format)
    t.diagnostic(`${format}: ${own.length} changes`)
    await compare(format, own, workload)
  }
  t.diagnostic(`claim-check: ${claimed} messages in s3, ${stored} files`)

  await download(s3, 'claims', 'csv/', `${folder}/csv-s3`)
  await compare('csv', await readCsvFiles('csv', `${folder}/csv-s3`), workload)
})

async function create(server: ServerProcess, id: string, uri: string, toml: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-config-'))
  try {
    const config = join(folder, 'changefeed.toml')
    await writeFile(config, toml)
    await cli(
      server,
      'changefeed',
      'create',
      '--sink-uri',
      uri,
      '--changefeed-id',
      id,
      '--config',
      config,
      '--no-confirm',
    )
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Changes of one row come in order; the last one of each is what the source has. */
async function compare(format: string, changes: readonly ReadChange[], workload: Workload): Promise<void> {
  const shown = AS_SHOWN[format] ?? ((row) => row)
  for (const table of TABLES) {
    const keyOf = (row: RowText): string => (KEYS[table] ?? []).map((name) => row[name]).join('|')
    const rebuilt = new Map<string, RowText>()
    for (const { kind, row: all, table: of } of changes) {
      if (of !== table) continue
      const row = Object.fromEntries(Object.entries(all).filter(([name]) => !name.startsWith('__')))
      const key = keyOf(row)
      if (kind.startsWith('-')) rebuilt.delete(key)
      else
        rebuilt.set(
          key,
          format === 'debezium' ? { ...row, ...change(row, 'balance', (text) => String(Number(text))) } : row,
        )
    }
    const source = [...(await workload.rows(table))].map(([, row]): [string, RowText] => [keyOf(row), shown(row)])
    const sorted = (rows: Iterable<[string, RowText]>) => [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1))
    assert.deepEqual(sorted(rebuilt), sorted(source), `${format}: table ${table}`)
  }
}

async function download(s3: S3Client, bucket: string, prefix: string, folder: string): Promise<void> {
  const listed = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }))
  for (const { Key = '' } of listed.Contents ?? []) {
    const path = join(folder, Key.slice(prefix.length))
    await mkdir(dirname(path), { recursive: true })
    const found = await s3.send(new GetObjectCommand({ Bucket: bucket, Key }))
    await writeFile(path, (await found.Body?.transformToByteArray()) ?? new Uint8Array())
  }
}
