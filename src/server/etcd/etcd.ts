import { type ClientUnaryCall, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import type { Clock } from '../../base/clock.ts'
import { CdcError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { backoffMs, retry } from '../../base/retry.ts'
import {
  type Compare,
  Compare_CompareResult,
  Compare_CompareTarget,
  type DeleteRangeResponse,
  KVClient,
  LeaseClient,
  type LeaseGrantResponse,
  type LeaseKeepAliveResponse,
  type LeaseRevokeResponse,
  type PutResponse,
  type RangeResponse,
  RangeRequest,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  type RequestOp,
  type TxnResponse,
  WatchClient,
  WatchRequest,
  type WatchResponse,
} from '../../proto/etcd.ts'
import { Event_EventType, type KeyValue } from '../../proto/mvcc.ts'
import { channelSecurity, dialAddress } from '../../upstream/channel.ts'
import type { SecurityOptions } from '../../upstream/pd/pd.ts'

export interface EtcdOptions {
  /** URLs as given for PD: `http://host:port`. */
  readonly endpoints: readonly string[]
  readonly security: SecurityOptions
  readonly log: Log
  readonly clock: Clock
}

/** A key with its value as text, and where it stands in etcd's history. */
export interface EtcdEntry {
  readonly key: string
  readonly value: string
  readonly createRevision: bigint
  readonly modRevision: bigint
  /** 0 = none. */
  readonly lease: bigint
}

/** A condition of a transaction. Revision 0 = the key does not exist. */
export type EtcdCompare =
  | { readonly key: string; readonly createRevision: bigint }
  | { readonly key: string; readonly modRevision: bigint }

export type EtcdOp =
  | { readonly put: string; readonly value: string; readonly lease?: bigint }
  | { readonly delete: string; readonly prefix?: boolean }

export interface EtcdTxnResult {
  readonly succeeded: boolean
  readonly revision: bigint
}

/** `entry` is undefined where the key was deleted; `revision` is that of the change. */
export interface EtcdChange {
  readonly key: string
  readonly entry: EtcdEntry | undefined
  readonly revision: bigint
}

/** All keys of a prefix, or what changed since. */
export type EtcdWatchEvent =
  | { readonly type: 'snapshot'; readonly entries: readonly EtcdEntry[]; readonly revision: bigint }
  | {
      readonly type: 'changes'
      readonly changes: readonly EtcdChange[]
    }

/**
 * A small client of etcd v3. Calls go to one endpoint and on to the next when it fails; those that may be repeated are
 * retried for ten seconds, then reject with `CDC:ErrPDEtcdAPIError`.
 */
export interface Etcd extends Disposable {
  get(key: string, signal: AbortSignal): Promise<EtcdEntry | undefined>
  list(
    prefix: string,
    signal: AbortSignal,
  ): Promise<{ readonly entries: readonly EtcdEntry[]; readonly revision: bigint }>
  /** The entry under `prefix` that was created last before `beforeRevision`, or first; for elections. */
  oldest(prefix: string, signal: AbortSignal): Promise<EtcdEntry | undefined>
  newestBefore(prefix: string, revision: bigint, signal: AbortSignal): Promise<EtcdEntry | undefined>
  put(key: string, value: string, options: { readonly lease?: bigint }, signal: AbortSignal): Promise<void>
  /** Returns how many keys there were. */
  delete(key: string, options: { readonly prefix?: boolean }, signal: AbortSignal): Promise<number>
  /**
   * `succeeded` where all conditions held and the operations were done, at `revision`. `repeatable`: doing it twice does no harm, so that it is
   * retried when its outcome is unknown; otherwise that rejects at once.
   */
  txn(
    conditions: readonly EtcdCompare[],
    operations: readonly EtcdOp[],
    options: { readonly repeatable: boolean },
    signal: AbortSignal,
  ): Promise<EtcdTxnResult>
  /** A snapshot of the prefix, then its changes; another snapshot where changes were missed. Ends with the signal. */
  watch(prefix: string, signal: AbortSignal): AsyncGenerator<EtcdWatchEvent, void>
  grantLease(ttlSeconds: number, signal: AbortSignal): Promise<bigint>
  /** One renewal, without retry; returns the seconds left, 0 or less = the lease is gone. */
  renewLease(lease: bigint, timeoutMs: number, signal: AbortSignal): Promise<number>
  revokeLease(lease: bigint, signal: AbortSignal): Promise<void>
  /** Id of the etcd cluster; part of the names of GC service ids. */
  clusterId(signal: AbortSignal): Promise<bigint>
}

const CALL_TIMEOUT_MS = 3000
const RETRY_TOTAL_MS = 10_000
const RETRY_BASE_MS = 100
const RETRY_CAP_MS = 1000
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3000,
  'grpc.max_reconnect_backoff_ms': 3000,
  'grpc.max_receive_message_length': -1,
}

/** Codes after which the request has surely not been carried out, or another endpoint may know better. */
const RETRYABLE: ReadonlySet<number> = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.INTERNAL,
  status.UNKNOWN,
  status.CANCELLED,
])

interface Endpoint {
  readonly kv: KVClient
  readonly watch: WatchClient
  readonly lease: LeaseClient
}

/** Connects lazily; nothing is dialled until the first call. */
export function openEtcd(options: EtcdOptions): Etcd {
  return new EtcdClient(options)
}

class EtcdClient implements Etcd {
  readonly #endpoints: readonly Endpoint[]
  readonly #log: Log
  readonly #clock: Clock
  #current = 0

  constructor(options: EtcdOptions) {
    this.#endpoints = options.endpoints.map((url) => {
      const address = dialAddress(url)
      const secure = channelSecurity(address, options.security)
      const channel = { ...CHANNEL_OPTIONS, ...secure.options }
      return {
        kv: new KVClient(address, secure.credentials, channel),
        watch: new WatchClient(address, secure.credentials, channel),
        lease: new LeaseClient(address, secure.credentials, channel),
      }
    })
    this.#log = options.log
    this.#clock = options.clock
  }

  async get(key: string, signal: AbortSignal): Promise<EtcdEntry | undefined> {
    const response = await this.#range({ key: bytes(key) }, signal)
    const [kv] = response.kvs
    return kv && entryOf(kv)
  }

  async list(prefix: string, signal: AbortSignal): ReturnType<Etcd['list']> {
    const response = await this.#range(prefixRange(prefix), signal)
    return { entries: response.kvs.map(entryOf), revision: response.header?.revision ?? 0n }
  }

  async oldest(prefix: string, signal: AbortSignal): Promise<EtcdEntry | undefined> {
    return this.#edge(prefix, { sortOrder: RangeRequest_SortOrder.ASCEND }, signal)
  }

  async newestBefore(prefix: string, revision: bigint, signal: AbortSignal): Promise<EtcdEntry | undefined> {
    return this.#edge(prefix, { sortOrder: RangeRequest_SortOrder.DESCEND, maxCreateRevision: revision - 1n }, signal)
  }

  async put(key: string, value: string, options: { readonly lease?: bigint }, signal: AbortSignal): Promise<void> {
    const request = {
      key: bytes(key),
      value: bytes(value),
      lease: options.lease ?? 0n,
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    }
    await this.#call<PutResponse>(`put ${key}`, true, signal, (endpoint, metadata, call, done) =>
      endpoint.kv.put(request, metadata, call, done),
    )
  }

  async delete(key: string, options: { readonly prefix?: boolean }, signal: AbortSignal): Promise<number> {
    const range = options.prefix === true ? prefixRange(key) : { key: bytes(key), rangeEnd: Buffer.alloc(0) }
    const response = await this.#call<DeleteRangeResponse>(
      `delete ${key}`,
      true,
      signal,
      (endpoint, metadata, call, done) => endpoint.kv.deleteRange({ ...range, prevKv: false }, metadata, call, done),
    )
    return Number(response.deleted)
  }

  async txn(
    conditions: readonly EtcdCompare[],
    operations: readonly EtcdOp[],
    options: { readonly repeatable: boolean },
    signal: AbortSignal,
  ): Promise<EtcdTxnResult> {
    const request = { compare: conditions.map(compareOf), success: operations.map(operationOf), failure: [] }
    const response = await this.#call<TxnResponse>(
      'txn',
      options.repeatable,
      signal,
      (endpoint, metadata, call, done) => endpoint.kv.txn(request, metadata, call, done),
    )
    return { succeeded: response.succeeded, revision: response.header?.revision ?? 0n }
  }

  async *watch(prefix: string, signal: AbortSignal): AsyncGenerator<EtcdWatchEvent, void> {
    while (!signal.aborted) {
      const { entries, revision } = await this.list(prefix, signal)
      yield { type: 'snapshot', entries, revision }
      yield* this.#changesFrom(prefix, revision + 1n, signal)
    }
  }

  async grantLease(ttlSeconds: number, signal: AbortSignal): Promise<bigint> {
    const response = await this.#call<LeaseGrantResponse>(
      'lease grant',
      true,
      signal,
      (endpoint, metadata, call, done) =>
        endpoint.lease.leaseGrant({ TTL: BigInt(ttlSeconds), ID: 0n }, metadata, call, done),
    )
    if (response.error !== '') throw new CdcError('CDC:ErrPDEtcdAPIError', `etcd refused a lease: ${response.error}`)
    return response.ID
  }

  renewLease(lease: bigint, timeoutMs: number, signal: AbortSignal): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const stream = this.#endpoint().lease.leaseKeepAlive({ deadline: Date.now() + timeoutMs })
    const stop = (): void => stream.cancel()
    signal.addEventListener('abort', stop, { once: true })
    stream.on('data', (response: LeaseKeepAliveResponse) => {
      resolve(Number(response.TTL))
      stream.end()
    })
    stream.on('error', (cause) => {
      this.#current++
      reject(signal.aborted ? signal.reason : apiError('lease keep-alive', cause))
    })
    stream.on('end', () => reject(apiError('lease keep-alive', new Error('the stream ended without an answer'))))
    stream.write({ ID: lease })
    return promise.finally(() => signal.removeEventListener('abort', stop))
  }

  async revokeLease(lease: bigint, signal: AbortSignal): Promise<void> {
    try {
      await this.#call<LeaseRevokeResponse>('lease revoke', true, signal, (endpoint, metadata, call, done) =>
        endpoint.lease.leaseRevoke({ ID: lease }, metadata, call, done),
      )
    } catch (error) {
      if (grpcCode(error) !== status.NOT_FOUND) throw error
    }
  }

  async clusterId(signal: AbortSignal): Promise<bigint> {
    const response = await this.#range({ key: bytes('/'), countOnly: true }, signal)
    return response.header?.clusterId ?? 0n
  }

  [Symbol.dispose](): void {
    for (const { kv, watch, lease } of this.#endpoints) for (const client of [kv, watch, lease]) client.close()
  }

  #endpoint(): Endpoint {
    const endpoint = this.#endpoints[this.#current % this.#endpoints.length]
    if (endpoint === undefined) throw new RangeError('etcd needs at least one endpoint')
    return endpoint
  }

  #range(request: Partial<RangeRequest>, signal: AbortSignal): Promise<RangeResponse> {
    return this.#call<RangeResponse>(
      `range ${request.key?.toString() ?? ''}`,
      true,
      signal,
      (endpoint, metadata, call, done) => endpoint.kv.range(RangeRequest.create(request), metadata, call, done),
    )
  }

  async #edge(prefix: string, request: Partial<RangeRequest>, signal: AbortSignal): Promise<EtcdEntry | undefined> {
    const range = { ...prefixRange(prefix), ...request, sortTarget: RangeRequest_SortTarget.CREATE, limit: 1n }
    const [kv] = (await this.#range(range, signal)).kvs
    return kv && entryOf(kv)
  }

  /** Changes from a revision on, over broken streams; ends where etcd has compacted what was missed. */
  async *#changesFrom(prefix: string, start: bigint, signal: AbortSignal): AsyncGenerator<EtcdWatchEvent, void> {
    let next = start
    let failures = 0
    while (!signal.aborted) {
      try {
        for await (const response of this.#watchStream(prefix, next, signal)) {
          if (response.compactRevision > 0n) return
          if (response.canceled) break
          failures = 0
          // A batch of past events carries the present revision: only what it holds counts as seen.
          const last = response.events.at(-1)?.kv?.modRevision
          const revision: bigint = last ?? response.header?.revision ?? 0n
          if (last !== undefined) yield { type: 'changes', changes: response.events.flatMap(changeOf) }
          if (!response.fragment && !response.created && revision >= next) next = revision + 1n
        }
      } catch (error) {
        if (signal.aborted) return
        if (failures === 0) this.#log.warn('etcd watch broke, it starts again', { prefix, error })
      }
      this.#current++
      failures++
      await this.#clock.sleep(backoffMs(failures, RETRY_BASE_MS, RETRY_CAP_MS), signal).catch(() => {})
    }
  }

  /** Responses of one watch stream until it breaks. */
  async *#watchStream(prefix: string, startRevision: bigint, signal: AbortSignal): AsyncGenerator<WatchResponse, void> {
    const stream = this.#endpoint().watch.watch()
    const stop = (): void => stream.cancel()
    signal.addEventListener('abort', stop, { once: true })
    stream.on('error', () => {})
    try {
      const createRequest = { ...prefixRange(prefix), startRevision, progressNotify: true, fragment: true }
      stream.write(WatchRequest.create({ requestUnion: { $case: 'createRequest', value: createRequest } }))
      for await (const response of stream) yield response as WatchResponse
    } finally {
      signal.removeEventListener('abort', stop)
      stream.cancel()
    }
  }

  /** A unary call; moves to the next endpoint at each failure that the endpoint may be to blame for. */
  #call<T>(what: string, repeatable: boolean, signal: AbortSignal, start: UnaryStart<T>): Promise<T> {
    return retry(
      () => this.#once(what, signal, start),
      {
        baseMs: RETRY_BASE_MS,
        capMs: RETRY_CAP_MS,
        totalMs: RETRY_TOTAL_MS,
        retryable: (error) => RETRYABLE.has(grpcCode(error)) && (repeatable || wasNotSent(error)),
      },
      this.#clock,
      signal,
    )
  }

  #once<T>(what: string, signal: AbortSignal, start: UnaryStart<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const options = { deadline: Date.now() + CALL_TIMEOUT_MS }
    const call = start(this.#endpoint(), new Metadata(), options, (error, response) => {
      if (error === null) return resolve(response)
      if (RETRYABLE.has(error.code)) this.#current++
      return reject(signal.aborted ? signal.reason : apiError(what, error))
    })
    const stop = (): void => call.cancel()
    signal.addEventListener('abort', stop, { once: true })
    return promise.finally(() => signal.removeEventListener('abort', stop))
  }
}

type UnaryStart<T> = (
  endpoint: Endpoint,
  metadata: Metadata,
  options: { readonly deadline: number },
  done: (error: ServiceError | null, response: T) => void,
) => ClientUnaryCall

const apiError = (what: string, cause: Error): CdcError =>
  new CdcError('CDC:ErrPDEtcdAPIError', `etcd api call error: ${what}`, { cause })

/** Status code of the gRPC error inside a wrapped one, -1 where there is none. */
function grpcCode(error: unknown): number {
  const cause = error instanceof CdcError ? error.cause : error
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'number' ? cause.code : -1
}

/** True where no connection existed, so that a request that must not be repeated may be sent again. */
const wasNotSent = (error: unknown): boolean =>
  error instanceof CdcError && error.cause instanceof Error && error.cause.message.includes('No connection established')

const bytes = (text: string): Buffer => Buffer.from(text)

function entryOf(kv: KeyValue): EtcdEntry {
  const { createRevision, modRevision, lease } = kv
  return { key: kv.key.toString(), value: kv.value.toString(), createRevision, modRevision, lease }
}

/** A prefix ends with a byte below 0xff: it is text. */
function prefixRange(prefix: string): { readonly key: Buffer; readonly rangeEnd: Buffer } {
  const rangeEnd = bytes(prefix)
  const last = rangeEnd.length - 1
  rangeEnd[last] = (rangeEnd[last] ?? 0) + 1
  return { key: bytes(prefix), rangeEnd }
}

function compareOf(condition: EtcdCompare): Compare {
  const byCreation = 'createRevision' in condition
  return {
    result: Compare_CompareResult.EQUAL,
    target: byCreation ? Compare_CompareTarget.CREATE : Compare_CompareTarget.MOD,
    key: bytes(condition.key),
    targetUnion: byCreation
      ? { $case: 'createRevision', value: condition.createRevision }
      : { $case: 'modRevision', value: condition.modRevision },
    rangeEnd: Buffer.alloc(0),
  }
}

function operationOf(operation: EtcdOp): RequestOp {
  if ('put' in operation) {
    const value = { key: bytes(operation.put), value: bytes(operation.value), lease: operation.lease ?? 0n }
    return {
      request: { $case: 'requestPut', value: { ...value, prevKv: false, ignoreValue: false, ignoreLease: false } },
    }
  }
  const range =
    operation.prefix === true
      ? prefixRange(operation.delete)
      : { key: bytes(operation.delete), rangeEnd: Buffer.alloc(0) }
  return { request: { $case: 'requestDeleteRange', value: { ...range, prevKv: false } } }
}

function changeOf(event: { readonly type: number; readonly kv: KeyValue | undefined }): readonly EtcdChange[] {
  if (event.kv === undefined) return []
  const entry = event.type === Event_EventType.PUT ? entryOf(event.kv) : undefined
  return [{ key: event.kv.key.toString(), entry, revision: event.kv.modRevision }]
}
