import type { Expression, SetItem, ShowStatement, Statement, VariableScope } from './ast.ts'
import { unsupported } from '../error.ts'
import { parseExpression, splitVariable } from './expression.ts'
import type { TokenStream } from './token-stream.ts'

export function parseSet(stream: TokenStream): Statement {
  stream.next()
  if (stream.isWord('PASSWORD', 'ROLE', 'RESOURCE') && stream.peek()?.text !== '=')
    throw unsupported(`SET ${stream.current.upper}`)
  return { kind: 'set', items: stream.list(() => parseSetItem(stream)) }
}

function parseSetItem(stream: TokenStream): SetItem {
  if (stream.takeWord('NAMES')) {
    const charset = stream.takeWord('DEFAULT') ? 'utf8mb4' : stream.nameOrString().toLowerCase()
    const collation = stream.takeWord('COLLATE') ? stream.nameOrString().toLowerCase() : ''
    return { kind: 'names', charset, collation }
  }
  if (stream.takePhrase('CHARACTER', 'SET') || stream.takeWord('CHARSET'))
    return {
      kind: 'names',
      charset: stream.takeWord('DEFAULT') ? 'utf8mb4' : stream.nameOrString().toLowerCase(),
      collation: '',
    }
  const { kind, text } = stream.current
  if (kind === 'userVariable') {
    stream.next()
    takeEquals(stream)
    return { kind: 'userVariable', name: text.toLowerCase(), value: parseExpression(stream) }
  }
  if (kind === 'systemVariable') {
    stream.next()
    takeEquals(stream)
    return { kind: 'variable', ...splitVariable(text), value: parseValue(stream) }
  }
  let scope: VariableScope = 'default'
  if (stream.isWord('SESSION', 'LOCAL', 'GLOBAL') && stream.peek()?.text !== '=')
    scope = stream.next().upper === 'GLOBAL' ? 'global' : 'session'
  if (stream.isWord('TRANSACTION') && stream.peek()?.kind === 'word') return parseIsolation(stream)
  let name = stream.name().toLowerCase()
  while (stream.takeSymbol('.')) name += `.${stream.name(true).toLowerCase()}`
  takeEquals(stream)
  return { kind: 'variable', scope, name, value: parseValue(stream) }
}

function takeEquals(stream: TokenStream): void {
  if (!stream.takeSymbol('=')) stream.expectSymbol(':=')
}

/** Bare words such as ON, utf8mb4 or BINARY are values here, not columns; DEFAULT is undefined. */
function parseValue(stream: TokenStream): Expression | undefined {
  if (stream.takeWord('DEFAULT')) return undefined
  const { kind } = stream.current
  const following = stream.peek()
  const alone = following === undefined || following.kind === 'end' || following.text === ',' || following.text === ';'
  if (kind === 'word' && alone && !stream.isWord('NULL', 'TRUE', 'FALSE'))
    return { kind: 'literal', value: stream.next().text }
  return parseExpression(stream)
}

function parseIsolation(stream: TokenStream): SetItem {
  stream.next()
  let level = ''
  let readOnly: boolean | undefined
  stream.list(() => {
    if (stream.takePhrase('ISOLATION', 'LEVEL')) {
      level = stream.expectWord('REPEATABLE', 'READ', 'SERIALIZABLE')
      if (level !== 'SERIALIZABLE') level += `-${stream.expectWord('READ', 'COMMITTED', 'UNCOMMITTED')}`
    } else {
      stream.expectWord('READ')
      readOnly = stream.expectWord('ONLY', 'WRITE') === 'ONLY'
    }
  })
  return { kind: 'isolation', level, readOnly }
}

const WHATS: readonly (readonly [readonly string[], ShowStatement['what']])[] = [
  [['DATABASES'], 'databases'],
  [['SCHEMAS'], 'databases'],
  [['FULL', 'TABLES'], 'fullTables'],
  [['TABLES'], 'tables'],
  [['CREATE', 'TABLE'], 'createTable'],
  [['CREATE', 'VIEW'], 'createTable'],
  [['CREATE', 'SEQUENCE'], 'createTable'],
  [['CREATE', 'DATABASE'], 'createDatabase'],
  [['CREATE', 'SCHEMA'], 'createDatabase'],
  [['TABLE', 'STATUS'], 'tableStatus'],
  [['VARIABLES'], 'variables'],
  [['STATUS'], 'status'],
  [['FULL', 'COLUMNS'], 'fullColumns'],
  [['FULL', 'FIELDS'], 'fullColumns'],
  [['COLUMNS'], 'columns'],
  [['FIELDS'], 'columns'],
  [['INDEX'], 'indexes'],
  [['INDEXES'], 'indexes'],
  [['KEYS'], 'indexes'],
  [['WARNINGS'], 'warnings'],
  [['ERRORS'], 'errors'],
  [['ENGINES'], 'engines'],
  [['CHARACTER', 'SET'], 'charset'],
  [['CHARSET'], 'charset'],
  [['COLLATION'], 'collation'],
  [['FULL', 'PROCESSLIST'], 'processlist'],
  [['PROCESSLIST'], 'processlist'],
  [['GRANTS'], 'grants'],
  [['MASTER', 'STATUS'], 'masterStatus'],
]

export function parseShow(stream: TokenStream): ShowStatement {
  stream.next()
  let scope: VariableScope = 'default'
  if (stream.isWord('GLOBAL', 'SESSION')) scope = stream.next().upper === 'GLOBAL' ? 'global' : 'session'
  const what = WHATS.find(([words]) => stream.takePhrase(...words))?.[1]
  if (what === undefined) throw unsupported(`SHOW ${stream.current.upper}`)
  let table = { schema: '', name: '' }
  if (what === 'createTable') table = stream.tableName()
  if (what === 'createDatabase') {
    stream.takePhrase('IF', 'NOT', 'EXISTS')
    table = { schema: stream.name(), name: '' }
  }
  if (what === 'columns' || what === 'fullColumns' || what === 'indexes') {
    stream.expectWord('FROM', 'IN')
    table = stream.tableName()
  }
  if (what === 'grants' && stream.takeWord('FOR')) {
    stream.next()
    if (stream.current.kind === 'userVariable' || stream.isSymbol('(')) stream.next()
    stream.takeSymbol(')')
  }
  const schema = stream.takeWord('FROM', 'IN') ? stream.name() : table.schema
  const like = stream.takeWord('LIKE') ? stream.string() : undefined
  const where = stream.takeWord('WHERE') ? parseExpression(stream) : undefined
  if ((what === 'warnings' || what === 'errors') && stream.takeWord('LIMIT')) {
    stream.integer()
    if (stream.takeSymbol(',')) stream.integer()
  }
  return { kind: 'show', what, scope, schema, table: table.name, like, where }
}
