/**
 * The requests that the sink makes beside Produce (produce-request.ts), each in one fixed version that needs no
 * negotiation: every broker from 2.1 to X, TLS and SASL are the library's.
 */
import { protocolErrorsCodesById, type Reader, Writer } from '@platformatic/kafka'

/** A request with the reader of its response. */
export interface Exchange<T> {
  readonly apiKey: number
  readonly version: number
  readonly payload: () => Writer
  /** What follows the payload, written without being copied: must not change until the broker has answered. */
  readonly rest?: readonly Buffer[]
  /** The broker sends no answer. */
  readonly unanswered?: boolean
  readonly read: (reader: Reader) => T
}

/** What a broker answered instead of doing it; `name` is Kafka's, for example `NOT_LEADER_OR_FOLLOWER`. */
export class BrokerError extends Error {
  readonly errorCode: number

  constructor(errorCode: number, detail: string | null = null) {
    const known = brokerErrorName(errorCode)
    super(detail === null || detail === '' ? known : `${known} (${detail})`)
    this.name = 'BrokerError'
    this.errorCode = errorCode
  }
}

export const brokerErrorName = (code: number): string => protocolErrorsCodesById[code] ?? `Kafka error ${code}`

/** Codes that the sink decides on. */
export const ErrorCode = {
  None: 0,
  UnknownTopicOrPartition: 3,
  LeaderNotAvailable: 5,
  MessageTooLarge: 10,
  InvalidTopic: 17,
  TopicAuthorizationFailed: 29,
  ClusterAuthorizationFailed: 31,
  UnsupportedVersion: 35,
  TopicAlreadyExists: 36,
  NotController: 41,
  OutOfOrderSequenceNumber: 45,
  DuplicateSequenceNumber: 46,
  InvalidProducerEpoch: 47,
  UnknownProducerId: 59,
} as const

/** What will pass by itself: elections, moves, overload, replicas that are behind. */
const TRANSIENT: ReadonlySet<number> = new Set([
  -1, 2, 3, 5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 74, 75, 89,
])
export const isTransient = (errorCode: number): boolean => TRANSIENT.has(errorCode)

export interface Metadata {
  readonly brokers: readonly { readonly node: number; readonly host: string; readonly port: number }[]
  readonly controller: number
  readonly topics: readonly TopicMetadata[]
}

export interface TopicMetadata {
  readonly errorCode: number
  readonly name: string
  /** `leader` is -1 where there is none at the moment. */
  readonly partitions: readonly { readonly errorCode: number; readonly index: number; readonly leader: number }[]
}

/** Brokers, the controller and `topics`; never creates one. */
export function metadataRequest(topics: readonly string[]): Exchange<Metadata> {
  return {
    apiKey: 3,
    version: 4,
    payload: () =>
      Writer.create()
        .appendArray([...topics], (w, topic) => w.appendString(topic, false), false, false)
        .appendBoolean(false),
    read(r) {
      r.readInt32() // throttle time
      const brokers = r.readArray(
        () => {
          const broker = { node: r.readInt32(), host: r.readString(false), port: r.readInt32() }
          r.readNullableString(false) // rack
          return broker
        },
        false,
        false,
      )
      r.readNullableString(false) // cluster id
      const controller = r.readInt32()
      const found = r.readArray(() => readTopic(r), false, false)
      return { brokers, controller, topics: found }
    },
  }
}

function readTopic(r: Reader): TopicMetadata {
  const errorCode = r.readInt16()
  const name = r.readString(false)
  r.readBoolean() // internal
  const partitions = r.readArray(
    () => {
      const partition = { errorCode: r.readInt16(), index: r.readInt32(), leader: r.readInt32() }
      r.readArray(() => r.readInt32(), false, false) // replicas
      r.readArray(() => r.readInt32(), false, false) // in-sync replicas
      return partition
    },
    false,
    false,
  )
  return { errorCode, name, partitions }
}

/** Creates one topic with the broker's defaults for everything but its size; resolves to the error code. */
export function createTopicRequest(
  topic: string,
  partitions: number,
  replicationFactor: number,
  timeoutMs: number,
): Exchange<{ readonly errorCode: number; readonly detail: string | null }> {
  return {
    apiKey: 19,
    version: 2,
    payload: () =>
      Writer.create()
        .appendInt32(1)
        .appendString(topic, false)
        .appendInt32(partitions)
        .appendInt16(replicationFactor)
        .appendInt32(0) // assignments
        .appendInt32(0) // configs
        .appendInt32(timeoutMs)
        .appendBoolean(false), // validate only
    read(r) {
      r.readInt32() // throttle time
      r.readInt32() // one topic
      r.readString(false)
      return { errorCode: r.readInt16(), detail: r.readNullableString(false) }
    },
  }
}

export const ResourceType = { Topic: 2, Broker: 4 } as const

/** What a broker says of one resource; a setting that it does not show is absent. */
export interface ConfigAnswer {
  readonly resource: string
  readonly errorCode: number
  readonly detail: string | null
  readonly values: ReadonlyMap<string, string>
}

/** The settings `names` of topics, or of brokers by their node. */
export function describeConfigsRequest(
  type: (typeof ResourceType)[keyof typeof ResourceType],
  resources: readonly string[],
  names: readonly string[],
): Exchange<readonly ConfigAnswer[]> {
  return {
    apiKey: 32,
    version: 1,
    payload() {
      const writer = Writer.create().appendInt32(resources.length)
      for (const resource of resources) {
        writer.appendInt8(type).appendString(resource, false)
        writer.appendArray([...names], (w, name) => w.appendString(name, false), false, false)
      }
      return writer.appendBoolean(false) // synonyms
    },
    read(r) {
      r.readInt32() // throttle time
      return r.readArray(() => readConfig(r), false, false)
    },
  }
}

function readConfig(r: Reader): ConfigAnswer {
  const errorCode = r.readInt16()
  const detail = r.readNullableString(false)
  r.readInt8() // type
  const resource = r.readString(false)
  const values = new Map<string, string>()
  for (let left = r.readInt32(); left > 0; left--) {
    const name = r.readString(false)
    const value = r.readNullableString(false)
    r.skip(3) // read only, source, sensitive
    for (let synonyms = r.readInt32(); synonyms > 0; synonyms--) {
      r.readString(false)
      r.readNullableString(false)
      r.readInt8()
    }
    if (value !== null) values.set(name, value)
  }
  return { resource, errorCode, detail, values }
}

export interface ProducerIdentity {
  readonly producerId: bigint
  readonly epoch: number
}

/** A new producer id. */
export function initProducerRequest(): Exchange<{ readonly errorCode: number } & ProducerIdentity> {
  return {
    apiKey: 22,
    version: 1,
    payload: () => Writer.create().appendString(null, false).appendInt32(60_000),
    read(r) {
      r.readInt32() // throttle time
      return { errorCode: r.readInt16(), producerId: r.readInt64(), epoch: r.readInt16() }
    },
  }
}
