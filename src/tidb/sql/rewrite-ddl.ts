import { identifierOf, NO_BACKSLASH_ESCAPES, quoteName, type Token, tokenize } from './tokens.ts'

/**
 * The text of a DDL as it goes downstream (reference: schema-tracking, section 2.6): what only TiDB understands stands
 * in its special comments, placement options are left out, TTL is switched off, and quotes mean the same under every SQL
 * mode. Everything else keeps the form in which it was typed: TiCDC prints it anew, with keywords in upper case and every
 * name in back quotes. Text that cannot be read as SQL is returned as it is.
 */
export function rewriteDdl(query: string, sqlMode: bigint): string {
  let tokens: readonly Token[]
  try {
    tokens = tokenize(query, sqlMode).map((token) => ({ ...token, text: plainQuotes(token, sqlMode) }))
  } catch (error) {
    if (error instanceof SyntaxError) return query
    throw error
  }
  const cursor = new Cursor(tokens)
  let out = ''
  let hints = 0
  while (!cursor.done) {
    const token = cursor.token()
    if (token?.kind === 'hint') hints += token.text === '*/' ? -1 : 1
    const option = hints === 0 && token?.kind === 'word' ? optionAt(cursor) : undefined
    if (option === undefined) {
      out += token?.text ?? ''
      cursor.skip(1)
    } else if (option.text === '') {
      out = out.trimEnd()
      if (out.endsWith(',')) out = out.slice(0, -1)
      cursor.skip(option.tokens)
    } else {
      out += option.text
      cursor.skip(option.tokens)
    }
  }
  return out.trim()
}

/** Names in back quotes and strings in single quotes, whatever they were in. */
function plainQuotes(token: Token, sqlMode: bigint): string {
  const { kind, text } = token
  if (!text.startsWith('"')) return text
  if (kind === 'name') return quoteName(identifierOf(token))
  if (kind !== 'string') return text
  const pattern = (sqlMode & NO_BACKSLASH_ESCAPES) === 0n ? /\\[^]|""|'/g : /""|'/g
  return `'${text.slice(1, -1).replace(pattern, inSingleQuotes)}'`
}

const inSingleQuotes = (found: string): string =>
  found === "'" ? "''" : found === '""' || found === '\\"' ? '"' : found

interface Option {
  /** Replaces the tokens; empty = they are left out, with the comma before them. */
  readonly text: string
  readonly tokens: number
}

/** Options of the form `NAME [=] value` that only TiDB knows → the feature in their comment. */
const VALUE_OPTIONS: Readonly<Record<string, string>> = {
  SHARD_ROW_ID_BITS: '',
  PRE_SPLIT_REGIONS: '',
  AUTO_ID_CACHE: '[auto_id_cache]',
  AUTO_RANDOM_BASE: '[auto_rand_base]',
  TTL_ENABLE: '[ttl]',
  TTL_JOB_INTERVAL: '[ttl]',
}

/** The TiDB option that begins at the cursor's word, if one does. */
function optionAt(cursor: Cursor): Option | undefined {
  const word = cursor.word(0)
  switch (word) {
    case 'AUTO_RANDOM':
      return featured('[auto_rand]', cursor, cursor.symbol(1) === '(' ? cursor.closing(1) : 1)
    case 'CLUSTERED':
    case 'NONCLUSTERED':
      return cursor.symbol(-1) === ')' || cursor.word(-1) === 'KEY'
        ? featured('[clustered_index]', cursor, 1)
        : undefined
    case 'PLACEMENT': {
      if (cursor.word(1) !== 'POLICY') return undefined
      const count = cursor.symbol(2) === '=' ? 4 : 3
      return { text: '', tokens: cursor.extent(count) }
    }
    case 'TTL': {
      if (cursor.symbol(1) !== '=' || cursor.symbol(3) !== '+' || cursor.word(4) !== 'INTERVAL') return undefined
      return featured('[ttl]', cursor, 7)
    }
    case 'FORCE':
      return cursor.word(1) === 'AUTO_INCREMENT' ? featured('[force_inc]', cursor, 1) : undefined
    default: {
      const feature = VALUE_OPTIONS[word]
      if (feature === undefined) return undefined
      const count = cursor.symbol(1) === '=' ? 3 : 2
      const value = cursor.text(count - 1, count)
      if (value === '') return undefined
      const text = `/*T!${feature} ${word} = ${word === 'TTL_ENABLE' ? "'OFF'" : value} */`
      return { text, tokens: cursor.extent(count) }
    }
  }
}

const featured = (feature: string, cursor: Cursor, count: number): Option => ({
  text: `/*T!${feature} ${cursor.text(0, count)} */`,
  tokens: cursor.extent(count),
})

/** A place among tokens; offsets count those that are neither space nor comment. */
class Cursor {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get done(): boolean {
    return this.#at >= this.#tokens.length
  }

  token(): Token | undefined {
    return this.#tokens[this.#at]
  }

  skip(tokens: number): void {
    this.#at += tokens
  }

  /** The word at an offset in upper case, empty where there is none. */
  word(offset: number): string {
    const token = this.#tokens[this.#index(offset)]
    return token?.kind === 'word' ? token.text.toUpperCase() : ''
  }

  symbol(offset: number): string {
    const token = this.#tokens[this.#index(offset)]
    return token?.kind === 'symbol' ? token.text : ''
  }

  /** Offset behind the parenthesis that closes the one at `offset`. */
  closing(offset: number): number {
    let depth = 0
    for (let at = offset; this.#index(at) < this.#tokens.length; at++) {
      const symbol = this.symbol(at)
      if (symbol === '(') depth++
      if (symbol === ')' && --depth === 0) return at + 1
    }
    return offset
  }

  /** How many tokens stand from the cursor to the end of the one at offset `count` - 1. */
  extent(count: number): number {
    return Math.min(this.#index(count - 1) + 1, this.#tokens.length) - this.#at
  }

  /** Text between two offsets, with the spaces and comments inside. */
  text(from: number, to: number): string {
    const start = this.#index(from)
    return this.#tokens
      .slice(start, Math.max(start, this.#index(to - 1) + 1))
      .map((token) => token.text)
      .join('')
  }

  #index(offset: number): number {
    const step = offset < 0 ? -1 : 1
    let at = this.#at
    for (let left = Math.abs(offset); left > 0; left--) {
      do at += step
      while (isFiller(this.#tokens[at]))
    }
    return at
  }
}

const isFiller = (token: Token | undefined): boolean => token?.kind === 'space' || token?.kind === 'comment'
