import type { Clock } from '../../base/clock.ts'
import { CdcError, describeError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { backoffMs } from '../../base/retry.ts'
import type { KafkaSettings } from '../../config/sink-settings.ts'
import { abortable } from './abortable.ts'
import type { Cluster } from './cluster.ts'
import { gather } from './gather.ts'
import {
  BrokerError,
  type ConfigAnswer,
  createTopicRequest,
  describeConfigsRequest,
  ErrorCode,
  type Exchange,
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
/** Topics in one request for metadata or settings: an answer about them is read in some milliseconds. */
const NAMES_AT_ONCE = 100
const TOPIC_LIMIT = 'max.message.bytes'
const CREATE_TRIES = 10
/** A new topic is looked for this often, 0.1 s to 1 s apart: many at once take a broker a while. */
const VISIBLE_TRIES = 30

/** How a broker tells a setting: as text, not at all, or that it will not. */
type Setting = string | undefined | BrokerError

interface Known {
  looking: Promise<Topic>
  /** When it was looked at. */
  since: number
  topic: Topic | undefined
}

/** Finds topics, and creates those that are missing where that is allowed (reference: kafka-sink, sections 5 and 6). */
export class Topics {
  readonly #cluster: Cluster
  readonly #settings: KafkaSettings
  readonly #log: Log
  readonly #clock: Clock
  readonly #known = new Map<string, Known>()
  readonly #metadataOf: (name: string) => Promise<TopicMetadata | undefined>
  /** By topic. */
  readonly #limitOf: (name: string) => Promise<Setting | undefined>
  /** By name of the setting. */
  readonly #brokerSettingOf: (name: string) => Promise<Setting | undefined>

  constructor(cluster: Cluster, settings: KafkaSettings, log: Log, clock: Clock) {
    this.#cluster = cluster
    this.#settings = settings
    this.#log = log
    this.#clock = clock
    // Closing the cluster ends what is asked.
    const { signal } = new AbortController()
    this.#metadataOf = gather(async (names) => {
      const { topics } = await cluster.refresh(names, signal)
      return new Map(topics.map((topic) => [topic.name, topic]))
    }, NAMES_AT_ONCE)
    this.#limitOf = gather(async (names) => {
      const found = await cluster.any(describeConfigsRequest(ResourceType.Topic, names, [TOPIC_LIMIT]), signal)
      return new Map(found.map((config) => [config.resource, settingIn(config, TOPIC_LIMIT)]))
    }, NAMES_AT_ONCE)
    // Only the broker itself knows its own settings; any broker knows a topic's.
    this.#brokerSettingOf = gather(async (keys) => {
      const controller = [String(cluster.controller)]
      const [config] = await this.#atController(describeConfigsRequest(ResourceType.Broker, controller, keys), signal)
      return new Map(config === undefined ? [] : keys.map((key) => [key, settingIn(config, key)]))
    }, NAMES_AT_ONCE)
  }

  /** The topic if it has been found already; {@link ensure} would say the same. */
  known(name: string): Topic | undefined {
    const known = this.#known.get(name)
    if (known?.topic !== undefined) this.#keepFresh(name, known)
    return known?.topic
  }

  /** The topic, found or created. Errors: `CDC:ErrKafkaCreateTopic`, `CDC:ErrKafkaNewProducer`. */
  ensure(name: string, signal: AbortSignal): Promise<Topic> {
    const known = this.#known.get(name)
    if (known?.topic !== undefined) this.#keepFresh(name, known)
    if (known !== undefined) return known.looking
    const looking = this.#findOrCreate(name, signal)
    const entry: Known = { looking, since: this.#clock.monotonic(), topic: undefined }
    this.#known.set(name, entry)
    looking.then(
      (topic) => void (entry.topic = topic),
      () => this.#known.delete(name),
    )
    return looking
  }

  /** Looks at a topic again now and then: it may have got more partitions. What was known holds until then. */
  #keepFresh(name: string, known: Known): void {
    const now = this.#clock.monotonic()
    if (name === this.#settings.topic || now - known.since < REFRESH_MS) return
    known.since = now
    this.#refresh(name, known).catch((error: unknown) =>
      this.#log.warn('kafka topic could not be looked at again', { topic: name, error: describeError(error) }),
    )
  }

  async #refresh(name: string, known: Known): Promise<void> {
    const found = await this.#find(name)
    if (found === undefined) return
    known.topic = await this.#describe(found, new AbortController().signal)
    known.looking = Promise.resolve(known.topic)
  }

  /** The topic as it is; undefined where it does not exist. */
  find(name: string, signal: AbortSignal): Promise<TopicMetadata | undefined> {
    return abortable(this.#find(name), signal)
  }

  async #find(name: string): Promise<TopicMetadata | undefined> {
    const topic = await this.#metadataOf(name)
    if (topic === undefined || topic.errorCode === ErrorCode.UnknownTopicOrPartition) return undefined
    if (topic.errorCode !== ErrorCode.None && topic.errorCode !== ErrorCode.LeaderNotAvailable)
      throw new CdcError('CDC:ErrKafkaNewProducer', `cannot describe topic ${name}`, {
        cause: new BrokerError(topic.errorCode),
      })
    return topic
  }

  /** Largest record batch that a topic takes, or one without settings of its own; undefined where nobody tells. */
  async limitBytes(topic: string | undefined, signal: AbortSignal): Promise<number | undefined> {
    const ofTopic = topic === undefined ? undefined : await abortable(this.#setting(this.#limitOf, topic), signal)
    return ofTopic ?? this.brokerSetting('message.max.bytes', signal)
  }

  /** A number among the controller's own settings, or undefined where it does not show it. */
  brokerSetting(key: string, signal: AbortSignal): Promise<number | undefined> {
    return abortable(this.#setting(this.#brokerSettingOf, key), signal)
  }

  async #setting(settingOf: (name: string) => Promise<Setting | undefined>, name: string): Promise<number | undefined> {
    try {
      const setting = await settingOf(name)
      if (setting instanceof BrokerError) throw setting
      return setting === undefined ? undefined : Number(setting)
    } catch (error) {
      this.#log.warn('kafka setting is not visible', { name, error: describeError(error) })
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
    const count = topic.partitions.length
    const wanted = topic.name === this.#settings.topic ? (this.#settings.partitionNum ?? count) : count
    const limitBytes = await this.limitBytes(topic.name, signal)
    return { name: topic.name, partitions: Math.min(count, wanted), limitBytes }
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
      if (!isTransient(errorCode) || attempt === CREATE_TRIES)
        throw new CdcError(
          'CDC:ErrKafkaCreateTopic',
          `cannot create topic ${name} with ${partitions} partitions and ${replicationFactor} replicas`,
          { cause: new BrokerError(errorCode, detail) },
        )
      await this.#clock.sleep(backoffMs(attempt, 100, 1000), signal)
      await this.#cluster.refresh([], signal)
    }
  }

  async #atController<T>(request: Exchange<T>, signal: AbortSignal): Promise<T> {
    const connection = await abortable(this.#cluster.connection(this.#cluster.controller), signal)
    return abortable(connection.exchange(request), signal)
  }
}

const settingIn = ({ errorCode, detail, values }: ConfigAnswer, key: string): Setting =>
  errorCode === ErrorCode.None ? values.get(key) : new BrokerError(errorCode, detail)
