import type { Messages } from '../../event/encoded.ts'
import type { BatchMemory } from './batch-memory.ts'
import { noProducer, type ProducerMark, RecordBatch } from './record-batch.ts'
import type { Topic } from './topics.ts'
import type { ProducerIdentity } from './wire.ts'

/** One call of send: its promise, and how many batches with messages of it are not acknowledged. */
export interface Delivery {
  left: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export interface Batch {
  readonly content: RecordBatch
  /** Other lanes send the same content: it is copied for each, and lives on. */
  readonly shared: boolean
  /** Whose messages are in it. */
  readonly deliveries: Delivery[]
  /** With what it was sent, and is repeated; undefined = not sent, or to be marked anew. */
  mark: ProducerMark | undefined
  /** How often it was part of a request. */
  sent: number
}

/** The queue of one partition and the batch of it that is under way. */
export interface Lane {
  readonly topic: string
  readonly partition: number
  /** Bytes of a batch before compression. */
  readonly batchBytes: number
  /** Not sent yet, in order; the last one still takes messages. */
  readonly waiting: Batch[]
  batch: Batch | undefined
  /** Length of the last batch that was sent: a guess for the next one. */
  expectedBytes: number
  /** True from being chosen for a request until its outcome is dealt with. */
  busy: boolean
  /** What the broker said of the batch under way; -1 = nothing. */
  answer: number
  /** Of the next record; the broker knows all before it. */
  sequence: number
  /** Epochs of this lane beyond the producer's own. */
  epochsAfter: number
  /** In a row. */
  failures: number
  failingSince: number
}

/** Larger batches gain nothing, and this many every broker takes that was not told otherwise. */
const BATCH_BYTES = 1_000_000

export function newLane(topic: Topic, partition: number): Lane {
  return {
    topic: topic.name,
    partition,
    batchBytes: Math.min(BATCH_BYTES, topic.limitBytes ?? BATCH_BYTES),
    waiting: [],
    batch: undefined,
    expectedBytes: 0,
    busy: false,
    answer: -1,
    sequence: 0,
    epochsAfter: 0,
    failures: 0,
    failingSince: 0,
  }
}

/** Copies one message into the lane's last batch, or a new one. */
export function enqueue(lane: Lane, messages: Messages, index: number, delivery: Delivery, memory: BatchMemory): void {
  let last = lane.waiting[lane.waiting.length - 1]
  if (last === undefined || !last.content.add(messages, index)) {
    const content = new RecordBatch(memory, lane.batchBytes, lane.expectedBytes)
    content.add(messages, index)
    last = newBatch(content, false)
    lane.waiting.push(last)
  }
  const { deliveries } = last
  if (deliveries[deliveries.length - 1] === delivery) return
  deliveries.push(delivery)
  delivery.left++
}

/** Appends a sealed batch that many lanes send. */
export function enqueueShared(lane: Lane, content: RecordBatch, delivery: Delivery): void {
  const batch = newBatch(content, true)
  batch.deliveries.push(delivery)
  delivery.left++
  lane.waiting.push(batch)
}

/** Puts the next batch under way, if none is, and marks it; undefined = nothing waits. */
export function startBatch(lane: Lane, identity: ProducerIdentity | 'none' | undefined): Batch | undefined {
  const batch = (lane.batch ??= lane.waiting.shift())
  if (batch === undefined) return undefined
  if (batch.mark === undefined) {
    batch.mark = markOf(lane, identity)
    // Sequences count up to 2^31 - 1 and start again at 0.
    lane.sequence = (lane.sequence + batch.content.records) & 0x7fff_ffff
  }
  if (!batch.shared) lane.expectedBytes = batch.content.length
  batch.sent++
  return batch
}

/** The batch under way is to be repeated as the next epoch's first. */
export function restart(lane: Lane): void {
  lane.epochsAfter++
  lane.sequence = 0
  if (lane.batch !== undefined) lane.batch.mark = undefined
}

const newBatch = (content: RecordBatch, shared: boolean): Batch => ({
  content,
  shared,
  deliveries: [],
  mark: undefined,
  sent: 0,
})

function markOf(lane: Lane, identity: ProducerIdentity | 'none' | undefined): ProducerMark {
  if (identity === undefined || identity === 'none') return noProducer
  const { producerId, epoch } = identity
  return { producerId, epoch: epoch + lane.epochsAfter, sequence: lane.sequence }
}
