/**
 * Until when this capture may write downstream: the end of its etcd lease on the machine's monotonic clock, in memory
 * shared by all threads. A sink reads it immediately before every produce, COMMIT or put (design, rule 6).
 */
export interface Fence {
  /** True while the lease is known to be alive. */
  open(): boolean
}

/** The owner's side of a fence; `shared` goes to the workers. */
export interface FenceControl extends Fence {
  readonly shared: SharedArrayBuffer
  /** The lease lives for `ms` from `sinceNs` (process.hrtime.bigint() taken before the renewal was sent). */
  extend(sinceNs: bigint, ms: number): void
  /** Nobody may write any more. */
  close(): void
}

/** A fence that reads memory written by {@link createFence} in another thread. */
export function openFence(shared: SharedArrayBuffer): Fence {
  const endNs = new BigInt64Array(shared)
  return { open: () => process.hrtime.bigint() < Atomics.load(endNs, 0) }
}

/** A closed fence. */
export function createFence(): FenceControl {
  const shared = new SharedArrayBuffer(8)
  const endNs = new BigInt64Array(shared)
  return {
    ...openFence(shared),
    shared,
    extend(sinceNs, ms) {
      Atomics.store(endNs, 0, sinceNs + BigInt(Math.floor(ms * 1e6)))
    },
    close() {
      Atomics.store(endNs, 0, 0n)
    },
  }
}
