// The stores, given the workload of a recording of a real TiKV, answer what the real one answered.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

import type { ClientDuplexStream } from '@grpc/grpc-js'
import { credentials, Metadata } from '@grpc/grpc-js'

import type { Event } from '../../proto/cdcpb.ts'
import { ChangeDataClient, ChangeDataEvent, ChangeDataRequest } from '../../proto/cdcpb.ts'
import {
  BatchRollbackRequest,
  CommitRequest,
  Op,
  PessimisticLockRequest,
  PessimisticRollbackRequest,
  PrewriteRequest,
  PrewriteRequest_PessimisticAction as Action,
} from '../../proto/kvrpcpb.ts'
import type { Region as RegionMeta } from '../../proto/metapb.ts'
import { Region as RegionMetas } from '../../proto/metapb.ts'
import { Faults } from '../faults.ts'
import { compareBytes, noBytes } from './bytes.ts'
import type { Cluster } from './cluster.ts'
import { createCluster } from './cluster.ts'
import { MvccStore } from './mvcc.ts'
import type { RegionState } from './regions.ts'
import { RegionSet } from './regions.ts'
import { StoreNode } from './store-node.ts'

const folder = process.env['TIDEWIRE_EVENTFEED_DIR'] ?? join(import.meta.dirname, '..', 'vectors')

interface Line {
  readonly k: 'head' | 'open' | 'req' | 'resp' | 'end' | 'mark'
  readonly s?: number
  readonly store?: number
  readonly rpc?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly b64?: string
  readonly cluster_id?: string
  readonly code?: number
  readonly message?: string
}

interface Txn {
  readonly name: string
  readonly mode: string
  readonly start_ts: string
  readonly commit_ts: string
  readonly txn_source?: number
  readonly mutations: readonly {
    readonly op: 'put' | 'delete' | 'lock'
    readonly key: string
    readonly value?: string
  }[]
}

interface Recording {
  readonly lines: readonly Line[]
  readonly txns: readonly Txn[]
}

function load(name: string, expected = name): Recording {
  const lines: Line[] = readFileSync(join(folder, `${name}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const { txns }: { txns: Txn[] } = JSON.parse(readFileSync(join(folder, `expected-${expected}.json`), 'utf8'))
  return { lines, txns }
}

for (const name of ['basic-v2', 'basic-v1'].filter(isThere))
  test(`live changes of ${name} come as TiKV sent them`, async () => {
    const recording = load(name)
    await using world = await createWorld(recording)
    const streams = await world.register()
    const checkpoint = events(streams).length
    for (const txn of recording.txns) world.run(txn)
    const wanted = rowsByRegion(recordedEvents(recording))
    await until(
      () => rowsByRegion(events(streams)).length >= wanted.length,
      () => `${wanted.length} rows`,
    )
    assert.equal(checkpoint, streams.size)
    assert.deepEqual(rowsByRegion(events(streams)), wanted)
    for (const rows of events(streams).map(rowsOf))
      if (rows.some(({ type }) => type === 0)) assert.equal(rows.length, 1)
  })

for (const name of [
  'initial-scan-v2',
  'initial-scan-v1',
  'initial-scan-v1-old-client',
  'initial-scan-no-old-v2',
  'initial-scan-filter-loop-v2',
  'initial-scan-partial-v2',
].filter(isThere))
  test(`the scan of ${name} gives TiKV's rows in TiKV's order`, async () => {
    const recording = load(name, 'basic-v2')
    await using world = await createWorld(recording)
    for (const txn of recording.txns) world.run(txn)
    const streams = await world.register()
    const wanted = byRegion(recordedEvents(recording))
    assert.deepEqual(byRegion(events(streams)), wanted)
  })

test('refused registrations, deregistrations and ends of errors-v2 are those of TiKV', async () => {
  const recording = load('errors-v2')
  await using world = await createWorld(recording)
  const wanted = new Map<number, Event[]>()
  const streams = new Map<number, Stream>()
  const left = [...recording.txns]
  const settled = async (): Promise<void> => {
    for (const [s, all] of wanted)
      await until(
        () => (streams.get(s)?.events.length ?? 0) >= all.length,
        () => `stream ${s} has ${streams.get(s)?.events.length} of ${all.length} events`,
      )
  }
  for (const line of recording.lines) {
    const s = line.s ?? 0
    switch (line.k) {
      case 'open':
        streams.set(s, world.open(line))
        break
      case 'req':
        await settled()
        streams.get(s)?.call.write(ChangeDataRequest.decode(bytesOf(line)))
        break
      case 'resp': {
        const message = ChangeDataEvent.decode(bytesOf(line))
        const txn = left.find(({ start_ts }) => hasPrewrite(message.events, BigInt(start_ts)))
        if (txn !== undefined) {
          await settled()
          left.splice(left.indexOf(txn), 1)
          world.run(txn)
        }
        wanted.set(s, [...(wanted.get(s) ?? []), ...message.events])
        break
      }
      case 'end': {
        await settled()
        const stream = streams.get(s)
        stream?.call.end()
        assert.deepEqual(await stream?.ended, { code: line.code, details: line.code === 0 ? 'OK' : line.message })
        break
      }
    }
  }
  for (const [s, all] of wanted) assert.deepEqual(streams.get(s)?.events, all)
})

interface Stream {
  readonly call: ClientDuplexStream<ChangeDataRequest, ChangeDataEvent>
  readonly events: Event[]
  readonly ended: Promise<{ readonly code: number; readonly details: string }>
}

/** Stores and regions as the recording's requests presuppose them. */
async function createWorld(recording: Recording) {
  await using stack = new AsyncDisposableStack()
  const storeIds = [
    ...new Set(recording.lines.flatMap(({ k, store }) => (k === 'open' && store !== undefined ? [BigInt(store)] : []))),
  ]
  const head = recording.lines[0]
  const infos = storeIds.map((id) => ({ id, address: '', alive: false }))
  const clusterId = BigInt(head?.cluster_id ?? 0)
  // The clock stands before the recording, so that commit timestamps come out as they were.
  const oracle = { next: () => 1n }
  const mvcc = new MvccStore()
  const regions = new RegionSet(storeIds, regionsOf(recording, storeIds))
  const cluster = createCluster({ id: clusterId, oracle, mvcc, regions, stores: infos, faults: new Faults() })
  stack.use(cluster.pessimistic)
  const nodes = new Map<number, StoreNode>()
  for (const info of infos) {
    const node = stack.use(
      new StoreNode(cluster, info, '127.0.0.1', { resolvedTsIntervalMs: 60_000, quotaBytes: 1 << 30 }),
    )
    await node.start(0)
    nodes.set(Number(info.id), node)
  }
  const life = stack.move()
  const open = (line: Line): Stream => {
    const client = new ChangeDataClient(nodes.get(line.store ?? 0)?.info.address ?? '', credentials.createInsecure())
    life.defer(() => client.close())
    const metadata = new Metadata()
    for (const [key, value] of Object.entries(line.headers ?? {})) metadata.set(key, value)
    const call = line.rpc?.endsWith('V2') === true ? client.eventFeedV2(metadata) : client.eventFeed(metadata)
    const found: Event[] = []
    call.on('data', (message: ChangeDataEvent) => found.push(...message.events))
    call.on('error', () => {})
    const ended = new Promise<{ code: number; details: string }>((resolve) =>
      call.on('status', ({ code, details }) => resolve({ code, details })),
    )
    return { call, events: found, ended }
  }
  return {
    open,
    /** Sends the recording's registrations; resolves when all have been initialized. */
    async register(): Promise<ReadonlyMap<number, Stream>> {
      const streams = new Map<number, Stream>()
      for (const line of recording.lines) {
        const s = line.s ?? 0
        if (line.k === 'open') streams.set(s, open(line))
        if (line.k === 'req') streams.get(s)?.call.write(ChangeDataRequest.decode(bytesOf(line)))
      }
      for (const stream of streams.values())
        await until(
          () => stream.events.some((event) => rowsOf(event).some(({ type }) => type === 5)),
          () => 'no INITIALIZED',
        )
      return streams
    },
    run: (txn: Txn) => runTxn(cluster, txn),
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  }
}

/** Regions as the first registration of each names them, with others in the gaps between. */
function regionsOf(recording: Recording, storeIds: readonly bigint[]): RegionState {
  const storeOf = new Map(
    recording.lines.flatMap(({ k, s, store }) => (k === 'open' ? [[s ?? 0, BigInt(store ?? 0)]] : [])),
  )
  const split = recording.lines.flatMap((line) => {
    if (line.k !== 'resp' || line.b64 === undefined) return []
    return ChangeDataEvent.decode(bytesOf(line)).events.flatMap(({ event }) =>
      event?.$case === 'error' ? (event.value.epochNotMatch?.currentRegions ?? []) : [],
    )
  })
  const named = split.length > 0 ? split : undefined
  const leaders = new Map<bigint, bigint>()
  const metas = new Map<bigint, RegionMeta>()
  for (const line of recording.lines) {
    if (line.k !== 'req') continue
    const request = ChangeDataRequest.decode(bytesOf(line))
    const known = named?.find(({ id }) => id === request.regionId)
    if (named !== undefined && known === undefined) continue
    for (const sibling of named ?? []) metas.set(sibling.id, sibling)
    if (!leaders.has(request.regionId)) leaders.set(request.regionId, storeOf.get(line.s ?? 0) ?? 0n)
    metas.set(request.regionId, known ?? metas.get(request.regionId) ?? metaOf(request, storeIds))
  }
  const sorted = [...metas.values()].toSorted((a, b) => compareBytes(a.startKey, b.startKey))
  const all: RegionMeta[] = []
  let end: Buffer = noBytes
  let gap = 100_000n
  for (const meta of sorted) {
    if (compareBytes(end, meta.startKey) !== 0) all.push({ ...meta, id: gap++, startKey: end, endKey: meta.startKey })
    all.push(meta)
    end = meta.endKey
  }
  const last = sorted.at(-1)
  if (last !== undefined) all.push({ ...last, id: gap++, startKey: end, endKey: noBytes })
  return {
    nextId: 200_000n,
    regions: all.map((region) => {
      const storeId = leaders.get(region.id) ?? storeIds[0] ?? 0n
      return { region, leader: region.peers.find((peer) => peer.storeId === storeId) }
    }),
  }
}

function metaOf(request: ChangeDataRequest, storeIds: readonly bigint[]): RegionMeta {
  return RegionMetas.create({
    id: request.regionId,
    startKey: request.startKey,
    endKey: request.endKey,
    regionEpoch: request.regionEpoch,
    peers: storeIds.map((storeId) => ({ id: request.regionId * 10n + storeId, storeId })),
  })
}

/** Does what the client of the recording did, with its timestamps. */
function runTxn(cluster: Cluster, txn: Txn): void {
  const modes = txn.mode.split(',')
  const has = (mode: string): boolean => modes.includes(mode)
  const startVersion = BigInt(txn.start_ts)
  const commitVersion = BigInt(txn.commit_ts)
  const context = { txnSource: BigInt(txn.txn_source ?? 0) }
  const keys = txn.mutations.map(({ key }) => Buffer.from(key, 'hex'))
  const primaryLock = keys[0] ?? noBytes
  const forUpdateTs = has('pessimistic') ? startVersion : 0n
  const groups = Map.groupBy(txn.mutations, ({ key }) => cluster.regions.byRawKey(Buffer.from(key, 'hex')).id)
  if (has('pessimistic')) {
    const mutations = keys.map((key) => ({ op: Op.PessimisticLock, key }))
    void cluster.pessimistic.lock(
      PessimisticLockRequest.create({ mutations, primaryLock, startVersion, forUpdateTs, lockTtl: 3000n }),
    )
    if (has('rollback')) {
      cluster.pessimistic.rollback(PessimisticRollbackRequest.create({ keys, startVersion, forUpdateTs }))
      return
    }
  }
  if (txn.name.includes('before prewrite')) return
  for (const group of groups.values()) {
    const mutations = group.map(({ op, key, value }) => ({
      op: { put: Op.Put, delete: Op.Del, lock: Op.Lock }[op],
      key: Buffer.from(key, 'hex'),
      value: Buffer.from(value ?? '', 'base64'),
    }))
    const answer = cluster.prewrites.prewrite(
      PrewriteRequest.create({
        context,
        mutations,
        primaryLock,
        startVersion,
        forUpdateTs,
        lockTtl: 3000n,
        pessimisticActions: has('pessimistic') ? mutations.map(() => Action.DO_PESSIMISTIC_CHECK) : [],
        useAsyncCommit: has('async'),
        secondaries: has('async') ? keys.slice(1) : [],
        tryOnePc: has('1pc'),
        minCommitTs: has('async') || has('1pc') ? commitVersion : 0n,
      }),
    )
    assert.deepEqual(answer.errors, [], txn.name)
    if (has('1pc')) assert.equal(answer.onePcCommitTs, commitVersion, txn.name)
  }
  if (has('1pc')) return
  for (const group of groups.values()) {
    const part = group.map(({ key }) => Buffer.from(key, 'hex'))
    if (has('rollback')) cluster.finishes.batchRollback(BatchRollbackRequest.create({ keys: part, startVersion }))
    else {
      const { error } = cluster.finishes.commit(CommitRequest.create({ keys: part, startVersion, commitVersion }))
      assert.equal(error, undefined, txn.name)
    }
  }
}

function recordedEvents({ lines }: Recording): Event[] {
  return lines.flatMap((line) => (line.k === 'resp' ? ChangeDataEvent.decode(bytesOf(line)).events : [])).filter(isRows)
}

const events = (streams: ReadonlyMap<number, Stream>): Event[] =>
  [...streams.values()].flatMap((stream) => stream.events).filter(isRows)

const isRows = ({ event }: Event): boolean => event?.$case === 'entries'
const rowsOf = ({ event }: Pick<Event, 'event'>) => (event?.$case === 'entries' ? event.value.entries : [])
const bytesOf = (line: Line): Buffer => Buffer.from(line.b64 ?? '', 'base64')
const hasPrewrite = (all: readonly Event[], startTs: bigint): boolean =>
  all.some((event) => rowsOf(event).some((row) => row.type === 1 && row.startTs === startTs))

/** Neither the order of the rows of one command nor that of transactions in different regions is anybody's promise. */
const rowsByRegion = (all: readonly Event[]): unknown[] =>
  all
    .flatMap(({ regionId, requestId, ...event }) => rowsOf(event).map((row) => ({ regionId, requestId, ...row })))
    .map((row) => ({ order: `${row.regionId}/${row.startTs}/${row.type}/${row.key.toString('hex')}`, ...row }))
    .toSorted((a, b) => (a.order < b.order ? -1 : 1))

const byRegion = (all: readonly Event[]): unknown[] =>
  all.toSorted((a, b) => Number(a.regionId - b.regionId)).map((event) => ({ ...event, rows: rowsOf(event) }))

function isThere(name: string): boolean {
  return existsSync(join(folder, `${name}.jsonl`))
}

async function until(holds: () => boolean, what: () => string, ms = 5000): Promise<void> {
  const deadline = performance.now() + ms
  while (!holds()) {
    if (performance.now() > deadline) assert.fail(`waited in vain: ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
