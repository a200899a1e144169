import type { BinaryOperator, CastType, Expression } from './ast.ts'
import { stringOf, TokenReader } from './token-reader.ts'

/**
 * Reads one scalar expression of MySQL's grammar as TiDB has it: no sub-queries, variables, aggregates or windows.
 * SyntaxError that says where.
 */
export function parseExpression(text: string): Expression {
  const reader = new TokenReader(text)
  if (reader.token === undefined) throw new SyntaxError('it is empty')
  const expression = parseOr(reader)
  reader.end()
  return expression
}

type Parse = (reader: TokenReader) => Expression

/** Operators of one precedence, from the left. */
const leftToRight =
  (operators: Readonly<Record<string, BinaryOperator>>, operand: Parse): Parse =>
  (reader) => {
    let left = operand(reader)
    for (;;) {
      const operator = operators[reader.word()]
      if (operator === undefined) return left
      reader.take()
      left = { kind: 'binary', operator, left, right: operand(reader) }
    }
  }

/** Lowest precedence last; each refers to the one above it. */
const parsePower = leftToRight({ '^': '^' }, parseUnary)
const parseProduct = leftToRight({ '*': '*', '/': '/', div: 'div', '%': '%', mod: '%' }, parsePower)
const parseShift = leftToRight({ '<<': '<<', '>>': '>>' }, parseSum)
const parseBitAnd = leftToRight({ '&': '&' }, parseShift)
const parseBit = leftToRight({ '|': '|' }, parseBitAnd)
const parseAnd = leftToRight({ and: 'and', '&&': 'and' }, parseNot)
const parseXor = leftToRight({ xor: 'xor' }, parseAnd)
const parseOr = leftToRight({ or: 'or', '||': 'or' }, parseXor)

function parseNot(reader: TokenReader): Expression {
  if (reader.accept('not')) return { kind: 'unary', operator: 'not', operand: parseNot(reader) }
  return parseIs(reader)
}

function parseIs(reader: TokenReader): Expression {
  let operand = parseComparison(reader)
  while (reader.accept('is')) {
    const negated = reader.accept('not')
    const what = reader.word() === 'unknown' ? 'null' : reader.word()
    if (what !== 'null' && what !== 'true' && what !== 'false')
      throw reader.error('NULL, TRUE, FALSE or UNKNOWN is expected')
    reader.take()
    operand = negate(negated, { kind: 'is', operand, what })
  }
  return operand
}

const COMPARISONS: Readonly<Record<string, BinaryOperator>> = {
  '=': '=',
  '<=>': '<=>',
  '<>': '<>',
  '!=': '<>',
  '<': '<',
  '<=': '<=',
  '>': '>',
  '>=': '>=',
}
const parseComparison = leftToRight(COMPARISONS, parsePredicate)

const negate = (negated: boolean, operand: Expression): Expression =>
  negated ? { kind: 'unary', operator: 'not', operand } : operand

function parsePredicate(reader: TokenReader): Expression {
  const operand = parseBit(reader)
  const negated = reader.word() === 'not' && /^(in|like|between|regexp|rlike)$/.test(reader.word(1))
  if (negated) reader.take()
  if (reader.accept('in')) {
    reader.expect('(')
    return negate(negated, { kind: 'in', operand, list: parseList(reader) })
  }
  if (reader.accept('between')) {
    const low = parseBit(reader)
    reader.expect('and')
    const high = parsePredicate(reader)
    const above: Expression = { kind: 'binary', operator: '>=', left: operand, right: low }
    const below: Expression = { kind: 'binary', operator: '<=', left: operand, right: high }
    return negate(negated, { kind: 'binary', operator: 'and', left: above, right: below })
  }
  if (reader.accept('like')) {
    const pattern = parseUnary(reader)
    const escape = reader.accept('escape') ? parseUnary(reader) : undefined
    return negate(negated, { kind: 'like', operand, pattern, escape })
  }
  if (reader.accept('regexp') || reader.accept('rlike')) {
    return negate(negated, { kind: 'binary', operator: 'regexp', left: operand, right: parseBit(reader) })
  }
  if (reader.accept('member', 'of')) {
    reader.expect('(')
    const list = parseOr(reader)
    reader.expect(')')
    return { kind: 'call', name: 'json_memberof', args: [operand, list] }
  }
  return operand
}

/** Items up to the closing parenthesis; the opening one is read. */
function parseList(reader: TokenReader): readonly Expression[] {
  const items = [parseOr(reader)]
  while (reader.accept(',')) items.push(parseOr(reader))
  reader.expect(')')
  return items
}

/** `+` and `-`; `± interval` moves a date. */
function parseSum(reader: TokenReader): Expression {
  if (reader.word() === 'interval' && reader.word(1) !== '(') {
    const interval = parseInterval(reader)
    reader.expect('+')
    return { kind: 'call', name: 'date_add', args: [parseProduct(reader), interval] }
  }
  let left = parseProduct(reader)
  for (;;) {
    const operator = reader.word()
    if (operator !== '+' && operator !== '-') return left
    reader.take()
    left =
      reader.word() === 'interval'
        ? { kind: 'call', name: operator === '+' ? 'date_add' : 'date_sub', args: [left, parseInterval(reader)] }
        : { kind: 'binary', operator, left, right: parseProduct(reader) }
  }
}

function parseInterval(reader: TokenReader): Expression {
  reader.expect('interval')
  const amount = parseOr(reader)
  return { kind: 'interval', amount, unit: reader.identifier().toLowerCase() }
}

function parseUnary(reader: TokenReader): Expression {
  if (reader.accept('-')) return { kind: 'unary', operator: '-', operand: parseUnary(reader) }
  if (reader.accept('+')) return parseUnary(reader)
  if (reader.accept('~')) return { kind: 'unary', operator: '~', operand: parseUnary(reader) }
  if (reader.accept('!')) return { kind: 'unary', operator: 'not', operand: parseUnary(reader) }
  if (reader.word() === 'binary' && reader.word(1) !== '(') {
    reader.take()
    return { kind: 'cast', operand: parseUnary(reader), to: { name: 'binary', length: -1, scale: -1 } }
  }
  return parseSuffix(reader, parsePrimary(reader))
}

/** `collate`, `->` and `->>` behind a value. */
function parseSuffix(reader: TokenReader, primary: Expression): Expression {
  let operand = primary
  for (;;) {
    if (reader.accept('collate')) operand = { kind: 'collate', operand, collation: reader.identifier().toLowerCase() }
    else if (reader.word() === '->' || reader.word() === '->>') {
      const unquote = reader.take().text === '->>'
      const token = reader.take()
      if (token.kind !== 'string') throw reader.error('a path in quotes is expected')
      const path: Expression = { kind: 'string', text: stringOf(token), binary: false }
      operand = { kind: 'call', name: 'json_extract', args: [operand, path] }
      if (unquote) operand = { kind: 'call', name: 'json_unquote', args: [operand] }
    } else return operand
  }
}

function parsePrimary(reader: TokenReader): Expression {
  const token = reader.token
  if (token === undefined) throw reader.error('it ends too early')
  switch (token.kind) {
    case 'number':
      reader.take()
      return numberLiteral(token.text)
    case 'string':
      return parseString(reader, false)
    case 'name':
      return parseColumn(reader)
    case 'word':
      return parseWord(reader)
    default:
      break
  }
  if (reader.accept('{')) {
    // An ODBC literal such as {ts '2020-01-01 00:00:00'}.
    const type = { d: 'date', t: 'time', ts: 'timestamp' }[reader.identifier().toLowerCase()]
    if (type !== 'date' && type !== 'time' && type !== 'timestamp') throw reader.error('d, t or ts is expected')
    const literal: Expression = { kind: 'time', type, text: stringOf(reader.take()) }
    reader.expect('}')
    return literal
  }
  if (!reader.accept('(')) throw reader.error('a value is expected')
  if (reader.word() === 'select') throw reader.error('sub-queries are not allowed')
  const items = parseList(reader)
  return items.length === 1 && items[0] !== undefined ? items[0] : { kind: 'row', items }
}

/** Neighbouring strings are one. */
function parseString(reader: TokenReader, binary: boolean): Expression {
  let text = ''
  while (reader.token?.kind === 'string') text += stringOf(reader.take())
  return { kind: 'string', text, binary }
}

function numberLiteral(text: string): Expression {
  if (text.startsWith('0x')) return hexLiteral(text.slice(2))
  if (text.startsWith('0b')) return bitLiteral(text.slice(2))
  if (/e/i.test(text)) return { kind: 'real', text }
  return { kind: text.includes('.') ? 'decimal' : 'integer', text }
}

const hexLiteral = (digits: string): Expression => ({
  kind: 'hex',
  text: Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex').toString('latin1'),
})

const bitLiteral = (digits: string): Expression => {
  const hex = BigInt(`0b${digits === '' ? '0' : digits}`).toString(16)
  return hexLiteral(digits === '' ? '' : hex.padStart(Math.ceil(digits.length / 8) * 2, '0'))
}

/** What begins with a word without quotes: a keyword's own syntax, a function, or a column. */
function parseWord(reader: TokenReader): Expression {
  const word = reader.word()
  if (word.startsWith('@')) throw reader.error('variables are not allowed')
  if (reader.peek(1)?.kind === 'string') {
    const literal = prefixedLiteral(reader, word)
    if (literal !== undefined) return literal
  }
  const isCall = reader.word(1) === '('
  switch (word) {
    case 'null':
      reader.take()
      return { kind: 'null' }
    case 'true':
    case 'false':
      if (isCall) break
      reader.take()
      return { kind: 'boolean', value: word === 'true' }
    case 'case':
      return parseCase(reader)
    case 'current_timestamp':
    case 'current_date':
    case 'current_time':
    case 'localtime':
    case 'localtimestamp':
    case 'utc_timestamp':
    case 'utc_date':
    case 'utc_time':
      if (isCall) break
      reader.take()
      return { kind: 'call', name: word, args: [] }
    case 'select':
    case 'exists':
    case 'and':
    case 'or':
    case 'xor':
    case 'not':
    case 'is':
    case 'in':
    case 'like':
    case 'between':
    case 'regexp':
    case 'rlike':
    case 'when':
    case 'then':
    case 'else':
    case 'from':
    case 'where':
      throw reader.error('a value is expected')
    default:
      break
  }
  return isCall ? parseCall(reader, word) : parseColumn(reader)
}

/** `x'41'`, `b'01'`, `n'…'`, `_utf8mb4'…'`, `date'…'`. */
function prefixedLiteral(reader: TokenReader, word: string): Expression | undefined {
  const content = (): string => {
    reader.take()
    return stringOf(reader.take())
  }
  switch (word) {
    case 'x': {
      const digits = content()
      if (!/^(?:[0-9a-f]{2})*$/i.test(digits)) throw reader.error(`'${digits}' is no hexadecimal text`)
      return hexLiteral(digits)
    }
    case 'b': {
      const digits = content()
      if (!/^[01]*$/.test(digits)) throw reader.error(`'${digits}' is no binary text`)
      return bitLiteral(digits)
    }
    case 'date':
    case 'time':
    case 'timestamp':
      return { kind: 'time', type: word, text: content() }
    case 'n':
    case '_utf8mb4':
    case '_utf8':
    case '_ascii':
      reader.take()
      return parseString(reader, false)
    case '_binary':
      reader.take()
      return parseString(reader, true)
    default:
      return undefined
  }
}

function parseColumn(reader: TokenReader): Expression {
  const names = [reader.identifier()]
  while (names.length < 3 && reader.accept('.')) names.push(reader.identifier())
  const [name = '', table = '', schema = ''] = names.toReversed()
  return { kind: 'column', schema, table, name }
}

function parseCase(reader: TokenReader): Expression {
  reader.expect('case')
  const operand = reader.word() === 'when' ? undefined : parseOr(reader)
  const branches: { when: Expression; then: Expression }[] = []
  while (reader.accept('when')) {
    const when = parseOr(reader)
    reader.expect('then')
    branches.push({ when, then: parseOr(reader) })
  }
  if (branches.length === 0) throw reader.error("'when' is expected")
  const otherwise = reader.accept('else') ? parseOr(reader) : undefined
  reader.expect('end')
  return { kind: 'case', operand, branches, otherwise }
}

/** A function, some of which have a syntax of their own. */
function parseCall(reader: TokenReader, name: string): Expression {
  reader.take()
  reader.expect('(')
  switch (name) {
    case 'cast': {
      const operand = parseOr(reader)
      reader.expect('as')
      const to = parseCastType(reader)
      reader.expect(')')
      return { kind: 'cast', operand, to }
    }
    case 'convert':
      return parseConvert(reader)
    case 'trim':
      return parseTrim(reader)
    case 'substring':
    case 'substr':
    case 'mid':
      return parseSubstring(reader)
    case 'extract': {
      const unit = reader.identifier().toLowerCase()
      reader.expect('from')
      return call('extract', [text(unit), ...parseList(reader)])
    }
    case 'timestampdiff':
    case 'timestampadd': {
      const unit = reader.identifier().toLowerCase()
      reader.expect(',')
      const args = parseList(reader)
      if (name === 'timestampdiff') return call(name, [text(unit.replace(/^sql_tsi_/, '')), ...args])
      const [amount, date] = args
      if (amount === undefined || date === undefined || args.length > 2) throw reader.error('two values are expected')
      return call('date_add', [date, { kind: 'interval', amount, unit: unit.replace(/^sql_tsi_/, '') }])
    }
    case 'position': {
      const needle = parseBit(reader)
      reader.expect('in')
      return call('locate', [needle, ...parseList(reader)])
    }
    default:
      break
  }
  if (reader.accept(')')) return call(name, [])
  if (reader.accept('distinct')) throw reader.error('aggregates are not allowed')
  const args = [parseArgument(reader)]
  while (reader.accept(',')) args.push(parseArgument(reader))
  reader.expect(')')
  if (reader.word() === 'over') throw reader.error('window functions are not allowed')
  return call(name, args)
}

const call = (name: string, args: readonly Expression[]): Expression => ({ kind: 'call', name, args })
const text = (value: string): Expression => ({ kind: 'string', text: value, binary: false })

const parseArgument = (reader: TokenReader): Expression =>
  reader.word() === 'interval' && reader.word(1) !== '(' ? parseInterval(reader) : parseOr(reader)

function parseConvert(reader: TokenReader): Expression {
  const operand = parseOr(reader)
  let to: CastType
  if (reader.accept('using')) {
    const charset = reader.identifier().toLowerCase()
    to = { name: charset === 'binary' ? 'binary' : 'char', length: -1, scale: -1 }
  } else {
    reader.expect(',')
    to = parseCastType(reader)
  }
  reader.expect(')')
  return { kind: 'cast', operand, to }
}

function parseTrim(reader: TokenReader): Expression {
  const side = ['leading', 'trailing', 'both'].find((word) => reader.accept(word)) ?? 'both'
  const first = reader.word() === 'from' ? text(' ') : parseOr(reader)
  const given = reader.accept('from')
  const [removed, operand] = given ? [first, parseOr(reader)] : [text(' '), first]
  reader.expect(')')
  return call('trim', [operand, removed, text(side)])
}

function parseSubstring(reader: TokenReader): Expression {
  const args = [parseOr(reader)]
  if (reader.accept('from')) {
    args.push(parseOr(reader))
    if (reader.accept('for')) args.push(parseOr(reader))
  } else while (reader.accept(',')) args.push(parseOr(reader))
  reader.expect(')')
  return call('substring', args)
}

const CAST_NAMES: Readonly<Record<string, CastType['name']>> = {
  signed: 'signed',
  unsigned: 'unsigned',
  char: 'char',
  binary: 'binary',
  decimal: 'decimal',
  date: 'date',
  datetime: 'datetime',
  time: 'time',
  year: 'year',
  double: 'double',
  real: 'double',
  float: 'float',
  json: 'json',
}

function parseCastType(reader: TokenReader): CastType {
  const name = CAST_NAMES[reader.word()]
  if (name === undefined) throw reader.error('a type to cast to is expected')
  reader.take()
  if (name === 'signed' || name === 'unsigned') if (!reader.accept('integer')) reader.accept('int')
  let length = -1
  let scale = -1
  if (reader.accept('(')) {
    length = reader.integer()
    if (reader.accept(',')) scale = reader.integer()
    reader.expect(')')
  }
  if (reader.accept('charset') || reader.accept('character', 'set')) {
    if (reader.identifier().toLowerCase() === 'binary') return { name: 'binary', length, scale }
  }
  return { name, length, scale }
}
