import type { CodecSettings } from '../../src/config/sink-settings.ts'

/** The defaults of a message queue, with what a test changes. */
export function codecSettings(changes: Partial<CodecSettings> = {}): CodecSettings {
  return {
    protocol: 'canal-json',
    enableTidbExtension: false,
    maxMessageBytes: 10_485_760,
    maxBatchSize: 16,
    contentCompatible: false,
    onlyOutputUpdatedColumns: false,
    deleteOnlyOutputHandleKeyColumns: false,
    openOutputOldValue: true,
    terminator: '',
    rowChecksum: false,
    avro: { decimalMode: 'precise', bigintUnsignedMode: 'long', enableWatermark: false, registry: undefined },
    simple: { encoding: 'json', bootstrap: undefined },
    csv: {
      delimiter: ',',
      quote: '"',
      null: '\\N',
      includeCommitTs: false,
      binaryEncoding: 'base64',
      outputOldValue: false,
      outputHandleKey: false,
      outputFieldHeader: false,
    },
    debezium: { outputOldValue: true, disableSchema: false },
    largeMessages: { compression: 'none', handling: { option: 'none' } },
    ...changes,
  }
}
