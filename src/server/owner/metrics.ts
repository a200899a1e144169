import { Counter, Gauge, type Registry } from 'prom-client'
import type { Clock } from '../../base/clock.ts'
import type { ChangefeedState } from '../../event/changefeed.ts'
import { physicalMs } from '../../tidb/ts.ts'
import type { Feed } from './feed.ts'
import type { Owner } from './owner.ts'

/** Numbers of the states as dashboards know them (reference: server, section 2.1). */
const STATE_NUMBERS: Readonly<Record<ChangefeedState, number>> = {
  normal: 0,
  pending: 1,
  failed: 2,
  stopped: 3,
  finished: 4,
  removed: 5,
  warning: 6,
}

const LABELS = ['namespace', 'changefeed'] as const

/** One line per gauge of a changefeed: name, help and what it shows. */
const GAUGES: readonly (readonly [string, string, (feed: Feed, nowMs: number) => number])[] = [
  ['ticdc_owner_status', 'state of a changefeed', (feed) => STATE_NUMBERS[feed.state.state]],
  ['ticdc_owner_checkpoint_ts', 'checkpoint, ms since 1970', (feed) => checkpointMs(feed)],
  ['ticdc_owner_checkpoint_ts_lag', 'lag of the checkpoint, s', (feed, now) => (now - checkpointMs(feed)) / 1000],
  ['ticdc_owner_resolved_ts', 'resolved ts, ms since 1970', (feed) => resolvedMs(feed)],
  ['ticdc_owner_resolved_ts_lag', 'lag of the resolved ts, s', (feed, now) => (now - resolvedMs(feed)) / 1000],
]

const checkpointMs = (feed: Feed): number => physicalMs(feed.progress?.checkpointTs ?? feed.status.checkpointTs)
const resolvedMs = (feed: Feed): number => physicalMs(feed.progress?.resolvedTs ?? feed.status.checkpointTs)

/** Metrics of the owner's changefeeds, read when somebody asks for them; nothing where this capture is not the owner. */
export function createOwnerMetrics(registry: Registry, owner: () => Owner | undefined, clock: Clock): void {
  for (const [name, help, valueOf] of GAUGES) {
    new Gauge({
      name,
      help,
      labelNames: LABELS,
      registers: [registry],
      collect() {
        this.reset()
        for (const feed of owner()?.feeds() ?? []) {
          const { namespace, id } = feed.info.changefeed
          this.set({ namespace, changefeed: id }, valueOf(feed, clock.now()))
        }
      },
    })
  }
  let countedAt = clock.monotonic()
  new Counter({
    name: 'ticdc_owner_ownership_counter',
    help: 'seconds for which this capture was the owner',
    registers: [registry],
    collect() {
      const now = clock.monotonic()
      if (owner() !== undefined) this.inc((now - countedAt) / 1000)
      countedAt = now
    },
  })
}
