import { Decimal } from '../value/decimal.ts'
import type { BinaryOperator, CaseBranch, Expression, OrderItem, TypeNode, VariableScope } from './ast.ts'
import { decode } from './lexer.ts'
import { parseSelect } from './select.ts'
import type { TokenStream } from './token-stream.ts'
import { parseType } from './type.ts'

/** Precedence climbs from OR down to unary operators, as MySQL's grammar has it. */
export function parseExpression(stream: TokenStream): Expression {
  if (stream.current.kind === 'userVariable' && stream.peek()?.text === ':=') {
    const name = stream.next().text
    stream.next()
    return { kind: 'assign', name, value: parseExpression(stream) }
  }
  return parseOr(stream)
}

const binary = (operator: BinaryOperator, left: Expression, right: Expression): Expression => ({
  kind: 'binary',
  operator,
  left,
  right,
})

function parseOr(stream: TokenStream): Expression {
  let left = parseXor(stream)
  while (stream.takeWord('OR') || stream.takeSymbol('||')) left = binary('OR', left, parseXor(stream))
  return left
}

function parseXor(stream: TokenStream): Expression {
  let left = parseAnd(stream)
  while (stream.takeWord('XOR')) left = binary('XOR', left, parseAnd(stream))
  return left
}

function parseAnd(stream: TokenStream): Expression {
  let left = parseNot(stream)
  while (stream.takeWord('AND') || stream.takeSymbol('&&')) left = binary('AND', left, parseNot(stream))
  return left
}

function parseNot(stream: TokenStream): Expression {
  if (stream.isWord('NOT') && !stream.isPhrase('NOT', 'EXISTS')) {
    stream.next()
    return { kind: 'unary', operator: '!', operand: parseNot(stream) }
  }
  return parsePredicate(stream)
}

const COMPARISONS: Readonly<Record<string, BinaryOperator>> = {
  '=': '=',
  '<=>': '<=>',
  '<': '<',
  '<=': '<=',
  '>': '>',
  '>=': '>=',
  '<>': '<>',
  '!=': '<>',
}

function parsePredicate(stream: TokenStream): Expression {
  let left = parseBits(stream)
  for (;;) {
    const comparison = stream.current.kind === 'symbol' ? COMPARISONS[stream.current.text] : undefined
    if (comparison !== undefined) {
      stream.next()
      left = binary(comparison, left, parseBits(stream))
      continue
    }
    if (stream.takeWord('IS')) {
      left = parseIs(stream, left)
      continue
    }
    const negated =
      stream.isWord('NOT') && ['IN', 'BETWEEN', 'LIKE', 'REGEXP', 'RLIKE'].includes(stream.peek()?.upper ?? '')
    if (negated) stream.next()
    const next = parseNegatable(stream, left, negated)
    if (next === undefined) return left
    left = next
  }
}

function parseIs(stream: TokenStream, operand: Expression): Expression {
  const negated = stream.takeWord('NOT')
  const word = stream.expectWord('NULL', 'TRUE', 'FALSE', 'UNKNOWN')
  const test = word === 'TRUE' ? 'true' : word === 'FALSE' ? 'false' : 'null'
  return { kind: 'is', operand, test, negated }
}

function parseNegatable(stream: TokenStream, operand: Expression, negated: boolean): Expression | undefined {
  if (stream.takeWord('IN')) {
    stream.expectSymbol('(')
    if (stream.isWord('SELECT')) {
      const query = parseSelect(stream)
      stream.expectSymbol(')')
      return { kind: 'inQuery', operand, query, negated }
    }
    const items = stream.list(() => parseExpression(stream))
    stream.expectSymbol(')')
    return { kind: 'in', operand, items, negated }
  }
  if (stream.takeWord('BETWEEN')) {
    const low = parseBits(stream)
    stream.expectWord('AND')
    return { kind: 'between', operand, low, high: parseBits(stream), negated }
  }
  if (stream.takeWord('LIKE')) {
    const pattern = parseBits(stream)
    const escape = stream.takeWord('ESCAPE') ? stream.string() : '\\'
    return { kind: 'like', operand, pattern, escape, negated }
  }
  if (stream.takeWord('REGEXP', 'RLIKE')) return { kind: 'regexp', operand, pattern: parseBits(stream), negated }
  return undefined
}

/** Binary operators by level, weakest first. */
const LEVELS: readonly Readonly<Record<string, BinaryOperator>>[] = [
  { '|': '|' },
  { '&': '&' },
  { '<<': '<<', '>>': '>>' },
  { '+': '+', '-': '-' },
  { '*': '*', '/': '/', '%': '%', DIV: 'DIV', MOD: '%' },
  { '^': '^' },
]

const parseBits = (stream: TokenStream): Expression => parseLevel(stream, 0)

function parseLevel(stream: TokenStream, level: number): Expression {
  const operators = LEVELS[level]
  if (operators === undefined) return parseUnary(stream)
  let left = parseLevel(stream, level + 1)
  for (;;) {
    const { kind, upper } = stream.current
    const operator = kind === 'symbol' || kind === 'word' ? operators[upper] : undefined
    if (operator === undefined) return left
    stream.next()
    left = binary(operator, left, parseLevel(stream, level + 1))
  }
}

function parseUnary(stream: TokenStream): Expression {
  const { kind, text } = stream.current
  if (kind === 'symbol' && (text === '-' || text === '+' || text === '!' || text === '~')) {
    stream.next()
    const operand = parseUnary(stream)
    if (operand.kind === 'literal' && text === '-' && typeof operand.value === 'bigint')
      return { kind: 'literal', value: -operand.value }
    return { kind: 'unary', operator: text, operand }
  }
  if (stream.takeWord('BINARY')) {
    const type: TypeNode = { ...parseTypeOf('BINARY') }
    return { kind: 'cast', operand: parseUnary(stream), type }
  }
  return parsePostfix(stream)
}

const parseTypeOf = (name: string): TypeNode => ({
  name,
  length: undefined,
  scale: undefined,
  unsigned: false,
  zerofill: false,
  binary: false,
  charset: '',
  collate: '',
  elements: [],
})

function parsePostfix(stream: TokenStream): Expression {
  let operand = parsePrimary(stream)
  for (;;) {
    if (stream.takeWord('COLLATE')) operand = { kind: 'collate', operand, collation: stream.nameOrString() }
    else if (stream.isSymbol('->', '->>')) {
      const operator = stream.next().text === '->' ? '->' : '->>'
      operand = binary(operator, operand, { kind: 'literal', value: stream.string() })
    } else return operand
  }
}

function parsePrimary(stream: TokenStream): Expression {
  const token = stream.current
  switch (token.kind) {
    case 'integer':
      stream.next()
      return { kind: 'literal', value: BigInt(token.text) }
    case 'decimal':
      stream.next()
      return { kind: 'literal', value: Decimal.parse(token.text)?.value ?? null }
    case 'float':
      stream.next()
      return { kind: 'literal', value: Number(token.text) }
    case 'bits':
      stream.next()
      return { kind: 'literal', value: { type: 'bits', bytes: token.bytes } }
    case 'string':
      return { kind: 'literal', value: parseStringLiteral(stream) }
    case 'parameter':
      stream.next()
      return { kind: 'parameter', index: stream.parameters++ }
    case 'userVariable':
      stream.next()
      return { kind: 'userVariable', name: token.text.toLowerCase() }
    case 'systemVariable':
      stream.next()
      return { kind: 'systemVariable', ...splitVariable(token.text) }
    case 'symbol':
      return parseParentheses(stream)
    case 'word':
      return parseWord(stream)
    case 'name':
      return parseColumn(stream)
    default:
      throw stream.error()
  }
}

/** `session.x`, `global.x` or `x`, as it stands after `@@`. */
export function splitVariable(text: string): { readonly scope: VariableScope; readonly name: string } {
  const [first = '', ...rest] = text.toLowerCase().split('.')
  if (rest.length > 0 && (first === 'session' || first === 'local')) return { scope: 'session', name: rest.join('.') }
  if (rest.length > 0 && first === 'global') return { scope: 'global', name: rest.join('.') }
  return { scope: 'default', name: text.toLowerCase() }
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Adjacent strings are one; bytes that are not UTF-8 stay bytes (raw blobs in a query). */
function parseStringLiteral(stream: TokenStream): string | Uint8Array {
  const parts: Uint8Array[] = []
  while (stream.current.kind === 'string') parts.push(stream.next().bytes)
  const bytes = parts.length === 1 ? (parts[0] ?? new Uint8Array(0)) : Buffer.concat(parts)
  try {
    return strictUtf8.decode(bytes)
  } catch {
    return bytes
  }
}

function parseParentheses(stream: TokenStream): Expression {
  if (!stream.takeSymbol('(')) throw stream.error()
  if (stream.isWord('SELECT')) {
    const query = parseSelect(stream)
    stream.expectSymbol(')')
    return { kind: 'query', query }
  }
  const items = stream.list(() => parseExpression(stream))
  stream.expectSymbol(')')
  const [only] = items
  return items.length === 1 && only !== undefined ? only : { kind: 'row', items }
}

/** Functions that are written without parentheses. */
const BARE_FUNCTIONS = new Set([
  'CURRENT_TIMESTAMP',
  'CURRENT_DATE',
  'CURRENT_TIME',
  'CURRENT_USER',
  'LOCALTIME',
  'LOCALTIMESTAMP',
  'UTC_DATE',
  'UTC_TIME',
  'UTC_TIMESTAMP',
])
/** Reserved words that are also functions. */
const RESERVED_FUNCTIONS = new Set([
  'IF',
  'LEFT',
  'RIGHT',
  'REPLACE',
  'MOD',
  'DATABASE',
  'INSERT',
  'VALUES',
  'CHAR',
  ...BARE_FUNCTIONS,
])

function parseWord(stream: TokenStream): Expression {
  const token = stream.current
  const opens = stream.peek()?.text === '(' && stream.peek()?.kind === 'symbol'
  switch (token.upper) {
    case 'NULL':
      stream.next()
      return { kind: 'literal', value: null }
    case 'TRUE':
    case 'FALSE':
      stream.next()
      return { kind: 'literal', value: token.upper === 'TRUE' ? 1n : 0n }
    case 'CASE':
      return parseCase(stream)
    case 'NOT':
    case 'EXISTS':
      return parseExists(stream)
    case 'INTERVAL':
      return parseInterval(stream)
    case 'DEFAULT':
      return parseDefault(stream)
    case 'DATE':
    case 'TIME':
    case 'TIMESTAMP':
      if (stream.peek()?.kind === 'string') return parseTimeLiteral(stream)
      break
    case '_BINARY':
      if (stream.peek()?.kind === 'string' || stream.peek()?.kind === 'bits') {
        stream.next()
        return { kind: 'literal', value: stream.next().bytes }
      }
      break
    case '_UTF8MB4':
    case '_UTF8':
    case '_LATIN1':
    case '_ASCII':
      if (stream.peek()?.kind === 'string') {
        stream.next()
        return { kind: 'literal', value: stream.string() }
      }
      break
    case 'CAST':
    case 'CONVERT':
      if (opens) return parseCast(stream)
      break
    default:
  }
  if (opens && (stream.isName() || RESERVED_FUNCTIONS.has(token.upper))) return parseCall(stream)
  if (BARE_FUNCTIONS.has(token.upper)) {
    stream.next()
    return call(token.upper, [])
  }
  return parseColumn(stream)
}

function parseColumn(stream: TokenStream): Expression {
  const names = [stream.name()]
  while (names.length < 3 && stream.takeSymbol('.')) names.push(stream.name(true))
  const [name = '', table = '', schema = ''] = names.toReversed()
  return { kind: 'column', schema, table, name }
}

function parseCase(stream: TokenStream): Expression {
  stream.next()
  const operand = stream.isWord('WHEN') ? undefined : parseExpression(stream)
  const branches: CaseBranch[] = []
  while (stream.takeWord('WHEN')) {
    const when = parseExpression(stream)
    stream.expectWord('THEN')
    branches.push({ when, then: parseExpression(stream) })
  }
  const otherwise = stream.takeWord('ELSE') ? parseExpression(stream) : undefined
  stream.expectWord('END')
  if (branches.length === 0) throw stream.error()
  return { kind: 'case', operand, branches, otherwise }
}

function parseExists(stream: TokenStream): Expression {
  const negated = stream.takeWord('NOT')
  stream.expectWord('EXISTS')
  const exists: Expression = { kind: 'exists', query: stream.inParentheses(() => parseSelect(stream)) }
  return negated ? { kind: 'unary', operator: '!', operand: exists } : exists
}

function parseInterval(stream: TokenStream): Expression {
  if (stream.peek()?.text === '(' && stream.peek(2)?.kind !== 'symbol') {
    // INTERVAL (n) DAY and the function INTERVAL(a, b, …) begin alike; the latter is not supported.
  }
  stream.next()
  const amount = parseExpression(stream)
  return { kind: 'interval', amount, unit: stream.next().upper }
}

function parseDefault(stream: TokenStream): Expression {
  stream.next()
  if (!stream.isSymbol('(')) return { kind: 'default', column: '' }
  const column = stream.inParentheses(() => stream.name())
  return { kind: 'default', column }
}

function parseTimeLiteral(stream: TokenStream): Expression {
  const name = stream.next().upper
  const type = { ...parseTypeOf(name === 'TIMESTAMP' ? 'DATETIME' : name), length: name === 'DATE' ? undefined : 6 }
  return { kind: 'cast', operand: { kind: 'literal', value: stream.string() }, type }
}

function parseCast(stream: TokenStream): Expression {
  const convert = stream.next().upper === 'CONVERT'
  stream.expectSymbol('(')
  const operand = parseExpression(stream)
  if (convert && stream.takeWord('USING')) {
    stream.nameOrString()
    stream.expectSymbol(')')
    return { kind: 'cast', operand, type: parseTypeOf('CHAR') }
  }
  if (convert) stream.expectSymbol(',')
  else stream.expectWord('AS')
  const type = parseType(stream)
  stream.expectSymbol(')')
  return { kind: 'cast', operand, type }
}

const call = (name: string, args: readonly Expression[]): Expression => ({
  kind: 'call',
  name,
  args,
  distinct: false,
  star: false,
  separator: ',',
  orderBy: [],
})

function parseCall(stream: TokenStream): Expression {
  const name = stream.next().upper
  stream.expectSymbol('(')
  if (name === 'VALUES') {
    const column = stream.name()
    stream.expectSymbol(')')
    return { kind: 'values', column }
  }
  if (stream.takeSymbol('*')) {
    stream.expectSymbol(')')
    return { kind: 'call', name, args: [], distinct: false, star: true, separator: ',', orderBy: [] }
  }
  const distinct = stream.takeWord('DISTINCT')
  const args = stream.isSymbol(')') ? [] : parseArguments(stream, name)
  const orderBy = stream.takePhrase('ORDER', 'BY') ? parseOrderItems(stream) : []
  const separator = stream.takeWord('SEPARATOR') ? stream.string() : ','
  stream.expectSymbol(')')
  return { kind: 'call', name, args, distinct, star: false, separator, orderBy }
}

/** SUBSTRING(a FROM b FOR c), TRIM([BOTH] x FROM y), POSITION(a IN b), EXTRACT(unit FROM x) and plain lists. */
function parseArguments(stream: TokenStream, name: string): Expression[] {
  if (name === 'EXTRACT' || ((name === 'TIMESTAMPDIFF' || name === 'TIMESTAMPADD') && stream.current.kind === 'word')) {
    const unit: Expression = { kind: 'literal', value: stream.next().upper }
    if (!stream.takeWord('FROM')) stream.expectSymbol(',')
    return [unit, ...stream.list(() => parseExpression(stream))]
  }
  if (name === 'TRIM' && stream.isWord('BOTH', 'LEADING', 'TRAILING')) {
    const side: Expression = { kind: 'literal', value: stream.next().upper }
    const what: Expression = stream.isWord('FROM') ? { kind: 'literal', value: ' ' } : parseExpression(stream)
    stream.expectWord('FROM')
    return [parseExpression(stream), what, side]
  }
  const args = [name === 'POSITION' ? parseBits(stream) : parseExpression(stream)]
  while (stream.takeSymbol(',') || stream.takeWord('FROM', 'FOR') || (name === 'POSITION' && stream.takeWord('IN')))
    args.push(parseExpression(stream))
  return args
}

export function parseOrderItems(stream: TokenStream): OrderItem[] {
  return stream.list(() => {
    const expression = parseExpression(stream)
    const descending = stream.takeWord('DESC')
    if (!descending) stream.takeWord('ASC')
    return { expression, descending }
  })
}

/** Source of what was parsed since `start`, as result columns are named. */
export function sourceText(stream: TokenStream, start: number): string {
  return decode(stream.source.slice(start, stream.previousEnd))
}
