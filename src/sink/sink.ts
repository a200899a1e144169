import type { DdlEvent, TableName } from '../event/ddl-event.ts'
import type { EncodedBatch } from '../event/encoded.ts'
import type { Ts } from '../tidb/ts.ts'

/** Row side of a sink: one per changefeed and worker. Schemes: kafka, blackhole, file; later mysql and storage. */
export interface RowSink extends AsyncDisposable {
  /**
   * Resolves when the batch is durable downstream. Calls overlap; the order per partition is the order of calls. After
   * one rejection all later calls reject: the sink is rebuilt, and cursors go back to the checkpoint. The fence is read
   * immediately before every send.
   */
  write(batch: EncodedBatch, signal: AbortSignal): Promise<void>
  /** How many partitions a topic has; creates the topic where it is missing and that is allowed. 1 without topics. */
  partitions(topic: string, signal: AbortSignal): Promise<number>
}

/** Control side: one per changefeed, on the owner. */
export interface ControlSink extends AsyncDisposable {
  /** Resolves when the DDL is acknowledged everywhere it goes. */
  ddl(event: DdlEvent, signal: AbortSignal): Promise<void>
  /**
   * Tells consumers that nothing at or below `ts` will follow (design, "Grants, DDL and checkpoints"), on every
   * partition of the topics of `tables` and of the default topic.
   */
  watermark(ts: Ts, tables: readonly TableName[], signal: AbortSignal): Promise<void>
}
