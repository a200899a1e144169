// Which questions are asked about a lock, and what is done with the answers; TiKV is a script here. That the locks really
// go away is tested against a simulated cluster, in event-feed.test.ts.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { systemClock } from '../../base/clock.ts'
import {
  Action,
  CheckSecondaryLocksResponse,
  CheckTxnStatusRequest,
  CheckTxnStatusResponse,
  Context,
  type DeepPartial,
  LockInfo,
  Op,
  PessimisticRollbackRequest,
  PessimisticRollbackResponse,
  ResolveLockRequest,
  ResolveLockResponse,
} from '../../proto/kvrpcpb.ts'
import { compareBytes } from '../../tidb/key.ts'
import { maxTs, Ts, tsOfMs } from '../../tidb/ts.ts'
import type { PdClient } from '../pd/pd.ts'
import type { UnaryMethod } from '../channel.ts'
import type { KvClient, RegionAnswer } from './kv-client.ts'
import { type LockOutcome, resolveLocks } from './resolve-locks.ts'

const NOW = tsOfMs(1_700_000_100_000)
const START = tsOfMs(1_700_000_000_000)
const signal = AbortSignal.timeout(10_000)

interface Script {
  /** One after the other; the last one stays. */
  readonly status: DeepPartial<CheckTxnStatusResponse>[]
  readonly secondaries?: DeepPartial<CheckSecondaryLocksResponse>
}

interface Asked {
  readonly statuses: CheckTxnStatusRequest[]
  readonly resolved: ResolveLockRequest[]
  readonly rolledBack: PessimisticRollbackRequest[]
}

/** Answers in the wire's own form, so that the client decodes them as it would TiKV's. */
function scripted(script: Script): { readonly kv: KvClient; readonly asked: Asked } {
  const asked: Asked = { statuses: [], resolved: [], rolledBack: [] }
  const answerTo = (path: string, request: Buffer): Uint8Array => {
    switch (path.replace(/^.*\//, '')) {
      case 'KvCheckTxnStatus': {
        asked.statuses.push(CheckTxnStatusRequest.decode(request))
        const answer = script.status.length > 1 ? script.status.shift() : script.status[0]
        return CheckTxnStatusResponse.encode(CheckTxnStatusResponse.fromPartial(answer ?? {})).finish()
      }
      case 'KvCheckSecondaryLocks':
        return CheckSecondaryLocksResponse.encode(
          CheckSecondaryLocksResponse.fromPartial(script.secondaries ?? {}),
        ).finish()
      case 'KvResolveLock':
        asked.resolved.push(ResolveLockRequest.decode(request))
        return ResolveLockResponse.encode(ResolveLockResponse.create()).finish()
      case 'KVPessimisticRollback':
        asked.rolledBack.push(PessimisticRollbackRequest.decode(request))
        return PessimisticRollbackResponse.encode(PessimisticRollbackResponse.create()).finish()
      default:
        throw new Error(`${path} was not expected`)
    }
  }
  const ask = <Req, Res>(method: UnaryMethod<Req, Res>, request: Req): Res =>
    method.responseDeserialize(Buffer.from(answerTo(method.path, method.requestSerialize(request))))
  const range = { start: new Uint8Array(), end: new Uint8Array() }
  const pd: Pick<PdClient, 'tso'> = { tso: async () => NOW }
  const kv: KvClient = {
    pd: Object.assign(Object.create(null), pd),
    clock: { ...systemClock, sleep: async () => {} },
    async call(_key, method, build) {
      return { answer: ask(method, build(Context.create(), range)), range }
    },
    async callGrouped<Req, Res extends RegionAnswer>(
      keys: readonly Uint8Array[],
      method: UnaryMethod<Req, Res>,
      build: (context: Context, keys: readonly Uint8Array[]) => Req,
      visit: (answer: Res, keys: readonly Uint8Array[]) => void | Promise<void>,
    ) {
      await visit(ask(method, build(Context.create(), keys)), keys)
    },
    async [Symbol.asyncDispose]() {},
  }
  return { kv, asked }
}

const lockOf = (fields: DeepPartial<LockInfo> = {}): LockInfo =>
  LockInfo.fromPartial({
    primaryLock: Buffer.from('p'),
    key: Buffer.from('k'),
    lockVersion: START,
    lockTtl: 3_000n,
    txnSize: 2n,
    lockType: Op.Put,
    ...fields,
  })

async function outcome(script: Script, locks: readonly LockInfo[], callerStartTs = 0n): Promise<LockOutcome & Asked> {
  const { kv, asked } = scripted(script)
  return { ...(await resolveLocks(kv, callerStartTs, locks, signal)), ...asked }
}

const COMMIT = Ts(START + 5n)
const keysOf = (requests: readonly { readonly keys: readonly Uint8Array[] }[]): string[] =>
  requests.flatMap(({ keys }) => keys.toSorted(compareBytes).map((key) => Buffer.from(key).toString()))

test('the lock of a committed transaction is committed, of a rolled back one rolled back', async () => {
  for (const commitVersion of [COMMIT, 0n]) {
    const seen = await outcome({ status: [{ commitVersion }] }, [lockOf()], START + 1n)
    assert.deepEqual(
      [seen.waitMs, seen.resolved.map((one) => one.commitVersion), keysOf(seen.resolved)],
      [0, [commitVersion], ['k']],
    )
    const [status] = seen.statuses
    assert.deepEqual(
      [status?.lockTs, status?.currentTs, status?.rollbackIfNotExist, status?.verifyIsPrimary],
      [START, NOW, false, true],
    )
  }
})

test('what is committed below a read is read, what is committed above it is not seen', async () => {
  const [below, above] = await Promise.all(
    [COMMIT + 1n, COMMIT - 1n].map((ts) => outcome({ status: [{ commitVersion: COMMIT }] }, [lockOf()], ts)),
  )
  assert.deepEqual([below?.readable, below?.ignorable], [[START], []])
  assert.deepEqual([above?.readable, above?.ignorable], [[], [START]])
})

test('a living transaction is waited for, or read past once its commit was pushed', async () => {
  const alive = { lockTtl: 200_000n, lockInfo: lockOf() }
  const waiting = await outcome({ status: [alive] }, [lockOf()])
  assert.deepEqual([waiting.waitMs, waiting.resolved], [100_000, []])
  const pushed = await outcome({ status: [{ ...alive, action: Action.MinCommitTSPushed }] }, [lockOf()], NOW)
  assert.deepEqual([pushed.waitMs, pushed.ignorable], [0, [START]])
})

test('a primary that is not there yet is rolled back only when the lock has expired', async () => {
  const missing = { error: { txnNotFound: { startTs: START } } }
  const expired = await outcome({ status: [missing, { commitVersion: 0n }] }, [lockOf()])
  assert.deepEqual(
    expired.statuses.map((one) => one.rollbackIfNotExist),
    [false, true],
  )
  const young = await outcome({ status: [missing, { commitVersion: COMMIT }] }, [lockOf({ lockTtl: 200_000n })])
  assert.deepEqual(
    young.statuses.map((one) => one.rollbackIfNotExist),
    [false, false],
  )
})

test('a lock without TTL is checked as if all time had passed', async () => {
  const seen = await outcome({ status: [{ commitVersion: 0n }] }, [lockOf({ lockTtl: 0n })])
  assert.equal(seen.statuses[0]?.currentTs, maxTs)
})

const pessimistic = lockOf({ lockType: Op.PessimisticLock, lockForUpdateTs: START + 3n })

test('a pessimistic lock of an ended transaction is taken back, and nothing is written for it', async () => {
  const seen = await outcome({ status: [{ commitVersion: 0n }] }, [pessimistic])
  assert.equal(seen.statuses[0]?.resolvingPessimisticLock, true)
  assert.deepEqual(seen.resolved, [])
  assert.deepEqual(
    seen.rolledBack.map(({ startVersion, forUpdateTs, keys }) => [startVersion, forUpdateTs, keys.map(String)]),
    [[START, START + 3n, ['k']]],
  )
})

test('a pessimistic lock that names a wrong primary holds nothing', async () => {
  const seen = await outcome({ status: [{ error: { primaryMismatch: {} } }] }, [pessimistic])
  assert.deepEqual([seen.waitMs, keysOf(seen.rolledBack), seen.resolved], [0, ['k'], []])
})

test('a pessimistic lock whose primary is not there yet lives as long as it says', async () => {
  const young = lockOf({ ...pessimistic, lockTtl: 200_000n })
  const seen = await outcome({ status: [{ error: { txnNotFound: { startTs: START } } }] }, [young])
  assert.deepEqual([seen.waitMs, seen.rolledBack, seen.resolved], [100_000, [], []])
})

test('a transaction with both kinds: what it wrote is committed, what it only locked is taken back', async () => {
  const locks = [lockOf({ key: Buffer.from('a') }), lockOf({ ...pessimistic, key: Buffer.from('b') })]
  const seen = await outcome({ status: [{ commitVersion: COMMIT }] }, locks)
  assert.equal(seen.statuses.length, 1)
  assert.deepEqual([keysOf(seen.resolved), keysOf(seen.rolledBack)], [['a'], ['b']])
})

test('shared locks are those of the transactions that share them', async () => {
  const other = tsOfMs(1_700_000_050_000)
  const shared = lockOf({
    lockType: Op.SharedLock,
    lockVersion: 0n,
    sharedLockInfos: [
      lockOf({ lockType: Op.Lock }),
      lockOf({ lockType: Op.SharedPessimisticLock, lockVersion: other, primaryLock: Buffer.from('q') }),
    ],
  })
  const seen = await outcome({ status: [{ commitVersion: COMMIT }, { commitVersion: 0n }] }, [shared])
  assert.deepEqual(
    seen.statuses.map(({ lockTs, primaryKey, resolvingPessimisticLock }) => [
      lockTs,
      primaryKey.toString(),
      resolvingPessimisticLock,
    ]),
    [
      [START, 'p', false],
      [other, 'q', true],
    ],
  )
  assert.deepEqual(
    seen.resolved.map(({ startVersion, commitVersion }) => [startVersion, commitVersion]),
    [[START, COMMIT]],
  )
  assert.deepEqual(
    seen.rolledBack.map(({ startVersion, forUpdateTs }) => [startVersion, forUpdateTs]),
    [[other, maxTs]],
  )
})

const asyncPrimary = lockOf({
  key: Buffer.from('p'),
  useAsyncCommit: true,
  minCommitTs: START + 7n,
  secondaries: [Buffer.from('k'), Buffer.from('l')],
})
const secondary = (fields: DeepPartial<LockInfo>): LockInfo => lockOf({ useAsyncCommit: true, ...fields })

const ASYNC_CASES: readonly (readonly [string, DeepPartial<CheckSecondaryLocksResponse>, bigint])[] = [
  [
    'with all its locks is committed at their greatest min-commit-ts',
    { locks: [secondary({ minCommitTs: START + 9n }), secondary({ minCommitTs: START + 8n })] },
    START + 9n,
  ],
  ['with a committed secondary is committed', { commitTs: COMMIT }, COMMIT],
  ['with a missing secondary is rolled back', { locks: [secondary({})] }, 0n],
]
for (const [name, secondaries, commitTs] of ASYNC_CASES)
  test(`an expired async-commit transaction ${name}`, async () => {
    const status = [{ lockTtl: 3_000n, lockInfo: asyncPrimary }]
    const seen = await outcome({ status, secondaries }, [lockOf()])
    assert.deepEqual(
      seen.resolved.map((one) => one.commitVersion),
      [commitTs],
    )
    assert.ok(['k', 'l', 'p'].every((key) => keysOf(seen.resolved).includes(key)))
  })

test('an async-commit transaction that fell back to two phases is asked for as such', async () => {
  const status = [{ lockTtl: 3_000n, lockInfo: asyncPrimary }, { commitVersion: 0n }]
  const seen = await outcome({ status, secondaries: { locks: [lockOf(), lockOf()] } }, [lockOf()])
  assert.deepEqual(
    seen.statuses.map((one) => one.forceSyncCommit),
    [false, true],
  )
})

test('a big transaction is cleaned region by region', async () => {
  const seen = await outcome({ status: [{ commitVersion: COMMIT }] }, [lockOf({ txnSize: 1_000n })])
  assert.deepEqual(
    seen.resolved.map(({ keys }) => keys),
    [[]],
  )
})

test('a refusal is an error that says what was asked', async () => {
  await assert.rejects(outcome({ status: [{ error: { abort: 'because' } }] }, [lockOf()]), {
    code: 'CDC:ErrUnexpected',
    message: /check a transaction: because/,
  })
})
