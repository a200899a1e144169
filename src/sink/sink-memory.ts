import type { SinkMemory } from './sink-context.ts'

/** Producer id + 1 (0 = there was none yet) and epoch, of the row side and of the control side. */
const CELLS = 4

/**
 * Memory of the sinks of one changefeed in one thread that outlives sink, thread and run: whoever comes next in its place
 * writes with the same producer id and a higher epoch, so that the broker refuses what the one before may still have on
 * its way. Empty at first; opened by {@link openSinkMemory}.
 */
export const createSinkMemory = (): SharedArrayBuffer => new SharedArrayBuffer(CELLS * BigInt64Array.BYTES_PER_ELEMENT)

/** One thread at a time may use it. */
export function openSinkMemory(shared: SharedArrayBuffer): Required<SinkMemory> {
  const cells = new BigInt64Array(shared)
  return { rows: producerMemory(cells, 0), control: producerMemory(cells, 2) }
}

function producerMemory(cells: BigInt64Array, at: number): Required<SinkMemory>['rows'] {
  return {
    get identity() {
      const producerId = Atomics.load(cells, at) - 1n
      return producerId < 0n ? undefined : { producerId, epoch: Number(Atomics.load(cells, at + 1)) }
    },
    set identity(identity) {
      // A thread may end between the two: an epoch that is too high does no harm, and a new id begins with the least.
      Atomics.store(cells, at, identity === undefined ? 0n : identity.producerId + 1n)
      Atomics.store(cells, at + 1, BigInt(identity?.epoch ?? 0))
    },
  }
}
