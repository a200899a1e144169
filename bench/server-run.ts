/** A whole server from the event feed to a sink, warmed up, then measured; CPU is that of its process with all threads. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { changefeed, cli, type ServerProcess, startServer } from '../test/support/stack.ts'
import { waitFor } from '../test/support/process.ts'
import type { Bench } from './case.ts'
import type { FeedServer, TableSet } from './feed.ts'
import type { FrameMode } from './frames.ts'
import { cpuMs, peakMib } from './process-figures.ts'
import { createProfileTaker } from './profile.ts'

export interface ServerRun {
  readonly sink: string
  readonly rows: number
  readonly tables?: TableSet
  readonly regions?: number
  readonly mode?: FrameMode
  readonly workers?: number
  readonly memoryQuota?: number
  /** All rows arrive before any may leave: what is measured begins with the resolved-ts that lets them. */
  readonly release?: boolean
  /** Of another feed server than the bench's own. */
  readonly feed?: FeedServer
}

export interface ServerFigures {
  readonly rows: number
  /** Rows before those. */
  readonly warmUp: number
  readonly seconds: number
  readonly cpuSeconds: number
  /** CPU of the process that made the rows, which shares the machine. */
  readonly generatorCpuSeconds: number
  readonly peakMib: number
  /** What TiKV stores for a row. */
  readonly bytesPerRow: number
  /** Longest 1 % of the main thread's event loop delays, ms; undefined where the server does not tell. */
  readonly mainDelayP99Ms: number | undefined
}

/** Rows of a case go through so often before they are measured, and at most so many. */
const WARM_UP = { share: 0.25, rows: 250_000 }
/** Nothing is spilled before 60 % of it, more than any case needs. */
const QUOTA = 24 * 2 ** 30

export async function runServer(bench: Bench, name: string, run: ServerRun): Promise<ServerFigures> {
  const { tables = { kind: 'four' }, regions = 1, mode = 'live', release = false } = run
  const feed = run.feed ?? (await bench.feed())
  const database = databaseOf(tables)
  const plan = { database, tables, regions, rows: run.rows }
  const prepared = await feed.prepare({ ...plan, mode: 'live' })
  using profile = bench.profiles === undefined ? undefined : createProfileTaker()
  const workers = run.workers === undefined ? [] : ['--data-workers', String(run.workers)]
  const args = ['--log-level', 'error', ...workers]
  await using server = await startServer({ pd: prepared.pd, args, ...(profile && { env: profile.env }) })
  await using changefeeds = new AsyncDisposableStack()
  const start = async (id: string, afterTs: string): Promise<void> => {
    await createChangefeed(server, id, { run, database, afterTs })
    // One that stayed would go on with the next server.
    changefeeds.defer(() => remove(server, id))
    await feed.registered()
  }
  // A scan has but one go, so another changefeed warms up for it.
  const warmUpId = mode === 'scan' ? `${name}-warm-up` : name
  await start(warmUpId, prepared.afterTs)
  const warm = await feed.send({ rows: Math.min(WARM_UP.rows, run.rows * WARM_UP.share), resolve: true })
  await reached(server, warmUpId, warm.lastTs)
  if (mode === 'scan') {
    await remove(server, warmUpId)
    await start(name, (await feed.prepare({ ...plan, mode })).afterTs)
  }
  const early = release ? await feed.send({ rows: run.rows, resolve: false }) : undefined
  if (release) await settled(server)
  const { pid } = server.process
  await profile?.start()
  await mainDelayP99Ms(server)
  const cpu = cpuMs(pid)
  const began = performance.now()
  const sent = await feed.send({ rows: release ? 0 : run.rows, resolve: true })
  await reached(server, name, sent.lastTs)
  const [cpuSeconds, seconds] = [(cpuMs(pid) - cpu) / 1000, (performance.now() - began) / 1000]
  const delay = await mainDelayP99Ms(server)
  const rows = (early ?? sent).rows
  if (profile !== undefined) bench.profiles?.push(await profile.stop(`${name}: ${rows} rows`))
  return {
    rows,
    warmUp: warm.rows,
    seconds,
    cpuSeconds,
    generatorCpuSeconds: sent.cpuMs / 1000,
    peakMib: peakMib(pid),
    bytesPerRow: prepared.bytesPerRow,
    mainDelayP99Ms: delay,
  }
}

/** A server with a changefeed that has asked for all regions, for rows that come by themselves. */
export async function startTrickle(
  bench: Bench,
  name: string,
  run: Pick<ServerRun, 'sink' | 'tables' | 'regions'>,
): Promise<{ readonly server: ServerProcess; readonly feed: FeedServer } & AsyncDisposable> {
  const { tables = { kind: 'four' }, regions = 1 } = run
  const feed = await bench.feed()
  const database = databaseOf(tables)
  const prepared = await feed.prepare({ database, tables, regions, mode: 'live', rows: 0 })
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startServer({ pd: prepared.pd, args: ['--log-level', 'error'] }))
  await createChangefeed(server, name, { run, database, afterTs: prepared.afterTs })
  await feed.registered()
  // One that stayed would go on with the next server.
  stack.defer(() => remove(server, name))
  const owned = stack.move()
  return { server, feed, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() }
}

/** Also one that is gone. */
async function remove(server: ServerProcess, id: string): Promise<void> {
  if (server.process.alive) await cli(server, 'changefeed', 'remove', '--changefeed-id', id).catch(() => undefined)
}

interface ChangefeedOptions {
  readonly run: Pick<ServerRun, 'sink' | 'memoryQuota'>
  readonly database: string
  readonly afterTs: string
}

async function createChangefeed(server: ServerProcess, id: string, options: ChangefeedOptions): Promise<void> {
  const { run, database, afterTs } = options
  using config = configFile(database, run.memoryQuota ?? QUOTA)
  const create = ['--changefeed-id', id, '--sink-uri', run.sink, '--start-ts', afterTs]
  await cli(server, 'changefeed', 'create', ...create, '--config', config.path, '--no-confirm')
}

function databaseOf(tables: TableSet): string {
  if (tables.kind === 'four') return 'bench_four'
  return tables.kind === 'many' ? `bench_many_${tables.count}` : `bench_wide_${tables.columns}_${tables.textBytes}`
}

function configFile(database: string, memoryQuota: number): { readonly path: string } & Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-bench-'))
  const path = join(folder, 'changefeed.toml')
  writeFileSync(path, `memory-quota = ${memoryQuota}\n[filter]\nrules = ["${database}.*"]\n`)
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}

/** Resolves when everything at or below `ts` is out; rejects when the changefeed fails. */
export async function reached(server: ServerProcess, id: string, ts: string): Promise<void> {
  await waitFor(
    `${id} to reach ${ts}`,
    async () => {
      const found = await changefeed(server, id)
      if (found.state === 'failed' || found.error !== undefined) throw new Error(`${id}: ${found.error?.message}`)
      return BigInt(found.checkpoint_ts) >= BigInt(ts)
    },
    900_000,
  )
}

/** Waits until the server has nothing more to do with what it was sent. */
async function settled(server: ServerProcess): Promise<void> {
  const { pid } = server.process
  let before = -Infinity
  await waitFor('the server to be idle', async () => {
    const now = cpuMs(pid)
    const idle = now - before < 50
    before = now
    await new Promise((resolve) => setTimeout(resolve, 500))
    return idle
  })
}

/** Since it was last asked. */
async function mainDelayP99Ms(server: ServerProcess): Promise<number | undefined> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const found = /^tidewire_event_loop_delay_seconds\{(?=[^}]*thread="main")(?=[^}]*quantile="0.99")[^}]*\} (\S+)/m.exec(
    text,
  )
  return found === null ? undefined : Number(found[1]) * 1000
}

/** The time on the clock less the share of the cores that the process took that makes the rows. */
export const secondsAlone = ({ seconds, generatorCpuSeconds }: ServerFigures): number =>
  seconds - generatorCpuSeconds / cpus().length

/** The figures that every case with a server has. */
export function reportServer(bench: Bench, name: string, figures: ServerFigures): void {
  const { rows, seconds, cpuSeconds, generatorCpuSeconds } = figures
  bench.report(`${name}-rows-per-core`, rows / cpuSeconds, 'rows/s')
  bench.report(`${name}-us-per-row`, (cpuSeconds * 1e6) / rows, 'us')
  bench.report(`${name}-rate`, rows / seconds, 'rows/s')
  bench.report(`${name}-generator-us-per-row`, (generatorCpuSeconds * 1e6) / rows, 'us')
  bench.report(`${name}-rss`, figures.peakMib, 'MiB')
  if (figures.mainDelayP99Ms !== undefined) bench.report(`${name}-main-delay-p99`, figures.mainDelayP99Ms, 'ms')
}

export const CANAL = 'protocol=canal-json&enable-tidb-extension=true'
