import type { StorageLocation } from './storage-uri.ts'

/**
 * What a sink URI and the `[sink]` table of a changefeed mean together: the URI wins key by key (reference: interface,
 * section 4.1). Plain values, fit for a message to a worker.
 */
export type SinkSettings = KafkaSettings | BlackholeSettings | StorageSettings

export const PROTOCOLS = ['open-protocol', 'canal-json', 'avro', 'maxwell', 'simple', 'debezium', 'csv'] as const
export type ProtocolName = (typeof PROTOCOLS)[number]

/** Protocols that this build can encode; others are known, and refused by name. */
export const BUILT_PROTOCOLS: readonly ProtocolName[] = [
  'open-protocol',
  'canal-json',
  'avro',
  'maxwell',
  'simple',
  'debezium',
  'csv',
]

/** Where the schemas of avro messages are registered. */
export type SchemaRegistrySettings = ConfluentSettings | GlueSettings

export interface ConfluentSettings {
  readonly kind: 'confluent'
  /** Without trailing slashes; may hold `user:password@`, which must not be shown. */
  readonly url: string
  /** Paths of PEM files: authorities beside the system's, and the certificate of this client. */
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

export interface GlueSettings {
  readonly kind: 'glue'
  readonly region: string
  readonly registryName: string
  /** undefined = what AWS's own chain of credentials finds. */
  readonly credentials:
    | { readonly accessKey: string; readonly secretAccessKey: string; readonly token: string | undefined }
    | undefined
}

export interface CsvSettings {
  /** One to three bytes. */
  readonly delimiter: string
  /** '' = fields are not quoted, special characters are escaped. */
  readonly quote: string
  readonly null: string
  readonly includeCommitTs: boolean
  readonly binaryEncoding: 'base64' | 'hex'
  /** Updates as a delete and an insert. */
  readonly outputOldValue: boolean
  readonly outputHandleKey: boolean
  /** A line of titles at the head of each file. */
  readonly outputFieldHeader: boolean
}

export interface DebeziumSettings {
  readonly outputOldValue: boolean
  readonly disableSchema: boolean
}

export const MESSAGE_COMPRESSIONS = ['none', 'lz4', 'snappy'] as const
export type MessageCompression = (typeof MESSAGE_COMPRESSIONS)[number]

/** What becomes of messages that exceed the limit (reference: protocols, section 5). */
export interface LargeMessageSettings {
  /** Of every value, large or not. */
  readonly compression: MessageCompression
  readonly handling:
    | { readonly option: 'none' | 'handle-key-only' }
    | {
        readonly option: 'claim-check'
        readonly storage: StorageLocation
        /** The stored object is the value alone. */
        readonly rawValue: boolean
      }
}

export interface AvroSettings {
  readonly decimalMode: 'precise' | 'string'
  readonly bigintUnsignedMode: 'long' | 'string'
  /** DDLs and watermarks in a form of TiCDC's own tests. */
  readonly enableWatermark: boolean
  /** undefined where the protocol is another one. */
  readonly registry: SchemaRegistrySettings | undefined
}

export interface SimpleSettings {
  readonly encoding: 'json' | 'avro'
  /** undefined = no bootstrap messages. */
  readonly bootstrap: BootstrapSettings | undefined
}

/** When a table's schema is sent again. */
export interface BootstrapSettings {
  readonly intervalMs: number
  readonly messages: number
  readonly toAllPartitions: boolean
  readonly allAtStart: boolean
}

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
  /** Rows carry checksums, and messages that can show them do. */
  readonly rowChecksum: boolean
  readonly avro: AvroSettings
  readonly simple: SimpleSettings
  readonly csv: CsvSettings
  readonly debezium: DebeziumSettings
  readonly largeMessages: LargeMessageSettings
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
  readonly scheme: 'storage'
  readonly location: StorageLocation
  readonly codec: CodecSettings
  readonly flushIntervalMs: number
  readonly fileSizeBytes: number
  readonly dateSeparator: 'none' | 'year' | 'month' | 'day'
  readonly partitionSeparator: boolean
  readonly fileIndexDigits: number
}
