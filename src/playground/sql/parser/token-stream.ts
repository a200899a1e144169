import type { SqlError } from '../error.ts'
import type { TableName } from './ast.ts'
import { syntaxError } from './lexer.ts'
import type { Token } from './lexer.ts'

/** Words that are never names without quotes: those that would make a following clause look like an alias. */
const RESERVED = new Set(
  `ADD ALL ALTER AND AS ASC BETWEEN BY CASE CHANGE CHARACTER CHECK COLLATE COLUMN CONSTRAINT CREATE CROSS CURRENT_DATE
  CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER DATABASE DATABASES DEFAULT DELETE DESC DESCRIBE DISTINCT DISTINCTROW DIV
  DROP DUAL ELSE EXCEPT EXISTS EXPLAIN FALSE FETCH FOR FORCE FOREIGN FROM FULLTEXT GRANT GROUP HAVING IF IGNORE IN INDEX
  INNER INSERT INTERSECT INTERVAL INTO IS JOIN KEY KEYS KILL LEFT LIKE LIMIT LOAD LOCALTIME LOCALTIMESTAMP LOCK MATCH MOD
  NATURAL NOT NULL ON OR ORDER OUTER PARTITION PRIMARY PROCEDURE REFERENCES REGEXP RENAME REPLACE RIGHT RLIKE SELECT SET
  SHOW STRAIGHT_JOIN TABLE THEN TO TRUE UNION UNIQUE UNLOCK UPDATE USE USING UTC_DATE UTC_TIME UTC_TIMESTAMP VALUES WHEN
  WHERE WITH XOR`.split(/\s+/),
)

/** A cursor over tokens with the small questions that every parsing function asks. */
export class TokenStream {
  readonly source: string
  readonly #tokens: readonly Token[]
  #at = 0
  /** Parameters (`?`) seen in the current statement. */
  parameters = 0

  constructor(source: string, tokens: readonly Token[]) {
    this.source = source
    this.#tokens = tokens
  }

  get current(): Token {
    const token = this.#tokens[this.#at]
    if (token === undefined) throw new RangeError('read beyond the end token')
    return token
  }

  peek(distance = 1): Token | undefined {
    return this.#tokens[this.#at + distance]
  }

  get previousEnd(): number {
    return this.#tokens[this.#at - 1]?.end ?? 0
  }

  next(): Token {
    const token = this.current
    if (token.kind !== 'end') this.#at++
    return token
  }

  isEnd(): boolean {
    return this.current.kind === 'end'
  }

  isWord(...words: readonly string[]): boolean {
    return this.current.kind === 'word' && words.includes(this.current.upper)
  }

  /** True when the next tokens are exactly these words. */
  isPhrase(...words: readonly string[]): boolean {
    return words.every((word, i) => {
      const token = this.peek(i)
      return token?.kind === 'word' && token.upper === word
    })
  }

  takeWord(...words: readonly string[]): boolean {
    if (!this.isWord(...words)) return false
    this.next()
    return true
  }

  takePhrase(...words: readonly string[]): boolean {
    if (!this.isPhrase(...words)) return false
    this.#at += words.length
    return true
  }

  expectWord(...words: readonly string[]): string {
    if (!this.isWord(...words)) throw this.error()
    return this.next().upper
  }

  isSymbol(...symbols: readonly string[]): boolean {
    return this.current.kind === 'symbol' && symbols.includes(this.current.text)
  }

  takeSymbol(...symbols: readonly string[]): boolean {
    if (!this.isSymbol(...symbols)) return false
    this.next()
    return true
  }

  expectSymbol(symbol: string): void {
    if (!this.takeSymbol(symbol)) throw this.error()
  }

  isName(): boolean {
    const { kind, upper } = this.current
    return kind === 'name' || (kind === 'word' && !RESERVED.has(upper))
  }

  /** A name, quoted or not; `afterDot` allows reserved words, as MySQL does. */
  name(afterDot = false): string {
    if (!this.isName() && !(afterDot && this.current.kind === 'word')) throw this.error()
    return this.next().text
  }

  tableName(): TableName {
    const first = this.name()
    if (!this.takeSymbol('.')) return { schema: '', name: first }
    return { schema: first, name: this.name(true) }
  }

  string(): string {
    if (this.current.kind !== 'string') throw this.error()
    let text = ''
    while (this.current.kind === 'string') text += this.next().text
    return text
  }

  /** A name or a string: charset and collation names, aliases. */
  nameOrString(): string {
    return this.current.kind === 'string'
      ? this.string()
      : this.current.kind === 'word'
        ? this.next().text
        : this.name()
  }

  integer(): bigint {
    if (this.current.kind !== 'integer') throw this.error()
    return BigInt(this.next().text)
  }

  /** Runs `item` for a list with commas between. */
  list<T>(item: () => T): T[] {
    const items = [item()]
    while (this.takeSymbol(',')) items.push(item())
    return items
  }

  inParentheses<T>(content: () => T): T {
    this.expectSymbol('(')
    const result = content()
    this.expectSymbol(')')
    return result
  }

  error(): SqlError {
    return syntaxError(this.source, this.current.start)
  }
}
