// A simulated cluster in this process whose change feed of some tables is written by the test: transactions of any size, made
// while they are sent. Keys are those of `CREATE TABLE … (id BIGINT PRIMARY KEY, …)`.
import { createConnection } from 'mysql2/promise'
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { startPlayground } from '../../src/playground/playground.ts'
import type { ChangeDataRequest } from '../../src/proto/cdcpb.ts'
import { ChangeDataEvent, Event, Event_LogType, type Event_Row, Event_Row_OpType } from '../../src/proto/cdcpb.ts'
import { decodeBytes, intHandle, recordKey } from '../../src/tidb/key.ts'
import { encodeRow } from '../../src/tidb/row-encoder.ts'
import { openPdClient } from '../../src/upstream/pd/client.ts'
import { fieldType } from './field-type.ts'

/** One region of a scripted table, registered by a server. */
export interface Registration {
  readonly tableId: bigint
  /** 1 for the table's first registration. */
  readonly number: number
  /** Rows above it are wanted. */
  readonly checkpointTs: bigint
  prewrite(startTs: bigint, ids: readonly number[]): Promise<void>
  commit(startTs: bigint, commitTs: bigint, ids: readonly number[]): Promise<void>
  /** Rows of transactions of their own, `firstTs`, `firstTs + 2` … being their startTs, as a scan gives them. */
  committed(firstTs: bigint, ids: readonly number[]): Promise<void>
  initialized(): Promise<void>
  resolved(ts: bigint): Promise<void>
}

export interface ScriptedFeed extends AsyncDisposable {
  readonly pd: string
  /** host:port */
  readonly sql: string
  readonly admin: string
  tso(): Promise<bigint>
  /** Makes a table whose changes the test writes, in `database`; `script` is called for each registration. */
  table(name: string, padBytes: number, script: (registration: Registration) => Promise<void>): Promise<bigint>
}

interface Scripted {
  readonly padBytes: number
  readonly script: (registration: Registration) => Promise<void>
  registrations: number
}

const DATABASE = 'scripted'
const NONE = Buffer.alloc(0)

/** `failed` is told what a script threw. */
export async function startScriptedFeed(failed: (error: unknown) => void): Promise<ScriptedFeed> {
  const stack = new AsyncDisposableStack()
  const stop = new AbortController()
  const tables = new Map<bigint, Scripted>()
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
        const scripted = tables.get(tableId)
        if (scripted === undefined) return false
        scripted.registrations++
        scripted.script(registrationOf(request, tableId, scripted, write)).catch(failed)
        return true
      },
    },
    stop.signal,
  )
  stack.use(playground)
  stack.defer(() => stop.abort())
  const common = { security: {}, log: silentLog, clock: systemClock }
  const pd = stack.use(await openPdClient({ endpoints: [playground.pd], ...common }, stop.signal))
  const [host = '', port = ''] = playground.sql.split(':')
  const sql = await createConnection({ host, port: Number(port), user: 'root' })
  stack.defer(() => sql.destroy())
  await sql.query(`CREATE DATABASE ${DATABASE}`)
  return {
    pd: playground.pd,
    sql: playground.sql,
    admin: playground.admin,
    tso: () => pd.tso(stop.signal),
    async table(name, padBytes, script) {
      await sql.query(`CREATE TABLE ${DATABASE}.${name} (id BIGINT PRIMARY KEY, v BIGINT, pad VARCHAR(16000))`)
      const answer = await fetch(`${playground.admin}/history?table=${DATABASE}.${name}`)
      const id = BigInt(/"table":\s*"?(\d+)/.exec(await answer.text())?.[1] ?? '0')
      tables.set(id, { padBytes, script, registrations: 0 })
      return id
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

const V_TYPE = fieldType('bigint')
const PAD_TYPE = fieldType('varchar(16000)')

function registrationOf(
  { regionId, requestId, checkpointTs }: ChangeDataRequest,
  tableId: bigint,
  { padBytes, registrations: number }: Scripted,
  write: (frame: Buffer) => Promise<void>,
): Registration {
  const pad = Buffer.alloc(padBytes, 'pad ')
  const key = (id: number): Buffer => Buffer.from(recordKey(tableId, intHandle(BigInt(id))))
  const value = (id: number): Buffer =>
    Buffer.from(
      encodeRow([
        { id: 2, type: V_TYPE, value: id },
        { id: 3, type: PAD_TYPE, value: pad },
      ]),
    )
  const send = (entries: Event_Row[]): Promise<void> => {
    const event = Event.create({ regionId, requestId, event: { $case: 'entries', value: { entries } } })
    return write(Buffer.from(ChangeDataEvent.encode(ChangeDataEvent.create({ events: [event] })).finish()))
  }
  return {
    tableId,
    number,
    checkpointTs,
    prewrite: (startTs, ids) =>
      send(ids.map((id) => row({ type: Event_LogType.PREWRITE, startTs, key: key(id), value: value(id) }))),
    commit: (startTs, commitTs, ids) =>
      send(ids.map((id) => row({ type: Event_LogType.COMMIT, startTs, commitTs, key: key(id) }))),
    committed: (firstTs, ids) =>
      send(
        ids.map((id, at) => {
          const startTs = firstTs + 2n * BigInt(at)
          const commitTs = startTs + 1n
          return row({ type: Event_LogType.COMMITTED, startTs, commitTs, key: key(id), value: value(id) })
        }),
      ),
    initialized: () => send([row({ type: Event_LogType.INITIALIZED, opType: Event_Row_OpType.UNKNOWN })]),
    resolved(ts) {
      const resolvedTs = { regions: [regionId], ts, requestId }
      return write(Buffer.from(ChangeDataEvent.encode(ChangeDataEvent.create({ resolvedTs })).finish()))
    },
  }
}

function row(fields: Partial<Event_Row>): Event_Row {
  return {
    startTs: 0n,
    commitTs: 0n,
    type: Event_LogType.UNKNOWN,
    opType: Event_Row_OpType.PUT,
    key: NONE,
    value: NONE,
    oldValue: NONE,
    expireTsUnixSecs: 0n,
    txnSource: 0n,
    generation: 0n,
    ...fields,
  }
}
