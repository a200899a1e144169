import { BatchRollbackRequest, CommitRequest, Op, PrewriteRequest } from '../../../proto/kvrpcpb.ts'
import type { Context, KeyError, LockInfo, Mutation as MutationMessage } from '../../../proto/kvrpcpb.ts'
import { TikvService } from '../../../proto/tikvpb.ts'
import { Ts } from '../../../tidb/ts.ts'
import { Backoff } from '../../../upstream/tikv/backoff.ts'
import type { KvClient } from '../../../upstream/tikv/kv-client.ts'
import { resolveLocks } from '../../../upstream/tikv/resolve-locks.ts'
import { SqlError, TXN_CONFLICT } from '../error.ts'
import { KeyExistsError } from './store.ts'
import type { CommitOptions, Mutation } from './store.ts'

/** Locks live this long without a heartbeat; no prewrite here takes a fraction of it. */
const LOCK_TTL_MS = 20_000n
const LOCK_BUDGET_MS = 40_000
/** Prewrites and commits are sent in pieces of this size. */
const BATCH_BYTES = 1 << 20
const BATCH_KEYS = 1024
/** TiDB's limits for async commit. */
const ASYNC_KEYS = 256
const ASYNC_KEY_BYTES = 4096

const OPS = { put: Op.Put, insert: Op.Insert, delete: Op.Del, lock: Op.Lock } as const

/** Work that goes on after a transaction is committed for its client. */
export type Background = (work: Promise<void>) => void

/**
 * One percolator transaction: prewrite all keys, commit the primary, then the others in the background. A small one in
 * one region is committed by its prewrite (1PC); a small one over several regions as soon as all keys are prewritten
 * (async commit).
 */
export class TwoPhaseCommit {
  readonly #kv: KvClient
  readonly #startTs: Ts
  readonly #mutations: readonly Mutation[]
  readonly #byKey: ReadonlyMap<string, Mutation>
  readonly #primary: Buffer
  readonly #txnSource: bigint
  readonly #async: boolean
  readonly #onePhase: boolean
  readonly #background: Background
  /** 0 = PD's timestamp decides; else commitTs must not be below. */
  #minCommitTs = 0n
  #onePhaseTs = 0n
  /** A store that cannot do it answers min-commit-ts 0: the transaction goes on as an ordinary one. */
  #asyncFailed = false

  constructor(
    kv: KvClient,
    startTs: Ts,
    mutations: readonly Mutation[],
    options: CommitOptions,
    background: Background,
  ) {
    this.#kv = kv
    this.#startTs = startTs
    this.#mutations = mutations
    this.#byKey = new Map(mutations.map((mutation) => [textOf(mutation.key), mutation]))
    const primary = mutations.find(({ kind }) => kind !== 'lock') ?? mutations[0]
    if (primary === undefined) throw new RangeError('a transaction without keys cannot be committed')
    this.#primary = Buffer.from(primary.key)
    const keyBytes = mutations.reduce((sum, { key }) => sum + key.length, 0)
    const small = mutations.length <= ASYNC_KEYS && keyBytes <= ASYNC_KEY_BYTES
    this.#async = options.asyncCommit && small
    this.#onePhase = options.onePhase && small
    this.#background = background
    this.#txnSource = options.txnSource ?? 0n
  }

  async run(signal: AbortSignal): Promise<Ts> {
    try {
      if (this.#async || this.#onePhase) this.#minCommitTs = (await this.#kv.pd.tso(signal)) + 1n
      for (const batch of batchesOf(this.#mutations)) await this.#prewrite(batch, signal)
    } catch (error) {
      this.#background(this.#rollback(signal))
      throw error
    }
    if (this.#onePhaseTs !== 0n) return Ts(this.#onePhaseTs)
    if (this.#async && !this.#asyncFailed) {
      const commitTs = Ts(this.#minCommitTs)
      this.#background(
        this.#commitKeys([this.#primary], commitTs, signal).then(() => this.#commitSecondaries(commitTs, signal)),
      )
      return commitTs
    }
    const commitTs = await this.#commitPrimary(signal)
    this.#background(this.#commitSecondaries(commitTs, signal))
    return commitTs
  }

  async #prewrite(batch: readonly Mutation[], signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#kv.clock, LOCK_BUDGET_MS)
    let left: readonly Uint8Array[] = batch.map(({ key }) => key)
    while (left.length > 0) {
      const locked: Uint8Array[] = []
      const locks: LockInfo[] = []
      await this.#kv.callGrouped(
        left,
        TikvService.kvPrewrite,
        (context, keys) => this.#prewriteRequest(context, keys),
        (answer, keys) => {
          if (answer.errors.length > 0) {
            locks.push(...answer.errors.map(lockOf))
            locked.push(...keys)
            return
          }
          if (answer.onePcCommitTs !== 0n) this.#onePhaseTs = answer.onePcCommitTs
          else if (answer.minCommitTs === 0n) this.#asyncFailed = true
          else if (answer.minCommitTs > this.#minCommitTs) this.#minCommitTs = answer.minCommitTs
        },
        signal,
      )
      if (locks.length > 0) {
        const { waitMs } = await resolveLocks(this.#kv, 0n, locks, signal)
        if (waitMs > 0) await backoff.pause('txnLock', new Error('another transaction holds a lock'), signal, waitMs)
      }
      left = locked
    }
  }

  #prewriteRequest(context: Context, keys: readonly Uint8Array[]): PrewriteRequest {
    const mutations = keys.map((key) => this.#message(key))
    const hasPrimary = mutations.some(({ key }) => key.equals(this.#primary))
    const whole = keys.length === this.#mutations.length
    return PrewriteRequest.fromPartial({
      context: { ...context, txnSource: this.#txnSource },
      mutations,
      primaryLock: this.#primary,
      startVersion: this.#startTs,
      lockTtl: LOCK_TTL_MS,
      txnSize: BigInt(this.#mutations.length),
      minCommitTs: this.#minCommitTs,
      useAsyncCommit: this.#async,
      secondaries: this.#async && hasPrimary ? this.#secondaries() : [],
      tryOnePc: this.#onePhase && whole,
    })
  }

  #message(key: Uint8Array): MutationMessage {
    const mutation = this.#byKey.get(textOf(key))
    if (mutation === undefined) throw new RangeError('a key that is not of this transaction')
    const value = 'value' in mutation ? Buffer.from(mutation.value) : Buffer.alloc(0)
    return { op: OPS[mutation.kind], key: Buffer.from(key), value, assertion: 0 }
  }

  #secondaries(): Buffer[] {
    return this.#mutations.map(({ key }) => Buffer.from(key)).filter((key) => !key.equals(this.#primary))
  }

  async #commitPrimary(signal: AbortSignal): Promise<Ts> {
    for (;;) {
      const commitTs = await this.#kv.pd.tso(signal)
      if (await this.#commitKeys([this.#primary], commitTs, signal)) return commitTs
    }
  }

  async #commitSecondaries(commitTs: Ts, signal: AbortSignal): Promise<void> {
    for (const batch of batchesOf(this.#mutations)) {
      const keys = batch.map(({ key }) => Buffer.from(key)).filter((key) => !key.equals(this.#primary))
      if (keys.length > 0) await this.#commitKeys(keys, commitTs, signal)
    }
  }

  /** False: a reader pushed the transaction's least commitTs beyond this one. */
  async #commitKeys(keys: readonly Buffer[], commitTs: Ts, signal: AbortSignal): Promise<boolean> {
    let expired = false
    await this.#kv.callGrouped(
      keys,
      TikvService.kvCommit,
      (context, group) =>
        CommitRequest.fromPartial({
          context,
          startVersion: this.#startTs,
          keys: group.map((key) => Buffer.from(key)),
          commitVersion: commitTs,
        }),
      ({ error }) => {
        if (error === undefined) return
        if (error.commitTsExpired === undefined) throw commitFailure(error)
        expired = true
      },
      signal,
    )
    return !expired
  }

  async #rollback(signal: AbortSignal): Promise<void> {
    for (const batch of batchesOf(this.#mutations))
      await this.#kv.callGrouped(
        batch.map(({ key }) => key),
        TikvService.kvBatchRollback,
        (context, keys) =>
          BatchRollbackRequest.fromPartial({
            context,
            startVersion: this.#startTs,
            keys: keys.map((key) => Buffer.from(key)),
          }),
        () => {},
        signal,
      )
  }
}

/** The lock that stopped a prewrite; any other error ends the transaction. */
function lockOf(error: KeyError): LockInfo {
  if (error.locked !== undefined) return error.locked
  if (error.alreadyExist !== undefined) throw new KeyExistsError(error.alreadyExist.key)
  const { conflict } = error
  if (conflict !== undefined)
    throw new SqlError(
      TXN_CONFLICT,
      `Write conflict, txnStartTS=${conflict.startTs}, conflictStartTS=${conflict.conflictTs}, conflictCommitTS=${conflict.conflictCommitTs}, key=${conflict.key.toString('hex')}, reason=${conflict.reason} [try again later]`,
    )
  throw commitFailure(error)
}

/** 8022: the transaction was rolled back by somebody who met its lock, or the store refused it. */
function commitFailure(error: KeyError): SqlError {
  const text =
    error.retryable ||
    error.abort ||
    (error.txnNotFound === undefined ? 'the store refused the commit' : 'transaction not found')
  return new SqlError(8022, `Error: KV error safe to retry ${text} [try again later]`)
}

function batchesOf(mutations: readonly Mutation[]): Mutation[][] {
  const batches: Mutation[][] = []
  let batch: Mutation[] = []
  let bytes = 0
  for (const mutation of mutations) {
    if (batch.length >= BATCH_KEYS || bytes >= BATCH_BYTES) {
      batches.push(batch)
      batch = []
      bytes = 0
    }
    batch.push(mutation)
    bytes += mutation.key.length + ('value' in mutation ? mutation.value.length : 0)
  }
  if (batch.length > 0) batches.push(batch)
  return batches
}

const textOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
