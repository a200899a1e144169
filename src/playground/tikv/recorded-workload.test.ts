// Recordings of change feeds over splits, merges, moved leaders, dead stores, dead clients, large and pipelined
// transactions: what the recorded client did is done again over gRPC, and the stores answer what TiKV answered.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { credentials } from '@grpc/grpc-js'

import type { Error as FeedError, Event, Event_Row } from '../../proto/cdcpb.ts'
import {
  ChangeDataEvent,
  ChangeDataRequest,
  Event_LogType as LogType,
  Event_Row as Rows,
  Event_Row_OpType as OpType,
} from '../../proto/cdcpb.ts'
import type { LockInfo } from '../../proto/kvrpcpb.ts'
import {
  BatchRollbackRequest,
  CommitRequest,
  Context,
  FlushRequest,
  Mutation,
  Op,
  PrewriteRequest,
  ScanLockResponse,
} from '../../proto/kvrpcpb.ts'
import { TikvClient, TikvService } from '../../proto/tikvpb.ts'
import { call, until } from '../world.fixture.ts'
import { decodeKey, inRange } from './bytes.ts'
import type { FeedOptions } from './feed-service.ts'
import { writeOf } from './mvcc.ts'
import type { Line, Recording, Stream, Txn } from './recordings.fixture.ts'
import { bytesOf, createWorld, isThere, load, rowsOf } from './recordings.fixture.ts'
import type { Region } from './regions.ts'

/** Rows that were there before the recording began. */
const BEFORE = 2n
const LATEST = 0xffff_ffff_ffff_ffffn

for (const name of [
  'split-v2',
  'merge-v2',
  'leader-transfer-v2',
  'store-restart-v2',
  'stuck-lock-v2',
  'resolve-lock-rpcs',
  'meta-v2',
  'pipelined-v2',
  'many-regions-v2',
  'large-txn-v2',
  'busy-congested-v2',
].filter(isThere))
  test(`the workload of ${name} gives TiKV's rows, errors and ends`, async () => {
    await using run = await openRun(load(name))
    for (const [index, line] of run.recording.lines.entries()) await run.step(line, index)
    run.compare()
  })

async function openRun(recording: Recording) {
  const clock = new RecordedClock(recording)
  const options: { -readonly [Key in keyof FeedOptions]?: FeedOptions[Key] } = { resolvedTsIntervalMs: 10 }
  const world = await createWorld(recording, options, clock)
  const { cluster } = world
  const wanted = new Map<number, Event[]>()
  const streams = new Map<number, Stream>()
  const facts = locksSeen(recording)
  const txns = new Map(recording.txns.map((txn) => [BigInt(txn.start_ts), txn]))
  let lastAnswer: unknown
  seed(recording, world)

  const store = (id: bigint): TikvClient => {
    const client = new TikvClient(
      world.nodes.get(Number(id))?.info.address ?? assert.fail(`no store ${id}`),
      credentials.createInsecure(),
    )
    world.life.defer(() => client.close())
    return client
  }
  const clients = new Map<bigint, TikvClient>()
  const kvOf = (region: Region): TikvClient => {
    const id = region.leader?.storeId ?? 0n
    const known = clients.get(id) ?? store(id)
    clients.set(id, known)
    return known
  }
  const contextOf = (region: Region, txn?: Txn): Context =>
    Context.create({
      regionId: region.id,
      regionEpoch: { confVer: region.confVer, version: region.version },
      peer: region.leader,
      txnSource: BigInt(txn?.txn_source ?? 0),
    })

  /** What is recorded of all streams so far has come. */
  const settled = async (): Promise<void> => {
    for (const [s, events] of wanted) {
      const rows = countRows(events)
      const stream = streams.get(s)
      await until(
        () => countRows(stream?.events ?? []) >= rows,
        () =>
          `stream ${s} has ${countRows(stream?.events ?? [])} of ${rows} rows and errors: ${missing(stream?.events ?? [], events)}`,
      )
    }
  }

  async function prewrite(region: Region, startTs: bigint, rows: readonly Event_Row[]): Promise<void> {
    const txn = txns.get(startTs) ?? unknownTxn(startTs)
    const mutations = rows
      .filter((row) => !isWritten(row))
      .map(({ key, value, opType }) => Mutation.create({ op: opType === OpType.DELETE ? Op.Del : Op.Put, key, value }))
    if (mutations.length === 0) return
    const keys = mutations.map(({ key }) => key)
    const fact = facts.get(startTs)
    const primaryLock = fact?.primaryLock ?? Buffer.from(txn.mutations[0]?.key ?? '', 'hex')
    if (txn.mode === 'pipelined') {
      const newest = mutations.reduce((most, { key }) => {
        const generation = cluster.mvcc.get(key)?.lock?.generation ?? 0n
        return generation > most ? generation : most
      }, 0n)
      const flush = FlushRequest.create({
        context: contextOf(region, txn),
        mutations,
        primaryKey: primaryLock,
        startTs,
        generation: newest + 1n,
        lockTtl: 3000n,
      })
      const flushed = await call(kvOf(region), TikvService.kvFlush, flush)
      assert.deepEqual([flushed.regionError, flushed.errors], [undefined, []], txn.name)
      clock.locked(startTs, keys)
      return
    }
    const isAsync = txn.mode.includes('async')
    const request = PrewriteRequest.create({
      context: contextOf(region, txn),
      mutations,
      primaryLock,
      startVersion: startTs,
      lockTtl: fact?.lockTtl ?? 3000n,
      txnSize: fact?.txnSize ?? 1n,
      useAsyncCommit: isAsync,
      secondaries: isAsync && mutations.some(({ key }) => key.equals(primaryLock)) ? secondariesOf(txn) : [],
      tryOnePc: rows.some(({ type }) => type === LogType.COMMITTED) && txn.mode.includes('1pc'),
      minCommitTs: isAsync || txn.mode.includes('1pc') ? BigInt(txn.commit_ts) : 0n,
    })
    const answer = await call(kvOf(region), TikvService.kvPrewrite, request)
    assert.deepEqual([answer.regionError, answer.errors], [undefined, []], txn.name)
    clock.locked(startTs, keys)
    if (request.tryOnePc) assert.equal(answer.onePcCommitTs, BigInt(txn.commit_ts), txn.name)
  }

  async function commit(region: Region, startVersion: bigint, rows: readonly Event_Row[]): Promise<void> {
    const keys = rows.map(({ key }) => key).filter((key) => writeOf(cluster.mvcc.get(key), startVersion) === undefined)
    clock.finish(
      startVersion,
      rows.map(({ key }) => key),
    )
    if (keys.length === 0) return
    const commitVersion = rows[0]?.commitTs ?? 0n
    const request = CommitRequest.create({ context: contextOf(region), keys, startVersion, commitVersion })
    const { regionError, error } = await call(kvOf(region), TikvService.kvCommit, request)
    assert.deepEqual([regionError, error], [undefined, undefined], `commit of ${startVersion}`)
  }

  async function rollBack(region: Region, startVersion: bigint, rows: readonly Event_Row[]): Promise<void> {
    const keys = rows.map(({ key }) => key).filter((key) => writeOf(cluster.mvcc.get(key), startVersion) === undefined)
    if (keys.length === 0) return
    const request = BatchRollbackRequest.create({ context: contextOf(region), keys, startVersion })
    const { regionError, error } = await call(kvOf(region), TikvService.kvBatchRollback, request)
    assert.deepEqual([regionError, error], [undefined, undefined], `rollback of ${startVersion}`)
  }

  const isWritten = ({ key, startTs, opType, value }: Event_Row): boolean => {
    const entry = cluster.mvcc.get(key)
    const lock = entry?.lock
    const kind = opType === OpType.DELETE ? 'delete' : 'put'
    const isLocked = lock?.startTs === startTs && lock.kind === kind && lock.value.equals(value)
    return isLocked || writeOf(entry, startTs) !== undefined
  }

  /** Does what made the rows of one event appear. */
  async function perform(rows: readonly Event_Row[], isScan: boolean): Promise<void> {
    const shown = rows.filter(({ type }) => type !== LogType.INITIALIZED && type !== LogType.UNKNOWN)
    const ordered = isScan ? shown.toSorted(finishedFirst) : shown
    for (const group of runsOf(ordered)) {
      const first = group[0]
      if (first === undefined) continue
      const region = cluster.regions.byRawKey(first.key)
      if (first.type === LogType.PREWRITE || first.type === LogType.COMMITTED)
        await prewrite(region, first.startTs, group)
      if (first.type === LogType.COMMIT || first.type === LogType.COMMITTED) await commit(region, first.startTs, group)
      if (first.type === LogType.ROLLBACK) await rollBack(region, first.startTs, group)
    }
  }

  async function applyError(line: Line, event: Event, error: FeedError, index: number): Promise<void> {
    const { regions } = cluster
    const region = regions.byId(event.regionId)
    if (region === undefined) return
    const leader = error.notLeader?.leader
    if (leader !== undefined && region.leader?.storeId !== leader.storeId) {
      await settled()
      regions.moveLeader(region.id, leader.storeId)
    }
    const told = error.epochNotMatch?.currentRegions
    if (told !== undefined && told.length > 1) {
      await settled()
      const keys = told.flatMap(({ startKey }) => decodeKey(startKey) ?? [])
      regions.split(
        region.id,
        keys.filter((key) => inRange(key, region.rawStart, region.rawEnd)),
      )
    }
    if (told?.length === 0) {
      const other = nextMerged(recording, index, event.regionId)
      if (other === undefined) return
      await settled()
      assert.ok(regions.merge(region.id, other), `merge ${region.id} into ${other}`)
    }
    if (error.congested !== undefined) {
      const txn = clock
        .unfinished()
        .find(({ mutations }) =>
          mutations.some(({ key }) => inRange(Buffer.from(key, 'hex'), region.rawStart, region.rawEnd)),
        )
      // One command with all the rest, which does not fit the quota.
      if (txn !== undefined) await prewrite(region, BigInt(txn.start_ts), rowsOfTxn(txn, region))
    }
  }

  /** The region is as the answers to this registration show, and what the scan found is there. */
  async function prepare(line: Line, index: number): Promise<void> {
    const request = ChangeDataRequest.decode(bytesOf(line))
    const region = cluster.regions.byId(request.regionId)
    const answers = answersTo(recording, line, index, request)
    const [first] = answers
    const refusal = first?.event?.$case === 'error' ? first.event.value : undefined
    const storeId = BigInt(storeOf(recording, line.s ?? 0))
    if (refusal?.notLeader !== undefined) {
      const told = refusal.notLeader.leader?.storeId
      // While there is no leader the followers forget who was.
      if (region?.leader?.storeId === storeId || told === undefined) cluster.regions.moveLeader(request.regionId, told)
    } else if (refusal === undefined && region !== undefined && answers.length > 0)
      cluster.regions.moveLeader(region.id, storeId)
    await perform(answers.flatMap(rowsOf), true)
  }

  async function openStream(line: Line, isRefused: boolean): Promise<void> {
    const node = world.nodes.get(line.store ?? 0)
    if (!isRefused && node?.info.alive === false) await node.start(node.portNumber)
    streams.set(line.s ?? 0, world.open(line, !isRefused))
  }

  return {
    recording,
    async step(line: Line, index: number): Promise<void> {
      const s = line.s ?? 0
      if (line.rpc !== undefined && line.k !== 'open') {
        if (line.k === 'req') lastAnswer = await sendUnary(line, store)
        else assert.deepEqual(lastAnswer, withoutDetails(line), line.rpc)
        return
      }
      switch (line.k) {
        case 'mark':
          await takeMark(line.text ?? '', options, world, settled)
          return
        case 'open':
          await openStream(line, recording.lines[index + 1]?.k === 'end')
          return
        case 'req':
          await settled()
          await prepare(line, index)
          streams.get(s)?.call.write(ChangeDataRequest.decode(bytesOf(line)))
          return
        case 'resp': {
          const message = ChangeDataEvent.decode(bytesOf(line))
          for (const event of message.events) {
            if (event.event?.$case === 'error') await applyError(line, event, event.event.value, index)
            else await perform(rowsOf(event), false)
          }
          wanted.set(s, [...(wanted.get(s) ?? []), ...message.events])
          // What follows was done when the scan was over.
          if (message.events.flatMap(rowsOf).some(({ type }) => type === LogType.INITIALIZED)) await settled()
          const { resolvedTs } = message
          const held = clock.isHeld(resolvedTs?.ts ?? 0n)
          if (resolvedTs !== undefined && held) await untilHeld(streams.get(s), resolvedTs.ts)
          return
        }
        case 'end': {
          const stream = streams.get(s)
          if (line.code === 0) {
            await settled()
            stream?.call.end()
          }
          assert.equal((await stream?.ended)?.code, line.code ?? 14)
          return
        }
        default:
      }
    },
    compare(): void {
      for (const [s, events] of wanted) {
        const found = streams.get(s)?.events ?? []
        assert.deepEqual(inShort(found), inShort(events), `stream ${s}`)
        assert.deepEqual(errorsOf(found), errorsOf(events), `errors of stream ${s}`)
      }
      for (const stream of streams.values()) checkOrder(stream.messages)
    },
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  }
}

/** Stands below everything that the workload has yet to do, so that commit timestamps come out as they were. */
class RecordedClock {
  private readonly open: Map<bigint, OpenTxn>
  private readonly end: bigint

  constructor({ lines, txns }: Recording) {
    const shown = new Set(
      lines.flatMap((line) =>
        line.k === 'resp' && line.rpc === undefined
          ? ChangeDataEvent.decode(bytesOf(line)).events.flatMap((event) => rowsOf(event).map(({ startTs }) => startTs))
          : [],
      ),
    )
    this.open = new Map(
      txns
        .filter(({ start_ts }) => shown.has(BigInt(start_ts)))
        .map((txn) => {
          const keys = txn.mutations.filter(({ op }) => op !== 'lock').map(({ key }) => key)
          return [BigInt(txn.start_ts), { txn, unlocked: new Set(keys), unfinished: new Set(keys) }]
        }),
    )
    this.end = txns.reduce((latest, txn) => (BigInt(txn.commit_ts) > latest ? BigInt(txn.commit_ts) : latest), 1n) + 1n
  }

  next(): bigint {
    let least = this.end
    for (const [startTs, { txn, unlocked }] of this.open) {
      const commitTs = BigInt(txn.commit_ts)
      const bound = unlocked.size > 0 ? startTs : commitTs
      if (bound > 0n && bound <= least) least = bound - 1n
    }
    return least
  }

  locked(startTs: bigint, keys: readonly Buffer[]): void {
    for (const key of keys) this.open.get(startTs)?.unlocked.delete(key.toString('hex'))
  }

  finish(startTs: bigint, keys: readonly Buffer[]): void {
    this.locked(startTs, keys)
    const txn = this.open.get(startTs)
    for (const key of keys) txn?.unfinished.delete(key.toString('hex'))
    if (txn?.unfinished.size === 0) this.open.delete(startTs)
  }

  /** Of those with some locks. */
  unfinished(): readonly Txn[] {
    return [...this.open.values()]
      .filter(({ unlocked, unfinished }) => unlocked.size < unfinished.size)
      .map(({ txn }) => txn)
  }

  /** An open transaction's locks hold resolved timestamps at `ts`. */
  isHeld(ts: bigint): boolean {
    return this.open.get(ts)?.unlocked.size === 0
  }
}

/** Keys without a lock yet, and keys without an end yet; in hex. */
interface OpenTxn {
  readonly txn: Txn
  readonly unlocked: Set<string>
  readonly unfinished: Set<string>
}

type World = Awaited<ReturnType<typeof createWorld>>

/** Old values that no recorded transaction wrote were there before. */
function seed({ lines, txns }: Recording, { cluster }: World): void {
  const rows = lines
    .flatMap((line) =>
      line.k === 'resp' && line.rpc === undefined ? ChangeDataEvent.decode(bytesOf(line)).events : [],
    )
    .flatMap(rowsOf)
    .filter(({ key }) => key.length > 0)
  const written = new Map<string, bigint>()
  const note = (key: string, commitTs: bigint): void => {
    const known = written.get(key)
    if (commitTs > 0n && (known === undefined || commitTs < known)) written.set(key, commitTs)
  }
  for (const { key, commitTs } of rows) note(key.toString('hex'), commitTs)
  for (const { commit_ts, mutations } of txns) for (const { key } of mutations) note(key, BigInt(commit_ts))
  for (const { key, startTs, commitTs, oldValue } of rows) {
    const first = written.get(key.toString('hex'))
    if (oldValue.length === 0 || cluster.mvcc.get(key) !== undefined) continue
    if (first !== undefined && first < (commitTs > 0n ? commitTs : startTs)) continue
    const write = { kind: 'put', startTs: BEFORE - 1n, commitTs: BEFORE, value: oldValue, txnSource: 0n } as const
    cluster.mvcc.apply([{ kind: 'write', key, write: { ...write, protected: false }, onePhase: false }])
  }
}

/** Locks as answers to KvScanLock show them, by start timestamp. */
function locksSeen({ lines }: Recording): ReadonlyMap<bigint, LockInfo> {
  const answers = lines.filter(({ k, rpc }) => k === 'resp' && rpc?.endsWith('/KvScanLock') === true)
  const locks = answers.flatMap((line) => ScanLockResponse.decode(bytesOf(line)).locks)
  return new Map(locks.map((lock) => [lock.lockVersion, lock]))
}

const UNARY = {
  KvScanLock: TikvService.kvScanLock,
  KvCheckTxnStatus: TikvService.kvCheckTxnStatus,
  KvCheckSecondaryLocks: TikvService.kvCheckSecondaryLocks,
  KvResolveLock: TikvService.kvResolveLock,
} as const

const methodOf = (line: Line) =>
  Object.entries(UNARY).find(([name]) => line.rpc?.endsWith(`/${name}`) === true)?.[1] ??
  assert.fail(`${line.rpc} is not expected in a recording`)

async function sendUnary(line: Line, store: (id: bigint) => TikvClient): Promise<unknown> {
  const method = methodOf(line)
  const { context } = method.requestDeserialize(bytesOf(line))
  const client = store(context?.peer?.storeId ?? 0n)
  const { path, requestSerialize, requestDeserialize, responseDeserialize } = method as typeof TikvService.kvScanLock
  const request = requestDeserialize(bytesOf(line))
  return call(client, { path, requestSerialize, responseDeserialize }, request)
}

/** The recorded answer without times and counts of work. */
const withoutDetails = (line: Line): unknown => ({
  ...methodOf(line).responseDeserialize(bytesOf(line)),
  execDetailsV2: undefined,
})

async function takeMark(
  text: string,
  options: { -readonly [Key in keyof FeedOptions]?: FeedOptions[Key] },
  world: World,
  settled: () => Promise<void>,
): Promise<void> {
  const killed = /^store (\d+) is killed$/.exec(text)?.[1]
  if (killed !== undefined) {
    await settled()
    await world.nodes.get(Number(killed))?.stop()
  }
  // Slow enough that the second registrations meet the first scans.
  if (text.startsWith('limits: 4 scans')) Object.assign(options, { pendingScans: 4, scanBytesPerSecond: 400_000 })
  if (text.startsWith('limits lifted')) {
    delete options.pendingScans
    delete options.scanBytesPerSecond
    options.quotaBytes = 24 << 10
  }
  if (text === 'quota lifted') options.quotaBytes = 1 << 30
}

/** The answers to a registration up to its last row of the scan, or its refusal. */
function answersTo({ lines }: Recording, line: Line, index: number, request: ChangeDataRequest): readonly Event[] {
  const found: Event[] = []
  for (const { k, s, rpc, b64 = '' } of lines.slice(index + 1)) {
    if (k !== 'resp' || rpc !== undefined || s !== line.s) continue
    for (const event of ChangeDataEvent.decode(Buffer.from(b64, 'base64')).events) {
      if (event.regionId !== request.regionId || event.requestId !== request.requestId) continue
      found.push(event)
      if (event.event?.$case === 'error' || rowsOf(event).some(({ type }) => type === LogType.INITIALIZED)) return found
    }
  }
  return []
}

const storeOf = ({ lines }: Recording, stream: number): number =>
  lines.find(({ k, s }) => k === 'open' && s === stream)?.store ?? 0

/** The region that tells of the same merge: the next one with an empty epoch_not_match. */
function nextMerged({ lines }: Recording, index: number, source: bigint): bigint | undefined {
  const merged = (line: Line): bigint[] =>
    line.k === 'resp' && line.rpc === undefined
      ? ChangeDataEvent.decode(bytesOf(line)).events.flatMap(({ regionId, event }) =>
          event?.$case === 'error' && event.value.epochNotMatch?.currentRegions.length === 0 ? [regionId] : [],
        )
      : []
  const before = lines.slice(0, index).flatMap(merged).length
  if (before % 2 === 1) return undefined
  return lines
    .slice(index)
    .flatMap(merged)
    .find((id) => id !== source)
}

const unknownTxn = (startTs: bigint): Txn => ({
  name: `transaction ${startTs}`,
  mode: 'optimistic',
  start_ts: String(startTs),
  commit_ts: '0',
  mutations: [],
})

const secondariesOf = ({ mutations }: Txn): Buffer[] => mutations.slice(1).map(({ key }) => Buffer.from(key, 'hex'))

function rowsOfTxn({ mutations, start_ts }: Txn, { rawStart, rawEnd }: Region): Event_Row[] {
  return mutations
    .map(({ op, key, value }) =>
      Rows.create({
        type: LogType.PREWRITE,
        opType: op === 'delete' ? OpType.DELETE : OpType.PUT,
        startTs: BigInt(start_ts),
        key: Buffer.from(key, 'hex'),
        value: Buffer.from(value ?? '', 'base64'),
      }),
    )
    .filter(({ key }) => inRange(key, rawStart, rawEnd))
}

/** Versions from old to new, then what is still locked. */
function finishedFirst(a: Event_Row, b: Event_Row): number {
  const at = ({ commitTs }: Event_Row): bigint => (commitTs > 0n ? commitTs : LATEST)
  return at(a) < at(b) ? -1 : at(a) > at(b) ? 1 : 0
}

/** Rows that follow each other with one type and transaction. */
function runsOf(rows: readonly Event_Row[]): readonly Event_Row[][] {
  const runs: Event_Row[][] = []
  for (const row of rows) {
    const last = runs.at(-1)?.[0]
    if (last?.type === row.type && last.startTs === row.startTs) runs.at(-1)?.push(row)
    else runs.push([row])
  }
  return runs
}

async function untilHeld(stream: Stream | undefined, ts: bigint): Promise<void> {
  await until(
    () => stream?.messages.some(({ resolvedTs }) => resolvedTs?.ts === ts) === true,
    () => `a resolved timestamp of ${ts}`,
  )
}

const countRows = (events: readonly Event[]): number =>
  events.reduce((sum, event) => sum + (event.event?.$case === 'error' ? 1 : rowsOf(event).length), 0)

/** Rows by region and key, in the order in which each key's came: the order between keys is nobody's promise. */
function inShort(events: readonly Event[]): readonly unknown[] {
  const keyed = events.flatMap(({ regionId, requestId, ...event }) =>
    rowsOf(event).map((row) => ({ place: `${regionId}/${requestId}/${row.key.toString('hex')}`, row })),
  )
  return keyed.toSorted((a, b) => (a.place < b.place ? -1 : a.place > b.place ? 1 : 0))
}

const errorsOf = (events: readonly Event[]): readonly unknown[] =>
  events
    .flatMap(({ regionId, requestId, event }) =>
      event?.$case === 'error' ? [{ regionId, requestId, error: event.value }] : [],
    )
    .toSorted((a, b) => Number(a.regionId - b.regionId) || Number(a.requestId - b.requestId))

/** No resolved timestamp before INITIALIZED, and no row at or below one. */
function checkOrder(messages: readonly ChangeDataEvent[]): void {
  const resolved = new Map<string, bigint>()
  const place = (regionId: bigint, requestId: bigint): string => `${regionId}/${requestId}`
  for (const { events, resolvedTs } of messages) {
    for (const { regionId, requestId, event } of events) {
      const at = place(regionId, requestId)
      if (event?.$case === 'error') resolved.delete(at)
      const rows = event?.$case === 'entries' ? event.value.entries : []
      for (const row of rows)
        if (row.commitTs > 0n) assert.ok(row.commitTs > (resolved.get(at) ?? 0n), `row at or below resolved: ${at}`)
      const end = rows.findIndex(({ type }) => type === LogType.INITIALIZED)
      if (end < 0) continue
      assert.equal(end, rows.length - 1)
      resolved.set(at, 0n)
    }
    for (const regionId of resolvedTs?.regions ?? []) {
      const at = place(regionId, resolvedTs?.requestId ?? 0n)
      const before = resolved.get(at) ?? assert.fail(`resolved before INITIALIZED: ${at}`)
      // Lower than before is possible: a region gets the least of those that it is grouped with.
      const ts = resolvedTs?.ts ?? 0n
      if (ts > before) resolved.set(at, ts)
    }
  }
}

/** The first rows that did not come. */
function missing(found: readonly Event[], wanted: readonly Event[]): string {
  const name = (row: Event_Row): string => `${row.type} ${row.opType} ${row.startTs} ${row.key.toString('hex')}`
  const left = found.flatMap(rowsOf).map(name)
  const lost = wanted
    .flatMap(rowsOf)
    .map(name)
    .filter((row) => {
      const at = left.indexOf(row)
      if (at >= 0) left.splice(at, 1)
      return at < 0
    })
  return lost.slice(0, 5).join(', ')
}
