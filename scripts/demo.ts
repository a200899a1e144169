// `npm run demo [-- --for SECONDS] [-- --kafka HOST:PORT]`: a simulated TiDB cluster, a server and one changefeed, with a
// small live workload whose change messages are printed as they come.
import { spawn, type ChildProcess } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Consumer } from '@platformatic/kafka'
import { createConnection } from 'mysql2/promise'

const root = join(import.meta.dirname, '..')
const cdc = join(root, 'bin', 'cdc')
const { values } = parseArgs({ options: { for: { type: 'string' }, kafka: { type: 'string' } } })
const seconds = values.for === undefined ? Infinity : Number(values.for)
if (!(seconds > 0)) {
  console.error(`Error: --for takes a number of seconds, not ${JSON.stringify(values.for)}`)
  process.exit(1)
}

const stop = new AbortController()
const { signal } = stop
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort())

const folder = mkdtempSync(join(tmpdir(), 'tidewire-demo-'))
const children: ChildProcess[] = []
let rows = 0
const lags: number[] = []

try {
  const [pdPort = 0, sqlPort = 0, adminPort = 0, apiPort = 0] = await Promise.all(
    [2379, 4000, 2380, 8300].map(portOrFree),
  )
  say('starting a simulated TiDB cluster (cdc playground) …')
  const ports = ['--pd-port', `${pdPort}`, '--sql-port', `${sqlPort}`, '--admin-port', `${adminPort}`]
  const cluster = JSON.parse(await start('playground', [...ports], /^\{"pd"/))
  say('starting the server (cdc server) …')
  const api = `127.0.0.1:${apiPort}`
  await start('server', ['--pd', cluster.pd, '--addr', api, '--data-dir', join(folder, 'data')], undefined)
  await healthy(`http://${api}`)

  const messages = join(folder, 'messages')
  const topic = 'tidewire-demo'
  const uri =
    values.kafka === undefined
      ? `file://${messages}?protocol=canal-json&enable-tidb-extension=true&flush-interval=2s`
      : `kafka://${values.kafka}/${topic}?protocol=canal-json&enable-tidb-extension=true`
  const begin = Date.now()
  await command(
    'cli',
    'changefeed',
    'create',
    '--server',
    `http://${api}`,
    '--changefeed-id',
    'demo',
    '--sink-uri',
    uri,
    '--no-confirm',
  )
  banner(cluster.sql, api, uri)
  const deadline = AbortSignal.any([signal, ...(seconds === Infinity ? [] : [AbortSignal.timeout(seconds * 1000)])])
  const source =
    values.kafka === undefined ? followFiles(messages, deadline) : followTopic(values.kafka, topic, begin, deadline)
  await Promise.all([source, writeOrders(cluster.sql, deadline)])
  const checkpoint = await checkpointOf(`http://${api}`)
  lags.sort((a, b) => a - b)
  console.log(`demo: rows=${rows} lag_ms=${lags[Math.floor(lags.length / 2)] ?? 0} checkpoint=${checkpoint}`)
  process.exitCode = rows > 0 || seconds < 10 ? 0 : 1
} catch (error) {
  // Ctrl-C is an end like any other; a child that ended by itself is not.
  const cause = signal.aborted ? signal.reason : error
  if (!(cause instanceof DOMException)) {
    console.error(`Error: ${cause instanceof Error ? cause.message : String(cause)}`)
    process.exitCode = 1
  }
} finally {
  await Promise.all(children.toReversed().map(end))
  rmSync(folder, { recursive: true, force: true })
}

function say(text: string): void {
  console.log(`demo> ${text}`)
}

function banner(sql: string, api: string, uri: string): void {
  const [host, port] = sql.split(':')
  console.log(`
  SQL      mysql -h ${host} -P ${port} -u root shop
  API      http://${api}/api/v2/changefeeds/demo
  metrics  http://${api}/metrics
  sink     ${uri}

  Try it: change a row in another terminal and watch it come by here,
    mysql -h ${host} -P ${port} -u root shop -e "INSERT INTO orders VALUES (1000, 'you', 42.00, 'new', NOW())"
    bin/cdc cli changefeed query --server http://${api} --changefeed-id demo
  Stop with Ctrl-C.
`)
}

/** A child of the demo; resolves to its ready line. Its last words are shown when it fails. */
async function start(name: string, args: readonly string[], ready: RegExp | undefined): Promise<string> {
  const child = spawn(cdc, [name, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  const said: string[] = []
  const line = Promise.withResolvers<string>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (text) => {
      said.push(text)
      if (said.length > 20) said.shift()
      if (ready?.test(text) === true) line.resolve(text)
    })
  }
  child.once('error', line.reject)
  child.once('exit', (code) => {
    const error = new Error(`cdc ${name} ended with ${code}:\n${said.join('\n')}`)
    line.reject(error)
    if (!signal.aborted) stop.abort(error)
  })
  if (ready === undefined) line.resolve('')
  return line.promise
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.removeAllListeners('exit')
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), 5000)
  await gone
  clearTimeout(force)
}

async function command(...args: readonly string[]): Promise<void> {
  const child = spawn(cdc, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`cdc ${args.slice(0, 3).join(' ')} ended with ${String(code)}:\n${said}`)
}

async function healthy(url: string): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    const answer = await fetch(`${url}/api/v2/health`).catch(() => undefined)
    if (answer?.ok === true) return
    await delay(100, undefined, { signal })
  }
}

async function checkpointOf(url: string): Promise<string> {
  const answer = await fetch(`${url}/api/v2/changefeeds/demo`)
  return /"checkpoint_ts":\s*(\d+)/.exec(await answer.text())?.[1] ?? '0'
}

/** A few orders that come, change and go. */
async function writeOrders(sql: string, until: AbortSignal): Promise<void> {
  const [host = '', port = ''] = sql.split(':')
  const connection = await createConnection({ host, port: Number(port), user: 'root' })
  try {
    await connection.query('CREATE DATABASE IF NOT EXISTS shop')
    await connection.query('USE shop')
    await connection.query(
      'CREATE TABLE orders (id BIGINT PRIMARY KEY, customer VARCHAR(40), amount DECIMAL(10,2), state VARCHAR(10), at DATETIME)',
    )
    for (let id = 1; !until.aborted; id++) {
      const customer = ['Ada', 'Grace', 'Edsger', 'Barbara'][id % 4]
      await connection.query(`INSERT INTO orders VALUES (${id}, '${customer}', ${id}.50, 'new', NOW())`)
      if (id > 2) await connection.query(`UPDATE orders SET state = 'paid' WHERE id = ${id - 2}`)
      if (id > 6) await connection.query(`DELETE FROM orders WHERE id = ${id - 6}`)
      await delay(400, undefined, { signal: until }).catch(() => {})
    }
  } finally {
    connection.destroy()
  }
}

/** Prints what the storage sink writes: files of lines, each written once and whole. */
async function followFiles(messages: string, until: AbortSignal): Promise<void> {
  const seen = new Set<string>()
  while (!until.aborted) {
    for (const file of globSync('**/CDC*.json', { cwd: messages }).toSorted()) {
      if (seen.has(file)) continue
      seen.add(file)
      for (const line of readFileSync(join(messages, file), 'utf8').split(/\r?\n/)) if (line !== '') show(line)
    }
    await delay(100, undefined, { signal: until }).catch(() => {})
  }
}

async function followTopic(broker: string, topic: string, begin: number, until: AbortSignal): Promise<void> {
  const consumer = new Consumer({
    clientId: 'tidewire-demo',
    groupId: `tidewire-demo-${begin}`,
    bootstrapBrokers: [broker],
  })
  const stream = await consumer.consume({ topics: [topic], mode: 'latest', maxWaitTime: 100 })
  until.addEventListener('abort', () => void consumer.close(true).catch(() => {}), { once: true })
  try {
    for await (const { value } of stream) if (value) show(value.toString())
  } catch (error) {
    if (!until.aborted) throw error
  }
}

/** One canal-json message as a line; the lag is from the commit in TiKV to here. */
function show(text: string): void {
  const message = JSON.parse(text)
  const commitTs = /"commitTs":(\d+)/.exec(text)?.[1]
  if (message.type === 'TIDB_WATERMARK') return
  if (message.isDdl === true) {
    console.log(`  ddl     ${message.sql}`)
    return
  }
  const lag = commitTs === undefined ? 0 : Date.now() - Number(BigInt(commitTs) >> 18n)
  for (const row of message.data ?? []) {
    rows++
    lags.push(lag)
    const name = String(message.type).toLowerCase().padEnd(7)
    console.log(
      `  ${name} ${message.database}.${message.table} ${JSON.stringify(row)}  commitTs=${commitTs} lag=${lag}ms`,
    )
  }
}

/** The port itself where it is free, else 0's: another one. */
function portOrFree(port: number): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => {
      probe.listen(0, '127.0.0.1', () => {
        const address = probe.address()
        probe.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
      })
    })
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(port)))
  })
}
