import type { Segment } from '../../spill/run-files.ts'
import type { Holder } from '../../spill/spiller.ts'
import type { RegionFeed } from './region-feed.ts'
import { BlockWriter } from './spill-blocks.ts'
import { PartIndex, SpilledPart } from './spilled-rows.ts'
import { Came, UnmatchedRow, type UnmatchedRows } from './unmatched-rows.ts'

/** Whose rows they are. */
export interface HolderOwner {
  readonly unmatched: UnmatchedRows
  readonly feeds: ReadonlySet<RegionFeed>
  /** Accounts memory beside `unmatched`; negative to give it back. */
  charge(bytes: number): void
  /** Rows went to disk. */
  spilled(): void
}

interface Written {
  readonly feed: RegionFeed
  readonly positions: readonly number[]
  readonly index: Uint32Array
  /** Behind its last block. */
  readonly to: number
}

/** The unmatched rows of a subscription, as something that can go to disk: one segment, in which each region has a part. */
export class FeedHolder implements Holder {
  readonly #owner: HolderOwner
  #written: Written[] = []

  constructor(owner: HolderOwner) {
    this.#owner = owner
  }

  get bytes(): number {
    const { unmatched } = this.#owner
    return unmatched.size === 0 ? 0 : unmatched.bytes
  }

  /** All of it, whatever is asked for: what is on disk is joined there as a whole, so a second piece only costs a sort. */
  *blocks(): Generator<Buffer> {
    this.#written = []
    const { unmatched, feeds } = this.#owner
    const row = new UnmatchedRow()
    const writer = new BlockWriter()
    let number = 0
    for (const feed of feeds) {
      const positions = unmatched.sortedPositionsOf(feed).filter((position) => {
        unmatched.load(position, row)
        // Rollbacks are small, and needed until the end of the scan.
        return (row.came & Came.rollback) === 0
      })
      if (positions.length === 0) continue
      const index = new PartIndex()
      for (const position of positions) {
        unmatched.load(position, row)
        if (!writer.add(row)) {
          yield* taken(writer)
          number++
          writer.add(row)
        }
        index.add(row, number)
      }
      yield* taken(writer)
      number++
      this.#written.push({ feed, positions, index: index.finish(), to: number })
    }
  }

  spilled(segment: Segment): void {
    let parts = this.#written.length
    if (parts === 0) segment.release()
    for (const { feed, positions, index, to } of this.#written) {
      const part: SpilledPart = new SpilledPart(segment, to, index, () => {
        this.#owner.charge(-index.byteLength)
        if (--parts === 0) segment.release()
      })
      this.#owner.charge(index.byteLength)
      feed.spilled(positions, part)
    }
    this.#written = []
    this.#owner.unmatched.trim()
    this.#owner.spilled()
  }
}

function* taken(writer: BlockWriter): Generator<Buffer> {
  const block = writer.take()
  if (block !== undefined) yield block
}
