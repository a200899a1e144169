import { readParameters } from './parameters.ts'
import { KAFKA_KEYS } from './replica-config-keys.ts'
import type { ReplicaConfig } from './replica-config.ts'
import type { SinkFaults } from './sink-faults.ts'
import { MESSAGE_COMPRESSIONS, type LargeMessageSettings, type ProtocolName } from './sink-settings.ts'
import { parseStorageUri } from './storage-uri.ts'

const OPTIONS = ['none', 'handle-key-only', 'claim-check'] as const
/** Protocols whose messages can say that they are not whole. */
const PROTOCOLS: readonly ProtocolName[] = ['open-protocol', 'canal-json', 'simple']

/** `[sink.kafka-config.large-message-handle]` (reference: kafka-sink, section 9). */
export function largeMessageSettings(
  protocol: ProtocolName,
  extension: boolean,
  config: ReplicaConfig,
  faults: SinkFaults,
): LargeMessageSettings {
  const table = config.sink.kafkaConfig?.['largeMessageHandle']
  const given = readParameters({
    uri: new Map(),
    file: typeof table === 'object' && table !== null ? { ...table } : undefined,
    keys: KAFKA_KEYS.largeMessageHandle.fields,
    code: 'CDC:ErrInvalidReplicaConfig',
    faults,
  })
  const fault = (text: string): void => faults.add('CDC:ErrInvalidReplicaConfig', `invalid replica config, ${text}`)
  const chosen = <T extends string>(key: string, text: string, known: readonly T[], otherwise: T): T => {
    const found = text === '' ? otherwise : known.find((name) => name === text.toLowerCase())
    if (found === undefined) fault(`${key} = ${text}, supported are ${known.join(', ')}`)
    return found ?? otherwise
  }
  const compression = chosen(
    'large-message-handle-compression',
    given.text('largeMessageHandleCompression') ?? '',
    MESSAGE_COMPRESSIONS,
    'none',
  )
  const option = chosen('large-message-handle-option', given.text('largeMessageHandleOption') ?? '', OPTIONS, 'none')
  if (option === 'none') return { compression, handling: { option } }
  if (!PROTOCOLS.includes(protocol))
    fault(`large message handle is set to ${option}, protocol is ${protocol}, it's not supported`)
  if (protocol === 'canal-json' && !extension)
    fault(`large message handle is set to ${option}, protocol is canal-json, but enable-tidb-extension is false`)
  if (config.forceReplicate) fault('force-replicate must be disabled when the large message handle option is enabled')
  if (option === 'handle-key-only') return { compression, handling: { option } }
  const uri = given.text('claimCheckStorageUri') ?? ''
  const rawValue = given.bool('claimCheckRawValue') ?? false
  if (uri === '') fault('large message handle is set to claim-check, but the claim-check-storage-uri is empty')
  if (rawValue && protocol === 'open-protocol') fault('claim-check-raw-value is not supported by open-protocol')
  const storage = uri === '' ? undefined : faults.attempt(() => parseStorageUri(uri))
  return { compression, handling: storage === undefined ? { option: 'none' } : { option, storage, rawValue } }
}
