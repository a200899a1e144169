import type { Registry } from 'prom-client'
import type { Clock } from '../../base/clock.ts'
import { describeError, type ErrorCode, errorCode } from '../../base/errors.ts'
import type { FailPoints } from '../../base/fail-point.ts'
import type { Fence } from '../../base/fence.ts'
import type { Log } from '../../base/log.ts'
import {
  type ChangefeedCommands,
  type ChangefeedProgress,
  type DataWorkers,
  ddlStartTs,
  runChangefeed,
  type StatusStore,
} from '../../changefeed/control.ts'
import { openChangefeedControlSink } from '../../changefeed/open-control-sink.ts'
import { openJobReader } from '../../schema/ddl-source.ts'
import { loadSchema } from '../../schema/snapshot.ts'
import { createSchemaTracker } from '../../schema/tracker.ts'
import { dropSinkMetrics } from '../../sink/metrics.ts'
import { prepareSink } from '../../sink/open-sink.ts'
import { openSinkMemory } from '../../sink/sink-memory.ts'
import { createQuotaMemory, forgetWorker } from '../../spill/quota.ts'
import type { PdClient, SecurityOptions } from '../../upstream/pd/pd.ts'
import { openEventFeed } from '../../upstream/tikv/event-feed.ts'
import { openSnapshot } from '../../upstream/tikv/kv-snapshot.ts'
import type { ServiceSafePoint } from '../gc/service-safe-point.ts'
import type { ChangefeedInfo, ChangefeedStatus } from '../store/values.ts'
import { openDdlFeed } from './ddl-feed.ts'
import type { FeedPlan } from './feed.ts'
import type { SinkMemories } from './sink-memories.ts'

/** What all changefeeds of a capture share. */
export interface FeedEnvironment {
  readonly pd: PdClient
  readonly security: SecurityOptions
  readonly workers: DataWorkers
  readonly fence: Fence
  readonly captureAddress: string
  readonly clusterId: string
  readonly timeZone: string
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Registry
  readonly failPoints: FailPoints
  readonly sinkMemories: SinkMemories
}

export interface FeedParts {
  readonly info: ChangefeedInfo
  readonly plan: FeedPlan
  /** Number of this run, unique in the process. */
  readonly run: bigint
  readonly status: ChangefeedStatus
  readonly store: StatusStore
  readonly safePoint: ServiceSafePoint
  /** Called when a temporary hold protects the checkpoint: the cluster's own safe point may take over. */
  readonly onHeld: (signal: AbortSignal) => Promise<void>
  readonly onRunning: (commands: ChangefeedCommands) => void
  readonly onProgress: (progress: ChangefeedProgress) => void
  readonly onWarning: (code: ErrorCode | '', message: string) => void
}

/** Opens what one run of a changefeed needs, and runs it: resolves at target-ts, rejects with what stopped it. */
export async function runFeed(parts: FeedParts, environment: FeedEnvironment, signal: AbortSignal): Promise<void> {
  using cleanup = new DisposableStack()
  cleanup.defer(() => dropSinkMetrics(environment.metrics, parts.info.changefeed))
  const { info, plan, status, safePoint } = parts
  const { changefeed, config } = info
  const { pd, security, clock, captureAddress, clusterId, fence, timeZone, metrics, failPoints } = environment
  const log = environment.log.with({ changefeed: `${changefeed.namespace}/${changefeed.id}` })
  const startTs = ddlStartTs(status.checkpointTs, status.minTableBarrierTs)

  if (config.checkGcSafePoint) await safePoint.hold('initializing', changefeed, status.checkpointTs, signal)
  await parts.onHeld(signal)
  const loaded = await loadSchema(openSnapshot(pd, startTs, { security, log, clock }), plan.filter, signal)
  const tracker = createSchemaTracker(loaded, { filter: plan.filter, bdrMode: config.bdrMode })
  const now = await pd.tso(signal)
  const readJob = await openJobReader(openSnapshot(pd, now, { security, log, clock }), signal)
  const onTrouble = (error: Error): void => parts.onWarning(errorCode(error), describeError(error))
  const shared = { changefeed, captureAddress, clusterId, fence, log, metrics, failPoints, clock, timeZone }
  const sinkMemory = environment.sinkMemories.of(changefeed, info.sinkUri)
  const context = { ...shared, memory: openSinkMemory(sinkMemory.control), onTrouble }
  const sink = await prepareSink(plan.sink, context, signal)
  await using events = openEventFeed({ pd, security, log, clock })
  for (const warning of plan.warnings) log.warn('the stored configuration is not what it should be', { warning })
  log.info('changefeed starts', { checkpointTs: status.checkpointTs, ddlStartTs: startTs, epoch: info.epoch })
  const quota = createQuotaMemory(config.memoryQuota, environment.workers.size)
  await runChangefeed(
    {
      changefeed,
      epoch: parts.run,
      config,
      sink,
      timeZone,
      quota,
      releaseQuota: (worker) => forgetWorker(quota, worker),
      sinkMemory: sinkMemory.worker,
      targetTs: info.targetTs,
      checkpointTs: status.checkpointTs,
      minTableBarrierTs: status.minTableBarrierTs,
      tracker,
      openDdlFeed: (from, changed) => openDdlFeed(events, readJob, from, changed),
      openControlSink: (sinkSignal) => openChangefeedControlSink(sink, config, context, sinkSignal),
      workers: environment.workers,
      scanRegions: (start, end, limit, scanSignal) => pd.scanRegions(start, end, limit, scanSignal),
      status: parts.store,
      clock,
      log,
      failPoints,
      onRunning: parts.onRunning,
      onProgress: parts.onProgress,
      onWarning: parts.onWarning,
    },
    signal,
  )
}
