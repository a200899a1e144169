import type { ReplicaConfig } from './replica-config.ts'
import type { SinkFaults } from './sink-faults.ts'
import type { CsvSettings, ProtocolName } from './sink-settings.ts'

const LINE_END = /[\r\n]/

/** `[sink.csv]` (reference: protocols-json, section E). */
export function csvSettings(protocol: ProtocolName, { sink }: ReplicaConfig, faults: SinkFaults): CsvSettings {
  const { delimiter, quote, binaryEncodingMethod, ...rest } = sink.csv
  const settings: CsvSettings = {
    delimiter,
    quote,
    null: rest.null,
    includeCommitTs: rest.includeCommitTs,
    binaryEncoding: binaryEncodingMethod === 'hex' ? 'hex' : 'base64',
    outputOldValue: rest.outputOldValue,
    outputHandleKey: rest.outputHandleKey,
    outputFieldHeader: rest.outputFieldHeader,
  }
  if (protocol !== 'csv') return settings
  const fault = (text: string): void =>
    faults.add('CDC:ErrSinkInvalidConfig', `sink config invalid: csv config ${text}`)
  if (Buffer.byteLength(quote) > 1) fault('quote contains more than one character')
  else if (LINE_END.test(quote)) fault('quote cannot be line break character')
  const length = Buffer.byteLength(delimiter)
  if (length === 0) fault('delimiter cannot be empty')
  else if (length > 3) fault('delimiter contains more than three characters, note that escape sequences count as one')
  else if (LINE_END.test(delimiter)) fault('delimiter contains line break characters')
  // oxlint-disable-next-line no-control-regex -- ASCII is what is asked for
  else if (/[^\x00-\x7f]/.test(delimiter)) fault('delimiter contains characters that are not ASCII')
  if (quote !== '' && delimiter.includes(quote)) fault('quote and delimiter have common characters')
  if (binaryEncodingMethod !== 'base64' && binaryEncodingMethod !== 'hex')
    fault(`binary-encoding-method ${JSON.stringify(binaryEncodingMethod)} can only be base64 or hex`)
  if (sink.deleteOnlyOutputHandleKeyColumns)
    faults.add(
      'CDC:ErrSinkInvalidConfig',
      'sink config invalid: CSV protocol always output all columns for the delete event, do not set delete-only-output-handle-key-columns to true',
    )
  return settings
}
