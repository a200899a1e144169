import type {
  BatchGetRequest,
  BufferBatchGetRequest,
  Context,
  GetRequest,
  LockInfo,
  ScanLockRequest,
  ScanRequest,
} from '../../proto/kvrpcpb.ts'
import {
  BatchGetResponse,
  BufferBatchGetResponse,
  GetResponse,
  IsolationLevel,
  KvPair,
  ScanLockResponse,
  ScanResponse,
} from '../../proto/kvrpcpb.ts'
import { compareBytes, earlierEnd, laterStart } from './bytes.ts'
import { locked, lockInfo } from './key-errors.ts'
import type { MaxTs } from './max-ts.ts'
import type { Entry, Lock, MvccStore } from './mvcc.ts'
import { versionAt } from './mvcc.ts'
import type { RawRange } from './regions.ts'

const LATEST = 0xffff_ffff_ffff_ffffn

type Read =
  | { readonly state: 'value'; readonly value: Buffer; readonly commitTs: bigint }
  | { readonly state: 'absent' }
  | { readonly state: 'locked'; readonly lock: Lock }

/** Snapshot reads at a timestamp. */
export class Reads {
  private readonly store: MvccStore
  private readonly maxTs: MaxTs

  constructor(store: MvccStore, maxTs: MaxTs) {
    this.store = store
    this.maxTs = maxTs
  }

  get(request: GetRequest): GetResponse {
    this.maxTs.raise(request.version)
    const found = read(this.store.get(request.key), request.version, request.context)
    switch (found.state) {
      case 'locked':
        return GetResponse.create({ error: locked(request.key, found.lock) })
      case 'absent':
        return GetResponse.create({ notFound: true })
      case 'value':
        return GetResponse.create({ value: found.value, commitTs: request.needCommitTs ? found.commitTs : 0n })
    }
  }

  batchGet(request: BatchGetRequest): BatchGetResponse {
    this.maxTs.raise(request.version)
    const pairs: KvPair[] = []
    for (const key of request.keys) {
      const pair = pairOf(key, read(this.store.get(key), request.version, request.context), false)
      if (pair !== undefined) pairs.push(pair)
    }
    return BatchGetResponse.create({ pairs })
  }

  /** What an open pipelined transaction has flushed, read by itself. */
  bufferBatchGet(request: BufferBatchGetRequest): BufferBatchGetResponse {
    const pairs: KvPair[] = []
    for (const key of request.keys) {
      const lock = this.store.get(key)?.lock
      if (lock?.startTs === request.version && lock.kind !== 'pessimistic')
        pairs.push(KvPair.create({ key, value: lock.value }))
    }
    return BufferBatchGetResponse.create({ pairs })
  }

  scan(request: ScanRequest, region: RawRange): ScanResponse {
    this.maxTs.raise(request.version)
    const pairs: KvPair[] = []
    for (const entry of this.entries(request, region)) {
      if (pairs.length >= request.limit) break
      const pair = pairOf(entry.key, read(entry, request.version, request.context), request.keyOnly)
      if (pair !== undefined) pairs.push(pair)
    }
    return ScanResponse.create({ pairs })
  }

  scanLock(request: ScanLockRequest, region: RawRange): ScanLockResponse {
    this.maxTs.raise(request.maxVersion)
    const start = laterStart(request.startKey, region.rawStart)
    const end = earlierEnd(request.endKey, region.rawEnd)
    const locks: LockInfo[] = []
    for (const { key, lock } of this.store.locks(start, end)) {
      if (request.limit > 0 && locks.length >= request.limit) break
      if (lock !== undefined && lock.startTs <= request.maxVersion) locks.push(lockInfo(key, lock))
    }
    return ScanLockResponse.create({ locks })
  }

  /** A reverse scan starts below `startKey` and goes down to `endKey`. */
  private entries(request: ScanRequest, region: RawRange): Iterable<Entry> {
    const { startKey, endKey, reverse } = request
    if (!reverse) return this.store.range(laterStart(startKey, region.rawStart), earlierEnd(endKey, region.rawEnd))
    return this.store.reverse(laterStart(endKey, region.rawStart), earlierEnd(startKey, region.rawEnd))
  }
}

function read(entry: Entry | undefined, ts: bigint, context: Context | undefined): Read {
  if (entry === undefined) return { state: 'absent' }
  const { lock } = entry
  if (lock !== undefined && blocks(entry.key, lock, ts, context)) {
    if (context?.committedLocks.includes(lock.startTs) !== true) return { state: 'locked', lock }
    if (lock.kind === 'put') return { state: 'value', value: lock.value, commitTs: 0n }
    if (lock.kind === 'delete') return { state: 'absent' }
  }
  const version = versionAt(entry.writes, ts)
  return version?.kind === 'put'
    ? { state: 'value', value: version.value, commitTs: version.commitTs }
    : { state: 'absent' }
}

function blocks(key: Buffer, lock: Lock, ts: bigint, context: Context | undefined): boolean {
  if (lock.kind !== 'put' && lock.kind !== 'delete') return false
  if (context !== undefined && context.isolationLevel !== IsolationLevel.SI) return false
  if (lock.startTs > ts || lock.minCommitTs > ts) return false
  // "Latest" may read past the primary of a transaction that is not yet committed.
  if (ts === LATEST && !lock.asyncCommit && compareBytes(lock.primary, key) === 0) return false
  return context?.resolvedLocks.includes(lock.startTs) !== true
}

function pairOf(key: Buffer, found: Read, keyOnly: boolean): KvPair | undefined {
  if (found.state === 'absent') return undefined
  if (found.state === 'locked') return KvPair.create({ key, error: locked(key, found.lock) })
  return keyOnly ? KvPair.create({ key }) : KvPair.create({ key, value: found.value })
}
