import { Decimal } from '../value/decimal.ts'
import { formatDateTime } from '../value/time.ts'
import { formatDouble, toText } from '../value/value.ts'
import type { Value } from '../value/value.ts'
import type { Expression, OrderItem, SelectStatement, TableSource, TypeNode } from './ast.ts'

/**
 * Expressions as TiDB stores them in metadata (generated columns, partitions, defaults, views): names in back quotes,
 * functions in lower case, blanks around operators. Parentheses stand wherever a compound operand stands in another.
 */
export function restoreExpression(node: Expression): string {
  const sub = restoreOperand
  const list = (items: readonly Expression[]): string => items.map(restoreExpression).join(', ')
  const not = (negated: boolean): string => (negated ? ' NOT' : '')
  switch (node.kind) {
    case 'literal':
      return literal(node.value)
    case 'column':
      return [node.schema, node.table, node.name]
        .filter((part) => part !== '')
        .map(quote)
        .join('.')
    case 'unary':
      return `${node.operator}${sub(node.operand)}`
    case 'binary':
      return `${sub(node.left)} ${node.operator} ${sub(node.right)}`
    case 'in':
      return `${sub(node.operand)}${not(node.negated)} IN (${list(node.items)})`
    case 'between':
      return `${sub(node.operand)}${not(node.negated)} BETWEEN ${sub(node.low)} AND ${sub(node.high)}`
    case 'like':
      return `${sub(node.operand)}${not(node.negated)} LIKE ${sub(node.pattern)}`
    case 'regexp':
      return `${sub(node.operand)}${not(node.negated)} REGEXP ${sub(node.pattern)}`
    case 'is':
      return `${sub(node.operand)} IS${not(node.negated)} ${node.test.toUpperCase()}`
    case 'case': {
      const branches = node.branches.map(
        ({ when, then }) => ` WHEN ${restoreExpression(when)} THEN ${restoreExpression(then)}`,
      )
      const operand = node.operand === undefined ? '' : ` ${restoreExpression(node.operand)}`
      const otherwise = node.otherwise === undefined ? '' : ` ELSE ${restoreExpression(node.otherwise)}`
      return `CASE${operand}${branches.join('')}${otherwise} END`
    }
    case 'call':
      return callText(node)
    case 'cast':
      return `cast(${restoreExpression(node.operand)} as ${castTypeText(node.type)})`
    case 'interval':
      return `INTERVAL ${sub(node.amount)} ${node.unit}`
    case 'collate':
      return `${sub(node.operand)} COLLATE ${node.collation}`
    case 'row':
      return `(${list(node.items)})`
    case 'default':
      return node.column === '' ? 'DEFAULT' : `DEFAULT(${quote(node.column)})`
    case 'values':
      return `VALUES(${quote(node.column)})`
    case 'query':
      return `(${restoreSelect(node.query)})`
    case 'exists':
      return `EXISTS (${restoreSelect(node.query)})`
    case 'inQuery':
      return `${sub(node.operand)}${not(node.negated)} IN (${restoreSelect(node.query)})`
    case 'systemVariable':
      return `@@${node.scope === 'default' ? '' : `${node.scope}.`}${node.name}`
    case 'userVariable':
      return `@${node.name}`
    case 'assign':
      return `@${node.name} := ${restoreExpression(node.value)}`
    case 'parameter':
      return '?'
  }
}

const COMPOUND = new Set<Expression['kind']>(['binary', 'in', 'between', 'like', 'regexp', 'is', 'inQuery'])

const restoreOperand = (node: Expression): string =>
  COMPOUND.has(node.kind) ? `(${restoreExpression(node)})` : restoreExpression(node)

export const quote = (name: string): string => `\`${name.replaceAll('`', '``')}\``

function literal(value: Value): string {
  if (value === null) return 'NULL'
  if (typeof value === 'bigint' || value instanceof Decimal) return value.toString()
  if (typeof value === 'number') return formatDouble(value).includes('e') ? formatDouble(value) : `${value}e0`
  if (typeof value === 'string') return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
  if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString('hex')}'`
  if (value.type === 'bits') return `0x${Buffer.from(value.bytes).toString('hex')}`
  if (value.type === 'date' || value.type === 'datetime' || value.type === 'timestamp')
    return `'${formatDateTime(value)}'`
  return literal(toText(value))
}

function callText(node: Extract<Expression, { kind: 'call' }>): string {
  const name = node.name.toLowerCase()
  if (node.star) return `${name}(*)`
  const args = node.args.map(restoreExpression)
  if (node.name === 'EXTRACT') return `extract(${toText(unitOf(node.args[0]))} from ${args.slice(1).join(', ')})`
  if (node.name === 'TIMESTAMPDIFF' || node.name === 'TIMESTAMPADD')
    return `${name}(${[toText(unitOf(node.args[0])), ...args.slice(1)].join(', ')})`
  const order = node.orderBy.length === 0 ? '' : ` ORDER BY ${orderText(node.orderBy)}`
  const separator =
    node.name === 'GROUP_CONCAT' && node.separator !== ',' ? ` SEPARATOR ${literal(node.separator)}` : ''
  return `${name}(${node.distinct ? 'DISTINCT ' : ''}${args.join(', ')}${order}${separator})`
}

const unitOf = (node: Expression | undefined): Exclude<Value, null> =>
  node?.kind === 'literal' && node.value !== null ? node.value : 'DAY'

function castTypeText({ name, length, scale, unsigned }: TypeNode): string {
  const size = length === undefined ? '' : `(${scale === undefined ? length : `${length}, ${scale}`})`
  return `${name.toLowerCase()}${size}${unsigned ? ' unsigned' : ''}`
}

/** A SELECT in the same form; names are put under quotes, not resolved. */
export function restoreSelect(select: SelectStatement): string {
  const items = select.items.map((item) => {
    if (item.kind === 'star')
      return [item.schema, item.table]
        .filter((part) => part !== '')
        .map((part) => `${quote(part)}.`)
        .concat('*')
        .join('')
    const name = item.alias || (item.expression.kind === 'column' ? item.expression.name : item.text)
    return `${restoreExpression(item.expression)} AS ${quote(name)}`
  })
  let text = `SELECT ${select.distinct ? 'DISTINCT ' : ''}${items.join(',')}`
  if (select.from !== undefined) text += ` FROM ${sourceText(select.from)}`
  if (select.where !== undefined) text += ` WHERE ${restoreExpression(select.where)}`
  if (select.groupBy.length > 0) text += ` GROUP BY ${select.groupBy.map(restoreExpression).join(',')}`
  if (select.having !== undefined) text += ` HAVING ${restoreExpression(select.having)}`
  for (const { all, select: next } of select.unions) text += ` UNION ${all ? 'ALL ' : ''}${restoreSelect(next)}`
  if (select.orderBy.length > 0) text += ` ORDER BY ${orderText(select.orderBy)}`
  if (select.limit !== undefined) {
    const { count, offset } = select.limit
    text += ` LIMIT ${offset === undefined ? '' : `${restoreExpression(offset)},`}${restoreExpression(count)}`
  }
  return text
}

const orderText = (items: readonly OrderItem[]): string =>
  items.map(({ expression, descending }) => restoreExpression(expression) + (descending ? ' DESC' : '')).join(',')

function sourceText(source: TableSource): string {
  if (source.kind === 'table') {
    const { schema, name } = source.table
    const alias = source.alias === '' ? '' : ` AS ${quote(source.alias)}`
    return `${schema === '' ? '' : `${quote(schema)}.`}${quote(name)}${alias}`
  }
  if (source.kind === 'query') return `(${restoreSelect(source.query)}) AS ${quote(source.alias)}`
  const join = source.type === 'inner' ? 'JOIN' : `${source.type.toUpperCase()} JOIN`
  const condition =
    source.using.length > 0
      ? ` USING (${source.using.map(quote).join(',')})`
      : source.on === undefined
        ? ''
        : ` ON ${restoreExpression(source.on)}`
  return `(${sourceText(source.left)} ${join} ${sourceText(source.right)}${condition})`
}

/** The same SELECT with every table named with its database. */
export function qualifySelect(select: SelectStatement, database: string): SelectStatement {
  const source = (node: TableSource): TableSource => {
    if (node.kind === 'query') return { ...node, query: qualifySelect(node.query, database) }
    if (node.kind === 'join') return { ...node, left: source(node.left), right: source(node.right) }
    return node.table.schema === '' ? { ...node, table: { ...node.table, schema: database } } : node
  }
  return {
    ...select,
    from: select.from === undefined ? undefined : source(select.from),
    unions: select.unions.map(({ all, select: next }) => ({ all, select: qualifySelect(next, database) })),
  }
}
