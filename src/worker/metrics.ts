import { Counter, Gauge, type Registry } from 'prom-client'
import type { ChangefeedId } from '../event/changefeed.ts'

/** What a changefeed's part in a worker counts, until disposed; names without a TiCDC model begin with `tidewire_`. */
export interface ChangefeedMetrics extends Disposable {
  received(rows: number): void
  acknowledged(rows: number, bytes: number): void
  memory(beforeBytes: number, afterBytes: number): void
}

/** The collectors of one worker; one call per changefeed gives its children. */
export function createWorkerMetrics(registry: Registry): (changefeed: ChangefeedId) => ChangefeedMetrics {
  const labelNames = ['namespace', 'changefeed'] as const
  const registers = [registry]
  const received = new Counter({
    name: 'ticdc_puller_txn_collect_event_count',
    help: 'Rows received from the event feed.',
    labelNames,
    registers,
  })
  const rows = new Counter({
    name: 'ticdc_sink_total_rows_count',
    help: 'Rows acknowledged by the sink.',
    labelNames,
    registers,
  })
  const bytes = new Counter({
    name: 'tidewire_sink_acknowledged_raw_bytes',
    help: 'Raw bytes of the rows that the sink acknowledged.',
    labelNames,
    registers,
  })
  const memory = new Gauge({
    name: 'tidewire_changefeed_memory_bytes',
    help: 'Memory of the changefeed before and after the cursor, against memory-quota.',
    labelNames: [...labelNames, 'part'],
    registers,
  })
  return ({ namespace, id }) => {
    const labels = { namespace, changefeed: id }
    const [receivedRows, sentRows, sentBytes] = [received.labels(labels), rows.labels(labels), bytes.labels(labels)]
    const parts = { before: { ...labels, part: 'before-cursor' }, after: { ...labels, part: 'after-cursor' } }
    const [before, after] = [memory.labels(parts.before), memory.labels(parts.after)]
    return {
      received: (count) => receivedRows.inc(count),
      acknowledged(count, size) {
        sentRows.inc(count)
        sentBytes.inc(size)
      },
      memory(beforeBytes, afterBytes) {
        before.set(beforeBytes)
        after.set(afterBytes)
      },
      [Symbol.dispose]() {
        for (const metric of [received, rows, bytes]) metric.remove(labels)
        for (const part of [parts.before, parts.after]) memory.remove(part)
      },
    }
  }
}
