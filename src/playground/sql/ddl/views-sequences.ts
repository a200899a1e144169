import { integerOf, numberOf, objectOf, stringifyJson } from '../../../tidb/json-big.ts'
import type { JsonObject } from '../../../tidb/json-big.ts'
import { sequenceKey, tableKey } from '../../../tidb/meta-key.ts'
import { ciName, tableInfoJson } from '../../../tidb/table-info-json.ts'
import type { DatabaseInfo } from '../../../tidb/table-info-json.ts'
import { MysqlType, STATE_PUBLIC } from '../../../tidb/table-info.ts'
import type { ColumnInfo, TableInfo } from '../../../tidb/table-info.ts'
import { findDatabase } from '../catalog/schema.ts'
import type { Schema, Table } from '../catalog/schema.ts'
import { SqlError } from '../error.ts'
import type { CreateViewStatement, DdlStatement, SelectStatement, SequenceStatement, TableName } from '../parser/ast.ts'
import { qualifySelect, restoreSelect } from '../parser/restore.ts'
import { Action } from './job.ts'
import { SYSTEM_DATABASES } from './job-runner.ts'
import type { JobRunner } from './job-runner.ts'

/** A table info without rows: what views and sequences are in metadata. */
const bareInfo = (id: bigint, name: string, columns: readonly ColumnInfo[]): TableInfo => ({
  id,
  name: ciName(name),
  charset: 'utf8mb4',
  collate: 'utf8mb4_bin',
  columns,
  indexes: [],
  state: STATE_PUBLIC,
  pkIsHandle: false,
  isCommonHandle: false,
  commonHandleVersion: 0,
  comment: '',
  updateTs: 0n,
  maxColumnId: columns.length,
  partitions: undefined,
  isView: false,
  isSequence: false,
  tempTableType: 0,
})

const viewColumn = (name: string, offset: number): ColumnInfo => ({
  id: offset + 1,
  name: ciName(name),
  offset,
  originDefault: null,
  originDefaultBit: null,
  defaultValue: null,
  defaultBit: null,
  defaultIsExpr: false,
  generatedExpr: '',
  generatedStored: false,
  type: {
    tp: MysqlType.Unspecified,
    flag: 0,
    flen: 0,
    decimal: 0,
    charset: '',
    collate: '',
    elems: [],
    array: false,
  },
  state: STATE_PUBLIC,
  comment: '',
  hidden: false,
  version: 2,
})

/** Where a new object goes, and what stands there. */
function placeOf(
  jobs: JobRunner,
  schema: Schema,
  wanted: TableName,
): { database: DatabaseInfo; existing: Table | undefined } {
  const name = jobs.qualified(wanted)
  const database = findDatabase(schema, name.schema)
  if (SYSTEM_DATABASES.has(database.info.name.lower))
    throw new SqlError(1142, `CREATE command denied to user 'root'@'%' for table '${name.name}'`)
  return { database: database.info, existing: database.tables.get(name.name.toLowerCase()) }
}

export async function createView(jobs: JobRunner, statement: CreateViewStatement): Promise<void> {
  const schema = await jobs.schema()
  const { database, existing } = placeOf(jobs, schema, statement.view)
  if (existing !== undefined && (!statement.orReplace || !existing.info.isView))
    throw existing.info.isView || !statement.orReplace
      ? new SqlError(1050, `Table '${database.name.original}.${existing.info.name.original}' already exists`)
      : new SqlError(1347, `'${database.name.original}.${existing.info.name.original}' is not VIEW`)
  const select = qualifySelect(statement.select, jobs.scope.database || database.name.original)
  const names = statement.columns.length > 0 ? statement.columns : columnNamesOf(jobs, schema, select)
  const columns = names.map(viewColumn)
  const view: JsonObject = {
    view_algorithm: 0,
    view_definer: {
      Username: 'root',
      Hostname: '%',
      CurrentUser: false,
      AuthUsername: 'root',
      AuthHostname: '%',
      AuthPlugin: '',
    },
    view_security: statement.security === 'definer' ? 0 : 1,
    view_select: restoreSelect(select),
    view_checkoption: 1,
    view_cols: null,
  }
  await jobs.run(schema, 1, ([id = 0n], txn) => {
    const info = { ...bareInfo(id, statement.view.name, columns), updateTs: txn.startTs }
    return jobs.tableChange(
      Action.CreateView,
      database,
      info,
      { view },
      { rawArgs: { on_exist: existing === undefined ? 0 : 2, old_view_tbl_id: existing?.info.id ?? 0n } },
      (inner) => {
        if (existing !== undefined) inner.delete(tableKey(database.id, existing.info.id))
      },
    )
  })
}

/** Names of a SELECT's columns; stars stand for the columns of its tables. */
function columnNamesOf(jobs: JobRunner, schema: Schema, select: SelectStatement): string[] {
  return select.items.flatMap((item) => {
    if (item.kind === 'expression')
      return [item.alias || (item.expression.kind === 'column' ? item.expression.name : item.text)]
    return sourceColumns(jobs, schema, select.from, item.table)
  })
}

function sourceColumns(jobs: JobRunner, schema: Schema, from: SelectStatement['from'], only: string): string[] {
  if (from === undefined) throw new SqlError(1096, 'No tables used')
  if (from.kind === 'join')
    return [...sourceColumns(jobs, schema, from.left, only), ...sourceColumns(jobs, schema, from.right, only)]
  if (from.kind === 'query') return only === '' || only === from.alias ? columnNamesOf(jobs, schema, from.query) : []
  if (only !== '' && only.toLowerCase() !== (from.alias || from.table.name).toLowerCase()) return []
  const { info } = jobs.table(schema, from.table, 'any')
  return info.columns.filter(({ hidden }) => !hidden).map(({ name }) => name.original)
}

export const dropViews = (
  jobs: JobRunner,
  { views, ifExists }: Extract<DdlStatement, { kind: 'dropView' }>,
): Promise<void> => dropObjects(jobs, views, ifExists, 'view')

export const dropSequences = (
  jobs: JobRunner,
  { sequences, ifExists }: Extract<DdlStatement, { kind: 'dropSequence' }>,
): Promise<void> => dropObjects(jobs, sequences, ifExists, 'sequence')

async function dropObjects(
  jobs: JobRunner,
  names: readonly TableName[],
  ifExists: boolean,
  kind: 'view' | 'sequence',
): Promise<void> {
  for (const wanted of names) {
    const schema = await jobs.schema()
    const name = jobs.qualified(wanted)
    if (schema.databases.get(name.schema.toLowerCase())?.tables.has(name.name.toLowerCase()) !== true) {
      const errno = kind === 'view' ? 1051 : 4139
      const message = `Unknown ${kind === 'view' ? 'table' : 'SEQUENCE'}: '${name.schema}.${name.name}'`
      if (!ifExists) throw new SqlError(errno, message)
      jobs.scope.warn(errno, message)
      continue
    }
    const table = jobs.table(schema, name, kind)
    await jobs.run(schema, 0, (_ids, txn) => ({
      draft: {
        type: kind === 'view' ? Action.DropView : Action.DropSequence,
        schemaId: table.database.id,
        tableId: table.info.id,
        schemaName: table.database.name.original,
        tableName: table.info.name.original,
        table: tableInfoJson({ ...table.info, state: 0, updateTs: txn.startTs }, table.stored),
      },
      apply: (inner) => {
        inner.delete(tableKey(table.database.id, table.info.id))
        inner.delete(sequenceKey(table.database.id, table.info.id))
      },
    }))
  }
}

const MOST = (1n << 63n) - 2n

/** Sequences are metadata here: nothing gives out their values. */
function sequenceJson(statement: SequenceStatement, before: JsonObject): JsonObject {
  const kept = (key: string, otherwise: bigint): bigint =>
    before[key] === undefined ? otherwise : integerOf(before[key])
  const increment = statement.increment ?? kept('sequence_increment', 1n)
  if (increment === 0n) throw new SqlError(4136, 'Sequence values are conflicting')
  const rising = increment > 0n
  const least = statement.least ?? kept('sequence_min_value', rising ? 1n : -MOST - 1n)
  const most = statement.most ?? kept('sequence_max_value', rising ? MOST : -1n)
  const start = statement.start ?? kept('sequence_start', rising ? least : most)
  if (least >= most || start < least || start > most)
    throw new SqlError(4136, `Sequence '${statement.sequence.name}' values are conflicting`)
  const cache = statement.cache ?? BigInt(numberOf(before['sequence_cache_value'] ?? 1000))
  return {
    sequence_start: start,
    sequence_cache: cache > 0n,
    sequence_cycle: statement.cycle ?? before['sequence_cycle'] === true,
    sequence_min_value: least,
    sequence_max_value: most,
    sequence_increment: increment,
    sequence_cache_value: cache,
    sequence_comment: '',
  }
}

export async function createSequence(jobs: JobRunner, statement: SequenceStatement): Promise<void> {
  const schema = await jobs.schema()
  const { database, existing } = placeOf(jobs, schema, statement.sequence)
  if (existing !== undefined) {
    const message = `Table '${database.name.original}.${existing.info.name.original}' already exists`
    if (!statement.lenient) throw new SqlError(1050, message)
    return jobs.scope.warn(1050, message)
  }
  const sequence = sequenceJson(statement, {})
  await jobs.run(schema, 1, ([id = 0n], txn) => {
    const info = { ...bareInfo(id, statement.sequence.name, []), updateTs: txn.startTs }
    return jobs.tableChange(Action.CreateSequence, database, info, { sequence }, undefined, (inner) =>
      inner.put(sequenceKey(database.id, id), Buffer.from(stringifyJson(integerOf(sequence['sequence_start']) - 1n))),
    )
  })
}

export async function alterSequence(jobs: JobRunner, statement: SequenceStatement): Promise<void> {
  const schema = await jobs.schema()
  const table = jobs.table(schema, statement.sequence, 'sequence')
  const sequence = sequenceJson(statement, objectOf(table.stored['sequence']))
  await jobs.run(schema, 0, (_ids, txn) =>
    jobs.tableChange(
      Action.AlterSequence,
      table.database,
      { ...table.info, updateTs: txn.startTs },
      { ...table.stored, sequence },
    ),
  )
}
