/** Topics of the bench's broker. */
import { Admin } from '@platformatic/kafka'

export interface Topics extends AsyncDisposable {
  create(topic: string, partitions: number, configs?: Readonly<Record<string, string>>): Promise<void>
  /** Messages that the topics have got so far. */
  messages(topics: readonly string[]): Promise<number>
  /** What they take on the broker's disk. */
  bytes(topics: readonly string[]): Promise<number>
  /** Frees the broker's disk. */
  remove(topics: readonly string[]): Promise<void>
}

const LATEST = -1n

export function openTopics(bootstrap: string): Topics {
  const admin = new Admin({ clientId: 'bench', bootstrapBrokers: [bootstrap], retries: 5 })
  const partitionsOf = new Map<string, number>()
  return {
    async create(topic, partitions, configs = {}) {
      const settings = Object.entries(configs).map(([name, value]) => ({ name, value }))
      await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs: settings })
      partitionsOf.set(topic, partitions)
    },
    async messages(topics) {
      const asked = topics.map((name) => {
        const count = partitionsOf.get(name) ?? 1
        const partitions = Array.from({ length: count }, (_, partitionIndex) => ({ partitionIndex, timestamp: LATEST }))
        return { name, partitions }
      })
      const answer = await admin.listOffsets({ topics: asked })
      return answer.flatMap(({ partitions }) => partitions).reduce((sum, { offset }) => sum + Number(offset), 0)
    },
    async bytes(topics) {
      const asked = topics.map((name) => ({
        name,
        partitions: Array.from({ length: partitionsOf.get(name) ?? 1 }, (_, partition) => partition),
      }))
      const brokers = await admin.describeLogDirs({ topics: asked })
      const partitions = brokers
        .flatMap(({ results }) => results)
        .flatMap((dir) => dir.topics)
        .flatMap((topic) => topic.partitions)
      return partitions.reduce((sum, { partitionSize }) => sum + Number(partitionSize), 0)
    },
    async remove(topics) {
      await admin.deleteTopics({ topics: [...topics] })
    },
    [Symbol.asyncDispose]: () => admin.close(),
  }
}
