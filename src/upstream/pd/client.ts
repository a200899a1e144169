import { status } from '@grpc/grpc-js'

import type { Clock } from '../../base/clock.ts'
import { CdcError, describeError, type ErrorCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { retry } from '../../base/retry.ts'
import { KVService, RangeRequest } from '../../proto/etcd.ts'
import { KeyspaceService, KeyspaceState, LoadKeyspaceRequest } from '../../proto/keyspacepb.ts'
import * as metapb from '../../proto/metapb.ts'
import {
  BatchScanRegionsRequest,
  DeleteGCBarrierRequest,
  GetAllStoresRequest,
  GetGCStateRequest,
  GetMembersRequest,
  GetRegionByIDRequest,
  GetRegionRequest,
  GetStoreRequest,
  type KeyspaceScope,
  LoadGlobalConfigRequest,
  PDService,
  type RequestHeader,
  ErrorType,
  type ResponseHeader,
  ScanRegionsRequest,
  SetGCBarrierRequest,
  UpdateServiceGCSafePointRequest,
} from '../../proto/pdpb.ts'
import { keyspacePrefix } from '../../tidb/key.ts'
import { maxTs, Ts } from '../../tidb/ts.ts'
import { ChannelPool, dialAddress, isServiceError, unary, type UnaryMethod } from '../channel.ts'
import type { Keyspace, Peer, PdClient, Region, SecurityOptions, Store } from './pd.ts'
import { TsoStream } from './tso-stream.ts'

export interface PdOptions {
  /** URLs or `host:port`; any living member is enough. */
  readonly endpoints: readonly string[]
  readonly security: SecurityOptions
  readonly log: Log
  readonly clock: Clock
  /** How long opening waits for a cluster with a leader; 6 s when absent. */
  readonly connectTimeoutMs?: number
  /** Name of the keyspace to work in; absent or empty for a cluster without keyspaces. */
  readonly keyspace?: string | undefined
}

const CALL_TIMEOUT_MS = 10_000
/** PD's server is etcd's: it hangs up on clients that ping without a call. */
const CHANNEL_OPTIONS = { 'grpc.keepalive_permit_without_calls': 0 }
/** For the tries of one question (reference: upstream, sections 3.3 and 9); what already has a code is final. */
const BACKOFF = {
  baseMs: 100,
  capMs: 3000,
  totalMs: 20_000,
  retryable: (error: unknown) => !(error instanceof CdcError) && !isServiceError(error, status.UNIMPLEMENTED),
}
const MEMBER_TIMEOUT_MS = 2_000
const MEMBER_REFRESH_MS = 60_000
/** Stands for a cluster without keyspaces. */
const NULL_KEYSPACE_ID = 0xffff_ffff
/** Where the GC worker of TiDB leaves the safe point for clients of an older PD. */
const SAVED_SAFE_POINT = '/tidb/store/gcworker/saved_safe_point'

/**
 * Dials PD and learns cluster id and leader. Rejects with `CDC:ErrAPIGetPDClientFailed` when no member answers in time,
 * `CDC:ErrClusterIDMismatch` when the endpoints belong to different clusters, `CDC:ErrLoadKeyspaceFailed` when the keyspace
 * is unknown or not enabled.
 */
export async function openPdClient(options: PdOptions, signal: AbortSignal): Promise<PdClient> {
  const client = new GrpcPdClient(options)
  try {
    await client.connect(signal)
    if (options.keyspace) client.keyspace = await client.loadKeyspace(options.keyspace, signal)
    return client
  } catch (error) {
    await client[Symbol.asyncDispose]()
    throw error
  }
}

class GrpcPdClient implements PdClient {
  clusterId = 0n
  endpoints: readonly string[]
  keyspace: Keyspace | undefined
  readonly #options: PdOptions
  readonly #channels: ChannelPool
  readonly #scheme: string
  readonly #stop = new AbortController()
  #leader = ''
  #refreshed = -Infinity
  #refreshing: Promise<void> | undefined
  #tso: TsoStream | undefined
  #lastTs = 0n
  /** Questions that the leader is too old for. */
  readonly #unknown = new Set<string>()

  constructor(options: PdOptions) {
    this.#options = options
    this.#channels = new ChannelPool(options.security, CHANNEL_OPTIONS)
    this.#scheme = options.security.caPath ? 'https' : 'http'
    this.endpoints = options.endpoints.map((url) => (url.includes('://') ? url : `${this.#scheme}://${url}`))
  }

  async connect(signal: AbortSignal): Promise<void> {
    const policy = {
      baseMs: 200,
      capMs: 1000,
      totalMs: this.#options.connectTimeoutMs ?? 6_000,
      retryable: (error: unknown) => !(error instanceof CdcError && error.code === 'CDC:ErrClusterIDMismatch'),
    }
    await retry(() => this.#learnMembers(signal), policy, this.#options.clock, signal)
  }

  async tso(signal: AbortSignal): Promise<Ts> {
    const policy = { ...BACKOFF, capMs: 500 }
    const ask = async (): Promise<Ts> => {
      try {
        this.#tso ??= new TsoStream(this.#channels.client(this.#leader), this.clusterId, CALL_TIMEOUT_MS)
        return this.#accept(await this.#tso.next(signal))
      } catch (error) {
        if (signal.aborted || error instanceof CdcError) throw error
        if (this.#tso?.broken === true) this.#tso = undefined
        await this.#refresh(signal)
        throw error
      }
    }
    return this.#guarded(() => retry(ask, policy, this.#options.clock, signal), 'Tso', 'CDC:ErrUnexpected', signal)
  }

  async scanRegions(
    start: Uint8Array,
    end: Uint8Array,
    limit: number,
    signal: AbortSignal,
  ): Promise<readonly Region[]> {
    const code = 'CDC:ErrPDBatchLoadRegions'
    const [header, startKey, endKey] = [this.#header(), bytes(start), bytes(end)]
    const batch = BatchScanRegionsRequest.fromPartial({ header, ranges: [{ startKey, endKey }], limit })
    const found = await this.#callIfKnown(PDService.batchScanRegions, batch, signal, code)
    if (found !== undefined) return found.regions.flatMap(({ region, leader }) => regionOf(region, leader))
    const request = ScanRegionsRequest.fromPartial({ header, startKey, endKey, limit })
    const answer = await this.#call(PDService.scanRegions, request, signal, code)
    if (answer.regions.length > 0) return answer.regions.flatMap(({ region, leader }) => regionOf(region, leader))
    return answer.regionMetas.flatMap((meta, at) => regionOf(meta, answer.leaders[at]))
  }

  async region(key: Uint8Array, signal: AbortSignal): Promise<Region | undefined> {
    const request = GetRegionRequest.fromPartial({ header: this.#header(), regionKey: bytes(key) })
    const answer = await this.#call(PDService.getRegion, request, signal, 'CDC:ErrPDBatchLoadRegions')
    return regionOf(answer.region, answer.leader)[0]
  }

  async regionById(id: bigint, signal: AbortSignal): Promise<Region | undefined> {
    const request = GetRegionByIDRequest.fromPartial({ header: this.#header(), regionId: id })
    const answer = await this.#call(PDService.getRegionById, request, signal, 'CDC:ErrPDBatchLoadRegions')
    return regionOf(answer.region, answer.leader)[0]
  }

  async store(id: bigint, signal: AbortSignal): Promise<Store | undefined> {
    const request = GetStoreRequest.fromPartial({ header: this.#header(), storeId: id })
    const answer = await this.#call(PDService.getStore, request, signal, 'CDC:ErrGetAllStoresFailed', (header) =>
      /not found/.test(header?.error?.message ?? ''),
    )
    return answer.store === undefined ? undefined : storeOf(answer.store)
  }

  async stores(signal: AbortSignal): Promise<readonly Store[]> {
    const request = GetAllStoresRequest.fromPartial({ header: this.#header(), excludeTombstoneStores: false })
    const answer = await this.#call(PDService.getAllStores, request, signal, 'CDC:ErrGetAllStoresFailed')
    return answer.stores.map(storeOf)
  }

  async updateServiceSafePoint(serviceId: string, ttlSeconds: number, safePoint: Ts, signal: AbortSignal): Promise<Ts> {
    if (this.keyspace !== undefined) return this.#updateBarrier(serviceId, ttlSeconds, safePoint, signal)
    const request = UpdateServiceGCSafePointRequest.fromPartial({
      header: this.#header(),
      serviceId: Buffer.from(serviceId),
      TTL: BigInt(ttlSeconds),
      safePoint,
    })
    const code = 'CDC:ErrUpdateServiceSafepointFailed'
    return Ts((await this.#call(PDService.updateServiceGcSafePoint, request, signal, code)).minSafePoint)
  }

  async txnSafePoint(signal: AbortSignal): Promise<Ts> {
    const header = this.#header()
    const request = GetGCStateRequest.fromPartial({ header, keyspaceScope: this.#scope() })
    const found = await this.#callIfKnown(PDService.getGcState, request, signal, 'CDC:ErrUnexpected')
    if (found !== undefined) return Ts(found.gcState?.txnSafePoint ?? 0n)
    const read = { ...KVService.range, responseDeserialize: savedSafePoint }
    const range = RangeRequest.create({ key: Buffer.from(SAVED_SAFE_POINT) })
    return (await this.#call(read, range, signal, 'CDC:ErrPDEtcdAPIError')).ts
  }

  /** Rejects with `CDC:ErrLoadKeyspaceFailed`. */
  async loadKeyspace(name: string, signal: AbortSignal): Promise<Keyspace> {
    const code = 'CDC:ErrLoadKeyspaceFailed'
    const request = LoadKeyspaceRequest.fromPartial({ header: this.#header(), name })
    const answer = await this.#call(KeyspaceService.loadKeyspace, request, signal, code, (header) => {
      if (header?.error?.type !== ErrorType.ENTRY_NOT_FOUND) return false
      throw new CdcError(code, `keyspace '${name}' does not exist`)
    })
    const { keyspace, state } = answer.keyspace ?? {}
    if (keyspace?.$case !== 'id') throw new CdcError(code, `keyspace '${name}' has no id that a v2 client knows`)
    if (state !== KeyspaceState.ENABLED) throw new CdcError(code, `keyspace '${name}' is not enabled`)
    return { id: keyspace.value, name, prefix: keyspacePrefix(keyspace.value) }
  }

  async sourceId(signal: AbortSignal): Promise<number> {
    const request = LoadGlobalConfigRequest.fromPartial({ names: ['source_id'] })
    // The answer of this call has no header to check.
    const method: UnaryMethod<LoadGlobalConfigRequest, { header: undefined; text: string }> = {
      ...PDService.loadGlobalConfig,
      responseDeserialize(value) {
        const item = PDService.loadGlobalConfig.responseDeserialize(value).items[0]
        const text = item === undefined || item.error !== undefined ? '' : item.payload.toString() || item.value
        return { header: undefined, text }
      },
    }
    const { text } = await this.#call(method, request, signal, 'CDC:ErrUnexpected')
    return text === '' ? 1 : Number(text)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#tso?.[Symbol.dispose]()
    this.#channels[Symbol.dispose]()
  }

  #header(): RequestHeader {
    return { clusterId: this.clusterId, senderId: 0n, callerId: 'tidewire', callerComponent: 'cdc' }
  }

  #scope(): KeyspaceScope {
    return { keyspace: { $case: 'keyspaceId', value: this.keyspace?.id ?? NULL_KEYSPACE_ID } }
  }

  /**
   * Service safe points of keyspaces are barriers (for other clusters a newer PD makes barriers of them by itself). The
   * answer tells the same: above `safePoint` = refused.
   */
  async #updateBarrier(barrierId: string, ttlSeconds: number, safePoint: Ts, signal: AbortSignal): Promise<Ts> {
    const code = 'CDC:ErrUpdateServiceSafepointFailed'
    const common = { header: this.#header(), keyspaceScope: this.#scope(), barrierId }
    if (ttlSeconds <= 0 || safePoint === maxTs) {
      await this.#call(PDService.deleteGcBarrier, DeleteGCBarrierRequest.fromPartial(common), signal, code)
    } else {
      const request = SetGCBarrierRequest.fromPartial({
        ...common,
        barrierTs: safePoint,
        ttlSeconds: BigInt(ttlSeconds),
      })
      const isBehind = (header: ResponseHeader | undefined): boolean =>
        /ErrGCBarrierTSBehindTxnSafePoint/.test(header?.error?.message ?? '')
      await this.#call(PDService.setGcBarrier, request, signal, code, isBehind)
    }
    return this.txnSafePoint(signal)
  }

  /** PD's promise; a clock that goes back would break the order of everything. */
  #accept(ts: bigint): Ts {
    if (ts <= this.#lastTs) {
      throw new CdcError('CDC:ErrUpstreamMissMatch', `pd handed out timestamp ${ts} after ${this.#lastTs}`)
    }
    this.#lastTs = ts
    return Ts(ts)
  }

  /** Asks the leader until it answers or the budget is spent; every failure makes us look for the leader again. */
  async #call<Req, Res extends { header: ResponseHeader | undefined }>(
    method: UnaryMethod<Req, Res>,
    request: Req,
    signal: AbortSignal,
    code: ErrorCode,
    tolerate: (header: ResponseHeader | undefined) => boolean = () => false,
  ): Promise<Res> {
    const name = method.path.replace(/^.*\//, '')
    const ask = async (): Promise<Res> => {
      if (this.#options.clock.monotonic() - this.#refreshed > MEMBER_REFRESH_MS) await this.#refresh(signal)
      let answer: Res
      try {
        answer = await unary(this.#channels.client(this.#leader), method, request, CALL_TIMEOUT_MS, signal)
      } catch (error) {
        signal.throwIfAborted()
        if (isServiceError(error, status.FAILED_PRECONDITION) && error.details.includes('mismatch cluster id')) {
          throw new CdcError('CDC:ErrClusterIDMismatch', `pd ${this.#leader}: ${error.details}`, { cause: error })
        }
        if (!isServiceError(error, status.UNIMPLEMENTED)) await this.#refresh(signal)
        throw error
      }
      const failure = answer.header?.error
      if (failure !== undefined && failure.type !== 0 && !tolerate(answer.header)) throw new Error(failure.message)
      return answer
    }
    return this.#guarded(() => retry(ask, BACKOFF, this.#options.clock, signal), name, code, signal)
  }

  /** The same; undefined where PD is too old for that question. */
  async #callIfKnown<Req, Res extends { header: ResponseHeader | undefined }>(
    method: UnaryMethod<Req, Res>,
    request: Req,
    signal: AbortSignal,
    code: ErrorCode,
  ): Promise<Res | undefined> {
    if (this.#unknown.has(method.path)) return undefined
    try {
      return await this.#call(method, request, signal, code)
    } catch (error) {
      if (!(error instanceof CdcError) || !isServiceError(error.cause, status.UNIMPLEMENTED)) throw error
      this.#unknown.add(method.path)
      return undefined
    }
  }

  /** Foreign errors get our code here, once. */
  async #guarded<T>(work: () => Promise<T>, what: string, code: ErrorCode, signal: AbortSignal): Promise<T> {
    this.#stop.signal.throwIfAborted()
    try {
      return await work()
    } catch (error) {
      if (error instanceof CdcError || signal.aborted) throw error
      throw new CdcError(code, `pd ${this.#leader}: ${what} failed`, { cause: error })
    }
  }

  /** Looks for the leader again; concurrent callers share one round, and a failing round leaves the old leader. */
  async #refresh(signal: AbortSignal): Promise<void> {
    this.#refreshing ??= this.#learnMembers(this.#stop.signal)
      .catch((error: unknown) => this.#options.log.warn('pd members not refreshed', { error }))
      .finally(() => (this.#refreshing = undefined))
    await this.#refreshing
    signal.throwIfAborted()
  }

  /** Asks all members at once, so that one that hangs does not keep us from another. */
  async #learnMembers(signal: AbortSignal): Promise<void> {
    const urls = this.endpoints
    const answers = await Promise.allSettled(urls.map((url) => this.#learnFrom(url, signal)))
    signal.throwIfAborted()
    const failures: string[] = []
    for (const [i, answer] of answers.entries()) {
      const url = urls[i] ?? ''
      if (answer.status === 'fulfilled' && !answer.value) failures.push(`${url} knows no leader`)
      else if (answer.status === 'rejected') {
        const error: unknown = answer.reason
        if (error instanceof CdcError) throw error
        failures.push(`${url}: ${isServiceError(error) ? error.details : describeError(error)}`)
        this.#channels.drop(dialAddress(url))
      }
    }
    if (failures.length < urls.length) return
    throw new CdcError('CDC:ErrAPIGetPDClientFailed', `failed to connect to pd: ${failures.join('; ')}`)
  }

  /** True when that member named a leader. */
  async #learnFrom(url: string, signal: AbortSignal): Promise<boolean> {
    const client = this.#channels.client(dialAddress(url))
    const answer = await unary(client, PDService.getMembers, GetMembersRequest.create(), MEMBER_TIMEOUT_MS, signal)
    const clusterId = answer.header?.clusterId ?? 0n
    if (this.clusterId !== 0n && clusterId !== 0n && clusterId !== this.clusterId) {
      const text = `pd ${url} belongs to cluster ${clusterId}, not to ${this.clusterId}`
      throw new CdcError('CDC:ErrClusterIDMismatch', text)
    }
    const leaderUrl = this.#pickUrl(answer.leader?.clientUrls ?? [])
    if (clusterId === 0n || leaderUrl === undefined) return false
    this.clusterId = clusterId
    const others = answer.members.flatMap((member) => this.#pickUrl(member.clientUrls) ?? [])
    this.endpoints = [...new Set([leaderUrl, ...others])]
    const leader = dialAddress(leaderUrl)
    if (leader !== this.#leader) {
      if (this.#leader !== '') this.#options.log.info('pd leader changed', { from: this.#leader, to: leader })
      this.#leader = leader
      // The new one may be of another version.
      this.#unknown.clear()
      this.#tso?.[Symbol.dispose]()
      this.#tso = undefined
    }
    this.#refreshed = this.#options.clock.monotonic()
    return true
  }

  #pickUrl(urls: readonly string[]): string | undefined {
    return urls.find((url) => url.startsWith(`${this.#scheme}://`)) ?? urls[0]
  }
}

/** grpc wants Buffers; shares the memory. */
function bytes(value: Uint8Array): Buffer {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

/** In the shape of PD's own answers; without a key nothing was collected. */
function savedSafePoint(answer: Buffer): { readonly header: undefined; readonly ts: Ts } {
  const text = KVService.range.responseDeserialize(answer).kvs[0]?.value.toString() ?? ''
  return { header: undefined, ts: Ts(/^\d+$/.test(text) ? BigInt(text) : 0n) }
}

/** Our form of PD's record, as a list of one; none where PD gave none. */
export function regionOf(meta: metapb.Region | undefined, leader: metapb.Peer | undefined): Region[] {
  if (meta === undefined || meta.id === 0n) return []
  return [
    {
      id: meta.id,
      confVer: meta.regionEpoch?.confVer ?? 0n,
      version: meta.regionEpoch?.version ?? 0n,
      start: meta.startKey,
      end: meta.endKey,
      peers: meta.peers.map(peerOf),
      leader: leader === undefined || leader.id === 0n ? undefined : peerOf(leader),
    },
  ]
}

const peerOf = (peer: metapb.Peer): Peer => ({ id: peer.id, storeId: peer.storeId })

function storeOf(store: metapb.Store): Store {
  const removed = store.nodeState === metapb.NodeState.Removed
  const tombstone = store.state === metapb.StoreState.Tombstone || removed
  return {
    id: store.id,
    address: store.address,
    version: store.version,
    state: tombstone ? 'tombstone' : store.state === metapb.StoreState.Offline ? 'offline' : 'up',
    tiflash: store.labels.some(({ key, value }) => key === 'engine' && value.startsWith('tiflash')),
  }
}
