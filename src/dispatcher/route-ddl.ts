import { CdcError } from '../base/errors.ts'
import type { TableName } from '../event/ddl-event.ts'
import { identifierOf, quoteName, type Token, tokenize } from '../tidb/sql/tokens.ts'

interface Naming {
  /** Of names without one. */
  readonly defaultSchema: string
  /** False: a statement in which names cannot be found is left as it is. */
  readonly mustBeRouted: boolean
  readonly table: (schema: string, table: string) => TableName
  readonly schema: (schema: string) => string
}

/** The tokens of a name: of a table, with its schema where that is written, or of a schema. */
interface Place {
  readonly kind: 'table' | 'schema'
  /** Indexes into the tokens that count. */
  readonly from: number
  readonly to: number
}

/**
 * A DDL's text with the names that tables and schemas have downstream, in back quotes. Names that stay as they are, are left
 * as written. Error: `CDC:ErrTableRoutingFailed` for a statement in which the names cannot be found for certain.
 */
export function routeDdlText(query: string, sqlMode: bigint, naming: Naming): string {
  const all = read(query, sqlMode)
  const counting = all.flatMap((token, at) => (isFiller(token) ? [] : [{ token, at }]))
  const places = new Finder(counting.map(({ token }) => token)).places()
  if (places === undefined) {
    if (!naming.mustBeRouted) return query
    throw failed(`the names in this statement cannot be found: ${query}`)
  }
  const texts = all.map(({ text }) => text)
  for (const { kind, from, to } of places) {
    const names = counting.slice(from, to).map(({ token }) => token)
    const routed = kind === 'schema' ? routedSchema(names, naming) : routedTable(names, naming)
    if (routed === undefined) continue
    const [start = 0, end = start] = [counting[from]?.at, counting[to - 1]?.at]
    for (let at = start; at <= end; at++) texts[at] = at === start ? routed : ''
  }
  return texts.join('')
}

function read(query: string, sqlMode: bigint): readonly Token[] {
  try {
    return tokenize(query, sqlMode)
  } catch (error) {
    throw failed(error instanceof Error ? error.message : String(error))
  }
}

const failed = (problem: string): CdcError =>
  new CdcError('CDC:ErrTableRoutingFailed', `table routing failed: ${problem}`)

const isFiller = ({ kind }: Token): boolean => kind === 'space' || kind === 'comment' || kind === 'hint'

/** undefined where the name stays. */
function routedTable(names: readonly Token[], naming: Naming): string | undefined {
  const [first, , second] = names
  if (first === undefined) return undefined
  const [schema, table] =
    second === undefined ? [naming.defaultSchema, identifierOf(first)] : [identifierOf(first), identifierOf(second)]
  const target = naming.table(schema, table)
  if (target.schema === schema && target.table === table) return undefined
  return `${quoteName(target.schema)}.${quoteName(target.table)}`
}

function routedSchema([name]: readonly Token[], naming: Naming): string | undefined {
  if (name === undefined) return undefined
  const schema = identifierOf(name)
  const target = naming.schema(schema)
  return target === schema ? undefined : quoteName(target)
}

/** Finds the names of tables and schemas in the statements that change them. */
class Finder {
  readonly #tokens: readonly Token[]
  readonly #places: Place[] = []
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  /** undefined for another kind of statement. */
  places(): readonly Place[] | undefined {
    return this.#statement() ? this.#places : undefined
  }

  #statement(): boolean {
    switch (this.#take()) {
      case 'CREATE':
        return this.#create()
      case 'DROP':
        return this.#drop()
      case 'ALTER':
        return this.#alter()
      case 'TRUNCATE':
        this.#accept('TABLE')
        this.#table()
        return true
      case 'RENAME':
        this.#accept('TABLE')
        do {
          this.#table()
          if (this.#accept('TO')) this.#table()
        } while (this.#accept(','))
        return true
      case 'RECOVER':
      case 'FLASHBACK':
        if (!this.#accept('TABLE')) return false
        this.#table()
        if (this.#accept('TO')) this.#table()
        return true
      default:
        return false
    }
  }

  #create(): boolean {
    if (this.#accept('DATABASE') || this.#accept('SCHEMA')) {
      this.#skip('IF', 'NOT', 'EXISTS')
      this.#schema()
      return true
    }
    if (this.#accept('TABLE')) {
      this.#skip('IF', 'NOT', 'EXISTS')
      this.#table()
      const bracket = this.#accept('(')
      if (this.#accept('LIKE')) this.#table()
      else if (bracket) this.#at--
      this.#references()
      return true
    }
    // CREATE [UNIQUE …] INDEX name … ON table
    const index = this.#find('INDEX', 3)
    if (index < 0) return false
    const on = this.#find('ON', 6)
    if (on < 0) return false
    this.#at = on + 1
    this.#table()
    return true
  }

  #drop(): boolean {
    if (this.#accept('DATABASE') || this.#accept('SCHEMA')) {
      this.#skip('IF', 'EXISTS')
      this.#schema()
      return true
    }
    if (this.#accept('TABLE') || this.#accept('VIEW')) {
      this.#skip('IF', 'EXISTS')
      do this.#table()
      while (this.#accept(','))
      return true
    }
    if (!this.#accept('INDEX')) return false
    const on = this.#find('ON', 4)
    if (on < 0) return false
    this.#at = on + 1
    this.#table()
    return true
  }

  #alter(): boolean {
    if (this.#accept('DATABASE') || this.#accept('SCHEMA')) {
      // The name may be left out.
      if (!/^(?:CHARACTER|CHARSET|COLLATE|DEFAULT|)$/.test(this.#word())) this.#schema()
      else if (this.#tokens[this.#at]?.kind === 'name') this.#schema()
      return true
    }
    this.#accept('IGNORE')
    if (!this.#accept('TABLE')) return false
    this.#table()
    let first = true
    for (; this.#at < this.#tokens.length; this.#at++) {
      const begins = first || this.#word(-1) === ','
      first = false
      if (begins && this.#word() === 'RENAME' && !/^(?:COLUMN|INDEX|KEY)$/.test(this.#word(1))) {
        this.#at++
        if (!this.#accept('TO') && !this.#accept('AS')) this.#accept('=')
        this.#table()
        this.#at--
      } else if (this.#word() === 'WITH' && this.#word(1) === 'TABLE') {
        this.#at += 2
        this.#table()
        this.#at--
      } else if (this.#word() === 'REFERENCES') {
        this.#at++
        this.#table()
        this.#at--
      }
    }
    return true
  }

  /** Tables that foreign keys refer to, from here to the end. */
  #references(): void {
    for (; this.#at < this.#tokens.length; this.#at++) {
      if (this.#word() !== 'REFERENCES') continue
      this.#at++
      this.#table()
      this.#at--
    }
  }

  /** A word in upper case, or a symbol; empty for what is neither. */
  #word(ahead = 0): string {
    const token = this.#tokens[this.#at + ahead]
    return token?.kind === 'word' || token?.kind === 'symbol' ? token.text.toUpperCase() : ''
  }

  #take(): string {
    const word = this.#word()
    this.#at++
    return word
  }

  #accept(word: string): boolean {
    if (this.#word() !== word) return false
    this.#at++
    return true
  }

  #skip(...words: readonly string[]): void {
    if (words.every((word, i) => this.#word(i) === word)) this.#at += words.length
  }

  /** Index of a word within the next tokens, or -1. */
  #find(word: string, within: number): number {
    for (let ahead = 0; ahead < within; ahead++) if (this.#word(ahead) === word) return this.#at + ahead
    return -1
  }

  #table(): void {
    const from = this.#at
    this.#at++
    if (this.#accept('.')) this.#at++
    this.#places.push({ kind: 'table', from, to: Math.min(this.#at, this.#tokens.length) })
  }

  #schema(): void {
    this.#places.push({ kind: 'schema', from: this.#at, to: this.#at + 1 })
    this.#at++
  }
}
