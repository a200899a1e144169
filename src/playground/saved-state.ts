import type { KeyValue } from '../proto/mvcc.ts'
import { Journal } from './journal.ts'
import type { EtcdSaved } from './pd/etcd-store.ts'
import type { GcStateSaved } from './pd/gc.ts'
import type { Mutation } from './tikv/mvcc.ts'
import { MvccStore } from './tikv/mvcc.ts'
import type { RegionState, SavedRegion } from './tikv/regions.ts'

/** One change of what is kept in the data folder. */
export type SavedRecord =
  | { readonly kind: 'cluster'; readonly id: bigint; readonly stores: number }
  | { readonly kind: 'apply'; readonly mutations: readonly Mutation[] }
  | { readonly kind: 'regions'; readonly state: RegionState; readonly gone: readonly bigint[] }
  | { readonly kind: 'tso'; readonly physicalMs: bigint }
  | { readonly kind: 'gc'; readonly state: GcStateSaved }
  | {
      readonly kind: 'etcd'
      readonly revision: bigint
      readonly puts: readonly KeyValue[]
      readonly deletes: readonly Buffer[]
    }
  | { readonly kind: 'lease'; readonly id: bigint; readonly seconds: bigint }

/** What an earlier run left; empty without a data folder. */
export interface SavedState {
  readonly clusterId: bigint | undefined
  /** Number of stores, undefined in a new cluster. */
  readonly stores: number | undefined
  readonly mvcc: MvccStore
  readonly regions: RegionState | undefined
  readonly tsoMs: bigint
  readonly gc: GcStateSaved | undefined
  readonly etcd: EtcdSaved | undefined
  /** Where later changes go; drops them without a data folder. */
  readonly append: (record: SavedRecord) => void
  [Symbol.dispose](): void
}

const BATCH = 256

/** Reads the folder and begins a new, compact journal in it. */
export function openState(folder: string | undefined): SavedState {
  const restored = new Restored()
  if (folder === undefined) return { ...restored.state, append: () => {}, [Symbol.dispose]: () => {} }
  const journal = Journal.open<SavedRecord>(
    folder,
    (record) => restored.take(record),
    () => restored.dump(),
  )
  return {
    ...restored.state,
    append: (record) => journal.append(record),
    [Symbol.dispose]: () => journal[Symbol.dispose](),
  }
}

class Restored {
  private readonly mvcc = new MvccStore()
  private readonly kvs = new Map<string, KeyValue>()
  private readonly leases = new Map<bigint, bigint>()
  private cluster: { readonly id: bigint; readonly stores: number } | undefined
  private readonly regions = new Map<bigint, SavedRegion>()
  private nextId = 0n
  private gc: GcStateSaved | undefined
  private tsoMs = 0n
  private revision = 0n

  get state(): Omit<SavedState, 'append' | typeof Symbol.dispose> {
    const { mvcc, gc, tsoMs } = this
    return {
      clusterId: this.cluster?.id,
      stores: this.cluster?.stores,
      mvcc,
      regions: this.regionState(),
      gc,
      tsoMs,
      etcd:
        this.revision === 0n
          ? undefined
          : { revision: this.revision, kvs: [...this.kvs.values()], leases: this.leaseList() },
    }
  }

  take(record: SavedRecord): void {
    switch (record.kind) {
      case 'cluster':
        this.cluster = record
        break
      case 'apply':
        this.mvcc.apply(record.mutations)
        break
      case 'regions':
        this.nextId = record.state.nextId
        for (const saved of record.state.regions) this.regions.set(saved.region.id, saved)
        for (const id of record.gone) this.regions.delete(id)
        break
      case 'tso':
        this.tsoMs = record.physicalMs
        break
      case 'gc':
        this.gc = record.state
        break
      case 'etcd':
        this.revision = record.revision
        for (const kv of record.puts) this.kvs.set(kv.key.toString('latin1'), kv)
        for (const key of record.deletes) this.kvs.delete(key.toString('latin1'))
        break
      case 'lease':
        if (record.seconds > 0n) this.leases.set(record.id, record.seconds)
        else this.leases.delete(record.id)
        break
    }
  }

  *dump(): Iterable<SavedRecord> {
    if (this.cluster !== undefined) yield { kind: 'cluster', id: this.cluster.id, stores: this.cluster.stores }
    yield { kind: 'tso', physicalMs: this.tsoMs }
    const regions = this.regionState()
    if (regions !== undefined) yield { kind: 'regions', state: regions, gone: [] }
    if (this.gc !== undefined) yield { kind: 'gc', state: this.gc }
    for (const { id, seconds } of this.leaseList()) yield { kind: 'lease', id, seconds }
    if (this.revision > 0n) yield { kind: 'etcd', revision: this.revision, puts: [...this.kvs.values()], deletes: [] }
    let batch: Mutation[] = []
    for (const mutation of this.mvcc.dump()) {
      batch.push(mutation)
      if (batch.length < BATCH) continue
      yield { kind: 'apply', mutations: batch }
      batch = []
    }
    if (batch.length > 0) yield { kind: 'apply', mutations: batch }
  }

  private regionState(): RegionState | undefined {
    return this.regions.size === 0 ? undefined : { nextId: this.nextId, regions: [...this.regions.values()] }
  }

  private leaseList(): { readonly id: bigint; readonly seconds: bigint }[] {
    return [...this.leases].map(([id, seconds]) => ({ id, seconds }))
  }
}
