// avro and simple as their readers see them: real registries, a real Kafka, and clients that are not ours rebuild tables.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { available as apicurioAvailable, startApicurio } from '../support/apicurio.ts'
import { available as pythonAvailable, python } from '../support/consumer.ts'
import { available as kafkaAvailable, startKafka } from '../support/kafka.ts'
import { available as motoAvailable, startMoto } from '../support/moto.ts'
import { run, waitFor } from '../support/process.ts'
import { createRandom } from '../support/random.ts'
import { requireOrSkip } from '../support/require.ts'
import {
  caughtUp,
  changefeed,
  cli,
  clusterTs,
  type ServerProcess,
  startPlayground,
  startServer,
} from '../support/stack.ts'
import { openWorkload, type RowText, type Workload } from '../support/workload.ts'

const SEED = Number(process.env['TIDEWIRE_SEED'] ?? Date.now() % 1_000_000)
const TABLES = ['accounts', 'positions', 'events']
const KEYS: Readonly<Record<string, readonly string[]>> = {
  accounts: ['id'],
  positions: ['book', 'line'],
  events: ['code'],
}

type Fields = Readonly<Record<string, string | null>>
interface Read {
  readonly topic: string
  readonly key: Fields | null
  readonly value: Fields | null
}

/** Records of the topics in the order of their partitions, read by avro_reader.py. */
async function readAvro<T>(bootstrap: string, topics: readonly string[], ...how: readonly string[]): Promise<T[]> {
  const script = join(import.meta.dirname, '../support/avro_reader.py')
  await using reader = await run(python(), [script, '--bootstrap', bootstrap, '--topics', topics.join(','), ...how])
  const code = await reader.exited
  if (code !== 0) throw new Error(`avro_reader.py ended with ${code}:\n${reader.lines.slice(-20).join('\n')}`)
  return reader.stdout.map((line) => JSON.parse(line))
}

/** Creates a changefeed `first` with a topic per table. */
async function create(server: ServerProcess, uri: string, toml = ''): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-changefeed-'))
  try {
    const file = join(folder, 'changefeed.toml')
    const rule = `{ matcher = ['*.*'], topic = '{schema}_{table}', partition = 'index-value' }`
    await writeFile(file, `[sink]\ndispatchers = [${rule}]\n${toml}`)
    const args = ['--sink-uri', uri, '--changefeed-id', 'first', '--config', file, '--no-confirm']
    await cli(server, 'changefeed', 'create', ...args)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** A table as its reader has it: the newest value of each key, without those that were deleted. */
function newest(records: readonly Read[], topic: string): Map<string, Fields> {
  const rows = new Map<string, Fields>()
  for (const { key, value, topic: from } of records) {
    if (from !== topic || key === null) continue
    const id = Object.values(key).join('/')
    rows.delete(id)
    if (value !== null) rows.set(id, value)
  }
  return rows
}

/** Every table that readers have equals the source. */
async function compare(records: readonly Read[], workload: Workload): Promise<void> {
  for (const table of TABLES) {
    const columns = KEYS[table] ?? []
    const source = new Map<string, RowText>()
    for (const row of (await workload.rows(table)).values()) source.set(columns.map((name) => row[name]).join('/'), row)
    const found = newest(records, `shop_${table}`)
    assert.deepEqual([...found.keys()].toSorted(), [...source.keys()].toSorted(), `keys of ${table}`)
    for (const [key, row] of source)
      for (const [name, value] of Object.entries(row)) {
        const fields = found.get(key) ?? {}
        // What a DDL gave to rows that were not written since is in no message.
        if (name === 'extra' && !(name in fields)) continue
        const read = fields[name] ?? null
        // A long that stands for an unsigned one.
        const text = name === 'amount' && read?.startsWith('-') === true ? String(BigInt(read) + (1n << 64n)) : read
        assert.equal(text, value, `${table} ${key}: ${name}`)
      }
  }
}

const topics = TABLES.map((table) => `shop_${table}`)

test(`avro through a real registry: another client rebuilds the tables (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable, apicurioAvailable))) return
  await using kafka = await startKafka()
  await using registry = await startApicurio()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd })
  const random = createRandom(SEED)
  await using workload = await openWorkload({ sql: playground.sql, database: 'shop', random, ddl: false, writers: 2 })
  const options = 'protocol=avro&enable-tidb-extension=true&partition-num=2'
  await create(server, `kafka://${kafka.bootstrap}/avro?${options}&schema-registry=${encodeURIComponent(registry.url)}`)
  await workload.run(100)
  await workload.query('ALTER TABLE shop.accounts ADD COLUMN extra INT DEFAULT 7')
  await workload.run(100)
  await caughtUp(server, 'first', await clusterTs(server, playground.pd))
  const records = await readAvro<Read>(kafka.bootstrap, topics, '--registry', registry.url)
  await compare(records, workload)
  const versions = await (await fetch(`${registry.url}/subjects/shop_accounts-value/versions`)).json()
  assert.deepEqual(versions, [1, 2])
  const commits = records.flatMap(({ value }) => value?.['_tidb_commit_ts'] ?? [])
  assert.ok(commits.length > 0 && commits.every((ts) => BigInt(ts) > 0n))
})

test('a schema that the registry refuses stops the changefeed by name; what waited arrives once it is taken', async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable, apicurioAvailable))) return
  await using kafka = await startKafka()
  await using registry = await startApicurio()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd })
  const random = createRandom(SEED)
  await using workload = await openWorkload({ sql: playground.sql, database: 'shop', random, ddl: false, writers: 1 })
  const uri = `kafka://${kafka.bootstrap}/avro?protocol=avro&partition-num=1&schema-registry=${encodeURIComponent(registry.url)}`
  await create(server, uri)
  await workload.run(30)
  await caughtUp(server, 'first', await clusterTs(server, playground.pd))
  const allow = async (compatibility: string): Promise<void> => {
    const answer = await fetch(`${registry.url}/config/shop_accounts-value`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ compatibility }),
    })
    assert.ok(answer.ok, await answer.text())
  }
  await allow('BACKWARD')
  await workload.query('ALTER TABLE shop.accounts ADD COLUMN extra DATE NOT NULL')
  await workload.query(`INSERT INTO shop.accounts (id, v, name, extra) VALUES (99999, 99999, 'late', '2026-01-02')`)
  const refused = await waitFor('the refusal', async () => (await changefeed(server, 'first')).error, 60_000)
  assert.match(
    refused.message,
    /CDC:ErrAvroSchemaAPIError.*subject shop_accounts-value: .*refused the schema with 4\d\d/,
  )
  await allow('NONE')
  await cli(server, 'changefeed', 'pause', '--changefeed-id', 'first')
  await cli(server, 'changefeed', 'resume', '--changefeed-id', 'first', '--no-confirm')
  await caughtUp(server, 'first', await clusterTs(server, playground.pd), 90_000)
  await compare(await readAvro<Read>(kafka.bootstrap, topics, '--registry', registry.url), workload)
})

test('while the registry does not answer rows wait with a warning, and go on when it is back', async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable, apicurioAvailable))) return
  await using kafka = await startKafka()
  await using registry = await startApicurio()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd })
  const random = createRandom(SEED)
  await using workload = await openWorkload({ sql: playground.sql, database: 'shop', random, ddl: false, writers: 1 })
  const uri = `kafka://${kafka.bootstrap}/avro?protocol=avro&partition-num=1&schema-registry=${encodeURIComponent(registry.url)}`
  await create(server, uri)
  await workload.run(20)
  await caughtUp(server, 'first', await clusterTs(server, playground.pd))
  registry.pause()
  await workload.query('ALTER TABLE shop.accounts ADD COLUMN extra INT DEFAULT 7')
  await workload.query('INSERT INTO shop.accounts (id, v, name, extra) VALUES (99999, 99999, "late", 8)')
  await waitFor('the warning', async () => {
    const text = await cli(server, 'changefeed', 'query', '--changefeed-id', 'first', '--simple')
    return text.includes('"state": "warning"') && text.includes('CDC:ErrAvroSchemaAPIError')
  })
  registry.resume()
  await caughtUp(server, 'first', await clusterTs(server, playground.pd), 60_000)
  await compare(await readAvro<Read>(kafka.bootstrap, topics, '--registry', registry.url), workload)
})

test(`avro with AWS Glue: another client rebuilds the tables (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable, motoAvailable))) return
  await using kafka = await startKafka()
  await using aws = await startMoto()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd, env: { AWS_ENDPOINT_URL: aws.url } })
  const random = createRandom(SEED)
  await using workload = await openWorkload({ sql: playground.sql, database: 'shop', random, ddl: false, writers: 2 })
  const modes = 'avro-decimal-handling-mode=string&avro-bigint-unsigned-handling-mode=string'
  const uri = `kafka://${kafka.bootstrap}/avro?protocol=avro&partition-num=2&${modes}`
  const keys = `region = 'us-east-1'\nregistry-name = 'tables'\naccess-key = 'AKID'\nsecret-access-key = 'verysecret'\n`
  const toml = `[sink.kafka-config.glue-schema-registry-config]\n${keys}`
  await assert.rejects(create(server, uri, toml), (error: Error) => {
    assert.match(error.message, /ErrAvroSchemaAPIError.*registry tables of AWS Glue.*EntityNotFound/s)
    assert.doesNotMatch(error.message, /verysecret/)
    return true
  })
  const boto = `import boto3; boto3.client('glue', endpoint_url='${aws.url}', region_name='us-east-1', aws_access_key_id='a', aws_secret_access_key='b').create_registry(RegistryName='tables')`
  const made = await run(python(), ['-c', boto])
  assert.equal(await made.exited, 0, made.lines.join('\n'))
  await create(server, uri, toml)
  await workload.run(60)
  await workload.query('ALTER TABLE shop.accounts ADD COLUMN extra INT DEFAULT 7')
  await workload.run(60)
  await caughtUp(server, 'first', await clusterTs(server, playground.pd))
  await compare(await readAvro<Read>(kafka.bootstrap, topics, '--glue', aws.url), workload)
})

interface SimpleRow {
  readonly table: string
  readonly type: 'INSERT' | 'UPDATE' | 'DELETE'
  readonly schemaVersion: string
  readonly data: Fields | null
  readonly old: Fields | null
}
interface SimpleRecord {
  readonly topic: string
  readonly partition: number
  readonly value: { readonly kind: string; readonly tableSchema?: { readonly version: string } } & SimpleRow
}

test(`simple in Avro: fastavro rebuilds the tables; schemas precede their rows (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
  await using kafka = await startKafka()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd })
  const random = createRandom(SEED)
  await using workload = await openWorkload({ sql: playground.sql, database: 'shop', random, ddl: false, writers: 2 })
  await create(server, `kafka://${kafka.bootstrap}/simple?protocol=simple&encoding-format=avro&partition-num=3`)
  await workload.run(80)
  await workload.query('ALTER TABLE shop.accounts ADD COLUMN extra INT DEFAULT 7')
  await workload.run(80)
  await caughtUp(server, 'first', await clusterTs(server, playground.pd))
  const schema = join(import.meta.dirname, '../../src/codec/simple/vectors/simple.json')
  const records = await readAvro<SimpleRecord>(kafka.bootstrap, topics, '--simple', schema)
  const kinds = new Set(records.map(({ value }) => value.kind))
  assert.deepEqual([...kinds].toSorted(), ['BOOTSTRAP', 'DDL', 'DML', 'WATERMARK'])
  const known = new Set<string>()
  const rows: Read[] = []
  for (const { topic, partition, value } of records) {
    const place = `${topic}/${partition}`
    if (value.tableSchema) known.add(`${place} ${value.tableSchema.version}`)
    if (value.kind !== 'DML') continue
    assert.ok(known.has(`${place} ${value.schemaVersion}`), `${place}: a row before its schema`)
    const fields = value.data ?? value.old ?? {}
    const key = Object.fromEntries((KEYS[value.table] ?? []).map((name) => [name, textOf(fields[name])]))
    rows.push({ topic, key, value: value.data && texts(value.data) })
  }
  await compare(rows, workload)
})

/** UNSIGNED BIGINT comes in a record of its own. */
const textOf = (value: unknown): string | null =>
  typeof value === 'object' && value !== null && 'value' in value
    ? String(value.value)
    : ((value ?? null) as string | null)
const texts = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, textOf(value)]))
