import { type Delivery, enqueueShared, type Lane } from './lane.ts'
import type { RecordBatch } from './record-batch.ts'
import type { Topic } from './topics.ts'

/**
 * One message on its way to every partition of many topics. It enters the lanes topic by topic, a window at a time, so
 * that what is sent to single partitions meanwhile does not wait behind all of it.
 */
export class Broadcast {
  readonly delivery: Delivery
  readonly #content: RecordBatch
  /** Topics that it has not entered, by name. */
  readonly #topics: Map<string, Topic>

  /** `content` is sealed; `delivery.left` counts the rest of the topics as one. */
  constructor(topics: readonly Topic[], content: RecordBatch, delivery: Delivery) {
    this.#content = content
    this.#topics = new Map(topics.map((topic) => [topic.name, topic]))
    this.delivery = delivery
    delivery.left++
  }

  /** Partitions that have it and have not acknowledged. */
  get underWay(): number {
    return this.delivery.left - (this.#topics.size > 0 ? 1 : 0)
  }

  /** The next topic to enter. */
  next(): Topic | undefined {
    return this.#topics.values().next().value
  }

  /** Enters the lanes of a topic, unless it has already; says which they are. */
  enter(topic: string, laneOf: (topic: Topic, partition: number) => Lane): readonly Lane[] {
    const entering = this.#topics.get(topic)
    if (entering === undefined) return []
    const lanes = Array.from({ length: entering.partitions }, (_, partition) => laneOf(entering, partition))
    for (const lane of lanes) enqueueShared(lane, this.#content, this.delivery)
    this.#topics.delete(topic)
    if (this.#topics.size === 0) this.delivery.left--
    return lanes
  }
}
