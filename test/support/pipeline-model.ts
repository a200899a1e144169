// The feed's model over the whole pipeline: random transactions of every protocol on several tables, random faults of the
// cluster, the broker, the workers and the changefeed, and what the broker appended held against the cluster's history.
import { createHash } from 'node:crypto'
import type { Worker } from 'node:worker_threads'
import { type Connection, createConnection } from 'mysql2/promise'

import { systemClock } from '../../src/base/clock.ts'
import { describeError } from '../../src/base/errors.ts'
import type { LogFields } from '../../src/base/log.ts'
import type { LogControl } from '../../src/base/unified-log.ts'
import { defaultReplicaConfig } from '../../src/config/replica-config-toml.ts'
import type { ReplicaConfig } from '../../src/config/replica-config.ts'
import { defaultServerConfig } from '../../src/config/server-config.ts'
import { type Server, startServer } from '../../src/server/server.ts'
import { decodeInt, decodeRecordKey, intHandle, recordKey } from '../../src/tidb/key.ts'
import { encodeRow } from '../../src/tidb/row-encoder.ts'
import { changeOf, DeliveryLedger, rowText } from './delivery-ledger.ts'
import { type FakeKafka, type Fault, startFakeKafka } from './fake-kafka.ts'
import { connect, type Connected, randomFault, versionsOf } from './feed-model.ts'
import { fieldType } from './field-type.ts'
import { waitFor } from './process.ts'
import { createRandom, type Random } from './random.ts'
import { DEAD_MODES, LIVING_MODES, runTxn, type TxnMode, type Write } from './simulated-cluster.ts'

export interface PipelineOptions {
  readonly seed: number
  readonly workers: number
  /** Each with some transactions of every writer, and one fault meanwhile. */
  readonly rounds: number
  /** `memory-quota` of the changefeed, bytes. */
  readonly memoryQuota: number
  /** What run files may take, bytes; absent: what is free. */
  readonly diskQuota?: number
  /** Of the server: where it may put rows that memory does not hold. */
  readonly dataDir: string
  /** No further round begins after that time on `performance.now()`. */
  readonly until?: number
  readonly onRound?: (text: string) => void
}

export interface PipelineResult {
  readonly rounds: number
  readonly transactions: number
  readonly changes: number
  /** With those that came again. */
  readonly messages: number
  /** The most bytes that were seen to have gone to run files in one run of the changefeed. */
  readonly spilled: number
  /** How often spans left the feed because the disk was full. */
  readonly gaveUp: number
}

const WRITERS = 4
const TABLES = 5
const MAX_TABLES = 10
const KEYS = 60
const PARTITIONS = 4
/** How long the checkpoint may take to reach the end after the last fault, ms. */
const ADVANCE_MS = 90_000
const CHANGEFEED = { namespace: 'default', id: 'model' }

interface Table {
  readonly name: string
  readonly id: bigint
}

interface Counter {
  /** Of names and values. */
  next: number
  gaveUp: number
}

interface Model {
  readonly random: Random
  readonly connected: Connected
  readonly sql: Connection
  readonly kafka: FakeKafka
  /** Faults of the next produce requests. */
  readonly produceFaults: Fault[]
  readonly server: Server
  readonly threads: ReadonlySet<Worker>
  readonly ledger: DeliveryLedger
  readonly tables: Table[]
  /** Hash of a row's bytes → the row as text. */
  readonly written: Map<string, string>
  /** What happened, and what the server logged. */
  readonly tail: string[]
  readonly counter: Counter
}

/** Throws what failed, with the seed and the last things that happened. */
export async function runPipelineModel(options: PipelineOptions, signal: AbortSignal): Promise<PipelineResult> {
  await using stack = new AsyncDisposableStack()
  const tail: string[] = []
  const counter = { next: 1, gaveUp: 0 }
  const result = { rounds: 0, transactions: 0, changes: 0, messages: 0, spilled: 0, gaveUp: 0 }
  try {
    const model = await openModel(options, { tail, counter }, stack, signal)
    const { ledger } = model
    const startTs = await begin(model, options.memoryQuota, signal)
    while (result.rounds < options.rounds && performance.now() < (options.until ?? Infinity)) {
      result.transactions += await runRound(model, signal)
      result.rounds++
      await lookAtCheckpoint(model, signal)
      if (ledger.faults.length > 0) throw new Error(ledger.faults.join('\n'))
      // Begins anew with each run of the changefeed, and with each worker.
      result.spilled = Math.max(result.spilled, await spilledBytes(model, signal))
      options.onRound?.(`seed ${options.seed}: round ${result.rounds}, ${ledger.arrived} messages`)
    }
    await settle(model, signal)
    const endTs = await model.connected.pd.tso(signal)
    await waitForEnd(model, endTs, signal)
    ledger.verify(await expectedChanges(model, startTs, endTs), endTs)
    result.changes = ledger.changes
    result.messages = ledger.arrived
    result.gaveUp = counter.gaveUp
    return result
  } catch (error) {
    const text = `seed ${options.seed}, ${options.workers} workers, round ${result.rounds}; last:\n  ${tail.join('\n  ')}`
    throw new Error(text, { cause: error })
  }
}

async function openModel(
  options: PipelineOptions,
  told: Pick<Model, 'tail' | 'counter'>,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<Model> {
  const connected = stack.use(await connect(signal))
  const [host = '', port = ''] = connected.cluster.sql.split(':')
  const sql = await createConnection({ host, port: Number(port), user: 'root' })
  stack.defer(() => sql.destroy())
  await sql.query('CREATE DATABASE model')
  await sql.query('USE model')
  const ledger = new DeliveryLedger()
  const produceFaults: Fault[] = []
  const kafka = stack.use(
    await startFakeKafka({
      partitions: PARTITIONS,
      faultOf: () => produceFaults.shift() ?? 'none',
      received(partition, values) {
        for (const value of values) ledger.receive(partition, value.toString())
      },
    }),
  )
  const threads = new Set<Worker>()
  const enlist = (thread: Worker): void => {
    threads.add(thread)
    thread.once('exit', () => threads.delete(thread))
  }
  process.on('worker', enlist)
  stack.defer(() => void process.off('worker', enlist))
  const server = stack.use(
    await startServer(
      {
        config: {
          ...defaultServerConfig,
          sorter: { ...defaultServerConfig.sorter, diskQuota: options.diskQuota ?? 0 },
        },
        pdEndpoints: [connected.cluster.pd],
        security: {},
        timeZone: 'UTC',
        address: '127.0.0.1:8300',
        dataDir: options.dataDir,
        dataWorkers: options.workers,
        failPoints: '',
        log: logInto(told),
        clock: systemClock,
      },
      signal,
    ),
  )
  await waitFor('the ownership', () => server.handle.status().isOwner)
  const random = createRandom(options.seed)
  const empty = { tables: [], written: new Map() }
  return { random, connected, sql, kafka, server, produceFaults, threads, ledger, ...empty, ...told }
}

/** Makes the first tables and the changefeed; resolves to its start. */
async function begin(model: Model, memoryQuota: number, signal: AbortSignal): Promise<bigint> {
  for (let at = 0; at < TABLES; at++) await createTable(model)
  const { random, kafka, server } = model
  // Rows of one table in several partitions, or all in one.
  const partition = random.pick(['index-value', 'table', 'default'])
  const rule = { matcher: ['*.*'], dispatcher: '', partition, index: '', columns: [], topic: '' }
  const config: ReplicaConfig = {
    ...defaultReplicaConfig,
    memoryQuota,
    filter: { ...defaultReplicaConfig.filter, rules: ['model.*'] },
    sink: { ...defaultReplicaConfig.sink, dispatchers: [rule] },
  }
  const sinkUri = `kafka://${kafka.bootstrap}/t?protocol=canal-json&enable-tidb-extension=true`
  const request = { id: CHANGEFEED, sinkUri, config, ignoreIneligibleTables: true }
  const { startTs } = await server.handle.createChangefeed(request, signal)
  return startTs
}

async function createTable({ sql, tables, connected, counter }: Model): Promise<void> {
  const name = `t${counter.next++}`
  await sql.query(`CREATE TABLE ${name} (id BIGINT PRIMARY KEY, v BIGINT NOT NULL, pad VARCHAR(16000))`)
  const answer = await fetch(`${connected.cluster.admin}/history?table=model.${name}`)
  tables.push({ name, id: BigInt(/"table":\s*"?(\d+)/.exec(await answer.text())?.[1] ?? '0') })
}

const V_TYPE = fieldType('bigint not null')
const PAD_TYPE = fieldType('varchar(16000)')
const hashOf = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('base64')

/** A row that no other write has. */
function newRow({ counter, written }: Model, padBytes: number): Uint8Array {
  const v = counter.next++
  const pad = String.fromCharCode(97 + (v % 26)).repeat(padBytes)
  const bytes = encodeRow([
    { id: 2, type: V_TYPE, value: v },
    { id: 3, type: PAD_TYPE, value: Buffer.from(pad) },
  ])
  written.set(hashOf(bytes), rowText({ v: String(v), pad }))
  return bytes
}

function randomWrites(model: Model): Write[] {
  const { random, tables } = model
  const large = random.chance(0.02)
  const count = large ? 40 + random.below(KEYS) : 1 + random.below(8)
  const padBytes = large ? 8000 : 600
  const home = random.pick(tables)
  const writes = new Map<string, Write>()
  for (let at = 0; at < count; at++) {
    const table = random.chance(0.7) ? home : random.pick(tables)
    const handle = random.below(KEYS)
    const key = recordKey(table.id, intHandle(BigInt(handle)))
    const value = random.chance(0.2) ? undefined : newRow(model, 1 + random.below(padBytes))
    writes.set(`${table.id}/${handle}`, { key, value })
  }
  return [...writes.values()]
}

/** Writers and one event at the same time; resolves to the number of transactions. */
async function runRound(model: Model, signal: AbortSignal): Promise<number> {
  const { random, connected, tail } = model
  // What happens is drawn before anything runs, so that the seed alone decides it.
  const programs = Array.from({ length: WRITERS }, () =>
    Array.from({ length: 1 + random.below(6) }, () => ({
      writes: randomWrites(model),
      mode: random.chance(0.05) ? random.pick(DEAD_MODES) : random.pick(LIVING_MODES),
    })),
  )
  const [name, event] = drawEvent(model, signal)
  const write = async (program: readonly { readonly writes: readonly Write[]; readonly mode: TxnMode }[]) => {
    for (const { writes, mode } of program) {
      try {
        await runTxn(connected.kv, writes, mode, signal, { ttlMs: 3_000n })
      } catch (error) {
        // Its outcome is for others to find out, as with any client that gives up.
        signal.throwIfAborted()
        tell(tail, `${mode} gave up: ${describeError(error)}`)
      }
    }
  }
  const happen = async (): Promise<void> => {
    tell(tail, name)
    try {
      await event()
    } catch (error) {
      signal.throwIfAborted()
      tell(tail, `${name} was refused: ${describeError(error)}`)
    }
  }
  await Promise.all([happen(), ...programs.map(write)])
  return programs.reduce((sum, program) => sum + program.length, 0)
}

type Event = readonly [name: string, happen: () => Promise<void>]

/** Each with how often it is picked. */
const EVENTS: readonly (readonly [weight: number, draw: (model: Model, signal: AbortSignal) => Event])[] = [
  [12, drawClusterFault],
  [3, drawProduceFaults],
  [2, drawBrokerLoss],
  [1, drawDdl],
  [1, drawWorkerDeath],
  [2, drawMove],
  [2, drawRebalance],
  [1, drawPause],
]
const WEIGHT = EVENTS.reduce((sum, [weight]) => sum + weight, 0)

function drawEvent(model: Model, signal: AbortSignal): Event {
  let at = model.random.below(WEIGHT)
  for (const [weight, draw] of EVENTS) {
    at -= weight
    if (at < 0) return draw(model, signal)
  }
  throw new RangeError('no event was picked')
}

function drawClusterFault({ random, tables, connected }: Model): Event {
  const [name, body] = randomFault(random)
  const tableId = Number(random.pick(tables).id)
  return [`${name} ${JSON.stringify(body)}`, () => connected.cluster.fault(name, { tableId, ...body })]
}

/** Code that loses the sink (INVALID_RECORD), and one that makes it look for another leader (NOT_LEADER_OR_FOLLOWER). */
const PRODUCE_FAULTS: readonly Fault[] = ['lost', 'unanswered', { errorCode: 6 }, { errorCode: 87 }]

function drawProduceFaults({ random, produceFaults }: Model): Event {
  const faults = Array.from({ length: 1 + random.below(4) }, () => random.pick(PRODUCE_FAULTS))
  return [`produce ${JSON.stringify(faults)}`, async () => void produceFaults.push(...faults)]
}

function drawBrokerLoss({ random, kafka }: Model, signal: AbortSignal): Event {
  const ms = random.chance(0.5) ? 0 : 50 + random.below(1000)
  return [
    `broker away for ${ms} ms`,
    async () => {
      kafka.disconnect(true)
      await systemClock.sleep(ms, signal).finally(() => kafka.disconnect(false))
    },
  ]
}

function drawDdl(model: Model): Event {
  const { random, tables, sql, counter } = model
  if (tables.length < MAX_TABLES && random.chance(0.5)) return ['create table', () => createTable(model)]
  const statement = `ALTER TABLE ${random.pick(tables).name} ADD COLUMN c${counter.next++} INT DEFAULT 7`
  return [statement, async () => void (await sql.query(statement))]
}

function drawWorkerDeath({ random, threads }: Model): Event {
  const at = random.below(threads.size)
  return [`worker ${at} dies`, async () => void (await [...threads][at]?.terminate())]
}

function drawMove({ random, server, tables }: Model, signal: AbortSignal): Event {
  const { name, id } = random.pick(tables)
  return [`${name} moves`, () => server.handle.moveTable(CHANGEFEED, server.handle.status().id, id, signal)]
}

function drawRebalance({ server }: Model, signal: AbortSignal): Event {
  return ['tables are cut anew', () => server.handle.rebalanceTables(CHANGEFEED, signal)]
}

function drawPause({ random, server }: Model, signal: AbortSignal): Event {
  const ms = random.below(300)
  return [
    `paused for ${ms} ms`,
    async () => {
      await server.handle.pauseChangefeed(CHANGEFEED, signal)
      await systemClock.sleep(ms, signal)
      await server.handle.resumeChangefeed(CHANGEFEED, {}, signal)
    },
  ]
}

/** Ends all faults. A changefeed that waits for its next try is asked to try now. */
async function settle({ connected, kafka, produceFaults, server }: Model, signal: AbortSignal): Promise<void> {
  await connected.cluster.fault('clear', {})
  produceFaults.length = 0
  kafka.disconnect(false)
  const { state } = await server.handle.getChangefeed(CHANGEFEED, signal)
  if (state === 'normal' || state === 'warning') return
  await server.handle.pauseChangefeed(CHANGEFEED, signal)
  await server.handle.resumeChangefeed(CHANGEFEED, {}, signal)
}

async function lookAtCheckpoint({ server, ledger }: Model, signal: AbortSignal): Promise<bigint> {
  const { state, error, checkpointTs } = await server.handle.getChangefeed(CHANGEFEED, signal)
  if (state === 'failed') throw new Error(`the changefeed failed: ${error?.message}`)
  ledger.checkpoint(checkpointTs)
  return checkpointTs
}

async function waitForEnd(model: Model, endTs: bigint, signal: AbortSignal): Promise<void> {
  const { handle } = model.server
  try {
    await waitFor(`the checkpoint to reach ${endTs}`, () => isPast(model, endTs, signal), ADVANCE_MS)
  } catch (cause) {
    const { state, checkpointTs, resolvedTs } = await handle.getChangefeed(CHANGEFEED, signal)
    const metrics = (await handle.metricsText(signal))
      .split('\n')
      .filter((line) => /^tidewire.*(?<!_bucket.*) [^0]/.test(line))
    const text = `${state}, checkpoint ${checkpointTs}, resolved ${resolvedTs}\n${metrics.join('\n')}`
    throw new Error(text, { cause })
  }
}

const isPast = async (model: Model, ts: bigint, signal: AbortSignal): Promise<boolean> =>
  (await lookAtCheckpoint(model, signal)) >= ts

async function spilledBytes({ server }: Model, signal: AbortSignal): Promise<number> {
  const text = await server.handle.metricsText(signal)
  const found = [...text.matchAll(/^tidewire_spilled_bytes_total\{.*\} (\S+)$/gm)]
  return found.reduce((sum, [, value]) => sum + Number(value), 0)
}

/** What the cluster says was changed in (after, upTo]. */
async function expectedChanges(model: Model, after: bigint, upTo: bigint): Promise<Set<string>> {
  const changes = new Set<string>()
  for (const { name, id } of model.tables) {
    const current = new Map<bigint, string | undefined>()
    for (const { key, value, commitTs } of await versionsOf(model.connected.cluster, id)) {
      const handle = decodeInt(decodeRecordKey(key).handle)
      const before = current.get(handle)
      const row = value === undefined ? undefined : (model.written.get(hashOf(value)) ?? 'never written')
      current.set(handle, row)
      if (commitTs <= after || commitTs > upTo || (before === undefined && row === undefined)) continue
      changes.add(changeOf(name, handle.toString(), commitTs, before, row))
    }
  }
  return changes
}

const TAIL_LINES = 80

function tell(tail: string[], text: string): void {
  tail.push(text)
  if (tail.length > TAIL_LINES) tail.shift()
}

function logInto(told: Pick<Model, 'tail' | 'counter'>, more: LogFields = {}): LogControl {
  const line =
    (level: string) =>
    (message: string, fields: LogFields = {}) => {
      const texts = Object.entries({ ...more, ...fields }).map(([name, value]) => `${name}=${textOf(value)}`)
      if (message.startsWith('spans leave the feed')) told.counter.gaveUp++
      else tell(told.tail, `[${level}] ${message} ${texts.join(' ')}`)
    }
  return {
    debug() {},
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    with: (fields) => logInto(told, { ...more, ...fields }),
    setLevel() {},
  }
}

const textOf = (value: unknown): string => (value instanceof Error ? describeError(value) : String(value))
