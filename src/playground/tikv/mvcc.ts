import { noBytes } from './bytes.ts'
import { SortedMap } from './sorted-map.ts'

/** An open transaction's claim on a key; `pessimistic` ones carry no data. */
export interface Lock {
  readonly kind: 'put' | 'delete' | 'lock' | 'pessimistic'
  readonly primary: Buffer
  readonly startTs: bigint
  readonly ttlMs: bigint
  readonly txnSize: bigint
  readonly forUpdateTs: bigint
  readonly minCommitTs: bigint
  readonly asyncCommit: boolean
  /** Of the primary of an async commit only. */
  readonly secondaries: readonly Buffer[]
  readonly value: Buffer
  readonly txnSource: bigint
  /** Number of the flush that wrote it, 0 outside pipelined transactions. */
  readonly generation: bigint
}

/** A finished write of one key. A rollback has commitTs = startTs. */
export interface Write {
  readonly kind: 'put' | 'delete' | 'lock' | 'rollback'
  readonly startTs: bigint
  readonly commitTs: bigint
  readonly value: Buffer
  readonly txnSource: bigint
  /** A rollback that nothing may undo: the transaction's own primary, or written by a resolver. */
  readonly protected: boolean
}

/** One key with all that is known of it. */
export interface Entry {
  readonly key: Buffer
  lock: Lock | undefined
  /** By commitTs, newest first. */
  writes: readonly Write[]
}

/** One step of a command. `rewrite`: the same lock again, with another ttl or min commit ts. */
export type Mutation =
  | { readonly kind: 'lock'; readonly key: Buffer; readonly lock: Lock; readonly rewrite: boolean }
  | { readonly kind: 'unlock'; readonly key: Buffer }
  | { readonly kind: 'write'; readonly key: Buffer; readonly write: Write; readonly onePhase: boolean }

/** Called after the mutations of one command were applied, in the order of commands. */
export type ApplyListener = (mutations: readonly Mutation[]) => void

/** All keys of the cluster with all their versions. Regions are only views on it. Keys are raw. */
export class MvccStore {
  private readonly entries = new SortedMap<Entry>()
  private readonly locked = new SortedMap<Entry>()
  private readonly listeners = new Set<ApplyListener>()

  get(key: Uint8Array): Entry | undefined {
    return this.entries.get(key)
  }

  range(start: Uint8Array, end: Uint8Array): Iterable<Entry> {
    return this.entries.range(start, end)
  }

  reverse(start: Uint8Array, end: Uint8Array): Iterable<Entry> {
    return this.entries.reverse(start, end)
  }

  /** Entries that have a lock, pessimistic ones included. */
  locks(start: Uint8Array, end: Uint8Array): Iterable<Entry> {
    return this.locked.range(start, end)
  }

  listen(listener: ApplyListener): Disposable {
    this.listeners.add(listener)
    return { [Symbol.dispose]: () => this.listeners.delete(listener) }
  }

  apply(mutations: readonly Mutation[]): void {
    if (mutations.length === 0) return
    for (const mutation of mutations) this.applyOne(mutation)
    for (const listener of this.listeners) listener(mutations)
  }

  /**
   * Garbage collection: of the versions up to `safePoint` only the newest of each key stays, and that only where it is no
   * delete. Keys that are locked since before are passed over: their ends are still to come. Returns how many went.
   */
  collect(safePoint: bigint): number {
    let gone = 0
    const empty: Entry[] = []
    for (const entry of this.entries.range(noBytes, noBytes)) {
      if (entry.lock !== undefined && entry.lock.startTs <= safePoint) continue
      const visible = versionAt(entry.writes, safePoint)
      const kept = entry.writes.filter(
        (write) => write.commitTs > safePoint || (write === visible && write.kind === 'put'),
      )
      gone += entry.writes.length - kept.length
      entry.writes = kept
      if (kept.length === 0 && entry.lock === undefined) empty.push(entry)
    }
    for (const { key } of empty) this.entries.delete(key)
    return gone
  }

  /** Mutations that make an empty store equal to this one. */
  *dump(): Iterable<Mutation> {
    for (const { key, lock, writes } of this.entries.range(noBytes, noBytes)) {
      for (const write of writes.toReversed()) yield { kind: 'write', key, write, onePhase: false }
      if (lock !== undefined) yield { kind: 'lock', key, lock, rewrite: false }
    }
  }

  private applyOne(mutation: Mutation): void {
    const known = this.entries.get(mutation.key)
    const entry: Entry = known ?? { key: mutation.key, lock: undefined, writes: [] }
    if (known === undefined) {
      if (mutation.kind === 'unlock') return
      this.entries.set(entry)
    }
    switch (mutation.kind) {
      case 'lock':
        entry.lock = mutation.lock
        this.locked.set(entry)
        break
      case 'unlock':
        entry.lock = undefined
        this.locked.delete(entry.key)
        if (entry.writes.length === 0) this.entries.delete(entry.key)
        break
      case 'write':
        entry.writes = insertWrite(entry.writes, mutation.write)
        break
    }
  }
}

function insertWrite(writes: readonly Write[], write: Write): readonly Write[] {
  let at = 0
  while (at < writes.length && (writes[at]?.commitTs ?? 0n) > write.commitTs) at++
  return at === 0 ? [write, ...writes] : writes.toSpliced(at, 0, write)
}

/** The newest put or delete with commitTs ≤ ts. */
export function versionAt(writes: readonly Write[], ts: bigint): Write | undefined {
  return writes.find((write) => write.commitTs <= ts && (write.kind === 'put' || write.kind === 'delete'))
}

/** The value at `ts`, undefined where the key does not exist then. */
export function valueAt(writes: readonly Write[], ts: bigint): Buffer | undefined {
  const version = versionAt(writes, ts)
  return version?.kind === 'put' ? version.value : undefined
}

/** What a transaction left on a key when it ended: its commit or its rollback. */
export function writeOf(entry: Entry | undefined, startTs: bigint): Write | undefined {
  return entry?.writes.find((write) => write.startTs === startTs)
}
