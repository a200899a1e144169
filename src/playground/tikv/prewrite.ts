import type { FlushRequest, KeyError, Mutation as KvMutation } from '../../proto/kvrpcpb.ts'
import {
  FlushResponse,
  Op,
  PrewriteRequest_PessimisticAction as Action,
  PrewriteRequest,
  PrewriteResponse,
  WriteConflict_Reason as Reason,
} from '../../proto/kvrpcpb.ts'
import { compareBytes, noBytes } from './bytes.ts'
import { aborted, alreadyExists, locked, writeConflict } from './key-errors.ts'
import type { MaxTs } from './max-ts.ts'
import type { Entry, Lock, Mutation, MvccStore } from './mvcc.ts'
import { valueAt, writeOf } from './mvcc.ts'

/** How one key of a prewrite came out. */
type Checked = 'fine' | 'done' | KeyError

/** First phase of a transaction: locks with data, or the whole commit where one phase is enough. */
export class Prewrites {
  private readonly store: MvccStore
  private readonly maxTs: MaxTs

  constructor(store: MvccStore, maxTs: MaxTs) {
    this.store = store
    this.maxTs = maxTs
  }

  /** All keys or none. */
  prewrite(request: PrewriteRequest): PrewriteResponse {
    const retried = request.useAsyncCommit || request.tryOnePc
    const errors: KeyError[] = []
    const todo: KvMutation[] = []
    let known = 0n
    let committed = 0n
    for (const [index, mutation] of request.mutations.entries()) {
      const entry = this.store.get(mutation.key)
      const action = request.pessimisticActions[index] ?? Action.SKIP_PESSIMISTIC_CHECK
      const checked = this.check(request, mutation, entry, action, retried)
      if (checked === 'fine') todo.push(mutation)
      else if (checked !== 'done') errors.push(checked)
      else if (entry?.lock?.startTs === request.startVersion) known = later(known, entry.lock.minCommitTs)
      else committed = later(committed, writeOf(entry, request.startVersion)?.commitTs ?? 0n)
    }
    if (errors.length > 0) return PrewriteResponse.create({ errors })
    // A repeated request whose first try got through: the answer is the one that was lost.
    if (committed > 0n)
      return PrewriteResponse.create(request.tryOnePc ? { onePcCommitTs: committed } : { minCommitTs: committed })

    const least = later(later(this.maxTs.value, request.startVersion), request.forUpdateTs) + 1n
    const minCommitTs = later(least, request.minCommitTs)
    const tooLate = request.maxCommitTs > 0n && minCommitTs > request.maxCommitTs
    if (request.tryOnePc && !tooLate) {
      this.store.apply(todo.flatMap((mutation) => onePhase(request, mutation, minCommitTs, this.store)))
      return PrewriteResponse.create({ onePcCommitTs: minCommitTs })
    }
    const asyncCommit = request.useAsyncCommit && !tooLate
    const lockMinCommitTs = asyncCommit ? minCommitTs : request.minCommitTs
    this.store.apply(todo.flatMap((mutation) => lockStep(request, mutation, asyncCommit, lockMinCommitTs)))
    if (!asyncCommit) return PrewriteResponse.create()
    return PrewriteResponse.create({ minCommitTs: todo.length > 0 ? later(known, minCommitTs) : known })
  }

  /** A flush of a pipelined transaction: later flushes overwrite earlier ones of the same transaction. */
  flush(request: FlushRequest): FlushResponse {
    const errors: KeyError[] = []
    const steps: Mutation[] = []
    for (const mutation of request.mutations) {
      const entry = this.store.get(mutation.key)
      const lock = entry?.lock
      if (lock !== undefined && lock.startTs !== request.startTs) errors.push(locked(mutation.key, lock))
      else if (lock !== undefined && lock.generation >= request.generation) continue
      else {
        const conflict =
          lock === undefined ? conflictOf(entry, mutation, request.startTs, request.primaryKey) : undefined
        if (conflict !== undefined) errors.push(conflict)
        else if (mutation.op === Op.Insert && valueAt(entry?.writes ?? [], request.startTs) !== undefined)
          errors.push(alreadyExists(mutation.key))
        else steps.push(...lockStep(flushAsPrewrite(request), mutation, false, request.minCommitTs, request.generation))
      }
    }
    if (errors.length === 0) this.store.apply(steps)
    return FlushResponse.create({ errors })
  }

  private check(
    request: PrewriteRequest,
    mutation: KvMutation,
    entry: Entry | undefined,
    action: Action,
    retried: boolean,
  ): Checked {
    const { startVersion: startTs, primaryLock: primary } = request
    const { key } = mutation
    const lock = entry?.lock
    const own = writeOf(entry, startTs)
    if (lock !== undefined && lock.startTs !== startTs) return locked(key, lock)
    if (lock !== undefined && lock.kind !== 'pessimistic') return 'done'
    if (lock === undefined && own !== undefined && own.kind !== 'rollback' && retried) return 'done'
    if (lock === undefined) {
      const newer = entry?.writes.find((write) => write.kind !== 'rollback')
      if (own?.kind === 'rollback') return writeConflict(key, startTs, own, primary, Reason.SelfRolledBack)
      if (action === Action.DO_PESSIMISTIC_CHECK) {
        // The pessimistic lock may be lost (they are not replicated): fine as long as nobody wrote since.
        if (newer !== undefined && newer.commitTs > startTs)
          return aborted(
            `Error(Mvcc(Error(PessimisticLockNotFound { start_ts: TimeStamp(${startTs}), key: ${key.toString('hex')} })))`,
          )
        return 'fine'
      }
      const free = request.forUpdateTs > 0n && action === Action.SKIP_PESSIMISTIC_CHECK
      if (!free || mutation.op === Op.CheckNotExists) {
        const conflict = conflictOf(entry, mutation, startTs, primary)
        if (conflict !== undefined) return conflict
      }
    }
    if ((mutation.op === Op.Insert || mutation.op === Op.CheckNotExists) && lock === undefined)
      if (valueAt(entry?.writes ?? [], startTs) !== undefined) return alreadyExists(key)
    return mutation.op === Op.CheckNotExists ? 'done' : 'fine'
  }
}

const later = (a: bigint, b: bigint): bigint => (a > b ? a : b)

function conflictOf(
  entry: Entry | undefined,
  mutation: KvMutation,
  startTs: bigint,
  primary: Buffer,
): KeyError | undefined {
  const own = writeOf(entry, startTs)
  if (own?.kind === 'rollback') return writeConflict(mutation.key, startTs, own, primary, Reason.SelfRolledBack)
  const newest = entry?.writes.find((write) => write.kind !== 'rollback')
  if (newest === undefined || newest.commitTs <= startTs) return undefined
  return writeConflict(mutation.key, startTs, newest, primary, Reason.Optimistic)
}

function kindOf(op: Op): 'put' | 'delete' | 'lock' {
  switch (op) {
    case Op.Put:
    case Op.Insert:
      return 'put'
    case Op.Del:
      return 'delete'
    case Op.Lock:
      return 'lock'
    default:
      throw new RangeError(`a prewrite cannot carry operation ${op}`)
  }
}

function lockStep(
  request: PrewriteRequest,
  mutation: KvMutation,
  asyncCommit: boolean,
  minCommitTs: bigint,
  generation = 0n,
): Mutation[] {
  const kind = kindOf(mutation.op)
  const primary = compareBytes(mutation.key, request.primaryLock) === 0
  const lock: Lock = {
    kind,
    primary: Buffer.from(request.primaryLock),
    startTs: request.startVersion,
    ttlMs: request.lockTtl,
    txnSize: request.txnSize,
    forUpdateTs: request.forUpdateTs,
    minCommitTs,
    asyncCommit,
    secondaries: asyncCommit && primary ? request.secondaries.map((key) => Buffer.from(key)) : [],
    value: kind === 'put' ? Buffer.from(mutation.value) : noBytes,
    txnSource: request.context?.txnSource ?? 0n,
    generation,
  }
  return [{ kind: 'lock', key: Buffer.from(mutation.key), lock, rewrite: false }]
}

function onePhase(request: PrewriteRequest, mutation: KvMutation, commitTs: bigint, store: MvccStore): Mutation[] {
  const key = Buffer.from(mutation.key)
  const kind = kindOf(mutation.op)
  const value = kind === 'put' ? Buffer.from(mutation.value) : noBytes
  const txnSource = request.context?.txnSource ?? 0n
  const write = { kind, startTs: request.startVersion, commitTs, value, txnSource, protected: false }
  const step: Mutation = { kind: 'write', key, write, onePhase: true }
  return store.get(key)?.lock === undefined ? [step] : [{ kind: 'unlock', key }, step]
}

function flushAsPrewrite(request: FlushRequest): PrewriteRequest {
  return PrewriteRequest.fromPartial({
    context: request.context,
    primaryLock: request.primaryKey,
    startVersion: request.startTs,
    lockTtl: request.lockTtl,
  })
}
