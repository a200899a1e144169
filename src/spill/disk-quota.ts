/** Disk for run files: one counter and limit per capture, in memory that its workers share. */
export interface DiskQuota {
  readonly limitBytes: number
  readonly usedBytes: number
  readonly halfFull: boolean
  /** False, and nothing is taken, where `bytes` more would exceed the limit. */
  take(bytes: number): boolean
  giveBack(bytes: number): void
}

const USED = 0
const LIMIT = 1

export function createDiskMemory(limitBytes: number): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT)
  new BigInt64Array(shared)[LIMIT] = BigInt(limitBytes)
  return shared
}

/** Opens what {@link createDiskMemory} made. */
export function openDiskQuota(shared: SharedArrayBuffer): DiskQuota {
  const cells = new BigInt64Array(shared)
  const limitBytes = Number(cells[LIMIT])
  return {
    limitBytes,
    get usedBytes() {
      return Number(Atomics.load(cells, USED))
    },
    get halfFull() {
      return Number(Atomics.load(cells, USED)) > limitBytes / 2
    },
    take(bytes) {
      const before = Number(Atomics.add(cells, USED, BigInt(bytes)))
      if (before + bytes <= limitBytes) return true
      Atomics.sub(cells, USED, BigInt(bytes))
      return false
    },
    giveBack(bytes) {
      Atomics.sub(cells, USED, BigInt(bytes))
    },
  }
}
