import { join } from 'node:path'
import { threadName } from 'node:worker_threads'
import { Registry } from 'prom-client'
import { systemClock } from '../base/clock.ts'
import { unreachable } from '../base/errors.ts'
import { createFailPoints } from '../base/fail-point.ts'
import { openFence } from '../base/fence.ts'
import { exportThreadMetrics } from '../base/thread-metrics.ts'
import type { FromWorker, OpenChangefeed, ToWorker, WorkerStart } from '../changefeed/messages.ts'
import { createProtocol } from '../codec/protocols.ts'
import { dispatcherOf } from '../dispatcher/dispatcher.ts'
import { changefeedKey } from '../event/changefeed.ts'
import { createFilter } from '../filter/filter.ts'
import { openSchemaRegistry } from '../registry/open-registry.ts'
import { dropSinkMetrics } from '../sink/metrics.ts'
import { openRowSink } from '../sink/open-sink.ts'
import { openSinkMemory } from '../sink/sink-memory.ts'
import { routeProtocol } from '../sink/routed-protocol.ts'
import { openDiskQuota } from '../spill/disk-quota.ts'
import { openQuota } from '../spill/quota.ts'
import { RunFiles } from '../spill/run-files.ts'
import { Spiller } from '../spill/spiller.ts'
import { openPdClient } from '../upstream/pd/client.ts'
import type { PdClient } from '../upstream/pd/pd.ts'
import { openEventFeed } from '../upstream/tikv/event-feed.ts'
import { createFeedMetrics } from '../upstream/tikv/metrics.ts'
import { ChangefeedRun, troubleOf } from './changefeed-run.ts'
import { startLoadReports } from './load-reports.ts'
import { createWorkerMetrics } from './metrics.ts'
import { createPortLog } from './port-log.ts'

/** The inside of a data worker: what its thread does with each message. */
export interface DataWorker {
  receive(message: ToWorker): void
}

/** Connects to PD; then messages may come. */
export async function startWorker(start: WorkerStart, post: (message: FromWorker) => void): Promise<DataWorker> {
  const log = createPortLog(post)
  const clock = systemClock
  const lifetime = new AbortController()
  const registry = new Registry()
  const thread = threadName ?? 'data'
  exportThreadMetrics(registry, thread)
  const metricsOf = createWorkerMetrics(registry, thread)
  const observerOf = createFeedMetrics(registry, clock)
  const fence = openFence(start.fence)
  const failPoints = createFailPoints(start.failPoints)
  const disk = openDiskQuota(start.runFiles.disk)
  const runs = new Map<bigint, ChangefeedRun>()
  startLoadReports(runs, post)
  let pd: Promise<PdClient> | undefined

  const connect = (): Promise<PdClient> => {
    const { pdEndpoints: endpoints, security, keyspace } = start
    pd ??= openPdClient({ endpoints, security, keyspace, log, clock }, lifetime.signal)
    return pd
  }
  await connect()

  const open = async (message: OpenChangefeed): Promise<ChangefeedRun> => {
    const { changefeed, config, sink, timeZone, epoch } = message
    const runLog = log.with({ changefeed: changefeedKey(changefeed) })
    const client = await connect()
    const codec = sink.codec
    const schemas = codec?.avro.registry
    const onTrouble = (error: Error): void => {
      runLog.warn('the schema registry is asked again', { error })
      post(troubleOf(epoch, 'warning', error))
    }
    const schemaRegistry = schemas === undefined ? undefined : openSchemaRegistry(schemas, { clock, onTrouble })
    const { namespace } = changefeed
    const dispatcher = dispatcherOf(sink, config)
    const options = { timeZone, namespace, clusterId: start.clusterId, registry: schemaRegistry }
    const protocol = codec && routeProtocol(createProtocol(codec, options), dispatcher.routes)
    const metrics = metricsOf(changefeed)
    const context = {
      changefeed,
      captureAddress: start.captureAddress,
      clusterId: start.clusterId,
      fence,
      log: runLog,
      metrics: registry,
      failPoints,
      clock,
      timeZone,
      dispatcher,
      protocol,
      memory: openSinkMemory(message.sinkMemory),
      onTrouble: (error: Error) => post(troubleOf(epoch, 'warning', error)),
      onWork: (ms: number) => void (metrics.stages.sink.workMs += ms),
    }
    const runFiles = join(start.runFiles.directory, String(start.index), String(epoch))
    return new ChangefeedRun({
      open: message,
      feed: openEventFeed({
        pd: client,
        security: start.security,
        log: runLog,
        clock,
        observer: observerOf(changefeed, metrics.stages),
      }),
      openSink: (signal) => openRowSink(sink, context, signal),
      spiller: new Spiller(openQuota(message.quota, start.index), new RunFiles(runFiles, disk)),
      protocol,
      dispatcher,
      filter: createFilter(config.filter, {
        caseSensitive: config.caseSensitive,
        forceReplicate: config.forceReplicate,
        timeZone,
      }),
      metrics,
      clock,
      log: runLog.with({ epoch }),
      post,
      registry: schemaRegistry,
    })
  }

  /** Messages of one changefeed wait for its opening; the order stays as sent. */
  const opening = new Map<bigint, Promise<void>>()
  const later = (epoch: bigint, work: (run: ChangefeedRun) => void): void => {
    const pending = opening.get(epoch)
    const act = (): void => {
      const run = runs.get(epoch)
      if (run !== undefined) work(run)
    }
    if (pending === undefined) act()
    else void pending.then(act)
  }

  const openChangefeed = async (message: OpenChangefeed): Promise<void> => {
    const { epoch } = message
    try {
      runs.set(epoch, await open(message))
    } catch (error) {
      post(troubleOf(epoch, 'error', error))
    } finally {
      opening.delete(epoch)
    }
  }

  const closeChangefeed = async (epoch: bigint): Promise<void> => {
    await opening.get(epoch)
    const run = runs.get(epoch)
    runs.delete(epoch)
    try {
      await run?.[Symbol.asyncDispose]()
    } catch (error) {
      log.warn('closing a changefeed in a worker failed', { epoch, error })
    }
    if (run !== undefined) dropSinkMetrics(registry, run.changefeed)
    post({ type: 'changefeed-closed', epoch })
  }

  return {
    receive(message) {
      switch (message.type) {
        case 'open-changefeed':
          opening.set(message.epoch, openChangefeed(message))
          break
        case 'table-schema':
          later(message.epoch, (run) => run.addTable(message))
          break
        case 'add-span':
          later(message.epoch, (run) => run.addSpan(message))
          break
        case 'remove-span':
          later(message.epoch, (run) => run.removeSpan(message))
          break
        case 'grant':
          later(message.epoch, (run) => run.grant(message))
          break
        case 'close-changefeed':
          void closeChangefeed(message.epoch)
          break
        case 'metrics-request':
          void registry.getMetricsAsJSON().then((metrics) => post({ type: 'metrics-answer', id: message.id, metrics }))
          break
        default:
          unreachable(message)
      }
    },
  }
}
