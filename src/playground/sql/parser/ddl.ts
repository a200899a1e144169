import type {
  AlterSpec,
  ColumnNode,
  ColumnPosition,
  CreateTableStatement,
  DdlStatement,
  Expression,
  IndexNode,
  IndexPart,
  Statement,
  TableOptions,
} from './ast.ts'
import { unsupported } from '../error.ts'
import { parseExpression } from './expression.ts'
import type { TokenStream } from './token-stream.ts'
import { parseType } from './type.ts'

export function parseCreate(stream: TokenStream): DdlStatement {
  stream.next()
  if (stream.takeWord('DATABASE', 'SCHEMA')) return parseCreateDatabase(stream)
  if (stream.isWord('TEMPORARY', 'GLOBAL')) throw unsupported('CREATE TEMPORARY TABLE')
  if (stream.takeWord('TABLE')) return parseCreateTable(stream)
  const unique = stream.takeWord('UNIQUE')
  if (stream.takeWord('INDEX')) return parseCreateIndex(stream, unique)
  throw unsupported(`CREATE ${stream.current.upper}`)
}

function parseCreateDatabase(stream: TokenStream): DdlStatement {
  const ifNotExists = stream.takePhrase('IF', 'NOT', 'EXISTS')
  const name = stream.name()
  let charset = ''
  let collate = ''
  for (;;) {
    stream.takeWord('DEFAULT')
    if (takeCharset(stream)) charset = stream.nameOrString().toLowerCase()
    else if (stream.takeWord('COLLATE')) {
      stream.takeSymbol('=')
      collate = stream.nameOrString().toLowerCase()
    } else break
  }
  return { kind: 'createDatabase', name, ifNotExists, charset, collate }
}

function takeCharset(stream: TokenStream): boolean {
  const found = stream.takePhrase('CHARACTER', 'SET') || stream.takePhrase('CHAR', 'SET') || stream.takeWord('CHARSET')
  if (found) stream.takeSymbol('=')
  return found
}

function parseCreateTable(stream: TokenStream): CreateTableStatement {
  const ifNotExists = stream.takePhrase('IF', 'NOT', 'EXISTS')
  const table = stream.tableName()
  const base = { kind: 'createTable', table, ifNotExists } as const
  const parenthesis = stream.isSymbol('(') && stream.peek()?.upper === 'LIKE' && stream.takeSymbol('(')
  if (stream.takeWord('LIKE')) {
    const like = stream.tableName()
    if (parenthesis) stream.expectSymbol(')')
    return { ...base, like, columns: [], indexes: [], options: noOptions }
  }
  const columns: ColumnNode[] = []
  const indexes: IndexNode[] = []
  stream.inParentheses(() =>
    stream.list(() => {
      const index = parseTableConstraint(stream)
      if (index === undefined) columns.push(parseColumn(stream))
      else if (index !== 'ignored') indexes.push(index)
    }),
  )
  const options = parseTableOptions(stream)
  if (stream.isWord('PARTITION')) throw unsupported('PARTITION BY')
  if (stream.isWord('AS', 'SELECT')) throw unsupported('CREATE TABLE ... SELECT')
  return { ...base, like: undefined, columns, indexes, options }
}

const noOptions: TableOptions = { charset: '', collate: '', comment: '', autoIncrement: undefined }

function parseTableOptions(stream: TokenStream): TableOptions {
  let options = noOptions
  for (;;) {
    stream.takeSymbol(',')
    const option = parseTableOption(stream)
    if (option === undefined) return options
    options = { ...options, ...option }
  }
}

/** Options that change nothing here are read and dropped; those that would change data are refused. */
function parseTableOption(stream: TokenStream): Partial<TableOptions> | undefined {
  stream.takeWord('DEFAULT')
  if (takeCharset(stream)) return { charset: stream.nameOrString().toLowerCase() }
  const word = stream.isWord() ? '' : stream.current.upper
  if (stream.current.kind !== 'word') return undefined
  switch (word) {
    case 'COLLATE':
      return { collate: optionValue(stream).toLowerCase() }
    case 'COMMENT':
      return { comment: optionValue(stream) }
    case 'AUTO_INCREMENT':
      return { autoIncrement: BigInt(optionValue(stream)) }
    case 'ENGINE':
    case 'ROW_FORMAT':
    case 'KEY_BLOCK_SIZE':
    case 'STATS_PERSISTENT':
    case 'STATS_AUTO_RECALC':
    case 'AVG_ROW_LENGTH':
    case 'MIN_ROWS':
    case 'MAX_ROWS':
    case 'CHECKSUM':
    case 'DELAY_KEY_WRITE':
    case 'COMPRESSION':
    case 'AUTO_ID_CACHE':
    case 'PACK_KEYS':
      optionValue(stream)
      return {}
    case 'SHARD_ROW_ID_BITS':
    case 'PRE_SPLIT_REGIONS':
    case 'TTL':
    case 'PLACEMENT':
    case 'AUTO_RANDOM_BASE':
      throw unsupported(word)
    default:
      return undefined
  }
}

function optionValue(stream: TokenStream): string {
  stream.next()
  stream.takeSymbol('=')
  const { kind } = stream.current
  if (kind === 'string') return stream.string()
  if (kind !== 'word' && kind !== 'integer' && kind !== 'name') throw stream.error()
  return stream.next().text
}

/** A key definition inside CREATE TABLE or after ADD; undefined where a column stands. */
function parseTableConstraint(stream: TokenStream): IndexNode | 'ignored' | undefined {
  let constraint = ''
  if (stream.takeWord('CONSTRAINT') && !stream.isWord('PRIMARY', 'UNIQUE', 'FOREIGN', 'CHECK'))
    constraint = stream.name()
  if (stream.takePhrase('PRIMARY', 'KEY')) return parseIndex(stream, 'primary', '')
  if (stream.takeWord('UNIQUE')) {
    stream.takeWord('KEY', 'INDEX')
    return parseIndex(stream, 'unique', constraint)
  }
  if (stream.isWord('INDEX', 'KEY')) {
    stream.next()
    return parseIndex(stream, 'plain', '')
  }
  if (stream.isWord('FULLTEXT', 'SPATIAL', 'FOREIGN', 'VECTOR') && stream.peek()?.kind === 'word')
    throw unsupported(`${stream.current.upper} KEY`)
  if (stream.isWord('CHECK')) throw unsupported('CHECK')
  return undefined
}

function parseIndex(stream: TokenStream, kind: IndexNode['kind'], constraint: string): IndexNode {
  const name = !stream.isSymbol('(') && !stream.isWord('USING') ? stream.name() : constraint
  if (stream.takeWord('USING', 'TYPE')) stream.next()
  const parts = stream.inParentheses(() => stream.list(() => parseIndexPart(stream)))
  return { name, kind, parts, ...parseIndexOptions(stream) }
}

function parseIndexPart(stream: TokenStream): IndexPart {
  if (stream.isSymbol('(')) throw unsupported('expression index')
  const column = stream.name()
  const length = stream.takeSymbol('(') ? Number(stream.integer()) : undefined
  if (length !== undefined) stream.expectSymbol(')')
  stream.takeWord('ASC', 'DESC')
  return { column, length }
}

function parseIndexOptions(stream: TokenStream): Pick<IndexNode, 'clustered' | 'comment' | 'invisible'> {
  let clustered: boolean | undefined
  let comment = ''
  let invisible = false
  for (;;) {
    if (stream.isWord('CLUSTERED', 'NONCLUSTERED')) clustered = stream.next().upper === 'CLUSTERED'
    else if (stream.takeWord('COMMENT')) comment = stream.string()
    else if (stream.isWord('VISIBLE', 'INVISIBLE')) invisible = stream.next().upper === 'INVISIBLE'
    else if (stream.takeWord('USING', 'TYPE')) stream.next()
    else if (stream.takeWord('KEY_BLOCK_SIZE')) {
      stream.takeSymbol('=')
      stream.integer()
    } else if (stream.isWord('GLOBAL')) throw unsupported('GLOBAL INDEX')
    else return { clustered, comment, invisible }
  }
}

interface ColumnDraft {
  nullable: boolean | undefined
  defaultValue: Expression | undefined
  onUpdateNow: Expression | undefined
  autoIncrement: boolean
  primary: boolean
  unique: boolean
  clustered: boolean | undefined
  comment: string
  collate: string
}

export function parseColumn(stream: TokenStream): ColumnNode {
  const name = stream.name()
  if (stream.isWord('SERIAL')) throw unsupported('SERIAL')
  const type = parseType(stream)
  const draft: ColumnDraft = {
    nullable: undefined,
    defaultValue: undefined,
    onUpdateNow: undefined,
    autoIncrement: false,
    primary: false,
    unique: false,
    clustered: undefined,
    comment: '',
    collate: '',
  }
  while (parseColumnOption(stream, draft));
  const { collate, ...rest } = draft
  return { name, type: collate === '' ? type : { ...type, collate }, ...rest }
}

function parseColumnOption(stream: TokenStream, draft: ColumnDraft): boolean {
  if (stream.takePhrase('NOT', 'NULL')) draft.nullable = false
  else if (stream.takeWord('NULL')) draft.nullable = true
  else if (stream.takeWord('DEFAULT')) draft.defaultValue = parseExpression(stream)
  else if (stream.takePhrase('ON', 'UPDATE')) draft.onUpdateNow = parseExpression(stream)
  else if (stream.takeWord('AUTO_INCREMENT')) draft.autoIncrement = true
  else if (stream.takeWord('COMMENT')) draft.comment = stream.string()
  else if (stream.takeWord('COLLATE')) draft.collate = stream.nameOrString().toLowerCase()
  else if (stream.takePhrase('PRIMARY', 'KEY') || stream.takeWord('KEY')) {
    draft.primary = true
    if (stream.isWord('CLUSTERED', 'NONCLUSTERED')) draft.clustered = stream.next().upper === 'CLUSTERED'
  } else if (stream.takeWord('UNIQUE')) {
    stream.takeWord('KEY')
    draft.unique = true
  } else if (stream.isWord('COLUMN_FORMAT', 'STORAGE')) {
    stream.next()
    stream.next()
  } else if (stream.isWord('AUTO_RANDOM', 'GENERATED', 'AS', 'CHECK', 'REFERENCES', 'VIRTUAL', 'STORED', 'CONSTRAINT'))
    throw unsupported(stream.current.upper)
  else return false
  return true
}

function parseCreateIndex(stream: TokenStream, unique: boolean): DdlStatement {
  const ifNotExists = stream.takePhrase('IF', 'NOT', 'EXISTS')
  const name = stream.name()
  if (stream.takeWord('USING', 'TYPE')) stream.next()
  stream.expectWord('ON')
  const table = stream.tableName()
  const parts = stream.inParentheses(() => stream.list(() => parseIndexPart(stream)))
  const index: IndexNode = { name, kind: unique ? 'unique' : 'plain', parts, ...parseIndexOptions(stream) }
  skipAlgorithm(stream)
  return { kind: 'alterTable', table, specs: [{ kind: 'addIndex', index, ifNotExists }] }
}

function skipAlgorithm(stream: TokenStream): void {
  while (stream.takeWord('ALGORITHM', 'LOCK')) {
    stream.takeSymbol('=')
    stream.next()
  }
}

export function parseDrop(stream: TokenStream): Statement {
  stream.next()
  if (stream.takeWord('DATABASE', 'SCHEMA')) {
    const ifExists = stream.takePhrase('IF', 'EXISTS')
    return { kind: 'dropDatabase', name: stream.name(), ifExists }
  }
  if (stream.takeWord('TABLE', 'TABLES')) {
    const ifExists = stream.takePhrase('IF', 'EXISTS')
    const tables = stream.list(() => stream.tableName())
    stream.takeWord('RESTRICT', 'CASCADE')
    return { kind: 'dropTable', tables, ifExists }
  }
  if (stream.takeWord('INDEX')) {
    const ifExists = stream.takePhrase('IF', 'EXISTS')
    const name = stream.nameOrString()
    stream.expectWord('ON')
    const table = stream.tableName()
    skipAlgorithm(stream)
    return { kind: 'alterTable', table, specs: [{ kind: 'dropIndex', name, ifExists }] }
  }
  if (stream.takeWord('PREPARE')) return { kind: 'deallocate', name: stream.name() }
  throw unsupported(`DROP ${stream.current.upper}`)
}

export function parseTruncate(stream: TokenStream): DdlStatement {
  stream.next()
  stream.takeWord('TABLE')
  return { kind: 'truncateTable', table: stream.tableName() }
}

export function parseRename(stream: TokenStream): DdlStatement {
  stream.next()
  if (!stream.takeWord('TABLE', 'TABLES')) throw unsupported(`RENAME ${stream.current.upper}`)
  const pairs = stream.list(() => {
    const from = stream.tableName()
    stream.expectWord('TO')
    return { from, to: stream.tableName() }
  })
  return { kind: 'renameTable', pairs }
}

export function parseAlter(stream: TokenStream): DdlStatement {
  stream.next()
  stream.takeWord('IGNORE')
  if (!stream.takeWord('TABLE')) throw unsupported(`ALTER ${stream.current.upper}`)
  const table = stream.tableName()
  const specs = stream.list(() => parseAlterSpec(stream)).flat()
  return { kind: 'alterTable', table, specs: specs.filter((spec) => spec !== undefined) }
}

function parseAlterSpec(stream: TokenStream): AlterSpec | AlterSpec[] | undefined {
  if (stream.takeWord('ADD')) return parseAdd(stream)
  if (stream.takeWord('DROP')) return parseAlterDrop(stream)
  if (stream.takeWord('MODIFY')) {
    stream.takeWord('COLUMN')
    const column = parseColumn(stream)
    return { kind: 'modifyColumn', oldName: column.name, column, position: parsePosition(stream) }
  }
  if (stream.takeWord('CHANGE')) {
    stream.takeWord('COLUMN')
    const oldName = stream.name()
    const column = parseColumn(stream)
    return { kind: 'modifyColumn', oldName, column, position: parsePosition(stream) }
  }
  if (stream.takeWord('RENAME')) return parseAlterRename(stream)
  if (stream.takeWord('ALTER')) return parseAlterColumn(stream)
  if (stream.takeWord('COMMENT')) {
    stream.takeSymbol('=')
    return { kind: 'comment', comment: stream.string() }
  }
  if (stream.takeWord('AUTO_INCREMENT')) {
    stream.takeSymbol('=')
    return { kind: 'autoIncrement', value: stream.integer() }
  }
  if (stream.isWord('ALGORITHM', 'LOCK')) {
    skipAlgorithm(stream)
    return undefined
  }
  throw unsupported(`ALTER TABLE ... ${stream.current.upper}`)
}

function parseAdd(stream: TokenStream): AlterSpec | AlterSpec[] {
  if (stream.isWord('PARTITION')) throw unsupported('ADD PARTITION')
  const isKey = stream.isWord(
    'INDEX',
    'KEY',
    'UNIQUE',
    'PRIMARY',
    'CONSTRAINT',
    'FOREIGN',
    'CHECK',
    'FULLTEXT',
    'SPATIAL',
    'VECTOR',
  )
  if (isKey) {
    const index = parseTableConstraint(stream)
    if (index === undefined || index === 'ignored') throw stream.error()
    return { kind: 'addIndex', index, ifNotExists: false }
  }
  stream.takeWord('COLUMN')
  const ifNotExists = stream.takePhrase('IF', 'NOT', 'EXISTS')
  if (stream.takeSymbol('(')) {
    const columns = stream.list(() => parseColumn(stream))
    stream.expectSymbol(')')
    return columns.map((column): AlterSpec => ({ kind: 'addColumn', column, position: { kind: 'last' }, ifNotExists }))
  }
  const column = parseColumn(stream)
  return { kind: 'addColumn', column, position: parsePosition(stream) ?? { kind: 'last' }, ifNotExists }
}

function parsePosition(stream: TokenStream): ColumnPosition | undefined {
  if (stream.takeWord('FIRST')) return { kind: 'first' }
  return stream.takeWord('AFTER') ? { kind: 'after', column: stream.name() } : undefined
}

function parseAlterDrop(stream: TokenStream): AlterSpec {
  if (stream.takePhrase('PRIMARY', 'KEY')) return { kind: 'dropIndex', name: 'PRIMARY', ifExists: false }
  if (stream.isWord('PARTITION', 'FOREIGN', 'CHECK', 'CONSTRAINT')) throw unsupported(`DROP ${stream.current.upper}`)
  if (stream.takeWord('INDEX', 'KEY')) {
    const ifExists = stream.takePhrase('IF', 'EXISTS')
    return { kind: 'dropIndex', name: stream.nameOrString(), ifExists }
  }
  stream.takeWord('COLUMN')
  const ifExists = stream.takePhrase('IF', 'EXISTS')
  const column = stream.name()
  stream.takeWord('RESTRICT', 'CASCADE')
  return { kind: 'dropColumn', column, ifExists }
}

function parseAlterRename(stream: TokenStream): AlterSpec {
  if (stream.takeWord('COLUMN')) {
    const oldName = stream.name()
    stream.expectWord('TO')
    return { kind: 'renameColumn', oldName, newName: stream.name() }
  }
  if (stream.takeWord('INDEX', 'KEY')) {
    const oldName = stream.name()
    stream.expectWord('TO')
    return { kind: 'renameIndex', oldName, newName: stream.name() }
  }
  stream.takeWord('TO', 'AS')
  stream.takeSymbol('=')
  return { kind: 'renameTable', to: stream.tableName() }
}

function parseAlterColumn(stream: TokenStream): AlterSpec {
  if (stream.isWord('INDEX')) throw unsupported('ALTER INDEX')
  stream.takeWord('COLUMN')
  const column = stream.name()
  if (stream.takePhrase('DROP', 'DEFAULT')) return { kind: 'setDefault', column, value: undefined }
  stream.expectWord('SET')
  stream.expectWord('DEFAULT')
  return { kind: 'setDefault', column, value: parseExpression(stream) }
}
