import type { Quota } from './quota.ts'
import type { RunFiles, Segment } from './run-files.ts'

/** Something whose memory can go to disk: a span's sorter, unmatched prewrites. */
export interface Holder {
  /** Memory that could be freed. */
  readonly bytes: number
  /** About `maxBytes` of what it holds, or more; changes nothing. A block is only valid until the next one is taken. */
  blocks(maxBytes: number): Iterable<Buffer>
  /** What `blocks` gave lies in `segment`, which is now the holder's to release: frees that memory. Must not throw. */
  spilled(segment: Segment): void
}

/** Spilling goes on until this share of the quota is left before the cursor. */
const LOW_SHARE = 0.4
/** A worker that holds less of the quota leaves the others time to spill, up to {@link URGENT_SHARE}. */
const SMALL_SHARE = 1 / 16
const URGENT_SHARE = 0.8
/** What is written at once, so that the thread comes back soon; memory that grows on asks again. */
const MOST_BYTES = 32 << 20

/** Lets the largest holders of one worker and changefeed go to disk when memory before the cursor is short. */
export class Spiller {
  readonly quota: Quota
  readonly files: RunFiles
  readonly #holders = new Set<Holder>()
  #spilling = false

  constructor(quota: Quota, files: RunFiles) {
    this.quota = quota
    this.files = files
  }

  /** Until disposed. */
  add(holder: Holder): Disposable {
    this.#holders.add(holder)
    return { [Symbol.dispose]: () => void this.#holders.delete(holder) }
  }

  /**
   * Spills where memory before the cursor is short, and returns when that is written. Throws what {@link RunFiles.write} throws:
   * then every holder still has what it had. A holder that asks again while it is told of its segment has no effect.
   */
  relieve(): void {
    if (this.#spilling) return
    this.#spilling = true
    try {
      this.#relieve()
    } finally {
      this.#spilling = false
    }
  }

  #relieve(): void {
    const { limitBytes } = this.quota
    const { before, after } = this.quota.used()
    if (!this.quota.crowded()) return
    const holders = [...this.#holders]
      .map((holder) => ({ holder, bytes: holder.bytes }))
      .filter(({ bytes }) => bytes > 0)
    const held = holders.reduce((sum, { bytes }) => sum + bytes, 0)
    if (held < limitBytes * SMALL_SHARE && before + after < limitBytes * URGENT_SHARE) return
    let left = Math.min(before - limitBytes * LOW_SHARE, MOST_BYTES)
    const chosen: Holder[] = []
    const contents: Iterable<Buffer>[] = []
    for (const { holder, bytes } of holders.toSorted((a, b) => b.bytes - a.bytes)) {
      if (left <= 0) break
      chosen.push(holder)
      contents.push(holder.blocks(left))
      left -= bytes
    }
    if (chosen.length === 0) return
    for (const [at, segment] of this.files.write(contents).entries()) chosen[at]?.spilled(segment)
  }
}
