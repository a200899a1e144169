// A simulated cluster whose change feed of the benchmark's tables is made by frames.ts. Runs as a process of its own;
// speaks lines of JSON on stdin and stdout, see feed.ts.
import { createInterface } from 'node:readline'
import { systemClock } from '../src/base/clock.ts'
import { silentLog } from '../src/base/log.ts'
import { startPlayground } from '../src/playground/playground.ts'
import type { ChangeDataRequest } from '../src/proto/cdcpb.ts'
import { decodeBytes, encodeBytes, intHandle, recordKey, tablePrefix } from '../src/tidb/key.ts'
import { tsOfMs } from '../src/tidb/ts.ts'
import { openPdClient } from '../src/upstream/pd/client.ts'
import type { FeedPlan, SendOptions, TrickleOptions } from './feed.ts'
import {
  commitTsOf,
  type FrameMode,
  initializedFrame,
  makeTemplate,
  nextFrame,
  type RegionRows,
  resolvedFrame,
} from './frames.ts'
import { injectTables, splitRegions } from './inject.ts'
import { type BenchTable, manyTables, TABLES, wideTables } from './tables.ts'

type Write = (frame: Buffer) => Promise<void>

/** A region that a changefeed has asked for. */
interface Registration extends RegionRows {
  readonly write: Write
  resolvedAt: number
}

/** As often as a store tells how far a region is. */
const RESOLVED_INTERVAL_MS = 200
/** Frames that are under way at once, each of another region. */
const FRAMES_AT_ONCE = 64
/** Rows of a steady rate come in as many bursts. */
const TICK_MS = 20
/** Pairs of timestamps within a millisecond. */
const TS_PER_MS = 100_000
/** Handles of a table's regions are so far apart. */
const HANDLES_PER_REGION = 1_000_000n
/** Regions in one message of resolved timestamps. */
const REGIONS_PER_RESOLVED = 1024
const DISTINCT_ROWS = 4096
const MIN_DISTINCT_ROWS = 16

const stop = new AbortController()
/** Database → id of its first table; those of the others follow. */
const databases = new Map<string, bigint>()
/** Beyond those that the playground gives. */
let nextId = 1_000_000n
/** Of the tables of the plan at hand, by id. */
const templates = new Map<bigint, ReturnType<typeof makeTemplate>>()
const registrations = new Map<string, Registration>()
/** Settles when all regions of the plan at hand are asked for. */
let registered = Promise.withResolvers<void>()
let regionsWanted = Infinity
let mode: FrameMode = 'live'
let scanRows = 0
let afterTs = 0n

const playground = await startPlayground(
  {
    host: '127.0.0.1',
    pdPort: 0,
    sqlPort: undefined,
    adminPort: 0,
    stores: 1,
    log: silentLog,
    resolvedTsIntervalMs: RESOLVED_INTERVAL_MS,
    replay: register,
  },
  stop.signal,
)
const pd = await openPdClient(
  { endpoints: [playground.pd], security: {}, log: silentLog, clock: systemClock },
  stop.signal,
)

for await (const line of createInterface({ input: process.stdin })) {
  const { prepare, register: wait, send, trickle } = JSON.parse(line)
  if (prepare !== undefined) say({ prepared: await answerPrepare(prepare) })
  if (wait !== undefined) say({ registered: await answerRegistered() })
  if (send !== undefined) say({ sent: await answerSend(send) })
  if (trickle !== undefined) say({ sent: await answerTrickle(trickle) })
}
await playground[Symbol.asyncDispose]()

function register(request: ChangeDataRequest, write: Write): boolean {
  const start = Buffer.from(decodeBytes(request.startKey).raw)
  const tableId = start.length >= 9 ? start.readBigUInt64BE(1) ^ (1n << 63n) : 0n
  const template = templates.get(tableId)
  if (template === undefined) return false
  const afterHandle = start.length >= 19 ? start.readBigUInt64BE(11) ^ (1n << 63n) : 0n
  const { regionId, requestId, checkpointTs } = request
  // A region that is asked for again goes on where it was; a scan begins anew.
  const sent = mode === 'live' && checkpointTs > afterTs ? Number((checkpointTs - afterTs) / 2n) : 0
  const rows = { template, mode, regionId, requestId, afterTs, afterHandle, scanRows, sent, nextEvent: 0 }
  const registration = { ...rows, write, resolvedAt: 0 }
  registrations.set(`${tableId} ${afterHandle}`, registration)
  if (mode === 'live') void write(initializedFrame(registration))
  if (registrations.size >= regionsWanted) registered.resolve()
  return true
}

function tablesOf(plan: FeedPlan): readonly BenchTable[] {
  if (plan.tables.kind === 'four') return TABLES
  return plan.tables.kind === 'many'
    ? manyTables(plan.tables.count)
    : wideTables(plan.tables.columns, plan.tables.textBytes)
}

async function answerPrepare(plan: FeedPlan) {
  const tables = tablesOf(plan)
  const perTable = Math.max(1, Math.round(plan.regions / tables.length))
  const ids = await idsOf(plan.database, tables)
  await setRegions(ids, plan.regions === 1 ? undefined : perTable)
  ;({ mode } = plan)
  scanRows = Math.ceil(plan.rows / (perTable * tables.length))
  registrations.clear()
  templates.clear()
  const distinct = Math.max(MIN_DISTINCT_ROWS, Math.floor(DISTINCT_ROWS / tables.length))
  for (const [at, table] of tables.entries()) {
    const id = ids[at] ?? 0n
    templates.set(id, makeTemplate(table, id, mode, distinct))
    // One at a time: the cluster's leases live in this thread too.
    await new Promise((resolve) => setImmediate(resolve))
  }
  registered = Promise.withResolvers()
  regionsWanted = perTable * tables.length
  afterTs = await pd.tso(stop.signal)
  return {
    pd: playground.pd,
    tables: ids.map(String),
    afterTs: afterTs.toString(),
    bytesPerRow: rowBytes(tables),
  }
}

async function answerRegistered(): Promise<number> {
  await registered.promise
  return registrations.size
}

/** Ids of a database's tables; they are made on first use, and stay for later plans. */
async function idsOf(name: string, tables: readonly BenchTable[]): Promise<bigint[]> {
  let first = databases.get(name)
  if (first === undefined) {
    first = nextId
    nextId += BigInt(tables.length + 1)
    await injectTables(playground.admin, { id: nextId - 1n, name }, tables, first)
    databases.set(name, first)
  }
  const from = first
  return tables.map((_, at) => from + BigInt(at))
}

/** All tables in one region, or so many for each. */
async function setRegions(ids: readonly bigint[], perTable: number | undefined): Promise<void> {
  const merged = await fetch(`${playground.admin}/faults/merge`, { method: 'POST', body: '{"all": true}' })
  const answer = await merged.text()
  if (!merged.ok && !answer.includes('there is only one region')) throw new Error(answer)
  if (perTable === undefined) return
  const keys = ids.flatMap((id) => [
    encodeBytes(tablePrefix(id)),
    ...Array.from({ length: perTable - 1 }, (_, at) =>
      encodeBytes(recordKey(id, intHandle(BigInt(at + 1) * HANDLES_PER_REGION))),
    ),
  ])
  await splitRegions({ url: playground.pd, clusterId: pd.clusterId }, keys)
}

/** Bytes of a row's value as TiKV stores it, the mean of the tables. */
function rowBytes(tables: readonly BenchTable[]): number {
  const all = [...templates.values()].map((events) => {
    const rows = events.reduce((sum, { ends }) => sum + ends.length, 0)
    const values = events.reduce((sum, { valueBytes }) => sum + valueBytes, 0)
    return values / rows
  })
  return all.reduce((sum, bytes) => sum + bytes, 0) / tables.length
}

async function answerSend({ rows, resolve }: SendOptions) {
  const all = [...registrations.values()]
  const perRegion = Math.ceil(rows / all.length)
  const cpu = process.cpuUsage()
  let bytes = 0
  const targets = new Map(all.map((each) => [each, each.sent + perRegion]))
  // Regions take turns, a frame each.
  const queue = all.filter((each) => each.sent < (targets.get(each) ?? 0))
  const sender = async (): Promise<void> => {
    for (let region = queue.shift(); region !== undefined; region = queue.shift()) {
      const left = (targets.get(region) ?? 0) - region.sent
      const frame = nextFrame(region, left)
      bytes += frame.length
      await region.write(frame)
      const now = performance.now()
      if (resolve && mode === 'live' && now - region.resolvedAt >= RESOLVED_INTERVAL_MS) {
        region.resolvedAt = now
        await region.write(resolvedFrame([region.regionId], region.requestId, commitTsOf(region, region.sent)))
      }
      if (region.sent < (targets.get(region) ?? 0)) queue.push(region)
      else if (mode === 'scan') await region.write(initializedFrame(region))
    }
  }
  await Promise.all(Array.from({ length: FRAMES_AT_ONCE }, sender))
  const lastTs = all.reduce((most, each) => {
    const ts = commitTsOf(each, each.sent)
    return ts > most ? ts : most
  }, 0n)
  if (resolve) await sendResolved(all, lastTs)
  const { user, system } = process.cpuUsage(cpu)
  return { bytes, rows: perRegion * all.length, lastTs: lastTs.toString(), cpuMs: (user + system) / 1000 }
}

/** Rows at a steady rate, each with the time of its sending as its commit-ts; regions take turns. */
async function answerTrickle({ rowsPerSecond, seconds, resolvedTsMs }: TrickleOptions) {
  const all = [...registrations.values()]
  const cpu = process.cpuUsage()
  const began = performance.now()
  let bytes = 0
  let rows = 0
  let resolvedAt = 0
  for (let tick = 1; tick <= (seconds * 1000) / TICK_MS; tick++) {
    const frames = new Map<Write, Buffer[]>()
    for (const due = Math.round((rowsPerSecond * tick * TICK_MS) / 1000); rows < due; rows++) {
      const region = all[rows % all.length]
      if (region === undefined) break
      region.afterTs = tsOfMs(Date.now()) + 2n * BigInt(rows % TS_PER_MS) - 2n * BigInt(region.sent)
      const ofStream = frames.get(region.write) ?? []
      frames.set(region.write, ofStream)
      ofStream.push(nextFrame(region, 1))
    }
    // One message after the other is one message with the Events of both.
    for (const [write, ofStream] of frames) {
      const frame = Buffer.concat(ofStream)
      bytes += frame.length
      await write(frame)
    }
    const now = performance.now()
    if (now - resolvedAt >= resolvedTsMs) {
      resolvedAt = now
      await sendResolved(all, tsOfMs(Date.now()) - 1n)
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, began + tick * TICK_MS - performance.now())))
  }
  const lastTs = tsOfMs(Date.now() + 1)
  await sendResolved(all, lastTs)
  const { user, system } = process.cpuUsage(cpu)
  return { bytes, rows, lastTs: lastTs.toString(), cpuMs: (user + system) / 1000 }
}

/** Tells every region's end, those of one request and stream together. */
async function sendResolved(all: readonly Registration[], ts: bigint): Promise<void> {
  const streams = Map.groupBy(all, ({ write }) => write)
  for (const [write, ofStream] of streams)
    for (const [requestId, regions] of Map.groupBy(ofStream, (each) => each.requestId))
      for (let from = 0; from < regions.length; from += REGIONS_PER_RESOLVED) {
        const some = regions.slice(from, from + REGIONS_PER_RESOLVED).map(({ regionId }) => regionId)
        await write(resolvedFrame(some, requestId, ts))
      }
}

function say(message: unknown): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
