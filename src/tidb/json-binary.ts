import { isUtf8 } from 'node:buffer'
import { ByteWriter } from './byte-writer.ts'
import { compareBytes } from './key.ts'
import { formatCoreTime, formatDuration } from './time.ts'

/**
 * TiDB's binary JSON and its text. Source: TiDB pkg/types/json_binary.go (reference: tidb-storage, section 5); numbers
 * are printed by the rule of TiDB up to 8.5.
 */
const Code = {
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

const MAX_DEPTH = 100
const ENTRY = 5
const KEY_ENTRY = 6
const LITERALS = ['null', 'true', 'false'] as const
const MIN_INT = -(2n ** 63n)
const MAX_INT = 2n ** 63n - 1n
const MAX_UINT = 2n ** 64n - 1n

const utf8 = new TextEncoder()
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

  constructor(bytes: Uint8Array, end: number) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, end)
    this.#end = end
  }

  text(code: number, at: number, depth: number): string {
    switch (code) {
      case Code.Object:
        return this.#object(at, depth)
      case Code.Array:
        return this.#array(at, depth)
      case Code.Literal:
        return this.#literal(at)
      case Code.Int64:
        return this.#view.getBigInt64(at, true).toString()
      case Code.Uint64:
        return this.#view.getBigUint64(at, true).toString()
      case Code.Double:
        return doubleText(this.#view.getFloat64(at, true))
      case Code.String:
        return quoteBytes(this.#counted(at))
      case Code.Opaque: {
        const content = this.#counted(at + 1)
        const base64 = Buffer.from(content.buffer, content.byteOffset, content.length).toString('base64')
        return `"base64:type${this.#view.getUint8(at)}:${base64}"`
      }
      case Code.Date:
      case Code.Datetime:
      case Code.Timestamp:
        return `"${formatCoreTime(this.#view.getBigUint64(at, true), code === Code.Date)}"`
      case Code.Duration:
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
      case Code.Object:
      case Code.Array:
        return at + this.#view.getUint32(at + 4, true)
      case Code.Literal:
        return at + 1
      case Code.Duration:
        return at + 12
      case Code.String:
        return this.#countedEnd(at)
      case Code.Opaque:
        return this.#countedEnd(at + 1)
      case Code.Int64:
      case Code.Uint64:
      case Code.Double:
      case Code.Date:
      case Code.Datetime:
      case Code.Timestamp:
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
    const code = this.#view.getUint8(entry)
    if (code === Code.Literal) return this.#literal(entry + 1)
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
  try {
    return `"${escape(decoder.decode(bytes))}"`
  } catch {
    return `"${lossyText(bytes)}"`
  }
}

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

/**
 * Binary form (type code, then value) of JSON text. Numbers become int64, uint64 or double as in TiDB; of equal keys
 * the last one stays. SyntaxError where the text is not JSON or is nested too deep.
 */
export function encodeJson(text: string): Uint8Array {
  const parser = new JsonParser(text)
  const node = parser.document()
  const writer = new ByteWriter(text.length + 16)
  writer.u8(node.code)
  writeNode(writer, node)
  return writer.finish()
}

/** A parsed value: scalars hold their bytes, containers their members (objects sorted by key). */
type JsonNode =
  | { readonly code: number; readonly bytes: Uint8Array }
  | { readonly code: typeof Code.Array; readonly items: readonly JsonNode[] }
  | { readonly code: typeof Code.Object; readonly keys: readonly Uint8Array[]; readonly items: readonly JsonNode[] }

function writeNode(writer: ByteWriter, node: JsonNode): void {
  if ('bytes' in node) {
    writer.append(node.bytes)
    return
  }
  const start = writer.length
  writer.u32le(node.items.length).u32le(0)
  const keys = 'keys' in node ? node.keys : []
  let keyOffset = 8 + keys.length * KEY_ENTRY + node.items.length * ENTRY
  for (const key of keys) {
    writer.u32le(keyOffset).u16le(key.length)
    keyOffset += key.length
  }
  const entries = writer.length
  for (const item of node.items) {
    const literal = item.code === Code.Literal && 'bytes' in item ? (item.bytes[0] ?? 0) : 0
    writer.u8(item.code).u32le(literal)
  }
  for (const key of keys) writer.append(key)
  for (const [i, item] of node.items.entries()) {
    if (item.code === Code.Literal) continue
    writer.patchU32le(entries + i * ENTRY + 1, writer.length - start)
    writeNode(writer, item)
  }
  writer.patchU32le(start + 4, writer.length - start)
}

class JsonParser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): JsonNode {
    const node = this.#value(0)
    this.#blanks()
    if (this.#at < this.#text.length) throw this.#fault()
    return node
  }

  #value(depth: number): JsonNode {
    if (depth > MAX_DEPTH) throw new SyntaxError(`JSON is nested more than ${MAX_DEPTH} deep`)
    this.#blanks()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return stringNode(this.#string())
      case 'n':
        return this.#literal('null', 0)
      case 't':
        return this.#literal('true', 1)
      case 'f':
        return this.#literal('false', 2)
      default:
        return this.#number()
    }
  }

  #object(depth: number): JsonNode {
    const members = new Map<string, JsonNode>()
    this.#at++
    this.#blanks()
    if (!this.#skip('}')) {
      do {
        this.#blanks()
        const key = this.#string()
        this.#blanks()
        if (!this.#skip(':')) throw this.#fault()
        members.set(key, this.#value(depth + 1))
        this.#blanks()
      } while (this.#skip(','))
      if (!this.#skip('}')) throw this.#fault()
    }
    const sorted = [...members].map(([key, node]) => ({ key: utf8.encode(key), node }))
    sorted.sort((a, b) => compareBytes(a.key, b.key))
    if (sorted.some(({ key }) => key.length > 0xffff))
      throw new SyntaxError('JSON object key is longer than 65535 bytes')
    return { code: Code.Object, keys: sorted.map(({ key }) => key), items: sorted.map(({ node }) => node) }
  }

  #array(depth: number): JsonNode {
    const items: JsonNode[] = []
    this.#at++
    this.#blanks()
    if (!this.#skip(']')) {
      do {
        items.push(this.#value(depth + 1))
        this.#blanks()
      } while (this.#skip(','))
      if (!this.#skip(']')) throw this.#fault()
    }
    return { code: Code.Array, items }
  }

  #string(): string {
    const token = /"(?:[^"\\]|\\.)*"/sy
    token.lastIndex = this.#at
    const [found] = token.exec(this.#text) ?? []
    if (found === undefined) throw this.#fault()
    this.#at += found.length
    return JSON.parse(found) as string
  }

  #number(): JsonNode {
    const token = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
    token.lastIndex = this.#at
    const match = token.exec(this.#text)
    if (match === null) throw this.#fault()
    this.#at += match[0].length
    return numberNode(match[0], match[1] === undefined && match[2] === undefined)
  }

  #literal(word: string, code: number): JsonNode {
    if (!this.#text.startsWith(word, this.#at)) throw this.#fault()
    this.#at += word.length
    return { code: Code.Literal, bytes: Uint8Array.of(code) }
  }

  #blanks(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? '.')) this.#at++
  }

  #skip(unit: string): boolean {
    const found = this.#text[this.#at] === unit
    if (found) this.#at++
    return found
  }

  #fault(): SyntaxError {
    return new SyntaxError(`invalid JSON text at position ${this.#at}`)
  }
}

function stringNode(text: string): JsonNode {
  const bytes = utf8.encode(text)
  const writer = new ByteWriter(bytes.length + 5)
  return { code: Code.String, bytes: writer.uvarint(BigInt(bytes.length)).append(bytes).finish() }
}

function numberNode(text: string, integer: boolean): JsonNode {
  const writer = new ByteWriter(8)
  const value = integer ? BigInt(text) : 0n
  if (integer && value >= MIN_INT && value <= MAX_INT) return { code: Code.Int64, bytes: writer.u64le(value).finish() }
  if (integer && value > MAX_INT && value <= MAX_UINT) return { code: Code.Uint64, bytes: writer.u64le(value).finish() }
  const double = Number(text)
  if (!Number.isFinite(double)) throw new SyntaxError(`JSON number ${text} is out of range`)
  return { code: Code.Double, bytes: writer.f64le(double).finish() }
}
