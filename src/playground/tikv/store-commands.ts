import type { Error as RegionError } from '../../proto/errorpb.ts'
import type {
  BatchGetRequest,
  BatchRollbackRequest,
  BufferBatchGetRequest,
  CheckSecondaryLocksRequest,
  CheckTxnStatusRequest,
  CleanupRequest,
  CommitRequest,
  Context,
  FlushRequest,
  GetRequest,
  MvccGetByKeyRequest,
  PessimisticLockRequest,
  PessimisticRollbackRequest,
  PrewriteRequest,
  ReadIndexRequest,
  ResolveLockRequest,
  ScanLockRequest,
  ScanRequest,
  SplitRegionRequest,
  TxnHeartBeatRequest,
} from '../../proto/kvrpcpb.ts'
import {
  BatchGetResponse,
  BatchRollbackResponse,
  BufferBatchGetResponse,
  CheckSecondaryLocksResponse,
  CheckTxnStatusResponse,
  CleanupResponse,
  CommitResponse,
  FlushResponse,
  GetResponse,
  MvccGetByKeyResponse,
  Op,
  PessimisticLockResponse,
  PessimisticRollbackResponse,
  PrewriteResponse,
  ReadIndexResponse,
  ResolveLockResponse,
  ScanLockResponse,
  ScanResponse,
  SplitRegionResponse,
  TxnHeartBeatResponse,
} from '../../proto/kvrpcpb.ts'
import type { BatchCommandsRequest_Request, BatchCommandsResponse_Response } from '../../proto/tikvpb.ts'
import { inRange } from './bytes.ts'
import type { Cluster } from './cluster.ts'
import { splitAndSpread } from './cluster.ts'
import type { Region } from './regions.ts'
import { regionMeta } from './regions.ts'
import { checkRegion, isRegion } from './region-check.ts'

type Command = NonNullable<BatchCommandsRequest_Request['cmd']>
type Answer = NonNullable<BatchCommandsResponse_Response['cmd']>

const MVCC_OP = {
  put: Op.Put,
  delete: Op.Del,
  lock: Op.Lock,
  pessimistic: Op.PessimisticLock,
  rollback: Op.Rollback,
} as const

/** The transactional commands of one store: each checks the region first, then does its work on the shared data. */
export class StoreCommands {
  private readonly cluster: Cluster
  private readonly storeId: bigint

  constructor(cluster: Cluster, storeId: bigint) {
    this.cluster = cluster
    this.storeId = storeId
  }

  get = (request: GetRequest): GetResponse =>
    this.inRegion(request.context, [request.key], GetResponse, () => this.cluster.reads.get(request))

  batchGet = (request: BatchGetRequest): BatchGetResponse =>
    this.inRegion(request.context, request.keys, BatchGetResponse, () => this.cluster.reads.batchGet(request))

  bufferBatchGet = (request: BufferBatchGetRequest): BufferBatchGetResponse =>
    this.inRegion(request.context, request.keys, BufferBatchGetResponse, () =>
      this.cluster.reads.bufferBatchGet(request),
    )

  scan = (request: ScanRequest): ScanResponse =>
    this.inRegion(request.context, [], ScanResponse, (region) => this.cluster.reads.scan(request, region))

  scanLock = (request: ScanLockRequest): ScanLockResponse =>
    this.inRegion(request.context, [], ScanLockResponse, (region) => this.cluster.reads.scanLock(request, region))

  prewrite = (request: PrewriteRequest): PrewriteResponse =>
    this.inRegion(
      request.context,
      request.mutations.map(({ key }) => key),
      PrewriteResponse,
      () => this.cluster.prewrites.prewrite(request),
    )

  flush = (request: FlushRequest): FlushResponse =>
    this.inRegion(
      request.context,
      request.mutations.map(({ key }) => key),
      FlushResponse,
      () => this.cluster.prewrites.flush(request),
    )

  commit = (request: CommitRequest): CommitResponse =>
    this.inRegion(request.context, request.keys, CommitResponse, () => this.cluster.finishes.commit(request))

  batchRollback = (request: BatchRollbackRequest): BatchRollbackResponse =>
    this.inRegion(request.context, request.keys, BatchRollbackResponse, () =>
      this.cluster.finishes.batchRollback(request),
    )

  cleanup = (request: CleanupRequest): CleanupResponse =>
    this.inRegion(request.context, [request.key], CleanupResponse, () => this.cluster.finishes.cleanup(request))

  heartBeat = (request: TxnHeartBeatRequest): TxnHeartBeatResponse =>
    this.inRegion(request.context, [request.primaryLock], TxnHeartBeatResponse, () =>
      this.cluster.finishes.heartBeat(request),
    )

  checkTxnStatus = (request: CheckTxnStatusRequest): CheckTxnStatusResponse =>
    this.inRegion(request.context, [request.primaryKey], CheckTxnStatusResponse, () =>
      this.cluster.finishes.checkTxnStatus(request),
    )

  checkSecondaryLocks = (request: CheckSecondaryLocksRequest): CheckSecondaryLocksResponse =>
    this.inRegion(request.context, request.keys, CheckSecondaryLocksResponse, () =>
      this.cluster.finishes.checkSecondaryLocks(request),
    )

  resolveLock = (request: ResolveLockRequest): ResolveLockResponse =>
    this.inRegion(request.context, request.keys, ResolveLockResponse, (region) =>
      this.cluster.finishes.resolveLock(request, region),
    )

  pessimisticLock = async (request: PessimisticLockRequest): Promise<PessimisticLockResponse> => {
    const keys = request.mutations.map(({ key }) => key)
    const checked = checkRegion(this.cluster, this.storeId, request.context, keys)
    if (!isRegion(checked)) return PessimisticLockResponse.create({ regionError: checked })
    return this.cluster.pessimistic.lock(request)
  }

  pessimisticRollback = (request: PessimisticRollbackRequest): PessimisticRollbackResponse =>
    this.inRegion(request.context, request.keys, PessimisticRollbackResponse, () =>
      this.cluster.pessimistic.rollback(request),
    )

  readIndex = (request: ReadIndexRequest): ReadIndexResponse =>
    this.inRegion(request.context, [], ReadIndexResponse, () => ReadIndexResponse.create({ readIndex: 1n }))

  /** Split keys are raw. */
  splitRegion = (request: SplitRegionRequest): SplitRegionResponse =>
    this.inRegion(request.context, [], SplitRegionResponse, (region) => {
      const keys = request.splitKeys.length > 0 ? request.splitKeys : [request.splitKey]
      splitAndSpread(
        this.cluster,
        keys.filter((key) => inRange(key, region.rawStart, region.rawEnd)),
      )
      const parts = this.cluster.regions.scan(region.startKey, region.endKey, 0).map(regionMeta)
      return SplitRegionResponse.create(
        parts.length === 2 ? { regions: parts, left: parts[0], right: parts[1] } : { regions: parts },
      )
    })

  mvccGetByKey = (request: MvccGetByKeyRequest): MvccGetByKeyResponse =>
    this.inRegion(request.context, [request.key], MvccGetByKeyResponse, () => {
      const entry = this.cluster.mvcc.get(request.key)
      const lock = entry?.lock
      return MvccGetByKeyResponse.create({
        info: {
          lock:
            lock === undefined
              ? undefined
              : { type: MVCC_OP[lock.kind], startTs: lock.startTs, primary: lock.primary, shortValue: lock.value },
          writes:
            entry?.writes.map(({ kind, startTs, commitTs }) => ({ type: MVCC_OP[kind], startTs, commitTs })) ?? [],
          values: entry?.writes.map(({ startTs, value }) => ({ startTs, value })) ?? [],
        },
      })
    })

  /** One command of a batch; undefined where this store does not know it. */
  run(command: Command): Answer | Promise<Answer> | undefined {
    switch (command.$case) {
      case 'Get':
        return { $case: 'Get', value: this.get(command.value) }
      case 'Scan':
        return { $case: 'Scan', value: this.scan(command.value) }
      case 'Prewrite':
        return { $case: 'Prewrite', value: this.prewrite(command.value) }
      case 'Commit':
        return { $case: 'Commit', value: this.commit(command.value) }
      case 'Cleanup':
        return { $case: 'Cleanup', value: this.cleanup(command.value) }
      case 'BatchGet':
        return { $case: 'BatchGet', value: this.batchGet(command.value) }
      case 'BatchRollback':
        return { $case: 'BatchRollback', value: this.batchRollback(command.value) }
      case 'ScanLock':
        return { $case: 'ScanLock', value: this.scanLock(command.value) }
      case 'ResolveLock':
        return { $case: 'ResolveLock', value: this.resolveLock(command.value) }
      case 'PessimisticLock':
        return this.pessimisticLock(command.value).then((value) => ({ $case: 'PessimisticLock', value }))
      case 'PessimisticRollback':
        return { $case: 'PessimisticRollback', value: this.pessimisticRollback(command.value) }
      case 'CheckTxnStatus':
        return { $case: 'CheckTxnStatus', value: this.checkTxnStatus(command.value) }
      case 'TxnHeartBeat':
        return { $case: 'TxnHeartBeat', value: this.heartBeat(command.value) }
      case 'CheckSecondaryLocks':
        return { $case: 'CheckSecondaryLocks', value: this.checkSecondaryLocks(command.value) }
      case 'Flush':
        return { $case: 'Flush', value: this.flush(command.value) }
      case 'BufferBatchGet':
        return { $case: 'BufferBatchGet', value: this.bufferBatchGet(command.value) }
      case 'Empty':
        return { $case: 'Empty', value: { testId: command.value.testId } }
      default:
        return undefined
    }
  }

  private inRegion<T>(
    context: Context | undefined,
    keys: readonly Buffer[],
    response: { create(base: { regionError: RegionError }): T },
    work: (region: Region) => T,
  ): T {
    const checked = checkRegion(this.cluster, this.storeId, context, keys)
    return isRegion(checked) ? work(checked) : response.create({ regionError: checked })
  }
}
