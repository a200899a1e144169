import { codecSettings } from './codec-settings.ts'
import type { GoUrl } from './go-url.ts'
import { readParameters } from './parameters.ts'
import { STORAGE_KEYS } from './replica-config-keys.ts'
import type { ReplicaConfig } from './replica-config.ts'
import type { SinkFaults } from './sink-faults.ts'
import type { StorageSettings } from './sink-settings.ts'
import { storageLocation } from './storage-uri.ts'

const NO_LARGE_MESSAGES = { compression: 'none', handling: { option: 'none' } } as const
const SEPARATORS = ['none', 'year', 'month', 'day'] as const

/** Settings of a storage sink (reference: storage-sink, section 1). undefined where a fault makes them unusable. */
export function storageSettings(
  url: GoUrl,
  uri: ReadonlyMap<string, string>,
  config: ReplicaConfig,
  faults: SinkFaults,
): StorageSettings | undefined {
  const { sink } = config
  const given = readParameters({
    uri,
    file: sink.cloudStorageConfig,
    keys: STORAGE_KEYS,
    code: 'CDC:ErrStorageSinkInvalidConfig',
    faults,
  })
  const location = faults.attempt(() => storageLocation(url))
  const workers = given.int('workerCount') ?? 16
  if (workers <= 0)
    faults.add('CDC:ErrStorageSinkInvalidConfig', `invalid worker-count ${workers}, it must be greater than 0`)
  const separator = SEPARATORS.find((name) => name === sink.dateSeparator.toLowerCase())
  if (separator === undefined && sink.dateSeparator !== '')
    faults.add(
      'CDC:ErrSinkInvalidConfig',
      `sink config invalid: [CDC:ErrStorageSinkInvalidDateSeparator]date separator '${sink.dateSeparator}' in storage sink is invalid, supported are ${SEPARATORS.join(', ')}`,
    )
  for (const key of ['fileExpirationDays', 'flushConcurrency', 'outputColumnId'] as const)
    if (sink.cloudStorageConfig?.[key] !== undefined) faults.warn(`sink.cloud-storage-config: ${key} has no effect yet`)
  const codec = codecSettings(uri, config, faults)
  if (codec !== undefined && codec.protocol !== 'canal-json' && codec.protocol !== 'csv') {
    faults.add(
      'CDC:ErrSinkUnknownProtocol',
      `unknown '${codec.protocol}' message protocol for sink: storage takes csv and canal-json`,
    )
    return undefined
  }
  if (codec === undefined || location === undefined) return undefined
  const digits = sink.fileIndexDigit ?? 20
  return {
    scheme: 'storage',
    location,
    // Files have no limit, and their rows are never compressed or put elsewhere.
    codec: { ...codec, maxMessageBytes: Number.MAX_SAFE_INTEGER, largeMessages: NO_LARGE_MESSAGES },
    flushIntervalMs: clamp(given.duration('flushInterval') ?? 5000, 2000, 600_000),
    fileSizeBytes: clamp(given.int('fileSize') ?? 67_108_864, 1_048_576, 536_870_912),
    dateSeparator: separator ?? 'day',
    partitionSeparator: sink.enablePartitionSeparator,
    fileIndexDigits: digits >= 6 && digits <= 20 ? digits : 20,
  }
}

const clamp = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value))
