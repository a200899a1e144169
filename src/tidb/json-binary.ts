import { MAX_CELL_TEXT, printSigned, printUnsigned, u32le } from './integer-text.ts'
import { formatCoreTime, formatDuration } from './time.ts'
import { sequenceLength } from './utf8.ts'

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

/** Text of the JSON value (type code, then value) in `bytes[start, end)`. RangeError where it is broken. */
export function decodeJson(bytes: Uint8Array, start: number, end: number): string {
  printer.print(bytes, start, end)
  return printer.bytes.toString('utf8', 0, printer.length)
}

/** Where the JSON value that begins with its type code at `offset` ends. */
export function jsonEnd(bytes: Uint8Array, offset: number): number {
  const end = endOf(bytes, bytes[offset] ?? 0, offset + 1)
  if (end > bytes.length) throw endsEarly(bytes.length)
  return end
}

function endOf(bytes: Uint8Array, code: number, at: number): number {
  switch (code) {
    case JsonCode.Object:
    case JsonCode.Array:
      if (at + 8 > bytes.length) throw endsEarly(bytes.length)
      return at + u32le(bytes, at + 4)
    case JsonCode.Literal:
      return at + 1
    case JsonCode.Duration:
      return at + 12
    case JsonCode.String:
      return countedEnd(bytes, at, bytes.length)
    case JsonCode.Opaque:
      return countedEnd(bytes, at + 1, bytes.length)
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

const endsEarly = (end: number): RangeError => new RangeError(`JSON value ends early at offset ${end}`)

/** Where a string ends whose length, a varint, is at `at`. */
function countedEnd(bytes: Uint8Array, at: number, end: number): number {
  let length = 0
  for (let i = 0; i < 5; i++) {
    const byte = bytes[at + i]
    if (byte === undefined || at + i >= end) throw endsEarly(end)
    length += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return at + i + 1 + length
  }
  throw new RangeError(`length of a JSON string is too large at offset ${at}`)
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
/** What a byte of a string is at most escaped to. */
const LONGEST_ESCAPE = 6
const NAMED: Readonly<Record<number, number>> = {
  0x22: 0x22,
  0x5c: 0x5c,
  0x0a: 0x6e,
  0x0d: 0x72,
  0x09: 0x74,
  0x08: 0x62,
  0x0c: 0x66,
}
const float = new DataView(new ArrayBuffer(8))

/** Prints values as UTF-8, one after the other into the same buffer. */
export class JsonPrinter {
  /** The text of the last value is `bytes[0, length)`, until the next one. */
  bytes = Buffer.alloc(1024)
  length = 0
  #from: Uint8Array = this.bytes
  #end = 0
  /** Every member takes bytes of its own; broken offsets that share them would make a small value endless. */
  #membersLeft = 0

  /** The value (type code, then value) in `from[start, end)`. RangeError where it is broken. */
  print(from: Uint8Array, start: number, end: number): void {
    if (start >= end) throw new RangeError('JSON value is empty')
    this.length = 0
    this.#from = from
    this.#end = end
    this.#membersLeft = (end - start) / ENTRY
    this.#value(from[start] ?? 0, start + 1, 0)
  }

  #value(code: number, at: number, depth: number): void {
    switch (code) {
      case JsonCode.Object:
        this.#object(at, depth)
        return
      case JsonCode.Array:
        this.#array(at, depth)
        return
      case JsonCode.Literal:
        this.#literal(at)
        return
      case JsonCode.Int64:
        this.#reserve(MAX_CELL_TEXT)
        this.length = printSigned(this.#u32(at + 4) | 0, this.#u32(at), this.bytes, this.length)
        return
      case JsonCode.Uint64:
        this.#reserve(MAX_CELL_TEXT)
        this.length = printUnsigned(this.#u32(at + 4) | 0, this.#u32(at), this.bytes, this.length)
        return
      case JsonCode.Double:
        this.#double(at)
        return
      case JsonCode.String:
        this.#counted(at)
        return
      case JsonCode.Opaque: {
        const end = countedEnd(this.#from, at + 1, this.#end)
        const content = this.#slice(lengthEnd(this.#from, at + 1), end)
        const base64 = Buffer.from(content.buffer, content.byteOffset, content.length).toString('base64')
        this.#ascii(`"base64:type${this.#from[at] ?? 0}:${base64}"`)
        return
      }
      case JsonCode.Date:
      case JsonCode.Datetime:
      case JsonCode.Timestamp: {
        const bits = (BigInt(this.#u32(at + 4)) << 32n) | BigInt(this.#u32(at))
        this.#ascii(`"${formatCoreTime(bits, code === JsonCode.Date)}"`)
        return
      }
      case JsonCode.Duration:
        this.#ascii(`"${formatDuration(this.#u32(at + 4) | 0, this.#u32(at), 6)}"`)
        return
      default:
        throw new RangeError(`unknown JSON type code ${code} at offset ${at}`)
    }
  }

  #object(at: number, depth: number): void {
    const count = this.#u32(at)
    this.#ascii('{')
    for (let i = 0; i < count; i++) {
      const entry = at + 8 + i * KEY_ENTRY
      const from = at + this.#u32(entry)
      const length = this.#u16(entry + 4)
      if (i > 0) this.#ascii(', ')
      this.#quoted(from, from + length)
      this.#ascii(': ')
      this.#entry(at, at + 8 + count * KEY_ENTRY + i * ENTRY, depth)
    }
    this.#ascii('}')
  }

  #array(at: number, depth: number): void {
    const count = this.#u32(at)
    this.#ascii('[')
    for (let i = 0; i < count; i++) {
      if (i > 0) this.#ascii(', ')
      this.#entry(at, at + 8 + i * ENTRY, depth)
    }
    this.#ascii(']')
  }

  /** A member: a literal stands in its entry, any other value at an offset from the container. */
  #entry(container: number, entry: number, depth: number): void {
    if (depth >= MAX_DEPTH) throw new RangeError(`JSON is nested more than ${MAX_DEPTH} deep`)
    if (--this.#membersLeft < 0) throw new RangeError('JSON members overlap')
    const offset = this.#u32(entry + 1)
    const code = this.#from[entry] ?? 0
    if (code === JsonCode.Literal) this.#literal(entry + 1)
    else this.#value(code, container + offset, depth + 1)
  }

  #literal(at: number): void {
    const literal = at < this.#end ? LITERALS[this.#from[at] ?? 0] : undefined
    if (literal === undefined) throw new RangeError(`unknown JSON literal at offset ${at}`)
    this.#ascii(literal)
  }

  #double(at: number): void {
    float.setUint32(0, this.#u32(at + 4))
    float.setUint32(4, this.#u32(at))
    const value = float.getFloat64(0)
    this.#ascii(Object.is(value, -0) ? '-0' : String(value))
  }

  #counted(at: number): void {
    const end = countedEnd(this.#from, at, this.#end)
    this.#quoted(lengthEnd(this.#from, at), end)
  }

  /** A string of UTF-8 with its quotes; a byte that is no UTF-8 becomes the six characters `\ufffd`. */
  #quoted(start: number, end: number): void {
    if (end > this.#end) throw endsEarly(this.#end)
    this.#reserve((end - start) * LONGEST_ESCAPE + 2)
    const { bytes } = this
    const from = this.#from
    let to = this.length
    bytes[to++] = QUOTE
    for (let i = start; i < end;) {
      const byte = from[i] ?? 0
      if (byte >= 0x20 && byte < 0x80 && byte !== QUOTE && byte !== BACKSLASH) {
        bytes[to++] = byte
        i++
        continue
      }
      const size = byte < 0x80 ? 1 : sequenceLength(from, i)
      const valid = size > 0 && i + size <= end
      const separator = byte === 0xe2 && from[i + 1] === 0x80 && ((from[i + 2] ?? 0) | 1) === 0xa9
      if (size > 1 && valid && !separator) for (const next = i + size; i < next; i++) bytes[to++] = from[i] ?? 0
      else {
        to = printEscape(valid ? (separator ? 0x2000 | ((from[i + 2] ?? 0) & 0x7f) : byte) : 0xfffd, bytes, to)
        i += valid ? size : 1
      }
    }
    bytes[to++] = QUOTE
    this.length = to
  }

  #ascii(text: string): void {
    this.#reserve(text.length)
    for (let i = 0; i < text.length; i++) this.bytes[this.length++] = text.charCodeAt(i)
  }

  #reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const larger = Buffer.alloc((this.length + count) * 2)
    larger.set(this.bytes)
    this.bytes = larger
  }

  #u16(at: number): number {
    if (at + 2 > this.#end) throw endsEarly(this.#end)
    return (this.#from[at] ?? 0) | ((this.#from[at + 1] ?? 0) << 8)
  }

  #u32(at: number): number {
    if (at + 4 > this.#end) throw endsEarly(this.#end)
    return u32le(this.#from, at)
  }

  #slice(from: number, to: number): Uint8Array {
    if (to > this.#end) throw endsEarly(this.#end)
    return this.#from.subarray(from, to)
  }
}

const printer = new JsonPrinter()

function lengthEnd(bytes: Uint8Array, at: number): number {
  let end = at
  while ((bytes[end] ?? 0) >= 0x80) end++
  return end + 1
}

function printEscape(unit: number, to: Uint8Array, at: number): number {
  to[at] = BACKSLASH
  const letter = NAMED[unit]
  if (letter !== undefined) {
    to[at + 1] = letter
    return at + 2
  }
  to[at + 1] = 0x75
  for (let i = 0; i < 4; i++) to[at + 2 + i] = '0123456789abcdef'.charCodeAt((unit >> (12 - 4 * i)) & 15)
  return at + 6
}
