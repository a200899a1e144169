/**
 * A changefeed's configuration, fully defaulted and frozen (reference: interface, sections 3 and 5.6). Names are the TOML
 * keys in camelCase; `undefined` means that neither the file nor a default sets it.
 */
export interface ReplicaConfig {
  readonly memoryQuota: number
  readonly caseSensitive: boolean
  readonly forceReplicate: boolean
  readonly ignoreIneligibleTable: boolean
  readonly checkGcSafePoint: boolean
  readonly enableSyncPoint: boolean
  readonly enableTableMonitor: boolean
  readonly bdrMode: boolean
  /** Milliseconds, as all durations here. */
  readonly syncPointInterval: number
  readonly syncPointRetention: number
  readonly changefeedErrorStuckDuration: number
  readonly sqlMode: string
  readonly filter: FilterConfig
  readonly mounter: { readonly workerNum: number }
  readonly sink: SinkConfig
  readonly consistent: ConsistentConfig
  readonly scheduler: {
    readonly enableTableAcrossNodes: boolean
    readonly regionThreshold: number
    readonly writeKeyThreshold: number
  }
  readonly integrity: { readonly integrityCheckLevel: string; readonly corruptionHandleLevel: string }
  /** Seconds. */
  readonly syncedStatus: { readonly syncedCheckInterval: number; readonly checkpointInterval: number }
}

export interface FilterConfig {
  readonly rules: readonly string[]
  readonly ignoreTxnStartTs: readonly bigint[]
  readonly eventFilters: readonly EventFilterConfig[]
}

export interface EventFilterConfig {
  readonly matcher: readonly string[]
  readonly ignoreEvent: readonly string[]
  readonly ignoreSql: readonly string[]
  readonly ignoreInsertValueExpr: string
  readonly ignoreUpdateNewValueExpr: string
  readonly ignoreUpdateOldValueExpr: string
  readonly ignoreDeleteValueExpr: string
}

export interface DispatchRuleConfig {
  readonly matcher: readonly string[]
  /** The older name of `partition`; at most one of the two is set. */
  readonly dispatcher: string
  readonly partition: string
  readonly index: string
  readonly columns: readonly string[]
  readonly topic: string
  /** What tables are called downstream: text with `{schema}` and `{table}`; undefined or empty = as they are. */
  readonly targetSchema?: string | undefined
  readonly targetTable?: string | undefined
}

export interface ColumnSelectorConfig {
  readonly matcher: readonly string[]
  readonly columns: readonly string[]
}

export interface CsvConfig {
  readonly delimiter: string
  readonly quote: string
  readonly null: string
  readonly includeCommitTs: boolean
  readonly binaryEncodingMethod: string
  readonly outputOldValue: boolean
  readonly outputHandleKey: boolean
  readonly outputFieldHeader: boolean
}

/** Values of sub-tables whose keys each sink reads by itself: TOML key in camelCase → value as in the file. */
export type SinkTable = Readonly<Record<string, unknown>>

export interface SinkConfig {
  readonly protocol: string
  readonly schemaRegistry: string
  readonly csv: CsvConfig
  readonly dispatchers: readonly DispatchRuleConfig[]
  readonly columnSelectors: readonly ColumnSelectorConfig[]
  readonly transactionAtomicity: string
  readonly encoderConcurrency: number
  readonly terminator: string
  readonly dateSeparator: string
  readonly enablePartitionSeparator: boolean
  readonly fileIndexDigit: number | undefined
  readonly enableKafkaSinkV2: boolean
  readonly onlyOutputUpdatedColumns: boolean
  readonly deleteOnlyOutputHandleKeyColumns: boolean
  readonly contentCompatible: boolean
  readonly safeMode: boolean | undefined
  readonly kafkaConfig: SinkTable | undefined
  readonly pulsarConfig: SinkTable | undefined
  readonly mysqlConfig: SinkTable | undefined
  readonly cloudStorageConfig: SinkTable | undefined
  readonly advanceTimeoutInSec: number
  readonly sendBootstrapIntervalInSec: number
  readonly sendBootstrapInMsgCount: number
  readonly sendBootstrapToAllPartition: boolean
  readonly sendAllBootstrapAtStart: boolean
  readonly debeziumDisableSchema: boolean
  readonly debezium: { readonly outputOldValue: boolean }
  readonly open: { readonly outputOldValue: boolean }
}

export interface ConsistentConfig {
  readonly level: string
  readonly maxLogSize: number
  readonly flushInterval: number
  readonly metaFlushInterval: number
  readonly encodingWorkerNum: number
  readonly flushWorkerNum: number
  readonly storage: string
  readonly useFileBackend: boolean
  readonly compression: string
  readonly flushConcurrency: number
  readonly memoryUsage: { readonly memoryQuotaPercentage: number }
}
