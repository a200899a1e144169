import { status } from '@grpc/grpc-js'

import type {
  Compare,
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  ResponseHeader,
  ResponseOp,
  TxnRequest,
  TxnResponse,
} from '../../proto/etcd.ts'
import {
  Compare_CompareResult as Result,
  Compare_CompareTarget as Target,
  RangeRequest_SortOrder as Order,
  RangeRequest_SortTarget as SortBy,
} from '../../proto/etcd.ts'
import type { Event as WatchEvent } from '../../proto/mvcc.ts'
import { Event_EventType as EventType, KeyValue } from '../../proto/mvcc.ts'
import { compareBytes, noBytes } from '../tikv/bytes.ts'
import { SortedMap } from '../tikv/sorted-map.ts'

const MAX_TXN_OPS = 128
/** History beyond this many events is compacted away. */
const MAX_EVENTS = 100_000

/** An error that etcd's clients know by code and text. */
export class EtcdError extends Error {
  readonly code: status
  readonly details: string

  constructor(code: status, text: string) {
    super(`etcdserver: ${text}`)
    this.code = code
    this.details = this.message
  }
}

const compacted = (): EtcdError => new EtcdError(status.OUT_OF_RANGE, 'mvcc: required revision has been compacted')
const future = (): EtcdError => new EtcdError(status.OUT_OF_RANGE, 'mvcc: required revision is a future revision')
const noLease = (): EtcdError => new EtcdError(status.NOT_FOUND, 'requested lease not found')

interface Item {
  readonly key: Buffer
  /** Oldest first; a deletion is one with version 0. */
  versions: readonly KeyValue[]
}

interface Lease {
  readonly id: bigint
  readonly grantedSeconds: bigint
  expiresAtMs: number
  readonly keys: Set<string>
}

/** All changes of one revision. */
export interface Revision {
  readonly revision: bigint
  readonly events: readonly WatchEvent[]
}

export interface EtcdSaved {
  readonly revision: bigint
  readonly kvs: readonly KeyValue[]
  readonly leases: readonly { readonly id: bigint; readonly seconds: bigint }[]
}

/** etcd's key-value store with revisions, history and leases; one member, in memory. */
export class EtcdStore {
  readonly clusterId: bigint
  readonly memberId: bigint
  revision = 1n
  compactRevision = 0n
  private readonly items = new SortedMap<Item>()
  private readonly leases = new Map<bigint, Lease>()
  private readonly listeners = new Set<(revision: Revision) => void>()
  private readonly now: () => number
  private readonly leaseChanged: (id: bigint, seconds: bigint) => void
  private history: Revision[] = []
  private historyEvents = 0
  private nextLease = 0x1000n

  /** `leaseChanged` hears of every lease that is made, and with 0 seconds of those that end. */
  constructor(options: {
    readonly clusterId: bigint
    readonly saved: EtcdSaved | undefined
    readonly now: () => number
    readonly leaseChanged: (id: bigint, seconds: bigint) => void
  }) {
    this.clusterId = options.clusterId
    this.leaseChanged = options.leaseChanged
    this.memberId = options.clusterId ^ 0x5bd1_e995n
    this.now = options.now
    if (options.saved === undefined) return
    this.revision = options.saved.revision
    this.compactRevision = options.saved.revision
    for (const { id, seconds } of options.saved.leases) this.addLease(id, seconds)
    for (const kv of options.saved.kvs) {
      this.items.set({ key: kv.key, versions: [kv] })
      this.leases.get(kv.lease)?.keys.add(kv.key.toString('latin1'))
    }
  }

  get saved(): EtcdSaved {
    const kvs = [...this.items.range(noBytes, noBytes)].flatMap((item) => live(item) ?? [])
    const leases = [...this.leases.values()].map(({ id, grantedSeconds }) => ({ id, seconds: grantedSeconds }))
    return { revision: this.revision, kvs, leases }
  }

  get header(): ResponseHeader {
    return { clusterId: this.clusterId, memberId: this.memberId, revision: this.revision, raftTerm: 2n }
  }

  listen(listener: (revision: Revision) => void): Disposable {
    this.listeners.add(listener)
    return { [Symbol.dispose]: () => this.listeners.delete(listener) }
  }

  /** What happened from a revision on; throws where that is compacted. */
  since(revision: bigint): readonly Revision[] {
    if (revision <= this.compactRevision) throw compacted()
    return this.history.filter((one) => one.revision >= revision)
  }

  range(request: RangeRequest): RangeResponse {
    if (request.key.length === 0) throw new EtcdError(status.INVALID_ARGUMENT, 'key is not provided')
    const revision = request.revision > 0n ? request.revision : this.revision
    if (revision > this.revision) throw future()
    if (revision < this.compactRevision) throw compacted()
    const [start, end] = bounds(request.key, request.rangeEnd)
    let kvs = [...this.items.range(start, end)].flatMap((item) => at(item, revision) ?? [])
    kvs = kvs.filter(
      ({ modRevision, createRevision }) =>
        within(modRevision, request.minModRevision, request.maxModRevision) &&
        within(createRevision, request.minCreateRevision, request.maxCreateRevision),
    )
    if (request.sortOrder !== Order.NONE) kvs = sortKvs(kvs, request.sortTarget, request.sortOrder === Order.DESCEND)
    const count = BigInt(kvs.length)
    const limit = Number(request.limit)
    const more = limit > 0 && kvs.length > limit
    if (more) kvs = kvs.slice(0, limit)
    if (request.countOnly) kvs = []
    if (request.keysOnly) kvs = kvs.map((kv) => ({ ...kv, value: noBytes }))
    return { header: this.header, kvs, more, count }
  }

  put(request: PutRequest): PutResponse {
    return this.write((change) => change.put(request))
  }

  deleteRange(request: DeleteRangeRequest): DeleteRangeResponse {
    return this.write((change) => change.deleteRange(request))
  }

  txn(request: TxnRequest): TxnResponse {
    checkOps(request)
    return this.write((change) => change.txn(request))
  }

  compact(revision: bigint): void {
    if (revision <= this.compactRevision) throw compacted()
    if (revision > this.revision) throw future()
    this.compactRevision = revision
    this.history = this.history.filter((one) => one.revision >= revision)
    this.historyEvents = this.history.reduce((sum, one) => sum + one.events.length, 0)
    for (const item of [...this.items.range(noBytes, noBytes)]) {
      const keep = item.versions.findLastIndex((kv) => kv.modRevision <= revision)
      const versions = item.versions.slice(Math.max(0, keep))
      if (versions.length === 1 && versions[0]?.version === 0n) this.items.delete(item.key)
      else item.versions = versions
    }
  }

  grant(id: bigint, seconds: bigint): Lease {
    if (seconds <= 0n || seconds > 9_000_000_000n) throw new EtcdError(status.OUT_OF_RANGE, 'too large lease TTL')
    if (this.leases.has(id)) throw new EtcdError(status.FAILED_PRECONDITION, 'lease already exists')
    const lease = this.addLease(id === 0n ? this.freeLease() : id, seconds)
    this.leaseChanged(lease.id, seconds)
    return lease
  }

  revoke(id: bigint): void {
    const lease = this.leases.get(id)
    if (lease === undefined) throw noLease()
    this.leases.delete(id)
    this.leaseChanged(id, 0n)
    const keys = [...lease.keys].map((key) => Buffer.from(key, 'latin1'))
    if (keys.length > 0) this.write((change) => keys.forEach((key) => change.remove(key)))
  }

  /** The new time to live in seconds, 0 where the lease is gone. */
  keepAlive(id: bigint): bigint {
    const lease = this.leases.get(id)
    if (lease === undefined) return 0n
    lease.expiresAtMs = this.now() + Number(lease.grantedSeconds) * 1000
    return lease.grantedSeconds
  }

  timeToLive(id: bigint): { readonly ttl: bigint; readonly granted: bigint; readonly keys: Buffer[] } | undefined {
    const lease = this.leases.get(id)
    if (lease === undefined) return undefined
    const ttl = BigInt(Math.max(0, Math.ceil((lease.expiresAtMs - this.now()) / 1000)))
    return { ttl, granted: lease.grantedSeconds, keys: [...lease.keys].map((key) => Buffer.from(key, 'latin1')) }
  }

  leaseIds(): bigint[] {
    return [...this.leases.keys()]
  }

  /** Ends leases whose time is over. */
  expireLeases(): void {
    for (const lease of [...this.leases.values()]) if (lease.expiresAtMs <= this.now()) this.revoke(lease.id)
  }

  /** The newest version of a key that is not deleted. */
  current(key: Uint8Array): KeyValue | undefined {
    const item = this.items.get(key)
    return item === undefined ? undefined : live(item)
  }

  currentIn(start: Buffer, end: Buffer): KeyValue[] {
    return [...this.items.range(start, end)].flatMap((item) => live(item) ?? [])
  }

  requireLease(id: bigint): void {
    if (id !== 0n && !this.leases.has(id)) throw noLease()
  }

  /** Appends a version and moves the key between leases. */
  store(kv: KeyValue): void {
    const name = kv.key.toString('latin1')
    const item = this.items.get(kv.key) ?? { key: kv.key, versions: [] }
    const before = item.versions.at(-1)
    if (before !== undefined && before.lease !== kv.lease) this.leases.get(before.lease)?.keys.delete(name)
    this.leases.get(kv.lease)?.keys.add(name)
    item.versions = [...item.versions, kv]
    this.items.set(item)
  }

  private write<T>(work: (change: Change) => T): T {
    const change = new Change(this)
    const answer = work(change)
    if (change.events.length > 0) {
      const revision = { revision: this.revision, events: change.events }
      this.history.push(revision)
      this.historyEvents += change.events.length
      for (const listener of this.listeners) listener(revision)
      if (this.historyEvents > MAX_EVENTS)
        this.compact(this.history[this.history.length >>> 1]?.revision ?? this.revision)
    }
    return answer
  }

  private addLease(id: bigint, seconds: bigint): Lease {
    const lease = {
      id,
      grantedSeconds: seconds,
      expiresAtMs: this.now() + Number(seconds) * 1000,
      keys: new Set<string>(),
    }
    this.leases.set(id, lease)
    return lease
  }

  private freeLease(): bigint {
    do this.nextLease += 1n
    while (this.leases.has(this.nextLease))
    return this.nextLease
  }
}

/** One transaction under way: its writes share a revision, which begins with the first of them. */
class Change {
  readonly events: WatchEvent[] = []
  private readonly store: EtcdStore

  constructor(store: EtcdStore) {
    this.store = store
  }

  put(request: PutRequest): PutResponse {
    if (request.key.length === 0) throw new EtcdError(status.INVALID_ARGUMENT, 'key is not provided')
    this.store.requireLease(request.lease)
    const before = this.store.current(request.key)
    if ((request.ignoreValue || request.ignoreLease) && before === undefined)
      throw new EtcdError(status.INVALID_ARGUMENT, 'key not found')
    const revision = this.begin()
    const kv = KeyValue.create({
      key: Buffer.from(request.key),
      value: request.ignoreValue ? (before?.value ?? noBytes) : Buffer.from(request.value),
      lease: request.ignoreLease ? (before?.lease ?? 0n) : request.lease,
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0n) + 1n,
    })
    this.store.store(kv)
    this.events.push({ type: EventType.PUT, kv, prevKv: before })
    return { header: this.store.header, prevKv: request.prevKv ? before : undefined }
  }

  deleteRange(request: DeleteRangeRequest): DeleteRangeResponse {
    if (request.key.length === 0) throw new EtcdError(status.INVALID_ARGUMENT, 'key is not provided')
    const gone = this.store.currentIn(...bounds(request.key, request.rangeEnd))
    for (const { key } of gone) this.remove(key)
    return { header: this.store.header, deleted: BigInt(gone.length), prevKvs: request.prevKv ? gone : [] }
  }

  remove(key: Buffer): void {
    const before = this.store.current(key)
    if (before === undefined) return
    const kv = KeyValue.create({ key: before.key, modRevision: this.begin() })
    this.store.store(kv)
    this.events.push({ type: EventType.DELETE, kv, prevKv: before })
  }

  txn(request: TxnRequest): TxnResponse {
    const succeeded = request.compare.every((compare) => this.holds(compare))
    const ops = succeeded ? request.success : request.failure
    for (const { request: op } of ops) if (op?.$case === 'requestPut') this.store.requireLease(op.value.lease)
    const responses = ops.map((op) => this.run(op))
    return { header: this.store.header, succeeded, responses }
  }

  private run({ request }: RequestOp): ResponseOp {
    switch (request?.$case) {
      case 'requestRange':
        return { response: { $case: 'responseRange', value: this.store.range(request.value) } }
      case 'requestPut':
        return { response: { $case: 'responsePut', value: this.put(request.value) } }
      case 'requestDeleteRange':
        return { response: { $case: 'responseDeleteRange', value: this.deleteRange(request.value) } }
      case 'requestTxn':
        return { response: { $case: 'responseTxn', value: this.txn(request.value) } }
      case undefined:
        return { response: undefined }
    }
  }

  /** A key that does not exist has version, revisions and lease 0, and fails every comparison of values. */
  private holds(compare: Compare): boolean {
    if (compare.rangeEnd.length > 0)
      return this.store.currentIn(...bounds(compare.key, compare.rangeEnd)).every((kv) => compares(compare, kv))
    const kv = this.store.current(compare.key)
    return kv === undefined && compare.target === Target.VALUE ? false : compares(compare, kv)
  }

  private begin(): bigint {
    if (this.events.length === 0) this.store.revision += 1n
    return this.store.revision
  }
}

function compares(compare: Compare, kv: KeyValue | undefined): boolean {
  const wanted = compare.targetUnion
  const order = ((): number => {
    switch (compare.target) {
      case Target.VALUE:
        return compareBytes(kv?.value ?? noBytes, wanted?.$case === 'value' ? wanted.value : noBytes)
      case Target.VERSION:
        return sign((kv?.version ?? 0n) - (wanted?.$case === 'version' ? wanted.value : 0n))
      case Target.CREATE:
        return sign((kv?.createRevision ?? 0n) - (wanted?.$case === 'createRevision' ? wanted.value : 0n))
      case Target.MOD:
        return sign((kv?.modRevision ?? 0n) - (wanted?.$case === 'modRevision' ? wanted.value : 0n))
      case Target.LEASE:
        return sign((kv?.lease ?? 0n) - (wanted?.$case === 'lease' ? wanted.value : 0n))
    }
  })()
  switch (compare.result) {
    case Result.EQUAL:
      return order === 0
    case Result.NOT_EQUAL:
      return order !== 0
    case Result.GREATER:
      return order > 0
    case Result.LESS:
      return order < 0
  }
}

const sign = (value: bigint): number => (value > 0n ? 1 : value < 0n ? -1 : 0)

function checkOps(request: TxnRequest): void {
  for (const ops of [request.success, request.failure]) {
    if (ops.length > MAX_TXN_OPS || request.compare.length > MAX_TXN_OPS)
      throw new EtcdError(status.INVALID_ARGUMENT, 'too many operations in txn request')
    const keys = ops.flatMap(({ request: op }) => (op?.$case === 'requestPut' ? [op.value.key.toString('latin1')] : []))
    if (new Set(keys).size < keys.length)
      throw new EtcdError(status.INVALID_ARGUMENT, 'duplicate key given in txn request')
    for (const { request: op } of ops) if (op?.$case === 'requestTxn') checkOps(op.value)
  }
}

const live = (item: Item): KeyValue | undefined => {
  const last = item.versions.at(-1)
  return last === undefined || last.version === 0n ? undefined : last
}

function at(item: Item, revision: bigint): KeyValue | undefined {
  const found = item.versions.findLast((kv) => kv.modRevision <= revision)
  return found === undefined || found.version === 0n ? undefined : found
}

const within = (value: bigint, least: bigint, most: bigint): boolean =>
  (least === 0n || value >= least) && (most === 0n || value <= most)

/** etcd's range: no end = one key, end "\0" = everything from the key on. */
export function bounds(key: Buffer, rangeEnd: Buffer): [start: Buffer, end: Buffer] {
  if (rangeEnd.length === 0) return [key, Buffer.concat([key, Buffer.of(0)])]
  return [key, rangeEnd.length === 1 && rangeEnd[0] === 0 ? noBytes : rangeEnd]
}

function sortKvs(kvs: readonly KeyValue[], by: SortBy, descending: boolean): KeyValue[] {
  const order = (a: KeyValue, b: KeyValue): number => {
    switch (by) {
      case SortBy.KEY:
        return compareBytes(a.key, b.key)
      case SortBy.VALUE:
        return compareBytes(a.value, b.value)
      case SortBy.VERSION:
        return sign(a.version - b.version)
      case SortBy.CREATE:
        return sign(a.createRevision - b.createRevision)
      case SortBy.MOD:
        return sign(a.modRevision - b.modRevision)
    }
  }
  return kvs.toSorted((a, b) => (descending ? order(b, a) : order(a, b)))
}
