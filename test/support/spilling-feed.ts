// An event feed whose unmatched rows go to disk at random: after frames, and while their rows are given.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { CdcError } from '../../src/base/errors.ts'
import { createDiskMemory, openDiskQuota } from '../../src/spill/disk-quota.ts'
import { RunFiles, type Segment } from '../../src/spill/run-files.ts'
import type { Holder } from '../../src/spill/spiller.ts'
import type { KeyRange } from '../../src/event/span.ts'
import type { Ts } from '../../src/tidb/ts.ts'
import { type EventFeedOptions, openEventFeed } from '../../src/upstream/tikv/event-feed.ts'
import type { EventFeed, FeedSink, Subscription } from '../../src/upstream/tikv/feed.ts'
import type { Random } from './random.ts'

/** Run files in a folder of their own, which goes with them. */
export function openTestRunFiles(limitBytes = 1 << 30): RunFiles {
  const directory = mkdtempSync(join(tmpdir(), 'tidewire-runs-'))
  const files = new RunFiles(directory, openDiskQuota(createDiskMemory(limitBytes)))
  const dispose = files[Symbol.dispose].bind(files)
  return Object.assign(files, {
    [Symbol.dispose]() {
      dispose()
      rmSync(directory, { recursive: true, force: true })
    },
  })
}

export function spillAll(holder: Holder, files: Pick<RunFiles, 'write'>): void {
  const [segment] = files.write([holder.blocks(Infinity)])
  if (segment !== undefined) holder.spilled(segment)
}

export interface SpillingOptions {
  readonly random: Random
  /** Of going to disk after a frame. */
  readonly chance: number
  /** Of a block that cannot be read. */
  readonly damage?: number
}

export class SpillingFeed implements EventFeed {
  readonly files = openTestRunFiles()
  /** Blocks that were read back. */
  read = 0
  spills = 0
  damaged = 0
  readonly #options: SpillingOptions
  readonly #feed: EventFeed
  readonly #holders = new Set<Holder>()

  constructor(feed: EventFeedOptions, options: SpillingOptions) {
    this.#options = options
    const observer = {
      opened: () => ({ [Symbol.dispose]() {} }),
      regionError() {},
      received: () => this.#spill(options.chance),
    }
    this.#feed = openEventFeed({ ...feed, observer })
  }

  subscribe(range: KeyRange, startTs: Ts, sink: FeedSink, options?: { readonly filterLoop?: boolean }): Subscription {
    const { chance } = this.#options
    const spilling: FeedSink = {
      row: (row) => {
        sink.row(row)
        this.#spill(chance / 20)
      },
      resolved: (ts) => sink.resolved(ts),
      failed: (error) => sink.failed(error),
    }
    const subscription = this.#feed.subscribe(range, startTs, spilling, options)
    this.#holders.add(subscription.holder)
    return subscription
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#feed[Symbol.asyncDispose]()
    this.files[Symbol.dispose]()
  }

  #spill(chance: number): void {
    const { random } = this.#options
    for (const holder of this.#holders) {
      if (holder.bytes === 0 || !random.chance(chance)) continue
      this.spills++
      const files = { write: (contents: Iterable<Iterable<Buffer>>) => this.files.write(contents).map(this.#damaging) }
      spillAll(holder, files)
    }
  }

  readonly #damaging = (segment: Segment): Segment => ({
    bytes: segment.bytes,
    blocks: segment.blocks,
    readBlock: async (index, signal) => {
      const block = await segment.readBlock(index, signal)
      this.read++
      if (!this.#options.random.chance(this.#options.damage ?? 0)) return block
      this.damaged++
      throw new CdcError('CDC:ErrRunFileCorrupted', 'damaged on purpose')
    },
    release: () => segment.release(),
  })
}
