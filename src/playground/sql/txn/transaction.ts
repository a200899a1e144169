import { compareBytes } from '../../../tidb/key.ts'
import type { Ts } from '../../../tidb/ts.ts'
import type { KvPair, Snapshot } from '../../../upstream/tikv/snapshot.ts'
import { SqlError } from '../error.ts'
import { KeyExistsError } from './store.ts'
import type { CommitOptions, Mutation, TxnStore } from './store.ts'

interface Write {
  readonly mutation: Mutation
  /** Text of error 1062 should the key turn out to exist. */
  readonly duplicate: string
}

/** Reads at startTs under the transaction's own writes, which wait in memory until commit. */
export class Transaction {
  readonly startTs: Ts
  readonly #store: TxnStore
  readonly #snapshot: Snapshot
  /** By key as latin1 text, whose order is the order of bytes. */
  readonly #writes = new Map<string, Write>()
  /** What the current statement replaced, to take it back. */
  #undo: (readonly [string, Write | undefined])[] = []

  constructor(store: TxnStore, startTs: Ts) {
    this.startTs = startTs
    this.#store = store
    this.#snapshot = store.snapshot(startTs)
  }

  get isDirty(): boolean {
    return this.#writes.size > 0
  }

  async get(key: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const write = this.#writes.get(textOf(key))?.mutation
    if (write === undefined || write.kind === 'lock') return nonEmpty(await this.#snapshot.get(key, signal))
    return 'value' in write ? write.value : undefined
  }

  /** True when the transaction itself has put a value at the key. */
  hasOwnValue(key: Uint8Array): boolean {
    const write = this.#writes.get(textOf(key))?.mutation
    return write !== undefined && 'value' in write
  }

  /** Pairs with start ≤ key < end in key order. */
  async *scan(start: Uint8Array, end: Uint8Array, signal: AbortSignal): AsyncGenerator<readonly KvPair[]> {
    const own = this.#ownWrites(start, end)
    let at = 0
    for await (const chunk of this.#snapshot.scan(start, end, signal)) {
      if (own.length === 0) {
        yield chunk
        continue
      }
      const merged: KvPair[] = []
      for (const pair of chunk) {
        for (let next = own[at]; next !== undefined && compareBytes(next.key, pair.key) < 0; next = own[++at])
          pushValue(merged, next)
        const same = own[at]
        if (same !== undefined && compareBytes(same.key, pair.key) === 0) {
          pushValue(merged, same)
          at++
        } else merged.push(pair)
      }
      yield merged
    }
    const rest: KvPair[] = []
    for (const mutation of own.slice(at)) pushValue(rest, mutation)
    if (rest.length > 0) yield rest
  }

  #ownWrites(start: Uint8Array, end: Uint8Array): Mutation[] {
    if (this.#writes.size === 0) return []
    const from = textOf(start)
    const to = textOf(end)
    const keys = [...this.#writes.keys()].filter((key) => key >= from && key < to).toSorted()
    return keys.flatMap((key) => this.#writes.get(key)?.mutation ?? []).filter(({ kind }) => kind !== 'lock')
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const text = textOf(key)
    const inserted = this.#writes.get(text)
    const kind = inserted?.mutation.kind === 'insert' ? 'insert' : 'put'
    this.#write(text, { mutation: { kind, key, value }, duplicate: inserted?.duplicate ?? '' })
  }

  /** Writes a key that was read as absent; `duplicate` is the text of error 1062 should it exist at commit. */
  insert(key: Uint8Array, value: Uint8Array, duplicate: string): void {
    const text = textOf(key)
    const kind = this.#writes.has(text) ? 'put' : 'insert'
    this.#write(text, { mutation: { kind, key, value }, duplicate })
  }

  delete(key: Uint8Array): void {
    this.#write(textOf(key), { mutation: { kind: 'delete', key }, duplicate: '' })
  }

  /** SELECT … FOR UPDATE: commit fails when somebody else writes the key meanwhile. */
  lock(key: Uint8Array): void {
    const text = textOf(key)
    if (!this.#writes.has(text)) this.#write(text, { mutation: { kind: 'lock', key }, duplicate: '' })
  }

  #write(text: string, write: Write): void {
    this.#undo.push([text, this.#writes.get(text)])
    this.#writes.set(text, write)
  }

  beginStatement(): void {
    this.#undo = []
  }

  rollbackStatement(): void {
    for (const [text, before] of this.#undo.toReversed()) {
      if (before === undefined) this.#writes.delete(text)
      else this.#writes.set(text, before)
    }
    this.#undo = []
  }

  /** Resolves with commitTs, undefined where there was nothing to write. Errors: 1062, 9007. */
  async commit(options: CommitOptions, signal: AbortSignal): Promise<Ts | undefined> {
    if (this.#writes.size === 0) return undefined
    const mutations = [...this.#writes.values()].map(({ mutation }) => mutation)
    mutations.sort((a, b) => compareBytes(a.key, b.key))
    try {
      return await this.#store.commit(this.startTs, mutations, options, signal)
    } catch (error) {
      if (!(error instanceof KeyExistsError)) throw error
      const text = this.#writes.get(textOf(error.key))?.duplicate
      throw new SqlError(1062, text === undefined || text === '' ? 'Duplicate entry' : text, { cause: error })
    }
  }
}

const nonEmpty = (value: Uint8Array | undefined): Uint8Array | undefined =>
  value === undefined || value.length === 0 ? undefined : value

function pushValue(pairs: KvPair[], mutation: Mutation): void {
  if ('value' in mutation) pairs.push({ key: mutation.key, value: mutation.value })
}

const textOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
