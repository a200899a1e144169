import type { Clock } from '../../base/clock.ts'
import type { Log } from '../../base/log.ts'
import { backoffMs } from '../../base/retry.ts'
import type { Cluster } from './cluster.ts'
import { BrokerError, ErrorCode, initProducerRequest, isTransient, type ProducerIdentity } from './wire.ts'

/** The last producer id of one side of a sink and the greatest epoch used with it; survives the sink. */
export interface ProducerMemory {
  identity: ProducerIdentity | undefined
}

export interface IdentityOptions {
  readonly cluster: Cluster
  readonly log: Log
  readonly clock: Clock
  /** Who the producer before this one was, if any; this one says there who it is. */
  readonly memory: ProducerMemory
}

/** No epoch follows this one. */
export const MAX_EPOCH = 0x7fff
export const NOT_IDEMPOTENT = 'broker refuses an idempotent producer, sending without'
const BACKOFF_BASE_MS = 50
const BACKOFF_CAP_MS = 1000

/** The broker does not let this client be idempotent. */
const REFUSALS: ReadonlySet<number> = new Set([ErrorCode.ClusterAuthorizationFailed, ErrorCode.UnsupportedVersion])

/**
 * Who a new producer is: the next epoch of the one before it, which fences what that one left on its way, or a new id;
 * 'none' where the broker refuses idempotent producers. Rejects when no broker gives one for `giveUpMs`.
 */
export async function takeIdentity(
  { cluster, log, clock, memory }: IdentityOptions,
  giveUpMs: number,
  signal: AbortSignal,
): Promise<ProducerIdentity | 'none'> {
  const former = memory.identity
  if (former !== undefined && former.epoch < MAX_EPOCH) {
    const next = { producerId: former.producerId, epoch: former.epoch + 1 }
    memory.identity = next
    return next
  }
  const since = clock.monotonic()
  for (let attempt = 1; ; attempt++) {
    const last = clock.monotonic() - since > giveUpMs
    const answer = await ask(cluster, signal, last)
    if (answer?.errorCode === ErrorCode.None) {
      memory.identity = { producerId: answer.producerId, epoch: answer.epoch }
      return memory.identity
    }
    if (answer !== undefined && REFUSALS.has(answer.errorCode)) {
      log.warn(NOT_IDEMPOTENT, { reason: new BrokerError(answer.errorCode).message })
      return 'none'
    }
    if (answer !== undefined && (last || !isTransient(answer.errorCode))) throw new BrokerError(answer.errorCode)
    await clock.sleep(backoffMs(attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS), signal)
  }
}

/** A lane went on with a greater epoch: a later producer must begin above it. */
export function rememberEpoch(memory: ProducerMemory, epoch: number): void {
  const { identity } = memory
  if (identity !== undefined && identity.epoch < epoch) memory.identity = { producerId: identity.producerId, epoch }
}

/** undefined = no broker answered, and there will be another try. */
async function ask(cluster: Cluster, signal: AbortSignal, last: boolean) {
  try {
    return await cluster.any(initProducerRequest(), signal)
  } catch (error) {
    if (last || signal.aborted) throw error
    return undefined
  }
}
