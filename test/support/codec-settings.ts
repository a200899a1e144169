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
    ...changes,
  }
}
