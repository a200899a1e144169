import { Counter, Gauge, type Registry } from 'prom-client'
import { StageCounter } from '../base/stage-counter.ts'
import type { ChangefeedId } from '../event/changefeed.ts'

/** The way of a row through a worker, in this order. `plan` is mount, filter, dispatch and encode. */
const STAGES = ['feed', 'sort', 'plan', 'sink'] as const
export type Stage = (typeof STAGES)[number]

/**
 * What a changefeed's part in a worker counts, until disposed. The pipeline adds to these numbers once per frame or
 * batch; nothing else happens until somebody asks for metrics.
 */
export class ChangefeedMetrics implements Disposable {
  /** Rows as they are given on; bytes are those of received frames, of raw rows, of messages, and of acknowledged ones. */
  readonly stages: Readonly<Record<Stage, StageCounter>> = {
    feed: new StageCounter(),
    sort: new StageCounter(),
    plan: new StageCounter(),
    sink: new StageCounter(),
  }
  /** Times that a span's resolved-ts grew. */
  resolved = 0
  /** Rows in the messages that the sink was given: those that no filter dropped. */
  sentRows = 0
  /** Raw bytes of the rows that the sink acknowledged. */
  acknowledgedRawBytes = 0
  /** Time in which rows were ready and waited for memory after the cursor, that is for the sink, ms. */
  blockedMs = 0
  /** What there is now; called several times when metrics are asked for, so it only reads. */
  look: (() => ChangefeedLook) | undefined
  readonly #end: () => void

  constructor(end: () => void) {
    this.#end = end
  }

  [Symbol.dispose](): void {
    this.#end()
  }
}

/** What a changefeed's part in a worker holds. */
export interface ChangefeedLook {
  /** The changefeed's, of all workers. */
  readonly memory: { readonly before: number; readonly after: number; readonly limit: number }
  /** Bytes of this worker: changes that wait for their commit; rows in the sorter's memory, and on its disk. */
  readonly unmatched: number
  readonly sortedInMemory: number
  readonly sortedOnDisk: number
  /** Bytes written to run files since the changefeed was opened. */
  readonly spilled: number
}

const NOTHING: ChangefeedLook = {
  memory: { before: 0, after: 0, limit: 0 },
  unmatched: 0,
  sortedInMemory: 0,
  sortedOnDisk: 0,
  spilled: 0,
}

/** One changefeed when metrics are asked for. */
interface Seen {
  readonly counted: ChangefeedMetrics
  readonly held: ChangefeedLook
}

interface Declared {
  readonly name: string
  readonly kind: 'counter' | 'gauge'
  readonly help: string
  /** The label beside namespace and changefeed. */
  readonly label?: string
  /** Workers' answers are summed, except what is one number for all of them. */
  readonly aggregator?: 'max'
  /** Values by that label; without one, the value of ''. */
  readonly values: (seen: Seen) => Readonly<Record<string, number>>
}

const byStage =
  (valueOf: (stage: StageCounter) => number): Declared['values'] =>
  ({ counted: { stages } }) => ({
    feed: valueOf(stages.feed),
    sort: valueOf(stages.sort),
    plan: valueOf(stages.plan),
    sink: valueOf(stages.sink),
  })

/** One line per metric of a changefeed. Names without a TiCDC model begin with `tidewire_`. */
const OF_CHANGEFEED: readonly Declared[] = [
  {
    name: 'tidewire_stage_rows_total',
    kind: 'counter',
    help: 'Rows that a stage has given on.',
    label: 'stage',
    values: byStage((stage) => stage.rows),
  },
  {
    name: 'tidewire_stage_bytes_total',
    kind: 'counter',
    help: 'Bytes of them: received frames, raw rows, messages, acknowledged messages.',
    label: 'stage',
    values: byStage((stage) => stage.bytes),
  },
  {
    name: 'tidewire_stage_seconds_total',
    kind: 'counter',
    help: 'Time that worker threads were at work in a stage, by the clock.',
    label: 'stage',
    values: byStage((stage) => stage.workMs / 1000),
  },
  {
    name: 'tidewire_stage_queue_bytes',
    kind: 'gauge',
    help: 'What a stage holds: changes without commit, sorted rows, rows that wait for memory, messages in flight.',
    label: 'stage',
    values: ({ counted: { stages }, held }) => ({
      feed: held.unmatched,
      sort: held.sortedInMemory + held.sortedOnDisk,
      plan: stages.plan.queueBytes,
      sink: stages.sink.queueBytes,
    }),
  },
  {
    name: 'tidewire_sink_blocked_seconds_total',
    kind: 'counter',
    help: 'Time in which rows were ready and waited for memory that the sink had to free.',
    values: ({ counted }) => ({ '': counted.blockedMs / 1000 }),
  },
  {
    name: 'ticdc_puller_txn_collect_event_count',
    kind: 'counter',
    help: 'Rows (kv) and resolved-ts (resolved) from the event feed.',
    label: 'type',
    values: ({ counted }) => ({ kv: counted.stages.feed.rows, resolved: counted.resolved }),
  },
  {
    name: 'ticdc_sorter_output_event_count',
    kind: 'counter',
    help: 'Rows that the sorter gave out.',
    label: 'type',
    values: ({ counted }) => ({ kv: counted.stages.sort.rows }),
  },
  {
    name: 'ticdc_mounter_total_rows_count',
    kind: 'gauge',
    help: 'Rows decoded.',
    values: ({ counted }) => ({ '': counted.stages.plan.rows }),
  },
  {
    name: 'ticdc_sink_table_sink_total_rows_count',
    kind: 'counter',
    help: 'Rows that the sink was given.',
    values: ({ counted }) => ({ '': counted.sentRows }),
  },
  {
    name: 'ticdc_sink_total_rows_count',
    kind: 'counter',
    help: 'Rows acknowledged by the sink, and those that a filter dropped.',
    values: ({ counted }) => ({ '': counted.stages.sink.rows }),
  },
  {
    name: 'tidewire_sink_acknowledged_raw_bytes',
    kind: 'counter',
    help: 'Raw bytes of the rows that the sink acknowledged.',
    values: ({ counted }) => ({ '': counted.acknowledgedRawBytes }),
  },
  {
    name: 'tidewire_spilled_bytes_total',
    kind: 'counter',
    help: 'Bytes written to run files on disk.',
    values: ({ held }) => ({ '': held.spilled }),
  },
  {
    name: 'tidewire_changefeed_memory_bytes',
    kind: 'gauge',
    help: 'Memory of the changefeed before and after the cursor, against memory-quota.',
    label: 'part',
    aggregator: 'max',
    values: ({ held: { memory } }) => ({ 'before-cursor': memory.before, 'after-cursor': memory.after }),
  },
  {
    name: 'ticdc_sinkmanager_memory_quota',
    kind: 'gauge',
    help: 'memory-quota (total), and what the changefeed holds of it (used).',
    label: 'type',
    aggregator: 'max',
    values: ({ held: { memory } }) => ({ total: memory.limit, used: memory.before + memory.after }),
  },
]

/** One line per metric of the worker's sorters: name, help, what it shows of one changefeed. */
const OF_SORTERS: readonly (readonly [string, string, (held: ChangefeedLook) => number])[] = [
  [
    'ticdc_sorter_in_memory_data_size_gauge',
    'Rows in the memory of sorters, bytes; id is the worker.',
    (held) => held.sortedInMemory,
  ],
  [
    'ticdc_sorter_on_disk_data_size_gauge',
    'Rows in run files of sorters, bytes; id is the worker.',
    (held) => held.sortedOnDisk,
  ],
]

/** The collectors of one worker, `thread` is its name; one call per changefeed gives what it counts with. */
export function createWorkerMetrics(registry: Registry, thread: string): (of: ChangefeedId) => ChangefeedMetrics {
  const shown = new Map<ChangefeedMetrics, Record<'namespace' | 'changefeed', string>>()
  const lookAt = (counted: ChangefeedMetrics): ChangefeedLook => counted.look?.() ?? NOTHING
  const registers = [registry]
  for (const { name, kind, help, label, aggregator, values } of OF_CHANGEFEED) {
    const labelNames = ['namespace', 'changefeed', ...(label === undefined ? [] : [label])]
    // A changefeed that opens again before the old run of it is gone has both for a moment: they add up.
    function collect(this: Counter | Gauge): void {
      this.reset()
      for (const [counted, labels] of shown)
        for (const [of, value] of Object.entries(values({ counted, held: lookAt(counted) })))
          this.inc(label === undefined ? labels : { ...labels, [label]: of }, value)
    }
    if (kind === 'counter') new Counter({ name, help, labelNames, registers, collect })
    else new Gauge({ name, help, labelNames, registers, aggregator: aggregator ?? 'sum', collect })
  }
  for (const [name, help, valueOf] of OF_SORTERS) {
    new Gauge({
      name,
      help,
      labelNames: ['id'],
      registers,
      collect() {
        let sum = 0
        for (const counted of shown.keys()) sum += valueOf(lookAt(counted))
        this.set({ id: thread }, sum)
      },
    })
  }
  return ({ namespace, id }) => {
    const counted = new ChangefeedMetrics(() => void shown.delete(counted))
    shown.set(counted, { namespace, changefeed: id })
    return counted
  }
}
