import type { Assignment, DeleteStatement, Expression, InsertStatement, UpdateStatement } from './ast.ts'
import { unsupported } from '../error.ts'
import { parseExpression, parseOrderItems } from './expression.ts'
import { parseLimit, parseSelect } from './select.ts'
import type { TokenStream } from './token-stream.ts'

/** INSERT or REPLACE, in all three forms (VALUES, SET, SELECT). */
export function parseInsert(stream: TokenStream): InsertStatement {
  const replace = stream.next().upper === 'REPLACE'
  let ignore = false
  while (stream.isWord('LOW_PRIORITY', 'DELAYED', 'HIGH_PRIORITY', 'IGNORE'))
    ignore = stream.next().upper === 'IGNORE' || ignore
  stream.takeWord('INTO')
  const table = stream.tableName()
  if (stream.isWord('PARTITION')) throw unsupported('INSERT ... PARTITION')
  const base = { kind: 'insert', replace, ignore, table } as const
  if (stream.takeWord('SET')) {
    const assignments = stream.list(() => parseAssignment(stream))
    const rows = [assignments.map(({ value }) => value)]
    return {
      ...base,
      columns: assignments.map(({ column }) => column),
      rows,
      query: undefined,
      onDuplicate: parseOnDuplicate(stream),
    }
  }
  const named = stream.isSymbol('(') && stream.peek()?.upper !== 'SELECT'
  const columns = named
    ? stream.inParentheses(() => (stream.isSymbol(')') ? [] : stream.list(() => columnName(stream))))
    : undefined
  if (stream.takeWord('VALUES', 'VALUE')) {
    const rows = stream.list(() => parseRow(stream))
    if (stream.takeWord('AS')) throw unsupported('INSERT ... VALUES ... AS alias')
    return { ...base, columns, rows, query: undefined, onDuplicate: parseOnDuplicate(stream) }
  }
  if (!stream.isWord('SELECT') && !stream.isSymbol('(')) throw stream.error()
  const query = parseSelect(stream)
  return { ...base, columns, rows: [], query, onDuplicate: parseOnDuplicate(stream) }
}

function parseRow(stream: TokenStream): Expression[] {
  stream.takeWord('ROW')
  return stream.inParentheses(() => (stream.isSymbol(')') ? [] : stream.list(() => parseExpression(stream))))
}

/** A column as assignments and lists name it: `a`, `t.a` or `s.t.a`. */
function columnName(stream: TokenStream): string {
  let name = stream.name()
  while (stream.takeSymbol('.')) name = stream.name(true)
  return name
}

function parseAssignment(stream: TokenStream): Assignment {
  const column = columnName(stream)
  if (!stream.takeSymbol('=')) stream.expectSymbol(':=')
  return { column, value: parseExpression(stream) }
}

function parseOnDuplicate(stream: TokenStream): Assignment[] {
  if (!stream.takePhrase('ON', 'DUPLICATE', 'KEY', 'UPDATE')) return []
  return stream.list(() => parseAssignment(stream))
}

export function parseUpdate(stream: TokenStream): UpdateStatement {
  stream.next()
  stream.takeWord('LOW_PRIORITY')
  const ignore = stream.takeWord('IGNORE')
  const table = stream.tableName()
  const alias = stream.takeWord('AS') || stream.isName() ? stream.name() : ''
  if (stream.isSymbol(',') || stream.isWord('JOIN', 'INNER', 'LEFT', 'RIGHT', 'CROSS'))
    throw unsupported('UPDATE of several tables')
  stream.expectWord('SET')
  const assignments = stream.list(() => parseAssignment(stream))
  return { kind: 'update', ignore, table, alias, assignments, ...parseTail(stream) }
}

export function parseDelete(stream: TokenStream): DeleteStatement {
  stream.next()
  while (stream.takeWord('LOW_PRIORITY', 'QUICK', 'IGNORE'));
  if (!stream.takeWord('FROM')) throw unsupported('DELETE of several tables')
  const table = stream.tableName()
  if (stream.isSymbol(',') || stream.isWord('USING')) throw unsupported('DELETE of several tables')
  const alias = stream.takeWord('AS') || stream.isName() ? stream.name() : ''
  return { kind: 'delete', table, alias, ...parseTail(stream) }
}

function parseTail(stream: TokenStream): Pick<UpdateStatement, 'where' | 'orderBy' | 'limit'> {
  const where = stream.takeWord('WHERE') ? parseExpression(stream) : undefined
  const orderBy = stream.takePhrase('ORDER', 'BY') ? parseOrderItems(stream) : []
  return { where, orderBy, limit: parseLimit(stream) }
}
