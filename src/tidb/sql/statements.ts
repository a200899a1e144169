import { identifierOf, type Token, tokenize } from './tokens.ts'

/** Statements of a text, trimmed, without the semicolons between them. Error: SyntaxError (see {@link tokenize}). */
export function splitStatements(sql: string, sqlMode: bigint): readonly string[] {
  const statements: string[] = ['']
  for (const token of tokenize(sql, sqlMode)) {
    if (token.kind === 'symbol' && token.text === ';') statements.push('')
    else statements.push((statements.pop() ?? '') + token.text)
  }
  return statements.map((statement) => statement.trim()).filter((statement) => statement !== '')
}

/** What `ALTER TABLE … EXCHANGE PARTITION p WITH TABLE t [WITHOUT VALIDATION]` names; undefined where it is not that. */
export function exchangeOf(
  sql: string,
  sqlMode: bigint,
): { readonly partition: string; readonly validation: boolean } | undefined {
  let tokens: readonly Token[]
  try {
    tokens = tokenize(sql, sqlMode).filter((token) => token.kind !== 'space' && token.kind !== 'comment')
  } catch {
    return undefined
  }
  const words = tokens.map((token) => (token.kind === 'word' ? token.text.toUpperCase() : ''))
  const at = words.findIndex((word, i) => word === 'EXCHANGE' && words[i + 1] === 'PARTITION')
  const name = tokens[at + 2]
  if (at < 0 || name === undefined || words[at + 3] !== 'WITH' || words[at + 4] !== 'TABLE') return undefined
  return { partition: identifierOf(name), validation: !words.includes('WITHOUT', at + 5) }
}
