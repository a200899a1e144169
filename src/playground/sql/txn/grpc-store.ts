import type { Clock } from '../../../base/clock.ts'
import { describeError, isAbort } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import { SplitRegionRequest } from '../../../proto/kvrpcpb.ts'
import { TikvService } from '../../../proto/tikvpb.ts'
import type { Ts } from '../../../tidb/ts.ts'
import type { PdClient } from '../../../upstream/pd/pd.ts'
import { openKvClient } from '../../../upstream/tikv/kv-client.ts'
import type { KvClient } from '../../../upstream/tikv/kv-client.ts'
import { openSnapshot } from '../../../upstream/tikv/kv-snapshot.ts'
import type { Snapshot } from '../../../upstream/tikv/snapshot.ts'
import type { CommitOptions, Mutation, StoredRegion, TxnStore } from './store.ts'
import { TwoPhaseCommit } from './two-phase-commit.ts'

export interface GrpcStoreOptions {
  readonly pd: PdClient
  readonly log: Log
  readonly clock: Clock
}

const SPLIT_TIMEOUT_MS = 5_000
const REGION_PAGE = 1024

/** A cluster behind PD's and TiKV's gRPC, the playground's or a real one. Does not own the PD client. */
export function openGrpcStore(options: GrpcStoreOptions): TxnStore {
  return new GrpcStore(options)
}

class GrpcStore implements TxnStore {
  readonly #options: GrpcStoreOptions
  readonly #kv: KvClient
  /** Second phases that are still under way. */
  readonly #background = new Set<Promise<void>>()
  readonly #stop = new AbortController()

  constructor(options: GrpcStoreOptions) {
    this.#options = options
    this.#kv = openKvClient({ ...options, security: {} })
  }

  timestamp(signal: AbortSignal): Promise<Ts> {
    return this.#options.pd.tso(signal)
  }

  snapshot(ts: Ts): Snapshot {
    return openSnapshot(this.#options.pd, ts, { ...this.#options, security: {}, kv: this.#kv })
  }

  commit(startTs: Ts, mutations: readonly Mutation[], options: CommitOptions, _signal: AbortSignal): Promise<Ts> {
    // A client that goes away does not leave a half-written transaction: only the end of the store stops a commit.
    return new TwoPhaseCommit(this.#kv, startTs, mutations, options, (work) => this.#track(work)).run(this.#stop.signal)
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => {
        if (!isAbort(error))
          this.#options.log.warn('second phase of a transaction failed, its locks are left to readers', {
            error: describeError(error),
          })
      })
      .finally(() => this.#background.delete(tracked))
    this.#background.add(tracked)
  }

  async regions(signal: AbortSignal): Promise<readonly StoredRegion[]> {
    const found: StoredRegion[] = []
    let next = new Uint8Array()
    for (;;) {
      const part = await this.#options.pd.scanRegions(next, new Uint8Array(), REGION_PAGE, signal)
      found.push(...part.map(({ id, start, end }) => ({ id, startKey: start, endKey: end })))
      const end = part.at(-1)?.end ?? new Uint8Array()
      if (end.length === 0) return found
      next = Uint8Array.from(end)
    }
  }

  async split(key: Uint8Array, signal: AbortSignal): Promise<void> {
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(SPLIT_TIMEOUT_MS)])
      await this.#kv.call(
        key,
        TikvService.splitRegion,
        (context) => SplitRegionRequest.fromPartial({ context, splitKeys: [Buffer.from(key)] }),
        limit,
      )
    } catch (error) {
      signal.throwIfAborted()
      this.#options.log.debug('region not split', { error: describeError(error) })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const idle = AbortSignal.timeout(2_000)
    const expired = new Promise<void>((resolve) => idle.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([Promise.all(this.#background), expired])
    this.#stop.abort()
    await this.#kv[Symbol.asyncDispose]()
  }
}
