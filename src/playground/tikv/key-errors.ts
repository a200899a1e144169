import type { WriteConflict_Reason } from '../../proto/kvrpcpb.ts'
import { KeyError, LockInfo, Op } from '../../proto/kvrpcpb.ts'
import type { Lock, Write } from './mvcc.ts'

const LOCK_OP = { put: Op.Put, delete: Op.Del, lock: Op.Lock, pessimistic: Op.PessimisticLock } as const

export function lockInfo(key: Buffer, lock: Lock): LockInfo {
  return LockInfo.create({
    primaryLock: lock.primary,
    lockVersion: lock.startTs,
    key,
    lockTtl: lock.ttlMs,
    txnSize: lock.txnSize,
    lockType: LOCK_OP[lock.kind],
    lockForUpdateTs: lock.forUpdateTs,
    useAsyncCommit: lock.asyncCommit,
    minCommitTs: lock.minCommitTs,
    secondaries: [...lock.secondaries],
  })
}

export const locked = (key: Buffer, lock: Lock): KeyError => KeyError.create({ locked: lockInfo(key, lock) })

export const alreadyExists = (key: Buffer): KeyError => KeyError.create({ alreadyExist: { key } })

export const aborted = (text: string): KeyError => KeyError.create({ abort: text })

export const txnNotFound = (startTs: bigint, primaryKey: Buffer): KeyError =>
  KeyError.create({ txnNotFound: { startTs, primaryKey } })

export const lockNotFound = (key: Buffer, startTs: bigint): KeyError =>
  KeyError.create({
    retryable: `Error(Txn(Error(Mvcc(Error(TxnLockNotFound { start_ts: TimeStamp(${startTs}), key: ${key.toString('hex')} })))))`,
    txnLockNotFound: { key },
  })

export function writeConflict(
  key: Buffer,
  startTs: bigint,
  write: Write,
  primary: Buffer,
  reason: WriteConflict_Reason,
): KeyError {
  return KeyError.create({
    conflict: { startTs, conflictTs: write.startTs, conflictCommitTs: write.commitTs, key, primary, reason },
  })
}
