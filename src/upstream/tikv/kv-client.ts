import { status } from '@grpc/grpc-js'

import type { Clock } from '../../base/clock.ts'
import { CdcError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type * as errorpb from '../../proto/errorpb.ts'
import { APIVersion, Context } from '../../proto/kvrpcpb.ts'
import { compareBytes, decodeBytes, encodeBytes } from '../../tidb/key.ts'
import { ChannelPool, isServiceError, unary, type UnaryMethod } from '../channel.ts'
import { regionOf } from '../pd/client.ts'
import type { Peer, PdClient, Region, SecurityOptions } from '../pd/pd.ts'
import { Backoff, type BackoffKind } from './backoff.ts'
import { type CachedRegion, contains, RegionCache } from './region-cache.ts'
import { StoreDirectory } from './stores.ts'

/** What every answer of a region call has. */
export interface RegionAnswer {
  readonly regionError: errorpb.Error | undefined
}

/** The piece of the raw key space that one answer speaks for; an empty end is +infinity. */
export interface RawRange {
  readonly start: Uint8Array
  readonly end: Uint8Array
}

export interface CallOptions {
  readonly timeoutMs?: number
  /** Fields of the context that differ from the default, for example `resolvedLocks` or `txnSource`. */
  readonly context?: Parameters<typeof Context.fromPartial>[0]
}

/**
 * Unary `tikvpb` calls to the leader of a key's region. Keys are raw. Region errors and broken connections are dealt with
 * inside (20 s of pauses at most, then `CDC:ErrReachMaxTry`), the context names the keyspace, whose prefix the keys have; key errors and locks are the caller's.
 */
export interface KvClient extends AsyncDisposable {
  readonly pd: PdClient
  readonly clock: Clock
  /** `build` is called again for every try. `range` is the region that answered. */
  call<Req, Res extends RegionAnswer>(
    key: Uint8Array,
    method: UnaryMethod<Req, Res>,
    build: (context: Context, range: RawRange) => Req,
    signal: AbortSignal,
    options?: CallOptions,
  ): Promise<{ readonly answer: Res; readonly range: RawRange }>
  /**
   * One call per region for a set of keys (duplicates count once), one after the other in key order; keys whose region changed meanwhile are
   * grouped anew, so a key can be sent twice, and `visit` sees every answer with the keys that it is for.
   */
  callGrouped<Req, Res extends RegionAnswer>(
    keys: readonly Uint8Array[],
    method: UnaryMethod<Req, Res>,
    build: (context: Context, keys: readonly Uint8Array[]) => Req,
    visit: (answer: Res, keys: readonly Uint8Array[]) => void | Promise<void>,
    signal: AbortSignal,
    options?: CallOptions,
  ): Promise<void>
}

export interface KvOptions {
  readonly pd: PdClient
  readonly security: SecurityOptions
  readonly log: Log
  readonly clock: Clock
}

const CALL_TIMEOUT_MS = 30_000
const BUDGET_MS = 20_000

/** Opens no connection yet. */
export function openKvClient(options: KvOptions): KvClient {
  return new GrpcKvClient(options)
}

/** A try that failed in a way that another try may cure. */
class Retriable extends Error {
  readonly kind: BackoffKind

  constructor(kind: BackoffKind, text: string, cause?: unknown) {
    super(text, { cause })
    this.kind = kind
  }
}

class GrpcKvClient implements KvClient {
  readonly pd: PdClient
  readonly clock: Clock
  readonly #channels: ChannelPool
  readonly #stores: StoreDirectory
  readonly #regions = new RegionCache()
  readonly #apiContext: CallOptions['context']

  constructor(options: KvOptions) {
    this.pd = options.pd
    this.clock = options.clock
    this.#channels = new ChannelPool(options.security)
    this.#stores = new StoreDirectory(options.pd, options.clock)
    const { keyspace } = options.pd
    this.#apiContext =
      keyspace === undefined ? {} : { apiVersion: APIVersion.V2, keyspace: { $case: 'keyspaceId', value: keyspace.id } }
  }

  async call<Req, Res extends RegionAnswer>(
    key: Uint8Array,
    method: UnaryMethod<Req, Res>,
    build: (context: Context, range: RawRange) => Req,
    signal: AbortSignal,
    options: CallOptions = {},
  ): Promise<{ readonly answer: Res; readonly range: RawRange }> {
    const backoff = new Backoff(this.clock, BUDGET_MS)
    const encoded = encodeBytes(key)
    for (;;) {
      try {
        const region = await this.#locate(encoded, signal)
        const range = { start: rawKey(region.start), end: rawKey(region.end) }
        const answer = await this.#try(region, method, (context) => build(context, range), signal, options)
        return { answer, range }
      } catch (error) {
        if (!(error instanceof Retriable)) throw error
        await backoff.pause(error.kind, error, signal)
      }
    }
  }

  async callGrouped<Req, Res extends RegionAnswer>(
    keys: readonly Uint8Array[],
    method: UnaryMethod<Req, Res>,
    build: (context: Context, keys: readonly Uint8Array[]) => Req,
    visit: (answer: Res, keys: readonly Uint8Array[]) => void | Promise<void>,
    signal: AbortSignal,
    options: CallOptions = {},
  ): Promise<void> {
    const backoff = new Backoff(this.clock, BUDGET_MS)
    let left = keys.map((raw) => ({ raw, encoded: encodeBytes(raw) }))
    left.sort((a, b) => compareBytes(a.encoded, b.encoded))
    left = left.filter(({ encoded }, i) => i === 0 || compareBytes(encoded, left[i - 1]?.encoded ?? encoded) !== 0)
    while (left[0] !== undefined) {
      try {
        const region = await this.#locate(left[0].encoded, signal)
        const beyond = left.findIndex(({ encoded }) => !contains(region, encoded))
        const group = left.slice(0, beyond < 0 ? left.length : beyond).map(({ raw }) => raw)
        const answer = await this.#try(region, method, (context) => build(context, group), signal, options)
        await visit(answer, group)
        left = left.slice(group.length)
      } catch (error) {
        if (!(error instanceof Retriable)) throw error
        await backoff.pause(error.kind, error, signal)
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#channels[Symbol.dispose]()
  }

  async #locate(encodedKey: Uint8Array, signal: AbortSignal): Promise<CachedRegion> {
    const cached = this.#regions.find(encodedKey)
    if (cached !== undefined) return cached
    const region = await this.pd.region(encodedKey, signal)
    const leader = region?.leader ?? region?.peers[0]
    if (region === undefined || leader === undefined) throw new Retriable('pdRpc', 'pd knows no region for the key')
    if (!hasRawBounds(region)) {
      const text = `pd says that region ${region.id} ends at a key that is not encoded`
      throw new CdcError('CDC:ErrPDBatchLoadRegions', text)
    }
    const fresh = { ...region, leader }
    this.#regions.put(fresh)
    return fresh
  }

  async #try<Req, Res extends RegionAnswer>(
    region: CachedRegion,
    method: UnaryMethod<Req, Res>,
    build: (context: Context) => Req,
    signal: AbortSignal,
    options: CallOptions,
  ): Promise<Res> {
    const address = await this.#address(region, signal)
    const context = Context.fromPartial({
      ...this.#apiContext,
      ...options.context,
      regionId: region.id,
      regionEpoch: { confVer: region.confVer, version: region.version },
      peer: region.leader,
    })
    let answer: Res
    try {
      const timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS
      answer = await unary(this.#channels.client(address), method, build(context), timeoutMs, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!isServiceError(error)) throw error
      if (error.code === status.UNIMPLEMENTED || error.code === status.INVALID_ARGUMENT) {
        throw new CdcError('CDC:ErrUnexpected', `${method.path} refused by ${address}`, { cause: error })
      }
      this.#stores.forget(region.leader.storeId)
      // Also a leader that PD names can be dead: PD may need ten seconds to notice.
      if (region.peers.length > 1) this.#regions.setLeader(region, nextPeer(region))
      else this.#regions.drop(region)
      throw new Retriable('tikvRpc', `${method.path} to ${address} failed`, error)
    }
    if (answer.regionError !== undefined) throw this.#regionFailure(region, answer.regionError)
    return answer
  }

  async #address(region: CachedRegion, signal: AbortSignal): Promise<string> {
    try {
      return (await this.#stores.find(region.leader.storeId, signal)).address
    } catch (error) {
      if (!(error instanceof CdcError)) throw error
      this.#regions.drop(region)
      throw new Retriable('regionMiss', error.message, error)
    }
  }

  /** Corrects the cache and says how long to wait (reference: upstream, sections 4 and 9). */
  #regionFailure(region: CachedRegion, error: errorpb.Error): Error {
    const fail = (kind: BackoffKind): Retriable => new Retriable(kind, `region ${region.id}: ${nameOf(error)}`)
    if (error.FlashbackInProgress !== undefined || error.raftEntryTooLarge !== undefined) {
      return new CdcError('CDC:ErrUnexpected', `region ${region.id}: ${nameOf(error)}`)
    }
    if (error.notLeader !== undefined) {
      const { leader } = error.notLeader
      if (leader !== undefined && leader.id !== 0n) this.#regions.setLeader(region, leader)
      else this.#regions.drop(region)
      return fail(leader === undefined ? 'regionScheduling' : 'regionMiss')
    }
    if (error.epochNotMatch !== undefined) {
      const fresh = error.epochNotMatch.currentRegions.flatMap((meta) => regionOf(meta, undefined))
      this.#regions.drop(region)
      // A store that is behind PD's knowledge: its records must not replace newer ones.
      if (fresh.some((one) => one.id === region.id && one.version < region.version)) return fail('regionMiss')
      for (const one of fresh) {
        const leader = one.peers.find((peer) => peer.storeId === region.leader.storeId)
        if (leader !== undefined && hasRawBounds(one)) this.#regions.put({ ...one, leader })
      }
      return fail('regionMiss')
    }
    if (error.serverIsBusy !== undefined) return fail('serverBusy')
    if (error.staleCommand !== undefined) return fail('staleCommand')
    if (error.maxTimestampNotSynced !== undefined) return fail('maxTsNotSynced')
    if (error.readIndexNotReady !== undefined || error.proposalInMergingMode !== undefined)
      return fail('regionScheduling')
    if (error.diskFull !== undefined) return fail('diskFull')
    this.#regions.drop(region)
    // The address belongs to another store now.
    if (error.storeNotMatch !== undefined) this.#stores.forget(region.leader.storeId)
    if (error.RecoveryInProgress !== undefined) return fail('regionRecovery')
    if (error.isWitness !== undefined) return fail('isWitness')
    return fail('regionMiss')
  }
}

/** The KvClient that snapshots over one PD client share when they are not given one. */
const shared = new WeakMap<PdClient, KvClient>()

/** A KvClient of the PD client's own life; connections without calls keep no process alive. */
export function sharedKvClient(options: KvOptions): KvClient {
  let client = shared.get(options.pd)
  if (client === undefined) {
    client = openKvClient(options)
    shared.set(options.pd, client)
  }
  return client
}

function nextPeer(region: CachedRegion): Peer {
  const at = region.peers.findIndex((peer) => peer.id === region.leader.id)
  return region.peers[(at + 1) % region.peers.length] ?? region.leader
}

/** The raw form of a region boundary; empty stays empty. */
export const rawKey = (boundary: Uint8Array): Uint8Array =>
  boundary.length === 0 ? boundary : decodeBytes(boundary).raw

function hasRawBounds({ start, end }: Region): boolean {
  try {
    rawKey(start)
    rawKey(end)
    return true
  } catch {
    return false
  }
}

function nameOf(error: errorpb.Error): string {
  const kind = Object.entries(error).find(([key, value]) => key !== 'message' && value !== undefined)?.[0] ?? 'unknown'
  return `${kind} ${error.message}`.trim()
}

/** True when raw `key` lies at or behind the raw end of a range; an empty end is +infinity. */
export function isBeyond(key: Uint8Array, end: Uint8Array): boolean {
  return end.length > 0 && compareBytes(key, end) >= 0
}
