import { type ChangefeedId, changefeedKey } from '../../event/changefeed.ts'
import { createSinkMemory } from '../../sink/sink-memory.ts'

/** What the sinks of one changefeed must know of those before them, by place: it outlives threads and runs. */
export interface FeedSinkMemory {
  readonly control: SharedArrayBuffer
  readonly worker: (index: number) => SharedArrayBuffer
}

/** The sink memory of a capture's changefeeds. */
export class SinkMemories {
  readonly #feeds = new Map<string, { readonly sinkUri: string; readonly memory: FeedSinkMemory }>()

  /** The same memory as long as the changefeed writes to the same place: a producer id belongs to its brokers. */
  of(changefeed: ChangefeedId, sinkUri: string): FeedSinkMemory {
    const key = changefeedKey(changefeed)
    const known = this.#feeds.get(key)
    if (known?.sinkUri === sinkUri) return known.memory
    const workers: SharedArrayBuffer[] = []
    const memory = { control: createSinkMemory(), worker: (index: number) => (workers[index] ??= createSinkMemory()) }
    this.#feeds.set(key, { sinkUri, memory })
    return memory
  }

  forget(changefeed: ChangefeedId): void {
    this.#feeds.delete(changefeedKey(changefeed))
  }
}
