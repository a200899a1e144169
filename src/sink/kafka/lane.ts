import type { Compression } from '../../config/sink-settings.ts'
import {
  BATCH_HEADER_BYTES,
  encodeRecordBatch,
  markRecordBatch,
  type Message,
  noProducer,
  type ProducerMark,
  RECORD_OVERHEAD_BYTES,
} from './record-batch.ts'
import type { Topic } from './topics.ts'
import type { ProducerIdentity } from './wire.ts'

/** One call of send: its promise, and how many of its messages are not acknowledged. */
export interface Delivery {
  left: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** `count` messages that follow each other and belong to one delivery. */
interface Run {
  readonly delivery: Delivery
  count: number
}

interface Batch {
  readonly bytes: Buffer
  readonly records: number
  readonly runs: readonly Run[]
  /** It carries a producer id. */
  idempotent: boolean
  /** Its mark is no longer the lane's, and has to be written again before it is repeated. */
  stale: boolean
}

/** The queue of one partition and the batch of it that is under way. */
export interface Lane {
  readonly topic: string
  readonly partition: number
  /** Bytes of records in a batch, before compression. */
  readonly batchBytes: number
  waiting: Message[]
  /** Whose the waiting messages are, in the same order. */
  runs: Run[]
  batch: Batch | undefined
  /** True from being chosen for a request until its outcome is dealt with. */
  busy: boolean
  /** Of the next record; the broker knows all before it. */
  sequence: number
  /** Epochs of this lane beyond the producer's own. */
  epochsAfter: number
  /** In a row. */
  failures: number
  failingSince: number
}

/** Larger batches gain nothing. */
const BATCH_BYTES = 1 << 20

export function newLane(topic: Topic, partition: number): Lane {
  return {
    topic: topic.name,
    partition,
    batchBytes: Math.min(BATCH_BYTES, topic.limitBytes ?? BATCH_BYTES) - BATCH_HEADER_BYTES,
    waiting: [],
    runs: [],
    batch: undefined,
    busy: false,
    sequence: 0,
    epochsAfter: 0,
    failures: 0,
    failingSince: 0,
  }
}

export function enqueue(lane: Lane, message: Message, delivery: Delivery): void {
  lane.waiting.push(message)
  const last = lane.runs.at(-1)
  if (last?.delivery === delivery) last.count++
  else lane.runs.push({ delivery, count: 1 })
}

/** Who writes the lane's next batch. */
export function laneMark(lane: Lane, identity: ProducerIdentity | 'none' | undefined): ProducerMark {
  if (identity === undefined || identity === 'none') return noProducer
  return {
    producerId: identity.producerId,
    epoch: identity.epoch + lane.epochsAfter,
    sequence: lane.sequence,
  }
}

/** Takes from the queue's head what fits into a batch, at least one message. */
export function takeBatch(lane: Lane, compression: Compression, nowMs: number, mark: ProducerMark): Batch {
  const messages = takeMessages(lane)
  // Sequences count up to 2^31 - 1 and start again at 0.
  lane.sequence = (lane.sequence + messages.length) & 0x7fff_ffff
  return {
    bytes: encodeRecordBatch(messages, compression, nowMs, mark),
    records: messages.length,
    runs: takeRuns(lane, messages.length),
    idempotent: mark.producerId >= 0n,
    stale: false,
  }
}

/** Gives a batch that is to be repeated the lane's new mark. */
export function remark(lane: Lane, batch: Batch, mark: ProducerMark): void {
  markRecordBatch(batch.bytes, mark)
  lane.sequence = batch.records
  batch.idempotent = mark.producerId >= 0n
  batch.stale = false
}

function takeMessages(lane: Lane): Message[] {
  let bytes = 0
  let count = 0
  for (const { key, value } of lane.waiting) {
    bytes += (key?.length ?? 0) + (value?.length ?? 0) + RECORD_OVERHEAD_BYTES
    if (bytes > lane.batchBytes && count > 0) break
    count++
  }
  if (count < lane.waiting.length) return lane.waiting.splice(0, count)
  const all = lane.waiting
  lane.waiting = []
  return all
}

function takeRuns(lane: Lane, messages: number): Run[] {
  const taken: Run[] = []
  let left = messages
  let whole = 0
  for (const run of lane.runs) {
    if (left === 0) break
    const count = Math.min(left, run.count)
    taken.push({ delivery: run.delivery, count })
    left -= count
    if (count === run.count) whole++
    else run.count -= count
  }
  lane.runs.splice(0, whole)
  return taken
}
