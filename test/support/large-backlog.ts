// What is far larger than a changefeed's memory, through a server of its own: one transaction, or many that a broker which is
// away does not take. Everything arrives, in bounded memory.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtempDisposable, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FakeKafka, startFakeKafka } from './fake-kafka.ts'
import { waitFor } from './process.ts'
import { caughtUp, createChangefeed, type ServerProcess, startServer } from './stack.ts'
import { type Registration, type ScriptedFeed, startScriptedFeed } from './scripted-feed.ts'

export interface Backlog {
  readonly rows: number
  /** Of a row's largest column; a row takes some 60 more. */
  readonly padBytes: number
  readonly memoryQuota: number
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
}

const ROWS_PER_FRAME = 250
const CHANGEFEED = 'large'

/** All PREWRITEs first, then the COMMITs, then the resolved-ts. */
export async function runLargeTransaction(plan: Backlog): Promise<BacklogResult> {
  await using run = await openBacklogRun(plan, async (registration, startTs) => {
    await registration.initialized()
    for (const ids of framesOf(plan.rows)) await registration.prewrite(startTs, ids)
    for (const ids of framesOf(plan.rows)) await registration.commit(startTs, startTs + 1n, ids)
    await registration.resolved(startTs + 1n)
    return startTs + 1n
  })
  await run.create()
  const lastTs = await run.sent
  return await run.verify(lastTs)
}

type Script = (registration: Registration, firstTs: bigint) => Promise<bigint>

const sendSmallTransactions =
  (plan: Backlog): Script =>
  async (registration, firstTs) => {
    let ts = firstTs
    await registration.initialized()
    for (const ids of framesOf(plan.rows)) {
      await registration.committed(ts, ids)
      ts += 2n * BigInt(ids.length)
      await registration.resolved(ts)
    }
    return ts
  }

/** Rows in transactions of their own, which come while the broker is away; then it comes back. */
export async function runAbsentSink(plan: Backlog): Promise<BacklogResult> {
  await using run = await openBacklogRun(plan, sendSmallTransactions(plan))
  await run.create()
  await waitFor('the first rows in the broker', () => run.arrived() > 0)
  run.kafka.disconnect(true)
  const lastTs = await run.sent
  await waitFor('the rows to lie in the sorter', async () => (await resolvedTsOf(run.server)) >= lastTs, 120_000)
  assert.ok(run.arrived() < plan.rows, 'the broker was away')
  run.kafka.disconnect(false)
  return await run.verify(lastTs)
}

/**
 * A server that dies while rows lie in its run files, and another one over the same data folder: resolves to the run files
 * that the first left, and to those of them that are there when the second one is up.
 */
export async function runStaleFiles(plan: Backlog): Promise<readonly [left: string[], kept: string[]]> {
  await using dataDir = await mkdtempDisposable(join(tmpdir(), 'tidewire-stale-'))
  await using run = await openBacklogRun(plan, sendSmallTransactions(plan), dataDir.path)
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
  /** Different rows. */
  arrived(): number
  /** Waits for everything up to `lastTs`; nothing was read twice from the upstream, nothing lost, and memory was bounded. */
  verify(lastTs: bigint): Promise<BacklogResult>
}

async function openBacklogRun(plan: Backlog, script: Script, dataDir?: string): Promise<BacklogRun> {
  const stack = new AsyncDisposableStack()
  try {
    const sent = Promise.withResolvers<bigint>()
    sent.promise.catch(() => {})
    const seen = new Uint8Array(plan.rows)
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
    await feed.table('large', plan.padBytes, async (registration) => {
      registrations++
      sent.resolve(await script(registration, afterTs + 1n))
    })
    afterTs = await feed.tso()
    const args = ['--data-workers', '2', '--log-level', 'warn']
    const server = stack.use(await startServer({ pd: feed.pd, args, ...(dataDir === undefined ? {} : { dataDir }) }))
    const began = performance.now()
    return {
      server,
      kafka,
      feed,
      sent: sent.promise,
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
        assert.equal(registrations, 1, 'how often the table was read')
        assert.ok(rssMib <= plan.maxRssMib, `the server took ${rssMib} MiB, more than ${plan.maxRssMib}`)
        return { rows: plan.rows, rssMib, seconds: Math.round((performance.now() - began) / 1000) }
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

export function* framesOf(rows: number): Generator<number[]> {
  for (let from = 0; from < rows; from += ROWS_PER_FRAME)
    yield Array.from({ length: Math.min(ROWS_PER_FRAME, rows - from) }, (_, at) => from + at)
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
