import { readFileSync } from 'node:fs'
import { CdcError } from '../base/errors.ts'
import { compileRe2 } from './re2.ts'

/** Rules such as `db*.*`, `!test.t1`; of several that match, the last one wins. */
export interface TableRules {
  matchesTable(schema: string, table: string): boolean
  /** For what concerns a whole schema: an exclusion counts only where it excludes every table. */
  matchesSchema(schema: string): boolean
  /** Index of the line that decides about a table; undefined = none matches it. */
  decidingLine(schema: string, table: string): number | undefined
}

export interface RuleOptions {
  readonly caseSensitive: boolean
  /** The key that holds the rules, for errors; for example `sink.dispatchers[0].matcher`. */
  readonly place?: string
}

interface Pattern {
  /** Exactly `*`. */
  readonly all: boolean
  test(name: string): boolean
}

interface Rule {
  /** Index of the line that it comes from. */
  readonly line: number
  readonly positive: boolean
  readonly schema: Pattern
  readonly table: Pattern
}

/** Where a rule stands, as errors show it. */
interface Place {
  readonly file: string
  readonly line: number
}

/**
 * Rules of `filter.rules` and of every `matcher` (reference: filters, section 2). A line `@path` imports a file of rules.
 * Errors: `CDC:ErrFilterRuleInvalid`, naming every faulty rule.
 */
export function parseTableRules(lines: readonly string[], options: RuleOptions): TableRules {
  const rules = parseLines(lines, options, (text, line): Rule[] =>
    parseLine(text, { file: '<cmdline>', line: 1 }, options).map((rule) => ({ ...rule, line })),
  )
  const fold = options.caseSensitive ? (name: string): string => name : toLower
  const decider = (schema: string, table: string): Rule | undefined => {
    const [s, t] = [fold(schema), fold(table)]
    return rules.find((rule) => rule.schema.test(s) && rule.table.test(t))
  }
  return {
    matchesTable: (schema, table) => decider(schema, table)?.positive ?? false,
    decidingLine: (schema, table) => decider(schema, table)?.line,
    matchesSchema(schema) {
      const s = fold(schema)
      return rules.find((rule) => rule.schema.test(s) && (rule.positive || rule.table.all))?.positive ?? false
    },
  }
}

/**
 * Rules of `column-selectors.columns`: one pattern each, whatever the case; of several that match the last one wins, and a
 * column that none matches is dropped. Errors as {@link parseTableRules}.
 */
export function parseColumnRules(lines: readonly string[], place?: string): (column: string) => boolean {
  const options = { caseSensitive: false, ...(place === undefined ? {} : { place }) }
  const rules = parseLines(lines, options, (text) => {
    const line = text.replace(/^[ \t]+|[ \t]+$/g, '')
    if (line === '' || line.startsWith('#')) return []
    const positive = !line.startsWith('!')
    const reader = new RuleReader(positive ? line : line.slice(1), { file: '<cmdline>', line: 1 }, options)
    const column = reader.pattern()
    reader.endOfColumn()
    return [{ positive, column }]
  })
  return (name) => {
    const column = toLower(name)
    return rules.find((rule) => rule.column.test(column))?.positive ?? false
  }
}

/** Rules of all lines, the last one first, since it wins. */
function parseLines<T>(
  lines: readonly string[],
  { place }: RuleOptions,
  parse: (line: string, at: number) => T[],
): readonly T[] {
  const faults: string[] = []
  const rules: T[] = []
  for (const [at, line] of lines.entries()) {
    try {
      rules.unshift(...parse(line, at).toReversed())
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      faults.push(`${error.message} in ${JSON.stringify(line)}`)
    }
  }
  if (faults.length === 0) return rules
  const where = place === undefined ? '' : ` (${place})`
  throw new CdcError('CDC:ErrFilterRuleInvalid', `filter rule is invalid ${faults.join('; ')}${where}`)
}

/** Lower case as Go and TiDB have it: code point by code point. */
export const toLower = (text: string): string =>
  /^[\0-\x7f]*$/.test(text) ? text.toLowerCase() : Array.from(text, (c) => (c === 'İ' ? 'i' : c.toLowerCase())).join('')

function parseLine(text: string, place: Place, options: RuleOptions): Omit<Rule, 'line'>[] {
  const line = text.replace(/^[ \t]+|[ \t]+$/g, '')
  if (line === '' || line.startsWith('#')) return []
  if (line.startsWith('@')) return importRules(line.slice(1), place, options)
  const positive = !line.startsWith('!')
  const reader = new RuleReader(positive ? line : line.slice(1), place, options)
  const schema = reader.pattern()
  reader.dot()
  const table = reader.pattern()
  reader.end()
  return [{ positive, schema, table }]
}

function importRules(path: string, place: Place, options: RuleOptions): Omit<Rule, 'line'>[] {
  if (place.file !== '<cmdline>') throw syntaxError(place, 'importing filter files recursively is not allowed')
  let content: string
  try {
    content = readFileSync(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw new SyntaxError(`at ${place.file}:${place.line}: cannot open filter file${code}`, { cause: error })
  }
  return content.split(/\r?\n/).flatMap((line, i) => parseLine(line, { file: path, line: i + 1 }, options))
}

const syntaxError = (place: Place, text: string): SyntaxError =>
  new SyntaxError(`at ${place.file}:${place.line}: ${text}`)

class RuleReader {
  #rest: string
  readonly #place: Place
  readonly #caseSensitive: boolean

  constructor(text: string, place: Place, options: RuleOptions) {
    this.#rest = text
    this.#place = place
    this.#caseSensitive = options.caseSensitive
  }

  pattern(): Pattern {
    switch (this.#rest[0]) {
      case undefined:
        throw this.#error('syntax error: missing pattern')
      case '/':
        return this.#regex()
      case '"':
        return this.#quoted(/^"((?:""|[^"])+)"/, '"')
      case '`':
        return this.#quoted(/^`((?:``|[^`])+)`/, '`')
      default:
        return this.#wildcard()
    }
  }

  dot(): void {
    if (this.#rest === '') throw this.#error('wrong table pattern')
    if (!this.#rest.startsWith('.')) throw this.#error("syntax error: missing '.' between schema and table patterns")
    this.#rest = this.#rest.slice(1)
  }

  end(): void {
    if (this.#rest !== '') throw this.#error('syntax error: stray characters after table pattern')
  }

  endOfColumn(): void {
    if (this.#rest.startsWith('.')) throw this.#error("unexpected special character '.'")
    if (this.#rest !== '') throw this.#error('syntax error: stray characters after column pattern')
  }

  #regex(): Pattern {
    const [all = '', body = ''] = /^\/((?:\\.|[^/])+)\//u.exec(this.#rest) ?? []
    if (all === '') throw this.#error('syntax error: incomplete regexp')
    this.#rest = this.#rest.slice(all.length)
    return this.#compile(body)
  }

  #quoted(token: RegExp, quote: string): Pattern {
    const [all = '', body = ''] = token.exec(this.#rest) ?? []
    if (all === '') throw this.#error('syntax error: incomplete quoted identifier')
    this.#rest = this.#rest.slice(all.length)
    return this.#literal(body.replaceAll(quote + quote, quote))
  }

  #wildcard(): Pattern {
    let plain = ''
    let regex = ''
    let wild = false
    const chars = Array.from(this.#rest)
    let i = 0
    for (; i < chars.length && chars[i] !== '.'; i++) {
      const c = chars[i] ?? ''
      if (c === '*' || c === '?') {
        wild = true
        regex += c === '*' ? '.*' : '.'
      } else if (c === '[') {
        wild = true
        const token = /^\[!?(?:\\[^0-9a-zA-Z]|[^\\\]])+\]/u.exec(chars.slice(i).join(''))
        if (token === null) throw this.#error('syntax error: failed to parse character class')
        const [all] = token
        const negated = all[1] === '!'
        const body = all.slice(negated ? 2 : 1, -1)
        regex += `[${negated ? '^' : ''}${body.startsWith('^') ? '\\' : ''}${body}]`
        i += Array.from(all).length - 1
      } else {
        const literal = c === '\\' ? this.#escaped(chars[++i]) : c
        if (c !== '\\' && !/^[0-9a-zA-Z$_\u{80}-\u{10ffff}]$/u.test(c)) {
          throw this.#error(`unexpected special character '${c}'`)
        }
        plain += literal
        regex += literal.replace(/[\^$\\.*+?()[\]{}|]/, '\\$&')
      }
    }
    if (i === 0) throw this.#error('syntax error: missing pattern')
    const text = chars.slice(0, i).join('')
    this.#rest = chars.slice(i).join('')
    if (text === '*') return { all: true, test: () => true }
    return wild ? this.#compile(`(?s)^(?:${regex})$`) : this.#literal(plain)
  }

  #escaped(c: string | undefined): string {
    if (c === undefined) throw this.#error('syntax error: cannot place \\ at end of line')
    if (!/[0-9a-zA-Z]/.test(c)) return c
    throw this.#error(`cannot escape a letter or number (\\${c}), it is reserved for future extension`)
  }

  #literal(name: string): Pattern {
    const expected = this.#caseSensitive ? name : toLower(name)
    return { all: false, test: (one) => one === expected }
  }

  #compile(source: string): Pattern {
    try {
      const regex = compileRe2(source, { ignoreCase: !this.#caseSensitive })
      return { all: false, test: (name) => regex.test(name) }
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      throw this.#error(`invalid pattern: ${error.message}`)
    }
  }

  #error(text: string): SyntaxError {
    return syntaxError(this.#place, text)
  }
}
