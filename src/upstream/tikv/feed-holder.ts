import type { Segment } from '../../spill/run-files.ts'
import type { Holder } from '../../spill/spiller.ts'
import type { RegionFeed } from './region-feed.ts'
import { BlockWriter } from './spill-blocks.ts'
import { PartIndex, SpilledPart } from './spilled-rows.ts'
import { Came, UnmatchedRow, type UnmatchedRows } from './unmatched-rows.ts'

interface Written {
  readonly feed: RegionFeed
  readonly positions: readonly number[]
  readonly index: Uint32Array
  /** Behind its last block. */
  readonly to: number
}

/** The unmatched rows of a subscription, as something that can go to disk: one segment, in which each region has a part. */
export class FeedHolder implements Holder {
  readonly #rows: UnmatchedRows
  readonly #feeds: ReadonlySet<RegionFeed>
  readonly #charge: (bytes: number) => void
  #written: Written[] = []

  constructor(rows: UnmatchedRows, feeds: ReadonlySet<RegionFeed>, charge: (bytes: number) => void) {
    this.#rows = rows
    this.#feeds = feeds
    this.#charge = charge
  }

  get bytes(): number {
    return this.#rows.size === 0 ? 0 : this.#rows.bytes
  }

  *blocks(): Generator<Buffer> {
    this.#written = []
    const row = new UnmatchedRow()
    const writer = new BlockWriter()
    let number = 0
    for (const feed of this.#feeds) {
      const positions = this.#rows.sortedPositionsOf(feed)
      if (positions.length === 0) continue
      const index = new PartIndex()
      for (const position of positions) {
        this.#rows.load(position, row)
        // One that was rolled back while its region is scanned: not worth the disk.
        if ((row.came & Came.rollback) !== 0) continue
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
        this.#charge(-index.byteLength)
        if (--parts === 0) segment.release()
      })
      this.#charge(index.byteLength)
      feed.spilled(positions, part)
    }
    this.#written = []
    this.#rows.trim()
  }
}

function* taken(writer: BlockWriter): Generator<Buffer> {
  const block = writer.take()
  if (block !== undefined) yield block
}
