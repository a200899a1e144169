import { BUILD_INFO } from '../base/build-info.ts'
import { CdcError, describeError, errorCode } from '../base/errors.ts'
import type { LogControl } from '../base/unified-log.ts'
import { createTableCheck } from '../changefeed/table-check.ts'
import { checkReplicaConfig } from '../config/check-replica-config.ts'
import { changefeedKey, type ChangefeedState } from '../event/changefeed.ts'
import { isSystemSchema } from '../filter/filter.ts'
import { readAllTables } from '../schema/all-tables.ts'
import { Ts } from '../tidb/ts.ts'
import { openSnapshot } from '../upstream/tikv/kv-snapshot.ts'
import type { WorkerPool } from '../worker/pool.ts'
import type { Capture } from './capture/capture.ts'
import type { Session } from './capture/session.ts'
import type { Etcd } from './etcd/etcd.ts'
import { startsBeforeGc } from './gc/service-safe-point.ts'
import type { CaptureDetail, ChangefeedDetail, ChangefeedSummary, RunningError, ServerHandle } from './handle.ts'
import { type AdminParts, createChangefeed, resumeChangefeed, tablesAt, updateChangefeed } from './owner/admin.ts'
import { createMetricsPage } from './metrics-page.ts'
import type { Feed } from './owner/feed.ts'
import type { Owner } from './owner/owner.ts'
import type { FeedEnvironment } from './owner/run-feed.ts'
import type { ClusterKeys } from './store/keys.ts'

export interface HandleParts {
  readonly capture: Capture
  readonly etcd: Etcd
  readonly keys: ClusterKeys
  readonly clusterId: string
  readonly environment: FeedEnvironment
  readonly workers: WorkerPool
  readonly log: LogControl
}

/** States that a list shows when none is asked for. */
const LISTED_STATES: readonly ChangefeedState[] = ['normal', 'stopped', 'failed', 'warning', 'pending']

/** Answers of one server; see {@link ServerHandle}. */
export function createServerHandle(parts: HandleParts): ServerHandle {
  const { capture, etcd, keys, clusterId, environment, workers, log } = parts

  const session = (): Session => {
    if (capture.session !== undefined) return capture.session
    throw new CdcError('CDC:ErrServerIsNotReady', 'cdc server is not ready')
  }
  /** This capture's ownership, with every changefeed known. */
  const owner = async (): Promise<Owner> => {
    session()
    const present = capture.owner
    if (present === undefined) throw new CdcError('CDC:ErrNotOwner', 'this capture is not a owner')
    await present.loaded
    return present
  }
  const admin = async (): Promise<AdminParts> => {
    const present = await owner()
    return { owner: present, keys, environment, releaseVersion: BUILD_INFO.releaseVersion }
  }
  const ownerId = async (signal: AbortSignal): Promise<string | undefined> =>
    capture.owner === undefined ? (await etcd.oldest(`${keys.owner}/`, signal))?.value : session().id

  const captures = async (signal: AbortSignal): Promise<readonly CaptureDetail[]> => {
    const { captures: alive } = session()
    const decider = await ownerId(signal)
    return alive.map(({ id, address }) => ({ id, isOwner: id === decider, address, clusterId }))
  }

  return {
    status: () => ({
      version: BUILD_INFO.releaseVersion,
      gitHash: BUILD_INFO.gitHash,
      id: capture.session?.id ?? '',
      clusterId,
      pid: process.pid,
      isOwner: capture.owner !== undefined,
      liveness: capture.stopping ? 1 : 0,
    }),
    ready: () => capture.session !== undefined,
    captures,
    owner: async (signal) => (await captures(signal)).find(({ isOwner }) => isOwner),

    async health() {
      const unready = (await owner()).feeds().find(isUnready)
      if (unready === undefined) return
      const changefeed = changefeedKey(unready.info.changefeed)
      environment.log.warn('cluster is not healthy: a changefeed does not run yet', { changefeed })
      throw new CdcError('CDC:ErrClusterIsUnhealthy', 'TiCDC cluster is unhealthy')
    },

    async createChangefeed(request, signal) {
      return detailOf(await createChangefeed(request, await admin(), signal), session().id)
    },
    async updateChangefeed(id, change, signal) {
      const adminParts = await admin()
      const feed = adminParts.owner.feed(id)
      await updateChangefeed(feed, change, adminParts, signal)
      return detailOf(feed, session().id)
    },
    async pauseChangefeed(id) {
      const present = await owner()
      const feed = present.feed(id)
      const { state } = await present.dispatch(feed, { type: 'pause' })
      if (state !== 'stopped')
        log.warn('changefeed cannot be paused in its state', { changefeed: changefeedKey(id), state })
    },
    async resumeChangefeed(id, options, signal) {
      const adminParts = await admin()
      await resumeChangefeed(adminParts.owner.feed(id), options, adminParts, signal)
    },
    async removeChangefeed(id) {
      const present = await owner()
      if (!present.has(id)) return undefined
      const feed = present.feed(id)
      const detail = detailOf(feed, session().id)
      await present.remove(feed)
      return detail
    },
    async moveTable(id, captureId, tableId) {
      const { run, progress } = (await owner()).feed(id)
      if (!session().captures.some((one) => one.id === captureId))
        throw new CdcError('CDC:ErrCaptureNotExist', `capture not exists, ${captureId}`)
      if (progress?.tableIds().includes(tableId) !== true)
        throw new CdcError('CDC:ErrProcessorTableNotFound', `changefeed ${changefeedKey(id)} has no table ${tableId}`)
      if (run?.commands?.moveTable(tableId) !== true)
        log.warn('table stays where it is', { changefeed: changefeedKey(id), tableId })
    },
    async rebalanceTables(id, signal) {
      await (await owner()).feed(id).run?.commands?.rebalance(signal)
    },
    async listChangefeeds({ namespace, states }) {
      const wanted = states ?? LISTED_STATES
      return (await owner())
        .feeds()
        .filter((feed) => feed.info.changefeed.namespace === namespace)
        .map(summaryOf)
        .filter(({ state }) => wanted === 'all' || wanted.includes(state))
        .toSorted((a, b) => (a.id.id < b.id.id ? -1 : 1))
    },
    async getChangefeed(id) {
      return detailOf((await owner()).feed(id), session().id)
    },

    async tso(signal) {
      session()
      return environment.pd.tso(signal)
    },
    async verifyTables({ config, sinkUri, startTs }, signal) {
      session()
      const ts = startTs === 0n ? await environment.pd.tso(signal) : startTs
      const safePoint = await environment.pd.txnSafePoint(signal)
      if (ts <= safePoint) throw startsBeforeGc(ts, safePoint)
      if (sinkUri === '') return tablesAt(config, ts, environment, signal)
      const { config: checked, sink } = checkReplicaConfig(sinkUri, config)
      return tablesAt(checked, ts, environment, signal, createTableCheck(sink, checked))
    },
    async tables(signal) {
      session()
      const { pd, security, clock } = environment
      const snapshot = openSnapshot(pd, await pd.tso(signal), { security, log: environment.log, clock })
      return readAllTables(snapshot, isSystemSchema, signal)
    },
    async resignOwner() {
      await owner()
      capture.resign()
    },
    async metadata(signal) {
      const { entries } = await etcd.list(keys.all, signal)
      return entries.map(({ key, value }) => ({ key, value }))
    },
    async deleteServiceSafePoint(signal) {
      await (await owner()).safePoint.update(undefined, signal)
    },

    metricsText: createMetricsPage(environment.metrics, workers),
    setLogLevel: (level) => log.setLevel(level),
  }
}

const isUnready = (feed: Feed): boolean =>
  feed.state.state === 'normal' && !(feed.plan instanceof Error) && feed.progress === undefined

/** As it is shown: one that is stored but cannot be run here carries the reason as its warning. */
function shownState(feed: Feed): { readonly state: ChangefeedState; readonly error: RunningError | undefined } {
  const { state, error, warning } = feed.state
  if (feed.plan instanceof Error && (state === 'normal' || state === 'warning' || state === 'pending')) {
    const { time, addr } = { time: feed.info.createTime, addr: '' }
    const message = `this version cannot run the changefeed: ${describeError(feed.plan)}`
    return { state: 'warning', error: { time, addr, code: errorCode(feed.plan), message } }
  }
  const shown = ['pending', 'warning', 'failed'].includes(state) ? (error ?? warning) : undefined
  return { state, error: shown }
}

const checkpointOf = (feed: Feed): Ts => feed.progress?.checkpointTs ?? feed.status.checkpointTs

function summaryOf(feed: Feed): ChangefeedSummary {
  const checkpointTs = checkpointOf(feed)
  return {
    upstreamId: feed.info.upstreamId,
    id: feed.info.changefeed,
    ...shownState(feed),
    checkpointTs,
    resolvedTs: feed.progress?.resolvedTs ?? checkpointTs,
  }
}

function detailOf(feed: Feed, captureId: string): ChangefeedDetail {
  const { info, state, progress } = feed
  const tasks = progress === undefined ? [] : [{ captureId, tableIds: progress.tableIds() }]
  return {
    ...summaryOf(feed),
    sinkUri: info.sinkUri,
    createTime: info.createTime,
    startTs: info.startTs,
    targetTs: info.targetTs,
    adminJob: state.adminJob,
    config: info.config,
    warning: state.warning,
    creatorVersion: info.creatorVersion,
    epoch: state.epoch,
    lastSyncedTs: progress?.lastSyncedTs ?? Ts(0n),
    tasks,
  }
}
