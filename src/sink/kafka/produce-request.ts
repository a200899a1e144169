import { Writer } from '@platformatic/kafka'
import type { Lane } from './lane.ts'
import { markRecordBatch, noProducer } from './record-batch.ts'
import type { Exchange } from './wire.ts'

/** Batches up to this length are copied together instead of travelling as pieces of their own. */
const COPY_BYTES = 4096

/** Told of each partition of an answer. */
export type OnAnswer = (topic: string, partition: number, errorCode: number) => void

/**
 * Appends the batch that each lane has under way, which must be sealed; marks them on the way. Its answer says what
 * became of each, nothing where `acks` is 0. Version 7 of Produce.
 */
export function produceRequest(
  lanes: readonly Lane[],
  acks: -1 | 0 | 1,
  timeoutMs: number,
  onAnswer: OnAnswer,
): Exchange<true> {
  return {
    apiKey: 0,
    version: 7,
    payload: () => Writer.create(),
    rest: produceBody(lanes, acks, timeoutMs),
    unanswered: acks === 0,
    read(r) {
      for (let topicsLeft = r.readInt32(); topicsLeft > 0; topicsLeft--) {
        const topic = r.readString(false)
        for (let left = r.readInt32(); left > 0; left--) {
          onAnswer(topic, r.readInt32(), r.readInt16())
          r.skip(24) // base offset, append time, log start offset
        }
      }
      r.readInt32() // throttle time
      return true
    },
  }
}

/** The request's body in pieces: one buffer with everything small, cut where a large batch stands. */
export function produceBody(lanes: readonly Lane[], acks: number, timeoutMs: number): Buffer[] {
  const topics = new Map<string, Lane[]>()
  let size = 2 + 2 + 4 + 4
  for (const lane of lanes) {
    const length = lane.batch?.content.length ?? 0
    size += 8 + (isCopied(lane) ? length : 0)
    const known = topics.get(lane.topic)
    if (known !== undefined) {
      known.push(lane)
      continue
    }
    topics.set(lane.topic, [lane])
    size += 2 + Buffer.byteLength(lane.topic) + 4
  }
  const out = Buffer.allocUnsafeSlow(size)
  const pieces: Buffer[] = []
  let from = 0
  let at = out.writeInt16BE(-1, 0) // transactional id
  at = out.writeInt16BE(acks, at)
  at = out.writeInt32BE(timeoutMs, at)
  at = out.writeInt32BE(topics.size, at)
  for (const [topic, ofTopic] of topics) {
    const name = at + 2
    at = name + out.write(topic, name)
    out.writeInt16BE(at - name, name - 2)
    at = out.writeInt32BE(ofTopic.length, at)
    for (const lane of ofTopic) {
      const { batch, partition } = lane
      if (batch === undefined) throw new TypeError('a lane without a batch')
      const { bytes } = batch.content
      const mark = batch.mark ?? noProducer
      at = out.writeInt32BE(partition, at)
      at = out.writeInt32BE(bytes.length, at)
      if (isCopied(lane)) {
        bytes.copy(out, at)
        markRecordBatch(out.subarray(at, at + bytes.length), mark)
        at += bytes.length
      } else {
        markRecordBatch(bytes, mark)
        pieces.push(out.subarray(from, at), bytes)
        from = at
      }
    }
  }
  if (from < at) pieces.push(out.subarray(from, at))
  return pieces
}

/** A batch that other lanes send too has another mark in each of them. */
function isCopied({ batch }: Lane): boolean {
  return batch !== undefined && (batch.shared || batch.content.length <= COPY_BYTES)
}
