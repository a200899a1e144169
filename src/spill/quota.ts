/**
 * The memory of one changefeed: one counter in shared memory for all its workers (design, "Memory"). `Before` the cursor
 * (feed, matcher, sorter) nobody waits; what lies `after` it (mount, encode, sink) waits for its own share, which only
 * acknowledgements free.
 */
export interface Quota {
  readonly limitBytes: number
  readonly shared: SharedArrayBuffer
  /** Bytes held now, before and after the cursor. */
  used(): { readonly before: number; readonly after: number }
  /** Adds (or, negative, frees) bytes before the cursor; never waits. */
  addBefore(bytes: number): void
  /** True when what lies before the cursor is more than its share: something has to go to disk. */
  crowded(): boolean
  /** True when what lies before the cursor no longer fits beside what lies after it. */
  exceeded(): boolean
  /**
   * Resolves when `bytes` after the cursor are reserved. A batch larger than the whole share passes alone. Freed by
   * {@link releaseAfter}.
   */
  reserveAfter(bytes: number, signal: AbortSignal): Promise<void>
  /** Adds, or negative frees, bytes after the cursor without waiting, where a reservation turned out too small or large. */
  addAfter(bytes: number): void
  releaseAfter(bytes: number): void
}

const BEFORE = 0
const AFTER = 1
const LIMIT = 2
/** From here on, what each worker holds of `BEFORE` and `AFTER`. */
const OWN = 3
/** Share of the quota for what lies after the cursor; the rest is for what lies before it. */
const AFTER_SHARE = 0.4
/** How long a waiter sleeps before it looks at what other workers freed. */
const POLL_MS = 10

export const createQuotaMemory = (limitBytes: number, workers = 1): SharedArrayBuffer => {
  const shared = new SharedArrayBuffer((OWN + 2 * workers) * BigInt64Array.BYTES_PER_ELEMENT)
  new BigInt64Array(shared)[LIMIT] = BigInt(limitBytes)
  return shared
}

/** Frees what a worker held whose thread has ended. */
export function forgetWorker(shared: SharedArrayBuffer, worker: number): void {
  const cells = new BigInt64Array(shared)
  for (const part of [BEFORE, AFTER]) Atomics.sub(cells, part, Atomics.exchange(cells, OWN + 2 * worker + part, 0n))
}

/** Opens the quota that {@link createQuotaMemory} made, for one of its workers; all open the same memory. */
export function openQuota(shared: SharedArrayBuffer, worker = 0): Quota {
  const cells = new BigInt64Array(shared)
  const own = OWN + 2 * worker
  const limitBytes = Number(cells[LIMIT])
  const afterLimit = BigInt(Math.floor(limitBytes * AFTER_SHARE))
  let wake = Promise.withResolvers<void>()

  const tryReserve = (bytes: bigint): boolean => {
    for (;;) {
      const held = Atomics.load(cells, AFTER)
      if (held > 0n && held + bytes > afterLimit) return false
      if (Atomics.compareExchange(cells, AFTER, held, held + bytes) !== held) continue
      Atomics.add(cells, own + AFTER, bytes)
      return true
    }
  }

  return {
    limitBytes,
    shared,
    used: () => ({ before: Number(Atomics.load(cells, BEFORE)), after: Number(Atomics.load(cells, AFTER)) }),
    addBefore(bytes) {
      Atomics.add(cells, BEFORE, BigInt(bytes))
      Atomics.add(cells, own + BEFORE, BigInt(bytes))
    },
    crowded: () => Number(Atomics.load(cells, BEFORE)) > limitBytes * (1 - AFTER_SHARE),
    exceeded: () => Number(Atomics.load(cells, BEFORE) + Atomics.load(cells, AFTER)) > limitBytes,
    async reserveAfter(bytes, signal) {
      while (!tryReserve(BigInt(bytes))) {
        signal.throwIfAborted()
        const timer = setTimeout(() => wake.resolve(), POLL_MS)
        await wake.promise
        clearTimeout(timer)
        signal.throwIfAborted()
        wake = Promise.withResolvers<void>()
      }
    },
    addAfter(bytes) {
      Atomics.add(cells, AFTER, BigInt(bytes))
      Atomics.add(cells, own + AFTER, BigInt(bytes))
      if (bytes < 0) wake.resolve()
    },
    releaseAfter(bytes) {
      Atomics.sub(cells, AFTER, BigInt(bytes))
      Atomics.sub(cells, own + AFTER, BigInt(bytes))
      wake.resolve()
    },
  }
}
