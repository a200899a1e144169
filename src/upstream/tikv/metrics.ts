import { Counter, Gauge, type Registry } from 'prom-client'

import type { Clock } from '../../base/clock.ts'
import type { StageCounter } from '../../base/stage-counter.ts'
import type { ChangefeedId } from '../../event/changefeed.ts'
import type { FeedObserver, FeedState } from './feed.ts'

const OF_FEED = ['namespace', 'changefeed'] as const
const OF_STORE = ['store', ...OF_FEED] as const

const SLOWEST = 'tidewire_kvclient_slowest_region_lag'

/** One line per gauge of a changefeed's feed: name, help, what it shows. Names without a TiCDC model begin with `tidewire_`. */
const FEED_GAUGES: readonly (readonly [string, string, (state: FeedState) => number])[] = [
  ['ticdc_kvclient_slow_initialize_region_count', 'Regions whose scan takes too long.', (state) => state.slowScans],
  ['tidewire_kvclient_slow_region_count', 'Regions whose resolved-ts lags too far.', (state) => state.slowRegions],
  [SLOWEST, 'Lag of the slowest region, s.', (state) => state.slowestLagMs / 1000],
  ['tidewire_kvclient_uncovered_range_count', 'Ranges that no region covers now.', (state) => state.uncovered],
  ['tidewire_kvclient_unmatched_bytes', 'Memory of changes without commit.', (state) => state.bytes],
]

/** One line per gauge of a store's stream: name, help, what it shows. */
const STORE_GAUGES: readonly (readonly [string, string, (store: FeedState['stores'][number]) => number])[] = [
  ['ticdc_kvclient_cached_region', 'Regions that a store sends changes of.', (store) => store.regions],
  ['ticdc_kvclient_region_token', 'Regions that a store scans now.', (store) => store.scanning],
  ['tidewire_kvclient_waiting_region_count', 'Regions that wait for their scan.', (store) => store.waiting],
  ['ticdc_kvclient_grpc_stream_count', 'Streams from a store.', (store) => store.streams],
]

/** All gauges of one answer show one look at the regions. */
const LOOK_MS = 500

/** Where the work of a feed is counted: that with its frames, and that of the sorter with the rows in them. */
export interface FeedWork {
  readonly feed: StageCounter
  readonly sort: StageCounter
}

/** Metrics of a worker's feeds, read when somebody asks for them; a call gives the observer of a changefeed's feed. */
export function createFeedMetrics(
  registry: Registry,
  clock: Clock,
): (changefeed: ChangefeedId, work: FeedWork) => FeedObserver {
  const registers = [registry]
  const shown = new Set<Shown>()
  for (const [name, help, valueOf] of FEED_GAUGES) {
    new Gauge({
      name,
      help,
      labelNames: OF_FEED,
      registers,
      aggregator: name === SLOWEST ? 'max' : 'sum',
      collect() {
        this.reset()
        for (const feed of shown) this.set(feed.labels, valueOf(feed.state()))
      },
    })
  }
  for (const [name, help, valueOf] of STORE_GAUGES) {
    new Gauge({
      name,
      help,
      labelNames: OF_STORE,
      registers,
      collect() {
        this.reset()
        for (const { labels, state } of shown)
          for (const store of state().stores) this.set({ store: store.address, ...labels }, valueOf(store))
      },
    })
  }
  const errors = new Counter({
    name: 'ticdc_kvclient_event_feed_error_count',
    help: 'Errors that stores sent for regions.',
    labelNames: ['type'],
    registers,
  })
  return ({ namespace, id }, { feed, sort }) => ({
    opened(look) {
      const one = { labels: { namespace, changefeed: id }, state: remembered(look, clock) }
      shown.add(one)
      return { [Symbol.dispose]: () => void shown.delete(one) }
    },
    regionError: (type) => errors.inc({ type }),
    received(rows, bytes, readMs, deliverMs) {
      feed.add(rows, bytes, readMs)
      sort.workMs += deliverMs
    },
  })
}

interface Shown {
  readonly labels: { readonly namespace: string; readonly changefeed: string }
  readonly state: () => FeedState
}

function remembered(look: () => FeedState, clock: Clock): () => FeedState {
  let last: { readonly state: FeedState; readonly at: number } | undefined
  return () => {
    const now = clock.monotonic()
    if (last === undefined || now - last.at > LOOK_MS) last = { state: look(), at: now }
    return last.state
  }
}
