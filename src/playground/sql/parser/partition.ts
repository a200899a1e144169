import { unsupported } from '../error.ts'
import type { Expression, PartitionDefinitionNode, PartitionKind, PartitionNode, PartitionSpec } from './ast.ts'
import { parseExpression } from './expression.ts'
import type { TokenStream } from './token-stream.ts'

const KINDS: Readonly<Record<string, PartitionKind>> = { RANGE: 'range', LIST: 'list', HASH: 'hash', KEY: 'key' }

/** What follows PARTITION BY. */
export function parsePartitionBy(stream: TokenStream): PartitionNode {
  stream.takeWord('LINEAR')
  const kind = KINDS[stream.expectWord('RANGE', 'LIST', 'HASH', 'KEY')] ?? 'hash'
  if (kind === 'key' && stream.takeWord('ALGORITHM')) {
    stream.takeSymbol('=')
    stream.integer()
  }
  const byColumns = kind === 'key' || stream.takeWord('COLUMNS')
  const columns = byColumns
    ? stream.inParentheses(() => (stream.isSymbol(')') ? [] : stream.list(() => stream.name())))
    : []
  const expression = byColumns ? undefined : stream.inParentheses(() => parseExpression(stream))
  if (stream.isWord('INTERVAL')) throw unsupported('INTERVAL partitioning')
  const count = stream.takeWord('PARTITIONS') ? Number(stream.integer()) : undefined
  if (stream.isWord('SUBPARTITION')) throw unsupported('SUBPARTITION')
  const definitions = stream.isSymbol('(') ? parseDefinitions(stream) : []
  if (stream.takePhrase('UPDATE', 'INDEXES')) stream.inParentheses(() => skipToClosing(stream))
  return { kind, expression, columns, count, definitions }
}

function skipToClosing(stream: TokenStream): void {
  while (!stream.isEnd() && !stream.isSymbol(')')) stream.next()
}

const parseDefinitions = (stream: TokenStream): PartitionDefinitionNode[] =>
  stream.inParentheses(() => stream.list(() => parseDefinition(stream)))

function parseDefinition(stream: TokenStream): PartitionDefinitionNode {
  stream.expectWord('PARTITION')
  const name = stream.name()
  const values = parseValues(stream)
  let comment = ''
  let placement = ''
  for (;;) {
    if (stream.takeWord('COMMENT')) {
      stream.takeSymbol('=')
      comment = stream.string()
    } else if (stream.takePhrase('PLACEMENT', 'POLICY')) {
      stream.takeSymbol('=')
      placement = stream.nameOrString()
    } else if (stream.isWord('ENGINE', 'STORAGE')) {
      stream.takeWord('STORAGE')
      stream.next()
      stream.takeSymbol('=')
      stream.nameOrString()
    } else return { name, ...values, comment, placement }
  }
}

function parseValues(stream: TokenStream): Pick<PartitionDefinitionNode, 'lessThan' | 'inValues'> {
  if (stream.takeWord('DEFAULT')) return { inValues: [[]] }
  if (!stream.takeWord('VALUES')) return {}
  if (stream.takeWord('IN')) return { inValues: stream.inParentheses(() => stream.list(() => parseTuple(stream))) }
  stream.expectWord('LESS')
  stream.expectWord('THAN')
  if (stream.takeWord('MAXVALUE')) return { lessThan: [undefined] }
  return { lessThan: stream.inParentheses(() => stream.list(() => parseBound(stream))) }
}

const parseBound = (stream: TokenStream): Expression | undefined =>
  stream.takeWord('MAXVALUE') ? undefined : parseExpression(stream)

function parseTuple(stream: TokenStream): readonly Expression[] {
  if (stream.takeWord('DEFAULT')) return []
  const value = parseExpression(stream)
  return value.kind === 'row' ? value.items : [value]
}

/** Clauses of ALTER TABLE about partitions; undefined where another clause stands. */
export function parsePartitionSpec(stream: TokenStream): PartitionSpec | undefined {
  if (stream.takePhrase('PARTITION', 'BY')) return { kind: 'partitionBy', partition: parsePartitionBy(stream) }
  if (stream.takePhrase('REMOVE', 'PARTITIONING')) return { kind: 'removePartitioning' }
  if (stream.takePhrase('ADD', 'PARTITION')) {
    const ifNotExists = stream.takePhrase('IF', 'NOT', 'EXISTS')
    const count = stream.takeWord('PARTITIONS') ? Number(stream.integer()) : 0
    return { kind: 'addPartition', count, definitions: count > 0 ? [] : parseDefinitions(stream), ifNotExists }
  }
  if (stream.takePhrase('DROP', 'PARTITION')) {
    const ifExists = stream.takePhrase('IF', 'EXISTS')
    return { kind: 'dropPartition', names: names(stream), ifExists }
  }
  if (stream.takePhrase('TRUNCATE', 'PARTITION'))
    return { kind: 'truncatePartition', names: stream.takeWord('ALL') ? undefined : names(stream) }
  if (stream.takePhrase('COALESCE', 'PARTITION')) return { kind: 'coalescePartition', count: Number(stream.integer()) }
  if (stream.takePhrase('REORGANIZE', 'PARTITION')) {
    const old = names(stream)
    stream.expectWord('INTO')
    return { kind: 'reorganizePartition', names: old, definitions: parseDefinitions(stream) }
  }
  if (stream.takePhrase('EXCHANGE', 'PARTITION')) {
    const name = stream.name()
    stream.expectWord('WITH')
    stream.expectWord('TABLE')
    const table = stream.tableName()
    const validate = !stream.takePhrase('WITHOUT', 'VALIDATION')
    if (validate) stream.takePhrase('WITH', 'VALIDATION')
    return { kind: 'exchangePartition', name, table, validate }
  }
  return undefined
}

const names = (stream: TokenStream): string[] => stream.list(() => stream.name())
