import { identifierOf, tokenize, type Token } from '../../tidb/sql/tokens.ts'

interface PlacedToken extends Token {
  /** Offset in the text. */
  readonly at: number
}

/** Tokens of an expression without blanks and comments; words are compared in lower case. */
export class TokenReader {
  readonly #text: string
  readonly #tokens: readonly PlacedToken[]
  #next = 0

  /** SyntaxError for a quote or comment that does not end. */
  constructor(text: string) {
    this.#text = text
    let at = 0
    const placed = tokenize(text, 0n).map((token) => {
      const one = { ...token, at }
      at += token.text.length
      return one
    })
    this.#tokens = placed.filter(({ kind }) => kind !== 'space' && kind !== 'comment' && kind !== 'hint')
  }

  get token(): Token | undefined {
    return this.#tokens[this.#next]
  }

  peek(ahead: number): Token | undefined {
    return this.#tokens[this.#next + ahead]
  }

  take(): Token {
    const token = this.#tokens[this.#next]
    if (token === undefined) throw this.error('it ends too early')
    this.#next++
    return token
  }

  /** The symbol or unquoted word at hand, in lower case; empty at the end and for anything else. */
  word(ahead = 0): string {
    const token = this.peek(ahead)
    return token?.kind === 'symbol' || token?.kind === 'word' ? token.text.toLowerCase() : ''
  }

  accept(...words: readonly string[]): boolean {
    if (words.some((word, i) => this.word(i) !== word)) return false
    this.#next += words.length
    return true
  }

  expect(word: string): void {
    if (!this.accept(word)) throw this.error(`'${word}' is expected`)
  }

  identifier(): string {
    const token = this.take()
    if (token.kind === 'word' || token.kind === 'name') return identifierOf(token)
    this.#next--
    throw this.error('a name is expected')
  }

  /** A number without sign. */
  integer(): number {
    const token = this.token
    if (token?.kind !== 'number' || !/^[0-9]{1,5}$/.test(token.text)) throw this.error('a small number is expected')
    this.#next++
    return Number(token.text)
  }

  end(): void {
    if (this.#next < this.#tokens.length) throw this.error('the expression should end')
  }

  /** Says where the reader stands. */
  error(problem: string): SyntaxError {
    const token = this.#tokens[this.#next]
    const place = token === undefined ? 'at the end' : `near '${this.#text.slice(token.at, token.at + 24)}'`
    return new SyntaxError(`${problem} ${place}, offset ${token?.at ?? this.#text.length}`)
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  '0': '\0',
  b: '\b',
  n: '\n',
  r: '\r',
  t: '\t',
  Z: '\x1a',
  '%': '\\%',
  _: '\\_',
}

/** The text of a quoted string as MySQL reads it. */
export function stringOf(token: Token): string {
  const quote = token.text[0] ?? "'"
  const body = token.text.slice(1, -1)
  return body.replace(/\\([^])|''|""/g, (found, escaped: string | undefined) => {
    if (escaped !== undefined) return ESCAPES[escaped] ?? escaped
    return found[0] === quote ? quote : found
  })
}
