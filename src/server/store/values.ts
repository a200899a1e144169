import { CdcError } from '../../base/errors.ts'
import { parseStoredReplicaConfig, toStoredReplicaConfig } from '../../config/replica-config-json.ts'
import type { ReplicaConfig } from '../../config/replica-config.ts'
import { CHANGEFEED_STATES, type ChangefeedId, type ChangefeedState } from '../../event/changefeed.ts'
import {
  integerOf,
  type JsonObject,
  type JsonValue,
  numberOf,
  objectOf,
  parseJson,
  stringifyJson,
  stringOf,
} from '../../tidb/json-big.ts'
import { Ts } from '../../tidb/ts.ts'
import { AdminJob, type RunningError } from '../handle.ts'

// Values in etcd, with TiCDC's names in TiCDC's order (reference: server, section 2.1).

export interface CaptureInfo {
  readonly id: string
  readonly address: string
  readonly version: string
  readonly gitHash: string
  readonly deployPath: string
  /** Seconds since 1970. */
  readonly startTimestamp: number
}

/** What the git hashes of this product begin with: how its captures are told from TiCDC's. */
export const GIT_HASH_PREFIX = 'tidewire-'

export const isForeign = (capture: CaptureInfo): boolean => !capture.gitHash.startsWith(GIT_HASH_PREFIX)

export const formatCaptureInfo = (capture: CaptureInfo): string =>
  stringifyJson({
    id: capture.id,
    address: capture.address,
    version: capture.version,
    'git-hash': capture.gitHash,
    'deploy-path': capture.deployPath,
    'start-timestamp': capture.startTimestamp,
  })

export function parseCaptureInfo(text: string): CaptureInfo {
  const json = parseObject(text)
  return {
    id: stringOf(json['id']),
    address: stringOf(json['address']),
    version: stringOf(json['version']),
    gitHash: stringOf(json['git-hash']),
    deployPath: stringOf(json['deploy-path']),
    startTimestamp: numberOf(json['start-timestamp']),
  }
}

export interface ChangefeedStatus {
  readonly checkpointTs: Ts
  readonly minTableBarrierTs: Ts
}

export const formatStatus = ({ checkpointTs, minTableBarrierTs }: ChangefeedStatus): string =>
  `{"checkpoint-ts":${checkpointTs},"min-table-barrier-ts":${minTableBarrierTs},"admin-job-type":0}`

/** A barrier of 0, as old versions left it, is the checkpoint. */
export function parseStatus(text: string): ChangefeedStatus {
  const json = parseObject(text)
  const checkpointTs = Ts(integerOf(json['checkpoint-ts']))
  const barrier = Ts(integerOf(json['min-table-barrier-ts']))
  return { checkpointTs, minTableBarrierTs: barrier === 0n ? checkpointTs : barrier }
}

export const formatUpstream = (id: bigint, pdEndpoints: readonly string[], security: UpstreamSecurity): string =>
  stringifyJson({
    id,
    'pd-endpoints': pdEndpoints.join(','),
    'key-path': security.keyPath ?? '',
    'cert-path': security.certPath ?? '',
    'ca-path': security.caPath ?? '',
    'cert-allowed-cn': null,
  })

interface UpstreamSecurity {
  readonly keyPath?: string | undefined
  readonly certPath?: string | undefined
  readonly caPath?: string | undefined
}

/** A changefeed as stored. */
export interface ChangefeedInfo {
  readonly upstreamId: bigint
  readonly changefeed: ChangefeedId
  readonly sinkUri: string
  readonly createTime: string
  readonly startTs: Ts
  /** 0 = none. */
  readonly targetTs: Ts
  readonly adminJob: AdminJob
  readonly config: ReplicaConfig
  readonly state: ChangefeedState
  readonly error: RunningError | undefined
  readonly warning: RunningError | undefined
  readonly creatorVersion: string
  readonly epoch: bigint
  /**
   * The JSON that it was read from. What a change does not touch is written back as it was, so that a configuration of
   * another version keeps what this one does not know.
   */
  readonly stored: JsonObject
}

export function parseChangefeedInfo(text: string, changefeed: ChangefeedId): ChangefeedInfo {
  const stored = parseObject(text)
  const state = stringOf(stored['state'])
  return {
    upstreamId: integerOf(stored['upstream-id']),
    changefeed,
    sinkUri: stringOf(stored['sink-uri']),
    createTime: stringOf(stored['create-time']),
    startTs: Ts(integerOf(stored['start-ts'])),
    targetTs: Ts(integerOf(stored['target-ts'])),
    adminJob: adminJobOf(numberOf(stored['admin-job-type'])),
    config: parseStoredReplicaConfig(stored['config']).config,
    state: CHANGEFEED_STATES.find((known) => known === state) ?? 'normal',
    error: runningErrorOf(stored['error']),
    warning: runningErrorOf(stored['warning']),
    creatorVersion: stringOf(stored['creator-version']),
    epoch: integerOf(stored['epoch']),
    stored,
  }
}

/** The info with these members changed. */
export type ChangefeedInfoChange = Partial<
  Pick<ChangefeedInfo, 'sinkUri' | 'targetTs' | 'adminJob' | 'config' | 'state' | 'error' | 'warning' | 'epoch'>
>

/** JSON of the info after a change; members that the change names, and only those, are replaced. */
export function changedInfo(info: ChangefeedInfo, change: ChangefeedInfoChange): string {
  const json: Record<string, unknown> = { ...info.stored }
  if (change.sinkUri !== undefined) json['sink-uri'] = change.sinkUri
  if (change.targetTs !== undefined) json['target-ts'] = change.targetTs
  if (change.adminJob !== undefined) json['admin-job-type'] = change.adminJob
  if (change.config !== undefined) json['config'] = toStoredReplicaConfig(change.config)
  if (change.state !== undefined) json['state'] = change.state
  if ('error' in change) json['error'] = change.error ?? null
  if ('warning' in change) json['warning'] = change.warning ?? null
  if (change.epoch !== undefined) json['epoch'] = change.epoch
  return stringifyJson(json, { html: true })
}

/** JSON of a new changefeed. */
export const formatNewInfo = (info: Omit<ChangefeedInfo, 'stored' | 'error' | 'warning'>): string =>
  stringifyJson(
    {
      'upstream-id': info.upstreamId,
      namespace: info.changefeed.namespace,
      'changefeed-id': info.changefeed.id,
      'sink-uri': info.sinkUri,
      'create-time': info.createTime,
      'start-ts': info.startTs,
      'target-ts': info.targetTs,
      'admin-job-type': info.adminJob,
      'sort-engine': 'unified',
      'sort-dir': '',
      config: toStoredReplicaConfig(info.config),
      state: info.state,
      error: null,
      warning: null,
      'creator-version': info.creatorVersion,
      epoch: info.epoch,
    },
    { html: true },
  )

/** RFC 3339 with nanoseconds and the zone of this process, as Go prints it. */
export function goTime(ms: number): string {
  const date = new Date(ms)
  const offset = -date.getTimezoneOffset()
  const local = new Date(ms + offset * 60_000)
    .toISOString()
    .slice(0, -1)
    .replace(/\.?0+$/, '')
  if (offset === 0) return `${local}Z`
  const digits = (value: number): string => String(Math.trunc(value)).padStart(2, '0')
  return `${local}${offset < 0 ? '-' : '+'}${digits(Math.abs(offset) / 60)}:${digits(Math.abs(offset) % 60)}`
}

function parseObject(text: string): JsonObject {
  try {
    return objectOf(parseJson(text))
  } catch (cause) {
    throw new CdcError('CDC:ErrUnmarshalFailed', 'a value in etcd is not JSON', { cause })
  }
}

function runningErrorOf(json: JsonValue | undefined): RunningError | undefined {
  if (json === undefined || json === null) return undefined
  const error = objectOf(json)
  return {
    time: stringOf(error['time']),
    addr: stringOf(error['addr']),
    code: stringOf(error['code']),
    message: stringOf(error['message']),
  }
}

const adminJobOf = (value: number): AdminJob =>
  Object.values(AdminJob).find((known) => known === value) ?? AdminJob.None
