import type {
  BatchRollbackRequest,
  CheckSecondaryLocksRequest,
  CheckTxnStatusRequest,
  CleanupRequest,
  CommitRequest,
  KeyError,
  LockInfo,
  ResolveLockRequest,
  TxnHeartBeatRequest,
} from '../../proto/kvrpcpb.ts'
import {
  Action,
  BatchRollbackResponse,
  CheckSecondaryLocksResponse,
  CheckTxnStatusResponse,
  CleanupResponse,
  CommitResponse,
  KeyError as KeyErrors,
  ResolveLockResponse,
  TxnHeartBeatResponse,
} from '../../proto/kvrpcpb.ts'
import { compareBytes, noBytes } from './bytes.ts'
import { aborted, lockInfo, lockNotFound, locked, txnNotFound } from './key-errors.ts'
import type { MaxTs } from './max-ts.ts'
import type { Entry, Lock, Mutation, MvccStore } from './mvcc.ts'
import { writeOf } from './mvcc.ts'
import type { RawRange } from './regions.ts'

const LATEST = 0xffff_ffff_ffff_ffffn

/** How transactions end: by their own client or by somebody who found their locks. */
export class Finishes {
  private readonly store: MvccStore
  private readonly maxTs: MaxTs

  constructor(store: MvccStore, maxTs: MaxTs) {
    this.store = store
    this.maxTs = maxTs
  }

  /** All keys or none. */
  commit(request: CommitRequest): CommitResponse {
    const { startVersion: startTs, commitVersion: commitTs } = request
    const steps: Mutation[] = []
    for (const key of request.keys) {
      const entry = this.store.get(key)
      const lock = entry?.lock
      if (entry !== undefined && lock?.startTs === startTs) {
        if (commitTs < lock.minCommitTs)
          return CommitResponse.create({
            error: { commitTsExpired: { startTs, attemptedCommitTs: commitTs, key, minCommitTs: lock.minCommitTs } },
          })
        steps.push(...commitSteps(entry.key, lock, commitTs))
        continue
      }
      const done = writeOf(entry, startTs)
      if (done === undefined || done.kind === 'rollback')
        return CommitResponse.create({ error: lockNotFound(key, startTs) })
    }
    this.store.apply(steps)
    return CommitResponse.create({ commitVersion: commitTs })
  }

  batchRollback(request: BatchRollbackRequest): BatchRollbackResponse {
    const steps: Mutation[] = []
    for (const key of request.keys) {
      const error = this.rollback(key, request.startVersion, steps)
      if (error !== undefined) return BatchRollbackResponse.create({ error })
    }
    this.store.apply(steps)
    return BatchRollbackResponse.create()
  }

  cleanup(request: CleanupRequest): CleanupResponse {
    const { key, startVersion: startTs, currentTs } = request
    const entry = this.store.get(key)
    const lock = entry?.lock
    if (lock?.startTs === startTs && currentTs > 0n && !expired(lock, currentTs))
      return CleanupResponse.create({ error: locked(key, lock) })
    const done = writeOf(entry, startTs)
    if (done !== undefined && done.kind !== 'rollback') return CleanupResponse.create({ commitVersion: done.commitTs })
    const steps: Mutation[] = []
    this.rollback(key, startTs, steps)
    this.store.apply(steps)
    return CleanupResponse.create()
  }

  heartBeat(request: TxnHeartBeatRequest): TxnHeartBeatResponse {
    const entry = this.store.get(request.primaryLock)
    const lock = entry?.lock
    if (entry === undefined || lock?.startTs !== request.startVersion)
      return TxnHeartBeatResponse.create({ error: txnNotFound(request.startVersion, request.primaryLock) })
    const ttlMs = lock.ttlMs > request.adviseLockTtl ? lock.ttlMs : request.adviseLockTtl
    const minCommitTs = lock.minCommitTs > request.minCommitTs ? lock.minCommitTs : request.minCommitTs
    if (ttlMs !== lock.ttlMs || minCommitTs !== lock.minCommitTs)
      this.store.apply([{ kind: 'lock', key: entry.key, lock: { ...lock, ttlMs, minCommitTs }, rewrite: true }])
    return TxnHeartBeatResponse.create({ lockTtl: ttlMs })
  }

  checkTxnStatus(request: CheckTxnStatusRequest): CheckTxnStatusResponse {
    const { primaryKey, lockTs, currentTs, callerStartTs } = request
    this.maxTs.raise(lockTs)
    this.maxTs.raise(currentTs)
    this.maxTs.raise(callerStartTs)
    const entry = this.store.get(primaryKey)
    const lock = entry?.lock
    if (entry === undefined || lock?.startTs !== lockTs) return this.checkWithoutLock(request, entry)

    const info = lockInfo(entry.key, lock)
    if (request.verifyIsPrimary && compareBytes(lock.primary, primaryKey) !== 0)
      return CheckTxnStatusResponse.create({ error: { primaryMismatch: { lockInfo: info } } })
    if (lock.asyncCommit && !request.forceSyncCommit)
      return CheckTxnStatusResponse.create({ lockTtl: lock.ttlMs, lockInfo: info })
    if (expired(lock, currentTs)) {
      if (lock.kind === 'pessimistic' && request.resolvingPessimisticLock) {
        this.store.apply([{ kind: 'unlock', key: entry.key }])
        return CheckTxnStatusResponse.create({ action: Action.TTLExpirePessimisticRollback })
      }
      this.store.apply(rollbackSteps(entry.key, lockTs, true, true))
      return CheckTxnStatusResponse.create({ action: Action.TTLExpireRollback })
    }

    const pushable = lock.minCommitTs !== 0n && callerStartTs !== LATEST && callerStartTs >= lock.minCommitTs
    let current = lock
    if (pushable) {
      const above = callerStartTs + 1n
      current = { ...lock, minCommitTs: above > currentTs ? above : currentTs }
      this.store.apply([{ kind: 'lock', key: entry.key, lock: current, rewrite: true }])
    }
    const pushed = callerStartTs === LATEST || (callerStartTs !== 0n && current.minCommitTs > callerStartTs)
    return CheckTxnStatusResponse.create({
      lockTtl: current.ttlMs,
      action: pushed ? Action.MinCommitTSPushed : Action.NoAction,
      lockInfo: lockInfo(entry.key, current),
    })
  }

  checkSecondaryLocks(request: CheckSecondaryLocksRequest): CheckSecondaryLocksResponse {
    const { startVersion: startTs } = request
    this.maxTs.raise(startTs)
    const locks: LockInfo[] = []
    const steps: Mutation[] = []
    let missing = false
    for (const key of request.keys) {
      const entry = this.store.get(key)
      const lock = entry?.lock
      if (entry !== undefined && lock?.startTs === startTs && lock.kind !== 'pessimistic') {
        locks.push(lockInfo(entry.key, lock))
        continue
      }
      const done = writeOf(entry, startTs)
      if (done !== undefined && done.kind !== 'rollback')
        return CheckSecondaryLocksResponse.create({ commitTs: done.commitTs })
      missing = true
      // The record keeps the transaction from locking this key after all.
      if (done === undefined) steps.push(...rollbackSteps(key, startTs, lock?.startTs === startTs, true))
    }
    this.store.apply(steps)
    return CheckSecondaryLocksResponse.create({ locks: missing ? [] : locks })
  }

  resolveLock(request: ResolveLockRequest, region: RawRange): ResolveLockResponse {
    const ends = new Map(request.txnInfos.map(({ txn, status }) => [txn, status]))
    if (request.txnInfos.length === 0) ends.set(request.startVersion, request.commitVersion)
    const entries =
      request.keys.length > 0 && request.txnInfos.length === 0
        ? request.keys.map((key) => this.store.get(key))
        : this.store.locks(region.rawStart, region.rawEnd)
    const steps: Mutation[] = []
    for (const entry of entries) {
      const lock = entry?.lock
      const commitTs = lock === undefined ? undefined : ends.get(lock.startTs)
      if (entry === undefined || lock === undefined || commitTs === undefined) continue
      if (commitTs === 0n) steps.push(...rollbackSteps(entry.key, lock.startTs, true, ownPrimary(entry.key, lock)))
      else steps.push(...commitSteps(entry.key, lock, commitTs))
    }
    this.store.apply(steps)
    return ResolveLockResponse.create()
  }

  private checkWithoutLock(request: CheckTxnStatusRequest, entry: Entry | undefined): CheckTxnStatusResponse {
    const { primaryKey, lockTs } = request
    const done = writeOf(entry, lockTs)
    if (done?.kind === 'rollback') return CheckTxnStatusResponse.create({ action: Action.NoAction })
    if (done !== undefined) return CheckTxnStatusResponse.create({ commitVersion: done.commitTs })
    if (!request.rollbackIfNotExist) return CheckTxnStatusResponse.create({ error: txnNotFound(lockTs, primaryKey) })
    if (request.resolvingPessimisticLock) return CheckTxnStatusResponse.create({ action: Action.LockNotExistDoNothing })
    this.store.apply(rollbackSteps(primaryKey, lockTs, false, true))
    return CheckTxnStatusResponse.create({ action: Action.LockNotExistRollback })
  }

  private rollback(key: Buffer, startTs: bigint, steps: Mutation[]): KeyError | undefined {
    const entry = this.store.get(key)
    const lock = entry?.lock
    if (entry !== undefined && lock?.startTs === startTs) {
      steps.push(...rollbackSteps(entry.key, startTs, true, ownPrimary(entry.key, lock)))
      return undefined
    }
    const done = writeOf(entry, startTs)
    if (done === undefined) steps.push(...rollbackSteps(key, startTs, false, false))
    if (done === undefined || done.kind === 'rollback') return undefined
    return KeyErrors.create(
      aborted(
        `Error(Txn(Error(Mvcc(Error(Committed { start_ts: TimeStamp(${startTs}), commit_ts: TimeStamp(${done.commitTs}) })))))`,
      ),
    )
  }
}

/** TiKV's rule: the physical parts are compared, strictly. */
export const expired = (lock: Lock, currentTs: bigint): boolean => (lock.startTs >> 18n) + lock.ttlMs < currentTs >> 18n

const ownPrimary = (key: Buffer, lock: Lock): boolean => compareBytes(lock.primary, key) === 0

function commitSteps(key: Buffer, lock: Lock, commitTs: bigint): Mutation[] {
  const { startTs, value, txnSource } = lock
  const kind = lock.kind === 'pessimistic' ? 'lock' : lock.kind
  const write = { kind, startTs, commitTs, value, txnSource, protected: false }
  return [
    { kind: 'unlock', key },
    { kind: 'write', key, write, onePhase: false },
  ]
}

function rollbackSteps(key: Buffer, startTs: bigint, hasLock: boolean, isProtected: boolean): Mutation[] {
  const copy = Buffer.from(key)
  const write = {
    kind: 'rollback',
    startTs,
    commitTs: startTs,
    value: noBytes,
    txnSource: 0n,
    protected: isProtected,
  } as const
  const step: Mutation = { kind: 'write', key: copy, write, onePhase: false }
  return hasLock ? [{ kind: 'unlock', key: copy }, step] : [step]
}
