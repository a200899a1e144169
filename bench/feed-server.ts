// A simulated cluster whose change feed of the benchmark's tables is replayed from frames made beforehand. Runs as a
// process of its own; speaks lines of JSON on stdin and stdout:
//   → {"prepare": {"rows": n, "regions": n}}   ← {"prepared": {"pd", "sql", "tables", "afterTs"}}, {"registered": n} once all are
//   → {"go": true}                             ← {"sent": {"lastTs", "bytes", "rows"}} when every frame is written
import { createInterface } from 'node:readline'
import { createConnection } from 'mysql2/promise'
import { systemClock } from '../src/base/clock.ts'
import { silentLog } from '../src/base/log.ts'
import { startPlayground } from '../src/playground/playground.ts'
import type { ChangeDataRequest } from '../src/proto/cdcpb.ts'
import { decodeBytes } from '../src/tidb/key.ts'
import { openPdClient } from '../src/upstream/pd/client.ts'
import { type Frames, initializedFrame, makeFrames, resolvedFrame, TABLES } from './frames.ts'

interface Registration {
  readonly request: ChangeDataRequest
  readonly write: (frame: Buffer) => Promise<void>
  frames?: Frames
}

/** Frames between two resolved timestamps of a region. */
const FRAMES_PER_RESOLVED = 50
/** Handles of a table's regions are so far apart. */
const HANDLES_PER_REGION = 1_000_000n

const stop = new AbortController()
const tableIds = new Map<bigint, number>()
const registrations: Registration[] = []
let waiting: { regions: number; ready: () => void } | undefined
let rowsPerRegion = 0
let afterTs = 0n

const playground = await startPlayground(
  {
    host: '127.0.0.1',
    pdPort: 0,
    sqlPort: 0,
    adminPort: 0,
    stores: 1,
    log: silentLog,
    resolvedTsIntervalMs: 200,
    replay(request, write) {
      const start = decodeBytes(request.startKey).raw
      const tableId = start.length >= 9 ? Buffer.from(start).readBigUInt64BE(1) ^ (1n << 63n) : 0n
      const shape = tableIds.get(tableId)
      if (shape === undefined) return false
      const handle = start.length >= 19 ? Buffer.from(start).readBigUInt64BE(11) ^ (1n << 63n) : 0n
      const table = TABLES[shape]
      if (table === undefined) return false
      const { regionId, requestId } = request
      const plan = { table, tableId, regionId, requestId, rows: rowsPerRegion, afterTs, afterHandle: handle }
      registrations.push({ request, write, frames: makeFrames(plan) })
      void write(initializedFrame(regionId, requestId))
      if (registrations.length >= (waiting?.regions ?? Infinity)) waiting?.ready()
      return true
    },
  },
  stop.signal,
)

const pd = await openPdClient(
  { endpoints: [playground.pd], security: {}, log: silentLog, clock: systemClock },
  stop.signal,
)
const [host = '', port = ''] = playground.sql.split(':')
const sql = await createConnection({ host, port: Number(port), user: 'root' })
await sql.query('CREATE DATABASE bench')
await sql.query('USE bench')

for await (const line of createInterface({ input: process.stdin })) {
  const { prepare, go } = JSON.parse(line)
  if (prepare !== undefined) await answerPrepare(prepare.rows, prepare.regions)
  if (go !== undefined) await answerGo()
}
sql.destroy()
await playground[Symbol.asyncDispose]()

async function answerPrepare(rows: number, regions: number): Promise<void> {
  // One region for all tables, or as many for each.
  const perTable = Math.max(1, Math.round(regions / TABLES.length))
  rowsPerRegion = Math.ceil(rows / (perTable * TABLES.length))
  registrations.length = 0
  tableIds.clear()
  for (const [shape, table] of TABLES.entries()) {
    await sql.query(`DROP TABLE IF EXISTS ${table.name}`)
    await sql.query(table.ddl)
    const answer = await fetch(`${playground.admin}/history?table=bench.${table.name}`)
    const id = BigInt(/"table":\s*"?(\d+)/.exec(await answer.text())?.[1] ?? '0')
    tableIds.set(id, shape)
    if (perTable === 1) continue
    // Regions are split at rows, so there is one where each region is to begin.
    const rowsAt = Array.from({ length: perTable }, (_, at) => `(${BigInt(at) * HANDLES_PER_REGION})`)
    await sql.query(`INSERT INTO ${table.name} (id) VALUES ${rowsAt.join(', ')}`)
    const body = JSON.stringify({ tableId: Number(id), count: perTable - 1 })
    const done = await fetch(`${playground.admin}/faults/split`, { method: 'POST', body })
    if (!done.ok) throw new Error(await done.text())
  }
  if (regions === 1) {
    const done = await fetch(`${playground.admin}/faults/merge`, { method: 'POST', body: '{"all": true}' })
    if (!done.ok) throw new Error(await done.text())
  }
  const ready = Promise.withResolvers<void>()
  waiting = { regions: perTable * TABLES.length, ready: ready.resolve }
  afterTs = await pd.tso(stop.signal)
  const tables = [...tableIds.keys()].map(String)
  say({ prepared: { pd: playground.pd, sql: playground.sql, tables, afterTs: afterTs.toString() } })
  await ready.promise
  say({ registered: registrations.length })
}

async function answerGo(): Promise<void> {
  let bytes = 0
  let lastTs = 0n
  await Promise.all(
    registrations.map(async ({ request: { regionId, requestId }, write, frames }) => {
      if (frames === undefined) return
      for (const [at, frame] of frames.frames.entries()) {
        await write(frame)
        bytes += frame.length
        const resolvedTs = frames.endTs[at]
        if (at % FRAMES_PER_RESOLVED === FRAMES_PER_RESOLVED - 1 && resolvedTs !== undefined)
          await write(resolvedFrame(regionId, requestId, resolvedTs))
      }
      lastTs = frames.lastTs
      await write(resolvedFrame(regionId, requestId, frames.lastTs))
    }),
  )
  say({ sent: { bytes, lastTs: lastTs.toString(), rows: rowsPerRegion * registrations.length } })
}

function say(message: unknown): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
