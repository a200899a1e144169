import type { CsvSettings } from '../../config/sink-settings.ts'
import type { JsonWriter } from '../json-text.ts'

/** Writes fields that are strings; numbers and NULL stand bare. */
export interface FieldWriter {
  text(value: string): void
  /** Text that is UTF-8 already. */
  bytes(value: Uint8Array): void
  /** In base64 or hexadecimal. */
  binary(value: Uint8Array): void
}

const BACKSLASH = 0x5c
const LETTERS: ReadonlyMap<number, number> = new Map([
  [0x0d, 0x72],
  [0x0a, 0x6e],
  [BACKSLASH, BACKSLASH],
])

/** With a quote each one inside is doubled; without, line ends, backslashes and delimiters get a backslash. */
export function createFieldWriter(settings: CsvSettings, out: JsonWriter): FieldWriter {
  const encoder = new TextEncoder()
  const quote = settings.quote === '' ? undefined : settings.quote.charCodeAt(0)
  const delimiter = encoder.encode(settings.delimiter)
  const bytes = quote === undefined ? escaping(delimiter, out) : quoting(quote, out)
  const special = new Uint8Array(128)
  for (const c of quote === undefined ? [...LETTERS.keys(), ...delimiter] : [quote]) special[c] = 1
  const text = (value: string): void => {
    if (quote === undefined) {
      if (!out.asciiUnless(value, special)) bytes(encoder.encode(value))
      return
    }
    if (out.asciiUnless(value, special, quote)) out.byte(quote)
    else bytes(encoder.encode(value))
  }
  const encoding = settings.binaryEncoding
  return {
    text,
    bytes,
    binary: (value) => text(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString(encoding)),
  }
}

function quoting(quote: number, out: JsonWriter): (value: Uint8Array) => void {
  return (value) => {
    out.byte(quote)
    let from = 0
    for (let at = 0; at < value.length; at++) {
      if (value[at] !== quote) continue
      out.raw(value.subarray(from, at + 1))
      out.byte(quote)
      from = at + 1
    }
    out.raw(from === 0 ? value : value.subarray(from))
    out.byte(quote)
  }
}

function escaping(delimiter: Uint8Array, out: JsonWriter): (value: Uint8Array) => void {
  const first = delimiter[0] ?? 0
  const delimits = (value: Uint8Array, at: number): boolean => delimiter.every((b, i) => value[at + i] === b)
  return (value) => {
    for (let at = 0; at < value.length;) {
      const b = value[at] ?? 0
      const letter = LETTERS.get(b)
      if (letter !== undefined) {
        out.byte(BACKSLASH)
        out.byte(letter)
        at++
      } else if (b === first && delimits(value, at)) {
        for (const c of delimiter) {
          out.byte(BACKSLASH)
          out.byte(c)
        }
        at += delimiter.length
      } else {
        out.byte(b)
        at++
      }
    }
  }
}
