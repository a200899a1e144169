import type { LogLevel } from '../base/log.ts'
import type { ReplicaConfig } from '../config/replica-config.ts'
import type { ChangefeedId, ChangefeedState } from '../event/changefeed.ts'
import type { TableVersion } from '../event/table-version.ts'
import type { Ts } from '../tidb/ts.ts'

/** An error of a changefeed as it is stored; `time` is RFC 3339 with nanoseconds and zone. */
export interface RunningError {
  readonly time: string
  readonly addr: string
  /** Empty where the error had no code. */
  readonly code: string
  readonly message: string
}

/** 0 none, 1 stop, 2 resume, 3 remove, 4 finish. */
export const AdminJob = { None: 0, Stop: 1, Resume: 2, Remove: 3, Finish: 4 } as const
export type AdminJob = (typeof AdminJob)[keyof typeof AdminJob]

/** A changefeed as it is stored and as it runs; the sink URI is the real one: who shows it masks it. */
export interface ChangefeedDetail {
  readonly upstreamId: bigint
  readonly id: ChangefeedId
  readonly sinkUri: string
  /** RFC 3339 with nanoseconds and zone. */
  readonly createTime: string
  readonly startTs: Ts
  /** 0 = none. */
  readonly targetTs: Ts
  readonly adminJob: AdminJob
  readonly config: ReplicaConfig
  /** As stored: `pending` is visible, an unknown or empty state reads `normal`. */
  readonly state: ChangefeedState
  /** undefined in state normal. */
  readonly error: RunningError | undefined
  readonly warning: RunningError | undefined
  readonly creatorVersion: string
  readonly epoch: bigint
  readonly checkpointTs: Ts
  /** What has been received from upstream; the checkpoint where the changefeed does not run. */
  readonly resolvedTs: Ts
  /** Latest commitTs acknowledged downstream since the changefeed was started here; 0 = none. */
  readonly lastSyncedTs: Ts
  /** Physical table ids per capture; empty unless the changefeed runs. */
  readonly tasks: readonly { readonly captureId: string; readonly tableIds: readonly bigint[] }[]
}

export interface ChangefeedSummary {
  readonly upstreamId: bigint
  readonly id: ChangefeedId
  readonly state: ChangefeedState
  readonly checkpointTs: Ts
  readonly resolvedTs: Ts
  /** undefined unless pending, warning or failed; the last warning where there is no error. */
  readonly error: RunningError | undefined
}

export interface CreateChangefeed {
  readonly id: ChangefeedId
  readonly sinkUri: string
  /** undefined = the upstream's time now. */
  readonly startTs?: Ts | undefined
  /** undefined = replicate for ever. */
  readonly targetTs?: Ts | undefined
  readonly config: ReplicaConfig
  /** Refuse (`CDC:ErrTableIneligible`) when false and some matched table is ineligible. */
  readonly ignoreIneligibleTables: boolean
}

/** Absent members stay as they are. */
export interface UpdateChangefeed {
  readonly targetTs?: Ts | undefined
  readonly sinkUri?: string | undefined
  readonly config?: ReplicaConfig | undefined
}

export interface ResumeOptions {
  readonly overwriteCheckpointTs?: Ts | undefined
}

export interface CaptureDetail {
  readonly id: string
  readonly isOwner: boolean
  readonly address: string
  readonly clusterId: string
}

export interface ServerStatus {
  readonly version: string
  readonly gitHash: string
  readonly id: string
  readonly clusterId: string
  readonly pid: number
  readonly isOwner: boolean
  readonly liveness: Liveness
}

/** 0 alive, 1 stopping; never goes back. */
export type Liveness = 0 | 1

export interface TableId {
  readonly schema: string
  readonly table: string
  readonly tableId: bigint
  readonly isPartition: boolean
}

export interface VerifiedTables {
  readonly eligible: readonly TableId[]
  readonly ineligible: readonly TableId[]
}

/**
 * What API and CLI may ask of a running server. Calls that need the owner reject with `CDC:ErrNotOwner` elsewhere: the
 * API forwards to `owner()`. Until the capture is registered, all but `status`, `health` and `metricsText` reject with
 * `CDC:ErrServerIsNotReady`. Every rejection is a coded error.
 */
export interface ServerHandle {
  /** Answers at any time. */
  status(): ServerStatus
  /** False until the capture is registered, and again while it starts anew after its lease was lost. */
  ready(): boolean
  /** The owner's capture, undefined while there is none. */
  owner(signal: AbortSignal): Promise<CaptureDetail | undefined>
  captures(signal: AbortSignal): Promise<readonly CaptureDetail[]>
  /** Resolves while the cluster is healthy; rejects with `CDC:ErrClusterIsUnhealthy`. */
  health(signal: AbortSignal): Promise<void>

  /** Checks sink and tables (dials, ≤ 10 s), then stores. Owner only, as everything on changefeeds. */
  createChangefeed(request: CreateChangefeed, signal: AbortSignal): Promise<ChangefeedDetail>
  updateChangefeed(id: ChangefeedId, change: UpdateChangefeed, signal: AbortSignal): Promise<ChangefeedDetail>
  /** Resolves when the owner has accepted it; in a state that cannot be paused it is logged and ignored. */
  pauseChangefeed(id: ChangefeedId, signal: AbortSignal): Promise<void>
  resumeChangefeed(id: ChangefeedId, options: ResumeOptions, signal: AbortSignal): Promise<void>
  /** Resolves when it is gone from etcd, with what it was; undefined when there was none. */
  removeChangefeed(id: ChangefeedId, signal: AbortSignal): Promise<ChangefeedDetail | undefined>
  /**
   * Gives a physical table to another data worker of the capture, as far as its sink allows. Errors:
   * `CDC:ErrCaptureNotExist`, `CDC:ErrProcessorTableNotFound`.
   */
  moveTable(id: ChangefeedId, captureId: string, tableId: bigint, signal: AbortSignal): Promise<void>
  /** Cuts and joins tables into spans as their regions are now. Resolves when that has begun. */
  rebalanceTables(id: ChangefeedId, signal: AbortSignal): Promise<void>
  /** Sorted by id. `states`: those to list; `all`; undefined = normal, stopped, failed, warning, pending. */
  listChangefeeds(
    filter: { readonly namespace: string; readonly states?: readonly ChangefeedState[] | 'all' | undefined },
    signal: AbortSignal,
  ): Promise<readonly ChangefeedSummary[]>
  /** Rejects with `CDC:ErrChangeFeedNotExists`. */
  getChangefeed(id: ChangefeedId, signal: AbortSignal): Promise<ChangefeedDetail>

  /** Upstream's time now. */
  tso(signal: AbortSignal): Promise<Ts>
  /** Tables of the upstream that a filter would replicate at `startTs`; checks the sink URI against the config too. */
  verifyTables(
    request: { readonly config: ReplicaConfig; readonly sinkUri: string; readonly startTs: Ts },
    signal: AbortSignal,
  ): Promise<VerifiedTables>
  /** Every table of the upstream now, by name; not those of system schemas. */
  tables(signal: AbortSignal): Promise<readonly TableVersion[]>
  /** Gives the ownership up; another capture (or this one again) campaigns. */
  resignOwner(signal: AbortSignal): Promise<void>
  /** Every key of the cluster in etcd; secrets included. */
  metadata(signal: AbortSignal): Promise<readonly { readonly key: string; readonly value: string }[]>
  /** Removes this cluster's service GC safe point at PD. */
  deleteServiceSafePoint(signal: AbortSignal): Promise<void>

  /** Prometheus text of this process, workers included. */
  metricsText(signal: AbortSignal): Promise<string>
  setLogLevel(level: LogLevel): void
}
