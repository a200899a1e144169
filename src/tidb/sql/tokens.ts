/** A piece of SQL text; joined, the texts of all tokens are the statement again. */
export interface Token {
  readonly kind: TokenKind
  readonly text: string
}

/**
 * `name` is a quoted identifier. `hint` is a comment whose content TiDB runs: the opening of `/*!`, `/*T!` or
 * `/*T![feature]`, and its end; what stands between are tokens of their own.
 */
export type TokenKind = 'space' | 'comment' | 'word' | 'name' | 'string' | 'number' | 'symbol' | 'hint'

const ANSI_QUOTES = 4n
/** SQL mode under which a backslash is an ordinary character. */
export const NO_BACKSLASH_ESCAPES = 1n << 20n

const SPACE = /\s+/y
const WORD = /[@$\p{L}_\u0080-\uffff][$\p{L}\p{N}_\u0080-\uffff]*/uy
const DIGIT_WORD = /[0-9]+[$\p{L}_\u0080-\uffff][$\p{L}\p{N}_\u0080-\uffff]*/uy
const NUMBER = /0x[0-9a-fA-F]+|0b[01]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/y
const LINE_COMMENT = /(?:#|--(?=\s|$))[^\n]*\n?/y
const HINT_START = /\/\*(?:!(?:[0-9]{5,6})?|T!(?:\[[^\]]*\])?)/y
const COMMENT = /\/\*[\s\S]*?\*\//y
const SYMBOL = /<=>|<<|>>|<=|>=|<>|!=|:=|&&|\|\||->>|->|[^\s\w]/uy

/** Splits SQL text as MySQL reads it under `sqlMode`. Error: SyntaxError at a quote or comment that does not end. */
export function tokenize(sql: string, sqlMode: bigint): readonly Token[] {
  const tokens: Token[] = []
  let hints = 0
  for (let at = 0; at < sql.length;) {
    const match = (pattern: RegExp): string | undefined => {
      pattern.lastIndex = at
      return pattern.exec(sql)?.[0]
    }
    const push = (kind: TokenKind, text: string): void => {
      tokens.push({ kind, text })
      at += text.length
    }
    const first = sql[at] ?? ''
    const space = match(SPACE)
    if (space !== undefined) push('space', space)
    else if (first === '`' || (first === '"' && (sqlMode & ANSI_QUOTES) !== 0n)) push('name', quoted(sql, at, false))
    else if (first === "'" || first === '"') push('string', quoted(sql, at, (sqlMode & NO_BACKSLASH_ESCAPES) === 0n))
    else if (hints > 0 && sql.startsWith('*/', at)) {
      hints--
      push('hint', '*/')
    } else {
      const hint = match(HINT_START)
      const comment = hint ?? match(LINE_COMMENT) ?? match(COMMENT)
      if (hint !== undefined) {
        hints++
        push('hint', hint)
      } else if (comment !== undefined) push('comment', comment)
      else if (sql.startsWith('/*', at)) throw new SyntaxError(`comment at offset ${at} does not end`)
      else {
        const number = match(NUMBER)
        const word = match(DIGIT_WORD) ?? match(WORD)
        const isNumber = number !== undefined && (word === undefined || number.length >= word.length)
        if (isNumber) push('number', number)
        else if (word !== undefined) push('word', word)
        else push('symbol', match(SYMBOL) ?? first)
      }
    }
  }
  return tokens
}

/** The quoted text that begins at `at`: its quote doubled, or behind a backslash where that escapes, goes on. */
function quoted(sql: string, at: number, backslash: boolean): string {
  const quote = sql[at]
  for (let i = at + 1; i < sql.length; i++) {
    if (backslash && sql[i] === '\\') i++
    else if (sql[i] === quote) {
      if (sql[i + 1] === quote) i++
      else return sql.slice(at, i + 1)
    }
  }
  throw new SyntaxError(`quote at offset ${at} does not end`)
}

/** The identifier that a word or quoted name spells. */
export function identifierOf(token: Token): string {
  if (token.kind !== 'name') return token.text
  const quote = token.text[0] ?? '`'
  return token.text.slice(1, -1).replaceAll(quote + quote, quote)
}

/** `name` in back quotes. */
export const quoteName = (name: string): string => `\`${name.replaceAll('`', '``')}\``
