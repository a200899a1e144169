import { setTimeout as delay } from 'node:timers/promises'

import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { status } from '@grpc/grpc-js'

import type { ChangeDataRequest, ChangeDataServer, Error as FeedError, Event_Row } from '../../proto/cdcpb.ts'
import { ChangeDataRequest_KvAPI as KvApi, Error as FeedErrors, Event, Event_LogType } from '../../proto/cdcpb.ts'
import type { RegionFault } from '../faults.ts'
import { decodeKey, earlierEnd, inRange, laterStart, noBytes, compareBytes } from './bytes.ts'
import type { Cluster } from './cluster.ts'
import type { FeedCall } from './feed-connection.ts'
import { atLeast, FeedConnection, parseVersion } from './feed-connection.ts'
import { committedRow, initializedRow, isFiltered, liveRow, prewriteRow, rowBytes, scannedBytes } from './feed-rows.ts'
import type { Lock, Mutation, Write } from './mvcc.ts'
import type { Region, RegionChange } from './regions.ts'
import { regionMeta } from './regions.ts'
import { groupResolved } from './resolved-groups.ts'

const SCAN_EVENT_BYTES = 32 << 10
const SCAN_AHEAD_BYTES = 4 << 20
const SCANS_AT_ONCE = 6
/** Scans that wait or run on one store; a registration beyond is refused. */
const PENDING_SCANS = 10_000
const FEATURES: readonly string[] = ['stream-multiplexing']

/** Answers registrations in the store's place, with frames made beforehand. */
export interface Replay {
  /** False where the store is to answer. `write` resolves when there is room for more; it is one function per stream. */
  (request: ChangeDataRequest, write: (frame: Buffer) => Promise<void>): boolean
}

export interface FeedOptions {
  readonly resolvedTsIntervalMs: number
  /** What may wait to be sent on one store; a change or a part of a scan beyond it ends its subscription with `congested`. */
  readonly quotaBytes: number
  /** Scans that may wait or run; beyond them registrations are told that the server is busy. */
  readonly pendingScans?: number
  /** How fast one scan reads; without it as fast as it can. */
  readonly scanBytesPerSecond?: number
  readonly replay?: Replay | undefined
}

interface Subscription {
  readonly connection: FeedConnection
  readonly requestId: bigint
  readonly regionId: bigint
  readonly rawStart: Buffer
  readonly rawEnd: Buffer
  /** The range asked for covers the region: then even rows without a key belong to it. */
  readonly wholeRegion: boolean
  readonly version: bigint
  readonly checkpointTs: bigint
  readonly filterLoop: boolean
  state: 'waiting' | 'scanning' | 'normal' | 'stopped'
  resolvedTs: bigint
}

/** cdcpb of one store: the changes of the regions that it leads. */
export class FeedService implements Disposable {
  private readonly cluster: Cluster
  private readonly storeId: bigint
  private readonly options: FeedOptions
  private readonly connections = new Map<FeedConnection, Set<Subscription>>()
  private readonly byRegion = new Map<bigint, Set<Subscription>>()
  private readonly waiting: Subscription[] = []
  private readonly stack = new DisposableStack()
  private scans = 0

  constructor(cluster: Cluster, storeId: bigint, options: FeedOptions) {
    this.cluster = cluster
    this.storeId = storeId
    this.options = options
    this.stack.use(cluster.mvcc.listen((mutations) => this.applied(mutations)))
    this.stack.use(cluster.regions.listen((change) => this.regionChanged(change)))
    const timer = setInterval(() => this.tick(), options.resolvedTsIntervalMs).unref()
    this.stack.defer(() => clearInterval(timer))
  }

  [Symbol.dispose](): void {
    this.stack.dispose()
    this.cutStreams()
  }

  get implementation(): UntypedServiceImplementation {
    return {
      eventFeed: (call) => this.serve(call, false),
      eventFeedV2: (call) => {
        const asked = call.metadata.get('features').flatMap((value) =>
          value
            .toString()
            .split(',')
            .map((name) => name.trim()),
        )
        const unknown = asked.filter((name) => !FEATURES.includes(name))
        if (unknown.length > 0) call.emit('error', { code: status.UNIMPLEMENTED, details: unknown.join(',') })
        else this.serve(call, asked.includes('stream-multiplexing'))
      },
    } satisfies ChangeDataServer
  }

  /** Ends all streams as a broken store would. */
  cutStreams(): void {
    for (const connection of [...this.connections.keys()]) {
      this.drop(connection)
      connection.close({ code: status.UNAVAILABLE, details: 'connection reset' })
    }
  }

  /** Ends up to `count` subscriptions with an error; returns how many. */
  breakRegions(kind: RegionFault, count: number): number {
    const chosen = this.byRegion
      .values()
      .flatMap((all) => all)
      .take(count)
      .toArray()
    for (const subscription of chosen) this.fail(subscription, injected(kind, subscription.regionId, this.cluster))
    return chosen.length
  }

  private serve(call: FeedCall, multiplexing: boolean): void {
    const connection = new FeedConnection(call, multiplexing, () => this.cluster.faults.stallMs(this.storeId))
    this.connections.set(connection, new Set())
    call.on('data', (request: ChangeDataRequest) => this.receive(connection, request))
    call.on('end', () => {
      this.drop(connection)
      connection.close()
    })
    call.on('cancelled', () => {
      this.drop(connection)
      connection.close()
    })
  }

  private receive(connection: FeedConnection, request: ChangeDataRequest): void {
    connection.version ??= parseVersion(request.header?.ticdcVersion ?? '')
    switch (request.request?.$case) {
      case undefined:
      case 'register':
        this.register(connection, request)
        break
      case 'deregister':
        for (const subscription of this.of(connection))
          if (subscription.requestId === request.requestId && [0n, subscription.regionId].includes(request.regionId))
            this.fail(subscription, FeedErrors.create({ regionNotFound: { regionId: subscription.regionId } }))
        break
      case 'notifyTxnStatus':
        this.drop(connection)
        connection.close({ code: status.INTERNAL, details: 'notify_txn_status has no handler' })
    }
  }

  private register(connection: FeedConnection, request: ChangeDataRequest): void {
    const { regionId, requestId } = request
    const refuse = (error: FeedError): void => {
      connection.send(Event.create({ regionId, requestId, event: { $case: 'error', value: error } }), 64)
    }
    const asked = request.header?.clusterId ?? 0n
    if (atLeast(connection.version, 5, 3, 0) && asked !== this.cluster.id)
      return refuse(FeedErrors.create({ clusterIdMismatch: { current: this.cluster.id, request: asked } }))
    if (request.kvApi !== KvApi.TiDB) return refuse(FeedErrors.create({ compatibility: { requiredVersion: '6.2.0' } }))
    if (this.waiting.length + this.scans >= (this.options.pendingScans ?? PENDING_SCANS))
      return refuse(FeedErrors.create({ serverIsBusy: { reason: 'too many pending incremental scans' } }))
    const region = this.cluster.regions.byId(regionId)
    if (region?.peers.some((peer) => peer.storeId === this.storeId) !== true)
      return refuse(FeedErrors.create({ regionNotFound: { regionId } }))
    const known = [...(this.byRegion.get(regionId) ?? [])].some(
      (one) => one.connection === connection && one.requestId === requestId,
    )
    if (known) return refuse(FeedErrors.create({ duplicateRequest: { regionId } }))
    if (this.options.replay?.(request, connection.sendFrame) === true) return
    const fault = this.cluster.faults.take()
    if (fault !== undefined) return refuse(injected(fault, regionId, this.cluster))

    const subscription: Subscription = {
      connection,
      requestId,
      regionId,
      ...observedRange(request, region),
      version: request.regionEpoch?.version ?? 0n,
      checkpointTs: request.checkpointTs,
      filterLoop: request.filterLoop,
      state: 'waiting',
      resolvedTs: 0n,
    }
    const others = this.byRegion.get(regionId) ?? new Set()
    this.byRegion.set(regionId, others.add(subscription))
    this.connections.get(connection)?.add(subscription)
    this.waiting.push(subscription)
    this.startScans()
  }

  private startScans(): void {
    while (this.scans < SCANS_AT_ONCE) {
      const subscription = this.waiting.shift()
      if (subscription === undefined) return
      if (subscription.state !== 'waiting') continue
      this.scans += 1
      void this.scan(subscription).finally(() => {
        this.scans -= 1
        this.startScans()
      })
    }
  }

  /** The snapshot is taken at once; live rows from then on mix with the scan's until INITIALIZED. */
  private async scan(subscription: Subscription): Promise<void> {
    const region = this.cluster.regions.byId(subscription.regionId)
    if (region === undefined)
      return this.fail(subscription, FeedErrors.create({ regionNotFound: { regionId: subscription.regionId } }))
    if (region.version !== subscription.version)
      return this.fail(
        subscription,
        FeedErrors.create({
          epochNotMatch: { currentRegions: this.cluster.regions.current(region, subscription.version) },
        }),
      )
    if (region.leader?.storeId !== this.storeId)
      return this.fail(subscription, FeedErrors.create({ notLeader: { regionId: region.id, leader: region.leader } }))
    const snapshot = this.snapshot(subscription)
    subscription.state = 'scanning'
    let rows: Event_Row[] = []
    let bytes = 0
    for (const item of snapshot) {
      for (const row of scanRows(item, subscription)) {
        rows.push(row)
        bytes += scannedBytes(row)
        // The row that goes beyond the limit is part of the chunk, as in TiKV.
        if (bytes < SCAN_EVENT_BYTES) continue
        await this.scanPause(subscription, bytes)
        if (!isLive(subscription) || !this.sendScanned(subscription, rows, bytes)) return
        rows = []
        bytes = 0
      }
    }
    await this.scanPause(subscription, bytes)
    if (!isLive(subscription)) return
    rows.push(initializedRow())
    if (this.sendScanned(subscription, rows, bytes + 64)) subscription.state = 'normal'
  }

  /** Until the client has read enough, and the scan may read on. */
  private async scanPause(subscription: Subscription, bytes: number): Promise<void> {
    await subscription.connection.room(SCAN_AHEAD_BYTES)
    const { scanBytesPerSecond } = this.options
    if (scanBytesPerSecond !== undefined) await delay((bytes / scanBytesPerSecond) * 1000, undefined, { ref: false })
  }

  /** False where there is no memory for the rows: that ends the subscription. */
  private sendScanned(subscription: Subscription, rows: Event_Row[], bytes: number): boolean {
    const fits = this.pendingBytes() + bytes <= this.options.quotaBytes
    if (fits) this.sendRows(subscription, rows, bytes)
    else this.fail(subscription, FeedErrors.create({ congested: { regionId: subscription.regionId } }))
    return fits
  }

  private snapshot(subscription: Subscription): readonly Snapshot[] {
    const found: Snapshot[] = []
    for (const { key, lock, writes } of this.cluster.mvcc.range(subscription.rawStart, subscription.rawEnd)) {
      const newest = writes[0]?.commitTs ?? 0n
      if (lock !== undefined || newest > subscription.checkpointTs) found.push({ key, lock, writes })
    }
    return found
  }

  private sendRows(subscription: Subscription, rows: Event_Row[], bytes: number): void {
    const { connection, regionId, requestId } = subscription
    connection.send({ regionId, requestId, index: 0n, event: { $case: 'entries', value: { entries: rows } } }, bytes)
  }

  /** Rows of one command: one Event per subscription, the empty rows of lock-only keys in Events of their own. */
  private applied(mutations: readonly Mutation[]): void {
    if (this.byRegion.size === 0) return
    const rowsOf = new Map<Set<Subscription>, Event_Row[]>()
    for (const mutation of mutations) {
      if (mutation.kind === 'unlock') continue
      const subscriptions = this.byRegion.get(this.cluster.regions.byRawKey(mutation.key).id)
      if (subscriptions === undefined || subscriptions.size === 0) continue
      const row = liveRow(mutation, this.cluster.mvcc)
      if (row === undefined) continue
      const rows = rowsOf.get(subscriptions)
      if (rows === undefined) rowsOf.set(subscriptions, [row])
      else rows.push(row)
    }
    for (const [subscriptions, rows] of rowsOf)
      for (const subscription of [...subscriptions]) this.sendLive(subscription, rows)
  }

  private sendLive(subscription: Subscription, rows: readonly Event_Row[]): void {
    if (subscription.state !== 'scanning' && subscription.state !== 'normal') return
    const shown = rows.filter(
      (row) =>
        row.type !== Event_LogType.UNKNOWN &&
        inRange(row.key, subscription.rawStart, subscription.rawEnd) &&
        !isFiltered(row.txnSource, subscription.filterLoop),
    )
    const bytes = shown.reduce((sum, row) => sum + rowBytes(row), 0)
    if (this.pendingBytes() + bytes > this.options.quotaBytes)
      return this.fail(subscription, FeedErrors.create({ congested: { regionId: subscription.regionId } }))
    if (shown.length > 0) this.sendRows(subscription, shown, bytes)
    if (!subscription.wholeRegion) return
    for (const row of rows) if (row.type === Event_LogType.UNKNOWN) this.sendRows(subscription, [row], 64)
  }

  private tick(): void {
    if (this.byRegion.size === 0 || this.cluster.faults.resolvedTsHeld) return
    const now = this.cluster.oracle.next()
    this.cluster.maxTs.raise(now)
    const held = this.oldestLocks()
    for (const connection of this.connections.keys()) this.sendResolved(connection, now, held)
  }

  /** The least start ts of data locks in each subscription's range. */
  private oldestLocks(): ReadonlyMap<Subscription, bigint> {
    const held = new Map<Subscription, bigint>()
    for (const { key, lock } of this.cluster.mvcc.locks(noBytes, noBytes)) {
      if (lock === undefined || (lock.kind !== 'put' && lock.kind !== 'delete')) continue
      for (const subscription of this.byRegion.get(this.cluster.regions.byRawKey(key).id) ?? []) {
        const known = held.get(subscription)
        if (known !== undefined && known <= lock.startTs) continue
        if (inRange(key, subscription.rawStart, subscription.rawEnd)) held.set(subscription, lock.startTs)
      }
    }
    return held
  }

  private sendResolved(connection: FeedConnection, now: bigint, held: ReadonlyMap<Subscription, bigint>): void {
    const batched = atLeast(connection.version, 4, 0, 8)
    if (connection.multiplexing && !batched) return
    const requests = new Map<bigint, Map<bigint, bigint>>()
    for (const subscription of this.connections.get(connection) ?? []) {
      if (subscription.state !== 'normal') continue
      const { regionId, requestId } = subscription
      const limit = held.get(subscription) ?? now
      const ts = limit < now ? limit : now
      if (ts > subscription.resolvedTs) subscription.resolvedTs = ts
      const resolved = subscription.resolvedTs
      if (!batched) {
        connection.send(Event.create({ regionId, requestId, event: { $case: 'resolvedTs', value: resolved } }), 64)
        continue
      }
      const group = connection.multiplexing ? requestId : 0n
      const regions = requests.get(group) ?? new Map<bigint, bigint>()
      const other = regions.get(regionId)
      requests.set(group, regions.set(regionId, other !== undefined && other < resolved ? other : resolved))
    }
    for (const [requestId, regions] of requests)
      for (const resolved of groupResolved(requestId, regions)) connection.sendResolved(resolved)
  }

  private regionChanged(change: RegionChange): void {
    switch (change.kind) {
      case 'split':
        return this.failRegion(
          change.id,
          FeedErrors.create({ epochNotMatch: { currentRegions: change.into.map(regionMeta) } }),
        )
      case 'merge':
        this.failRegion(change.source, FeedErrors.create({ epochNotMatch: {} }))
        return this.failRegion(change.target, FeedErrors.create({ epochNotMatch: {} }))
      case 'leader': {
        const { id, leader } = change.region
        if (leader?.storeId !== this.storeId)
          this.failRegion(id, FeedErrors.create({ notLeader: { regionId: id, leader } }))
      }
    }
  }

  private failRegion(regionId: bigint, error: FeedError): void {
    for (const subscription of [...(this.byRegion.get(regionId) ?? [])]) this.fail(subscription, error)
  }

  /** The error is the last that is heard of the subscription. */
  private fail(subscription: Subscription, error: FeedError): void {
    const { connection, regionId, requestId } = subscription
    this.forget(subscription)
    connection.send(Event.create({ regionId, requestId, event: { $case: 'error', value: error } }), 64)
  }

  private forget(subscription: Subscription): void {
    subscription.state = 'stopped'
    const others = this.byRegion.get(subscription.regionId)
    this.connections.get(subscription.connection)?.delete(subscription)
    others?.delete(subscription)
    if (others?.size === 0) this.byRegion.delete(subscription.regionId)
  }

  private drop(connection: FeedConnection): void {
    for (const subscription of this.of(connection)) this.forget(subscription)
    this.connections.delete(connection)
  }

  private of(connection: FeedConnection): readonly Subscription[] {
    return [...(this.connections.get(connection) ?? [])]
  }

  private pendingBytes(): number {
    let sum = 0
    for (const connection of this.connections.keys()) sum += connection.pendingBytes
    return sum
  }
}

interface Snapshot {
  readonly key: Buffer
  readonly lock: Lock | undefined
  readonly writes: readonly Write[]
}

/** First the open lock, then the versions above the checkpoint from new to old. */
function* scanRows({ key, lock, writes }: Snapshot, { checkpointTs, filterLoop }: Subscription): Generator<Event_Row> {
  const open = lock === undefined ? undefined : prewriteRow(key, lock, writes)
  if (open !== undefined && !isFiltered(open.txnSource, filterLoop)) yield open
  for (const write of writes) {
    if (write.commitTs <= checkpointTs) return
    if (write.kind !== 'put' && write.kind !== 'delete') continue
    if (!isFiltered(write.txnSource, filterLoop)) yield committedRow(key, write, writes)
  }
}

/** A function, because the state changes while the scan waits. */
const isLive = (subscription: Subscription): boolean => subscription.state !== 'stopped'

/** Keys that are not memcomparable ask for the whole region, as in TiKV. */
function observedRange(
  request: ChangeDataRequest,
  region: Region,
): Pick<Subscription, 'rawStart' | 'rawEnd' | 'wholeRegion'> {
  const start = request.startKey.length === 0 ? noBytes : decodeKey(request.startKey)
  const end = request.endKey.length === 0 ? noBytes : decodeKey(request.endKey)
  const range = start === undefined || end === undefined ? { start: noBytes, end: noBytes } : { start, end }
  const rawStart = laterStart(range.start, region.rawStart)
  const rawEnd = earlierEnd(range.end, region.rawEnd)
  const wholeRegion = compareBytes(rawStart, region.rawStart) === 0 && compareBytes(rawEnd, region.rawEnd) === 0
  return { rawStart, rawEnd, wholeRegion }
}

function injected(kind: RegionFault, regionId: bigint, cluster: Cluster): FeedError {
  const region = cluster.regions.byId(regionId)
  switch (kind) {
    case 'epoch_not_match':
      return FeedErrors.create({ epochNotMatch: {} })
    case 'not_leader':
      return FeedErrors.create({ notLeader: { regionId, leader: region?.leader } })
    case 'region_not_found':
      return FeedErrors.create({ regionNotFound: { regionId } })
    case 'server_is_busy':
      return FeedErrors.create({ serverIsBusy: { reason: 'injected', backoffMs: 100n } })
    case 'congested':
      return FeedErrors.create({ congested: { regionId } })
  }
}
