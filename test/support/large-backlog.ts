// What is far larger than a changefeed's memory, through a server of its own: one transaction, or many that a broker which is
// away does not take. Everything arrives, in bounded memory.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtempDisposable, readdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FakeKafka, startFakeKafka } from './fake-kafka.ts'
import { waitFor } from './process.ts'
import { caughtUp, changefeed, cli, createChangefeed, type ServerProcess, startServer } from './stack.ts'
import { type Registration, type ScriptedFeed, startScriptedFeed } from './scripted-feed.ts'

export interface Backlog {
  /** Of all tables. */
  readonly rows: number
  /** Absent: one. */
  readonly tables?: number
  /** Of a row's largest column; a row takes some 60 more. */
  readonly padBytes: number
  readonly memoryQuota: number
  /** What run files may take, bytes; absent: what is free. */
  readonly diskQuota?: number
  /** The server's resident memory may never have been larger. */
  readonly maxRssMib: number
  readonly deadlineMs: number
}

/** Five million rows, and 1 GiB in larger rows, under 256 MiB. */
export const FULL_SIZE: readonly [Backlog, Backlog] = [
  { rows: 5_000_000, padBytes: 100, memoryQuota: 256 << 20, maxRssMib: 700, deadlineMs: 900_000 },
  { rows: 128 << 10, padBytes: 8 << 10, memoryQuota: 256 << 20, maxRssMib: 700, deadlineMs: 300_000 },
]

/** Figures of a run that went well. */
export interface BacklogResult extends Readonly<Record<string, number>> {
  readonly rssMib: number
  readonly seconds: number
  /** How often tables were read from the upstream. */
  readonly registrations: number
}

const ROWS_PER_FRAME = 250
const CHANGEFEED = 'large'

/** All PREWRITEs first, then the COMMITs, then the resolved-ts. */
export async function runLargeTransaction(plan: Backlog): Promise<BacklogResult> {
  await using run = await openBacklogRun(plan, async (registration, startTs, frames) => {
    await registration.initialized()
    for (const ids of frames()) await registration.prewrite(startTs, ids)
    for (const ids of frames()) await registration.commit(startTs, startTs + 1n, ids)
    await registration.resolved(startTs + 1n)
    return startTs + 1n
  })
  await run.create()
  const lastTs = await run.sent
  const result = await run.verify(lastTs)
  assert.equal(result.registrations, 1, 'how often the table was read')
  return result
}

/** Sends a table's rows, in frames of ids; resolves to the last ts. */
type Script = (registration: Registration, firstTs: bigint, frames: () => Iterable<number[]>) => Promise<bigint>

/** What the server has already is left out. */
const sendSmallTransactions: Script = async (registration, firstTs, frames) => {
  let ts = firstTs
  await registration.initialized()
  for (const ids of frames()) {
    const endTs = ts + 2n * BigInt(ids.length)
    if (endTs > registration.checkpointTs) {
      await registration.committed(ts, ids)
      await registration.resolved(endTs)
    }
    ts = endTs
  }
  return ts
}

/** Rows in transactions of their own, which come while the broker is away; then it comes back. */
export async function runAbsentSink(plan: Backlog): Promise<BacklogResult> {
  await using run = await openBacklogRun(plan, sendSmallTransactions)
  await run.create()
  await waitFor('the first rows in the broker', () => run.arrived() > 0)
  run.kafka.disconnect(true)
  const lastTs = await run.sent
  await waitFor('the rows to lie in the sorter', async () => (await resolvedTsOf(run.server)) >= lastTs, 120_000)
  assert.ok(run.arrived() < plan.rows, 'the broker was away')
  run.kafka.disconnect(false)
  const result = await run.verify(lastTs)
  assert.equal(result.registrations, 1, 'how often the table was read')
  return result
}

/** The same of several tables, on a disk that does not hold them: some leave the feed, and are read again later. */
export async function runFullDisk(plan: Backlog & { readonly diskQuota: number }): Promise<BacklogResult> {
  await using run = await openBacklogRun(plan, sendSmallTransactions)
  await run.create()
  await waitFor('the first rows in the broker', () => run.arrived() > 0)
  run.kafka.disconnect(true)
  const gaveUp = (): boolean => run.server.process.lines.some((line) => line.includes('spans leave the feed'))
  await waitFor('spans to leave the feed', gaveUp, 60_000)
  run.kafka.disconnect(false)
  // Where no span can leave any more the changefeed has stopped by name, and waits for its next try.
  if (!['normal', 'warning'].includes((await changefeed(run.server, CHANGEFEED)).state)) {
    await cli(run.server, 'changefeed', 'pause', '--changefeed-id', CHANGEFEED)
    await cli(run.server, 'changefeed', 'resume', '--changefeed-id', CHANGEFEED, '--no-confirm')
  }
  const result = await run.verify(run.firstTs() + BigInt((2 * plan.rows) / (plan.tables ?? 1)))
  assert.ok(result.registrations > (plan.tables ?? 1), 'no table was read again')
  return result
}

/**
 * A server that dies while rows lie in its run files, and another one over the same data folder: resolves to the run files
 * that the first left, and to those of them that are there when the second one is up.
 */
export async function runStaleFiles(plan: Backlog): Promise<readonly [left: string[], kept: string[]]> {
  await using dataDir = await mkdtempDisposable(join(tmpdir(), 'tidewire-stale-'))
  await using run = await openBacklogRun(plan, sendSmallTransactions, dataDir.path)
  await run.create()
  await waitFor('the first rows in the broker', () => run.arrived() > 0)
  run.kafka.disconnect(true)
  const files = async (): Promise<string[]> =>
    (await readdir(dataDir.path, { recursive: true })).filter((path) => path.endsWith('.run'))
  await run.sent
  await waitFor('run files', async () => (await files()).length > 0)
  await run.server[Symbol.asyncDispose]()
  const left = await files()
  await using _ = await startServer({ pd: run.feed.pd, dataDir: dataDir.path })
  const now = await files()
  return [left, left.filter((path) => now.includes(path))]
}

interface BacklogRun extends AsyncDisposable {
  readonly server: ServerProcess
  readonly kafka: FakeKafka
  readonly feed: ScriptedFeed
  /** When all is sent: the last ts. */
  readonly sent: Promise<bigint>
  create(): Promise<void>
  /** startTs of each table's first row. */
  firstTs(): bigint
  /** Different rows. */
  arrived(): number
  /** Waits for everything up to `lastTs`: nothing is lost, and memory was bounded. */
  verify(lastTs: bigint): Promise<BacklogResult>
}

async function openBacklogRun(plan: Backlog, script: Script, dataDir?: string): Promise<BacklogRun> {
  const stack = new AsyncDisposableStack()
  try {
    const sent = Promise.withResolvers<bigint>()
    sent.promise.catch(() => {})
    const seen = new Uint8Array(plan.rows)
    const tables = plan.tables ?? 1
    let arrived = 0
    let registrations = 0
    const kafka = stack.use(
      await startFakeKafka({
        partitions: 2,
        received(_partition, values) {
          for (const value of values) {
            const id = idOf(value)
            if (id === undefined || seen[id] === 1) continue
            seen[id] = 1
            arrived++
          }
        },
      }),
    )
    const feed = stack.use(await startScriptedFeed(sent.reject))
    let afterTs = 0n
    const firstTs = (): bigint => afterTs + 1n
    let unsent = tables
    for (let at = 0; at < tables; at++) {
      const frames = () => framesOf(plan.rows / tables, (at * plan.rows) / tables)
      await feed.table(`large${at}`, plan.padBytes, async (registration) => {
        registrations++
        const lastTs = await script(registration, firstTs(), frames)
        if (registration.number === 1 && --unsent === 0) sent.resolve(lastTs)
      })
    }
    afterTs = await feed.tso()
    const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'tidewire-backlog-')))
    const config = join(folder.path, 'server.toml')
    await writeFile(config, `[sorter]\ndisk-quota = ${plan.diskQuota ?? 0}\n`)
    const args = ['--data-workers', '2', '--log-level', 'warn', '--config', config]
    const server = stack.use(await startServer({ pd: feed.pd, args, ...(dataDir === undefined ? {} : { dataDir }) }))
    const began = performance.now()
    return {
      server,
      kafka,
      feed,
      sent: sent.promise,
      firstTs,
      async create() {
        const uri = `kafka://${kafka.bootstrap}/t?protocol=canal-json&enable-tidb-extension=true`
        const config = [`memory-quota = ${plan.memoryQuota}`]
        await createChangefeed(server, { id: CHANGEFEED, sinkUri: uri, startTs: afterTs, config })
      },
      arrived: () => arrived,
      async verify(lastTs) {
        await caughtUp(server, CHANGEFEED, lastTs, plan.deadlineMs)
        const rssMib = peakRssMib(server.process.pid)
        assert.equal(arrived, plan.rows, 'rows that arrived')
        assert.ok(rssMib <= plan.maxRssMib, `the server took ${rssMib} MiB, more than ${plan.maxRssMib}`)
        return { rows: plan.rows, rssMib, seconds: Math.round((performance.now() - began) / 1000), registrations }
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

async function resolvedTsOf(server: ServerProcess): Promise<bigint> {
  const answer = await fetch(`${server.url}/api/v2/changefeeds/${CHANGEFEED}`)
  return BigInt(/"resolved_ts":\s*(\d+)/.exec(await answer.text())?.[1] ?? '0')
}

/** Largest resident memory of a process so far. */
export const peakRssMib = (pid: number): number =>
  Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024)

/** Ids from `first` on. */
export function* framesOf(rows: number, first = 0): Generator<number[]> {
  for (let from = 0; from < rows; from += ROWS_PER_FRAME)
    yield Array.from({ length: Math.min(ROWS_PER_FRAME, rows - from) }, (_, at) => first + from + at)
}

const ID = Buffer.from('"data":[{"id":"')

/** Of the row in a canal-json message; undefined for other messages. */
function idOf(message: Buffer): number | undefined {
  const at = message.indexOf(ID)
  if (at < 0) return undefined
  let id = 0
  for (let end = at + ID.length; ; end++) {
    const digit = (message[end] ?? 0) - 48
    if (digit < 0 || digit > 9) return id
    id = id * 10 + digit
  }
}
