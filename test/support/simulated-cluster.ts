// A simulated cluster in its own process, reached only over its ports, and a small transaction client.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { CdcError } from '../../src/base/errors.ts'
import {
  BatchRollbackRequest,
  CommitRequest,
  FlushRequest,
  type KeyError,
  Op,
  PessimisticLockRequest,
  PrewriteRequest,
  PrewriteRequest_PessimisticAction,
  type PrewriteResponse,
} from '../../src/proto/kvrpcpb.ts'
import { TikvService } from '../../src/proto/tikvpb.ts'
import { compareBytes } from '../../src/tidb/key.ts'
import { Ts } from '../../src/tidb/ts.ts'
import type { KvClient } from '../../src/upstream/tikv/kv-client.ts'
import { resolveLocks } from '../../src/upstream/tikv/resolve-locks.ts'

export interface Cluster extends AsyncDisposable {
  readonly pd: string
  readonly admin: string
  /** host:port */
  readonly sql: string
  get(path: string): Promise<Record<string, unknown>>
  fault(name: string, body: object): Promise<void>
}

export async function startCluster(): Promise<Cluster> {
  const cdc = join(import.meta.dirname, '..', '..', 'bin', 'cdc')
  const args = ['playground', '--pd-port', '0', '--sql-port', '0', '--admin-port', '0']
  const child = spawn(cdc, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const lines = createInterface({ input: child.stdout })
  const [line] = await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => ['{}'])])
  const addresses: { pd?: string; admin?: string; sql?: string } = JSON.parse(String(line))
  const { pd = '', admin = '', sql = '' } = addresses
  if (pd === '') throw new Error('the simulated cluster did not start')
  return {
    pd,
    admin,
    sql,
    async get(path) {
      const answer: unknown = await (await fetch(admin + path)).json()
      return Object(answer)
    },
    async fault(name, body) {
      const answer = await fetch(`${admin}/faults/${name}`, { method: 'POST', body: JSON.stringify(body) })
      if (!answer.ok) throw new Error(`${name}: ${answer.status} ${await answer.text()}`)
      await answer.text()
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}

export interface Write {
  readonly key: Uint8Array
  /** undefined = delete. */
  readonly value: Uint8Array | undefined
}
/** How a transaction ends; those that are left have a client that died after the prewrite, or after its primary's commit. */
export const LIVING_MODES = [
  'two-phase',
  'async',
  'one-phase',
  'rolled-back',
  'pessimistic',
  'lock-only',
  'pipelined',
] as const
export const DEAD_MODES = ['left-prewritten', 'left-async', 'left-half-committed', 'left-pessimistic'] as const
export type TxnMode = (typeof LIVING_MODES)[number] | (typeof DEAD_MODES)[number]

/** How long the locks of a living client are valid. */
const LIVING_TTL_MS = 20_000n

/** Runs one transaction; returns its commit-ts, 0 where it does not come to one or its outcome is left to others. */
export async function runTxn(
  kv: KvClient,
  writes: readonly Write[],
  mode: TxnMode,
  signal: AbortSignal,
  options: { readonly ttlMs?: bigint; readonly txnSource?: bigint } = {},
): Promise<Ts> {
  const startTs = await kv.pd.tso(signal)
  // In key order, as they are sent: the primary is locked first, and no two transactions wait for each other.
  const keys = writes.map((write) => write.key).toSorted(compareBytes)
  const lockTtl = mode.startsWith('left-') ? 1n : (options.ttlMs ?? LIVING_TTL_MS)
  const txn = { kv, startTs, keys, writes, mode, lockTtl, txnSource: options.txnSource ?? 0n, signal }
  const found = { minCommitTs: 0n, onePcCommitTs: 0n }
  for (const round of roundsOf(txn, found)) {
    for (;;) {
      const failure = await refusalOf(round())
      if (failure === undefined) break
      if (failure.locked === undefined) {
        await rollBack(kv, keys, startTs, signal)
        return Ts(0n)
      }
      const { waitMs } = await resolveLocks(kv, 0n, [failure.locked], signal)
      if (waitMs > 0) await kv.clock.sleep(Math.min(waitMs, 20), signal)
    }
  }
  if (found.onePcCommitTs !== 0n) return Ts(found.onePcCommitTs)
  if (mode === 'left-prewritten' || mode === 'left-async' || mode === 'left-pessimistic') return Ts(0n)
  if (mode === 'rolled-back') {
    await rollBack(kv, keys, startTs, signal)
    return Ts(0n)
  }
  const commitTs = mode === 'async' && found.minCommitTs > 0n ? Ts(found.minCommitTs) : await kv.pd.tso(signal)
  const secondaries = mode === 'left-half-committed' ? [] : keys.slice(1)
  for (const some of [keys.slice(0, 1), secondaries]) {
    if (some.length > 0 && !(await commit(txn, some, commitTs))) return Ts(0n)
  }
  return commitTs
}

interface Txn {
  readonly kv: KvClient
  readonly startTs: Ts
  /** In order; the first is the primary. */
  readonly keys: readonly Uint8Array[]
  readonly writes: readonly Write[]
  readonly mode: TxnMode
  readonly lockTtl: bigint
  /** Not 0 = written by a CDC. */
  readonly txnSource: bigint
  readonly signal: AbortSignal
}

/** What has to be done before the commit, one after the other; each is repeated when it finds a lock. */
function roundsOf(txn: Txn, found: { minCommitTs: bigint; onePcCommitTs: bigint }): (() => Promise<void>)[] {
  switch (txn.mode) {
    case 'pessimistic':
      return [() => lockPessimistically(txn), () => prewrite(txn, found)]
    case 'left-pessimistic':
      return [() => lockPessimistically(txn)]
    case 'pipelined':
      // The first flush holds other values than the last.
      return [() => flush(txn, 1n), () => flush(txn, 2n)]
    default:
      return [() => prewrite(txn, found)]
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => compareBytes(a, b) === 0

async function prewrite(
  { kv, startTs, keys, writes, mode, lockTtl, txnSource, signal }: Txn,
  found: { minCommitTs: bigint; onePcCommitTs: bigint },
): Promise<void> {
  const useAsyncCommit = mode === 'async' || mode === 'left-async'
  const pessimistic = mode === 'pessimistic'
  await kv.callGrouped(
    keys,
    TikvService.kvPrewrite,
    (context, group) =>
      PrewriteRequest.fromPartial({
        context,
        mutations: group.map((key, at) => {
          const value = writes.find((write) => same(write.key, key))?.value
          const op = mode === 'lock-only' && at % 2 === 0 ? Op.Lock : value === undefined ? Op.Del : Op.Put
          return { op, key: Buffer.from(key), value: Buffer.from((op === Op.Put ? value : undefined) ?? []) }
        }),
        primaryLock: Buffer.from(keys[0] ?? []),
        startVersion: startTs,
        lockTtl,
        txnSize: BigInt(keys.length),
        useAsyncCommit,
        secondaries: useAsyncCommit ? keys.slice(1).map((key) => Buffer.from(key)) : [],
        minCommitTs: startTs + 1n,
        tryOnePc: mode === 'one-phase' && group.length === keys.length,
        forUpdateTs: pessimistic ? startTs : 0n,
        pessimisticActions: pessimistic ? group.map(() => PrewriteRequest_PessimisticAction.DO_PESSIMISTIC_CHECK) : [],
      }),
    (answer: PrewriteResponse) => {
      refuse(answer.errors)
      if (answer.minCommitTs > found.minCommitTs) found.minCommitTs = answer.minCommitTs
      found.onePcCommitTs = answer.onePcCommitTs
    },
    signal,
    { context: { txnSource } },
  )
}

async function lockPessimistically({ kv, startTs, keys, lockTtl, signal }: Txn): Promise<void> {
  await kv.callGrouped(
    keys,
    TikvService.kvPessimisticLock,
    (context, group) =>
      PessimisticLockRequest.fromPartial({
        context,
        mutations: group.map((key) => ({ op: Op.PessimisticLock, key: Buffer.from(key) })),
        primaryLock: Buffer.from(keys[0] ?? []),
        startVersion: startTs,
        forUpdateTs: startTs,
        lockTtl,
        waitTimeout: -1n,
        minCommitTs: startTs + 1n,
      }),
    ({ errors }) => refuse(errors),
    signal,
  )
}

async function flush({ kv, startTs, keys, writes, lockTtl, signal }: Txn, generation: bigint): Promise<void> {
  await kv.callGrouped(
    keys,
    TikvService.kvFlush,
    (context, group) =>
      FlushRequest.fromPartial({
        context,
        mutations: group.map((key) => {
          const value = writes.find((write) => same(write.key, key))?.value
          if (generation === 1n) return { op: Op.Put, key: Buffer.from(key), value: Buffer.from('flushed before') }
          return { op: value === undefined ? Op.Del : Op.Put, key: Buffer.from(key), value: Buffer.from(value ?? []) }
        }),
        primaryKey: Buffer.from(keys[0] ?? []),
        startTs,
        minCommitTs: startTs + 1n,
        generation,
        lockTtl,
      }),
    ({ errors }) => refuse(errors),
    signal,
  )
}

function refuse([error]: readonly KeyError[]): void {
  if (error !== undefined) throw new Refused(error)
}

/** Ends a round of prewrites at the first region that refuses: no secondary is locked before its primary. */
class Refused extends Error {
  readonly error: KeyError

  constructor(error: KeyError) {
    super('prewrite refused')
    this.error = error
  }
}

async function refusalOf(work: Promise<void>): Promise<KeyError | undefined> {
  try {
    await work
    return undefined
  } catch (error) {
    if (error instanceof Refused) return error.error
    throw error
  }
}

/** False when somebody rolled the transaction back. */
async function commit(
  { kv, startTs: startVersion, txnSource, signal }: Txn,
  keys: readonly Uint8Array[],
  commitVersion: Ts,
): Promise<boolean> {
  let done = true
  await kv.callGrouped(
    keys,
    TikvService.kvCommit,
    (context, group) =>
      CommitRequest.fromPartial({ context, startVersion, commitVersion, keys: group.map((key) => Buffer.from(key)) }),
    ({ error }) => {
      if (error?.txnLockNotFound !== undefined || error?.retryable) done = false
      else if (error !== undefined)
        throw new CdcError('CDC:ErrUnexpected', `commit: ${JSON.stringify(Object.keys(error))}`)
    },
    signal,
    { context: { txnSource } },
  )
  return done
}

async function rollBack(
  kv: KvClient,
  keys: readonly Uint8Array[],
  startVersion: Ts,
  signal: AbortSignal,
): Promise<void> {
  await kv.callGrouped(
    keys,
    TikvService.kvBatchRollback,
    (context, group) =>
      BatchRollbackRequest.fromPartial({ context, startVersion, keys: group.map((key) => Buffer.from(key)) }),
    () => {},
    signal,
  )
}
