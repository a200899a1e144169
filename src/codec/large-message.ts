import { CdcError } from '../base/errors.ts'
import { canonicalStorageUri } from '../config/storage-uri.ts'
import type { CodecSettings } from '../config/sink-settings.ts'
import type { Upload } from '../event/encoded.ts'
import { valueCompressor } from './compress/compress.ts'
import { decodeObject, stringMember } from './decoded.ts'

/** What a message carries in place of a row that does not fit: the handle key and, perhaps, where the row lies. */
export interface Stub {
  /** undefined = the row lies nowhere (handle-key-only). */
  readonly location: string | undefined
  readonly upload: Upload | undefined
}

/** What a protocol does about messages above the limit, and about the size of all (reference: protocols, section 5). */
export interface LargeMessages {
  /** Of every value before its size is taken; undefined = values stay as they are. */
  readonly compress: ((value: Uint8Array) => Uint8Array) | undefined
  /**
   * For a message that is too large: what is sent in its place. undefined = nothing is, the message is an error.
   * `key`, `value`: as they would have been sent, with compression; copied.
   */
  stub(key: Uint8Array | null, value: Uint8Array): Stub | undefined
}

/** `newId`: names of stored messages, random and unlike each other. */
export function createLargeMessages(settings: CodecSettings, newId: () => string): LargeMessages {
  const { compression, handling } = settings.largeMessages
  const compress = valueCompressor(compression)
  switch (handling.option) {
    case 'none':
      return { compress, stub: () => undefined }
    case 'handle-key-only':
      return { compress, stub: () => ({ location: undefined, upload: undefined }) }
    case 'claim-check': {
      const { storage, rawValue } = handling
      const root = canonicalStorageUri(storage)
      return {
        compress,
        stub(key, value) {
          const name = `${newId()}.json`
          const content = rawValue ? value.slice() : storedMessage(key, value)
          return { location: `${root}/${name}`, upload: { name, content } }
        },
      }
    }
  }
}

/** The JSON text of a stored message, as Go marshals bytes. */
function storedMessage(key: Uint8Array | null, value: Uint8Array): Uint8Array {
  const keyText = key === null ? 'null' : `"${base64(key)}"`
  return Buffer.from(`{"key":${keyText},"value":"${base64(value)}"}`, 'latin1')
}

/**
 * The message in an object that was not stored raw; its value may be compressed. Consumers look for the object by the last
 * part of the location. Error: `CDC:ErrCodecDecode`.
 */
export function decodeStoredMessage(content: Uint8Array): { key: Uint8Array | null; value: Uint8Array } {
  const document = decodeObject(content, fault)
  const bytesOf = (name: 'key' | 'value'): Uint8Array => {
    const text = stringMember(document[name], name, fault)
    const bytes = Buffer.from(text, 'base64')
    if (bytes.toString('base64') !== text) throw fault(`its ${name} is not base64`)
    return new Uint8Array(bytes)
  }
  return { key: document['key'] === null ? null : bytesOf('key'), value: bytesOf('value') }
}

const fault = (text: string, cause?: unknown): CdcError =>
  new CdcError('CDC:ErrCodecDecode', `cannot decode a stored message: ${text}`, { cause })

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
