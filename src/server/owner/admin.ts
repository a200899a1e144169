import { CdcError } from '../../base/errors.ts'
import { createTableCheck } from '../../changefeed/table-check.ts'
import { checkReplicaConfig } from '../../config/check-replica-config.ts'
import { isIdentifier } from '../../config/identifier.ts'
import type { ReplicaConfig } from '../../config/replica-config.ts'
import { toStoredReplicaConfig } from '../../config/replica-config-json.ts'
import { type ChangefeedId, changefeedKey } from '../../event/changefeed.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { loadSchema } from '../../schema/snapshot.ts'
import { createSchemaTracker } from '../../schema/tracker.ts'
import { checkSink } from '../../sink/open-sink.ts'
import { stringifyJson } from '../../tidb/json-big.ts'
import { Ts, tsOfMs } from '../../tidb/ts.ts'
import { openSnapshot } from '../../upstream/tikv/kv-snapshot.ts'
import {
  AdminJob,
  type CreateChangefeed,
  type ResumeOptions,
  type TableId,
  type UpdateChangefeed,
  type VerifiedTables,
} from '../handle.ts'
import type { ClusterKeys } from '../store/keys.ts'
import { type ChangefeedInfoChange, formatNewInfo, formatUpstream, goTime } from '../store/values.ts'
import type { Feed } from './feed.ts'
import { filterOf, type Owner } from './owner.ts'
import type { FeedEnvironment } from './run-feed.ts'

/** What the requests of users need beside the owner. */
export interface AdminParts {
  readonly owner: Owner
  readonly keys: ClusterKeys
  readonly environment: FeedEnvironment
  readonly releaseVersion: string
}

/** Everything that TiCDC checks before it stores a changefeed, then the storing (reference: interface, section 2.2). */
export async function createChangefeed(
  request: CreateChangefeed,
  { owner, keys, environment, releaseVersion }: AdminParts,
  signal: AbortSignal,
): Promise<Feed> {
  const { id } = request
  checkIds(id)
  const checked = checkReplicaConfig(request.sinkUri, request.config)
  const checkTable = createTableCheck(checked.sink, checked.config)
  if (owner.has(id)) throw new CdcError('CDC:ErrChangeFeedAlreadyExists', `changefeed already exists, ${id.id}`)
  const { pd, clock } = environment
  const now = await pd.tso(signal)
  const startTs = request.startTs === undefined || request.startTs === 0n ? now : request.startTs
  if (startTs > now)
    throw new CdcError(
      'CDC:ErrAPIInvalidParam',
      `invalid api parameter: invalid start-ts ${startTs}, larger than current tso ${now}`,
    )
  const targetTs = request.targetTs ?? Ts(0n)
  if (targetTs > 0n && targetTs <= startTs)
    throw new CdcError(
      'CDC:ErrTargetTsBeforeStartTs',
      `fail to create changefeed because target-ts ${targetTs} is earlier than start-ts ${startTs}`,
    )
  try {
    await owner.safePoint.hold('creating', id, startTs, signal)
    const { ineligible } = await tablesAt(checked.config, startTs, environment, signal, checkTable)
    if (ineligible.length > 0 && !request.ignoreIneligibleTables && !checked.config.forceReplicate)
      throw new CdcError(
        'CDC:ErrTableIneligible',
        `some tables are not eligible to replicate(${ineligible.map(({ schema, table }) => `${schema}.${table}`).join(', ')}), if you want to ignore these tables, please set ignore_ineligible_table to true`,
      )
    await checkSink(checked.sink, prepareContext(id, environment), signal)
    const info = formatNewInfo({
      upstreamId: pd.clusterId,
      changefeed: id,
      sinkUri: request.sinkUri,
      createTime: goTime(clock.now()),
      startTs,
      targetTs,
      adminJob: AdminJob.None,
      config: checked.config,
      state: 'normal',
      creatorVersion: releaseVersion,
      epoch: tsOfMs(clock.now()),
    })
    const upstream = {
      key: keys.upstream(id.namespace, pd.clusterId),
      value: formatUpstream(pd.clusterId, pd.endpoints, environment.security),
    }
    return await owner.create(id, info, upstream)
  } catch (error) {
    if (!owner.has(id)) await releaseSafely(owner, 'creating', id, environment, signal)
    throw error
  }
}

/** Changes a changefeed that is stopped or failed. */
export async function updateChangefeed(
  feed: Feed,
  change: UpdateChangefeed,
  { owner, environment }: AdminParts,
  signal: AbortSignal,
): Promise<void> {
  if (!['stopped', 'failed'].includes(feed.state.state))
    throw refused('can only update changefeed config when it is stopped or failed')
  const { changefeed, startTs } = feed.info
  const sinkUri = change.sinkUri ?? feed.info.sinkUri
  const targetTs = change.targetTs ?? feed.info.targetTs
  if (targetTs > 0n && targetTs <= startTs)
    throw refused(`can not update target-ts:${targetTs} less than start-ts:${startTs}`)
  const { config, sink } = checkReplicaConfig(sinkUri, change.config ?? feed.info.config)
  const checkTable = createTableCheck(sink, config)
  const isSame = textOf(config) === textOf(feed.info.config)
  if (isSame && sinkUri === feed.info.sinkUri && targetTs === feed.info.targetTs)
    throw refused('changefeed config is the same with the old one, do nothing')
  if (!isSame) await tablesAt(config, feed.status.checkpointTs, environment, signal, checkTable)
  await checkSink(sink, prepareContext(changefeed, environment), signal)
  await owner.update(feed, (): ChangefeedInfoChange => {
    if (!['stopped', 'failed'].includes(feed.state.state))
      throw refused('can only update changefeed config when it is stopped or failed')
    return { sinkUri, targetTs, ...(isSame ? {} : { config }) }
  })
}

/** Lets a changefeed go on, from another checkpoint where one is given; in running states it is ignored. */
export async function resumeChangefeed(
  feed: Feed,
  options: ResumeOptions,
  { owner, environment }: AdminParts,
  signal: AbortSignal,
): Promise<void> {
  const { changefeed } = feed.info
  if (!['stopped', 'failed', 'finished'].includes(feed.state.state)) {
    environment.log.warn('changefeed cannot be resumed in its state', {
      changefeed: changefeedKey(changefeed),
      state: feed.state.state,
    })
    return
  }
  const overwrite = options.overwriteCheckpointTs
  const now = await environment.pd.tso(signal)
  if (overwrite !== undefined && overwrite > now)
    throw new CdcError(
      'CDC:ErrAPIInvalidParam',
      `invalid api parameter: invalid checkpoint-ts ${overwrite}, larger than current tso ${now}`,
    )
  const checkpointTs = overwrite ?? feed.status.checkpointTs
  const status = overwrite === undefined ? undefined : { checkpointTs: overwrite, minTableBarrierTs: overwrite }
  try {
    await owner.safePoint.hold('resuming', changefeed, checkpointTs, signal)
    await owner.dispatch(feed, { type: 'resume', checkpointTs }, status)
  } catch (error) {
    await releaseSafely(owner, 'resuming', changefeed, environment, signal)
    throw error
  }
}

/** Tables that a configuration would replicate; `check` may refuse an eligible one. */
export async function tablesAt(
  config: ReplicaConfig,
  ts: Ts,
  { pd, security, log, clock }: FeedEnvironment,
  signal: AbortSignal,
  check?: (table: TableVersion) => void,
): Promise<VerifiedTables> {
  const filter = filterOf(config)
  const loaded = await loadSchema(openSnapshot(pd, ts, { security, log, clock }), filter, signal)
  const tracker = createSchemaTracker(loaded, { filter, bdrMode: config.bdrMode })
  const eligible: TableId[] = []
  const ineligible: TableId[] = []
  const seen = new Set<bigint>()
  for (const { physicalId, schema, table, tableId, isPartition, eligible: fine } of tracker.matchedTables(ts)) {
    if (seen.has(tableId)) continue
    seen.add(tableId)
    const version = fine && check !== undefined ? tracker.tableAt(physicalId, ts) : undefined
    if (version !== undefined) check?.(version)
    const list = fine ? eligible : ineligible
    list.push({ schema, table, tableId, isPartition })
  }
  return { eligible, ineligible }
}

function checkIds({ namespace, id }: ChangefeedId): void {
  if (!isIdentifier(id))
    throw new CdcError(
      'CDC:ErrAPIInvalidParam',
      `invalid api parameter: invalid changefeed_id: ${id}, the pattern is ^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$, the length should no more than 128, eg, "simple-changefeed-task"`,
    )
  if (!isIdentifier(namespace))
    throw new CdcError(
      'CDC:ErrAPIInvalidParam',
      `invalid api parameter: invalid namespace: ${namespace}, the pattern is ^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$, the length should no more than 128, eg, "simple-namespace"`,
    )
}

async function releaseSafely(
  owner: Owner,
  hold: 'creating' | 'resuming',
  id: ChangefeedId,
  { log }: FeedEnvironment,
  signal: AbortSignal,
): Promise<void> {
  try {
    await owner.safePoint.release([hold], id, signal)
  } catch (error) {
    log.warn('a temporary gc safe point is left, it ends by itself', { changefeed: changefeedKey(id), error })
  }
}

const prepareContext = (changefeed: ChangefeedId, environment: FeedEnvironment) => {
  const { captureAddress, clusterId, fence, log, metrics, failPoints, clock, timeZone } = environment
  return { changefeed, captureAddress, clusterId, fence, log, metrics, failPoints, clock, timeZone }
}

const refused = (text: string): CdcError =>
  new CdcError('CDC:ErrChangefeedUpdateRefused', `changefeed update error: ${text}`)

const textOf = (config: ReplicaConfig): string => stringifyJson(toStoredReplicaConfig(config))
