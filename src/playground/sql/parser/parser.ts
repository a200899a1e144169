import type { ParsedStatement, Statement } from './ast.ts'
import { parseAlter, parseCreate, parseDrop, parseRecover, parseRename, parseTruncate } from './ddl.ts'
import { parseDelete, parseInsert, parseUpdate } from './dml.ts'
import { SqlError, unsupported } from '../error.ts'
import { parseExpression } from './expression.ts'
import { decode, tokenize } from './lexer.ts'
import type { LexerOptions } from './lexer.ts'
import { parseSelect } from './select.ts'
import { parseSet, parseShow } from './set-show.ts'
import { TokenStream } from './token-stream.ts'

/**
 * Parses a query, several statements with semicolons between them included. `source` has one character per byte (see
 * {@link tokenize}). Errors: 1064, 1065 for no statement at all, 1235 for what is not supported.
 */
export function parseQuery(source: string, options: LexerOptions): ParsedStatement[] {
  const stream = new TokenStream(source, tokenize(source, options))
  const statements: ParsedStatement[] = []
  while (stream.takeSymbol(';'));
  while (!stream.isEnd()) {
    stream.parameters = 0
    const start = stream.current.start
    const statement = parseStatement(stream)
    if (!stream.isEnd() && !stream.isSymbol(';')) throw stream.error()
    statements.push({ statement, text: decode(source.slice(start, stream.previousEnd)), parameters: stream.parameters })
    while (stream.takeSymbol(';'));
  }
  if (statements.length === 0) throw new SqlError(1065, 'Query was empty')
  return statements
}

/** Parses one expression that stands alone: a stored default. */
export function parseExpressionText(text: string): ReturnType<typeof parseExpression> {
  const source = Buffer.from(text, 'utf8').toString('latin1')
  return parseExpression(new TokenStream(source, tokenize(source, { ansiQuotes: false, noBackslashEscapes: false })))
}

function parseStatement(stream: TokenStream): Statement {
  if (stream.isSymbol('(')) return parseSelect(stream)
  if (stream.current.kind !== 'word') throw stream.error()
  switch (stream.current.upper) {
    case 'SELECT':
      return parseSelect(stream)
    case 'INSERT':
    case 'REPLACE':
      return parseInsert(stream)
    case 'UPDATE':
      return parseUpdate(stream)
    case 'DELETE':
      return parseDelete(stream)
    case 'CREATE':
      return parseCreate(stream)
    case 'DROP':
      return parseDrop(stream)
    case 'ALTER':
      return parseAlter(stream)
    case 'TRUNCATE':
      return parseTruncate(stream)
    case 'RENAME':
      return parseRename(stream)
    case 'RECOVER':
    case 'FLASHBACK':
      return parseRecover(stream)
    case 'SHOW':
      return parseShow(stream)
    case 'SET':
      return parseSet(stream)
    case 'DESC':
    case 'DESCRIBE':
    case 'EXPLAIN':
      return parseDescribe(stream)
    case 'USE':
      stream.next()
      return { kind: 'use', schema: stream.name() }
    default:
      return parseTransaction(stream)
  }
}

function parseDescribe(stream: TokenStream): Statement {
  stream.next()
  if (!stream.isName()) throw unsupported('EXPLAIN')
  const table = stream.tableName()
  const column = stream.isName() ? stream.name() : stream.current.kind === 'string' ? stream.string() : ''
  return { kind: 'describe', table, column }
}

function parseTransaction(stream: TokenStream): Statement {
  const word = stream.next().upper
  switch (word) {
    case 'BEGIN': {
      const mode = stream.isWord('OPTIMISTIC', 'PESSIMISTIC') ? stream.next().upper : ''
      return { kind: 'begin', optimistic: mode === '' ? undefined : mode === 'OPTIMISTIC', readOnly: false }
    }
    case 'START':
      return parseStart(stream)
    case 'COMMIT':
      stream.takeWord('WORK')
      return { kind: 'commit' }
    case 'ROLLBACK':
      stream.takeWord('WORK')
      if (stream.isWord('TO')) throw unsupported('SAVEPOINT')
      return { kind: 'rollback' }
    case 'PREPARE': {
      const name = stream.name()
      stream.expectWord('FROM')
      return { kind: 'prepare', name, from: parseExpression(stream) }
    }
    case 'EXECUTE': {
      const name = stream.name()
      const using = stream.takeWord('USING') ? stream.list(() => userVariable(stream)) : []
      return { kind: 'execute', name, using }
    }
    case 'DEALLOCATE':
      stream.expectWord('PREPARE')
      return { kind: 'deallocate', name: stream.name() }
    case 'FLUSH':
    case 'LOCK':
    case 'UNLOCK':
    case 'ANALYZE':
      return skipRest(stream)
    case 'SAVEPOINT':
    case 'RELEASE':
    case 'CALL':
    case 'GRANT':
    case 'REVOKE':
    case 'LOAD':
    case 'KILL':
    case 'WITH':
    case 'TABLE':
    case 'VALUES':
    case 'ADMIN':
    case 'SPLIT':
    case 'BATCH':
    case 'DO':
    case 'CHECK':
    case 'OPTIMIZE':
    case 'TRACE':
    case 'BACKUP':
    case 'RESTORE':
    case 'IMPORT':
      throw unsupported(word)
    default:
      throw new SqlError(1064, `You have an error in your SQL syntax near '${word}'`)
  }
}

function userVariable(stream: TokenStream): string {
  if (stream.current.kind !== 'userVariable') throw stream.error()
  return stream.next().text.toLowerCase()
}

function parseStart(stream: TokenStream): Statement {
  stream.expectWord('TRANSACTION')
  let readOnly = false
  if (stream.isWord('WITH', 'READ')) {
    if (stream.takePhrase('READ', 'ONLY')) readOnly = true
    else if (!stream.takePhrase('WITH', 'CONSISTENT', 'SNAPSHOT') && !stream.takePhrase('READ', 'WRITE'))
      throw unsupported('START TRANSACTION WITH')
  }
  if (stream.isWord('AS')) throw unsupported('stale read')
  return { kind: 'begin', optimistic: undefined, readOnly }
}

function skipRest(stream: TokenStream): Statement {
  while (!stream.isEnd() && !stream.isSymbol(';')) stream.next()
  return { kind: 'nothing' }
}
