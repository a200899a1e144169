import type { Faults } from '../faults.ts'
import { compareBytes } from './bytes.ts'
import { Finishes } from './finish.ts'
import { MaxTs } from './max-ts.ts'
import type { MvccStore } from './mvcc.ts'
import { PessimisticLocks } from './pessimistic.ts'
import { Prewrites } from './prewrite.ts'
import { Reads } from './reads.ts'
import type { RegionSet } from './regions.ts'

/** A timestamp oracle, as the stores see it. */
export interface Oracle {
  next(): bigint
}

export interface StoreInfo {
  readonly id: bigint
  /** host:port */
  address: string
  alive: boolean
}

/** What all stores share: the data, the regions, the rules of transactions. */
export interface Cluster {
  readonly id: bigint
  readonly oracle: Oracle
  readonly mvcc: MvccStore
  readonly maxTs: MaxTs
  readonly regions: RegionSet
  readonly stores: readonly StoreInfo[]
  readonly faults: Faults
  readonly reads: Reads
  readonly prewrites: Prewrites
  readonly finishes: Finishes
  readonly pessimistic: PessimisticLocks
}

export function createCluster(parts: {
  readonly id: bigint
  readonly oracle: Oracle
  readonly mvcc: MvccStore
  readonly regions: RegionSet
  readonly stores: readonly StoreInfo[]
  readonly faults: Faults
}): Cluster {
  const maxTs = new MaxTs()
  const { mvcc } = parts
  return {
    ...parts,
    maxTs,
    reads: new Reads(mvcc, maxTs),
    prewrites: new Prewrites(mvcc, maxTs),
    finishes: new Finishes(mvcc, maxTs),
    pessimistic: new PessimisticLocks(mvcc, maxTs),
  }
}

/** What TiKV splits at once when it is told to split a region often. */
const SPLIT_KEYS = 1000

/** Splits at raw keys, whatever regions they are in, and gives the new parts to the stores that lead the fewest. */
export function splitAndSpread({ regions, stores }: Cluster, rawKeys: readonly Buffer[]): void {
  const alive = stores.filter((store) => store.alive).map((store) => store.id)
  for (const [id, keys] of Map.groupBy(rawKeys, (key) => regions.byRawKey(key).id)) {
    const sorted = keys.toSorted(compareBytes)
    for (let at = 0; at < sorted.length; at += SPLIT_KEYS) regions.split(id, sorted.slice(at, at + SPLIT_KEYS), alive)
  }
}
