import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'

import { integerOf, objectOf } from '../../tidb/json-big.ts'
import type { JsonObject } from '../../tidb/json-big.ts'
import { rawRecordRange } from '../../tidb/key.ts'
import type { GcState } from '../pd/gc.ts'
import type { Keyspaces } from '../pd/keyspaces.ts'
import { collectUpTo } from '../pd/pd-service.ts'
import type { RegionFault } from '../faults.ts'
import { REGION_FAULTS } from '../faults.ts'
import { readJson, writeJson } from '../json-http.ts'
import { noBytes } from '../tikv/bytes.ts'
import type { Cluster } from '../tikv/cluster.ts'
import { splitAndSpread } from '../tikv/cluster.ts'
import type { Lock } from '../tikv/mvcc.ts'
import { valueAt } from '../tikv/mvcc.ts'
import type { RawRange, Region } from '../tikv/regions.ts'
import type { StoreNode } from '../tikv/store-node.ts'
import { InjectError, injectJob, injectWrites, parseWrites } from './inject.ts'
import { findTable } from './table-names.ts'

const ELECTION_MS = 500
const MAX_SPLITS = 200_000
const LATEST = 0xffff_ffff_ffff_ffffn

export interface AdminContext {
  readonly cluster: Cluster
  readonly nodes: readonly StoreNode[]
  readonly gc: GcState
  readonly keyspaces: Keyspaces
}

/** A request that makes no sense, or that is not built. */
class Refused extends Error {
  readonly status: number

  constructor(text: string, status = 400) {
    super(text)
    this.status = status
  }
}

type Body = Readonly<Record<string, unknown>>
interface Command {
  readonly about: string
  readonly run: (body: Body, context: AdminContext) => unknown
}

const COMMANDS: Readonly<Record<string, Command>> = {
  split: { about: '{"table"|"tableId", "count": n}: splits the table into n regions more', run: split },
  merge: {
    about: '{"table"|"tableId"} or {"all": true}: merges the regions of the table, or all, into one',
    run: merge,
  },
  'transfer-leader': {
    about: '{"table"|"tableId", "store"?: n}: moves the leaders of its regions to other stores',
    run: transferLeader,
  },
  'kill-store': {
    about: '{"store": n, "seconds": s}: kills a store, which comes back after s seconds',
    run: killStore,
  },
  'cut-streams': { about: '{"store"?: n}: breaks all change-feed streams of the store, or of all', run: cutStreams },
  stall: { about: '{"store": n, "seconds": s}: the store accepts, but sends nothing', run: stall },
  'hold-resolved-ts': { about: '{"seconds": s}: no resolved-ts is sent', run: holdResolvedTs },
  lock: { about: '{"table"|"tableId", "ttlMs"?: n}: leaves the lock of a dead transaction', run: leaveLock },
  'region-error': {
    about: `{"kind": "${REGION_FAULTS.join('"|"')}", "count": n}: breaks so many subscriptions, and the next requests for the rest`,
    run: regionError,
  },
  'pd-leader': { about: '{"seconds"?: s}: PD has no leader for a while, by default 1 s', run: pdLeader },
  'advance-gc': {
    about: '{"safePoint": tso}: moves the safe point of gc_worker, and drops versions as far as services let it',
    run: advanceGc,
  },
  clear: { about: '{}: ends the faults that last', run: clear },
}

/** The admin port: looking into the cluster, and making it misbehave. Does not listen yet. */
export function createAdmin(context: AdminContext): Server {
  return createServer((request, response) => {
    answer(request, response, context).catch((error: unknown) => {
      const status =
        error instanceof Refused
          ? error.status
          : error instanceof SyntaxError || error instanceof InjectError
            ? 400
            : 500
      writeJson(response, status, { error: error instanceof Error ? error.message : String(error) })
    })
  })
}

async function answer(request: IncomingMessage, response: ServerResponse, context: AdminContext): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://admin')
  const { cluster } = context
  const route = `${request.method} ${url.pathname}`
  const fault = /^POST \/faults\/([a-z-]+)$/.exec(route)?.[1]
  const command = fault === undefined ? undefined : COMMANDS[fault]
  if (command !== undefined) {
    writeJson(response, 200, await command.run(await readObject(request), context))
    return
  }
  switch (route) {
    case 'GET /':
      response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end(help())
      return
    case 'GET /regions':
      return writeJson(response, 200, { regions: cluster.regions.all.map(regionJson) })
    case 'GET /history':
      return sendHistory(response, cluster, url.searchParams.get('table'))
    case 'POST /keyspaces':
      return writeJson(response, 200, createKeyspace(await readObject(request), context))
    case 'POST /inject/ddl-job':
      return writeJson(response, 200, injectJob(cluster, await readObject(request)))
    case 'POST /inject/kv': {
      const body = await readObject(request)
      return writeJson(response, 200, injectWrites(cluster, parseWrites(body), integerOf(body['txnSource'])))
    }
    default:
      throw new Refused(`there is no ${route}; GET / tells what there is`, 404)
  }
}

async function readObject(request: IncomingMessage): Promise<JsonObject> {
  const body = await readJson(request)
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new Refused('the body must be a JSON object')
  return objectOf({ ...body })
}

function help(): string {
  const faults = Object.entries(COMMANDS).map(([name, { about }]) => `POST /faults/${name} ${about}`)
  return [
    'Admin port of the Tidewire playground, a simulated TiDB cluster for demos and tests.',
    '',
    'GET /regions                the regions with their epochs, leaders and peers',
    'GET /history?table=ID       every committed version of every record key of a table (id, or db.table)',
    'GET /history                the same of all user tables, dropped ones too',
    'POST /keyspaces             {"name": "..."}: makes a keyspace, which PD then knows by name',
    'POST /inject/ddl-job        a DDL job as TiDB writes it (JSON of model.Job with its binlog): it is done, and in the schema',
    'POST /inject/kv             {"writes": [{"key": hex, "value"?: base64}], "txnSource"?: n}: one transaction of raw pairs',
    ...faults,
    '',
  ].join('\n')
}

/** Everything that begins with `t`. */
const ALL_RECORDS = { rawStart: Buffer.from('t'), rawEnd: Buffer.from('u') }
/** TiDB gives its own tables ids from here on (reference: tidb-storage, section 1.5). */
const FIRST_SYSTEM_TABLE = 1n << 47n

const regionJson = (region: Region): object => ({
  id: region.id,
  startKey: region.startKey.toString('hex'),
  endKey: region.endKey.toString('hex'),
  confVer: region.confVer,
  version: region.version,
  leader: region.leader?.storeId ?? null,
  peers: region.peers.map(({ id, storeId }) => ({ id, store: storeId })),
})

/**
 * `{"table": id, "versions": [{table, key, startTs, commitTs, op, value}]}`: keys in hex, values in base64, oldest first per
 * key. Without a table: those of all user tables.
 */
function sendHistory(response: ServerResponse, cluster: Cluster, name: string | null): void {
  const tableId = name === null ? undefined : tableIdOf(name, cluster)
  const { rawStart, rawEnd } = tableId === undefined ? ALL_RECORDS : rawRange(tableId)
  const versions: object[] = []
  for (const { key, writes } of cluster.mvcc.range(rawStart, rawEnd)) {
    const table = tableOfRecord(key)
    if (table === undefined || (tableId === undefined && table >= FIRST_SYSTEM_TABLE)) continue
    for (const { kind, startTs, commitTs, value } of writes.toReversed())
      if (kind === 'put' || kind === 'delete')
        versions.push({ table, key: key.toString('hex'), startTs, commitTs, op: kind, value: value.toString('base64') })
  }
  writeJson(response, 200, { ...(tableId === undefined ? {} : { table: tableId }), versions })
}

/** `t`, the id, `_r`; undefined for an index key. */
const tableOfRecord = (key: Buffer): bigint | undefined =>
  key.length > 11 && key[10] === 0x72 ? key.readBigUInt64BE(1) ^ (1n << 63n) : undefined

function split(body: Body, { cluster }: AdminContext): object {
  const range = rawRange(tableOf(body, cluster))
  const count = wholeNumber(body, 'count', 1, MAX_SPLITS)
  const keys = [...cluster.mvcc.range(range.rawStart, range.rawEnd)].map(({ key }) => key)
  // Between rows as far as there are any, then at made-up handles above them.
  const step = Math.max(1, Math.floor(keys.length / (count + 1)))
  const points = new Map<string, Buffer>()
  for (let index = step; index < keys.length && points.size < count; index += step) {
    const key = keys[index] ?? noBytes
    points.set(key.toString('hex'), key)
  }
  for (let made = 1n; points.size < count; made++) {
    const tail = Buffer.alloc(8)
    tail.writeBigUInt64BE((0xc0n << 56n) + made)
    const key = Buffer.concat([range.rawStart, tail])
    points.set(key.toString('hex'), key)
  }
  splitAndSpread(cluster, [...points.values()])
  return { regions: regionsIn(cluster, range).map(regionJson) }
}

function merge(body: Body, { cluster }: AdminContext): object {
  const range = body['all'] === true ? { rawStart: noBytes, rawEnd: noBytes } : rawRange(tableOf(body, cluster))
  const [first, ...others] = regionsIn(cluster, range)
  if (first === undefined || others.length === 0) throw new Refused('there is only one region')
  for (const other of others) cluster.regions.merge(other.id, first.id)
  return { regions: regionsIn(cluster, range).map(regionJson) }
}

function transferLeader(body: Body, { cluster }: AdminContext): object {
  const range = rawRange(tableOf(body, cluster))
  const wanted = 'store' in body ? storeOf(body, cluster) : undefined
  const alive = cluster.stores.filter((store) => store.alive).map((store) => store.id)
  for (const region of regionsIn(cluster, range)) {
    const others = alive.filter((id) => id !== region.leader?.storeId)
    const target = wanted ?? cluster.regions.leastLoaded(others)
    if (target === undefined) throw new Refused('there is no other store')
    cluster.regions.moveLeader(region.id, target)
  }
  return { regions: regionsIn(cluster, range).map(regionJson) }
}

async function killStore(body: Body, { cluster, nodes }: AdminContext): Promise<object> {
  const storeId = storeOf(body, cluster)
  const ms = durationMs(body, 5)
  const node = nodes.find(({ info }) => info.id === storeId)
  if (node?.info.alive !== true) throw new Refused(`store ${storeId} is not running`)
  const port = node.portNumber
  await node.stop()
  const led = cluster.regions.all.filter((region) => region.leader?.storeId === storeId)
  for (const region of led) cluster.regions.moveLeader(region.id, undefined)
  setTimeout(() => {
    const alive = cluster.stores.filter((store) => store.alive).map((store) => store.id)
    for (const region of cluster.regions.all)
      if (region.leader === undefined) cluster.regions.moveLeader(region.id, cluster.regions.leastLoaded(alive))
  }, ELECTION_MS).unref()
  setTimeout(() => {
    void node.start(port).then(() => {
      for (const region of cluster.regions.all)
        if (region.leader === undefined) cluster.regions.moveLeader(region.id, storeId)
    })
  }, ms).unref()
  return { killed: storeId, regions: led.length }
}

function cutStreams(body: Body, { cluster, nodes }: AdminContext): object {
  const storeId = 'store' in body ? storeOf(body, cluster) : undefined
  const chosen = nodes.filter(({ info }) => storeId === undefined || info.id === storeId)
  for (const node of chosen) node.feed.cutStreams()
  return { stores: chosen.map(({ info }) => info.id) }
}

function stall(body: Body, { cluster }: AdminContext): object {
  const storeId = storeOf(body, cluster)
  const ms = durationMs(body, 5)
  cluster.faults.stall(storeId, ms)
  return { store: storeId, seconds: ms / 1000 }
}

function holdResolvedTs(body: Body, { cluster }: AdminContext): object {
  const ms = durationMs(body, 5)
  cluster.faults.holdResolvedTs(ms)
  return { seconds: ms / 1000 }
}

/** A prewrite whose client is dead: on an existing row, or on a handle that nobody uses. */
function leaveLock(body: Body, { cluster }: AdminContext): object {
  const { rawStart, rawEnd } = rawRange(tableOf(body, cluster))
  const startTs = cluster.oracle.next()
  const free = [...cluster.mvcc.range(rawStart, rawEnd)].find(
    ({ lock, writes }) => lock === undefined && valueAt(writes, LATEST) !== undefined,
  )
  const key = free?.key ?? Buffer.concat([rawStart, Buffer.from('fffffffffffffff0', 'hex')])
  const lock: Lock = {
    kind: free === undefined ? 'delete' : 'put',
    primary: key,
    startTs,
    ttlMs: BigInt(wholeNumber(body, 'ttlMs', 0, 3_600_000, 3000)),
    txnSize: 1n,
    forUpdateTs: 0n,
    minCommitTs: 0n,
    asyncCommit: false,
    secondaries: [],
    value: valueAt(free?.writes ?? [], LATEST) ?? noBytes,
    txnSource: 0n,
    generation: 0n,
  }
  cluster.mvcc.apply([{ kind: 'lock', key, lock, rewrite: false }])
  return { key: key.toString('hex'), startTs }
}

function regionError(body: Body, { cluster, nodes }: AdminContext): object {
  const kind = REGION_FAULTS.find((name: RegionFault) => name === body['kind'])
  if (kind === undefined) throw new Refused(`"kind" must be one of ${REGION_FAULTS.join(', ')}`)
  const count = wholeNumber(body, 'count', 1, 10_000, 1)
  let left = count
  for (const node of nodes) left -= node.feed.breakRegions(kind, left)
  cluster.faults.arm(kind, left)
  return { kind, subscriptions: count - left, armed: left }
}

function pdLeader(body: Body, { cluster }: AdminContext): object {
  const ms = durationMs(body, 1)
  cluster.faults.loseLeader(ms)
  return { seconds: ms / 1000 }
}

function advanceGc(body: Body, context: AdminContext): object {
  const { gc } = context
  const value = body['safePoint']
  const text = typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint' ? String(value) : ''
  if (!/^\d{1,20}$/.test(text)) throw new Refused('"safePoint" must be a timestamp')
  const safePoint = BigInt(text)
  if (safePoint <= gc.txnSafePoint)
    throw new Refused(`the safe point is already at ${gc.txnSafePoint} and never goes back`)
  gc.advance(safePoint)
  const collected = collectUpTo(context, gc.least().safePoint)
  return { gcWorker: gc.txnSafePoint, gcSafePoint: gc.gcSafePoint, collected }
}

function createKeyspace(body: Body, { keyspaces }: AdminContext): object {
  const { name } = body
  if (typeof name !== 'string' || !/^[-\w]{1,20}$/.test(name))
    throw new Refused('"name" must be 1 to 20 letters, digits, dashes or underscores')
  const keyspace = keyspaces.create(name)
  if (keyspace?.keyspace?.$case !== 'id') throw new Refused(`there is a keyspace ${name} already`)
  return { name, id: keyspace.keyspace.value }
}

function clear(_body: Body, { cluster }: AdminContext): object {
  cluster.faults.clear()
  return {}
}

function rawRange(tableId: bigint): RawRange {
  const { start, end } = rawRecordRange(tableId)
  return { rawStart: Buffer.from(start), rawEnd: Buffer.from(end) }
}

const regionsIn = (cluster: Cluster, range: RawRange): readonly Region[] => cluster.regions.within(range)

function tableOf(body: Body, cluster: Cluster): bigint {
  const { tableId, table } = body
  if (typeof tableId === 'number' || typeof tableId === 'bigint') return tableIdOf(String(tableId), cluster)
  if (typeof table === 'string') return tableIdOf(table, cluster)
  throw new Refused('"table" (db.table) or "tableId" (a number) is missing')
}

function tableIdOf(text: string, cluster: Cluster): bigint {
  if (/^\d{1,18}$/.test(text)) return BigInt(text)
  const [database = '', table = '', ...rest] = text.split('.')
  if (database === '' || table === '' || rest.length > 0)
    throw new Refused(`${JSON.stringify(text)} is neither a table id nor db.table`)
  const id = findTable(cluster.mvcc, database, table)
  if (id === undefined) throw new Refused(`there is no table ${text}`)
  return id
}

function storeOf(body: Body, cluster: Cluster): bigint {
  const { store } = body
  const found = cluster.stores.find(
    ({ id }) => typeof store === 'number' && id === BigInt(Math.trunc(store)) && Number.isInteger(store),
  )
  if (found === undefined) throw new Refused(`"store" must be one of ${cluster.stores.map(({ id }) => id).join(', ')}`)
  return found.id
}

function durationMs(body: Body, defaultSeconds: number): number {
  const seconds = body['seconds'] ?? defaultSeconds
  if (typeof seconds !== 'number' || !(seconds >= 0) || seconds > 86_400)
    throw new Refused('"seconds" must be a number from 0 to 86400')
  return seconds * 1000
}

function wholeNumber(body: Body, name: string, least: number, most: number, fallback?: number): number {
  const value = body[name] ?? fallback
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw new Refused(`${JSON.stringify(name)} must be a whole number from ${least} to ${most}`)
  return value
}
