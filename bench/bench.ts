// `npm run bench [-- --quick] [-- --only NAME]`: what a row costs, with ceilings from the same run. Each figure is a line
// `bench <name> <number> <unit>` and a member of a JSON file in bench/results/.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { spawn } from 'node:child_process'
import { parseArgs } from 'node:util'
import { createConnection } from 'mysql2/promise'
import { available as pythonAvailable, consumeAll } from '../test/support/consumer.ts'
import { available as kafkaAvailable, type KafkaBroker, startKafka } from '../test/support/kafka.ts'
import { run, waitFor } from '../test/support/process.ts'
import { benchCodecs } from './codec.ts'
import { createProfileTaker } from './profile.ts'
import { changefeed, cli, type ServerProcess, startPlayground, startServer } from '../test/support/stack.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    profile: { type: 'boolean', default: false },
  },
})
const quick = values.quick
const rowsPerCase = quick ? 120_000 : 1_000_000
const root = join(import.meta.dirname, '..')
const profiles: string[] = []
const figures: Record<string, { value: number; unit: string }> = {}

function report(name: string, value: number, unit: string): void {
  const rounded = Number(value.toPrecision(4))
  figures[name] = { value: rounded, unit }
  console.log(`bench ${name} ${rounded} ${unit}`)
}

const wanted = (name: string): boolean => values.only === undefined || name.startsWith(values.only)

interface Prepared {
  readonly pd: string
  readonly tables: readonly string[]
  readonly afterTs: string
}

interface FeedServer extends AsyncDisposable {
  prepare(rows: number, regions: number): Promise<Prepared>
  registered(): Promise<number>
  go(): Promise<{ bytes: number; lastTs: string; rows: number }>
}

/** The process that replays frames; requests and answers are lines of JSON. */
async function startFeedServer(): Promise<FeedServer> {
  const child = spawn(process.execPath, ['--max-old-space-size=8192', join(root, 'bench/feed-server.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<Record<string, never>> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('the feed server ended')
    return JSON.parse(value)
  }
  const send = (message: unknown): void => void child.stdin.write(`${JSON.stringify(message)}\n`)
  return {
    async prepare(rows, regions) {
      send({ prepare: { rows, regions } })
      const { prepared } = await next()
      if (prepared === undefined) throw new Error('the feed server did not prepare')
      return prepared
    },
    async registered() {
      const { registered } = await next()
      return registered ?? 0
    },
    async go() {
      send({ go: true })
      const { sent } = await next()
      if (sent === undefined) throw new Error('the feed server did not send')
      return sent
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await new Promise((resolve) => child.once('close', resolve))
    },
  }
}

/** CPU time of a process with all its threads, ms. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

const peakMib = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024

async function benchReader(feed: FeedServer, mode: 'feed' | 'raw', regions: number): Promise<void> {
  const prepared = await feed.prepare(rowsPerCase, regions)
  const args = [
    'bench/feed-reader.ts',
    mode,
    prepared.pd,
    prepared.tables.join(','),
    prepared.afterTs,
    String(rowsPerCase),
  ]
  await using reader = await run(process.execPath, args, { cwd: root, ready: /subscribed/ })
  await feed.registered()
  const sent = await feed.go()
  if (mode === 'raw') reader.kill('SIGUSR2')
  await reader.exited
  const result = JSON.parse(reader.stdout.at(-1) ?? '{}')
  const rows = mode === 'feed' ? result.rows : (sent.rows * result.bytes) / sent.bytes
  const name = mode === 'feed' ? `feed-${regions}` : `ceiling-raw-grpc-${regions}`
  report(`${name}-rows-per-core`, rows / (result.cpuMs / 1000), 'rows/s')
  report(`${name}-us-per-row`, (result.cpuMs * 1000) / rows, 'us')
  report(`${name}-rate`, rows / (result.ms / 1000), 'rows/s')
  if (mode === 'feed') report(`rss-feed-${regions}`, result.rssMib, 'MiB')
  else report(`${name}-mb-per-s`, result.bytes / 1e6 / (result.ms / 1000), 'MB/s')
}

/** Regions in which nothing happens: memory of each, and the CPU for a resolved-ts of each every second. */
async function benchRegions(): Promise<void> {
  const regions = quick ? 20_000 : 100_000
  const script = join(root, 'bench/regions.ts')
  await using server = await run(process.execPath, [script, 'serve', `${regions}`], { cwd: root, ready: /"pd"/ })
  const { pd } = JSON.parse(server.readyLine)
  const args = [script, 'read', pd, `${regions}`, quick ? '5' : '20']
  await using reader = await run(process.execPath, args, { cwd: root, ready: /bytesPerRegion/, readyWithinMs: 180_000 })
  const idle = JSON.parse(reader.readyLine)
  report(`feed-idle-${regions}-regions-busy`, idle.busy * 100, '%')
  report(`feed-idle-${regions}-regions-ready`, idle.readyMs, 'ms')
  report(`rss-idle-region`, idle.bytesPerRegion, 'bytes')
  report(`rss-feed-idle-${regions}-regions`, idle.rssMib, 'MiB')
}

/** A whole server from the event feed to a sink; CPU is that of its process with all threads. */
async function benchServer(feed: FeedServer, name: string, sinkUri: string, regions: number): Promise<void> {
  const prepared = await feed.prepare(rowsPerCase, regions)
  using profile = values.profile ? createProfileTaker() : undefined
  const options = { pd: prepared.pd, args: ['--log-level', 'error'], ...(profile && { env: profile.env }) }
  await using server = await startServer(options)
  const id = `bench-${name}-${regions}`
  const config = join(root, 'bench/changefeed.toml')
  const args = ['--changefeed-id', id, '--sink-uri', sinkUri, '--start-ts', prepared.afterTs, '--config', config]
  await cli(server, 'changefeed', 'create', ...args, '--no-confirm')
  await feed.registered()
  const { pid } = server.process
  await profile?.start()
  const cpu = cpuMs(pid)
  const began = performance.now()
  const { lastTs, rows } = await feed.go()
  await waitFor(`${id} to reach ${lastTs}`, () => reached(server, id, BigInt(lastTs)), 600_000)
  const [cpuSpent, ms] = [cpuMs(pid) - cpu, performance.now() - began]
  if (profile !== undefined) profiles.push(await profile.stop(`${name}, ${regions} regions, ${rows} rows`))
  report(`${name}-${regions}-rows-per-core`, rows / (cpuSpent / 1000), 'rows/s')
  report(`${name}-${regions}-us-per-row`, (cpuSpent * 1000) / rows, 'us')
  report(`${name}-${regions}-rate`, rows / (ms / 1000), 'rows/s')
  report(`rss-${name}-${regions}`, peakMib(pid), 'MiB')
  await cli(server, 'changefeed', 'remove', '--changefeed-id', id)
}

async function reached(server: ServerProcess, id: string, ts: bigint): Promise<boolean> {
  const found = await changefeed(server, id)
  if (found.state === 'failed' || found.error !== undefined) throw new Error(`${id}: ${found.error?.message}`)
  return BigInt(found.checkpoint_ts) >= ts
}

/** Kafka's own producer with messages of our size. */
async function benchPerfTest(kafka: KafkaBroker, messageBytes: number): Promise<void> {
  const records = quick ? 200_000 : 1_000_000
  await kafka.tool(
    'org.apache.kafka.tools.TopicCommand',
    '--bootstrap-server',
    kafka.bootstrap,
    '--create',
    '--topic',
    'perf',
    '--partitions',
    '6',
  )
  const props = [
    '--producer-props',
    `bootstrap.servers=${kafka.bootstrap}`,
    'acks=all',
    'batch.size=1048576',
    'linger.ms=5',
  ]
  const sizes = [
    '--topic',
    'perf',
    '--num-records',
    `${records}`,
    '--record-size',
    `${messageBytes}`,
    '--throughput',
    '-1',
  ]
  const text = await kafka.tool('org.apache.kafka.tools.ProducerPerformance', ...sizes, ...props)
  const [, rate = '0', mb = '0'] = /([\d.]+) records\/sec \(([\d.]+) MB\/sec\)(?![\s\S]*records\/sec)/.exec(text) ?? []
  report('ceiling-kafka-perf-test-rate', Number(rate), 'messages/s')
  report('ceiling-kafka-perf-test-mb-per-s', Number(mb), 'MB/s')
}

/** From the commit in the (simulated) TiKV to the broker's own append time, at 1,000 rows/s. */
async function benchLag(kafka: KafkaBroker): Promise<void> {
  const seconds = quick ? 10 : 30
  const topic = 'lag'
  await kafka.tool(
    'org.apache.kafka.tools.TopicCommand',
    '--bootstrap-server',
    kafka.bootstrap,
    '--create',
    '--topic',
    topic,
    '--partitions',
    '6',
    '--config',
    'message.timestamp.type=LogAppendTime',
  )
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd, args: ['--log-level', 'error'] })
  const [host = '', port = ''] = playground.sql.split(':')
  const sql = await createConnection({ host, port: Number(port), user: 'root', database: 'test' })
  await sql.query('CREATE TABLE lag (id BIGINT PRIMARY KEY, text VARCHAR(200))')
  const uri = `kafka://${kafka.bootstrap}/${topic}?protocol=canal-json&enable-tidb-extension=true`
  await cli(server, 'changefeed', 'create', '--changefeed-id', 'lag', '--sink-uri', uri, '--no-confirm')
  const began = performance.now()
  let id = 0
  for (let tick = 0; performance.now() - began < seconds * 1000; tick++) {
    const rows = Array.from({ length: 50 }, () => `(${++id}, '${'x'.repeat(180)}')`)
    await sql.query(`INSERT INTO lag VALUES ${rows.join(', ')}`)
    const due = began + (tick + 1) * 50
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())))
  }
  const records = await waitFor('all rows in Kafka', async () => {
    const all = (await consumeAll(kafka.bootstrap, [topic])).map(({ timestamp, value }) => ({
      timestamp,
      text: Buffer.from(value ?? '', 'base64').toString(),
    }))
    const rows = all.filter(({ text }) => text.includes('"type":"INSERT"'))
    return rows.length >= id && rows
  })
  sql.destroy()
  const lags = records
    .map(({ timestamp, text }) => timestamp - Number(BigInt(/"commitTs":(\d+)/.exec(text)?.[1] ?? '0') >> 18n))
    .toSorted((a, b) => a - b)
  report('lag-rate', id / seconds, 'rows/s')
  report('lag-p50', lags[Math.floor(lags.length * 0.5)] ?? 0, 'ms')
  report('lag-p99', lags[Math.floor(lags.length * 0.99)] ?? 0, 'ms')
  report('lag-max', lags.at(-1) ?? 0, 'ms')
}

/** Many tables: time and memory of the schema snapshot that a changefeed starts from. */
async function benchSchema(): Promise<void> {
  const tables = quick ? 10_000 : 100_000
  await using loader = await run(process.execPath, ['bench/schema.ts', String(tables)], { cwd: root })
  if ((await loader.exited) !== 0) throw new Error(`schema.ts failed:\n${loader.lines.join('\n')}`)
  const { loadMs, loadCpuMs, listMs, metaMib, peakMib } = JSON.parse(loader.stdout.at(-1) ?? '{}')
  report(`schema-${tables}-load`, loadMs / 1000, 's')
  report(`schema-${tables}-load-cpu`, loadCpuMs / 1000, 's')
  report(`schema-${tables}-list`, listMs, 'ms')
  report(`schema-${tables}-meta`, metaMib, 'MiB')
  report(`rss-schema-${tables}`, peakMib, 'MiB')
}

const canal = 'protocol=canal-json&enable-tidb-extension=true'
if (wanted('regions')) await benchRegions()
if (wanted('schema')) await benchSchema()
if (wanted('codec')) await benchCodecs(report, quick)
/** Benches that need no stream of rows. */
const alone = ['regions', 'schema', 'codec']
if (!alone.includes(values.only ?? '')) {
  await using feed = await startFeedServer()
  for (const regions of quick ? [1] : [1, 100]) {
    if (wanted('feed')) await benchReader(feed, 'feed', regions)
    if (wanted('feed') || wanted('ceiling')) await benchReader(feed, 'raw', regions)
    if (wanted('blackhole')) await benchServer(feed, 'blackhole', `blackhole://?${canal}`, regions)
  }
  const ready = (await kafkaAvailable()) === true && (await pythonAvailable()) === true
  if (!ready) console.log('bench: Kafka or Python is missing, its figures are left out (npm run setup:test)')
  if (ready && (wanted('kafka') || wanted('ceiling') || wanted('lag'))) {
    await using kafka = await startKafka({ java: ['-Xmx1g'] })
    if (wanted('kafka'))
      await benchServer(feed, 'kafka', `kafka://${kafka.bootstrap}/bench?${canal}&partition-num=6`, 1)
    if (wanted('kafka'))
      await benchServer(feed, 'kafka-open', `kafka://${kafka.bootstrap}/open?protocol=open-protocol&partition-num=6`, 1)
    if (wanted('ceiling')) await benchPerfTest(kafka, 700)
    if (wanted('lag')) await benchLag(kafka)
  }
}

const git = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
const commit = git('rev-parse', '--short', 'HEAD')
const results = join(root, 'bench', 'results')
mkdirSync(results, { recursive: true })
const machine = { cpus: cpus().length, model: cpus()[0]?.model ?? '', node: process.version }
const at = new Date().toISOString()
const file = join(results, `${at.slice(0, 10)}-${commit}${quick ? '-quick' : ''}.json`)
writeFileSync(file, `${JSON.stringify({ at, commit, quick, rowsPerCase, machine, figures }, undefined, 2)}\n`)
if (profiles.length > 0) writeFileSync(file.replace(/\.json$/, '-profile.txt'), profiles.join('\n'))
console.log(`bench: figures are in ${file.slice(root.length + 1)}`)
process.exit(0)
