import type { Clock } from '../../base/clock.ts'
import { CdcError, describeError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { backoffMs } from '../../base/retry.ts'
import type { KafkaSettings } from '../../config/sink-settings.ts'
import { abortable } from './abortable.ts'
import { type Cluster, exchange } from './cluster.ts'
import {
  BrokerError,
  createTopicRequest,
  describeConfigRequest,
  ErrorCode,
  isTransient,
  ResourceType,
  type TopicMetadata,
} from './wire.ts'

export interface Topic {
  readonly name: string
  /** How many of its partitions are used. */
  readonly partitions: number
  /** Largest record batch that the broker takes, or undefined where it does not tell. */
  readonly limitBytes: number | undefined
}

/** Partitions of a new topic where the settings do not say. */
const DEFAULT_PARTITIONS = 3
const CREATE_TIMEOUT_MS = 10_000
/** How often a cached partition count of a topic other than the default one is asked for again. */
const REFRESH_MS = 10 * 60_000
/** A new topic is looked for this often, 0.1 s to 1 s apart. */
const VISIBLE_TRIES = 10

interface Known {
  readonly looking: Promise<Topic>
  readonly since: number
  topic: Topic | undefined
}

/** Finds topics, and creates those that are missing where that is allowed (reference: kafka-sink, sections 5 and 6). */
export class Topics {
  readonly #cluster: Cluster
  readonly #settings: KafkaSettings
  readonly #log: Log
  readonly #clock: Clock
  readonly #known = new Map<string, Known>()

  constructor(cluster: Cluster, settings: KafkaSettings, log: Log, clock: Clock) {
    this.#cluster = cluster
    this.#settings = settings
    this.#log = log
    this.#clock = clock
  }

  /** The topic if it has been found already; no more than {@link ensure} would say without asking. */
  known(name: string): Topic | undefined {
    const known = this.#known.get(name)
    return known !== undefined && this.#isFresh(name, known) ? known.topic : undefined
  }

  /** The topic, found or created. Errors: `CDC:ErrKafkaCreateTopic`, `CDC:ErrKafkaNewProducer`. */
  ensure(name: string, signal: AbortSignal): Promise<Topic> {
    const known = this.#known.get(name)
    if (known !== undefined && this.#isFresh(name, known)) return known.looking
    const entry: Known = {
      looking: this.#findOrCreate(name, signal),
      since: this.#clock.monotonic(),
      topic: undefined,
    }
    this.#known.set(name, entry)
    entry.looking.then(
      (topic) => void (entry.topic = topic),
      () => {
        if (this.#known.get(name) === entry) this.#known.delete(name)
      },
    )
    return entry.looking
  }

  #isFresh(name: string, known: Known): boolean {
    return name === this.#settings.topic || this.#clock.monotonic() - known.since < REFRESH_MS
  }

  /** The topic as it is; undefined where it does not exist. */
  async find(name: string, signal: AbortSignal): Promise<TopicMetadata | undefined> {
    const metadata = await this.#cluster.refresh([name], signal)
    const topic = metadata.topics.find((each) => each.name === name)
    if (topic === undefined || topic.errorCode === ErrorCode.UnknownTopicOrPartition) return undefined
    if (topic.errorCode !== ErrorCode.None && topic.errorCode !== ErrorCode.LeaderNotAvailable)
      throw new CdcError('CDC:ErrKafkaNewProducer', `cannot describe topic ${name}`, {
        cause: new BrokerError(topic.errorCode),
      })
    return topic
  }

  /** A setting of the topic, or of the controller under its own name where the topic is undefined or hides it. */
  async setting(topic: string | undefined, topicKey: string, brokerKey: string, signal: AbortSignal) {
    const ofTopic = topic === undefined ? undefined : await this.#config(ResourceType.Topic, topic, topicKey, signal)
    if (ofTopic !== undefined) return { value: ofTopic, source: 'topic' } as const
    const controller = String(this.#cluster.controller)
    const ofBroker = await this.#config(ResourceType.Broker, controller, brokerKey, signal)
    return ofBroker === undefined ? undefined : ({ value: ofBroker, source: 'broker' } as const)
  }

  async #config(type: 2 | 4, name: string, key: string, signal: AbortSignal): Promise<number | undefined> {
    try {
      const request = describeConfigRequest(type, name, [key])
      // Only the broker itself knows its own settings; any broker knows a topic's.
      const answer = await (type === ResourceType.Topic
        ? this.#cluster.any(request, signal)
        : this.#atController(request, signal))
      if (answer.errorCode !== ErrorCode.None) throw new BrokerError(answer.errorCode, answer.detail)
      const value = answer.values.get(key)
      return value === undefined ? undefined : Number(value)
    } catch (error) {
      signal.throwIfAborted()
      this.#log.warn('kafka setting is not visible', { resource: name, key, error: describeError(error) })
      return undefined
    }
  }

  async #findOrCreate(name: string, signal: AbortSignal): Promise<Topic> {
    try {
      return await this.#look(name, signal)
    } catch (cause) {
      signal.throwIfAborted()
      if (cause instanceof CdcError) throw cause
      throw new CdcError('CDC:ErrKafkaNewProducer', `cannot look up topic ${name}`, { cause })
    }
  }

  async #look(name: string, signal: AbortSignal): Promise<Topic> {
    const found = await this.find(name, signal)
    if (found !== undefined) return this.#describe(found, signal)
    if (!this.#settings.autoCreateTopic)
      throw new CdcError('CDC:ErrKafkaCreateTopic', `cannot use topic ${name}`, {
        cause: new CdcError('CDC:ErrKafkaInvalidConfig', `\`auto-create-topic\` is false, and ${name} not found`),
      })
    await this.#create(name, signal)
    for (let attempt = 1; ; attempt++) {
      const created = await this.find(name, signal)
      const ready = created !== undefined && created.partitions.length > 0
      if (ready && created.partitions.every(({ leader }) => leader >= 0)) return this.#describe(created, signal)
      if (attempt === VISIBLE_TRIES)
        throw new CdcError('CDC:ErrKafkaCreateTopic', `topic ${name} was created but has no leaders yet`)
      await this.#clock.sleep(backoffMs(attempt, 100, 1000), signal)
    }
  }

  async #describe(topic: TopicMetadata, signal: AbortSignal): Promise<Topic> {
    const limit = await this.setting(topic.name, 'max.message.bytes', 'message.max.bytes', signal)
    const count = topic.partitions.length
    const wanted = topic.name === this.#settings.topic ? (this.#settings.partitionNum ?? count) : count
    return { name: topic.name, partitions: Math.min(count, wanted), limitBytes: limit?.value }
  }

  async #create(name: string, signal: AbortSignal): Promise<void> {
    const partitions = this.#settings.partitionNum ?? DEFAULT_PARTITIONS
    const { replicationFactor } = this.#settings
    for (let attempt = 1; ; attempt++) {
      const request = createTopicRequest(name, partitions, replicationFactor, CREATE_TIMEOUT_MS)
      const { errorCode, detail } = await this.#atController(request, signal)
      if (errorCode === ErrorCode.None || errorCode === ErrorCode.TopicAlreadyExists) {
        this.#log.info('kafka topic created', { topic: name, partitions, replicationFactor })
        return
      }
      if (!isTransient(errorCode) || attempt === VISIBLE_TRIES)
        throw new CdcError(
          'CDC:ErrKafkaCreateTopic',
          `cannot create topic ${name} with ${partitions} partitions and ${replicationFactor} replicas`,
          { cause: new BrokerError(errorCode, detail) },
        )
      await this.#clock.sleep(backoffMs(attempt, 100, 1000), signal)
      await this.#cluster.refresh([], signal)
    }
  }

  async #atController<T>(request: Parameters<typeof exchange<T>>[1], signal: AbortSignal): Promise<T> {
    const connection = await abortable(this.#cluster.connection(this.#cluster.controller), signal)
    return abortable(exchange(connection, request), signal)
  }
}
