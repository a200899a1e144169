import { CdcError } from '../../base/errors.ts'
import {
  Action,
  CheckSecondaryLocksRequest,
  CheckTxnStatusRequest,
  type CheckTxnStatusResponse,
  type KeyError,
  type LockInfo,
  Op,
  PessimisticRollbackRequest,
  ResolveLockRequest,
  ScanLockRequest,
} from '../../proto/kvrpcpb.ts'
import { TikvService } from '../../proto/tikvpb.ts'
import { compareBytes } from '../../tidb/key.ts'
import { maxTs, type Ts } from '../../tidb/ts.ts'
import { Backoff } from './backoff.ts'
import { isBeyond, type KvClient } from './kv-client.ts'

export interface LockOutcome {
  /** How long the longest living transaction may still take, at the least; 0 = no lock is left. */
  readonly waitMs: number
  /** Start-ts of transactions that a read at the caller's ts need not see: rolled back, or committed later. */
  readonly ignorable: readonly bigint[]
  /** Start-ts of transactions that are committed at or below the caller's ts: their locks can be read through. */
  readonly readable: readonly bigint[]
}

type TxnStatus =
  | { readonly kind: 'alive'; readonly leftMs: number; readonly pushed: boolean }
  /** `commitTs` 0 = rolled back. `asyncKeys`: where an async-commit transaction still has locks. */
  | { readonly kind: 'ended'; readonly commitTs: bigint; readonly asyncKeys?: readonly Uint8Array[] }
  /** A pessimistic lock whose named primary is not one: it holds nothing. */
  | { readonly kind: 'orphan' }

/** Below this many keys a transaction's locks are cleaned by key, else region by region. */
const SMALL_TXN = 16n
const SCAN_LIMIT = 1024
const SCAN_TIMEOUT_MS = 60_000
const BUDGET_MS = 20_000

/**
 * Ends what can be ended: locks of finished transactions are committed or rolled back, expired ones rolled back first;
 * living ones stay. With `callerStartTs` 0 nobody's min-commit-ts is pushed. (reference: upstream, section 8)
 */
export async function resolveLocks(
  kv: KvClient,
  callerStartTs: bigint,
  locks: readonly LockInfo[],
  signal: AbortSignal,
): Promise<LockOutcome> {
  const now = await kv.pd.tso(signal)
  const ignorable: bigint[] = []
  const readable: bigint[] = []
  let waitMs = 0
  const all = locks.flatMap((lock) => (lock.sharedLockInfos.length > 0 ? lock.sharedLockInfos : [lock]))
  for (const ofTxn of Map.groupBy(all, (lock) => lock.lockVersion).values()) {
    const [first] = ofTxn
    if (first === undefined) continue
    const pessimistic = ofTxn.filter(isPessimistic)
    const writing = ofTxn.filter((lock) => !isPessimistic(lock))
    const status = await txnStatus(kv, writing[0] ?? first, callerStartTs, now, signal)
    if (status.kind === 'alive') {
      if (status.pushed) ignorable.push(first.lockVersion)
      else waitMs = Math.max(waitMs, status.leftMs, 1)
      continue
    }
    if (status.kind === 'ended') {
      const seen = status.commitTs !== 0n && status.commitTs <= callerStartTs
      ;(seen ? readable : ignorable).push(first.lockVersion)
      if (writing.length > 0) await finish(kv, writing, status.commitTs, status.asyncKeys ?? [], signal)
    }
    for (const lock of status.kind === 'orphan' ? ofTxn : pessimistic) await dropPessimistic(kv, lock, signal)
  }
  return { waitMs, ignorable, readable }
}

/** Locks that were found in a region. */
export interface LocksSeen {
  readonly count: number
  /** Of the transaction that began first, the one that holds the resolved-ts back. */
  readonly oldest: LockInfo | undefined
}

/** Resolves the locks of a region that began at or below `maxVersion`, so that its resolved-ts can move. */
export async function resolveRegion(
  kv: KvClient,
  range: { readonly start: Uint8Array; readonly end: Uint8Array },
  maxVersion: Ts,
  signal: AbortSignal,
): Promise<LocksSeen> {
  let count = 0
  let oldest: LockInfo | undefined
  let next = range.start
  for (;;) {
    const startKey = Buffer.from(next)
    const { answer, range: region } = await kv.call(
      next,
      TikvService.kvScanLock,
      (context) =>
        ScanLockRequest.fromPartial({
          context,
          maxVersion,
          startKey,
          endKey: Buffer.from(range.end),
          limit: SCAN_LIMIT,
        }),
      signal,
      { timeoutMs: SCAN_TIMEOUT_MS },
    )
    if (answer.error !== undefined) throw refused('scan locks', answer.error)
    count += answer.locks.length
    for (const lock of answer.locks) if (oldest === undefined || lock.lockVersion < oldest.lockVersion) oldest = lock
    if (answer.locks.length > 0) await resolveLocks(kv, 0n, answer.locks, signal)
    const last = answer.locks.at(-1)
    if (last !== undefined && answer.locks.length >= SCAN_LIMIT) next = Buffer.concat([last.key, Buffer.of(0)])
    else if (region.end.length === 0) return { count, oldest }
    else next = region.end
    if (isBeyond(next, range.end)) return { count, oldest }
  }
}

async function txnStatus(
  kv: KvClient,
  lock: LockInfo,
  callerStartTs: bigint,
  now: Ts,
  signal: AbortSignal,
): Promise<TxnStatus> {
  const backoff = new Backoff(kv.clock, BUDGET_MS)
  let rollbackIfNotExist = false
  let forceSyncCommit = false
  for (;;) {
    const { answer } = await kv.call(
      lock.primaryLock,
      TikvService.kvCheckTxnStatus,
      (context) =>
        CheckTxnStatusRequest.fromPartial({
          context,
          primaryKey: lock.primaryLock,
          lockTs: lock.lockVersion,
          callerStartTs,
          currentTs: lock.lockTtl === 0n ? maxTs : now,
          rollbackIfNotExist,
          forceSyncCommit,
          resolvingPessimisticLock: isPessimistic(lock),
          verifyIsPrimary: true,
        }),
      signal,
    )
    if (answer.error?.primaryMismatch !== undefined && isPessimistic(lock)) return { kind: 'orphan' }
    if (answer.error?.txnNotFound !== undefined) {
      const leftMs = leftOf(lock.lockVersion, lock.lockTtl, now)
      if (leftMs <= 0) rollbackIfNotExist = true
      else if (isPessimistic(lock)) return { kind: 'alive', leftMs, pushed: false }
      else await backoff.pause('txnNotFound', new Error('the primary lock is not written yet'), signal)
      continue
    }
    if (answer.error !== undefined) throw refused('check a transaction', answer.error)
    const ended = await outcomeOf(kv, lock, answer, forceSyncCommit, now, signal)
    if (ended !== 'not async') return ended
    forceSyncCommit = true
  }
}

/** Reads the answer of CheckTxnStatus; an expired async-commit transaction is decided by its secondaries. */
async function outcomeOf(
  kv: KvClient,
  lock: LockInfo,
  answer: CheckTxnStatusResponse,
  forcedSync: boolean,
  now: Ts,
  signal: AbortSignal,
): Promise<TxnStatus | 'not async'> {
  if (answer.commitVersion > 0n || answer.lockTtl === 0n) return { kind: 'ended', commitTs: answer.commitVersion }
  const leftMs = leftOf(lock.lockVersion, answer.lockTtl, now)
  const primary = answer.lockInfo
  if (primary === undefined || !primary.useAsyncCommit || forcedSync || leftMs > 0) {
    return { kind: 'alive', leftMs, pushed: answer.action === Action.MinCommitTSPushed }
  }
  const commitTs = await decideAsync(kv, primary, signal)
  if (commitTs === 'not async') return commitTs
  return { kind: 'ended', commitTs, asyncKeys: [primary.primaryLock, ...primary.secondaries] }
}

/** Commit-ts of an async-commit transaction whose client is gone; 0 = rolled back. */
async function decideAsync(kv: KvClient, primary: LockInfo, signal: AbortSignal): Promise<bigint | 'not async'> {
  let commitTs = primary.minCommitTs
  let decided: bigint | 'not async' | undefined
  await kv.callGrouped(
    primary.secondaries,
    TikvService.kvCheckSecondaryLocks,
    (context, keys) =>
      CheckSecondaryLocksRequest.fromPartial({ context, keys: keys.map(toBuffer), startVersion: primary.lockVersion }),
    (answer, keys) => {
      if (answer.error !== undefined) throw refused('check secondary locks', answer.error)
      if (answer.locks.some((lock) => !lock.useAsyncCommit)) decided ??= 'not async'
      else if (answer.commitTs !== 0n || answer.locks.length < keys.length) decided = answer.commitTs
      for (const lock of answer.locks) if (lock.minCommitTs > commitTs) commitTs = lock.minCommitTs
    },
    signal,
  )
  return decided ?? commitTs
}

/** Commits or rolls back the locks of one transaction. */
async function finish(
  kv: KvClient,
  locks: readonly LockInfo[],
  commitVersion: bigint,
  asyncKeys: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<void> {
  const startVersion = locks[0]?.lockVersion ?? 0n
  let keys: readonly Uint8Array[] = [...locks.map((lock) => lock.key), ...asyncKeys]
  if (locks.every((lock) => lock.txnSize < SMALL_TXN) || asyncKeys.length > 0) {
    const build = (context: ResolveLockRequest['context'], some: readonly Uint8Array[]): ResolveLockRequest =>
      ResolveLockRequest.fromPartial({ context, startVersion, commitVersion, keys: some.map(toBuffer) })
    const visit = (answer: { error: KeyError | undefined }): void => {
      if (answer.error !== undefined) throw refused('resolve locks', answer.error)
    }
    await kv.callGrouped(keys, TikvService.kvResolveLock, build, visit, signal)
    return
  }
  while (keys[0] !== undefined) {
    const build = (context: ResolveLockRequest['context']): ResolveLockRequest =>
      ResolveLockRequest.fromPartial({ context, startVersion, commitVersion })
    const { answer, range } = await kv.call(keys[0], TikvService.kvResolveLock, build, signal)
    if (answer.error !== undefined) throw refused('resolve locks', answer.error)
    keys = keys.slice(1).filter((key) => compareBytes(key, range.start) < 0 || isBeyond(key, range.end))
  }
}

async function dropPessimistic(kv: KvClient, lock: LockInfo, signal: AbortSignal): Promise<void> {
  const forUpdateTs = lock.lockForUpdateTs === 0n ? maxTs : lock.lockForUpdateTs
  const build = (context: PessimisticRollbackRequest['context']): PessimisticRollbackRequest =>
    PessimisticRollbackRequest.fromPartial({ context, startVersion: lock.lockVersion, forUpdateTs, keys: [lock.key] })
  const { answer } = await kv.call(lock.key, TikvService.kvPessimisticRollback, build, signal)
  const [error] = answer.errors
  if (error !== undefined) throw refused('roll a pessimistic lock back', error)
}

const isPessimistic = (lock: LockInfo): boolean =>
  lock.lockType === Op.PessimisticLock || lock.lockType === Op.SharedPessimisticLock

/** ms until a lock expires; ≤ 0 = expired. */
const leftOf = (startTs: bigint, ttlMs: bigint, now: bigint): number => Number((startTs >> 18n) + ttlMs - (now >> 18n))

const toBuffer = (key: Uint8Array): Buffer => Buffer.from(key)

function refused(what: string, error: KeyError): CdcError {
  const kind = Object.entries(error).find(([, value]) => value !== undefined && value !== '')?.[0] ?? 'unknown error'
  return new CdcError('CDC:ErrUnexpected', `failed to ${what}: ${error.abort || error.retryable || kind}`)
}
