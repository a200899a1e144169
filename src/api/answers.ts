import { toApiReplicaConfig, type JsonObject } from '../config/replica-config-json.ts'
import { maskSinkUri, sinkFamily } from '../config/sink-uri.ts'
import type { ChangefeedState } from '../event/changefeed.ts'
import type {
  CaptureDetail,
  ChangefeedDetail,
  ChangefeedSummary,
  RunningError,
  ServerStatus,
  TableId,
  VerifiedTables,
} from '../server/handle.ts'
import { physicalMs, type Ts } from '../tidb/ts.ts'

// The API's JSON objects (reference: interface, sections 5.3 and 5.5), members in TiCDC's order.

/** `2024-12-05 15:05:46.000` in the process's zone. */
export function humanTime(ms: number): string {
  const date = new Date(ms)
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  return `${day} ${time}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

export const tsTime = (ts: Ts): string => humanTime(physicalMs(ts))

/** How lists show a state: users see a waiting retry as a warning. */
const shownState = (state: ChangefeedState): ChangefeedState => (state === 'pending' ? 'warning' : state)

export const serverStatus = (status: ServerStatus): JsonObject => ({
  version: status.version,
  git_hash: status.gitHash,
  id: status.id,
  cluster_id: status.clusterId,
  pid: status.pid,
  is_owner: status.isOwner,
  liveness: status.liveness,
})

export const capture = (detail: CaptureDetail): JsonObject => ({
  id: detail.id,
  is_owner: detail.isOwner,
  address: detail.address,
  cluster_id: detail.clusterId,
})

export const changefeedSummary = (summary: ChangefeedSummary): JsonObject => ({
  upstream_id: summary.upstreamId,
  namespace: summary.id.namespace,
  id: summary.id.id,
  state: shownState(summary.state),
  checkpoint_tso: summary.checkpointTs,
  checkpoint_time: tsTime(summary.checkpointTs),
  error: summary.error === undefined ? null : runningError(summary.error),
})

export const runningError = (error: RunningError): JsonObject => ({
  time: error.time,
  addr: error.addr,
  code: error.code,
  message: error.message,
})

/** `mask` false only for the end point between TiCDC's own nodes. */
export function changefeedInfo(detail: ChangefeedDetail, mask = true): JsonObject {
  const family = sinkFamily(detail.sinkUri)
  const error = ['pending', 'warning', 'failed'].includes(detail.state) ? (detail.error ?? detail.warning) : undefined
  const info: JsonObject = {
    upstream_id: detail.upstreamId,
    namespace: detail.id.namespace,
    id: detail.id.id,
    sink_uri: mask ? maskSinkUri(detail.sinkUri) : detail.sinkUri,
    create_time: detail.createTime,
    start_ts: detail.startTs,
    target_ts: detail.targetTs,
    admin_job_type: detail.adminJob,
    config: toApiReplicaConfig(detail.config, { family: family === 'blackhole' ? undefined : family, mask }),
    state: detail.state,
    error: error === undefined ? undefined : { addr: error.addr, code: error.code, message: error.message },
    creator_version: detail.creatorVersion,
    resolved_ts: detail.resolvedTs,
    checkpoint_ts: detail.checkpointTs,
    checkpoint_time: tsTime(detail.checkpointTs),
    task_status: detail.tasks.map((task) => ({ capture_id: task.captureId, table_ids: task.tableIds })),
  }
  return withoutZeros(info, ['upstream_id', 'start_ts', 'target_ts', 'admin_job_type', 'error', 'task_status'])
}

/** The raw state, and what went wrong since the checkpoint's time. */
export function changefeedStatus(detail: ChangefeedDetail): JsonObject {
  const recent = (error: RunningError | undefined): JsonObject | undefined =>
    error !== undefined && Date.parse(error.time) > physicalMs(detail.checkpointTs) ? runningError(error) : undefined
  const status = {
    state: detail.state,
    resolved_ts: detail.resolvedTs,
    checkpoint_ts: detail.checkpointTs,
    last_error: recent(detail.error),
    last_warning: recent(detail.warning),
  }
  return withoutZeros(status, ['last_error', 'last_warning'])
}

export function verifiedTables(tables: VerifiedTables): JsonObject {
  const answer = {
    ineligible_tables: tables.ineligible.map(tableName),
    eligible_tables: tables.eligible.map(tableName),
  }
  return withoutZeros(answer, ['ineligible_tables', 'eligible_tables'])
}

const tableName = (table: TableId): JsonObject => ({
  database_name: table.schema,
  table_name: table.table,
  table_id: table.tableId,
  is_partition: table.isPartition,
})

/** Whether everything written upstream is downstream (reference: interface, section 5.3); `now` is the upstream's. */
export function syncedStatus(detail: ChangefeedDetail, now: Ts): JsonObject {
  const { syncedCheckInterval, checkpointInterval } = detail.config.syncedStatus
  const nowMs = physicalMs(now)
  const quiet = nowMs - physicalMs(detail.lastSyncedTs) > syncedCheckInterval * 1000
  const synced = quiet && nowMs - physicalMs(detail.checkpointTs) < checkpointInterval * 1000
  const stuck = physicalMs(detail.resolvedTs) - physicalMs(detail.checkpointTs) < checkpointInterval * 1000
  const waiting = 'The data syncing is not finished, please wait'
  const hint =
    'Please check whether PD is online and TiKV Regions are all available. If PD is offline or some TiKV regions are not available, it means that the data syncing process is complete. To check whether TiKV regions are all available, you can view the resolved ts of the changefeed. Otherwise, please wait'
  return {
    synced,
    sink_checkpoint_ts: tsTime(detail.checkpointTs),
    puller_resolved_ts: tsTime(detail.resolvedTs),
    last_synced_ts: tsTime(detail.lastSyncedTs),
    now_ts: humanTime(nowMs),
    info: synced ? 'Data syncing is finished' : quiet && stuck ? hint : waiting,
  }
}

/** Go's `omitempty` for the members named. */
function withoutZeros(object: JsonObject, names: readonly string[]): JsonObject {
  const zero = (value: unknown): boolean =>
    value === undefined || value === 0 || value === 0n || value === '' || (Array.isArray(value) && value.length === 0)
  return Object.fromEntries(Object.entries(object).filter(([name, value]) => !names.includes(name) || !zero(value)))
}
