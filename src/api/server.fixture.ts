import { CdcError } from '../base/errors.ts'
import type { LogLevel } from '../base/log.ts'
import { changefeedKey, type ChangefeedId, type ChangefeedState } from '../event/changefeed.ts'
import type { TableVersion } from '../event/table-version.ts'
import type { CaptureDetail, ChangefeedDetail, ServerHandle, TableId } from '../server/handle.ts'
import { Ts } from '../tidb/ts.ts'

/** 2024-12-05 07:05:46.000 UTC. */
export const NOW = Ts((1_733_382_346_000n << 18n) | 5n)

export interface FakeServer extends ServerHandle {
  readonly changefeeds: Map<string, ChangefeedDetail>
  /** What was asked, in order: `pause default/cf`, … */
  readonly calls: string[]
  ineligible: readonly TableId[]
  existing: readonly TableVersion[]
  level: LogLevel
}

const CAPTURE: CaptureDetail = {
  id: 'b0f1e6f6-cd4a-4f0e-8d4b-2f8f3a3a3a3a',
  isOwner: true,
  address: '127.0.0.1:8300',
  clusterId: 'default',
}

/** A server in memory with the rules that API and command line can see; nothing is replicated. */
export function createFakeServer(): FakeServer {
  const changefeeds = new Map<string, ChangefeedDetail>()
  const calls: string[] = []
  const find = (id: ChangefeedId): ChangefeedDetail => {
    const detail = changefeeds.get(changefeedKey(id))
    if (detail === undefined)
      throw new CdcError('CDC:ErrChangeFeedNotExists', `changefeed not exists, ${changefeedKey(id)}`)
    return detail
  }
  const change = (id: ChangefeedId, members: Partial<ChangefeedDetail>): ChangefeedDetail => {
    const detail = { ...find(id), ...members }
    changefeeds.set(changefeedKey(id), detail)
    return detail
  }
  return {
    changefeeds,
    calls,
    ineligible: [],
    existing: [],
    level: 'info',
    status: () => ({
      version: 'v8.5.0',
      gitHash: 'tidewire-test',
      id: CAPTURE.id,
      clusterId: 'default',
      pid: 1,
      isOwner: true,
      liveness: 0,
    }),
    ready: () => true,
    owner: async () => CAPTURE,
    captures: async () => [CAPTURE],
    health: async () => {},
    async createChangefeed(request) {
      calls.push(`create ${changefeedKey(request.id)}`)
      if (changefeeds.has(changefeedKey(request.id)))
        throw new CdcError('CDC:ErrChangeFeedAlreadyExists', `changefeed already exists, ${request.id.id}`)
      const startTs = request.startTs ?? NOW
      if (startTs > NOW)
        throw new CdcError('CDC:ErrAPIInvalidParam', `invalid start-ts ${startTs}, larger than current tso ${NOW}`)
      const detail: ChangefeedDetail = {
        upstreamId: 7_178_706_266_519_722_477n,
        id: request.id,
        sinkUri: request.sinkUri,
        createTime: '2024-12-05T15:05:46.679218+08:00',
        startTs,
        targetTs: request.targetTs ?? Ts(0n),
        adminJob: 0,
        config: request.config,
        state: 'normal',
        error: undefined,
        warning: undefined,
        creatorVersion: 'v8.5.0',
        epoch: 1n,
        checkpointTs: startTs,
        resolvedTs: startTs,
        lastSyncedTs: Ts(0n),
        tasks: [{ captureId: CAPTURE.id, tableIds: [88n, 89n] }],
      }
      changefeeds.set(changefeedKey(request.id), detail)
      return detail
    },
    async updateChangefeed(id, update) {
      calls.push(`update ${changefeedKey(id)}`)
      if (!['stopped', 'failed'].includes(find(id).state))
        throw new CdcError(
          'CDC:ErrChangefeedUpdateRefused',
          'changefeed update error: can only update changefeed config when it is stopped or failed',
        )
      const given = Object.entries(update).filter(([, value]) => value !== undefined)
      return change(id, Object.fromEntries(given))
    },
    async pauseChangefeed(id) {
      calls.push(`pause ${changefeedKey(id)}`)
      change(id, { state: 'stopped' })
    },
    async resumeChangefeed(id, { overwriteCheckpointTs }) {
      calls.push(`resume ${changefeedKey(id)} ${overwriteCheckpointTs ?? ''}`.trim())
      change(id, { state: 'normal' })
    },
    async removeChangefeed(id) {
      calls.push(`remove ${changefeedKey(id)}`)
      const detail = changefeeds.get(changefeedKey(id))
      changefeeds.delete(changefeedKey(id))
      return detail
    },
    async moveTable(id, captureId, tableId) {
      find(id)
      calls.push(`move ${changefeedKey(id)} ${tableId} to ${captureId}`)
    },
    async rebalanceTables(id) {
      find(id)
      calls.push(`rebalance ${changefeedKey(id)}`)
    },
    async listChangefeeds({ namespace, states }) {
      const wanted: readonly ChangefeedState[] | 'all' = states ?? ['normal', 'stopped', 'failed', 'warning', 'pending']
      return [...changefeeds.values()].filter(
        (one) => one.id.namespace === namespace && (wanted === 'all' || wanted.includes(one.state)),
      )
    },
    getChangefeed: async (id) => find(id),
    tso: async () => NOW,
    async verifyTables() {
      return { eligible: [], ineligible: this.ineligible }
    },
    async tables() {
      return this.existing
    },
    async resignOwner() {
      calls.push('resign')
    },
    metadata: async () => [{ key: '/tidb/cdc/default/__cdc_meta__/meta/meta-version', value: '1' }],
    async deleteServiceSafePoint() {
      calls.push('delete safepoint')
    },
    metricsText: async () => '# TYPE ticdc_owner_status gauge\n',
    setLogLevel(level) {
      this.level = level
    },
  }
}
