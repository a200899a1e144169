import { status } from '@grpc/grpc-js'

import type { Clock } from '../../base/clock.ts'
import { CdcError, describeError, type ErrorCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { retry } from '../../base/retry.ts'
import * as metapb from '../../proto/metapb.ts'
import {
  GetAllStoresRequest,
  GetMembersRequest,
  GetRegionByIDRequest,
  GetRegionRequest,
  GetStoreRequest,
  LoadGlobalConfigRequest,
  PDService,
  type RequestHeader,
  type ResponseHeader,
  ScanRegionsRequest,
  UpdateServiceGCSafePointRequest,
} from '../../proto/pdpb.ts'
import { Ts } from '../../tidb/ts.ts'
import { ChannelPool, dialAddress, isServiceError, unary, type UnaryMethod } from '../channel.ts'
import type { Peer, PdClient, Region, SecurityOptions, Store } from './pd.ts'
import { TsoStream } from './tso-stream.ts'

export interface PdOptions {
  /** URLs or `host:port`; any living member is enough. */
  readonly endpoints: readonly string[]
  readonly security: SecurityOptions
  readonly log: Log
  readonly clock: Clock
  /** How long opening waits for a cluster with a leader; 8 s when absent. */
  readonly connectTimeoutMs?: number
}

const CALL_TIMEOUT_MS = 10_000
/** For the tries of one question (reference: upstream, sections 3.3 and 9); what already has a code is final. */
const BACKOFF = {
  baseMs: 100,
  capMs: 3000,
  totalMs: 20_000,
  retryable: (error: unknown) => !(error instanceof CdcError) && !isServiceError(error, status.UNIMPLEMENTED),
}
const MEMBER_TIMEOUT_MS = 2_000
const MEMBER_REFRESH_MS = 60_000

/**
 * Dials PD and learns cluster id and leader. Rejects with `CDC:ErrAPIGetPDClientFailed` when no member answers in time,
 * `CDC:ErrClusterIDMismatch` when the endpoints belong to different clusters.
 */
export async function openPdClient(options: PdOptions, signal: AbortSignal): Promise<PdClient> {
  const client = new GrpcPdClient(options)
  try {
    await client.connect(signal)
    return client
  } catch (error) {
    await client[Symbol.asyncDispose]()
    throw error
  }
}

class GrpcPdClient implements PdClient {
  clusterId = 0n
  endpoints: readonly string[]
  readonly #options: PdOptions
  readonly #channels: ChannelPool
  readonly #scheme: string
  readonly #stop = new AbortController()
  #leader = ''
  #refreshed = -Infinity
  #refreshing: Promise<void> | undefined
  #tso: TsoStream | undefined
  #lastTs = 0n

  constructor(options: PdOptions) {
    this.#options = options
    this.#channels = new ChannelPool(options.security)
    this.#scheme = options.security.caPath ? 'https' : 'http'
    this.endpoints = options.endpoints.map((url) => (url.includes('://') ? url : `${this.#scheme}://${url}`))
  }

  async connect(signal: AbortSignal): Promise<void> {
    const policy = {
      baseMs: 200,
      capMs: 1000,
      totalMs: this.#options.connectTimeoutMs ?? 8_000,
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
    const header = this.#header()
    const request = ScanRegionsRequest.fromPartial({ header, startKey: bytes(start), endKey: bytes(end), limit })
    const answer = await this.#call(PDService.scanRegions, request, signal, 'CDC:ErrPDBatchLoadRegions')
    if (answer.regions.length > 0) return answer.regions.flatMap((found) => regionOf(found.region, found.leader))
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
    const request = UpdateServiceGCSafePointRequest.fromPartial({
      header: this.#header(),
      serviceId: Buffer.from(serviceId),
      TTL: BigInt(ttlSeconds),
      safePoint,
    })
    const code = 'CDC:ErrUpdateServiceSafepointFailed'
    return Ts((await this.#call(PDService.updateServiceGcSafePoint, request, signal, code)).minSafePoint)
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
