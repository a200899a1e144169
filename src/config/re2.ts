/** Turns on RE2's flag `i` for the whole pattern. */
export interface Re2Options {
  readonly ignoreCase: boolean
}

/**
 * A regular expression of Go's RE2 dialect as a JavaScript one with the same meaning; it never matches across `^`/`$` lines
 * unless the pattern says so. Throws `SyntaxError` with Go's text where RE2 would refuse the pattern (look-around,
 * back-references …). Captures are not kept. Unlike RE2 it backtracks.
 */
export function compileRe2(pattern: string, options: Re2Options): RegExp {
  const ignoreCase = options.ignoreCase || /^\(\?[msU]*i[imsU]*\)/.test(pattern)
  const translator = new Translator(pattern, options.ignoreCase)
  const folded = translator.translate(ignoreCase)
  const source = folded ?? translator.translate(undefined)
  try {
    return new RegExp(source ?? '', folded !== undefined && ignoreCase ? 'iv' : 'v')
  } catch (error) {
    throw new SyntaxError(`error parsing regexp: not supported: \`${pattern}\``, { cause: error })
  }
}

interface Flags {
  readonly i: boolean
  readonly m: boolean
  readonly s: boolean
  readonly U: boolean
}

const CATEGORY = /^(?:C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?|Any)$/
/** Bodies of character classes; a negated one is a class of its own inside another (flag `v`). */
const PERL: Readonly<Record<string, string>> = {
  d: '0-9',
  D: '[^0-9]',
  s: '\\t\\n\\f\\r ',
  S: '[^\\t\\n\\f\\r ]',
  w: '0-9A-Za-z_',
  W: '[^0-9A-Za-z_]',
}
const POSIX: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\0-\\x7f',
  blank: '\\t ',
  cntrl: '\\0-\\x1f\\x7f',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`\\{-~',
  space: '\\t-\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
}
const CONTROL: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 }
const MAX_REPEAT = 1000

class Translator {
  readonly #pattern: string
  /** Code points of the pattern. */
  readonly #chars: readonly string[]
  readonly #start: Flags
  #flags: Flags
  #at = 0
  /** The flag `i` of the whole result; undefined = every atom says for itself. */
  #folded: boolean | undefined
  #mixed = false

  constructor(pattern: string, ignoreCase: boolean) {
    this.#pattern = pattern
    this.#chars = Array.from(pattern)
    this.#start = { i: ignoreCase, m: false, s: false, U: false }
    this.#flags = this.#start
  }

  /** undefined where `folded` does not hold for the whole pattern: V8 forgets the flag behind a group with its own. */
  translate(folded: boolean | undefined): string | undefined {
    this.#folded = folded
    this.#flags = this.#start
    this.#at = 0
    const source = this.#alternatives()
    if (this.#at < this.#chars.length) throw this.#error('unexpected )', this.#pattern)
    return this.#mixed && folded !== undefined ? undefined : source
  }

  /** Up to the end or an unmatched `)`. */
  #alternatives(): string {
    let out = ''
    let repeatable = false
    for (;;) {
      const c = this.#chars[this.#at]
      if (c === undefined || c === ')') return out
      if (c === '|') {
        this.#at++
        out += '|'
        repeatable = false
        continue
      }
      const quantifier = this.#quantifier()
      if (quantifier !== undefined) {
        if (!repeatable) throw this.#error('missing argument to repetition operator', quantifier.text)
        out += quantifier.source
        repeatable = false
        const next = this.#quantifier()
        if (next !== undefined) throw this.#error('invalid nested repetition operator', quantifier.text + next.text)
        continue
      }
      const atom = this.#atom()
      if (atom === undefined) continue
      out += atom
      repeatable = true
    }
  }

  #quantifier(): { text: string; source: string } | undefined {
    const start = this.#at
    const c = this.#chars[start] ?? ''
    let source = c
    if (c === '{') {
      const body = /^\{(\d+)(,?)(\d*)\}/.exec(this.#chars.slice(start, start + 32).join(''))
      if (body === null) return undefined
      const [all, min = '', comma = '', max = ''] = body
      const [low, high] = [Number(min), max === '' ? 0 : Number(max)]
      if (low > MAX_REPEAT || high > MAX_REPEAT || (max !== '' && low > high))
        throw this.#error('invalid repeat count', all)
      source = `{${min}${comma}${max}}`
      this.#at += all.length
    } else if (c === '*' || c === '+' || c === '?') this.#at++
    else return undefined
    const lazy = this.#chars[this.#at] === '?'
    if (lazy) this.#at++
    return { text: this.#chars.slice(start, this.#at).join(''), source: lazy === this.#flags.U ? source : `${source}?` }
  }

  /** One piece that may be repeated; undefined after `(?flags)`. */
  #atom(): string | undefined {
    const c = this.#chars[this.#at++] ?? ''
    switch (c) {
      case '(':
        return this.#group()
      case '[':
        return this.#fold(this.#charClass())
      case '.':
        return this.#flags.s ? '[^]' : '[^\\n]'
      case '^':
        return this.#flags.m ? '(?:(?<![^\\n]))' : '(?:^)'
      case '$':
        return this.#flags.m ? '(?:(?![^\\n]))' : '(?:$)'
      case '\\':
        return this.#escape()
      default:
        return this.#fold(literal(c))
    }
  }

  #group(): string | undefined {
    const before = this.#flags
    if (this.#chars[this.#at] === '?') {
      const rest = this.#chars.slice(this.#at + 1).join('')
      const named = /^P?<([^>]*)>/u.exec(rest)
      if (/^<[=!]/.test(rest)) throw this.#error('invalid or unsupported Perl syntax', `(?${rest.slice(0, 2)}`)
      if (named !== null) {
        const [all, name = ''] = named
        if (!/^\w+$/.test(name)) throw this.#error('invalid named capture', `(?${all}`)
        this.#at += 1 + Array.from(all).length
      } else {
        const flags = /^([imsU]*)(?:-([imsU]+))?([:)])/.exec(rest)
        if (flags === null) throw this.#error('invalid or unsupported Perl syntax', `(?${rest.slice(0, 1)}`)
        const [all, on = '', off = '', end = ''] = flags
        this.#at += 1 + all.length
        const flag = (name: 'i' | 'm' | 's' | 'U'): boolean =>
          (this.#flags[name] || on.includes(name)) && !off.includes(name)
        this.#flags = { i: flag('i'), m: flag('m'), s: flag('s'), U: flag('U') }
        if (end === ')') return undefined
      }
    }
    const body = this.#alternatives()
    if (this.#chars[this.#at] !== ')') throw this.#error('missing closing )', this.#pattern)
    this.#at++
    this.#flags = before
    return `(?:${body})`
  }

  #escape(): string {
    const c = this.#chars[this.#at] ?? ''
    switch (c) {
      case 'A':
        this.#at++
        return '(?:^)'
      case 'z':
        this.#at++
        return '(?:$)'
      case 'b':
      case 'B':
        this.#at++
        if (this.#folded === undefined) return `(?-i:\\${c})`
        // With the flag, V8's word characters include U+017F and U+212A.
        if (this.#folded) this.#mixed = true
        return `(?:\\${c})`
      case 'Q': {
        const start = this.#at + 1
        let end = start
        while (end < this.#chars.length && !(this.#chars[end] === '\\' && this.#chars[end + 1] === 'E')) end++
        this.#at = Math.min(end + 2, this.#chars.length)
        const quoted = this.#chars.slice(start, end).map((one) => this.#fold(literal(one)))
        // A quantifier behind \E repeats the last character only.
        return quoted.length === 0 ? '(?:)' : quoted.join('')
      }
      default: {
        const body = this.#classEscape()
        if (body !== undefined) return this.#fold(`[${body}]`)
        return this.#fold(literal(String.fromCodePoint(this.#charEscape())))
      }
    }
  }

  #charClass(): string {
    const start = this.#at - 1
    let out = '['
    if (this.#chars[this.#at] === '^') {
      this.#at++
      out += '^'
    }
    for (let first = true; first || this.#chars[this.#at] !== ']'; first = false) {
      const c = this.#chars[this.#at]
      if (c === undefined) throw this.#error('missing closing ]', this.#chars.slice(start).join(''))
      if (c === '[' && this.#chars[this.#at + 1] === ':') {
        const named = /^\[:(\^?)([^\]]*):\]/u.exec(this.#chars.slice(this.#at).join(''))
        if (named !== null) {
          const [all, negated = '', name = ''] = named
          const body = POSIX[name]
          if (body === undefined) throw this.#error('invalid character class range', all)
          out += negated === '' ? body : `[^${body}]`
          this.#at += Array.from(all).length
          continue
        }
      }
      if (c === '\\') {
        this.#at++
        const body = this.#classEscape()
        if (body !== undefined) {
          out += body
          continue
        }
        this.#at--
      }
      const rangeStart = this.#at
      const low = this.#classChar()
      let high = low
      if (this.#chars[this.#at] === '-' && (this.#chars[this.#at + 1] ?? ']') !== ']') {
        this.#at++
        high = this.#classChar()
        const range = this.#chars.slice(rangeStart, this.#at).join('')
        if (high < low) throw this.#error('invalid character class range', range)
      }
      out += low === high ? inClass(low) : `${inClass(low)}-${inClass(high)}`
    }
    this.#at++
    return `${out}]`
  }

  #classChar(): number {
    const c = this.#chars[this.#at++]
    if (c === undefined) throw this.#error('missing closing ]', this.#pattern)
    return c === '\\' ? this.#charEscape() : (c.codePointAt(0) ?? 0)
  }

  /** Behind a backslash: `d`, `pL`, `p{^Greek}` … as the body of a class; undefined where it is none of these. */
  #classEscape(): string | undefined {
    const c = this.#chars[this.#at] ?? ''
    const perl = PERL[c]
    if (perl !== undefined) {
      this.#at++
      return perl
    }
    if (c !== 'p' && c !== 'P') return undefined
    const found = /^[pP](?:\{(\^?)([^}]*)\}|(.))/u.exec(this.#chars.slice(this.#at).join(''))
    if (found === null) throw this.#error('invalid character class range', `\\${c}`)
    const [all, caret = '', long, short] = found
    const name = long ?? short ?? ''
    this.#at += Array.from(all).length
    const property = CATEGORY.test(name) ? name : `Script=${name}`
    const negated = (c === 'P') !== (caret !== '')
    const body = negated ? `[^\\p{${property}}]` : `\\p{${property}}`
    try {
      new RegExp(`[${body}]`, 'v')
    } catch {
      throw this.#error('invalid character class range', `\\${all}`)
    }
    return body
  }

  /** Behind a backslash: the code point that an escape stands for. */
  #charEscape(): number {
    const rest = this.#chars.slice(this.#at, this.#at + 12).join('')
    const c = this.#chars[this.#at]
    if (c === undefined) throw this.#error('trailing backslash at end of expression', '')
    const control = CONTROL[c]
    const numeric = /^(?:x\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{2})|(0[0-7]{0,2}|[1-7][0-7]{1,2}))/.exec(rest)
    if (numeric !== null) {
      const [all, long, short, octal] = numeric
      const point = octal === undefined ? Number.parseInt(long ?? short ?? '', 16) : Number.parseInt(octal, 8)
      if (point > 0x10ffff) throw this.#error('invalid escape sequence', `\\${all}`)
      this.#at += all.length
      return point
    }
    this.#at++
    if (control !== undefined) return control
    if (!/^[\0-\x7f]$/.test(c) || /[0-9A-Za-z]/.test(c)) throw this.#error('invalid escape sequence', `\\${c}`)
    return c.charCodeAt(0)
  }

  #fold(atom: string): string {
    if (this.#folded === undefined) return this.#flags.i ? `(?i:${atom})` : `(?-i:${atom})`
    if (this.#flags.i !== this.#folded) this.#mixed = true
    return atom
  }

  #error(what: string, where: string): SyntaxError {
    return new SyntaxError(`error parsing regexp: ${what}: \`${where}\``)
  }
}

const literal = (c: string): string => (/[\^$\\.*+?()[\]{}|/]/.test(c) ? `\\${c}` : c)

const inClass = (point: number): string =>
  /[0-9A-Za-z]/.test(String.fromCodePoint(point)) ? String.fromCodePoint(point) : `\\u{${point.toString(16)}}`
