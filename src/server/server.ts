import { statfsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { BUILD_INFO } from '../base/build-info.ts'
import type { Clock } from '../base/clock.ts'
import { createFailPoints } from '../base/fail-point.ts'
import { createFence } from '../base/fence.ts'
import type { Log } from '../base/log.ts'
import { exportThreadMetrics } from '../base/thread-metrics.ts'
import type { LogControl } from '../base/unified-log.ts'
import type { ServerConfig } from '../config/server-config.ts'
import { createDiskMemory } from '../spill/disk-quota.ts'
import { openRunDirectory } from '../spill/run-directory.ts'
import { openPdClient } from '../upstream/pd/client.ts'
import type { PdClient, SecurityOptions } from '../upstream/pd/pd.ts'
import { checkPdVersion } from '../upstream/pd/server-version.ts'
import { checkServerVersion } from '../upstream/pd/version.ts'
import { openWorkerPool } from '../worker/pool.ts'
import { Capture } from './capture/capture.ts'
import { openEtcd } from './etcd/etcd.ts'
import { gcServiceId } from './gc/service-safe-point.ts'
import type { ServerHandle } from './handle.ts'
import { createOwnerMetrics } from './owner/metrics.ts'
import { SinkMemories } from './owner/sink-memories.ts'
import { createServerHandle } from './server-handle.ts'
import { clusterKeys } from './store/keys.ts'

/** The rest is for others. */
const FREE_SPACE_SHARE = 0.8

export interface ServerOptions {
  readonly config: ServerConfig
  readonly pdEndpoints: readonly string[]
  readonly security: SecurityOptions
  /** IANA name in which TIMESTAMP values are printed. */
  readonly timeZone: string
  /** Under which other captures and clients reach this one. */
  readonly address: string
  readonly dataDir: string
  /** undefined = one per core. */
  readonly dataWorkers: number | undefined
  readonly failPoints: string
  readonly log: LogControl
  readonly clock: Clock
}

export interface Server extends AsyncDisposable {
  readonly handle: ServerHandle
  /** Resolves when the server has stopped by the signal; rejects with what else ended it. */
  readonly stopped: Promise<void>
}

/**
 * Starts a capture. Resolves when it is registered. Rejects with `CDC:ErrVersionIncompatible` beside live captures of
 * TiCDC, and with the errors of PD and etcd.
 */
export async function startServer(options: ServerOptions, signal: AbortSignal): Promise<Server> {
  const { config, pdEndpoints, security, address, log, clock } = options
  const stop = new AbortController()
  const running = AbortSignal.any([signal, stop.signal])
  await using resources = new AsyncDisposableStack()
  const keyspace = config.keyspaceName
  const pd = resources.use(await openPdClient({ endpoints: pdEndpoints, security, keyspace, log, clock }, running))
  await checkPdVersion(pd.endpoints, security, clock, running)
  await warnOfStores(pd, log, running)
  const etcd = resources.use(openEtcd({ endpoints: pdEndpoints, security, log, clock }))
  const etcdClusterId = await etcd.clusterId(running)
  const fence = createFence()
  const metrics = new Registry()
  collectDefaultMetrics({ register: metrics })
  resources.use(exportThreadMetrics(metrics, 'main'))
  const runDirectory = resources.use(openRunDirectory(join(options.dataDir, 'tmp', 'sorter')))
  const workers = resources.use(
    await openWorkerPool(
      {
        workers: options.dataWorkers ?? availableParallelism(),
        start: {
          pdEndpoints,
          security,
          keyspace,
          fence: fence.shared,
          failPoints: options.failPoints,
          captureAddress: address,
          clusterId: config.clusterId,
          runFiles: {
            directory: runDirectory.path,
            disk: createDiskMemory(config.sorter.diskQuota || freeSpace(runDirectory.path)),
          },
        },
        log,
        clock,
      },
      running,
    ),
  )
  const keys = clusterKeys(config.clusterId)
  const environment = {
    pd,
    security,
    workers,
    fence,
    captureAddress: address,
    clusterId: config.clusterId,
    timeZone: options.timeZone,
    clock,
    log,
    metrics,
    failPoints: createFailPoints(options.failPoints),
    sinkMemories: new SinkMemories(),
  }
  const capture = new Capture({
    session: {
      etcd,
      keys,
      ttlSeconds: config.captureSessionTtl,
      fence,
      clock,
      log,
      topology: `/topology/ticdc/${gcServiceId(config.clusterId, etcdClusterId)}/`,
      capture: {
        address,
        version: BUILD_INFO.releaseVersion,
        gitHash: BUILD_INFO.gitHash,
        deployPath: process.argv[1] ?? '',
        startTimestamp: Math.floor(clock.now() / 1000),
      },
    },
    owner: { etcd, keys, clusterId: config.clusterId, etcdClusterId, gcTtlSeconds: config.gcTtl, environment },
  })
  createOwnerMetrics(metrics, () => capture.owner, clock)
  await capture.register(running)
  const stopped = capture.run(running)
  stopped.catch(() => {})
  const moved = resources.move()
  return {
    handle: createServerHandle({ capture, etcd, keys, clusterId: config.clusterId, environment, workers, log }),
    stopped,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await stopped.catch(() => {})
      await moved[Symbol.asyncDispose]()
    },
  }
}

/** Bytes that run files may take where the configuration gives no limit. */
function freeSpace(directory: string): number {
  const { bavail, bsize } = statfsSync(directory)
  return Math.floor(bavail * bsize * FREE_SPACE_SHARE)
}

/** A store of another version may be on its way to be upgraded: its regions wait for that. */
async function warnOfStores(pd: PdClient, log: Log, signal: AbortSignal): Promise<void> {
  for (const { id, version, state, tiflash } of await pd.stores(signal)) {
    if (tiflash || state === 'tombstone') continue
    try {
      checkServerVersion('TiKV', version)
    } catch (error) {
      log.warn('a store is of a version that cannot be read', { store: id, error })
    }
  }
}
