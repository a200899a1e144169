import type { Clock } from '../../base/clock.ts'
import { CdcError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { GetRequest, type KeyError, type LockInfo, ScanRequest } from '../../proto/kvrpcpb.ts'
import { TikvService } from '../../proto/tikvpb.ts'
import { compareBytes, prefixNext } from '../../tidb/key.ts'
import type { Ts } from '../../tidb/ts.ts'
import type { PdClient, SecurityOptions } from '../pd/pd.ts'
import { Backoff } from './backoff.ts'
import { isBeyond, type KvClient, sharedKvClient } from './kv-client.ts'
import { resolveLocks } from './resolve-locks.ts'
import type { KvPair, Snapshot } from './snapshot.ts'

export interface SnapshotOptions {
  readonly security: SecurityOptions
  readonly log: Log
  readonly clock: Clock
  /** Used where given, else one that all snapshots over the same PD client share. */
  readonly kv?: KvClient
}

const SCAN_CHUNK = 1024
const SCAN_TIMEOUT_MS = 60_000
const LOCK_BUDGET_MS = 20_000

/** A safe point is believed for so long; it moves every ten minutes. */
const SAFE_POINT_TTL_MS = 10_000

/**
 * Raw keys as they stood at `ts`, without the prefix of a keyspace. Locks in the way are resolved or waited for. Reads below
 * the safe point reject with `CDC:ErrSnapshotLostByGC`; a service safe point set before the first read keeps it away.
 */
export function openSnapshot(pd: PdClient, ts: Ts, options: SnapshotOptions): Snapshot {
  return new KvSnapshot(options.kv ?? sharedKvClient({ pd, ...options }), ts)
}

class KvSnapshot implements Snapshot {
  readonly ts: Ts
  readonly #kv: KvClient
  /** Transactions whose locks a read at `ts` may ignore, or must read through. */
  readonly #resolved = new Set<bigint>()
  readonly #committed = new Set<bigint>()
  readonly #prefix: Uint8Array
  #checkedAt = -Infinity

  constructor(kv: KvClient, ts: Ts) {
    this.#kv = kv
    this.ts = ts
    this.#prefix = kv.pd.keyspace?.prefix ?? new Uint8Array()
  }

  async get(logical: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined> {
    await this.#checkSafePoint(signal)
    const key = this.#physical(logical)
    const backoff = new Backoff(this.#kv.clock, LOCK_BUDGET_MS)
    for (;;) {
      const build = (context: GetRequest['context']): GetRequest =>
        GetRequest.fromPartial({ context, key: Buffer.from(key), version: this.ts })
      const { answer } = await this.#kv.call(key, TikvService.kvGet, build, signal, { context: this.#context() })
      if (answer.error === undefined) return answer.notFound ? undefined : answer.value
      await this.#clear([lockOf(answer.error)], backoff, signal)
    }
  }

  async *scan(from: Uint8Array, to: Uint8Array, signal: AbortSignal): AsyncGenerator<readonly KvPair[]> {
    let next = this.#physical(from)
    const end = to.length > 0 || this.#prefix.length === 0 ? this.#physical(to) : prefixNext(this.#prefix)
    let backoff = new Backoff(this.#kv.clock, LOCK_BUDGET_MS)
    while (!isBeyond(next, end)) {
      await this.#checkSafePoint(signal)
      const startKey = Buffer.from(next)
      const options = { context: this.#context(), timeoutMs: SCAN_TIMEOUT_MS }
      const { answer, range } = await this.#kv.call(
        next,
        TikvService.kvScan,
        (context, region) =>
          ScanRequest.fromPartial({
            context,
            startKey,
            endKey: Buffer.from(earlierEnd(region.end, end)),
            limit: SCAN_CHUNK,
            version: this.ts,
          }),
        signal,
        options,
      )
      const failures = [answer.error, ...answer.pairs.map((pair) => pair.error)].filter((error) => error !== undefined)
      if (failures.length > 0) {
        await this.#clear(failures.map(lockOf), backoff, signal)
        continue
      }
      backoff = new Backoff(this.#kv.clock, LOCK_BUDGET_MS)
      if (answer.pairs.length > 0) yield this.#prefix.length === 0 ? answer.pairs : answer.pairs.map(this.#strip)
      const last = answer.pairs.at(-1)
      if (last !== undefined && answer.pairs.length >= SCAN_CHUNK) next = Buffer.concat([last.key, Buffer.of(0)])
      else if (range.end.length === 0) return
      else next = range.end
    }
  }

  #physical(key: Uint8Array): Uint8Array {
    return this.#prefix.length === 0 ? key : Buffer.concat([this.#prefix, key])
  }

  readonly #strip = ({ key, value }: KvPair): KvPair => ({ key: key.subarray(this.#prefix.length), value })

  /** A store answers below the safe point too, with whatever was not collected yet. */
  async #checkSafePoint(signal: AbortSignal): Promise<void> {
    const now = this.#kv.clock.monotonic()
    if (now - this.#checkedAt < SAFE_POINT_TTL_MS) return
    const safePoint = await this.#kv.pd.txnSafePoint(signal)
    if (this.ts < safePoint) {
      const text = `cannot read at ${this.ts}: GC life time is shorter than the read, the safe point is ${safePoint}`
      throw new CdcError('CDC:ErrSnapshotLostByGC', text)
    }
    this.#checkedAt = now
  }

  #context(): { resolvedLocks: bigint[]; committedLocks: bigint[] } {
    return { resolvedLocks: [...this.#resolved], committedLocks: [...this.#committed] }
  }

  async #clear(locks: readonly LockInfo[], backoff: Backoff, signal: AbortSignal): Promise<void> {
    const outcome = await resolveLocks(this.#kv, this.ts, locks, signal)
    for (const startTs of outcome.ignorable) this.#resolved.add(startTs)
    for (const startTs of outcome.readable) this.#committed.add(startTs)
    if (outcome.waitMs > 0)
      await backoff.pause('txnLockFast', new Error('a lock is in the way'), signal, outcome.waitMs)
  }
}

function lockOf(error: KeyError): LockInfo {
  if (error.locked !== undefined) return error.locked
  const text = error.abort || error.retryable || 'the store refused to read'
  throw new CdcError('CDC:ErrUnexpected', `snapshot read failed: ${text}`)
}

/** An empty end is +infinity. */
function earlierEnd(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b
  return b.length === 0 || compareBytes(a, b) < 0 ? a : b
}
