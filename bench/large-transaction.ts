// One transaction that is larger than the memory for it: `large-transaction.ts [ROWS] [QUOTA_MIB] [VALUE_BYTES]` sends the
// PREWRITEs of all its rows, then their COMMITs, then a resolved-ts from a process of its own, and prints how long the event
// feed took and what memory. Rows in small transactions go on meanwhile.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import { systemClock } from '../src/base/clock.ts'
import { silentLog } from '../src/base/log.ts'
import { startPlayground } from '../src/playground/playground.ts'
import { ChangeDataEvent, type Event_Row, Event_LogType, Event_Row_OpType } from '../src/proto/cdcpb.ts'
import { createDiskMemory, openDiskQuota } from '../src/spill/disk-quota.ts'
import { createQuotaMemory, openQuota } from '../src/spill/quota.ts'
import { RunFiles } from '../src/spill/run-files.ts'
import { Spiller } from '../src/spill/spiller.ts'
import { intHandle, recordKey, tableRecordRange } from '../src/tidb/key.ts'
import { Ts } from '../src/tidb/ts.ts'
import { openPdClient } from '../src/upstream/pd/client.ts'
import { openEventFeed } from '../src/upstream/tikv/event-feed.ts'
import { run } from '../test/support/process.ts'

/** TiKV puts up to 6 MiB into a message. */
const FRAME_BYTES = 6 << 20
const MOST_ROWS_PER_FRAME = 200
/** A row of another transaction goes between so many frames. */
const FRAMES_PER_SMALL = 10

const [mode, ...numbers] = process.argv[2] === 'serve' ? process.argv.slice(2) : ['read', ...process.argv.slice(2)]
const [rows = 5_000_000, quotaMib = 256, valueBytes = 200] = numbers.map(Number)
const rowsPerFrame = Math.max(1, Math.min(MOST_ROWS_PER_FRAME, Math.floor(FRAME_BYTES / valueBytes)))
if (mode === 'serve') await serve()
else await read()

async function serve(): Promise<void> {
  const signal = new AbortController().signal
  const start = Promise.withResolvers<{ tableId: bigint; afterTs: bigint }>()
  const playground = await startPlayground(
    {
      host: '127.0.0.1',
      pdPort: 0,
      sqlPort: 0,
      adminPort: 0,
      stores: 1,
      log: silentLog,
      resolvedTsIntervalMs: 200,
      replay({ regionId, requestId }, write) {
        void start.promise.then(({ tableId, afterTs }) => send(tableId, afterTs, { regionId, requestId }, write))
        return true
      },
    },
    signal,
  )
  const [host = '', port = ''] = playground.sql.split(':')
  const sql = await createConnection({ host, port: Number(port), user: 'root', database: 'test' })
  await sql.query('CREATE TABLE large (id BIGINT PRIMARY KEY, text VARCHAR(200))')
  const answer = await fetch(`${playground.admin}/history?table=test.large`)
  const tableId = BigInt(/"table":\s*"?(\d+)/.exec(await answer.text())?.[1] ?? '0')
  const options = { endpoints: [playground.pd], security: {}, log: silentLog, clock: systemClock }
  const afterTs = await (await openPdClient(options, signal)).tso(signal)
  start.resolve({ tableId, afterTs })
  process.stdout.write(`${JSON.stringify({ pd: playground.pd, table: `${tableId}`, afterTs: `${afterTs}` })}\n`)
}

type Target = { readonly regionId: bigint; readonly requestId: bigint }

async function send(tableId: bigint, afterTs: bigint, to: Target, write: (frame: Buffer) => Promise<void>) {
  const value = Buffer.alloc(valueBytes, 'v')
  const opType = Event_Row_OpType.PUT
  const keyOf = (handle: number): Buffer => Buffer.from(recordKey(tableId, intHandle(BigInt(handle))))
  const entries = (list: Partial<Event_Row>[]): Promise<void> => {
    const event = { ...to, event: { $case: 'entries' as const, value: { entries: list } } }
    return write(Buffer.from(ChangeDataEvent.encode(ChangeDataEvent.fromPartial({ events: [event] })).finish()))
  }
  const [startTs, commitTs] = [afterTs + 1n, afterTs + 1_000_000n]
  let small = 0
  const frames = async (rowOf: (handle: number) => Partial<Event_Row>): Promise<void> => {
    for (let at = 0; at < rows; at += rowsPerFrame) {
      await entries(Array.from({ length: Math.min(rowsPerFrame, rows - at) }, (_, i) => rowOf(at + i)))
      if ((at / rowsPerFrame) % FRAMES_PER_SMALL > 0) continue
      const row = { opType, startTs: afterTs + 2n + BigInt(2 * small), key: keyOf(-1 - small) }
      await entries([{ ...row, type: Event_LogType.PREWRITE, value }])
      await entries([{ ...row, type: Event_LogType.COMMIT, commitTs: row.startTs + 1n }])
      small++
    }
  }
  await entries([{ type: Event_LogType.INITIALIZED }])
  await frames((handle) => ({ type: Event_LogType.PREWRITE, opType, startTs, key: keyOf(handle), value }))
  await frames((handle) => ({ type: Event_LogType.COMMIT, opType, startTs, commitTs, key: keyOf(handle) }))
  const resolvedTs = { regions: [to.regionId], ts: afterTs + 2_000_000n, requestId: to.requestId }
  await write(Buffer.from(ChangeDataEvent.encode(ChangeDataEvent.fromPartial({ resolvedTs })).finish()))
}

async function read(): Promise<void> {
  const args = [import.meta.filename, 'serve', `${rows}`, `${quotaMib}`, `${valueBytes}`]
  await using server = await run(process.execPath, args, { ready: /"pd"/ })
  const { pd: endpoint, table, afterTs } = JSON.parse(server.readyLine)
  const signal = new AbortController().signal
  await using pd = await openPdClient(
    { endpoints: [endpoint], security: {}, log: silentLog, clock: systemClock },
    signal,
  )
  const directory = mkdtempSync(join(tmpdir(), 'tidewire-bench-'))
  const disk = openDiskQuota(createDiskMemory(64 * 2 ** 30))
  const quota = openQuota(createQuotaMemory(quotaMib * 2 ** 20))
  using files = new RunFiles(directory, disk)
  const spiller = new Spiller(quota, files)
  const figures = {
    rows,
    large: 0,
    small: 0,
    spilledMib: 0,
    longestMs: 0,
    largestFrame: 0,
    longestSpillMs: 0,
    longestSpillCpuMs: 0,
  }
  let counted = 0
  const beganAt = performance.now()
  const began = process.cpuUsage()
  let lastTurn = performance.now()
  const ticker = setInterval(() => {
    figures.longestMs = Math.max(figures.longestMs, performance.now() - lastTurn - 10)
    lastTurn = performance.now()
  }, 10)
  const observer = {
    opened: () => ({ [Symbol.dispose]() {} }),
    regionError() {},
    received(_: number, bytes: number) {
      figures.largestFrame = Math.max(figures.largestFrame, bytes)
      quota.addBefore(subscription.bytes - counted)
      counted = subscription.bytes
      const at = performance.now()
      const before = process.threadCpuUsage()
      spiller.relieve()
      const spent = process.threadCpuUsage(before)
      figures.longestSpillCpuMs = Math.max(figures.longestSpillCpuMs, (spent.user + spent.system) / 1000)
      figures.longestSpillMs = Math.max(figures.longestSpillMs, performance.now() - at)
      figures.spilledMib = Math.max(figures.spilledMib, files.bytes / 2 ** 20)
    },
  }
  const feed = openEventFeed({ pd, security: {}, log: silentLog, clock: systemClock, observer })
  const done = Promise.withResolvers<void>()
  let sum = 0
  const subscription = feed.subscribe(tableRecordRange(BigInt(table)), Ts(BigInt(afterTs)), {
    row(row) {
      const handle = row.bytes.readInt32BE(row.keyEnd - 4)
      if (handle < 0) figures.small++
      else {
        figures.large++
        sum += handle
      }
    },
    resolved: () => done.resolve(),
    failed: done.reject,
  })
  spiller.add(subscription.holder)
  await done.promise
  clearInterval(ticker)
  const { user, system } = process.cpuUsage(began)
  assert.equal(figures.large, rows)
  assert.equal(sum, (rows * (rows - 1)) / 2)
  assert.equal(files.bytes, 0)
  assert.equal(subscription.bytes, 0)
  const seconds = (performance.now() - beganAt) / 1000
  const rssMib = process.resourceUsage().maxRSS / 1024
  process.stdout.write(`${JSON.stringify({ ...figures, seconds, cpuSeconds: (user + system) / 1e6, rssMib })}\n`)
  await feed[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
}
