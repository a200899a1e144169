/**
 * What the control thread and a data worker say to each other. Every message carries the changefeed's epoch, a span's
 * carry its incarnation too; what belongs to another one is dropped. A port is first-in-first-out: table versions ≤ G
 * arrive before the grant G, and a progress that echoes `spanSeq` n was taken after the n-th change of the span set.
 */
import type { ErrorCode } from '../base/errors.ts'
import type { ReplicaConfig } from '../config/replica-config.ts'
import type { SinkSettings } from '../config/sink-settings.ts'
import type { ChangefeedId } from '../event/changefeed.ts'
import type { Span } from '../event/span.ts'
import type { Ts } from '../tidb/ts.ts'
import type { SecurityOptions } from '../upstream/pd/pd.ts'

/** First message of a worker's life (workerData). */
export interface WorkerStart {
  /** Place in the pool, from 0; a thread that replaces another has the same. */
  readonly index: number
  readonly pdEndpoints: readonly string[]
  readonly security: SecurityOptions
  /** Name; empty for a cluster without keyspaces. */
  readonly keyspace: string
  /** Memory of base/fence. */
  readonly fence: SharedArrayBuffer
  readonly failPoints: string
  readonly captureAddress: string
  /** `cluster-id` of the server. */
  readonly clusterId: string
  readonly runFiles: RunFilesStart
}

/** Where the capture's workers spill to. */
export interface RunFilesStart {
  /** Of the capture; each worker has its own folder in it, named after its index. */
  readonly directory: string
  /** Memory of spill/disk-quota. */
  readonly disk: SharedArrayBuffer
}

export interface Addressed {
  /** Worker-wide number of the changefeed's run; a new one for every epoch. */
  readonly epoch: bigint
}

export interface OpenChangefeed extends Addressed {
  readonly type: 'open-changefeed'
  readonly changefeed: ChangefeedId
  readonly config: ReplicaConfig
  readonly sink: SinkSettings
  /** IANA name or offset in which TIMESTAMP values are printed. */
  readonly timeZone: string
  /** Memory of the changefeed's quota, shared by all its workers. */
  readonly quota: SharedArrayBuffer
  /** What the sink of this worker must know of the one before (sink/sink-memory); outlives thread and run. */
  readonly sinkMemory: SharedArrayBuffer
}

/** One version of a logical table: the same for all of its partitions. */
export interface SharedTableInfo {
  /** Of the changefeed's run; the same number, the same bytes. */
  readonly number: number
  /** model.TableInfo JSON. */
  readonly json: Uint8Array<SharedArrayBuffer>
}

/** One version of a physical table's schema. */
export interface SchemaVersion {
  readonly physicalId: bigint
  readonly schema: string
  readonly version: Ts
  /** undefined = the table is gone after `version`. */
  readonly info: SharedTableInfo | undefined
}

/** A version that a DDL made; only for tables with a span here. */
export interface TableSchema extends Addressed, SchemaVersion {
  readonly type: 'table-schema'
}

export interface AddSpan extends Addressed {
  readonly type: 'add-span'
  readonly spanSeq: number
  readonly span: Span
  readonly incarnation: number
  /** Rows above it are wanted. */
  readonly checkpointTs: Ts
  /** Of its table: the one for rows right above `checkpointTs`, and all later ones. */
  readonly schemas: readonly SchemaVersion[]
}

/** The span reads nothing new; what was ever handed to a sink is acknowledged, then `span-removed` comes. */
export interface RemoveSpan extends Addressed {
  readonly type: 'remove-span'
  readonly spanSeq: number
  readonly spanId: number
  readonly incarnation: number
}

/** Rows with commitTs ≤ min(global, the table's own) may leave. Never goes back. */
export interface Grant extends Addressed {
  readonly type: 'grant'
  readonly globalTs: Ts
  /** Tables whose own next DDL lies below `globalTs`; replaces the list of the grant before. */
  readonly tables: readonly { readonly physicalId: bigint; readonly ts: Ts }[]
}

export interface CloseChangefeed extends Addressed {
  readonly type: 'close-changefeed'
}

export interface MetricsRequest {
  readonly type: 'metrics-request'
  readonly id: number
}

export type ToWorker = OpenChangefeed | TableSchema | AddSpan | RemoveSpan | Grant | CloseChangefeed | MetricsRequest

export interface SpanProgress {
  readonly spanId: number
  readonly physicalId: bigint
  readonly checkpointTs: Ts
  readonly resolvedTs: Ts
}

/** One per changefeed and tick, when something changed. */
export interface Progress extends Addressed {
  readonly type: 'progress'
  readonly spanSeq: number
  readonly spans: number
  /** Least of all spans; the maximum ts where the worker has no span. */
  readonly checkpointTs: Ts
  readonly resolvedTs: Ts
  /** The spans that hold the checkpoint back, at most 8. */
  readonly slowest: readonly SpanProgress[]
  /** Rows acknowledged since the changefeed was opened. */
  readonly rows: number
  /** Latest commitTs acknowledged. */
  readonly lastSyncedTs: Ts
}

export interface SpanRemoved extends Addressed {
  readonly type: 'span-removed'
  readonly spanId: number
  readonly incarnation: number
  readonly checkpointTs: Ts
}

/** How busy a worker's thread was since the report before, with all changefeeds, and what of it these spans took. */
export interface LoadReport extends Addressed {
  readonly type: 'load'
  /** Share of the time, 0 to 1. */
  readonly busy: number
  /** The heaviest, at most 16. */
  readonly spans: readonly SpanLoad[]
}

export interface SpanLoad {
  readonly spanId: number
  /** Of the thread's time, as its part of the bytes acknowledged suggests. */
  readonly share: number
  readonly rowsPerMinute: number
}

/**
 * `warning`: the worker rebuilds the sink by itself and goes on from the checkpoint. `error`: the changefeed's part in
 * this worker has stopped; the owner decides.
 */
export interface ChangefeedTrouble extends Addressed {
  readonly type: 'trouble'
  readonly level: 'warning' | 'error'
  readonly code: ErrorCode | ''
  readonly message: string
  readonly retryable: boolean
}

export interface ChangefeedClosed extends Addressed {
  readonly type: 'changefeed-closed'
}

export interface MetricsAnswer {
  readonly type: 'metrics-answer'
  readonly id: number
  /** prom-client's JSON form of the worker's registry. */
  readonly metrics: unknown
}

export interface WorkerReady {
  readonly type: 'ready'
}

export interface WorkerLog {
  readonly type: 'log'
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  /** Values already printed as text. */
  readonly fields: Readonly<Record<string, string>>
}

export type FromWorker =
  | WorkerReady
  | WorkerLog
  | Progress
  | SpanRemoved
  | LoadReport
  | ChangefeedTrouble
  | ChangefeedClosed
  | MetricsAnswer

/**
 * What the pool says about a worker: its thread has ended, and nothing of it runs any more; or the next one is there,
 * empty, and takes messages.
 */
export type WorkerNotice =
  | { readonly type: 'worker-lost'; readonly message: string }
  | { readonly type: 'worker-started' }

/** What a changefeed hears from a worker. */
export type ChangefeedMessage = Extract<FromWorker, Addressed> | WorkerNotice
