import { CdcError } from '../../base/errors.ts'
import type { ChangefeedId } from '../../event/changefeed.ts'
import { maxTs, type Ts } from '../../tidb/ts.ts'
import type { PdClient } from '../../upstream/pd/pd.ts'

/** Temporary holds of one changefeed, each with its life in seconds (reference: server, section 8). */
const HOLDS = { creating: 3600, resuming: 3600, initializing: 600 } as const
export type GcHold = keyof typeof HOLDS

/** What this cluster asks of the upstream's garbage collection. */
export interface ServiceSafePoint {
  /** The service id at PD. */
  readonly id: string
  /**
   * Keeps everything above `ts` - 1 for a changefeed that is not yet among the running ones. Error:
   * `CDC:ErrStartTsBeforeGC` where it is gone already.
   */
  hold(hold: GcHold, changefeed: ChangefeedId, ts: Ts, signal: AbortSignal): Promise<void>
  release(holds: readonly GcHold[], changefeed: ChangefeedId, signal: AbortSignal): Promise<void>
  /** Sets the cluster's own safe point; returns the least of all services. undefined takes it away. */
  update(safePoint: Ts | undefined, signal: AbortSignal): Promise<Ts>
}

/** Under which PD and TiDB Dashboard know this cluster. */
export const gcServiceId = (clusterId: string, etcdClusterId: bigint): string => `ticdc-${clusterId}-${etcdClusterId}`

export function createServiceSafePoint(
  pd: Pick<PdClient, 'updateServiceSafePoint'>,
  options: { readonly clusterId: string; readonly etcdClusterId: bigint; readonly ttlSeconds: number },
): ServiceSafePoint {
  const id = gcServiceId(options.clusterId, options.etcdClusterId)
  const holdId = (hold: GcHold, { namespace, id: name }: ChangefeedId): string => `${id}-${hold}-${namespace}_${name}`
  return {
    id,
    async hold(hold, changefeed, ts, signal) {
      const least = await pd.updateServiceSafePoint(holdId(hold, changefeed), HOLDS[hold], ts, signal)
      if (ts > least) return
      throw startsBeforeGc(ts, least)
    },
    async release(holds, changefeed, signal) {
      for (const hold of holds) await pd.updateServiceSafePoint(holdId(hold, changefeed), 0, maxTs, signal)
    },
    update: (safePoint, signal) =>
      safePoint === undefined
        ? pd.updateServiceSafePoint(id, 0, maxTs, signal)
        : pd.updateServiceSafePoint(id, options.ttlSeconds, safePoint, signal),
  }
}

/** For a start-ts whose data may be collected. */
export const startsBeforeGc = (startTs: Ts, safePoint: Ts): CdcError =>
  new CdcError(
    'CDC:ErrStartTsBeforeGC',
    `fail to create or maintain changefeed because start-ts ${startTs} is earlier than or equal to GC safepoint at ${safePoint}`,
  )

/** What garbage collection means for a changefeed; undefined = its data is there. */
export function gcError(
  changefeed: string,
  checkpointTs: Ts,
  gc: { readonly ownTs: Ts; readonly leastTs: Ts; readonly nowMs: number; readonly ttlSeconds: number },
): CdcError | undefined {
  if (gc.leastTs === gc.ownTs) {
    const lagMs = gc.nowMs - Number(checkpointTs >> 18n)
    if (lagMs <= gc.ttlSeconds * 1000) return undefined
    return new CdcError(
      'CDC:ErrGCTTLExceeded',
      `the checkpoint-ts(${checkpointTs}) lag of the changefeed(${changefeed}) has exceeded the GC TTL and the changefeed is blocking global GC progression`,
    )
  }
  if (checkpointTs - 1n >= gc.leastTs) return undefined
  return new CdcError(
    'CDC:ErrSnapshotLostByGC',
    `fail to create or maintain changefeed due to snapshot loss caused by GC. checkpoint-ts ${checkpointTs} is earlier than or equal to GC safepoint at ${gc.leastTs}`,
  )
}
