import { sinkMetrics } from '../metrics.ts'
import type { SinkContext } from '../sink-context.ts'
import type { ControlSink, RowSink } from '../sink.ts'

/** Acknowledges everything at once and counts it. */
export function openBlackholeRowSink(context: SinkContext): RowSink {
  const metrics = sinkMetrics(context.metrics, context.changefeed, 'blackhole')
  return {
    async write(batch, signal) {
      signal.throwIfAborted()
      metrics.rows(batch.messages.rowCount, batch.messages.bytes)
    },
    partitions: async () => 1,
    async [Symbol.asyncDispose]() {},
  }
}

/** DDLs and watermarks go nowhere. */
export function openBlackholeControlSink(context: SinkContext): ControlSink {
  const log = context.log
  return {
    async ddl(event) {
      log.debug('ddl dropped by the blackhole sink', { query: event.query, commitTs: event.commitTs })
    },
    async watermark() {},
    async [Symbol.asyncDispose]() {},
  }
}
