/** What the figures are to be. */
import type { Unit } from './case.ts'

export interface Goal {
  /** Name of a figure, or of one that {@link DERIVED} makes. */
  readonly figure: string
  readonly about: string
  readonly at: 'least' | 'most'
  readonly value: number
}

/** Quotients of two figures. */
export const DERIVED: readonly {
  readonly name: string
  readonly of: string
  readonly by: string
  readonly unit: Unit
}[] = [
  { name: 'tables-1000-over-4', of: 'blackhole-tables-1000-rows-per-core', by: 'blackhole-1-rows-per-core', unit: 'x' },
  { name: 'kafka-over-perf-test', of: 'kafka-canal-throughput', by: 'ceiling-kafka-perf-test-throughput', unit: 'x' },
  { name: 'kafka-over-debezium-cpu', of: 'kafka-canal-us-per-row', by: 'peer-debezium-us-per-row', unit: 'x' },
  { name: 'kafka-over-maxwell-cpu', of: 'kafka-canal-us-per-row', by: 'peer-maxwell-us-per-row', unit: 'x' },
  {
    name: 'kafka-over-debezium-batched-cpu',
    of: 'kafka-canal-us-per-row',
    by: 'peer-debezium-batched-us-per-row',
    unit: 'x',
  },
  {
    name: 'kafka-over-maxwell-batched-cpu',
    of: 'kafka-canal-us-per-row',
    by: 'peer-maxwell-batched-us-per-row',
    unit: 'x',
  },
  { name: 'catch-up-over-memory', of: 'catch-up-rate', by: 'growth-backlog-10000000-rate', unit: 'x' },
]

export const GOALS: readonly Goal[] = [
  {
    figure: 'blackhole-1-rows-per-core',
    about: 'event feed → blackhole, canal-json encoded',
    at: 'least',
    value: 200_000,
  },
  { figure: 'tables-1000-over-4', about: 'the same with 1,000 tables, against it', at: 'least', value: 0.7 },
  { figure: 'kafka-canal-rate', about: 'event feed → Kafka, canal-json', at: 'least', value: 100_000 },
  { figure: 'kafka-canal-us-per-row', about: 'its CPU per row', at: 'most', value: 8 },
  { figure: 'kafka-over-perf-test', about: "its MiB/s against Kafka's own producer", at: 'least', value: 0.8 },
  { figure: 'kafka-open-rate', about: 'event feed → Kafka, open-protocol batches', at: 'least', value: 80_000 },
  { figure: 'wide-1k-throughput', about: 'rows of 1 KiB → blackhole, two cores', at: 'least', value: 190 },
  { figure: 'workers-2-over-1', about: 'two workers against one, as rows come', at: 'least', value: 1.7 },
  {
    figure: 'workers-2-over-1-release',
    about: 'the same from the sorter on, nobody else at work',
    at: 'least',
    value: 1.7,
  },
  { figure: 'catch-up-rss', about: '10 million rows, quota 256 MiB: memory in all', at: 'most', value: 700 },
  { figure: 'catch-up-over-memory', about: 'its rate against that in memory', at: 'least', value: 0.6 },
  { figure: 'lag-p50', about: 'commit → acknowledged by Kafka, 5,000 rows/s', at: 'most', value: 400 },
  { figure: 'lag-p99', about: 'the same', at: 'most', value: 800 },
  { figure: 'idle-tables-busy', about: '10,000 tables, a row per second each: share of a core', at: 'most', value: 50 },
  { figure: 'blackhole-1-main-delay-p99', about: "main thread's event loop under full load", at: 'most', value: 50 },
  {
    figure: 'kafka-over-debezium-cpu',
    about: "CPU per row against Debezium's, transactions of one row",
    at: 'most',
    value: 0.25,
  },
  {
    figure: 'kafka-over-maxwell-cpu',
    about: "CPU per row against Maxwell's, transactions of one row",
    at: 'most',
    value: 0.5,
  },
]
