import { doubleText, floatText, plainDecimal } from '../base/float-text.ts'
import type { Messages } from '../event/encoded.ts'
import { MAX_CELL_TEXT, printSafe, printShortDecimal, printSigned, printUnsigned } from '../tidb/integer-text.ts'
import { sequenceLength } from '../tidb/utf8.ts'

/**
 * How a writer of the Go world escapes (reference: protocols, section 3). `short`: `\b`, `\f`, as encoding/json since Go
 * 1.22 (open-protocol); `hex`: `\u0008`, as easyjson and goccy (canal-json); both escape `<`, `>`, `&` and mend what is not
 * UTF-8. `stream`: as `hex`, but nothing beyond what JSON asks for, as jsoniter's stream (debezium).
 */
export type JsonEscapes = 'short' | 'hex' | 'stream'

/** Messages are views on slabs of this size, shared by all tables of a protocol and never written again. */
const SLAB_BYTES = 256 * 1024
/** Up to this many bytes a loop is faster than a call of `set`. */
const SHORT = 24
const HEX = new TextEncoder().encode('0123456789abcdef')
const BASE64 = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const REPLACEMENT = new TextEncoder().encode('\\ufffd')
const LINE_SEPARATOR = new TextEncoder().encode('\\u2028')
const PARAGRAPH_SEPARATOR = new TextEncoder().encode('\\u2029')
/** Ten-thousandths whose digits a double, a float always keeps. */
const DOUBLE_DIGITS = 1e15
const FLOAT_DIGITS = 1e6
/** Bytes of one character, escaped. */
const LONGEST_ESCAPE = 6
/** Bytes of text that room is made for at once. */
const PIECE = 512
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
  /** Where messages are built; another one after each write that reserves room. */
  slab = newSlab(SLAB_BYTES)
  /** Of `slab`. */
  view = new DataView(this.slab.buffer)
  /** Where the message goes on. What prints into the slab itself moves it. */
  at = 0
  #start = 0

  constructor(escapes: JsonEscapes) {
    this.#escapes = escapeTable(escapes)
  }

  /** Bytes of the message being built. */
  get length(): number {
    return this.at - this.#start
  }

  /** Ends the message: bytes that stay as they are. One too long for a slab is copied, so that it pins nothing else. */
  take(): Uint8Array {
    if (this.slab.length > SLAB_BYTES) {
      const message = this.slab.slice(this.#start, this.at)
      this.#use(newSlab(SLAB_BYTES))
      this.#start = this.at = 0
      return message
    }
    const message = new Uint8Array(this.slab.buffer, this.#start, this.at - this.#start)
    this.#start = this.at
    return message
  }

  /** Ends the message and adds it to `messages`: the value of a message without key, of one row. */
  addTo(messages: Messages, partition: number): void {
    if (this.slab.length > SLAB_BYTES) {
      const value = this.take()
      messages.addValue(partition, value, 0, value.length, 1)
      return
    }
    messages.addValue(partition, this.slab, this.#start, this.at, 1)
    this.#start = this.at
  }

  /** The message being built; valid until the next write. For a message that is copied, then discarded. */
  peek(): Uint8Array {
    return this.slab.subarray(this.#start, this.at)
  }

  /** Forgets what was written of the message beyond `length` bytes. */
  cut(length: number): void {
    this.at = this.#start + length
  }

  /** Forgets what was written since the last message. */
  discard(): void {
    this.at = this.#start
  }

  /** `bytes` as they are. */
  raw(bytes: Uint8Array): void {
    const { length } = bytes
    this.reserve(length)
    if (length <= SHORT) {
      const slab = this.slab
      const at = this.at
      for (let i = 0; i < length; i++) slab[at + i] = bytes[i] ?? 0
    } else this.slab.set(bytes, this.at)
    this.at += length
  }

  /** An unsigned integer of 64 bits from its halves, the lower one not negative. */
  unsigned(high: number, low: number): void {
    this.reserve(MAX_CELL_TEXT)
    this.at = printUnsigned(high, low, this.slab, this.at)
  }

  signed(high: number, low: number): void {
    this.reserve(MAX_CELL_TEXT)
    this.at = printSigned(high, low, this.slab, this.at)
  }

  /** A short piece of `bytes`, as it is. */
  piece(bytes: Uint8Array, start: number, end: number): void {
    this.reserve(end - start)
    const slab = this.slab
    let at = this.at
    for (let i = start; i < end; i++) slab[at++] = bytes[i] ?? 0
    this.at = at
  }

  byte(value: number): void {
    this.reserve(1)
    this.slab[this.at++] = value
  }

  /** Text that is surely ASCII and needs no escapes. */
  ascii(text: string): void {
    this.reserve(text.length)
    const slab = this.slab
    let at = this.at
    for (let i = 0; i < text.length; i++) slab[at++] = text.charCodeAt(i)
    this.at = at
  }

  /**
   * ASCII as it is, behind the byte `first`. False, and nothing is written, where a character is another or is marked in
   * `special`.
   */
  asciiUnless(text: string, special: Uint8Array, first?: number): boolean {
    this.reserve(text.length + 1)
    const slab = this.slab
    let at = this.at
    if (first !== undefined) slab[at++] = first
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i)
      if (c >= 0x80 || special[c] !== 0) return false
      slab[at++] = c
    }
    this.at = at
    return true
  }

  integer(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER) {
      this.reserve(MAX_CELL_TEXT)
      this.at = printSafe(value, this.slab, this.at)
    } else this.ascii(String(value))
  }

  /** Go's `'f'` format, never an exponent. */
  plainDouble(value: number): void {
    if (!this.#shortDecimal(value, DOUBLE_DIGITS)) this.ascii(plainDecimal(doubleText(value)))
  }

  plainFloat(value: number): void {
    if (!this.#shortDecimal(Math.fround(value), FLOAT_DIGITS)) this.ascii(plainDecimal(floatText(value)))
  }

  /** As a JSON number of encoding/json. */
  jsonDouble(value: number): void {
    if (!this.#shortDecimal(value, DOUBLE_DIGITS)) this.ascii(doubleText(value))
  }

  jsonFloat(value: number): void {
    if (!this.#shortDecimal(Math.fround(value), FLOAT_DIGITS)) this.ascii(floatText(value))
  }

  /**
   * Writes a number that is a decimal of at most four digits behind the point and less than `limit` ten-thousandths: its
   * digits read back as the number and no fewer do, hence they are its text in every format. False = it is none.
   */
  #shortDecimal(value: number, limit: number): boolean {
    const units = Math.round(value * 1e4)
    if (!(Math.abs(units) < limit)) return false
    const read = limit === FLOAT_DIGITS ? Math.fround(units / 1e4) : units / 1e4
    if (!Object.is(read, value)) return false
    if (Object.is(value, -0)) return false
    this.reserve(MAX_CELL_TEXT)
    this.at = printShortDecimal(units, this.slab, this.at)
    return true
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
    this.reserve(length)
    const slab = this.slab
    const escapes = this.#escapes
    let at = this.at
    for (let i = 0; i < length; i++) {
      const c = value.charCodeAt(i)
      if (c >= 0x80 || escapes[c] !== 0) {
        this.at = at
        const rest = encoder.encode(i === 0 ? value : value.slice(i))
        this.#utf8From(rest, 0, rest.length)
        return
      }
      slab[at++] = c
    }
    this.at = at
  }

  /** UTF-8 text; each byte that is not part of valid UTF-8 becomes `\ufffd`. */
  utf8(bytes: Uint8Array): void {
    const escapes = this.#escapes
    for (let i = 0; i < bytes.length; i++) {
      if (escapes[bytes[i] ?? 0] !== 0) {
        this.raw(bytes.subarray(0, i))
        this.#utf8From(bytes, i, bytes.length)
        return
      }
    }
    this.raw(bytes)
  }

  /** The same of `bytes[start, end)`, a text that is surely not plain. */
  utf8Rest(bytes: Uint8Array, start: number, end: number): void {
    this.#utf8From(bytes, start, end)
  }

  /** Each byte as the character of that code. */
  latin1(bytes: Uint8Array, start = 0, end = bytes.length): void {
    const escapes = this.#escapes
    for (let i = start; i < end; i++) {
      if ((i - start) % PIECE === 0) this.reserve(PIECE * LONGEST_ESCAPE)
      const b = bytes[i] ?? 0
      if (b >= 0x80) {
        this.slab[this.at++] = 0xc0 | (b >> 6)
        this.slab[this.at++] = 0x80 | (b & 0x3f)
      } else if (escapes[b] === 0) this.slab[this.at++] = b
      else this.#escape(b)
    }
  }

  /** Standard alphabet with padding. */
  base64(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.reserve(Math.ceil((end - start) / 3) * 4)
    const slab = this.slab
    let at = this.at
    for (let i = start; i < end; i += 3) {
      const left = end - i
      const second = left > 1 ? (bytes[i + 1] ?? 0) : 0
      const third = left > 2 ? (bytes[i + 2] ?? 0) : 0
      const bits = ((bytes[i] ?? 0) << 16) | (second << 8) | third
      slab[at++] = BASE64[bits >> 18] ?? 0
      slab[at++] = BASE64[(bits >> 12) & 63] ?? 0
      slab[at++] = left > 1 ? (BASE64[(bits >> 6) & 63] ?? 0) : 0x3d
      slab[at++] = left > 2 ? (BASE64[bits & 63] ?? 0) : 0x3d
    }
    this.at = at
  }

  /** What {@link utf8} writes, of `bytes[from, end)`; with room for the most that a piece of it may become. */
  #utf8From(bytes: Uint8Array, from: number, end: number): void {
    for (let i = from; i < end;) {
      this.reserve(PIECE * LONGEST_ESCAPE)
      i = this.#utf8Piece(bytes, i, Math.min(end, i + PIECE - 4), end)
    }
  }

  /** Up to the first character that begins at `stop` or behind it; where it stopped. */
  #utf8Piece(bytes: Uint8Array, from: number, stop: number, end: number): number {
    const slab = this.slab
    const escapes = this.#escapes
    let at = this.at
    let i = from
    while (i < stop) {
      const b = bytes[i] ?? 0
      if (escapes[b] === 0) {
        slab[at++] = b
        i++
        continue
      }
      if (b < 0x80) {
        this.at = at
        this.#escape(b)
        at = this.at
        i++
        continue
      }
      const size = sequenceLength(bytes, i)
      if (size === 0 || i + size > end) {
        slab.set(REPLACEMENT, at)
        at += REPLACEMENT.length
        i++
      } else if (b === 0xe2 && bytes[i + 1] === 0x80 && ((bytes[i + 2] ?? 0) | 1) === 0xa9) {
        slab.set(bytes[i + 2] === 0xa8 ? LINE_SEPARATOR : PARAGRAPH_SEPARATOR, at)
        at += LINE_SEPARATOR.length
        i += 3
      } else {
        for (const next = i + size; i < next; i++) slab[at++] = bytes[i] ?? 0
      }
    }
    this.at = at
    return i
  }

  /** An ASCII character that is not written as it is; there is room for it. */
  #escape(c: number): void {
    const slab = this.slab
    const letter = this.#escapes[c] ?? 0
    slab[this.at++] = 0x5c
    if (letter !== 1) {
      slab[this.at++] = letter
      return
    }
    slab[this.at++] = 0x75
    slab[this.at++] = 0x30
    slab[this.at++] = 0x30
    slab[this.at++] = HEX[c >> 4] ?? 0
    slab[this.at++] = HEX[c & 15] ?? 0
  }

  /** Makes room in the slab for so many bytes behind `at`. */
  reserve(bytes: number): void {
    if (this.at + bytes > this.slab.length) this.#grow(bytes)
  }

  /** Goes on in a new slab, taking the unfinished message along. */
  #grow(bytes: number): void {
    const used = this.at - this.#start
    const slab = newSlab(used + bytes <= SLAB_BYTES ? SLAB_BYTES : (used + bytes) * 2)
    slab.set(this.slab.subarray(this.#start, this.at))
    this.#use(slab)
    this.#start = 0
    this.at = used
  }

  #use(slab: Uint8Array<ArrayBuffer>): void {
    this.slab = slab
    this.view = new DataView(slab.buffer)
  }
}

/** Not cleared: only what has been written is ever shown. */
const newSlab = (bytes: number): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)
