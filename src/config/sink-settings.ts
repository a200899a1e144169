/**
 * What a sink URI and the `[sink]` table of a changefeed mean together: the URI wins key by key (reference: interface,
 * section 4.1). Plain values, fit for a message to a worker.
 */
export type SinkSettings = KafkaSettings | BlackholeSettings | StorageSettings

export const PROTOCOLS = ['open-protocol', 'canal-json', 'avro', 'maxwell', 'simple', 'debezium', 'csv'] as const
export type ProtocolName = (typeof PROTOCOLS)[number]

/** Protocols that this build can encode; others are known, and refused by name. */
export const BUILT_PROTOCOLS: readonly ProtocolName[] = ['open-protocol', 'canal-json']

/** Everything that changes the bytes of messages. */
export interface CodecSettings {
  readonly protocol: ProtocolName
  readonly enableTidbExtension: boolean
  /** Largest message (key + value + 36) and, for batching protocols, largest batch. */
  readonly maxMessageBytes: number
  /** Rows per message of a batching protocol. */
  readonly maxBatchSize: number
  readonly contentCompatible: boolean
  readonly onlyOutputUpdatedColumns: boolean
  readonly deleteOnlyOutputHandleKeyColumns: boolean
  readonly openOutputOldValue: boolean
  /** Between rows in a storage file. */
  readonly terminator: string
}

export const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export type Compression = (typeof COMPRESSIONS)[number]

export interface TlsSettings {
  /** Paths of PEM files. */
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly insecureSkipVerify: boolean
}

export interface SaslPasswordSettings {
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
  readonly user: string
  readonly password: string
}

export interface KafkaSettings {
  readonly scheme: 'kafka'
  readonly brokers: readonly string[]
  readonly topic: string
  readonly codec: CodecSettings
  /** undefined = the topic's own count, or 3 for a new topic. */
  readonly partitionNum: number | undefined
  readonly replicationFactor: number
  readonly compression: Compression
  readonly requiredAcks: -1 | 0 | 1
  /** undefined = derived from capture and changefeed. */
  readonly clientId: string | undefined
  readonly autoCreateTopic: boolean
  readonly dialTimeoutMs: number
  readonly writeTimeoutMs: number
  readonly readTimeoutMs: number
  readonly tls: TlsSettings | undefined
  readonly sasl: SaslPasswordSettings | undefined
}

export interface BlackholeSettings {
  readonly scheme: 'blackhole'
  /** undefined = rows are mounted and dropped. */
  readonly codec: CodecSettings | undefined
}

export interface StorageSettings {
  readonly scheme: 'file'
  /** Absolute path of the root folder. */
  readonly path: string
  readonly codec: CodecSettings
  readonly flushIntervalMs: number
  readonly fileSizeBytes: number
  readonly dateSeparator: 'none' | 'year' | 'month' | 'day'
  readonly partitionSeparator: boolean
  readonly fileIndexDigits: number
}
