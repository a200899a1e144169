// What happens to transactions whose clients are gone, and who meets their locks.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  Action,
  CheckSecondaryLocksRequest,
  CheckTxnStatusRequest,
  CommitRequest,
  GetRequest,
  Op,
  PrewriteRequest,
  WriteConflict_Reason as Reason,
} from '../../proto/kvrpcpb.ts'
import { Finishes } from './finish.ts'
import { MaxTs } from './max-ts.ts'
import { MvccStore } from './mvcc.ts'
import { Prewrites } from './prewrite.ts'
import { Reads } from './reads.ts'

const key = Buffer.from('k')
const second = Buffer.from('l')
const at = (ms: bigint): bigint => ms << 18n
const startVersion = at(1000n)

function createStore() {
  const mvcc = new MvccStore()
  const maxTs = new MaxTs()
  const prewrites = new Prewrites(mvcc, maxTs)
  const finishes = new Finishes(mvcc, maxTs)
  const reads = new Reads(mvcc, maxTs)
  const prewrite = (more: Parameters<typeof PrewriteRequest.create>[0] = {}) =>
    prewrites.prewrite(
      PrewriteRequest.create({
        mutations: [{ op: Op.Put, key, value: Buffer.from('v') }],
        primaryLock: key,
        startVersion,
        lockTtl: 3000n,
        ...more,
      }),
    )
  const status = (more: Parameters<typeof CheckTxnStatusRequest.create>[0]) =>
    finishes.checkTxnStatus(
      CheckTxnStatusRequest.create({ primaryKey: key, lockTs: startVersion, verifyIsPrimary: true, ...more }),
    )
  const get = (version: bigint) => reads.get(GetRequest.create({ key, version }))
  const commit = (commitVersion: bigint) =>
    finishes.commit(CommitRequest.create({ keys: [key], startVersion, commitVersion }))
  return { mvcc, maxTs, finishes, prewrite, status, get, commit }
}

test('a lock is rolled back only when its time is over, and then its transaction cannot come back', () => {
  const { prewrite, status, commit, get } = createStore()
  prewrite()
  assert.equal(status({ currentTs: at(4000n) }).lockTtl, 3000n)
  const expired = status({ currentTs: at(4001n) })
  assert.deepEqual([expired.action, expired.lockTtl, expired.commitVersion], [Action.TTLExpireRollback, 0n, 0n])
  assert.ok(commit(at(5000n)).error?.txnLockNotFound !== undefined)
  assert.equal(prewrite().errors[0]?.conflict?.reason, Reason.SelfRolledBack)
  assert.equal(get(at(9000n)).notFound, true)
})

test('a reader pushes the commit of a living transaction above itself', () => {
  const { prewrite, status, commit, get } = createStore()
  prewrite({ minCommitTs: startVersion + 1n })
  const reader = at(2000n)
  assert.ok(get(reader).error?.locked !== undefined)
  const pushed = status({ currentTs: reader, callerStartTs: reader })
  assert.equal(pushed.action, Action.MinCommitTSPushed)
  assert.equal(get(reader).notFound, true)
  assert.equal(commit(reader).error?.commitTsExpired?.minCommitTs, reader + 1n)
  assert.equal(commit(reader + 1n).error, undefined)
  assert.equal(get(reader).notFound, true)
  assert.equal(get(reader + 1n).value.toString(), 'v')
})

test('an unknown transaction is an error, or ends for good where the caller wants it', () => {
  const { status, prewrite } = createStore()
  assert.ok(status({ currentTs: at(2000n) }).error?.txnNotFound !== undefined)
  const ended = status({ currentTs: at(2000n), rollbackIfNotExist: true })
  assert.equal(ended.action, Action.LockNotExistRollback)
  assert.equal(prewrite().errors[0]?.conflict?.reason, Reason.SelfRolledBack)
})

test('async and one-phase commits lie above everything that was read or resolved', () => {
  const { maxTs, prewrite } = createStore()
  maxTs.raise(at(7000n))
  assert.equal(prewrite({ useAsyncCommit: true, secondaries: [second] }).minCommitTs, at(7000n) + 1n)
  const other = createStore()
  other.maxTs.raise(at(7000n))
  assert.equal(other.prewrite({ tryOnePc: true }).onePcCommitTs, at(7000n) + 1n)
  assert.equal(other.prewrite({ tryOnePc: true }).onePcCommitTs, at(7000n) + 1n, 'asked again, the answer is the same')
  const limited = createStore()
  limited.maxTs.raise(at(7000n))
  const late = limited.prewrite({ tryOnePc: true, useAsyncCommit: true, maxCommitTs: at(6000n) })
  assert.deepEqual([late.onePcCommitTs, late.minCommitTs], [0n, 0n])
  assert.equal(limited.mvcc.get(key)?.lock?.asyncCommit, false)
})

test('a missing secondary of an async commit is closed against its own client', () => {
  const { finishes, prewrite, status } = createStore()
  prewrite({ useAsyncCommit: true, secondaries: [second] })
  const alive = status({ currentTs: at(60_000n) })
  assert.deepEqual([alive.lockInfo?.useAsyncCommit, alive.lockInfo?.secondaries], [true, [second]])
  const missing = finishes.checkSecondaryLocks(CheckSecondaryLocksRequest.create({ keys: [second], startVersion }))
  assert.deepEqual([missing.locks, missing.commitTs], [[], 0n])
  const late = prewrite({ mutations: [{ op: Op.Put, key: second, value: key }] })
  assert.equal(late.errors[0]?.conflict?.reason, Reason.SelfRolledBack)
})
