import { SqlError } from '../error.ts'

export type TokenKind =
  | 'word'
  | 'name'
  | 'string'
  | 'integer'
  | 'decimal'
  | 'float'
  | 'bits'
  | 'parameter'
  | 'userVariable'
  | 'systemVariable'
  | 'symbol'
  | 'end'

/**
 * `text`: a word as typed, a name, string or variable without quotes, a symbol itself. `bytes` belongs to strings and
 * to hexadecimal and bit literals. `start` and `end` are positions in the source, which has one character per byte.
 */
export interface Token {
  readonly kind: TokenKind
  readonly text: string
  readonly upper: string
  readonly bytes: Uint8Array
  readonly start: number
  readonly end: number
}

export interface LexerOptions {
  /** sql_mode ANSI_QUOTES: double quotes enclose names. */
  readonly ansiQuotes: boolean
  /** sql_mode NO_BACKSLASH_ESCAPES. */
  readonly noBackslashEscapes: boolean
}

/** Features whose special comments, written with a `T!` and the name in brackets, TiDB v8.5 executes. */
const TIDB_FEATURES = new Set([
  'auto_rand',
  'auto_id_cache',
  'auto_rand_base',
  'clustered_index',
  'forced_auto_inc',
  'placement',
  'ttl',
  'global_index',
  'pre_split',
])

const SYMBOLS = ['<=>', '->>', '<<', '>>', '<=', '>=', '<>', '!=', '&&', '||', ':=', '->']
const NO_BYTES = new Uint8Array(0)
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/**
 * Splits SQL into tokens. `source` holds one character per byte of the query (latin1), so that raw bytes inside literals
 * survive; names and words are decoded as UTF-8.
 */
export function tokenize(source: string, options: LexerOptions): Token[] {
  return new Lexer(source, options).run()
}

class Lexer {
  readonly #source: string
  readonly #options: LexerOptions
  readonly #tokens: Token[] = []
  #at = 0
  /** How many executable comments are open. */
  #comments = 0

  constructor(source: string, options: LexerOptions) {
    this.#source = source
    this.#options = options
  }

  run(): Token[] {
    for (;;) {
      this.#skipBlank()
      if (this.#at >= this.#source.length) break
      this.#next()
    }
    this.#push('end', '', this.#at)
    return this.#tokens
  }

  #push(kind: TokenKind, text: string, start: number, bytes: Uint8Array = NO_BYTES): void {
    this.#tokens.push({ kind, text, upper: kind === 'word' ? text.toUpperCase() : text, bytes, start, end: this.#at })
  }

  #skipBlank(): void {
    const source = this.#source
    for (;;) {
      const char = source[this.#at]
      if (char === undefined) return
      if (char <= ' ') this.#at++
      else if (char === '#' || (char === '-' && source[this.#at + 1] === '-' && (source[this.#at + 2] ?? ' ') <= ' '))
        this.#skipLine()
      else if (char === '/' && source[this.#at + 1] === '*') this.#openComment()
      else if (char === '*' && source[this.#at + 1] === '/' && this.#comments > 0) {
        this.#comments--
        this.#at += 2
      } else return
    }
  }

  #skipLine(): void {
    const end = this.#source.indexOf('\n', this.#at)
    this.#at = end < 0 ? this.#source.length : end + 1
  }

  /** Enters an executable comment (`/*!`, `/*!50110`, `/*T!`, `/*T![feature]`) and skips any other. */
  #openComment(): void {
    const opening = /^\/\*(?:!\d{0,6}|T!(?:\[([a-z_,]*)\])?)/.exec(this.#source.slice(this.#at, this.#at + 80))
    const features = opening?.[1]?.split(',') ?? []
    if (opening !== null && features.every((feature) => TIDB_FEATURES.has(feature))) {
      this.#comments++
      this.#at += opening[0].length
      return
    }
    const end = this.#source.indexOf('*/', this.#at + 2)
    if (end < 0) throw this.#error(this.#at)
    this.#at = end + 2
  }

  #next(): void {
    const source = this.#source
    const start = this.#at
    const char = source[start] ?? ''
    const following = source[start + 1] ?? ''
    if (char === "'" || (char === '"' && !this.#options.ansiQuotes)) return this.#string(char, start)
    if (char === '`' || char === '"') {
      const name = this.#quoted(char)
      return this.#push('name', name, start)
    }
    if (following === "'" && /[xXbB]/.test(char)) return this.#quotedBits(char.toLowerCase(), start)
    if (following === "'" && /[nN]/.test(char)) {
      this.#at++
      return this.#string("'", start)
    }
    if (/[0-9]/.test(char) || (char === '.' && /[0-9]/.test(following) && !this.#afterName(start)))
      return this.#number(start)
    if (char === '@') return this.#variable(start)
    if (char === '?') {
      this.#at++
      return this.#push('parameter', '?', start)
    }
    if (isWordChar(char)) return this.#word(start)
    const symbol = SYMBOLS.find((text) => source.startsWith(text, start)) ?? char
    this.#at += symbol.length
    this.#push('symbol', symbol, start)
  }

  /** True directly after a name: `a.1b` is a qualified name, not a number. */
  #afterName(start: number): boolean {
    const last = this.#tokens.at(-1)
    return last !== undefined && last.end === start && (last.kind === 'word' || last.kind === 'name')
  }

  #word(start: number): void {
    const source = this.#source
    while (isWordChar(source[this.#at] ?? '')) this.#at++
    this.#push('word', decode(source.slice(start, this.#at)), start)
  }

  #number(start: number): void {
    const rest = this.#source.slice(start)
    const literal = /^0x([0-9a-fA-F]+)(?![0-9a-zA-Z_$])|^0b([01]+)(?![0-9a-zA-Z_$])/.exec(rest)
    if (literal !== null) {
      this.#at += literal[0].length
      return this.#push('bits', literal[0], start, bitsOf(literal[1], literal[2]))
    }
    const found = /^(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/.exec(rest)?.[0] ?? ''
    const afterName = this.#tokens.at(-1)?.text === '.'
    if (/^\d/.test(found) && isWordChar(rest[found.length] ?? '') && !found.includes('.')) return this.#word(start)
    if (afterName && /^\d+$/.test(found)) return this.#word(start)
    this.#at += found.length
    this.#push(/[eE]/.test(found) ? 'float' : found.includes('.') ? 'decimal' : 'integer', found, start)
  }

  #quotedBits(base: string, start: number): void {
    const end = this.#source.indexOf("'", start + 2)
    const digits = end < 0 ? '' : this.#source.slice(start + 2, end)
    const fine = base === 'x' ? /^(?:[0-9a-fA-F]{2})*$/.test(digits) : /^[01]*$/.test(digits)
    if (end < 0 || !fine) throw this.#error(start)
    this.#at = end + 1
    this.#push('bits', digits, start, base === 'x' ? bitsOf(digits, undefined) : bitsOf(undefined, digits))
  }

  #variable(start: number): void {
    const source = this.#source
    const system = source[start + 1] === '@'
    this.#at = start + (system ? 2 : 1)
    const quote = source[this.#at] ?? ''
    let name: string
    if (quote === '`' || quote === "'" || quote === '"') name = this.#quoted(quote)
    else {
      const from = this.#at
      while (isWordChar(source[this.#at] ?? '') || source[this.#at] === '.') this.#at++
      name = decode(source.slice(from, this.#at))
    }
    if (system && source[this.#at] === '.') name += `.${this.#dotted()}`
    this.#push(system ? 'systemVariable' : 'userVariable', name, start)
  }

  #dotted(): string {
    this.#at++
    return this.#quoted(this.#source[this.#at] ?? '')
  }

  /** Text between quotes, doubled quotes being one; no escapes. */
  #quoted(quote: string): string {
    const source = this.#source
    const start = this.#at
    let text = ''
    for (this.#at++; ; this.#at++) {
      const char = source[this.#at]
      if (char === undefined) throw this.#error(start)
      if (char === quote) {
        if (source[this.#at + 1] !== quote) break
        this.#at++
      }
      text += char
    }
    this.#at++
    return decode(text)
  }

  #string(quote: string, start: number): void {
    const source = this.#source
    const parts: string[] = []
    let from = this.#at + 1
    for (this.#at = from; ; this.#at++) {
      const char = source[this.#at]
      if (char === undefined) throw this.#error(start)
      if (char === '\\' && !this.#options.noBackslashEscapes) {
        parts.push(source.slice(from, this.#at), escapeOf(source[this.#at + 1] ?? ''))
        this.#at++
        from = this.#at + 1
      } else if (char === quote) {
        parts.push(source.slice(from, this.#at))
        if (source[this.#at + 1] !== quote) break
        this.#at++
        from = this.#at
      }
    }
    this.#at++
    const raw = parts.join('')
    const bytes = Buffer.from(raw, 'latin1')
    this.#push('string', decode(raw), start, bytes)
  }

  #error(at: number): SqlError {
    return syntaxError(this.#source, at)
  }
}

/** TiDB's text for SQL that cannot be parsed; `at` is a position in the latin1 source. */
export function syntaxError(source: string, at: number): SqlError {
  const before = source.slice(0, at)
  const line = before.split('\n').length
  const column = at - before.lastIndexOf('\n')
  const near = decode(source.slice(at, at + 80))
  return new SqlError(
    1064,
    `You have an error in your SQL syntax; check the manual that corresponds to your TiDB version for the right syntax to use line ${line} column ${column} near "${near}" `,
  )
}

/** Latin1 text (one character per byte) as UTF-8. */
export function decode(text: string): string {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return utf8.decode(Buffer.from(text, 'latin1'))
  return text
}

function isWordChar(char: string): boolean {
  return /[0-9a-zA-Z_$\u0080-\u00ff]/.test(char)
}

function bitsOf(hex: string | undefined, bits: string | undefined): Uint8Array {
  if (hex !== undefined) return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  const digits = bits ?? ''
  const length = Math.ceil(digits.length / 8)
  const value = digits === '' ? 0n : BigInt(`0b${digits}`)
  return Buffer.from(
    value
      .toString(16)
      .padStart(length * 2, '0')
      .slice(0, length * 2),
    'hex',
  )
}

/** What `\x` inside a string stands for; `\%` and `\_` keep their backslash for LIKE. */
function escapeOf(char: string): string {
  switch (char) {
    case '0':
      return '\0'
    case 'b':
      return '\b'
    case 'n':
      return '\n'
    case 'r':
      return '\r'
    case 't':
      return '\t'
    case 'Z':
      return '\x1a'
    case '%':
    case '_':
      return `\\${char}`
    default:
      return char
  }
}
