import { Counter, Histogram, type Registry } from 'prom-client'
import type { ChangefeedId } from '../event/changefeed.ts'

/** Metrics of every sink; names and labels are TiCDC's (reference: kafka-sink, section 10). */
export interface SinkMetrics {
  /** Rows acknowledged and bytes of their messages, per write. */
  rows(count: number, bytes: number): void
  /** A DDL acknowledged after `seconds`. */
  ddl(seconds: number): void
  error(): void
}

const LABELS = ['namespace', 'changefeed', 'type'] as const

const TYPES = ['kafka', 'storage', 'blackhole'] as const

const ROW_COUNT = 'ticdc_sink_batch_row_count'
const BYTES = 'ticdc_sink_write_bytes_total'
const DDL = 'ticdc_sink_ddl_exec_duration'
const ERRORS = 'ticdc_sink_execution_error'

/** The counters of one changefeed in `registry`; declared there on first use. */
export function sinkMetrics(registry: Registry, changefeed: ChangefeedId, type: (typeof TYPES)[number]): SinkMetrics {
  const labels = { namespace: changefeed.namespace, changefeed: changefeed.id, type }
  const rowCount = histogram(registry, ROW_COUNT, 'Row count of batches', [1, 4, 16, 64, 256, 1024, 4096])
  const bytes = counter(registry, BYTES, 'Bytes of acknowledged messages')
  const ddl = histogram(registry, DDL, 'Seconds until a DDL was acknowledged', [0.01, 0.1, 0.5, 1, 5, 30])
  const errors = counter(registry, ERRORS, 'Failures of the sink')
  const row = rowCount.labels(labels)
  const byte = bytes.labels(labels)
  return {
    rows(count, size) {
      row.observe(count)
      byte.inc(size)
    },
    ddl: (seconds) => ddl.labels(labels).observe(seconds),
    error: () => errors.labels(labels).inc(),
  }
}

/** Takes a changefeed's lines out of `registry`; when its sinks there are closed. */
export function dropSinkMetrics(registry: Registry, { namespace, id }: ChangefeedId): void {
  for (const name of [ROW_COUNT, BYTES, DDL, ERRORS]) {
    const metric = registry.getSingleMetric(name)
    if (!(metric instanceof Counter || metric instanceof Histogram)) continue
    for (const type of TYPES) metric.remove({ namespace, changefeed: id, type })
  }
}

type Label = (typeof LABELS)[number]

function counter(registry: Registry, name: string, help: string): Counter<Label> {
  const known = registry.getSingleMetric(name)
  return known instanceof Counter ? known : new Counter({ name, help, labelNames: LABELS, registers: [registry] })
}

function histogram(registry: Registry, name: string, help: string, buckets: number[]): Histogram<Label> {
  const known = registry.getSingleMetric(name)
  return known instanceof Histogram
    ? known
    : new Histogram({ name, help, labelNames: LABELS, buckets, registers: [registry] })
}
