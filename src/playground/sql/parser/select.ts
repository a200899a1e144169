import type { Expression, Limit, SelectItem, SelectStatement, TableSource } from './ast.ts'
import { unsupported } from '../error.ts'
import { parseExpression, parseOrderItems, sourceText } from './expression.ts'
import type { TokenStream } from './token-stream.ts'

/** SELECT … [UNION …] with what follows; parentheses around the whole are allowed. */
export function parseSelect(stream: TokenStream): SelectStatement {
  let first = parseOperand(stream)
  const unions: { all: boolean; select: SelectStatement }[] = []
  while (stream.takeWord('UNION')) {
    const all = stream.takeWord('ALL')
    if (!all) stream.takeWord('DISTINCT')
    unions.push({ all, select: parseOperand(stream) })
  }
  if (stream.isWord('INTERSECT', 'EXCEPT')) throw unsupported(stream.current.upper)
  if (unions.length > 0) {
    const last = unions.at(-1)
    // ORDER BY and LIMIT after the last operand belong to the union.
    if (last !== undefined && !stream.isWord('ORDER', 'LIMIT')) {
      const { orderBy, limit } = last.select
      unions[unions.length - 1] = { all: last.all, select: { ...last.select, orderBy: [], limit: undefined } }
      first = { ...first, orderBy, limit }
    }
  }
  const orderBy = stream.takePhrase('ORDER', 'BY') ? parseOrderItems(stream) : first.orderBy
  const limit = parseLimit(stream) ?? first.limit
  return { ...first, orderBy, limit, unions }
}

function parseOperand(stream: TokenStream): SelectStatement {
  if (!stream.isSymbol('(')) return parseOne(stream)
  return stream.inParentheses(() => parseSelect(stream))
}

function parseOne(stream: TokenStream): SelectStatement {
  stream.expectWord('SELECT')
  let distinct = false
  while (
    stream.isWord(
      'ALL',
      'DISTINCT',
      'DISTINCTROW',
      'SQL_CALC_FOUND_ROWS',
      'SQL_NO_CACHE',
      'SQL_CACHE',
      'HIGH_PRIORITY',
      'STRAIGHT_JOIN',
      'SQL_BIG_RESULT',
      'SQL_SMALL_RESULT',
      'SQL_BUFFER_RESULT',
    )
  )
    distinct = stream.next().upper.startsWith('DISTINCT') || distinct
  const items = stream.list(() => parseItem(stream))
  const from = stream.takeWord('FROM') ? parseSources(stream) : undefined
  const where = stream.takeWord('WHERE') ? parseExpression(stream) : undefined
  const groupBy = stream.takePhrase('GROUP', 'BY') ? parseOrderItems(stream).map(({ expression }) => expression) : []
  const having = stream.takeWord('HAVING') ? parseExpression(stream) : undefined
  if (stream.isWord('WINDOW')) throw unsupported('WINDOW')
  const orderBy = stream.takePhrase('ORDER', 'BY') ? parseOrderItems(stream) : []
  const limit = parseLimit(stream)
  if (stream.isWord('INTO')) throw unsupported('SELECT ... INTO')
  return {
    kind: 'select',
    distinct,
    items,
    from,
    where,
    groupBy,
    having,
    orderBy,
    limit,
    forUpdate: parseLocking(stream),
    unions: [],
  }
}

function parseLocking(stream: TokenStream): boolean {
  if (stream.takePhrase('LOCK', 'IN', 'SHARE', 'MODE') || stream.takePhrase('FOR', 'SHARE')) return false
  if (!stream.takePhrase('FOR', 'UPDATE')) return false
  if (!stream.takeWord('NOWAIT') && !stream.takePhrase('SKIP', 'LOCKED') && stream.takeWord('WAIT')) stream.integer()
  return true
}

function parseItem(stream: TokenStream): SelectItem {
  if (stream.takeSymbol('*')) return { kind: 'star', schema: '', table: '' }
  const qualified = parseQualifiedStar(stream)
  if (qualified !== undefined) return qualified
  const start = stream.current.start
  const expression = parseExpression(stream)
  const text = sourceText(stream, start)
  const named = stream.takeWord('AS') || stream.isName() || stream.current.kind === 'string'
  const alias = named ? (stream.current.kind === 'string' ? stream.string() : stream.name()) : ''
  return { kind: 'expression', expression, alias, text }
}

/** `t.*` or `s.t.*` */
function parseQualifiedStar(stream: TokenStream): SelectItem | undefined {
  if (!stream.isName()) return undefined
  const isDot = (distance: number): boolean => stream.peek(distance)?.text === '.'
  const isStar = (distance: number): boolean => stream.peek(distance)?.text === '*'
  const depth = isDot(1) && isStar(2) ? 1 : isDot(1) && isDot(3) && isStar(4) ? 2 : 0
  if (depth === 0) return undefined
  const names = [stream.name()]
  while (stream.takeSymbol('.')) if (!stream.takeSymbol('*')) names.push(stream.name(true))
  const [table = '', schema = ''] = names.toReversed()
  return { kind: 'star', schema, table }
}

export function parseLimit(stream: TokenStream): Limit | undefined {
  if (!stream.takeWord('LIMIT')) return undefined
  const first = parseExpression(stream)
  if (stream.takeSymbol(',')) return { count: parseExpression(stream), offset: first }
  return { count: first, offset: stream.takeWord('OFFSET') ? parseExpression(stream) : undefined }
}

function parseSources(stream: TokenStream): TableSource | undefined {
  if (stream.takeWord('DUAL')) return undefined
  let left = parseJoined(stream)
  while (stream.takeSymbol(','))
    left = { kind: 'join', left, right: parseJoined(stream), type: 'inner', on: undefined, using: [] }
  return left
}

function parseJoined(stream: TokenStream): TableSource {
  let left = parseSource(stream)
  for (;;) {
    const type = parseJoinType(stream)
    if (type === undefined) return left
    const right = parseSource(stream)
    const on: Expression | undefined = stream.takeWord('ON') ? parseExpression(stream) : undefined
    const using = stream.takeWord('USING') ? stream.inParentheses(() => stream.list(() => stream.name())) : []
    left = { kind: 'join', left, right, type, on, using }
  }
}

function parseJoinType(stream: TokenStream): 'inner' | 'left' | 'right' | undefined {
  if (stream.isWord('NATURAL')) throw unsupported('NATURAL JOIN')
  if (
    stream.takeWord('JOIN', 'STRAIGHT_JOIN') ||
    stream.takePhrase('INNER', 'JOIN') ||
    stream.takePhrase('CROSS', 'JOIN')
  )
    return 'inner'
  if (!stream.isWord('LEFT', 'RIGHT')) return undefined
  const type = stream.next().upper === 'LEFT' ? 'left' : 'right'
  stream.takeWord('OUTER')
  stream.expectWord('JOIN')
  return type
}

function parseSource(stream: TokenStream): TableSource {
  if (stream.isSymbol('(') && stream.peek()?.upper === 'SELECT') {
    const query = stream.inParentheses(() => parseSelect(stream))
    stream.takeWord('AS')
    return { kind: 'query', query, alias: stream.name() }
  }
  if (stream.isSymbol('(')) return stream.inParentheses(() => parseSources(stream) ?? parseSource(stream))
  const table = stream.tableName()
  const partitions = stream.takeWord('PARTITION')
    ? stream.inParentheses(() => stream.list(() => stream.name()))
    : undefined
  const alias = stream.takeWord('AS') || stream.isName() ? stream.name() : ''
  skipIndexHints(stream)
  return { kind: 'table', table, alias, ...(partitions === undefined ? {} : { partitions }) }
}

function skipIndexHints(stream: TokenStream): void {
  while (stream.isWord('USE', 'FORCE', 'IGNORE') && ['INDEX', 'KEY'].includes(stream.peek()?.upper ?? '')) {
    stream.next()
    stream.next()
    stream.inParentheses(() => (stream.isSymbol(')') ? [] : stream.list(() => stream.name(true))))
  }
}
