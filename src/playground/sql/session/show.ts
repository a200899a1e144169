import { FieldFlag } from '../../../tidb/table-info.ts'
import type { ColumnInfo, TableInfo } from '../../../tidb/table-info.ts'
import type { Schema, Table } from '../catalog/schema.ts'
import { findDatabase, findTable } from '../catalog/schema.ts'
import { quoteName, showCreateTable, shownDefault } from '../catalog/show-create.ts'
import { isTextType, typeText } from '../catalog/type-text.ts'
import type { QueryResult } from '../dml/select.ts'
import { SqlError } from '../error.ts'
import { compile } from '../expression/compile.ts'
import type { EvalContext } from '../expression/context.ts'
import { likePattern } from '../expression/like.ts'
import type { ShowStatement, TableName, VariableScope } from '../parser/ast.ts'
import { allCollations } from '../value/collation.ts'
import { toBoolean, toText } from '../value/value.ts'
import type { Row, Value } from '../value/value.ts'
import { integerType, resultTable, textType } from './result-table.ts'
import type { Warning } from './session.ts'
import type { Variables } from './variables.ts'

export interface ShowScope {
  readonly context: EvalContext
  readonly database: string
  readonly warnings: readonly Warning[]
  readonly connectionId: number
  readonly user: string
  variables(scope: VariableScope): Variables
  schema(): Promise<Schema>
  nextAutoId(table: Table): Promise<bigint>
  currentTime(): Promise<number>
}

export async function runShow(statement: ShowStatement, scope: ShowScope): Promise<QueryResult> {
  const result = await showRows(statement, scope)
  return filterRows(result, statement, scope)
}

async function showRows(statement: ShowStatement, scope: ShowScope): Promise<QueryResult> {
  switch (statement.what) {
    case 'databases': {
      const names = [...(await scope.schema()).databases.values()].map(({ info }) => info.name.original)
      return resultTable(
        ['Database'],
        ['INFORMATION_SCHEMA', ...names].toSorted().map((name) => [name]),
      )
    }
    case 'tables':
    case 'fullTables':
    case 'tableStatus':
      return showTables(statement, scope)
    case 'createTable': {
      const table = await tableOf(statement, scope)
      const isAuto = table.info.columns.some(({ type }) => (type.flag & FieldFlag.AutoIncrement) !== 0)
      const next = isAuto ? await scope.nextAutoId(table) : 0n
      if (table.info.isView)
        return resultTable(
          ['View', 'Create View', 'character_set_client', 'collation_connection'],
          [[table.info.name.original, showCreateTable(table, 0n, scope.context.cast.zone), 'utf8mb4', 'utf8mb4_bin']],
        )
      return resultTable(
        ['Table', 'Create Table'],
        [[table.info.name.original, showCreateTable(table, next, scope.context.cast.zone)]],
      )
    }
    case 'createDatabase': {
      const { info } = findDatabase(await scope.schema(), statement.schema)
      const text = `CREATE DATABASE ${quoteName(info.name.original)} /*!40100 DEFAULT CHARACTER SET ${info.charset}${info.collate === `${info.charset}_bin` ? '' : ` COLLATE ${info.collate}`} */`
      return resultTable(['Database', 'Create Database'], [[info.name.original, text]])
    }
    case 'variables':
      return resultTable(['Variable_name', 'Value'], scope.variables(statement.scope).list())
    case 'columns':
    case 'fullColumns':
      return showColumns(await tableOf(statement, scope), statement.what === 'fullColumns', scope)
    case 'indexes':
      return showIndexes(await tableOf(statement, scope))
    case 'warnings':
    case 'errors': {
      const shown = scope.warnings.filter(({ level }) => statement.what === 'warnings' || level === 'Error')
      return resultTable(
        ['Level', 'Code', 'Message'],
        shown.map(({ level, errno, message }) => [level, BigInt(errno), message]),
      )
    }
    case 'engines':
      return resultTable(
        ['Engine', 'Support', 'Comment', 'Transactions', 'XA', 'Savepoints'],
        [['InnoDB', 'DEFAULT', 'Supports transactions, row-level locking, and foreign keys', 'YES', 'YES', 'YES']],
      )
    case 'charset':
      return resultTable(
        ['Charset', 'Description', 'Default collation', 'Maxlen'],
        allCollations()
          .filter(({ isDefault }) => isDefault)
          .map(({ charset, name }) => [
            charset,
            charset,
            name,
            charset === 'utf8mb4' ? 4n : charset === 'utf8' ? 3n : 1n,
          ]),
      )
    case 'collation':
      return resultTable(
        ['Collation', 'Charset', 'Id', 'Default', 'Compiled', 'Sortlen'],
        allCollations().map(({ name, charset, id, isDefault }) => [
          name,
          charset,
          BigInt(id),
          isDefault ? 'Yes' : '',
          'Yes',
          1n,
        ]),
      )
    case 'processlist':
      return resultTable(
        ['Id', 'User', 'Host', 'db', 'Command', 'Time', 'State', 'Info'],
        [[BigInt(scope.connectionId), 'root', '%', scope.database, 'Query', 0n, 'autocommit', null]],
      )
    case 'grants':
      return resultTable(['Grants for User'], [["GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION"]])
    case 'status':
      return resultTable(
        ['Variable_name', 'Value'],
        [
          ['Ssl_cipher', ''],
          ['Ssl_version', ''],
          ['Threads_connected', '1'],
          ['Uptime', '1'],
        ],
      )
    case 'masterStatus':
      return resultTable(
        ['File', 'Position', 'Binlog_Do_DB', 'Binlog_Ignore_DB', 'Executed_Gtid_Set'],
        [['tidb-binlog', BigInt(await scope.currentTime()) << 18n, '', '', '']],
      )
  }
}

async function tableOf(statement: ShowStatement, scope: ShowScope): Promise<Table> {
  return lookUp({ schema: statement.schema, name: statement.table }, scope)
}

async function lookUp(name: TableName, scope: ShowScope): Promise<Table> {
  const schema = name.schema || scope.database
  if (schema === '') throw new SqlError(1046, 'No database selected')
  return findTable(await scope.schema(), { schema, name: name.name })
}

/** LIKE and WHERE of SHOW look at the finished rows. */
function filterRows(result: QueryResult, statement: ShowStatement, scope: ShowScope): QueryResult {
  let { rows } = result
  if (statement.like !== undefined) {
    const pattern = likePattern(statement.like, '\\', true)
    rows = rows.filter(([name]) => name !== null && name !== undefined && pattern.test(toText(name)))
  }
  if (statement.where !== undefined) {
    const columns = result.columns.map(({ name, type }) => ({ schema: '', table: '', name, type: type ?? textType }))
    const condition = compile(statement.where, { scope: columns, context: scope.context })
    rows = rows.filter((row) => toBoolean(condition.evaluate(row)) === true)
  }
  return { ...result, rows }
}

async function showTables(statement: ShowStatement, scope: ShowScope): Promise<QueryResult> {
  const name = statement.schema || scope.database
  if (name === '') throw new SqlError(1046, 'No database selected')
  if (name.toLowerCase() === 'information_schema')
    return resultTable([`Tables_in_${name}`], [['COLUMNS'], ['SCHEMATA'], ['TABLES']])
  const database = findDatabase(await scope.schema(), name)
  const tables = [...database.tables.values()]
    .map(({ info }) => info)
    .toSorted((a, b) => (a.name.lower < b.name.lower ? -1 : 1))
  const header = `Tables_in_${database.info.name.original}`
  if (statement.what === 'tables')
    return resultTable(
      [header],
      tables.map((info) => [info.name.original]),
    )
  if (statement.what === 'fullTables')
    return resultTable(
      [header, 'Table_type'],
      tables.map((info) => [info.name.original, kindOf(info)]),
    )
  const names = ['Name', 'Engine', 'Version', 'Row_format', 'Rows', 'Collation', 'Comment']
  return resultTable(
    names,
    tables.map((info) => [info.name.original, 'InnoDB', 10n, 'Compact', 0n, info.collate, info.comment]),
  )
}

export const kindOf = (info: TableInfo): string => (info.isView ? 'VIEW' : info.isSequence ? 'SEQUENCE' : 'BASE TABLE')

/** `PRI`, `UNI`, `MUL` or nothing. */
export function keyText({ type }: ColumnInfo): string {
  if ((type.flag & FieldFlag.PriKey) !== 0) return 'PRI'
  return (type.flag & FieldFlag.UniqueKey) !== 0 ? 'UNI' : (type.flag & FieldFlag.MultipleKey) !== 0 ? 'MUL' : ''
}

export function extraText({ type, generatedExpr, generatedStored }: ColumnInfo): string {
  if ((type.flag & FieldFlag.AutoIncrement) !== 0) return 'auto_increment'
  if (generatedExpr !== '') return generatedStored ? 'STORED GENERATED' : 'VIRTUAL GENERATED'
  return (type.flag & FieldFlag.OnUpdateNow) !== 0
    ? `DEFAULT_GENERATED on update CURRENT_TIMESTAMP${type.decimal > 0 ? `(${type.decimal})` : ''}`
    : ''
}

function showColumns({ info }: Table, full: boolean, scope: ShowScope): QueryResult {
  const visible = info.columns.filter(({ hidden }) => !hidden)
  const rows = visible.map((column): Row => {
    const nullable = (column.type.flag & FieldFlag.NotNull) === 0 ? 'YES' : 'NO'
    const shown: Value = shownDefault(column, scope.context.cast.zone)
    if (!full) return [column.name.original, typeText(column.type), nullable, keyText(column), shown, extraText(column)]
    const collation = isTextType(column.type) ? column.type.collate : null
    return [
      column.name.original,
      typeText(column.type),
      collation,
      nullable,
      keyText(column),
      shown,
      extraText(column),
      'select,insert,update,references',
      column.comment,
    ]
  })
  return resultTable(
    full
      ? ['Field', 'Type', 'Collation', 'Null', 'Key', 'Default', 'Extra', 'Privileges', 'Comment']
      : ['Field', 'Type', 'Null', 'Key', 'Default', 'Extra'],
    rows,
  )
}

/** DESCRIBE table [column]. */
export async function describeTable(name: TableName, column: string, scope: ShowScope): Promise<QueryResult> {
  const result = showColumns(await lookUp(name, scope), false, scope)
  if (column === '') return result
  const pattern = likePattern(column, '\\', true)
  return {
    ...result,
    rows: result.rows.filter(([field]) => field !== null && field !== undefined && pattern.test(toText(field))),
  }
}

function showIndexes({ info }: Table): QueryResult {
  const names = [
    'Table',
    'Non_unique',
    'Key_name',
    'Seq_in_index',
    'Column_name',
    'Collation',
    'Cardinality',
    'Sub_part',
    'Packed',
    'Null',
    'Index_type',
    'Comment',
    'Index_comment',
    'Visible',
    'Expression',
    'Clustered',
    'Global',
  ]
  const line = (
    unique: boolean,
    key: string,
    seq: number,
    column: ColumnInfo | undefined,
    length: number,
    comment: string,
    visible: boolean,
    clustered: boolean,
  ): Row => [
    info.name.original,
    unique ? 0n : 1n,
    key,
    BigInt(seq),
    column?.name.original ?? '',
    'A',
    0n,
    length === -1 ? null : BigInt(length),
    null,
    column !== undefined && (column.type.flag & FieldFlag.NotNull) === 0 ? 'YES' : '',
    'BTREE',
    '',
    comment,
    visible ? 'YES' : 'NO',
    null,
    clustered ? 'YES' : 'NO',
    'NO',
  ]
  const handle = info.pkIsHandle ? info.columns.filter(({ type }) => (type.flag & FieldFlag.PriKey) !== 0) : []
  const rows = [
    ...handle.map((column) => line(true, 'PRIMARY', 1, column, -1, '', true, true)),
    ...info.indexes.flatMap((index) =>
      index.columns.map((part, i) =>
        line(
          index.unique,
          index.name.original,
          i + 1,
          info.columns[part.offset],
          part.length,
          index.comment,
          !index.invisible,
          index.primary && info.isCommonHandle,
        ),
      ),
    ),
  ]
  const result = resultTable(names, rows)
  return {
    ...result,
    columns: result.columns.map((column) =>
      ['Non_unique', 'Seq_in_index', 'Cardinality', 'Sub_part'].includes(column.name)
        ? { ...column, type: integerType }
        : column,
    ),
  }
}
