import type { DdlFeed } from '../../changefeed/control.ts'
import { type JobReader, ddlRanges } from '../../schema/ddl-source.ts'
import { compareJobs, type FinishedJob } from '../../schema/finished-job.ts'
import { minTs, type Ts } from '../../tidb/ts.ts'
import type { EventFeed, Subscription } from '../../upstream/tikv/feed.ts'

/**
 * Subscribes to the places of DDL jobs with commitTs above `from`. `changed` is called when something was resolved, or
 * the feed died.
 */
export function openDdlFeed(events: EventFeed, readJob: JobReader, from: Ts, changed: () => void): DdlFeed {
  return new EventDdlFeed(events, readJob, from, changed)
}

class EventDdlFeed implements DdlFeed {
  readonly #subscriptions: readonly Subscription[]
  readonly #resolved: Ts[]
  readonly #changed: () => void
  /** By commitTs and job id: a scan that is repeated gives a job again. */
  readonly #waiting = new Map<string, FinishedJob>()
  #resolvedTs: Ts
  #error: Error | undefined

  constructor(events: EventFeed, readJob: JobReader, from: Ts, changed: () => void) {
    const ranges = ddlRanges()
    this.#resolvedTs = from
    this.#resolved = ranges.map(() => from)
    this.#changed = changed
    this.#subscriptions = ranges.map((range, i) =>
      events.subscribe(range, from, {
        row: (row) => {
          try {
            this.#hold(readJob(row.toRawKv()))
          } catch (error) {
            this.#fail(error)
          }
        },
        resolved: (ts) => this.#resolve(i, ts),
        failed: (error) => this.#fail(error),
      }),
    )
  }

  get resolvedTs(): Ts {
    return this.#resolvedTs
  }

  get error(): Error | undefined {
    return this.#error
  }

  take(): readonly FinishedJob[] {
    const due = [...this.#waiting].filter(([, job]) => job.commitTs <= this.#resolvedTs)
    for (const [key] of due) this.#waiting.delete(key)
    return due.map(([, job]) => job).toSorted(compareJobs)
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]()
  }

  #hold(job: FinishedJob | undefined): void {
    if (job !== undefined && job.commitTs > this.#resolvedTs) this.#waiting.set(`${job.commitTs}/${job.job.id}`, job)
  }

  #resolve(range: number, ts: Ts): void {
    this.#resolved[range] = ts
    const least = this.#resolved.reduce(minTs)
    if (least <= this.#resolvedTs) return
    this.#resolvedTs = least
    this.#changed()
  }

  #fail(error: unknown): void {
    this.#error ??= error instanceof Error ? error : new Error(String(error))
    this.#changed()
  }
}
