import type { Clock } from '../../base/clock.ts'
import { CdcError, describeError, type ErrorCode as CdcErrorCode } from '../../base/errors.ts'
import type { FailPoints } from '../../base/fail-point.ts'
import type { Fence } from '../../base/fence.ts'
import type { Log } from '../../base/log.ts'
import { backoffMs } from '../../base/retry.ts'
import type { KafkaSettings } from '../../config/sink-settings.ts'
import { abortable } from './abortable.ts'
import { type Cluster, exchange } from './cluster.ts'
import { type Delivery, enqueue, type Lane, laneMark, newLane, remark, takeBatch } from './lane.ts'
import type { Message } from './record-batch.ts'
import type { Topic } from './topics.ts'
import {
  BrokerError,
  ErrorCode,
  initProducerRequest,
  isTransient,
  type PartitionResult,
  type ProducerIdentity,
  produceRequest,
  type TopicBatches,
} from './wire.ts'

export interface ProducerOptions {
  readonly settings: KafkaSettings
  readonly cluster: Cluster
  readonly fence: Fence
  readonly failPoints: FailPoints
  readonly log: Log
  readonly clock: Clock
  /** Names a message that could not be sent: rows and control messages differ. */
  readonly errorCode: CdcErrorCode
  /** Who the producer before this one was, if any; this one says there who it is. */
  readonly memory: ProducerMemory
  /** Told now and then while a partition takes nothing. */
  readonly onTrouble: (error: Error) => void
}

/** The last producer id of one side of a sink and the greatest epoch used with it; survives the sink. */
export interface ProducerMemory {
  identity: ProducerIdentity | undefined
}

/** A partition that cannot take anything for this long fails the producer. */
const DELIVERY_TIMEOUT_MS = 120_000
/** From then on the loss is told, and again after each such time. */
const TROUBLE_MS = 10_000
const BACKOFF_BASE_MS = 50
const BACKOFF_CAP_MS = 1000
/** Bytes of record batches in one request, unless one batch alone is larger. */
const REQUEST_BYTES = 8 << 20
/** How long closing waits for answers to what was sent, so that nothing is applied after a successor starts. */
const CLOSE_WAIT_MS = 3000
const MAX_EPOCH = 0x7fff

/**
 * Sends messages so that each partition keeps the order of the calls, whatever fails (docs/decisions/006-kafka-produce-loop):
 * one batch per partition is under way; it is repeated, byte for byte, with its producer id, epoch and sequence, until
 * the broker has answered for it. After one failure the producer is dead, and all its promises reject.
 */
export class Producer implements AsyncDisposable {
  readonly #options: ProducerOptions
  readonly #life = new AbortController()
  readonly #lanes = new Map<string, Lane[]>()
  readonly #deliveries = new Set<Delivery>()
  /** Lanes with something to send and nothing under way. */
  readonly #ready = new Set<Lane>()
  readonly #work = new Set<Promise<void>>()
  /** undefined = not asked for yet, 'none' = this producer is not idempotent. */
  #identity: ProducerIdentity | 'none' | undefined
  #identifying = false
  #awake = false
  #failure: Error | undefined
  #toldAt = -Infinity

  constructor(options: ProducerOptions) {
    this.#options = options
    if (options.settings.requiredAcks !== -1) this.#identity = 'none'
  }

  /**
   * Resolves when every message is acknowledged. `partitionOf` gives a message's partition. The messages' bytes are read
   * later, until the promise settles.
   */
  send<M extends Message>(topic: Topic, messages: readonly M[], partitionOf: (message: M) => number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (messages.length === 0) return Promise.resolve()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const delivery: Delivery = { left: messages.length, resolve, reject }
    const lanes = this.#lanesOf(topic)
    for (const message of messages) {
      const partition = partitionOf(message)
      const lane = (lanes[partition] ??= newLane(topic, partition))
      enqueue(lane, message, delivery)
      if (!lane.busy) this.#ready.add(lane)
    }
    this.#deliveries.add(delivery)
    this.#wake()
    return promise
  }

  /** Rejects everything with `error`, now and from now on; the first one counts. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#life.abort()
    for (const delivery of this.#deliveries) delivery.reject(error)
    this.#deliveries.clear()
    this.#ready.clear()
    this.#lanes.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fail(new CdcError('CDC:ErrKafkaProducerClosed', 'the kafka producer is closed'))
    const answers = Promise.allSettled(this.#work).then(() => {})
    await abortable(answers, AbortSignal.timeout(CLOSE_WAIT_MS)).catch(() => {})
  }

  #lanesOf(topic: Topic): Lane[] {
    const known = this.#lanes.get(topic.name)
    if (known !== undefined) return known
    const lanes: Lane[] = []
    this.#lanes.set(topic.name, lanes)
    return lanes
  }

  /** One turn later, so that what is handed over in this turn travels together. */
  #wake(): void {
    if (this.#awake) return
    this.#awake = true
    setImmediate(() => {
      this.#awake = false
      if (this.#failure === undefined) this.#pump()
    })
  }

  #pump(): void {
    if (this.#identity === undefined) {
      if (!this.#identifying) this.#start(this.#identify())
      return
    }
    const byLeader = new Map<number, Lane[]>()
    const lost: Lane[] = []
    for (const lane of this.#ready) {
      lane.busy = true
      const leader = this.#options.cluster.leaderOf(lane.topic, lane.partition)
      if (leader === undefined) lost.push(lane)
      else byLeader.getOrInsertComputed(leader, () => []).push(lane)
    }
    this.#ready.clear()
    if (lost.length > 0) this.#start(this.#recover(lost, new BrokerError(ErrorCode.LeaderNotAvailable), 0))
    for (const [leader, lanes] of byLeader) this.#start(this.#produce(leader, lanes))
  }

  /** Keeps a task until it ends; a rejection is a failure of the producer. */
  #start(task: Promise<void>): void {
    const kept = task.catch((error: unknown) => this.fail(this.#sendError('produce', error)))
    this.#work.add(kept)
    kept.finally(() => this.#work.delete(kept)).catch(() => {})
  }

  /** A rebuilt sink goes on as the next epoch of the one before, which fences what that one left on its way. */
  async #identify(): Promise<void> {
    this.#identifying = true
    const { clock, log, memory } = this.#options
    const former = memory.identity
    if (former !== undefined && former.epoch < MAX_EPOCH)
      this.#identity = { producerId: former.producerId, epoch: former.epoch + 1 }
    const since = clock.monotonic()
    for (let attempt = 1; this.#identity === undefined; attempt++) {
      const answer = await this.#askIdentity(since)
      if (answer?.errorCode === ErrorCode.None) this.#identity = answer
      else if (answer !== undefined && REFUSALS.has(answer.errorCode)) {
        log.warn(NOT_IDEMPOTENT, { reason: new BrokerError(answer.errorCode).message })
        this.#identity = 'none'
      } else if (answer !== undefined && !isTransient(answer.errorCode)) throw new BrokerError(answer.errorCode)
      else await clock.sleep(backoffMs(attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS), this.#life.signal)
    }
    if (this.#identity !== 'none') memory.identity = this.#identity
    this.#wake()
  }

  /** undefined = no broker answered, try again. */
  async #askIdentity(sinceMs: number) {
    try {
      return await this.#options.cluster.any(initProducerRequest(), this.#life.signal)
    } catch (error) {
      if (this.#failure !== undefined || this.#options.clock.monotonic() - sinceMs > DELIVERY_TIMEOUT_MS) throw error
      return undefined
    }
  }

  /** Sends what waits in `lanes`, all led by one broker, and deals with its answer. */
  async #produce(leader: number, lanes: Lane[]): Promise<void> {
    const { settings, cluster, fence, failPoints } = this.#options
    let connection
    try {
      connection = await cluster.connection(leader)
    } catch (error) {
      return this.#recover(lanes, error, 0)
    }
    if (this.#failure !== undefined) return
    const sent = this.#encode(lanes)
    if (!fence.open()) return this.fail(fenced())
    let results: readonly PartitionResult[]
    try {
      const request = produceRequest(byTopic(sent), settings.requiredAcks, settings.writeTimeoutMs)
      const answer = await exchange(connection, request)
      results = settings.requiredAcks === 0 ? sent.map(written) : answer
    } catch (error) {
      // Whether the broker has it is unknown. With a producer id a repetition is recognised; without one the partition
      // waits until the broker has surely dropped or applied what was sent.
      return this.#recover(sent, error, this.#identity === 'none' ? settings.writeTimeoutMs : 0)
    }
    failPoints('kafka-after-produce-before-ack')
    await this.#settle(sent, results)
  }

  /** Fills the lanes' batches up to the size of a request; the lanes that found no place are ready again. */
  #encode(lanes: readonly Lane[]): Lane[] {
    const { settings, clock } = this.#options
    const sent: Lane[] = []
    let bytes = 0
    for (const lane of lanes) {
      if (bytes >= REQUEST_BYTES) {
        this.#release(lane)
        continue
      }
      const mark = laneMark(lane, this.#identity)
      const batch = (lane.batch ??= takeBatch(lane, settings.compression, clock.now(), mark))
      if (batch.stale) remark(lane, batch, mark)
      bytes += batch.bytes.length
      sent.push(lane)
    }
    return sent
  }

  async #settle(sent: readonly Lane[], results: readonly PartitionResult[]): Promise<void> {
    const codes = new Map(results.map(({ topic, index, errorCode }) => [`${index}/${topic}`, errorCode]))
    const again: Lane[] = []
    let cause = new BrokerError(ErrorCode.None)
    for (const lane of sent) {
      const code = codes.get(`${lane.partition}/${lane.topic}`) ?? -1
      if (code === ErrorCode.None || code === ErrorCode.DuplicateSequenceNumber) {
        this.#acknowledge(lane)
        continue
      }
      const error = new BrokerError(code)
      if (!this.#reset(lane, code) && !isTransient(code)) return this.fail(this.#sendError(laneName(lane), error))
      cause = error
      again.push(lane)
    }
    if (again.length > 0) await this.#recover(again, cause, 0)
  }

  /**
   * Gives a lane another mark where the broker has lost the state of its producer or refuses it; false where the error is
   * another one. A new epoch starts at sequence 0 and fences whatever the old one may still have on its way.
   */
  #reset(lane: Lane, code: number): boolean {
    const { batch } = lane
    if (batch === undefined || !batch.idempotent || this.#identity === undefined) return false
    const refused = code === ErrorCode.ClusterAuthorizationFailed
    const epoch = this.#identity === 'none' ? MAX_EPOCH : this.#identity.epoch + lane.epochsAfter
    if (!refused && !(STATE_LOST.has(code) && epoch < MAX_EPOCH)) return false
    this.#options.log.warn(refused ? NOT_IDEMPOTENT : 'broker lost the producer state, going on with a new epoch', {
      topic: lane.topic,
      partition: lane.partition,
      reason: new BrokerError(code).message,
    })
    if (refused) this.#identity = 'none'
    else this.#remember(epoch + 1)
    lane.epochsAfter++
    lane.sequence = 0
    batch.stale = true
    return true
  }

  #remember(epoch: number): void {
    const { memory } = this.#options
    if (memory.identity !== undefined && memory.identity.epoch < epoch)
      memory.identity = { producerId: memory.identity.producerId, epoch }
  }

  #acknowledge(lane: Lane): void {
    for (const { delivery, count } of lane.batch?.runs ?? []) {
      delivery.left -= count
      if (delivery.left > 0) continue
      this.#deliveries.delete(delivery)
      delivery.resolve()
    }
    lane.batch = undefined
    lane.failures = 0
    this.#release(lane)
  }

  #release(lane: Lane): void {
    lane.busy = false
    if (this.#failure !== undefined || (lane.batch === undefined && lane.waiting.length === 0)) return
    this.#ready.add(lane)
    this.#wake()
  }

  /** Pauses, finds the leaders again and lets the lanes go on; gives up when a lane has failed for too long. */
  async #recover(lanes: readonly Lane[], cause: unknown, leastMs: number): Promise<void> {
    const { cluster, clock, log } = this.#options
    const topics = [...new Set(lanes.map((lane) => lane.topic))]
    let pauseMs = leastMs
    for (let error = cause; this.#failure === undefined;) {
      const now = clock.monotonic()
      let failures = 0
      for (const lane of lanes) {
        if (lane.failures++ === 0) lane.failingSince = now
        failures = Math.max(failures, lane.failures)
        if (now - lane.failingSince > DELIVERY_TIMEOUT_MS) return this.fail(this.#sendError(laneName(lane), error))
        if (now - Math.max(lane.failingSince, this.#toldAt) > TROUBLE_MS) {
          this.#toldAt = now
          this.#options.onTrouble(this.#sendError(laneName(lane), error))
        }
      }
      if (failures === 1) log.warn('kafka send is repeated', { topics: topics.join(','), error: describeError(error) })
      pauseMs = Math.max(pauseMs, backoffMs(failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS))
      await clock.sleep(pauseMs, this.#life.signal)
      pauseMs = 0
      try {
        await cluster.refresh(topics, this.#life.signal)
        break
      } catch (failed) {
        error = failed
      }
    }
    for (const lane of lanes) this.#release(lane)
  }

  #sendError(what: string, cause: unknown): Error {
    if (cause instanceof CdcError) return cause
    return new CdcError(this.#options.errorCode, `cannot send to kafka: ${what}`, { cause })
  }
}

const NOT_IDEMPOTENT = 'broker refuses an idempotent producer, sending without'

/** The broker does not let this client be idempotent. */
const REFUSALS: ReadonlySet<number> = new Set([ErrorCode.ClusterAuthorizationFailed, ErrorCode.UnsupportedVersion])
const STATE_LOST: ReadonlySet<number> = new Set([
  ErrorCode.OutOfOrderSequenceNumber,
  ErrorCode.UnknownProducerId,
  ErrorCode.InvalidProducerEpoch,
])

const laneName = (lane: Lane): string => `topic ${lane.topic}, partition ${lane.partition}`
const written = (lane: Lane): PartitionResult => ({ topic: lane.topic, index: lane.partition, errorCode: 0 })

const fenced = (): CdcError =>
  new CdcError('CDC:ErrCaptureSuicide', 'the lease of this capture has ended, nothing more is sent to kafka')

function byTopic(lanes: readonly Lane[]): TopicBatches[] {
  const topics = new Map<string, { index: number; batch: Buffer }[]>()
  for (const { topic, partition, batch } of lanes)
    if (batch !== undefined) topics.getOrInsertComputed(topic, () => []).push({ index: partition, batch: batch.bytes })
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }))
}
