import { bool, duration, int, optionalTable, table, tables, text, texts, uint64s } from './key-table.ts'

// Every key of a changefeed's file (reference: interface, section 3.3). Order: the form kept in etcd.

const MQ = ['mq'] as const
const STORAGE = ['storage'] as const
const MYSQL = ['mysql'] as const
const MESSAGES = ['mq', 'storage'] as const

const secret = { secret: true, omitEmpty: true } as const
/** A key of TiCDC's new architecture that changes what is replicated: read, so that it can be refused by name. */
const newArchitecture = (implied: boolean | string) =>
  ({ implied, unbuilt: true, doc: "Of TiCDC's new architecture." }) as const
const NEW_ARCHITECTURE = "it tunes TiCDC's new architecture and means nothing here"

/** `[sink.kafka-config]`; most of its keys are parameters of a Kafka URI too. */
export const KAFKA_KEYS = {
  partitionNum: int(undefined, { allowed: '> 0', doc: "Partitions to write to; unset: the topic's, 3 for a new one." }),
  replicationFactor: int(undefined, { implied: 1, doc: 'Of a topic that is created.' }),
  kafkaVersion: text(undefined, { allowed: 'x.y.z', doc: 'Version of the brokers; found out when unset.' }),
  maxMessageBytes: int(undefined, {
    implied: 10_485_760,
    allowed: '> 0',
    doc: 'Largest message; lowered to what topic or broker accept, less 128 bytes.',
  }),
  compression: text(undefined, { implied: 'none', allowed: 'none|gzip|snappy|lz4|zstd' }),
  kafkaClientId: text(undefined, {
    allowed: '[A-Za-z0-9._-]+',
    doc: 'Unset: TiCDC_producer_{address}_{namespace}_{changefeed id}.',
  }),
  autoCreateTopic: bool(undefined, { implied: true, doc: 'Create the topic when it is missing.' }),
  dialTimeout: text(undefined, { implied: '10s', allowed: 'Go duration' }),
  writeTimeout: text(undefined, { implied: '10s', allowed: 'Go duration' }),
  readTimeout: text(undefined, { implied: '10s', allowed: 'Go duration' }),
  requiredAcks: int(undefined, { implied: -1, allowed: '-1|0|1', doc: 'Replicas that must have a message.' }),
  saslUser: text(undefined, {}),
  saslPassword: text(undefined, secret),
  saslMechanism: text(undefined, {
    allowed: 'PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|GSSAPI|OAUTHBEARER (any case)',
    doc: 'SASL is off while this is unset. GSSAPI and OAUTHBEARER are not built yet.',
  }),
  saslGssapiAuthType: text(undefined, { allowed: 'user|keytab', unbuilt: true }),
  saslGssapiKeytabPath: text(undefined, { unbuilt: true }),
  saslGssapiKerberosConfigPath: text(undefined, { unbuilt: true }),
  saslGssapiServiceName: text(undefined, { unbuilt: true }),
  saslGssapiUser: text(undefined, { unbuilt: true }),
  saslGssapiPassword: text(undefined, { ...secret, unbuilt: true }),
  saslGssapiRealm: text(undefined, { unbuilt: true }),
  saslGssapiDisablePafxfast: bool(undefined, { implied: false, unbuilt: true }),
  saslOauthClientId: text(undefined, { doc: 'Config file only, as all of OAuth.', unbuilt: true }),
  saslOauthClientSecret: text(undefined, { ...secret, doc: 'Base64 of the secret.', unbuilt: true }),
  saslOauthTokenUrl: text(undefined, { secret: 'uri', omitEmpty: true, unbuilt: true }),
  saslOauthScopes: texts(undefined, { omitEmpty: true, unbuilt: true }),
  saslOauthGrantType: text(undefined, { doc: 'client_credentials when unset.', unbuilt: true }),
  saslOauthAudience: text(undefined, { unbuilt: true }),
  enableTls: bool(undefined, { doc: 'Unset: on when certificate files are given.' }),
  ca: text(undefined, { allowed: 'path of a PEM file' }),
  cert: text(undefined, { allowed: 'path of a PEM file', doc: 'Together with key.' }),
  key: text(undefined, { ...secret, allowed: 'path of a PEM file', doc: 'Together with cert.' }),
  insecureSkipVerify: bool(undefined, { implied: false, doc: "Do not verify the brokers' certificates." }),
  codecConfig: optionalTable({
    enableTidbExtension: bool(undefined, { implied: false, doc: 'canal-json, avro: add fields of TiDB.' }),
    maxBatchSize: int(undefined, { implied: 16, allowed: '> 0', doc: 'open-protocol: rows per message.' }),
    avroEnableWatermark: bool(undefined, { implied: false, doc: 'avro, for tests.' }),
    avroDecimalHandlingMode: text(undefined, { implied: 'precise', allowed: 'precise|string' }),
    avroBigintUnsignedHandlingMode: text(undefined, { implied: 'long', allowed: 'long|string' }),
    encodingFormat: text(undefined, { implied: 'json', allowed: 'json|avro', doc: 'simple protocol.' }),
    avroIncludeBeforeValue: bool(undefined, newArchitecture(false)),
    outputRowKey: bool(undefined, newArchitecture(false)),
  }),
  largeMessageHandle: optionalTable({
    largeMessageHandleOption: text(undefined, {
      implied: 'none',
      allowed: 'none|handle-key-only|claim-check',
      doc: 'What becomes of a message above the limit (open-protocol, canal-json with extension, simple).',
    }),
    largeMessageHandleCompression: text(undefined, {
      implied: 'none',
      allowed: 'none|snappy|lz4',
      doc: 'Of the values of all messages; not that of Kafka.',
    }),
    claimCheckStorageUri: text(undefined, { secret: 'uri', doc: 'Where whole messages are put: file:// or s3://.' }),
    claimCheckRawValue: bool(undefined, { implied: false, doc: 'Store the value alone; not with open-protocol.' }),
  }),
  glueSchemaRegistryConfig: optionalTable({
    registryName: text(undefined, { doc: 'avro: the registry, which must exist.' }),
    region: text(undefined, { doc: 'avro: of AWS.' }),
    accessKey: text(undefined, { ...secret, doc: "Unset: what AWS's own chain of credentials finds." }),
    secretAccessKey: text(undefined, secret),
    token: text(undefined, { ...secret, doc: 'Of a session.' }),
  }),
  outputRawChangeEvent: bool(undefined, {
    implied: false,
    doc: 'Do not split an update of the primary or a unique key into delete and insert.',
  }),
} as const

/** `[sink.cloud-storage-config]`; the first three are URI parameters too. */
export const STORAGE_KEYS = {
  workerCount: int(undefined, { implied: 16, allowed: '1..512' }),
  flushInterval: text(undefined, { implied: '5s', allowed: '2s..10m', doc: 'Longest time until rows are in a file.' }),
  fileSize: int(undefined, { implied: 67_108_864, allowed: '1048576..536870912', doc: 'Bytes.' }),
  outputColumnId: bool(undefined, { implied: false, doc: 'Add column ids to schema files.' }),
  fileExpirationDays: int(undefined, { implied: 0, doc: 'Remove files older than this; 0 keeps them.' }),
  fileCleanupCronSpec: text(undefined, { implied: '0 0 2 * * *', doc: 'When; six fields, seconds first.' }),
  useTableIdAsPath: bool(undefined, newArchitecture(false)),
  flushConcurrency: int(undefined, { implied: 1, allowed: '1..512' }),
  outputRawChangeEvent: bool(undefined, { implied: false }),
} as const

const MYSQL_KEYS = {
  workerCount: int(undefined, { implied: 16, allowed: '1..1024' }),
  maxTxnRow: int(undefined, { implied: 256, allowed: '1..2048' }),
  maxMultiUpdateRowSize: int(undefined, { implied: 1024, allowed: '0..8192' }),
  maxMultiUpdateRow: int(undefined, { implied: 40, allowed: '1..256', api: 'max_multi_update_row_count' }),
  tidbTxnMode: text(undefined, { implied: 'optimistic', allowed: 'optimistic|pessimistic' }),
  sslCa: text(undefined, {}),
  sslCert: text(undefined, {}),
  sslKey: text(undefined, secret),
  timeZone: text(undefined, { doc: "IANA name; empty: do not set the session's." }),
  writeTimeout: text(undefined, { implied: '2m', allowed: 'Go duration' }),
  readTimeout: text(undefined, { implied: '2m', allowed: 'Go duration' }),
  timeout: text(undefined, { implied: '2m', allowed: 'Go duration' }),
  enableBatchDml: bool(undefined, { implied: true }),
  enableMultiStatement: bool(undefined, { implied: true }),
  enableCachePreparedStatement: bool(undefined, { implied: true }),
} as const

const PULSAR_KEYS = {
  tlsKeyFilePath: text(undefined, { api: 'tls-certificate-path' }),
  tlsCertificateFile: text(undefined, { api: 'tls-private-key-path' }),
  tlsTrustCertsFilePath: text(undefined, {}),
  pulsarProducerCacheSize: int(undefined, { implied: 10_240 }),
  pulsarVersion: text(undefined, {}),
  compressionType: text(undefined, { implied: 'none', allowed: 'none|lz4|zlib|zstd' }),
  authenticationToken: text(undefined, secret),
  connectionTimeout: int(undefined, { implied: 5, doc: 'Seconds.' }),
  operationTimeout: int(undefined, { implied: 30, doc: 'Seconds.' }),
  batchingMaxMessages: int(undefined, { implied: 1000 }),
  batchingMaxPublishDelay: int(undefined, { implied: 10, doc: 'Milliseconds.' }),
  sendTimeout: int(undefined, { implied: 30, doc: 'Seconds.' }),
  tokenFromFile: text(undefined, {}),
  basicUserName: text(undefined, {}),
  basicPassword: text(undefined, secret),
  authTlsCertificatePath: text(undefined, {}),
  authTlsPrivateKeyPath: text(undefined, {}),
  oauth2: optionalTable(
    {
      oauth2IssuerUrl: text(undefined, {}),
      oauth2Audience: text(undefined, {}),
      oauth2PrivateKey: text(undefined, secret),
      oauth2ClientId: text(undefined, {}),
      oauth2Scope: text(undefined, {}),
    },
    { apiNames: 'kebab' },
  ),
  outputRawChangeEvent: bool(undefined, { implied: false }),
} as const

const SINK = table(
  {
    transactionAtomicity: text('', { omitEmpty: true, allowed: 'none|table', doc: 'table: MySQL and storage only.' }),
    protocol: text('', {
      omitEmpty: true,
      allowed: 'canal-json|open-protocol|avro|maxwell|simple|debezium|csv',
      sinks: MESSAGES,
      doc: 'Format of the messages; the URI parameter of the same name wins.',
    }),
    dispatchers: tables(
      {
        matcher: texts([], { doc: 'Table rules; the first dispatcher whose matcher holds a table is its own.' }),
        dispatcher: text('', { hidden: true, doc: 'Older name of partition.' }),
        partition: text('', { allowed: 'default|ts|table|index-value|columns (any case)' }),
        index: text('', { doc: 'With index-value: name of a unique index.' }),
        columns: texts([], { doc: 'With columns: their names.' }),
        topic: text('', { allowed: '[A-Za-z0-9._-]+ with {schema} and {table}' }),
        targetSchema: text(undefined, {
          implied: '',
          allowed: 'text, {schema}, {table}',
          doc: 'Name of the schema downstream (Kafka only).',
        }),
        targetTable: text(undefined, {
          implied: '',
          allowed: 'text, {schema}, {table}',
          doc: 'Name of the table downstream (Kafka only).',
        }),
      },
      { sinks: MQ, apiOrder: ['matcher', 'partition', 'index', 'columns', 'topic'] },
    ),
    csv: table(
      {
        delimiter: text(',', { allowed: '1 to 3 bytes' }),
        quote: text('"', { allowed: 'at most one byte' }),
        null: text('\\N', {}),
        includeCommitTs: bool(false, {}),
        binaryEncodingMethod: text('base64', { allowed: 'base64|hex' }),
        outputOldValue: bool(false, {}),
        outputHandleKey: bool(false, {}),
        outputFieldHeader: bool(false, {}),
      },
      {
        sinks: STORAGE,
        retired: {
          'date-separator': 'it is sink.date-separator since v6.5',
          terminator: 'it is sink.terminator since v6.5',
        },
      },
    ),
    columnSelectors: tables(
      {
        matcher: texts([], { doc: 'Table rules.' }),
        columns: texts([], { doc: 'Column rules.' }),
      },
      { sinks: MQ },
    ),
    schemaRegistry: text('', { omitEmpty: true, sinks: MQ, doc: 'avro: URL of the registry.', secret: 'uri' }),
    encoderConcurrency: int(32, { allowed: '>= 0', sinks: MQ }),
    terminator: text('\r\n', { sinks: MESSAGES, doc: 'Between the rows of a storage file.' }),
    dateSeparator: text('day', { allowed: 'none|year|month|day (any case)', sinks: STORAGE }),
    enablePartitionSeparator: bool(true, { sinks: STORAGE, doc: 'false may lose rows of partitioned tables.' }),
    fileIndexDigit: int(undefined, { implied: 20, allowed: '6..20', sinks: STORAGE, api: 'file_index_width' }),
    enableKafkaSinkV2: bool(false, { sinks: MQ, doc: 'Accepted and ignored: there is one Kafka sink.' }),
    onlyOutputUpdatedColumns: bool(false, { sinks: MQ, doc: 'Old values of unchanged columns are left out.' }),
    deleteOnlyOutputHandleKeyColumns: bool(false, { sinks: MQ, doc: 'Deletes carry the key columns only.' }),
    contentCompatible: bool(false, { sinks: MQ, doc: "canal-json as MySQL's canal writes it." }),
    safeMode: bool(undefined, { sinks: MYSQL }),
    kafkaConfig: optionalTable(KAFKA_KEYS, { sinks: MQ }),
    pulsarConfig: optionalTable(PULSAR_KEYS, { sinks: MQ, apiNames: 'kebab' }),
    mysqlConfig: optionalTable(MYSQL_KEYS, { sinks: MYSQL }),
    cloudStorageConfig: optionalTable(STORAGE_KEYS, {
      sinks: STORAGE,
      retired: { 'spool-disk-quota': NEW_ARCHITECTURE, 'spool-base-dir': NEW_ARCHITECTURE },
    }),
    advanceTimeoutInSec: int(150, {
      unsigned: true,
      api: 'advance_timeout',
      doc: 'Accepted and ignored since v8.1.1.',
    }),
    sendBootstrapIntervalInSec: int(120, { doc: 'simple protocol; 0 or less: no bootstrap messages.' }),
    sendBootstrapInMsgCount: int(10_000, { doc: 'simple protocol; 0 or less: no bootstrap messages.' }),
    sendBootstrapToAllPartition: bool(true, { doc: 'simple protocol.' }),
    sendAllBootstrapAtStart: bool(false, { api: 'send-all-bootstrap-at-start', doc: 'simple protocol.' }),
    debeziumDisableSchema: bool(false, { doc: 'debezium protocol.' }),
    debezium: table({ outputOldValue: bool(true, { doc: 'false: no `before`.' }) }),
    open: table({ outputOldValue: bool(true, { doc: 'open-protocol; false: no old values.' }) }),
  },
  {
    // Members not named here follow in the table's order.
    apiOrder: [
      'protocol',
      'schema_registry',
      'csv',
      'dispatchers',
      'column_selectors',
      'transaction_atomicity',
      'encoder_concurrency',
      'terminator',
      'date_separator',
      'enable_partition_separator',
      'file_index_width',
    ],
    retired: {
      'large-message-only-handle-key-columns': 'it is sink.kafka-config.large-message-handle since v7.3',
    },
  },
)

/** Every key of a changefeed's configuration. */
export const REPLICA_CONFIG = table(
  {
    memoryQuota: int(1_073_741_824, { unsigned: true, allowed: '>= 0 bytes', doc: '0 means the default.' }),
    caseSensitive: bool(false, { doc: 'Of names in filter rules, event filters, dispatchers and column selectors.' }),
    forceReplicate: bool(false, { doc: 'Replicate tables without primary key and without NOT NULL unique key.' }),
    checkGcSafePoint: bool(true, { doc: 'The start is checked against the GC safe point whatever this says.' }),
    enableSyncPoint: bool(false, { sinks: MYSQL, unbuilt: true }),
    enableTableMonitor: bool(false, { doc: 'Accepted; metrics per table are not there yet.' }),
    ignoreIneligibleTable: bool(false, { doc: 'Read at create and update only.' }),
    bdrMode: bool(false, { sinks: MYSQL, unbuilt: true }),
    enableActiveActive: bool(undefined, newArchitecture(false)),
    syncPointInterval: duration(600_000, { allowed: '>= 30s', sinks: MYSQL }),
    syncPointRetention: duration(86_400_000, { allowed: '>= 1h', sinks: MYSQL }),
    filter: table({
      rules: texts(['*.*'], { doc: 'Which tables; an empty list means all.' }),
      ignoreTxnStartTs: uint64s([], { omitEmpty: true, doc: 'Transactions to skip, by start-ts.' }),
      eventFilters: tables({
        matcher: texts([], { doc: 'Table rules.' }),
        ignoreEvent: texts([], { doc: 'Event types to drop.' }),
        ignoreSql: texts([], { doc: 'Regular expressions of DDL texts to drop.' }),
        ignoreInsertValueExpr: text('', { doc: 'SQL expression over the new row.' }),
        ignoreUpdateNewValueExpr: text('', { doc: 'SQL expression over the new row.' }),
        ignoreUpdateOldValueExpr: text('', { doc: 'SQL expression over the old row.' }),
        ignoreDeleteValueExpr: text('', { doc: 'SQL expression over the old row.' }),
        ignoreUpdateOnlyColumns: texts(undefined, { unbuilt: true, doc: "Of TiCDC's new architecture." }),
      }),
    }),
    mounter: table({ workerNum: int(16, { doc: 'Accepted and ignored.' }) }),
    sink: SINK,
    consistent: table(
      {
        level: text('none', { allowed: 'none|eventual', doc: 'eventual: keep a redo log; not built yet.' }),
        maxLogSize: int(64, { doc: 'MiB.' }),
        flushInterval: int(2000, { allowed: '>= 50 ms' }),
        metaFlushInterval: int(200, { allowed: '>= 50 ms' }),
        encodingWorkerNum: int(16, {}),
        flushWorkerNum: int(8, {}),
        storage: text('', { omitEmpty: true, secret: 'uri' }),
        useFileBackend: bool(false, {}),
        compression: text('', { omitEmpty: true, allowed: 'none|lz4' }),
        flushConcurrency: int(0, { implied: 1, omitEmpty: true }),
        memoryUsage: table({ memoryQuotaPercentage: int(50, { unsigned: true, allowed: '0..100' }) }),
      },
      { sinks: MYSQL },
    ),
    scheduler: table(
      {
        enableTableAcrossNodes: bool(false, {
          doc: 'Replicate large clustered tables in several spans, although that gives up the order of different rows in a partition; Kafka and blackhole. Tables dispatched by index-value or columns are split without it.',
        }),
        regionThreshold: int(100_000, { allowed: '>= 0', doc: 'Of more regions: large.' }),
        writeKeyThreshold: int(0, {
          allowed: '>= 0',
          doc: 'Of more changed rows per minute: large; 0 = not looked at.',
        }),
      },
      {
        retired: {
          'region-per-span': 'it is scheduler.region-threshold since v7.0',
          'region-count-per-span': NEW_ARCHITECTURE,
          'region-count-refresh-interval': NEW_ARCHITECTURE,
          'scheduling-task-count-per-node': NEW_ARCHITECTURE,
          'enable-splittable-check': NEW_ARCHITECTURE,
          'force-split': NEW_ARCHITECTURE,
          'balance-score-threshold': NEW_ARCHITECTURE,
          'min-traffic-percentage': NEW_ARCHITECTURE,
          'max-traffic-percentage': NEW_ARCHITECTURE,
        },
      },
    ),
    integrity: table({
      integrityCheckLevel: text('none', { allowed: 'none|correctness', doc: 'Kafka only.' }),
      corruptionHandleLevel: text('warn', { allowed: 'warn|error' }),
    }),
    changefeedErrorStuckDuration: duration(1_800_000, {
      allowed: '>= 30m',
      doc: 'How long a failing changefeed is tried again.',
    }),
    syncedStatus: table({
      syncedCheckInterval: int(300, { doc: 'Seconds.' }),
      checkpointInterval: int(15, { doc: 'Seconds.' }),
    }),
    sqlMode: text('', { omitEmpty: true, doc: 'Accepted and ignored since v8.0.' }),
  },
  {
    apiOrder: ['memory_quota', 'case_sensitive', 'force_replicate', 'ignore_ineligible_table', 'check_gc_safe_point'],
    retired: {
      'enable-old-value': 'old values are always on since v7.4',
      'performance-mode': NEW_ARCHITECTURE,
      'active-active-progress-interval': NEW_ARCHITECTURE,
      'active-active-sync-stats-interval': NEW_ARCHITECTURE,
      'event-collector-batch-count': NEW_ARCHITECTURE,
      'event-collector-batch-bytes': NEW_ARCHITECTURE,
    },
  },
)
