import { createServer } from 'node:net'
import type { Server as NetServer } from 'node:net'
import { randomBytes } from 'node:crypto'

import { Server as GrpcServer } from '@grpc/grpc-js'

import type { Log } from '../base/log.ts'
import {
  ClusterService,
  KVService,
  LeaseService,
  MaintenanceService,
  RangeRequest,
  WatchService,
} from '../proto/etcd.ts'
import { HealthService } from '../proto/health.ts'
import { KeyspaceService } from '../proto/keyspacepb.ts'
import type { KeyValue } from '../proto/mvcc.ts'
import { Event_EventType as EventType } from '../proto/mvcc.ts'
import { PDService } from '../proto/pdpb.ts'
import { createAdmin } from './admin/admin.ts'
import { Faults } from './faults.ts'
import { createHealthService } from './health-service.ts'
import { EtcdForward } from './pd/etcd-forward.ts'
import { createEtcdServices } from './pd/etcd-service.ts'
import { EtcdStore } from './pd/etcd-store.ts'
import { GcState } from './pd/gc.ts'
import { Keyspaces } from './pd/keyspaces.ts'
import { createPdHttp } from './pd/http-api.ts'
import type { PlacementDriver } from './pd/pd-service.ts'
import { createKeyspaceService, createPdService } from './pd/pd-service.ts'
import { createSharedPort, listen } from './shared-port.ts'
import { TimestampOracle } from './pd/tso.ts'
import type { SqlServer, SqlServerOptions } from './sql/server.ts'
import type { SavedState } from './saved-state.ts'
import { openState } from './saved-state.ts'
import { createCluster } from './tikv/cluster.ts'
import type { StoreInfo } from './tikv/cluster.ts'
import type { Region } from './tikv/regions.ts'
import { RegionSet, savedRegion } from './tikv/regions.ts'
import type { Replay } from './tikv/feed-service.ts'
import { SERVER_OPTIONS, StoreNode } from './tikv/store-node.ts'

const FIRST_STORE_PORT = 20160
const GC_INTERVAL_MS = 60_000
const LEASE_INTERVAL_MS = 200
const SAVED_SAFE_POINT = Buffer.from('/tidb/store/gcworker/saved_safe_point')

export interface PlaygroundOptions {
  readonly host: string
  /** Ports: 0 picks a free one. Stores take 20160 and up, or free ports where `pdPort` is 0 or one is taken. */
  readonly pdPort: number
  /** Undefined: no SQL front. */
  readonly sqlPort: number | undefined
  readonly adminPort: number
  readonly stores: number
  /** Keeps everything here; without it the cluster is gone at the end. */
  readonly dataDir?: string
  /** `http://host:port` of a real etcd that serves the etcd API in place of the embedded one. */
  readonly etcd?: string
  /** How often resolved timestamps are sent, by default 1000. */
  readonly resolvedTsIntervalMs?: number
  /** Change events that may wait on one store, by default 64 MiB. */
  readonly feedQuotaBytes?: number
  /** For benchmarks: answers change-feed registrations with frames made beforehand. */
  readonly replay?: Replay
  readonly log: Log
}

/** A cluster in this process; addresses as `cdc playground` prints them. */
export interface Playground extends AsyncDisposable {
  /** `http://host:port` */
  readonly pd: string
  /** `host:port`; empty where there is no SQL front. */
  readonly sql: string
  /** `http://host:port` */
  readonly admin: string
  /** `host:port` of each store. */
  readonly stores: readonly string[]
}

/** Starts PD, the stores, the SQL front and the admin port; resolves when all of them answer. */
export async function startPlayground(options: PlaygroundOptions, signal: AbortSignal): Promise<Playground> {
  signal.throwIfAborted()
  await using stack = new AsyncDisposableStack()
  const { host, log } = options
  const startedAtMs = Date.now()
  const saved = openState(options.dataDir)
  stack.defer(() => saved[Symbol.dispose]())

  const storeCount = saved.stores ?? options.stores
  if (storeCount !== options.stores)
    log.warn('the data folder keeps its number of stores', { stores: storeCount, asked: options.stores })
  const infos: StoreInfo[] = Array.from({ length: storeCount }, (_, index) => ({
    id: BigInt(index) + 1n,
    address: '',
    alive: false,
  }))
  const clusterId = saved.clusterId ?? newClusterId(startedAtMs)
  if (saved.clusterId === undefined) saved.append({ kind: 'cluster', id: clusterId, stores: storeCount })
  const tso = new TimestampOracle({
    saved: saved.tsoMs,
    save: (physicalMs) => saved.append({ kind: 'tso', physicalMs }),
    now: Date.now,
  })
  const regions = new RegionSet(
    infos.map(({ id }) => id),
    saved.regions,
  )
  saveRegions(regions.all, [], regions, saved)
  stack.use(
    regions.listen((change) => {
      if (change.kind === 'split') saveRegions(change.into, [], regions, saved)
      else if (change.kind === 'merge') saveRegions([change.into], [change.source], regions, saved)
      else saveRegions([change.region], [], regions, saved)
    }),
  )
  stack.use(saved.mvcc.listen((mutations) => saved.append({ kind: 'apply', mutations })))
  const cluster = createCluster({
    id: clusterId,
    oracle: tso,
    mvcc: saved.mvcc,
    regions,
    stores: infos,
    faults: new Faults(),
  })
  stack.use(cluster.pessimistic)
  const gc = new GcState({ saved: saved.gc, now: Date.now, changed: (state) => saved.append({ kind: 'gc', state }) })

  const nodes: StoreNode[] = []
  for (const [index, info] of infos.entries()) {
    const node = stack.use(
      new StoreNode(cluster, info, host, {
        resolvedTsIntervalMs: options.resolvedTsIntervalMs ?? 1000,
        quotaBytes: options.feedQuotaBytes ?? 64 << 20,
        replay: options.replay,
      }),
    )
    await node.start(options.pdPort === 0 ? 0 : await freePort(host, FIRST_STORE_PORT + index))
    nodes.push(node)
  }

  let pdUrl = ''
  const etcd = openEtcd(options, clusterId, saved, stack, () => pdUrl)
  const keyspaces = new Keyspaces()
  const pd: PlacementDriver = {
    cluster,
    tso,
    gc,
    keyspaces,
    startedAtMs,
    clientUrl: () => pdUrl,
    globalConfig: etcd.globalConfig,
  }
  const grpc = new GrpcServer(SERVER_OPTIONS)
  grpc.addService(PDService, createPdService(pd))
  grpc.addService(KeyspaceService, createKeyspaceService(pd))
  grpc.addService(HealthService, createHealthService())
  etcd.serve(grpc)
  const port = stack.use(createSharedPort(grpc, createPdHttp(pd)))
  pdUrl = `http://${host}:${await listen(port, host, options.pdPort)}`

  const advanceGc = (): void => {
    gc.advance()
    gc.advanceGcSafePoint(gc.least().safePoint)
    etcd.put(SAVED_SAFE_POINT, Buffer.from(gc.gcSafePoint.toString()))
  }
  advanceGc()
  every(GC_INTERVAL_MS, advanceGc, stack)

  const admin = createAdmin({ cluster, nodes, gc, keyspaces })
  stack.defer(() => closeServer(admin))
  const adminUrl = `http://${host}:${await listen(admin, host, options.adminPort)}`

  const { sqlPort } = options
  const sql =
    sqlPort === undefined
      ? undefined
      : stack.use(await startSqlFront({ host, port: sqlPort, pdEndpoint: pdUrl, log }, signal))
  const life = stack.move()
  return {
    pd: pdUrl,
    sql: sql?.address ?? '',
    admin: adminUrl,
    stores: infos.map(({ address }) => address),
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  }
}

function saveRegions(changed: readonly Region[], gone: readonly bigint[], all: RegionSet, saved: SavedState): void {
  saved.append({ kind: 'regions', state: { nextId: all.idBound, regions: changed.map(savedRegion) }, gone })
}

interface Etcd {
  readonly serve: (grpc: GrpcServer) => void
  readonly globalConfig: PlacementDriver['globalConfig']
  /** Nothing where a real etcd serves. */
  readonly put: (key: Buffer, value: Buffer) => void
}

function openEtcd(
  options: PlaygroundOptions,
  clusterId: bigint,
  saved: SavedState,
  stack: AsyncDisposableStack,
  clientUrl: () => string,
): Etcd {
  if (options.etcd !== undefined) {
    const forward = stack.use(new EtcdForward(options.etcd, clientUrl))
    return {
      serve: (grpc) => {
        for (const { definition, implementation } of forward.services) grpc.addService(definition, implementation)
      },
      globalConfig: async (path) => configOf(path, await forward.range(prefixRequest(path))),
      put: () => {},
    }
  }
  const store = new EtcdStore({
    clusterId,
    saved: saved.etcd,
    now: Date.now,
    leaseChanged: (id, seconds) => saved.append({ kind: 'lease', id, seconds }),
  })
  stack.use(
    store.listen(({ revision, events }) => {
      const puts = events.flatMap(({ type, kv }) => (type === EventType.PUT && kv !== undefined ? [kv] : []))
      const deletes = events.flatMap(({ type, kv }) => (type === EventType.DELETE && kv !== undefined ? [kv.key] : []))
      saved.append({ kind: 'etcd', revision, puts, deletes })
    }),
  )
  every(LEASE_INTERVAL_MS, () => store.expireLeases(), stack)
  const services = createEtcdServices(store, clientUrl)
  return {
    serve: (grpc) => {
      grpc.addService(KVService, services.kv)
      grpc.addService(WatchService, services.watch)
      grpc.addService(LeaseService, services.lease)
      grpc.addService(ClusterService, services.cluster)
      grpc.addService(MaintenanceService, services.maintenance)
    },
    globalConfig: async (path) => configOf(path, store.range(prefixRequest(path))),
    put: (key, value) => {
      store.put({ key, value, lease: 0n, prevKv: false, ignoreValue: false, ignoreLease: false })
    },
  }
}

function prefixRequest(path: string): RangeRequest {
  const key = Buffer.from(path)
  const rangeEnd = Buffer.from(key)
  rangeEnd[rangeEnd.length - 1] = (key.at(-1) ?? 0) + 1
  return RangeRequest.create({ key, rangeEnd })
}

function configOf(
  path: string,
  answer: { readonly kvs: readonly KeyValue[]; readonly header: { readonly revision: bigint } | undefined },
): { items: ReadonlyMap<string, Buffer>; revision: bigint } {
  const items = new Map(answer.kvs.map((kv) => [kv.key.toString().slice(path.length), kv.value]))
  return { items, revision: answer.header?.revision ?? 0n }
}

/** The SQL front alone, over any PD and its stores. Loaded on use: most of the product hangs on it. */
export async function startSqlFront(options: SqlServerOptions, signal: AbortSignal): Promise<SqlServer> {
  const { startSqlServer } = await import('./sql/server.ts')
  return startSqlServer(options, signal)
}

/** As PD makes them: seconds in the upper half. */
function newClusterId(nowMs: number): bigint {
  return (BigInt(Math.floor(nowMs / 1000)) << 32n) | BigInt(randomBytes(4).readUInt32BE())
}

function every(ms: number, work: () => void, stack: AsyncDisposableStack): void {
  const timer = setInterval(work, ms).unref()
  stack.defer(() => clearInterval(timer))
}

/** The port itself if nobody has it, else 0. */
async function freePort(host: string, port: number): Promise<number> {
  const probe = createServer()
  try {
    await listen(probe, host, port)
    await closeServer(probe)
    return port
  } catch {
    return 0
  }
}

const closeServer = (server: NetServer): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    if ('closeAllConnections' in server && typeof server.closeAllConnections === 'function')
      server.closeAllConnections()
  })
