// Recordings of a real TiKV, and stores with the regions that a recording presupposes.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

import type { ClientDuplexStream } from '@grpc/grpc-js'
import { credentials, Metadata } from '@grpc/grpc-js'

import type { Event, Event_Row } from '../../proto/cdcpb.ts'
import { ChangeDataClient, ChangeDataEvent, ChangeDataRequest, Event_LogType } from '../../proto/cdcpb.ts'
import type { Region as RegionMeta } from '../../proto/metapb.ts'
import { Region as RegionMetas } from '../../proto/metapb.ts'
import { Faults } from '../faults.ts'
import { compareBytes, noBytes } from './bytes.ts'
import type { Oracle } from './cluster.ts'
import { createCluster } from './cluster.ts'
import type { FeedOptions } from './feed-service.ts'
import { MvccStore } from './mvcc.ts'
import type { RegionState } from './regions.ts'
import { RegionSet } from './regions.ts'
import { StoreNode } from './store-node.ts'

/** Recordings of a real TiKV. */
const folder = process.env['TIDEWIRE_EVENTFEED_DIR'] ?? join(import.meta.dirname, '..', 'vectors')

export interface Line {
  readonly k: 'head' | 'open' | 'req' | 'resp' | 'end' | 'mark' | 'http'
  readonly s?: number
  readonly store?: number
  readonly rpc?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly b64?: string
  readonly cluster_id?: string
  readonly code?: number
  readonly message?: string
  readonly text?: string
}

export interface Txn {
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

export interface Recording {
  readonly lines: readonly Line[]
  readonly txns: readonly Txn[]
}

export function load(name: string, expected = name): Recording {
  const { txns }: { txns: Txn[] } = JSON.parse(textOf(`expected-${expected}.json`))
  return { lines: linesOf(name), txns }
}

export const linesOf = (name: string): readonly Line[] =>
  textOf(`${name}.jsonl`)
    .trim()
    .split('\n')
    .map((line): Line => JSON.parse(line))

export const isThere = (name: string): boolean =>
  ['', '.gz'].some((ending) => existsSync(join(folder, `${name}.jsonl${ending}`)))

/** A file of the folder, packed or not. */
export function textOf(name: string): string {
  const path = join(folder, name)
  return existsSync(path) ? readFileSync(path, 'utf8') : gunzipSync(readFileSync(`${path}.gz`)).toString()
}

export const bytesOf = (line: Line): Buffer => Buffer.from(line.b64 ?? '', 'base64')
export const rowsOf = ({ event }: Pick<Event, 'event'>): readonly Event_Row[] =>
  event?.$case === 'entries' ? event.value.entries : []

export interface Stream {
  readonly call: ClientDuplexStream<ChangeDataRequest, ChangeDataEvent>
  readonly events: Event[]
  /** The same in messages, with resolved timestamps. */
  readonly messages: ChangeDataEvent[]
  readonly ended: Promise<{ readonly code: number; readonly details: string }>
}

/** Stores and regions as the recording's requests presuppose them. */
export async function createWorld(recording: Recording, options: Partial<FeedOptions> = {}, oracle: Oracle = FIXED) {
  await using stack = new AsyncDisposableStack()
  const storeIds = storesOf(recording)
  const head = recording.lines[0]
  const infos = storeIds.map((id) => ({ id, address: '', alive: false }))
  const clusterId = BigInt(head?.cluster_id ?? 0)
  const mvcc = new MvccStore()
  const regions = new RegionSet(storeIds, regionsOf(recording, storeIds))
  const cluster = createCluster({ id: clusterId, oracle, mvcc, regions, stores: infos, faults: new Faults() })
  stack.use(cluster.pessimistic)
  const nodes = new Map<number, StoreNode>()
  for (const info of infos) {
    const node = stack.use(
      new StoreNode(
        cluster,
        info,
        '127.0.0.1',
        Object.assign(options, { resolvedTsIntervalMs: 60_000, quotaBytes: 1 << 30, ...options }),
      ),
    )
    await node.start(0)
    nodes.set(Number(info.id), node)
  }
  const life = stack.move()
  const open = (line: Line, waitForReady = false): Stream => {
    const client = new ChangeDataClient(
      nodes.get(line.store ?? 0)?.info.address ?? '',
      credentials.createInsecure(),
      CHANNEL,
    )
    life.defer(() => client.close())
    const metadata = new Metadata({ waitForReady })
    for (const [key, value] of Object.entries(line.headers ?? {})) metadata.set(key, value)
    const call = line.rpc?.endsWith('V2') === true ? client.eventFeedV2(metadata) : client.eventFeed(metadata)
    const found: Event[] = []
    const messages: ChangeDataEvent[] = []
    call.on('data', (message: ChangeDataEvent) => {
      found.push(...message.events)
      messages.push(message)
    })
    call.on('error', () => {})
    const ended = new Promise<{ code: number; details: string }>((resolve) =>
      call.on('status', ({ code, details }) => resolve({ code, details })),
    )
    return { call, events: found, messages, ended }
  }
  return {
    cluster,
    nodes,
    life,
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
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  }
}

const FIXED: Oracle = { next: () => 1n }
const CHANNEL = {
  'grpc.max_receive_message_length': 64 << 20,
  'grpc.initial_reconnect_backoff_ms': 10,
  'grpc.max_reconnect_backoff_ms': 10,
}

/** The three of the recorded cluster, as far as the recording keeps to them. */
function storesOf({ lines }: Recording): readonly bigint[] {
  const named = new Set(lines.flatMap(({ k, store }) => (k === 'open' && store !== undefined ? [BigInt(store)] : [])))
  const all = [1n, 4n, 7n]
  return [...named].every((id) => all.includes(id)) ? all : [...named]
}

/** Regions as the first registration of each names them, with others in the gaps between. */
function regionsOf(recording: Recording, storeIds: readonly bigint[]): RegionState {
  const storeOf = new Map(
    recording.lines.flatMap(({ k, s, store }) => (k === 'open' ? [[s ?? 0, BigInt(store ?? 0)]] : [])),
  )
  const named = refusedRegions(recording)
  const leaders = new Map<bigint, bigint>()
  const metas = new Map<bigint, RegionMeta>()
  for (const line of recording.lines) {
    if (line.k !== 'req' || line.rpc !== undefined) continue
    const request = ChangeDataRequest.decode(bytesOf(line))
    const known = named?.find(({ id }) => id === request.regionId)
    if (named !== undefined && known === undefined) continue
    // A region of a range that another one had before came of a split or a merge.
    if ([...metas.values()].some((meta) => meta.id !== request.regionId && overlap(meta, request))) continue
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
    nextId: firstNewId(recording, metas) ?? 200_000n,
    regions: all.map((region) => {
      const storeId = leaders.get(region.id) ?? storeIds[0] ?? 0n
      return { region, leader: region.peers.find((peer) => peer.storeId === storeId) }
    }),
  }
}

/** What refusals told of regions as they were from the beginning; a split tells of what they became. */
function refusedRegions(recording: Recording): readonly RegionMeta[] | undefined {
  const initialized = new Set<bigint>()
  const found: RegionMeta[] = []
  for (const line of recording.lines) {
    if (line.k !== 'resp' || line.rpc !== undefined) continue
    for (const event of ChangeDataEvent.decode(bytesOf(line)).events) {
      if (rowsOf(event).some(({ type }) => type === Event_LogType.INITIALIZED)) initialized.add(event.regionId)
      if (event.event?.$case === 'error' && !initialized.has(event.regionId))
        found.push(...(event.event.value.epochNotMatch?.currentRegions ?? []))
    }
  }
  return found.length > 0 ? found : undefined
}

/** The id that the first region of a split got. */
function firstNewId({ lines }: Recording, known: ReadonlyMap<bigint, unknown>): bigint | undefined {
  const ids = lines.flatMap((line) =>
    line.k === 'req' && line.rpc === undefined ? [ChangeDataRequest.decode(bytesOf(line)).regionId] : [],
  )
  const later = ids.filter((id) => !known.has(id) && [...known.keys()].every((other) => other < id))
  return later.toSorted((a, b) => (a < b ? -1 : 1))[0]
}

type KeyRange = Pick<ChangeDataRequest, 'startKey' | 'endKey'>

const overlap = (a: KeyRange, b: KeyRange): boolean =>
  compareBytes(a.startKey, b.endKey) < 0 && compareBytes(b.startKey, a.endKey) < 0

function metaOf(request: ChangeDataRequest, storeIds: readonly bigint[]): RegionMeta {
  return RegionMetas.create({
    id: request.regionId,
    startKey: request.startKey,
    endKey: request.endKey,
    regionEpoch: request.regionEpoch,
    peers: storeIds.map((storeId, index) => ({ id: request.regionId + 1n + BigInt(index), storeId })),
  })
}

export async function until(holds: () => boolean, what: () => string, ms = 5000): Promise<void> {
  const deadline = performance.now() + ms
  while (!holds()) {
    if (performance.now() > deadline) assert.fail(`waited in vain: ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
