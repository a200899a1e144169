import { setTimeout as delay } from 'node:timers/promises'

import { compareBytes } from '../../../tidb/key.ts'
import { Ts, tsOfMs } from '../../../tidb/ts.ts'
import type { KvPair, Snapshot } from '../../../upstream/tikv/snapshot.ts'
import { SqlError, TXN_CONFLICT } from '../error.ts'
import { KeyExistsError } from './store.ts'
import type { CommitOptions, Mutation, StoredRegion, TxnStore } from './store.ts'

export interface Version {
  readonly commitTs: Ts
  readonly value: Uint8Array | undefined
}

/** A multi-version store in memory for tests of everything above {@link TxnStore}: transactions commit at one stroke. */
export class MemoryStore implements TxnStore {
  /** By key as latin1 text; newest version first. */
  readonly #versions = new Map<string, Version[]>()
  #last = tsOfMs(Date.now())

  async timestamp(_signal: AbortSignal): Promise<Ts> {
    this.#last = Ts(this.#last + 1n)
    return this.#last
  }

  snapshot(ts: Ts): Snapshot {
    return {
      ts,
      get: async (key) => this.#read(textOf(key), ts),
      scan: (start, end) => this.#scan(start, end, ts),
    }
  }

  async commit(startTs: Ts, mutations: readonly Mutation[], _options: CommitOptions, signal: AbortSignal): Promise<Ts> {
    await delay(0, undefined, { signal })
    for (const mutation of mutations) {
      const newest = this.#versions.get(textOf(mutation.key))?.[0]
      if (newest !== undefined && newest.commitTs > startTs)
        throw new SqlError(
          TXN_CONFLICT,
          `Write conflict, txnStartTS=${startTs}, conflictCommitTS=${newest.commitTs} [try again later]`,
        )
      if (mutation.kind === 'insert' && newest?.value !== undefined) throw new KeyExistsError(mutation.key)
    }
    const commitTs = await this.timestamp(signal)
    for (const mutation of mutations) {
      if (mutation.kind === 'lock') continue
      const text = textOf(mutation.key)
      const value = 'value' in mutation ? mutation.value : undefined
      this.#versions.set(text, [{ commitTs, value }, ...(this.#versions.get(text) ?? [])])
    }
    return commitTs
  }

  /** Everything that was ever written at a key, newest first. */
  history(key: Uint8Array): readonly Version[] {
    return this.#versions.get(textOf(key)) ?? []
  }

  async regions(): Promise<readonly StoredRegion[]> {
    return [{ id: 1n, startKey: new Uint8Array(), endKey: new Uint8Array() }]
  }

  async split(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  #read(text: string, ts: Ts): Uint8Array | undefined {
    return this.#versions.get(text)?.find(({ commitTs }) => commitTs <= ts)?.value
  }

  async *#scan(start: Uint8Array, end: Uint8Array, ts: Ts): AsyncGenerator<readonly KvPair[]> {
    const from = textOf(start)
    const to = textOf(end)
    const texts = [...this.#versions.keys()].filter((text) => text >= from && text < to)
    const pairs = texts.flatMap((text) => {
      const value = this.#read(text, ts)
      return value === undefined ? [] : [{ key: Buffer.from(text, 'latin1'), value }]
    })
    yield pairs.toSorted((a, b) => compareBytes(a.key, b.key))
  }
}

const textOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')
