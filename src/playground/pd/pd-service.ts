import type { handleUnaryCall, ServerDuplexStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { status } from '@grpc/grpc-js'

import type { KeyspaceServer, LoadKeyspaceResponse } from '../../proto/keyspacepb.ts'
import type { Region as RegionMeta, Store } from '../../proto/metapb.ts'
import { NodeState, Store as Stores, StoreState } from '../../proto/metapb.ts'
import type {
  GCBarrierInfo,
  GCState,
  GetRegionResponse,
  GlobalConfigItem,
  KeyspaceScope,
  LoadGlobalConfigRequest,
  Member,
  PDServer,
  QueryRegionRequest,
  QueryRegionResponse,
  Region as PdRegion,
  RequestHeader,
  ResponseHeader,
  StoreStats,
  TsoRequest,
  TsoResponse,
} from '../../proto/pdpb.ts'
import {
  ErrorType,
  GCState as GcStates,
  GetRegionResponse as GetRegionResponses,
  LoadGlobalConfigResponse,
  Member as Members,
  OperatorStatus,
  QueryRegionResponse as QueryRegionResponses,
  Region as PdRegions,
  ServiceMode,
  StoreStats as StoreStatsOf,
} from '../../proto/pdpb.ts'
import { compareBytes, decodeKey } from '../tikv/bytes.ts'
import type { Cluster, StoreInfo } from '../tikv/cluster.ts'
import { splitAndSpread } from '../tikv/cluster.ts'
import type { Region } from '../tikv/regions.ts'
import { regionMeta } from '../tikv/regions.ts'
import { unary } from '../unary.ts'
import type { GcState, ServiceSafePoint } from './gc.ts'
import type { Keyspaces } from './keyspaces.ts'
import type { TimestampOracle } from './tso.ts'

const NULL_KEYSPACE = 0xffff_ffff
/** What PD and the stores say they are. */
export const CLUSTER_VERSION = '8.5.0'

/** A PD of one member. */
export interface PlacementDriver {
  readonly cluster: Cluster
  readonly tso: TimestampOracle
  readonly gc: GcState
  readonly keyspaces: Keyspaces
  readonly startedAtMs: number
  /** `http://host:port` */
  readonly clientUrl: () => string
  /** Values below `/global/config/` in etcd. */
  readonly globalConfig: (
    path: string,
  ) => Promise<{ readonly items: ReadonlyMap<string, Buffer>; readonly revision: bigint }>
}

type Headed = { readonly header: RequestHeader | undefined }
const LOGICAL = 0x3ffffn

export function memberOf(pd: PlacementDriver): Member {
  const url = pd.clientUrl()
  return Members.create({
    name: 'pd',
    memberId: pd.cluster.id ^ 0x5bd1_e995n,
    clientUrls: [url],
    peerUrls: [url],
    binaryVersion: `v${CLUSTER_VERSION}`,
  })
}

export function storeMeta(store: StoreInfo, startedAtMs: number): Store {
  return Stores.create({
    id: store.id,
    address: store.address,
    peerAddress: store.address,
    statusAddress: store.address,
    version: CLUSTER_VERSION,
    state: StoreState.Up,
    nodeState: NodeState.Serving,
    startTimestamp: BigInt(Math.floor(startedAtMs / 1000)),
    lastHeartbeat: BigInt(Date.now()) * 1_000_000n,
  })
}

const SPACE = 1n << 40n

const storeStats = ({ cluster, startedAtMs }: PlacementDriver, store: StoreInfo): StoreStats =>
  StoreStatsOf.create({
    storeId: store.id,
    capacity: SPACE,
    available: SPACE,
    regionCount: cluster.regions.all.length,
    startTime: Math.floor(startedAtMs / 1000),
  })

export function createPdService(pd: PlacementDriver): UntypedServiceImplementation {
  const { cluster, gc } = pd
  const header: ResponseHeader = { clusterId: cluster.id, error: undefined }
  const failed = (type: ErrorType, message: string): ResponseHeader => ({
    clusterId: cluster.id,
    error: { type, message },
  })
  const checked = <Request extends Headed, Response>(
    handle: (request: Request) => Response,
  ): handleUnaryCall<Request, Response> => {
    return (call, callback) => {
      const problem = problemOf(pd, call.request.header)
      if (problem !== undefined) callback(problem)
      else callback(null, handle(call.request))
    }
  }
  const regionAnswer = (region: Region | undefined): GetRegionResponse =>
    region === undefined
      ? GetRegionResponses.create({ header })
      : GetRegionResponses.create({ header, region: regionMeta(region), leader: region.leader })
  const scan = (start: Buffer, end: Buffer, limit: number): PdRegion[] =>
    cluster.regions.scan(start, end, limit).map(pdRegion)

  return {
    getMembers: (_call, callback) => {
      const member = memberOf(pd)
      const leader = cluster.faults.pdLeaderless ? undefined : member
      callback(null, { header, members: [member], leader, etcdLeader: member, tsoAllocatorLeaders: {} })
    },
    getClusterInfo: (_call, callback) =>
      callback(null, { header, serviceModes: [ServiceMode.PD_SVC_MODE], tsoUrls: [] }),
    tso: (call) => serveTso(call, pd, header),
    isBootstrapped: checked(() => ({ header, bootstrapped: true })),
    isSnapshotRecovering: checked(() => ({ header, marked: false })),
    allocId: checked(() => ({ header, id: cluster.regions.allocateId(), count: 1 })),
    getStore: checked(({ storeId }) => {
      const store = cluster.stores.find((one) => one.id === storeId)
      return store === undefined
        ? {
            header: failed(ErrorType.UNKNOWN, `invalid store ID ${storeId}, not found`),
            store: undefined,
            stats: undefined,
          }
        : { header, store: storeMeta(store, pd.startedAtMs), stats: storeStats(pd, store) }
    }),
    getAllStores: checked(() => ({ header, stores: cluster.stores.map((store) => storeMeta(store, pd.startedAtMs)) })),
    getRegion: checked(({ regionKey }) => regionAnswer(cluster.regions.byEncodedKey(regionKey))),
    getPrevRegion: checked(({ regionKey }) => regionAnswer(cluster.regions.before(regionKey))),
    getRegionById: checked(({ regionId }) => regionAnswer(cluster.regions.byId(regionId))),
    queryRegion: (call) => serveQueryRegion(call, pd, header),
    scanRegions: checked(({ startKey, endKey, limit }) => {
      const regions = scan(startKey, endKey, limit)
      return {
        header,
        regions,
        regionMetas: regions.flatMap(({ region }) => region ?? []),
        leaders: regions.map(({ leader }) => leader ?? { id: 0n, storeId: 0n, role: 0, isWitness: false }),
      }
    }),
    batchScanRegions: checked(({ ranges, limit }) => {
      const all = ranges.flatMap(({ startKey, endKey }) => scan(startKey, endKey, 0))
      const regions = all.filter((one, index) => index === 0 || one.region?.id !== all[index - 1]?.region?.id)
      return { header, regions: limit > 0 ? regions.slice(0, limit) : regions }
    }),
    getClusterConfig: checked(() => ({ header, cluster: { id: cluster.id, maxPeerCount: 3 } })),
    scatterRegion: checked(() => ({ header, finishedPercentage: 100n, failedRegionsId: [] })),
    getOperator: checked(({ regionId }) => ({
      header,
      regionId,
      desc: Buffer.from('scatter-region'),
      status: OperatorStatus.SUCCESS,
      kind: Buffer.from('region'),
    })),
    splitRegions: checked(({ splitKeys }) => ({
      header,
      finishedPercentage: 100n,
      regionsId: splitAt(cluster, splitKeys),
    })),
    splitAndScatterRegions: checked(({ splitKeys }) => ({
      header,
      splitFinishedPercentage: 100n,
      scatterFinishedPercentage: 100n,
      regionsId: splitAt(cluster, splitKeys),
    })),
    getGcSafePoint: checked(() => ({ header, safePoint: gc.gcSafePoint })),
    updateGcSafePoint: checked(({ safePoint }) => {
      collectUpTo(pd, safePoint)
      return { header, newSafePoint: gc.gcSafePoint }
    }),
    updateServiceGcSafePoint: checked(({ serviceId, TTL, safePoint }) => {
      const least = gc.update(serviceId.toString(), TTL, safePoint)
      return { header, serviceId: Buffer.from(least.id), TTL: gc.ttlSeconds(least), minSafePoint: least.safePoint }
    }),
    updateServiceSafePointV2: checked(({ serviceId, ttl, safePoint }) => {
      const least = gc.update(serviceId.toString(), ttl, safePoint)
      return { header, serviceId: Buffer.from(least.id), ttl: gc.ttlSeconds(least), minSafePoint: least.safePoint }
    }),
    getGcState: checked(({ keyspaceScope, excludeGcBarriers }) => ({
      header,
      gcState: gcStateOf(gc, keyspaceScope, excludeGcBarriers),
      globalGcBarriers: undefined,
    })),
    getAllKeyspacesGcStates: checked(({ excludeGcBarriers }) => ({
      header,
      gcStates: [gcStateOf(gc, undefined, excludeGcBarriers)],
      globalGcBarriers: [],
    })),
    setGcBarrier: checked(({ barrierId, barrierTs, ttlSeconds }) => {
      const refuse = (text: string): { header: ResponseHeader; newBarrierInfo: undefined } => ({
        header: failed(ErrorType.UNKNOWN, text),
        newBarrierInfo: undefined,
      })
      if (barrierId === '' || barrierId === 'gc_worker' || ttlSeconds <= 0n)
        return refuse(
          `[PD:gc:ErrReservedGCBarrierID]trying to set a GC barrier with invalid id ${barrierId} or ttl ${ttlSeconds}`,
        )
      const barrier = gc.setBarrier(barrierId, barrierTs, ttlSeconds)
      if (barrier !== undefined) return { header, newBarrierInfo: barrierInfo(gc, barrier) }
      return refuse(
        `[PD:gc:ErrGCBarrierTSBehindTxnSafePoint]trying to set a GC barrier on ts ${barrierTs} which is already behind the txn safe point ${gc.txnSafePoint}`,
      )
    }),
    deleteGcBarrier: checked(({ barrierId }) => {
      const gone = barrierId === 'gc_worker' ? undefined : gc.remove(barrierId)
      return { header, deletedBarrierInfo: gone === undefined ? undefined : barrierInfo(gc, gone) }
    }),
    advanceTxnSafePoint: checked(({ target }) => {
      const before = gc.txnSafePoint
      const blocker = gc.list().find((entry) => entry.id !== 'gc_worker' && entry.safePoint < target)
      gc.advance(blocker === undefined ? target : blocker.safePoint)
      const blockerDescription =
        blocker === undefined ? '' : `BarrierID: ${blocker.id}, BarrierTS: ${blocker.safePoint}`
      return { header, oldTxnSafePoint: before, newTxnSafePoint: gc.txnSafePoint, blockerDescription }
    }),
    advanceGcSafePoint: checked(({ target }) => {
      const before = gc.gcSafePoint
      collectUpTo(pd, target < gc.txnSafePoint ? target : gc.txnSafePoint)
      return { header, oldGcSafePoint: before, newGcSafePoint: gc.gcSafePoint }
    }),
    getMinTs: checked(() => ({ header, timestamp: timestamp(pd.tso.next()) })),
    loadGlobalConfig: unary(async ({ names, configPath }: LoadGlobalConfigRequest) => {
      const path = configPath === '' ? '/global/config/' : configPath.endsWith('/') ? configPath : `${configPath}/`
      const { items, revision } = await pd.globalConfig(path)
      const wanted = names.length > 0 ? names : [...items.keys()]
      return LoadGlobalConfigResponse.create({
        items: wanted.map((name) => configItem(path, name, items.get(name))),
        revision,
      })
    }),
  } satisfies Partial<PDServer>
}

/** Moves the point up to which old versions may go, and lets them go. */
export function collectUpTo({ cluster, gc }: Pick<PlacementDriver, 'cluster' | 'gc'>, safePoint: bigint): number {
  gc.advanceGcSafePoint(safePoint)
  return cluster.mvcc.collect(gc.gcSafePoint)
}

/** Looking keyspaces up by name; the admin port makes them. */
export function createKeyspaceService(pd: PlacementDriver): UntypedServiceImplementation {
  const header: ResponseHeader = { clusterId: pd.cluster.id, error: undefined }
  const missing = (what: string): LoadKeyspaceResponse => ({
    header: { ...header, error: { type: ErrorType.ENTRY_NOT_FOUND, message: `keyspace ${what} does not exist` } },
    keyspace: undefined,
  })
  return {
    loadKeyspace: (call, callback) => {
      const keyspace = pd.keyspaces.byName(call.request.name)
      callback(null, keyspace === undefined ? missing(call.request.name) : { header, keyspace })
    },
    getAllKeyspaces: (_call, callback) => callback(null, { header, keyspaces: [...pd.keyspaces.all] }),
  } satisfies Partial<KeyspaceServer>
}

function configItem(path: string, name: string, payload: Buffer | undefined): Partial<GlobalConfigItem> {
  if (payload === undefined)
    return { name, error: { type: ErrorType.GLOBAL_CONFIG_NOT_FOUND, message: `${path}${name}` } }
  return { name, value: payload.toString(), payload }
}

interface Problem {
  readonly code: status
  readonly details: string
}

function problemOf(pd: PlacementDriver, header: RequestHeader | undefined): Problem | undefined {
  const asked = header?.clusterId ?? 0n
  if (asked !== pd.cluster.id)
    return { code: status.FAILED_PRECONDITION, details: `mismatch cluster id, need ${pd.cluster.id} but got ${asked}` }
  return pd.cluster.faults.pdLeaderless ? { code: status.UNAVAILABLE, details: 'not leader' } : undefined
}

const timestamp = (ts: bigint): { physical: bigint; logical: bigint; suffixBits: number } => ({
  physical: ts >> 18n,
  logical: ts & LOGICAL,
  suffixBits: 0,
})

function serveTso(
  call: ServerDuplexStream<TsoRequest, TsoResponse>,
  pd: PlacementDriver,
  header: ResponseHeader,
): void {
  call.on('data', ({ header: asked, count }: TsoRequest) => {
    const problem = problemOf(pd, asked)
    if (problem !== undefined) call.emit('error', problem)
    else if (count === 0)
      call.emit('error', {
        code: status.UNKNOWN,
        details: '[PD:tso:ErrGenerateTimestamp]generate timestamp failed, tso count should be positive',
      })
    else call.write({ header, count, timestamp: timestamp(pd.tso.next(count)) })
  })
  call.on('end', () => call.end())
}

function serveQueryRegion(
  call: ServerDuplexStream<QueryRegionRequest, QueryRegionResponse>,
  pd: PlacementDriver,
  header: ResponseHeader,
): void {
  const { regions } = pd.cluster
  call.on('data', (request: QueryRegionRequest) => {
    const problem = problemOf(pd, request.header)
    if (problem !== undefined) {
      call.emit('error', problem)
      return
    }
    const byKey = request.keys.map((key) => regions.byEncodedKey(key))
    const byPrev = request.prevKeys.map((key) => regions.before(key))
    const found = [...byKey, ...byPrev, ...request.ids.map((id) => regions.byId(id))].filter((one) => one !== undefined)
    call.write(
      QueryRegionResponses.create({
        header,
        keyIdMap: byKey.map(({ id }) => id),
        prevKeyIdMap: byPrev.map((region) => region?.id ?? 0n),
        regionsById: new Map(found.map((region) => [region.id, pdRegion(region)])),
      }),
    )
  })
  call.on('end', () => call.end())
}

const pdRegion = (region: Region): PdRegion & { region: RegionMeta } => ({
  ...PdRegions.create({ leader: region.leader }),
  region: regionMeta(region),
})

const barrierInfo = (gc: GcState, entry: ServiceSafePoint): GCBarrierInfo => ({
  barrierId: entry.id,
  barrierTs: entry.safePoint,
  ttlSeconds: gc.ttlSeconds(entry),
})

function gcStateOf(gc: GcState, scope: KeyspaceScope | undefined, withoutBarriers: boolean): GCState {
  const barriers = gc.list().filter((entry) => entry.id !== 'gc_worker')
  return GcStates.create({
    keyspaceScope: scope ?? { keyspace: { $case: 'keyspaceId', value: NULL_KEYSPACE } },
    txnSafePoint: gc.txnSafePoint,
    gcSafePoint: gc.gcSafePoint,
    gcBarriers: withoutBarriers ? [] : barriers.map((entry) => barrierInfo(gc, entry)),
  })
}

/** Splits at encoded keys; returns the regions that begin there. */
function splitAt(cluster: Cluster, encodedKeys: readonly Buffer[]): bigint[] {
  const keys = encodedKeys.flatMap((encoded) => decodeKey(encoded) ?? [])
  splitAndSpread(cluster, keys)
  return keys.flatMap((key) => {
    const region = cluster.regions.byRawKey(key)
    return compareBytes(region.rawStart, key) === 0 ? [region.id] : []
  })
}
