import { compileRe2 } from '../../config/re2.ts'
import { characterFold, commonCollation, isCaseSensitive } from './collate.ts'
import { asBytes, asText } from './convert.ts'
import { type Evaluate, folded, operand, type Operand } from './operand.ts'

/** `like`: `%`, `_`, and an escape character; characters are compared one by one under the collation. */
export function compileLike(one: Operand, pattern: Operand, escape: Operand | undefined): Operand {
  const collation = commonCollation([one, pattern])
  const as = collation.name === 'binary' ? asBytes : asText
  const [text, patternText] = [as(one), as(pattern)]
  const fold = characterFold(collation.name)
  const escapeText = escape === undefined ? () => '\\' : asText(escape)
  const plain = isCaseSensitive(collation.name)
  const matcherOf = remembered((key) => {
    const [sign, rest] = [key.slice(0, 1), key.slice(1)]
    return (plain ? piecesMatcher(rest, sign) : undefined) ?? likeMatcher(rest, sign, fold)
  })
  const evaluate: Evaluate<number> = (row) => {
    const value = text(row)
    const wanted = patternText(row)
    const escaped = escapeText(row)
    if (value === null || wanted === null || escaped === null) return null
    return matcherOf((escaped === '' ? '\0' : escaped) + wanted)(value) ? 1 : 0
  }
  const constant = one.constant && pattern.constant && (escape?.constant ?? true)
  return folded(operand('int', evaluate, { constant }))
}

/** Patterns are nearly always constant: the last one is kept. */
function remembered<T>(build: (key: string) => T): (key: string) => T {
  let last: { readonly key: string; readonly built: T } | undefined
  return (key) => {
    if (last?.key !== key) last = { key, built: build(key) }
    return last.built
  }
}

const ANY = 0
const ONE = 1

function likeMatcher(pattern: string, escape: string, fold: (character: string) => string): (text: string) => boolean {
  const wanted: (string | typeof ANY | typeof ONE)[] = []
  const characters = Array.from(pattern)
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i] ?? ''
    if (character === escape && i + 1 < characters.length) wanted.push(fold(characters[++i] ?? ''))
    else if (character === '%') {
      if (wanted.at(-1) !== ANY) wanted.push(ANY)
    } else wanted.push(character === '_' ? ONE : fold(character))
  }
  return (text) => matches(Array.from(text, fold), wanted)
}

/** For a pattern without `_` where characters are as they are: its pieces stand in the text in this order. */
function piecesMatcher(pattern: string, escape: string): ((text: string) => boolean) | undefined {
  if (pattern.includes('_') || pattern.includes(escape)) return undefined
  const [first = '', ...rest] = pattern.split('%')
  const last = rest.pop()
  if (last === undefined) return (text) => text === first
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
    let at = first.length
    const end = text.length - last.length
    for (const piece of rest) {
      const found = text.indexOf(piece, at)
      if (found < 0 || found + piece.length > end) return false
      at = found + piece.length
    }
    return true
  }
}

/** Goes back to the last `%` only, so that the time is at most text times pattern. */
function matches(text: readonly string[], pattern: readonly (string | typeof ANY | typeof ONE)[]): boolean {
  let at = 0
  let next = 0
  let starAt = -1
  let starText = 0
  while (at < text.length) {
    const wanted = pattern[next]
    if (wanted === ANY) {
      starAt = next++
      starText = at
    } else if (wanted === ONE || (wanted !== undefined && wanted === text[at])) {
      next++
      at++
    } else if (starAt >= 0) {
      next = starAt + 1
      at = ++starText
    } else return false
  }
  while (pattern[next] === ANY) next++
  return next === pattern.length
}

/** `regexp`: RE2's dialect, as TiDB has it; a `_ci` collation ignores case. */
export function compileRegexp(one: Operand, pattern: Operand, flags = ''): Operand {
  const collation = commonCollation([one, pattern])
  const ignoreCase = flags.includes('i') || (!flags.includes('c') && !isCaseSensitive(collation.name))
  const [text, patternText] = [asText(one), asText(pattern)]
  const modes = Array.from(flags).filter((flag) => flag === 'm' || flag === 's' || flag === 'n')
  const prefix = modes.length === 0 ? '' : `(?${modes.join('').replace('n', 's')})`
  const regexOf = remembered((source) => compileRe2(prefix + source, { ignoreCase }))
  if (pattern.constant) {
    const source = patternText([])
    if (source !== null) regexOf(source)
  }
  const evaluate: Evaluate<number> = (row) => {
    const value = text(row)
    const source = patternText(row)
    if (value === null || source === null) return null
    return regexOf(source).test(value) ? 1 : 0
  }
  return folded(operand('int', evaluate, { constant: one.constant && pattern.constant }))
}
