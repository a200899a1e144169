import { setTimeout as delay } from 'node:timers/promises'

import type { ServerDuplexStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { status } from '@grpc/grpc-js'

import type { BatchCommandsRequest, TikvServer } from '../../proto/tikvpb.ts'
import { BatchCommandsResponse } from '../../proto/tikvpb.ts'
import type { Cluster } from './cluster.ts'
import { unary } from '../unary.ts'
import { StoreCommands } from './store-commands.ts'

/** tikvpb of one store: single calls and BatchCommands. What is missing is answered with UNIMPLEMENTED. */
export function createKvService(cluster: Cluster, storeId: bigint): UntypedServiceImplementation {
  const commands = new StoreCommands(cluster, storeId)
  const pause = async (): Promise<void> => {
    // In steps, because a stall may be ended before its time.
    for (let ms = cluster.faults.stallMs(storeId); ms > 0; ms = cluster.faults.stallMs(storeId))
      await delay(Math.min(ms, 50), undefined, { ref: false })
  }
  const working = <Request, Response>(handle: (request: Request) => Response | Promise<Response>) =>
    unary(async (request: Request) => {
      await pause()
      return handle(request)
    })
  return {
    kvGet: working(commands.get),
    kvScan: working(commands.scan),
    kvPrewrite: working(commands.prewrite),
    kvPessimisticLock: working(commands.pessimisticLock),
    kvPessimisticRollback: working(commands.pessimisticRollback),
    kvTxnHeartBeat: working(commands.heartBeat),
    kvCheckTxnStatus: working(commands.checkTxnStatus),
    kvCheckSecondaryLocks: working(commands.checkSecondaryLocks),
    kvCommit: working(commands.commit),
    kvCleanup: working(commands.cleanup),
    kvBatchGet: working(commands.batchGet),
    kvBatchRollback: working(commands.batchRollback),
    kvScanLock: working(commands.scanLock),
    kvResolveLock: working(commands.resolveLock),
    kvFlush: working(commands.flush),
    kvBufferBatchGet: working(commands.bufferBatchGet),
    splitRegion: working(commands.splitRegion),
    readIndex: working(commands.readIndex),
    mvccGetByKey: working(commands.mvccGetByKey),
    getStoreSafeTs: working(() => ({ safeTs: 0n })),
    batchCommands: (call) => answerBatches(call, commands, pause),
  } satisfies Partial<TikvServer>
}

/** Each command is answered under its own id as soon as it is done. */
function answerBatches(
  call: ServerDuplexStream<BatchCommandsRequest, BatchCommandsResponse>,
  commands: StoreCommands,
  pause: () => Promise<void>,
): void {
  let open = 0
  let ended = false
  const finish = (): void => {
    if (ended && open === 0) call.end()
  }
  call.on('data', (batch: BatchCommandsRequest) => {
    for (const [index, { cmd }] of batch.requests.entries()) {
      const id = batch.requestIds[index]
      const answer = async (): Promise<void> => {
        await pause()
        const response = cmd === undefined ? undefined : await commands.run(cmd)
        if (id === undefined || response === undefined)
          call.emit('error', { code: status.UNIMPLEMENTED, details: `unknown batch command ${cmd?.$case}` })
        else call.write(BatchCommandsResponse.create({ requestIds: [id], responses: [{ cmd: response }] }))
      }
      open += 1
      answer()
        .catch((error: unknown) => call.emit('error', { code: status.INTERNAL, details: String(error) }))
        .finally(() => {
          open -= 1
          finish()
        })
    }
  })
  call.on('end', () => {
    ended = true
    finish()
  })
}
