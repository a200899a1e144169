import type {
  AlterSpec,
  ColumnNode,
  ColumnPosition,
  CreateTableStatement,
  DdlStatement,
  Expression,
  ForeignKeyNode,
  IndexNode,
  IndexPart,
  SequenceStatement,
  Statement,
  TableOptions,
  TtlNode,
} from './ast.ts'
import { unsupported } from '../error.ts'
import { parseExpression } from './expression.ts'
import { parsePartitionBy, parsePartitionSpec } from './partition.ts'
import { parseSelect } from './select.ts'
import type { TokenStream } from './token-stream.ts'
import { parseType } from './type.ts'

export function parseCreate(stream: TokenStream): DdlStatement {
  stream.next()
  if (stream.takeWord('DATABASE', 'SCHEMA')) return parseCreateDatabase(stream)
  if (stream.isWord('TEMPORARY', 'GLOBAL')) throw unsupported('CREATE TEMPORARY TABLE')
  if (stream.takeWord('TABLE')) return parseCreateTable(stream)
  if (stream.takeWord('SEQUENCE')) return parseSequence(stream, 'createSequence')
  if (stream.isWord('OR', 'ALGORITHM', 'DEFINER', 'SQL', 'VIEW')) return parseCreateView(stream)
  const unique = stream.takeWord('UNIQUE')
  if (stream.takeWord('INDEX')) return parseCreateIndex(stream, unique)
  throw unsupported(`CREATE ${stream.current.upper}`)
}

function parseCreateDatabase(stream: TokenStream): DdlStatement {
  const ifNotExists = stream.takePhrase('IF', 'NOT', 'EXISTS')
  return { kind: 'createDatabase', name: stream.name(), ifNotExists, ...parseDatabaseOptions(stream) }
}

function parseAlterDatabase(stream: TokenStream): DdlStatement {
  const hasName = stream.isName() && !stream.isWord('DEFAULT', 'CHARSET', 'PLACEMENT')
  return { kind: 'alterDatabase', name: hasName ? stream.name() : '', ...parseDatabaseOptions(stream) }
}

function parseDatabaseOptions(stream: TokenStream): { readonly charset: string; readonly collate: string } {
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
  if (stream.isWord('PLACEMENT', 'SET')) throw unsupported(`${stream.current.upper} of a database`)
  return { charset, collate }
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
    return { ...base, like, columns: [], indexes: [], foreignKeys: [], options: noOptions, partition: undefined }
  }
  const columns: ColumnNode[] = []
  const indexes: IndexNode[] = []
  const foreignKeys: ForeignKeyNode[] = []
  stream.inParentheses(() =>
    stream.list(() => {
      const constraint = parseTableConstraint(stream)
      if (constraint === undefined) columns.push(parseColumn(stream))
      else if ('references' in constraint) foreignKeys.push(constraint)
      else indexes.push(constraint)
    }),
  )
  const options = parseTableOptions(stream)
  const partition = stream.takePhrase('PARTITION', 'BY') ? parsePartitionBy(stream) : undefined
  if (stream.isWord('AS', 'SELECT')) throw unsupported('CREATE TABLE ... SELECT')
  return { ...base, like: undefined, columns, indexes, foreignKeys, options, partition }
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
    case 'PACK_KEYS':
    case 'STATS_SAMPLE_PAGES':
      optionValue(stream)
      return {}
    case 'COMPRESSION':
      return { compression: optionValue(stream) }
    case 'AUTO_ID_CACHE':
      return { autoIdCache: BigInt(optionValue(stream)) }
    case 'SHARD_ROW_ID_BITS':
      return { shardRowIdBits: Number(optionValue(stream)) }
    case 'PRE_SPLIT_REGIONS':
      return { preSplitRegions: Number(optionValue(stream)) }
    case 'AUTO_RANDOM_BASE':
      return { autoRandomBase: BigInt(optionValue(stream)) }
    case 'TTL':
      return { ttl: parseTtl(stream) }
    case 'TTL_ENABLE':
      return { ttlEnable: /^on$/i.test(optionValue(stream)) }
    case 'TTL_JOB_INTERVAL':
      return { ttlJobInterval: optionValue(stream) }
    case 'PLACEMENT':
      stream.next()
      stream.expectWord('POLICY')
      stream.takeSymbol('=')
      return { placement: stream.nameOrString() }
    default:
      return undefined
  }
}

/** `TTL = column + INTERVAL 3 MONTH` */
function parseTtl(stream: TokenStream): TtlNode {
  stream.next()
  stream.takeSymbol('=')
  const column = stream.name()
  stream.expectSymbol('+')
  stream.expectWord('INTERVAL')
  const { kind, text } = stream.current
  if (kind !== 'integer' && kind !== 'string' && kind !== 'decimal') throw stream.error()
  stream.next()
  return { column, amount: kind === 'string' ? `'${text}'` : text, unit: stream.next().upper }
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
function parseTableConstraint(stream: TokenStream): IndexNode | ForeignKeyNode | undefined {
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
  if (stream.takePhrase('FOREIGN', 'KEY')) return parseForeignKey(stream, constraint)
  if (stream.isWord('FULLTEXT', 'SPATIAL', 'VECTOR') && stream.peek()?.kind === 'word')
    throw unsupported(`${stream.current.upper} KEY`)
  if (stream.isWord('CHECK')) throw unsupported('CHECK')
  return undefined
}

function parseForeignKey(stream: TokenStream, constraint: string): ForeignKeyNode {
  const ifNotExists = stream.takePhrase('IF', 'NOT', 'EXISTS')
  const own = ifNotExists || !stream.isSymbol('(') ? stream.name() : ''
  const columns = stream.inParentheses(() => stream.list(() => stream.name()))
  return { name: constraint || own, columns, ...parseReferences(stream) }
}

function parseReferences(stream: TokenStream): Omit<ForeignKeyNode, 'name' | 'columns'> {
  stream.expectWord('REFERENCES')
  const table = stream.tableName()
  const references = stream.inParentheses(() => stream.list(() => stream.name()))
  if (stream.takeWord('MATCH')) stream.next()
  const actions = { DELETE: '', UPDATE: '' }
  while (stream.takeWord('ON')) {
    const event = stream.expectWord('DELETE', 'UPDATE')
    const first = stream.expectWord('CASCADE', 'RESTRICT', 'SET', 'NO')
    const action = first === 'SET' || first === 'NO' ? `${first} ${stream.next().upper}` : first
    if (event === 'DELETE') actions.DELETE = action
    else actions.UPDATE = action
  }
  return { table, references, onDelete: actions.DELETE, onUpdate: actions.UPDATE }
}

function parseIndex(stream: TokenStream, kind: IndexNode['kind'], constraint: string): IndexNode {
  const name = !stream.isSymbol('(') && !stream.isWord('USING') ? stream.name() : constraint
  if (stream.takeWord('USING', 'TYPE')) stream.next()
  const parts = stream.inParentheses(() => stream.list(() => parseIndexPart(stream)))
  return { name, kind, parts, ...parseIndexOptions(stream) }
}

function parseIndexPart(stream: TokenStream): IndexPart {
  if (stream.isSymbol('(')) {
    const expression = stream.inParentheses(() => parseExpression(stream))
    stream.takeWord('ASC', 'DESC')
    return { column: '', expression, length: undefined }
  }
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
  generated: ColumnNode['generated']
  autoRandom: ColumnNode['autoRandom']
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
    generated: undefined,
    autoRandom: undefined,
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
  } else if (stream.takeWord('AUTO_RANDOM')) draft.autoRandom = parseAutoRandom(stream)
  else if (stream.isWord('GENERATED', 'AS')) draft.generated = parseGenerated(stream)
  else if (stream.isWord('CHECK', 'CONSTRAINT', 'REFERENCES')) throw unsupported(stream.current.upper)
  else return false
  return true
}

function parseAutoRandom(stream: TokenStream): ColumnNode['autoRandom'] {
  if (!stream.takeSymbol('(')) return { shardBits: 5, rangeBits: 64 }
  const shardBits = Number(stream.integer())
  const rangeBits = stream.takeSymbol(',') ? Number(stream.integer()) : 64
  stream.expectSymbol(')')
  return { shardBits, rangeBits }
}

function parseGenerated(stream: TokenStream): ColumnNode['generated'] {
  if (stream.takeWord('GENERATED')) stream.expectWord('ALWAYS')
  stream.expectWord('AS')
  const expression = stream.inParentheses(() => parseExpression(stream))
  const stored = stream.takeWord('STORED')
  if (!stored) stream.takeWord('VIRTUAL')
  return { expression, stored }
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
  if (stream.takeWord('VIEW')) {
    const ifExists = stream.takePhrase('IF', 'EXISTS')
    return { kind: 'dropView', views: stream.list(() => stream.tableName()), ifExists }
  }
  if (stream.takeWord('SEQUENCE')) {
    const ifExists = stream.takePhrase('IF', 'EXISTS')
    return { kind: 'dropSequence', sequences: stream.list(() => stream.tableName()), ifExists }
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
  if (stream.takeWord('DATABASE', 'SCHEMA')) return parseAlterDatabase(stream)
  if (stream.takeWord('SEQUENCE')) return parseSequence(stream, 'alterSequence')
  if (!stream.takeWord('TABLE')) throw unsupported(`ALTER ${stream.current.upper}`)
  const table = stream.tableName()
  const partition = parsePartitionSpec(stream)
  if (partition !== undefined) return { kind: 'alterTable', table, specs: [partition] }
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
  if (stream.takePhrase('CONVERT', 'TO')) {
    if (!takeCharset(stream)) throw stream.error()
    const charset = stream.nameOrString().toLowerCase()
    const collate = stream.takeWord('COLLATE') ? stream.nameOrString().toLowerCase() : ''
    return { kind: 'charset', charset, collate, convert: true }
  }
  if (stream.takePhrase('REMOVE', 'TTL')) return { kind: 'removeTtl' }
  return parseOptionSpec(stream)
}

/** Table options after ALTER TABLE; undefined for those that mean nothing here. */
function parseOptionSpec(stream: TokenStream): AlterSpec | undefined {
  const word = stream.current.upper
  const first = parseTableOption(stream)
  if (first === undefined) throw unsupported(`ALTER TABLE ... ${word}`)
  let options = first
  for (;;) {
    const next = stream.isSymbol(',') || stream.isEnd() ? undefined : parseTableOption(stream)
    if (next === undefined) break
    options = { ...options, ...next }
  }
  const { charset = '', collate = '' } = options
  if (charset !== '' || collate !== '') return { kind: 'charset', charset, collate, convert: false }
  return Object.keys(options).length === 0 ? undefined : { kind: 'options', options }
}

function parseAdd(stream: TokenStream): AlterSpec | AlterSpec[] {
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
    const constraint = parseTableConstraint(stream)
    if (constraint === undefined) throw stream.error()
    return 'references' in constraint
      ? { kind: 'addForeignKey', key: constraint }
      : { kind: 'addIndex', index: constraint, ifNotExists: false }
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
  if (stream.takePhrase('FOREIGN', 'KEY')) {
    const ifExists = stream.takePhrase('IF', 'EXISTS')
    return { kind: 'dropForeignKey', name: stream.name(), ifExists }
  }
  if (stream.isWord('CHECK', 'CONSTRAINT')) throw unsupported(`DROP ${stream.current.upper}`)
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
  if (stream.takeWord('INDEX')) {
    const name = stream.name()
    return { kind: 'indexVisibility', name, invisible: stream.expectWord('VISIBLE', 'INVISIBLE') === 'INVISIBLE' }
  }
  stream.takeWord('COLUMN')
  const column = stream.name()
  if (stream.takePhrase('DROP', 'DEFAULT')) return { kind: 'setDefault', column, value: undefined }
  stream.expectWord('SET')
  stream.expectWord('DEFAULT')
  return { kind: 'setDefault', column, value: parseExpression(stream) }
}

function parseCreateView(stream: TokenStream): DdlStatement {
  const orReplace = stream.takePhrase('OR', 'REPLACE')
  if (stream.takeWord('ALGORITHM')) {
    stream.takeSymbol('=')
    stream.next()
  }
  if (stream.takeWord('DEFINER')) while (!stream.isEnd() && !stream.isWord('SQL', 'VIEW')) stream.next()
  const security = stream.takePhrase('SQL', 'SECURITY') && stream.expectWord('DEFINER', 'INVOKER') === 'INVOKER'
  stream.expectWord('VIEW')
  const view = stream.tableName()
  const columns = stream.isSymbol('(') ? stream.inParentheses(() => stream.list(() => stream.name())) : []
  stream.expectWord('AS')
  const select = parseSelect(stream)
  if (stream.takeWord('WITH')) while (!stream.isEnd() && !stream.isSymbol(';')) stream.next()
  return { kind: 'createView', view, orReplace, columns, select, security: security ? 'invoker' : 'definer' }
}

function parseSequence(stream: TokenStream, kind: SequenceStatement['kind']): SequenceStatement {
  const lenient =
    kind === 'createSequence' ? stream.takePhrase('IF', 'NOT', 'EXISTS') : stream.takePhrase('IF', 'EXISTS')
  let statement: SequenceStatement = { kind, sequence: stream.tableName(), lenient }
  const number = (): bigint => {
    stream.takeWord('WITH', 'BY')
    stream.takeSymbol('=')
    const sign = stream.takeSymbol('-') ? -1n : 1n
    return sign * stream.integer()
  }
  for (;;) {
    if (stream.takeWord('START')) statement = { ...statement, start: number() }
    else if (stream.takeWord('INCREMENT')) statement = { ...statement, increment: number() }
    else if (stream.takeWord('MINVALUE')) statement = { ...statement, least: number() }
    else if (stream.takeWord('MAXVALUE')) statement = { ...statement, most: number() }
    else if (stream.takeWord('NOMINVALUE') || stream.takePhrase('NO', 'MINVALUE'))
      statement = { ...statement, least: undefined }
    else if (stream.takeWord('NOMAXVALUE') || stream.takePhrase('NO', 'MAXVALUE'))
      statement = { ...statement, most: undefined }
    else if (stream.takeWord('CACHE')) statement = { ...statement, cache: number() }
    else if (stream.takeWord('NOCACHE') || stream.takePhrase('NO', 'CACHE')) statement = { ...statement, cache: 0n }
    else if (stream.takeWord('CYCLE')) statement = { ...statement, cycle: true }
    else if (stream.takeWord('NOCYCLE') || stream.takePhrase('NO', 'CYCLE')) statement = { ...statement, cycle: false }
    else return statement
  }
}

/** RECOVER TABLE t, FLASHBACK TABLE t [TO name] */
export function parseRecover(stream: TokenStream): DdlStatement {
  stream.next()
  if (!stream.takeWord('TABLE') || stream.isWord('BY'))
    throw unsupported('RECOVER or FLASHBACK of other than one table')
  const table = stream.tableName()
  return { kind: 'recoverTable', table, newName: stream.takeWord('TO') ? stream.name() : '' }
}
