import type { Clock } from '../../base/clock.ts'
import { CdcError, describeError, type ErrorCode as CdcErrorCode } from '../../base/errors.ts'
import type { FailPoints } from '../../base/fail-point.ts'
import type { Fence } from '../../base/fence.ts'
import type { Log } from '../../base/log.ts'
import { backoffMs } from '../../base/retry.ts'
import type { KafkaSettings } from '../../config/sink-settings.ts'
import type { Messages } from '../../event/encoded.ts'
import { abortable } from './abortable.ts'
import { BatchMemory } from './batch-memory.ts'
import { Broadcast } from './broadcast.ts'
import type { Cluster } from './cluster.ts'
import { MAX_EPOCH, NOT_IDEMPOTENT, type ProducerMemory, rememberEpoch, takeIdentity } from './identity.ts'
import { type Delivery, enqueue, type Lane, newLane, restart, startBatch } from './lane.ts'
import { produceRequest } from './produce-request.ts'
import { RecordBatch } from './record-batch.ts'
import type { Topic } from './topics.ts'
import { BrokerError, ErrorCode, isTransient, type ProducerIdentity } from './wire.ts'

export interface ProducerOptions {
  readonly settings: KafkaSettings
  readonly cluster: Cluster
  readonly fence: Fence
  readonly failPoints: FailPoints
  readonly log: Log
  readonly clock: Clock
  /** Names a message that could not be sent: rows and control messages differ. */
  readonly errorCode: CdcErrorCode
  readonly memory: ProducerMemory
  /** Told now and then while a partition takes nothing. */
  readonly onTrouble: (error: Error) => void
  /** Told of the time that a request took until it was written. */
  readonly onWork: (ms: number) => void
}

/** A partition that cannot take anything for this long fails the producer. */
const DELIVERY_TIMEOUT_MS = 120_000
/** From then on the loss is told, and again after each such time. */
const TROUBLE_MS = 10_000
const BACKOFF_BASE_MS = 50
const BACKOFF_CAP_MS = 1000
/** Bytes of record batches in one request, unless one batch alone is larger. */
const REQUEST_BYTES = 8 << 20
/** Partitions in one request: a broker works on it for some 20 ms at most. */
const REQUEST_PARTITIONS = 1000
/** Requests under way at one broker; lanes that are ready meanwhile travel together in the next. */
const REQUESTS_AT_ONCE = 5
/** Partitions that a broadcast is under way to at the same time. */
const BROADCAST_WINDOW = 2 * REQUEST_PARTITIONS
/** How long closing waits for answers to what was sent, so that nothing is applied after a successor starts. */
const CLOSE_WAIT_MS = 3000

/**
 * Sends messages so that each partition keeps the order of the calls, whatever fails (docs/decisions/006-kafka-produce-loop):
 * one batch per partition is under way; it is repeated, byte for byte, with its producer id, epoch and sequence, until
 * the broker has answered for it. After one failure the producer is dead, and all its promises reject.
 */
export class Producer implements AsyncDisposable {
  readonly #options: ProducerOptions
  readonly #life = new AbortController()
  readonly #memory = new BatchMemory()
  /** By topic and partition. */
  readonly #lanes = new Map<string, Lane[]>()
  readonly #deliveries = new Set<Delivery>()
  /** Those that have not entered all their lanes, oldest first. */
  #broadcasts: Broadcast[] = []
  /** Lanes with something to send and nothing under way. */
  readonly #ready = new Set<Lane>()
  readonly #work = new Set<Promise<void>>()
  /** Requests under way by broker. */
  readonly #requests = new Map<number, number>()
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

  /** Resolves when every message is acknowledged. The messages' bytes are read before it returns. */
  send(topic: Topic, messages: Messages): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const { length, partitions } = messages
    if (length === 0) return Promise.resolve()
    // A partition gets messages in the order of the calls.
    for (const broadcast of this.#broadcasts) this.#enter(broadcast, topic)
    const { promise, delivery } = this.#deliver()
    const lanes = this.#lanesOf(topic)
    for (let i = 0; i < length; i++) {
      const partition = partitions[i] ?? 0
      const lane = (lanes[partition] ??= newLane(topic, partition))
      enqueue(lane, messages, i, delivery, this.#memory)
      if (!lane.busy) this.#ready.add(lane)
    }
    this.#wake()
    return promise
  }

  /** Sends the one message of `messages` to every partition of `topics`; resolves when all have acknowledged it. */
  broadcast(topics: readonly Topic[], messages: Messages): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (topics.length === 0) return Promise.resolve()
    const { settings, clock } = this.#options
    // Nobody says when the last lane is done with it.
    const content = new RecordBatch(new BatchMemory(), messages.bytes, messages.bytes)
    content.add(messages, 0)
    content.seal(settings.compression, clock.now())
    const { promise, delivery } = this.#deliver()
    this.#broadcasts.push(new Broadcast(topics, content, delivery))
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
    this.#broadcasts = []
    this.#ready.clear()
    this.#lanes.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fail(new CdcError('CDC:ErrKafkaProducerClosed', 'the kafka producer is closed'))
    const answers = Promise.allSettled(this.#work).then(() => {})
    // A later epoch fences what is left; without one the broker must have dropped or applied it.
    const { writeTimeoutMs } = this.#options.settings
    const waitMs = this.#identity === 'none' ? Math.max(CLOSE_WAIT_MS, writeTimeoutMs) : CLOSE_WAIT_MS
    await abortable(answers, AbortSignal.timeout(waitMs)).catch(() => {})
  }

  #deliver(): { readonly promise: Promise<void>; readonly delivery: Delivery } {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const delivery: Delivery = { left: 0, resolve, reject }
    this.#deliveries.add(delivery)
    return { promise, delivery }
  }

  #lanesOf(topic: Topic): Lane[] {
    const known = this.#lanes.get(topic.name)
    if (known !== undefined) return known
    const lanes: Lane[] = []
    this.#lanes.set(topic.name, lanes)
    return lanes
  }

  #enter(broadcast: Broadcast, topic: Topic): void {
    const lanes = this.#lanesOf(topic)
    const entered = broadcast.enter(topic.name, (of, partition) => (lanes[partition] ??= newLane(of, partition)))
    for (const lane of entered) if (!lane.busy) this.#ready.add(lane)
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
    this.#enterNext()
    const requests = new Map<number, LaneRequest>()
    const lost: Lane[] = []
    for (const lane of this.#ready) {
      const leader = this.#options.cluster.leaderOf(lane.topic, lane.partition)
      if (leader === undefined) lost.push(lane)
      else if ((this.#requests.get(leader) ?? 0) >= REQUESTS_AT_ONCE || !join(requests, leader, lane)) continue
      lane.busy = true
      this.#ready.delete(lane)
    }
    if (lost.length > 0) this.#start(this.#recover(lost, new BrokerError(ErrorCode.LeaderNotAvailable), 0))
    for (const [leader, { lanes }] of requests) this.#start(this.#produce(leader, lanes))
    if (this.#ready.size > 0 && requests.size > 0) this.#wake()
  }

  /** Lets the oldest broadcast into so many lanes that they fill the requests under way. */
  #enterNext(): void {
    for (let broadcast = this.#broadcasts[0]; broadcast !== undefined; broadcast = this.#broadcasts[0]) {
      for (let topic = broadcast.next(); topic !== undefined; topic = broadcast.next()) {
        if (broadcast.underWay >= BROADCAST_WINDOW) return
        this.#enter(broadcast, topic)
      }
      this.#broadcasts.shift()
    }
  }

  /** Keeps a task until it ends; a rejection is a failure of the producer. */
  #start(task: Promise<void>): void {
    const kept = task.catch((error: unknown) => this.fail(this.#sendError('produce', error)))
    this.#work.add(kept)
    kept.finally(() => this.#work.delete(kept)).catch(() => {})
  }

  async #identify(): Promise<void> {
    this.#identifying = true
    this.#identity = await takeIdentity(this.#options, DELIVERY_TIMEOUT_MS, this.#life.signal)
    this.#wake()
  }

  /** Sends the next batches of `lanes`, all led by one broker, and deals with its answer. */
  async #produce(leader: number, lanes: readonly Lane[]): Promise<void> {
    const { settings, cluster, failPoints, clock } = this.#options
    this.#requests.set(leader, (this.#requests.get(leader) ?? 0) + 1)
    let left = false
    try {
      const connection = await cluster.connection(leader)
      if (this.#failure !== undefined) return
      const began = clock.monotonic()
      this.#prepare(lanes)
      const { requiredAcks, writeTimeoutMs } = settings
      const request = produceRequest(lanes, requiredAcks, writeTimeoutMs, this.#answered)
      if (!this.#options.fence.open()) return this.fail(fenced())
      left = true
      const answer = connection.exchange(request)
      this.#options.onWork(clock.monotonic() - began)
      await answer
    } catch (error) {
      // Whether the broker has it is unknown. With a producer id a repetition is recognised; without one the partition
      // waits until the broker has surely dropped or applied what was sent.
      return this.#recover(lanes, error, left && this.#identity === 'none' ? settings.writeTimeoutMs : 0)
    } finally {
      this.#requests.set(leader, (this.#requests.get(leader) ?? 1) - 1)
    }
    failPoints('kafka-after-produce-before-ack')
    failPoints('worker-after-produce-before-ack')
    await this.#settle(lanes)
  }

  /** Seals what leaves now. */
  #prepare(lanes: readonly Lane[]): void {
    const { settings, clock } = this.#options
    const now = clock.now()
    for (const lane of lanes) {
      startBatch(lane, this.#identity)?.content.seal(settings.compression, now)
      lane.answer = settings.requiredAcks === 0 ? ErrorCode.None : -1
    }
  }

  readonly #answered = (topic: string, partition: number, errorCode: number): void => {
    const lane = this.#lanes.get(topic)?.[partition]
    if (lane !== undefined) lane.answer = errorCode
  }

  async #settle(sent: readonly Lane[]): Promise<void> {
    const again: Lane[] = []
    for (const lane of sent) {
      const { answer } = lane
      if (answer === ErrorCode.None || answer === ErrorCode.DuplicateSequenceNumber) {
        this.#acknowledge(lane)
        continue
      }
      if (!this.#reset(lane, answer) && !isTransient(answer))
        return this.fail(this.#sendError(laneName(lane), new BrokerError(answer)))
      again.push(lane)
    }
    this.#wake()
    if (again.length > 0) await this.#recover(again, new BrokerError(again[0]?.answer ?? -1), 0)
  }

  /**
   * Gives a lane another mark where the broker has lost the state of its producer or refuses it; false where the error is
   * another one. A new epoch starts at sequence 0 and fences whatever the old one may still have on its way.
   */
  #reset(lane: Lane, code: number): boolean {
    const producerId = lane.batch?.mark?.producerId ?? -1n
    if (producerId < 0n || this.#identity === undefined) return false
    const refused = code === ErrorCode.ClusterAuthorizationFailed
    const epoch = this.#identity === 'none' ? MAX_EPOCH : this.#identity.epoch + lane.epochsAfter
    if (!refused && !(STATE_LOST.has(code) && epoch < MAX_EPOCH)) return false
    const { log, memory } = this.#options
    log.warn(refused ? NOT_IDEMPOTENT : 'broker lost the producer state, going on with a new epoch', {
      topic: lane.topic,
      partition: lane.partition,
      reason: new BrokerError(code).message,
    })
    if (refused) this.#identity = 'none'
    else rememberEpoch(memory, epoch + 1)
    restart(lane)
    return true
  }

  #acknowledge(lane: Lane): void {
    const { batch } = lane
    if (batch === undefined) return
    for (const delivery of batch.deliveries) {
      if (--delivery.left > 0) continue
      this.#deliveries.delete(delivery)
      delivery.resolve()
    }
    // The broker has read all of it, but for a batch that was repeated, or whose answer nobody waits for.
    if (!batch.shared) batch.content.free(batch.sent === 1 && this.#options.settings.requiredAcks !== 0)
    lane.batch = undefined
    lane.failures = 0
    this.#release(lane)
  }

  #release(lane: Lane): void {
    lane.busy = false
    if (this.#failure === undefined && (lane.batch !== undefined || lane.waiting.length > 0)) this.#ready.add(lane)
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
      if (failures === 1) log.warn('kafka send is repeated', { topics: namesOf(topics), error: describeError(error) })
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
    this.#wake()
  }

  #sendError(what: string, cause: unknown): Error {
    if (cause instanceof CdcError) return cause
    return new CdcError(this.#options.errorCode, `cannot send to kafka: ${what}`, { cause })
  }
}

interface LaneRequest {
  readonly lanes: Lane[]
  bytes: number
}

/** Adds a lane to its broker's next request; false = there is no place in it. */
function join(requests: Map<number, LaneRequest>, leader: number, lane: Lane): boolean {
  const request = requests.getOrInsertComputed(leader, () => ({ lanes: [], bytes: 0 }))
  if (request.lanes.length >= REQUEST_PARTITIONS || request.bytes >= REQUEST_BYTES) return false
  request.lanes.push(lane)
  request.bytes += (lane.batch ?? lane.waiting[0])?.content.length ?? 0
  return true
}

const STATE_LOST: ReadonlySet<number> = new Set([
  ErrorCode.OutOfOrderSequenceNumber,
  ErrorCode.UnknownProducerId,
  ErrorCode.InvalidProducerEpoch,
])

const laneName = (lane: Lane): string => `topic ${lane.topic}, partition ${lane.partition}`
/** The first few. */
const namesOf = (topics: readonly string[]): string => topics.slice(0, 10).join(',')

const fenced = (): CdcError =>
  new CdcError('CDC:ErrCaptureSuicide', 'the lease of this capture has ended, nothing more is sent to kafka')
