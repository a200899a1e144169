import type {
  KeyError,
  Mutation as KvMutation,
  PessimisticLockKeyResult,
  PessimisticLockRequest,
  PessimisticRollbackRequest,
} from '../../proto/kvrpcpb.ts'
import {
  KeyError as KeyErrors,
  PessimisticLockKeyResultType as ResultType,
  PessimisticLockResponse,
  PessimisticLockWakeUpMode as WakeUpMode,
  PessimisticRollbackResponse,
  WriteConflict_Reason as Reason,
} from '../../proto/kvrpcpb.ts'
import { noBytes } from './bytes.ts'
import { locked, writeConflict, alreadyExists } from './key-errors.ts'
import type { MaxTs } from './max-ts.ts'
import type { Entry, Lock, Mutation, MvccStore, Write } from './mvcc.ts'
import { valueAt, writeOf } from './mvcc.ts'
import { Assertion } from '../../proto/kvrpcpb.ts'

const DEFAULT_WAIT_MS = 1000
const KEEP_WAITING = Symbol('keep waiting')

interface Waiter {
  readonly startTs: bigint
  readonly waitsFor: bigint
  readonly wake: () => void
}

/** Locks taken before the data is known, with waiting and the detection of deadlocks. */
export class PessimisticLocks implements Disposable {
  private readonly store: MvccStore
  private readonly maxTs: MaxTs
  private readonly waiters = new Map<string, Set<Waiter>>()
  private readonly subscription: Disposable

  constructor(store: MvccStore, maxTs: MaxTs) {
    this.store = store
    this.maxTs = maxTs
    this.subscription = store.listen((mutations) => this.wakeUp(mutations))
  }

  [Symbol.dispose](): void {
    this.subscription[Symbol.dispose]()
    for (const waiting of this.waiters.values()) for (const { wake } of waiting) wake()
  }

  /** Waits for foreign locks as long as the request allows. */
  async lock(request: PessimisticLockRequest): Promise<PessimisticLockResponse> {
    const waitMs = request.waitTimeout === 0n ? DEFAULT_WAIT_MS : Number(request.waitTimeout)
    const deadline = performance.now() + waitMs
    for (;;) {
      const blocker = request.mutations
        .map(({ key }) => this.store.get(key))
        .find((entry) => entry?.lock !== undefined && entry.lock.startTs !== request.startVersion)
      if (blocker?.lock === undefined) return this.take(request)
      const error = locked(blocker.key, blocker.lock)
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) return PessimisticLockResponse.create({ errors: [error], results: failed(request) })
      const outcome = await this.wait(blocker, blocker.lock, request.startVersion, leftMs)
      if (outcome !== KEEP_WAITING)
        return PessimisticLockResponse.create({ errors: [outcome], results: failed(request) })
    }
  }

  /** Only pessimistic locks go; nothing is recorded and the change feed is silent. */
  rollback(request: PessimisticRollbackRequest): PessimisticRollbackResponse {
    const steps: Mutation[] = []
    const entries =
      request.keys.length > 0 ? request.keys.map((key) => this.store.get(key)) : this.store.locks(noBytes, noBytes)
    for (const entry of entries) {
      const lock = entry?.lock
      if (entry === undefined || lock?.kind !== 'pessimistic' || lock.startTs !== request.startVersion) continue
      if (lock.forUpdateTs <= request.forUpdateTs) steps.push({ kind: 'unlock', key: entry.key })
    }
    this.store.apply(steps)
    return PessimisticRollbackResponse.create()
  }

  private take(request: PessimisticLockRequest): PessimisticLockResponse {
    const forced = request.wakeUpMode === WakeUpMode.WakeUpModeForceLock
    const steps: Mutation[] = []
    const results: PessimisticLockKeyResult[] = []
    const values: Buffer[] = []
    const notFounds: boolean[] = []
    for (const mutation of request.mutations) {
      const entry = this.store.get(mutation.key)
      const newest = entry?.writes.find((write) => write.kind !== 'rollback')
      const own = writeOf(entry, request.startVersion)
      if (own?.kind === 'rollback' && entry?.lock === undefined)
        return conflict(request, mutation, own, Reason.PessimisticRetry)
      const conflicting = newest !== undefined && newest.commitTs > request.forUpdateTs ? newest : undefined
      if (conflicting !== undefined && !forced) return conflict(request, mutation, conflicting, Reason.PessimisticRetry)
      const readTs = conflicting?.commitTs ?? request.forUpdateTs
      this.maxTs.raise(readTs)
      const value = valueAt(entry?.writes ?? [], readTs)
      if (mutation.assertion === Assertion.NotExist && value !== undefined)
        return PessimisticLockResponse.create({ errors: [alreadyExists(mutation.key)] })
      values.push(request.returnValues ? (value ?? noBytes) : noBytes)
      notFounds.push(value === undefined)
      results.push({
        type: conflicting === undefined ? ResultType.LockResultNormal : ResultType.LockResultLockedWithConflict,
        value: request.returnValues || conflicting !== undefined ? (value ?? noBytes) : noBytes,
        existence: value !== undefined,
        lockedWithConflictTs: conflicting?.commitTs ?? 0n,
        skipResolvingLock: false,
      })
      if (value === undefined && request.lockOnlyIfExists) continue
      if (entry?.lock === undefined || entry.lock.forUpdateTs < readTs)
        steps.push(lockStep(request, mutation, readTs, entry?.lock))
    }
    this.store.apply(steps)
    if (forced) return PessimisticLockResponse.create({ results })
    return PessimisticLockResponse.create({
      values: request.returnValues ? values : [],
      notFounds: request.returnValues || request.checkExistence ? notFounds : [],
    })
  }

  /** Resolves with a deadlock error, or when it is worth trying again. */
  private async wait(
    entry: Entry,
    lock: Lock,
    startTs: bigint,
    timeoutMs: number,
  ): Promise<KeyError | typeof KEEP_WAITING> {
    if (this.waitsFor(lock.startTs, startTs))
      return KeyErrors.create({ deadlock: { lockTs: lock.startTs, lockKey: entry.key, deadlockKey: entry.key } })
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiter: Waiter = { startTs, waitsFor: lock.startTs, wake: resolve }
    const name = entry.key.toString('latin1')
    const waiting = this.waiters.get(name) ?? new Set()
    this.waiters.set(name, waiting.add(waiter))
    const timer = setTimeout(resolve, timeoutMs)
    await promise
    clearTimeout(timer)
    waiting.delete(waiter)
    if (waiting.size === 0) this.waiters.delete(name)
    return KEEP_WAITING
  }

  /** True where transaction `from` waits, perhaps through others, for transaction `target`. */
  private waitsFor(from: bigint, target: bigint): boolean {
    if (from === target) return true
    const all = [...this.waiters.values()].flatMap((waiting) => [...waiting])
    return all.some((waiter) => waiter.startTs === from && this.waitsFor(waiter.waitsFor, target))
  }

  private wakeUp(mutations: readonly Mutation[]): void {
    if (this.waiters.size === 0) return
    for (const mutation of mutations) {
      if (mutation.kind !== 'unlock') continue
      for (const { wake } of this.waiters.get(mutation.key.toString('latin1')) ?? []) wake()
    }
  }
}

function lockStep(
  request: PessimisticLockRequest,
  mutation: KvMutation,
  forUpdateTs: bigint,
  old: Lock | undefined,
): Mutation {
  const lock: Lock = {
    kind: 'pessimistic',
    primary: Buffer.from(request.primaryLock),
    startTs: request.startVersion,
    ttlMs: old !== undefined && old.ttlMs > request.lockTtl ? old.ttlMs : request.lockTtl,
    txnSize: 0n,
    forUpdateTs,
    minCommitTs: request.minCommitTs,
    asyncCommit: false,
    secondaries: [],
    value: noBytes,
    txnSource: 0n,
    generation: 0n,
  }
  return { kind: 'lock', key: Buffer.from(mutation.key), lock, rewrite: false }
}

function conflict(
  request: PessimisticLockRequest,
  mutation: KvMutation,
  write: Write,
  reason: Reason,
): PessimisticLockResponse {
  const error = writeConflict(mutation.key, request.startVersion, write, request.primaryLock, reason)
  return PessimisticLockResponse.create({ errors: [error], results: failed(request) })
}

function failed(request: PessimisticLockRequest): { type: typeof ResultType.LockResultFailed }[] {
  if (request.wakeUpMode !== WakeUpMode.WakeUpModeForceLock) return []
  return request.mutations.map(() => ({ type: ResultType.LockResultFailed }))
}
