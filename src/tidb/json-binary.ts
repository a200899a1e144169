import { isUtf8 } from 'node:buffer'
import { formatCoreTime, formatDuration } from './time.ts'

/**
 * TiDB's binary JSON and its text. Source: TiDB pkg/types/json_binary.go (reference: tidb-storage, section 5); numbers
 * are printed by the rule of TiDB up to 8.5.
 */
export const JsonCode = {
  Object: 0x01,
  Array: 0x03,
  Literal: 0x04,
  Int64: 0x09,
  Uint64: 0x0a,
  Double: 0x0b,
  String: 0x0c,
  Opaque: 0x0d,
  Date: 0x0e,
  Datetime: 0x0f,
  Timestamp: 0x10,
  Duration: 0x11,
} as const

/** Containers in containers. */
export const MAX_DEPTH = 100
/** Bytes of a value's and of a key's entry. */
export const ENTRY = 5
export const KEY_ENTRY = 6
const LITERALS = ['null', 'true', 'false'] as const

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Text of the JSON value (type code, then value) in `bytes[start, end)`. RangeError where it is broken. */
export function decodeJson(bytes: Uint8Array, start: number, end: number): string {
  if (start >= end) throw new RangeError('JSON value is empty')
  return new JsonReader(bytes, end).text(bytes[start] ?? 0, start + 1, 0)
}

/** Where the JSON value that begins with its type code at `offset` ends. */
export function jsonEnd(bytes: Uint8Array, offset: number): number {
  return new JsonReader(bytes, bytes.length).end(bytes[offset] ?? 0, offset + 1)
}

class JsonReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #end: number
  /** Every member takes bytes of its own; broken offsets that share them would make a small value endless. */
  #membersLeft: number

  constructor(bytes: Uint8Array, end: number) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, end)
    this.#end = end
    this.#membersLeft = end / ENTRY
  }

  text(code: number, at: number, depth: number): string {
    switch (code) {
      case JsonCode.Object:
        return this.#object(at, depth)
      case JsonCode.Array:
        return this.#array(at, depth)
      case JsonCode.Literal:
        return this.#literal(at)
      case JsonCode.Int64:
        return this.#view.getBigInt64(at, true).toString()
      case JsonCode.Uint64:
        return this.#view.getBigUint64(at, true).toString()
      case JsonCode.Double:
        return doubleText(this.#view.getFloat64(at, true))
      case JsonCode.String:
        return quoteBytes(this.#counted(at))
      case JsonCode.Opaque: {
        const content = this.#counted(at + 1)
        const base64 = Buffer.from(content.buffer, content.byteOffset, content.length).toString('base64')
        return `"base64:type${this.#view.getUint8(at)}:${base64}"`
      }
      case JsonCode.Date:
      case JsonCode.Datetime:
      case JsonCode.Timestamp:
        return `"${formatCoreTime(this.#view.getBigUint64(at, true), code === JsonCode.Date)}"`
      case JsonCode.Duration:
        return `"${formatDuration(this.#view.getInt32(at + 4, true), this.#view.getUint32(at, true), 6)}"`
      default:
        throw new RangeError(`unknown JSON type code ${code} at offset ${at}`)
    }
  }

  end(code: number, at: number): number {
    const end = this.#endOf(code, at)
    if (end > this.#end) throw new RangeError(`JSON value ends early at offset ${this.#end}`)
    return end
  }

  #endOf(code: number, at: number): number {
    switch (code) {
      case JsonCode.Object:
      case JsonCode.Array:
        return at + this.#view.getUint32(at + 4, true)
      case JsonCode.Literal:
        return at + 1
      case JsonCode.Duration:
        return at + 12
      case JsonCode.String:
        return this.#countedEnd(at)
      case JsonCode.Opaque:
        return this.#countedEnd(at + 1)
      case JsonCode.Int64:
      case JsonCode.Uint64:
      case JsonCode.Double:
      case JsonCode.Date:
      case JsonCode.Datetime:
      case JsonCode.Timestamp:
        return at + 8
      default:
        throw new RangeError(`unknown JSON type code ${code} at offset ${at}`)
    }
  }

  #object(at: number, depth: number): string {
    const count = this.#view.getUint32(at, true)
    let text = '{'
    for (let i = 0; i < count; i++) {
      const entry = at + 8 + i * KEY_ENTRY
      const from = at + this.#view.getUint32(entry, true)
      const key = this.#slice(from, this.#view.getUint16(entry + 4, true))
      const value = this.#entry(at, at + 8 + count * KEY_ENTRY + i * ENTRY, depth)
      text += `${i === 0 ? '' : ', '}${quoteBytes(key)}: ${value}`
    }
    return `${text}}`
  }

  #array(at: number, depth: number): string {
    const count = this.#view.getUint32(at, true)
    let text = '['
    for (let i = 0; i < count; i++) text += (i === 0 ? '' : ', ') + this.#entry(at, at + 8 + i * ENTRY, depth)
    return `${text}]`
  }

  /** A member: a literal stands in its entry, any other value at an offset from the container. */
  #entry(container: number, entry: number, depth: number): string {
    if (depth >= MAX_DEPTH) throw new RangeError(`JSON is nested more than ${MAX_DEPTH} deep`)
    if (--this.#membersLeft < 0) throw new RangeError('JSON members overlap')
    const code = this.#view.getUint8(entry)
    if (code === JsonCode.Literal) return this.#literal(entry + 1)
    return this.text(code, container + this.#view.getUint32(entry + 1, true), depth + 1)
  }

  #literal(at: number): string {
    const literal = LITERALS[this.#view.getUint8(at)]
    if (literal === undefined) throw new RangeError(`unknown JSON literal at offset ${at}`)
    return literal
  }

  #counted(at: number): Uint8Array {
    const end = this.#countedEnd(at)
    let from = at
    while (this.#view.getUint8(from) >= 0x80) from++
    return this.#slice(from + 1, end - from - 1)
  }

  #countedEnd(at: number): number {
    let length = 0
    for (let i = 0; i < 5; i++) {
      const byte = this.#view.getUint8(at + i)
      length += (byte & 0x7f) * 2 ** (7 * i)
      if (byte < 0x80) return at + i + 1 + length
    }
    throw new RangeError(`length of a JSON string is too large at offset ${at}`)
  }

  #slice(from: number, length: number): Uint8Array {
    if (from + length > this.#end) throw new RangeError(`JSON value ends early at offset ${this.#end}`)
    return this.#bytes.subarray(from, from + length)
  }
}

const doubleText = (value: number): string => (Object.is(value, -0) ? '-0' : String(value))

// oxlint-disable-next-line no-control-regex -- control characters are what is escaped
const ESCAPED = /["\\\u0000-\u001f\u2028\u2029]/g
const NAMED: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\b': '\\b',
  '\f': '\\f',
}

const escape = (text: string): string =>
  text.replace(ESCAPED, (unit) => NAMED[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** A JSON string of UTF-8; a byte that is no UTF-8 becomes the six characters `\ufffd`. */
function quoteBytes(bytes: Uint8Array): string {
  if (bytes.length <= SHORT && bytes.every(isPlain)) return `"${String.fromCharCode(...bytes)}"`
  try {
    return `"${escape(decoder.decode(bytes))}"`
  } catch {
    return `"${lossyText(bytes)}"`
  }
}

/** Up to this many bytes a call of the decoder costs more than the text. */
const SHORT = 32
const isPlain = (byte: number): boolean => byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c

function lossyText(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length;) {
    const length =
      [1, 2, 3, 4].find((count) => at + count <= bytes.length && isUtf8(bytes.subarray(at, at + count))) ?? 0
    text += length === 0 ? '\\ufffd' : escape(decoder.decode(bytes.subarray(at, at + length)))
    at += Math.max(1, length)
  }
  return text
}
