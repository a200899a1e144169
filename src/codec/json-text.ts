import { doubleText, floatText, plainDecimal } from '../base/float-text.ts'

/**
 * How a writer of the Go world escapes (reference: protocols, section 3). `short`: `\b`, `\f`, as encoding/json since Go
 * 1.22 (open-protocol); `hex`: `\u0008`, as easyjson and goccy (canal-json); both escape `<`, `>`, `&` and mend what is not
 * UTF-8. `stream`: as `hex`, but nothing beyond what JSON asks for, as jsoniter's stream (debezium).
 */
export type JsonEscapes = 'short' | 'hex' | 'stream'

/** Messages are views on slabs of this size, shared by all tables of a protocol and never written again. */
const SLAB_BYTES = 64 * 1024
const HEX = new TextEncoder().encode('0123456789abcdef')
const BASE64 = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const REPLACEMENT = new TextEncoder().encode('\\ufffd')
const encoder = new TextEncoder()

/** 0 = the byte stands for itself, 1 = written as `\u00xx` or `\ufffd`, otherwise the letter after the backslash. */
function escapeTable(escapes: JsonEscapes): Uint8Array {
  const table = new Uint8Array(256)
  table.fill(1, 0, 0x20)
  if (escapes !== 'stream') {
    table.fill(1, 0x80)
    for (const c of '<>&') table[c.charCodeAt(0)] = 1
  }
  const letters = { '"': '"', '\\': '\\', '\n': 'n', '\r': 'r', '\t': 't' }
  const more = escapes === 'short' ? { '\b': 'b', '\f': 'f' } : {}
  for (const [c, letter] of Object.entries({ ...letters, ...more })) table[c.charCodeAt(0)] = letter.charCodeAt(0)
  return table
}

/** A string with its quotes, as the writer prints it; for names, while compiling. */
export function jsonString(text: string, escapes: JsonEscapes): string {
  const short: Readonly<Record<string, string>> = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }
  const more: Readonly<Record<string, string>> = escapes === 'short' ? { '\b': '\\b', '\f': '\\f' } : {}
  const escape = (c: string): string => short[c] ?? more[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`
  const special = escapes === 'stream' ? /["\\]|[^ -\u{10ffff}]/gu : /["\\<>&\u2028\u2029]|[^ -\u{10ffff}]/gu
  return `"${text.replace(special, escape)}"`
}

/**
 * Builds one message after the other, byte by byte as Go's JSON writers print them. Texts are written without their
 * quotes. One writer serves all encoders of a protocol: an encoder writes a message whole before another one begins.
 */
export class JsonWriter {
  readonly #escapes: Uint8Array
  #slab = newSlab(SLAB_BYTES)
  #start = 0
  #at = 0

  constructor(escapes: JsonEscapes) {
    this.#escapes = escapeTable(escapes)
  }

  /** Bytes of the message being built. */
  get length(): number {
    return this.#at - this.#start
  }

  /** Ends the message: bytes that stay as they are. One too long for a slab is copied, so that it pins nothing else. */
  take(): Uint8Array {
    if (this.#slab.length > SLAB_BYTES) {
      const message = this.#slab.slice(this.#start, this.#at)
      this.#slab = newSlab(SLAB_BYTES)
      this.#start = this.#at = 0
      return message
    }
    const message = new Uint8Array(this.#slab.buffer, this.#start, this.#at - this.#start)
    this.#start = this.#at
    return message
  }

  /** The message being built; valid until the next write. For a message that is copied, then discarded. */
  peek(): Uint8Array {
    return this.#slab.subarray(this.#start, this.#at)
  }

  /** Forgets what was written since the last message. */
  discard(): void {
    this.#at = this.#start
  }

  /** `bytes` as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#slab.set(bytes, this.#at)
    this.#at += bytes.length
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#slab[this.#at++] = value
  }

  /** Text that is surely ASCII and needs no escapes. */
  ascii(text: string): void {
    this.#reserve(text.length)
    const slab = this.#slab
    let at = this.#at
    for (let i = 0; i < text.length; i++) slab[at++] = text.charCodeAt(i)
    this.#at = at
  }

  /**
   * ASCII as it is, behind the byte `first`. False, and nothing is written, where a character is another or is marked in
   * `special`.
   */
  asciiUnless(text: string, special: Uint8Array, first?: number): boolean {
    this.#reserve(text.length + 1)
    const slab = this.#slab
    let at = this.#at
    if (first !== undefined) slab[at++] = first
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i)
      if (c >= 0x80 || special[c] !== 0) return false
      slab[at++] = c
    }
    this.#at = at
    return true
  }

  integer(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0 && value < 1e9) {
      this.#reserve(10)
      let end = this.#at + digitsOf(value)
      this.#at = end
      let rest = value
      do {
        const next = (rest / 10) | 0
        this.#slab[--end] = 0x30 + rest - next * 10
        rest = next
      } while (rest > 0)
    } else this.ascii(String(value))
  }

  /** Go's `'f'` format, never an exponent. */
  plainDouble(value: number): void {
    this.ascii(plainDecimal(doubleText(value)))
  }

  plainFloat(value: number): void {
    this.ascii(plainDecimal(floatText(value)))
  }

  /** As a JSON number of encoding/json. */
  jsonDouble(value: number): void {
    this.ascii(doubleText(value))
  }

  jsonFloat(value: number): void {
    this.ascii(floatText(value))
  }

  /** `[1,2.5]` */
  vector(value: Float32Array): void {
    this.byte(0x5b)
    for (let i = 0; i < value.length; i++) {
      if (i > 0) this.byte(0x2c)
      this.plainFloat(value[i] ?? 0)
    }
    this.byte(0x5d)
  }

  text(value: string): void {
    const { length } = value
    this.#reserve(length)
    const slab = this.#slab
    const escapes = this.#escapes
    let at = this.#at
    for (let i = 0; i < length; i++) {
      const c = value.charCodeAt(i)
      if (c >= 0x80 || escapes[c] !== 0) {
        this.#at = at
        this.#utf8From(encoder.encode(i === 0 ? value : value.slice(i)), 0)
        return
      }
      slab[at++] = c
    }
    this.#at = at
  }

  /** UTF-8 text; each byte that is not part of valid UTF-8 becomes `\ufffd`. */
  utf8(bytes: Uint8Array): void {
    const escapes = this.#escapes
    for (let i = 0; i < bytes.length; i++) {
      if (escapes[bytes[i] ?? 0] !== 0) {
        this.raw(bytes.subarray(0, i))
        this.#utf8From(bytes, i)
        return
      }
    }
    this.raw(bytes)
  }

  /** Each byte as the character of that code. */
  latin1(bytes: Uint8Array): void {
    const escapes = this.#escapes
    for (let i = 0; i < bytes.length; i++) {
      const b = bytes[i] ?? 0
      if (b < 0x80 && escapes[b] !== 0) {
        this.#character(b)
        continue
      }
      this.#reserve(2)
      if (b < 0x80) this.#slab[this.#at++] = b
      else {
        this.#slab[this.#at++] = 0xc0 | (b >> 6)
        this.#slab[this.#at++] = 0x80 | (b & 0x3f)
      }
    }
  }

  /** Standard alphabet with padding. */
  base64(bytes: Uint8Array): void {
    this.#reserve(Math.ceil(bytes.length / 3) * 4)
    const slab = this.#slab
    let at = this.#at
    for (let i = 0; i < bytes.length; i += 3) {
      const left = bytes.length - i
      const bits = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
      slab[at++] = BASE64[bits >> 18] ?? 0
      slab[at++] = BASE64[(bits >> 12) & 63] ?? 0
      slab[at++] = left > 1 ? (BASE64[(bits >> 6) & 63] ?? 0) : 0x3d
      slab[at++] = left > 2 ? (BASE64[bits & 63] ?? 0) : 0x3d
    }
    this.#at = at
  }

  #utf8From(bytes: Uint8Array, from: number): void {
    let i = from
    while (i < bytes.length) {
      const b = bytes[i] ?? 0
      if (b < 0x80 || this.#escapes[b] === 0) {
        this.#character(b)
        i++
        continue
      }
      const size = sequenceLength(bytes, i)
      if (size === 0) {
        this.raw(REPLACEMENT)
        i++
      } else if (b === 0xe2 && bytes[i + 1] === 0x80 && ((bytes[i + 2] ?? 0) | 1) === 0xa9) {
        this.ascii(bytes[i + 2] === 0xa8 ? '\\u2028' : '\\u2029')
        i += 3
      } else {
        this.#reserve(size)
        for (const end = i + size; i < end; i++) this.#slab[this.#at++] = bytes[i] ?? 0
      }
    }
  }

  /** One byte, escaped where need be. */
  #character(c: number): void {
    this.#reserve(6)
    const slab = this.#slab
    const escape = this.#escapes[c] ?? 0
    if (escape === 0) {
      slab[this.#at++] = c
      return
    }
    slab[this.#at++] = 0x5c
    if (escape !== 1) {
      slab[this.#at++] = escape
      return
    }
    slab[this.#at++] = 0x75
    slab[this.#at++] = 0x30
    slab[this.#at++] = 0x30
    slab[this.#at++] = HEX[c >> 4] ?? 0
    slab[this.#at++] = HEX[c & 15] ?? 0
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes > this.#slab.length) this.#grow(bytes)
  }

  /** Goes on in a new slab, taking the unfinished message along. */
  #grow(bytes: number): void {
    const used = this.#at - this.#start
    const slab = newSlab(Math.max(SLAB_BYTES, (used + bytes) * 2))
    slab.set(this.#slab.subarray(this.#start, this.#at))
    this.#slab = slab
    this.#start = 0
    this.#at = used
  }
}

/** Not cleared: only what has been written is ever shown. */
const newSlab = (bytes: number): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)

/** Decimal digits of an integer below 1e9. */
const digitsOf = (n: number): number =>
  n < 1e4 ? (n < 100 ? (n < 10 ? 1 : 2) : n < 1e3 ? 3 : 4) : n < 1e6 ? (n < 1e5 ? 5 : 6) : n < 1e7 ? 7 : n < 1e8 ? 8 : 9

/** Bytes of the UTF-8 sequence at `at`, 0 where it is not valid (as Go's utf8.DecodeRune sees it). */
export function sequenceLength(bytes: Uint8Array, at: number): 0 | 1 | 2 | 3 | 4 {
  const b0 = bytes[at] ?? 0
  if (b0 < 0x80) return 1
  const b1 = bytes[at + 1] ?? 0
  if (b0 < 0xc2 || b0 > 0xf4 || (b1 & 0xc0) !== 0x80) return 0
  if (b0 < 0xe0) return 2
  const third = ((bytes[at + 2] ?? 0) & 0xc0) === 0x80
  if (b0 < 0xf0) return !third || (b0 === 0xe0 && b1 < 0xa0) || (b0 === 0xed && b1 > 0x9f) ? 0 : 3
  const fourth = ((bytes[at + 3] ?? 0) & 0xc0) === 0x80
  return !third || !fourth || (b0 === 0xf0 && b1 < 0x90) || (b0 === 0xf4 && b1 > 0x8f) ? 0 : 4
}
