import { CdcError } from '../../base/errors.ts'
import type { MessageCompression } from '../../config/sink-settings.ts'
import { lz4Compress, lz4Decompress } from './lz4.ts'
import { snappyCompress, snappyDecompress } from './snappy.ts'

/** Longest value that {@link decompressValue} restores: what TiDB allows one row to have, several times over. */
const MAX_VALUE_BYTES = 1024 * 1024 * 1024

/** What `large-message-handle-compression` does to a value; undefined = nothing. The result is the caller's. */
export function valueCompressor(compression: MessageCompression): ((value: Uint8Array) => Uint8Array) | undefined {
  switch (compression) {
    case 'none':
      return undefined
    case 'lz4':
      return lz4Compress
    case 'snappy':
      return snappyCompress
  }
}

/** The value that was compressed; `CDC:ErrCompressionFailed` where it was not. */
export function decompressValue(compression: MessageCompression, value: Uint8Array): Uint8Array {
  if (compression === 'none') return value
  const decompress = compression === 'lz4' ? lz4Decompress : snappyDecompress
  const plain = decompress(value, MAX_VALUE_BYTES)
  if (plain === undefined) throw new CdcError('CDC:ErrCompressionFailed', `the value is not ${compression}`)
  return plain
}
