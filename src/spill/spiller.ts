import type { Quota } from './quota.ts'
import type { RunFiles, Segment } from './run-files.ts'

/** Something whose memory can go to disk: a span's sorter, unmatched prewrites. */
export interface Holder {
  /** Memory that {@link spilled} would free. */
  readonly bytes: number
  /** What it holds; changes nothing. A block is only valid until the next one is taken. */
  blocks(): Iterable<Buffer>
  /** What `blocks` gave lies in `segment`, which is now the holder's to release: frees the memory. Must not throw. */
  spilled(segment: Segment): void
}

/** Spilling goes on until this share of the quota is left before the cursor. */
const LOW_SHARE = 0.4
/** A worker that holds less of the quota leaves the others time to spill, up to {@link URGENT_SHARE}. */
const SMALL_SHARE = 1 / 16
const URGENT_SHARE = 0.8

/** Lets the largest holders of one worker and changefeed go to disk when memory before the cursor is short. */
export class Spiller {
  readonly quota: Quota
  readonly files: RunFiles
  readonly #holders = new Set<Holder>()

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
   * Spills where memory before the cursor is short; returns when it is free. Throws what {@link RunFiles.write} throws:
   * then every holder still has what it had.
   */
  relieve(): void {
    const { limitBytes } = this.quota
    const { before, after } = this.quota.used()
    if (!this.quota.crowded()) return
    const holders = [...this.#holders]
      .map((holder) => ({ holder, bytes: holder.bytes }))
      .filter(({ bytes }) => bytes > 0)
    let left = holders.reduce((sum, { bytes }) => sum + bytes, 0)
    if (left < limitBytes * SMALL_SHARE && before + after < limitBytes * URGENT_SHARE) return
    holders.sort((a, b) => b.bytes - a.bytes)
    const chosen: Holder[] = []
    const enough = left - (before - limitBytes * LOW_SHARE)
    for (const { holder, bytes } of holders) {
      if (left <= enough) break
      chosen.push(holder)
      left -= bytes
    }
    this.#spill(chosen)
    // Small holders share slabs: those are free only when the last of them is on disk.
    if (this.quota.crowded()) this.#spill(holders.slice(chosen.length).map(({ holder }) => holder))
  }

  #spill(holders: readonly Holder[]): void {
    if (holders.length === 0) return
    const segments = this.files.write(blocksOf(holders))
    for (const [at, segment] of segments.entries()) holders[at]?.spilled(segment)
  }
}

function* blocksOf(holders: readonly Holder[]): Generator<Iterable<Buffer>> {
  for (const holder of holders) yield holder.blocks()
}
