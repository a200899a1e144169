import { JobState } from '../../../tidb/ddl-job.ts'
import { tablePrefix } from '../../../tidb/key.ts'
import type { JsonObject, JsonValue } from '../../../tidb/json-big.ts'
import { listOf, objectOf, stringifyJson } from '../../../tidb/json-big.ts'
import { autoRandomKey, databaseKey, rowIdCounterKey, tableKey } from '../../../tidb/meta-key.ts'
import { ciName, databaseInfoJson, stringifyDatabaseInfo, tableInfoJson } from '../../../tidb/table-info-json.ts'
import type { DatabaseInfo } from '../../../tidb/table-info-json.ts'
import { STATE_PUBLIC } from '../../../tidb/table-info.ts'
import { buildTable } from '../catalog/build-table.ts'
import { resolveCollation } from '../catalog/field-type.ts'
import { buildPartitioning, partitionCount, physicalTables } from '../catalog/partitions.ts'
import { findDatabase, maxIndexId, readCounter } from '../catalog/schema.ts'
import type { Database, Schema, Table } from '../catalog/schema.ts'
import { storedKeys } from '../catalog/stored-options.ts'
import { SqlError } from '../error.ts'
import type { AlterSpec, CreateTableStatement, DdlStatement, TableName } from '../parser/ast.ts'
import type { Engine } from '../session/engine.ts'
import type { Transaction } from '../txn/transaction.ts'
import { defaultCollation, findCollation } from '../value/collation.ts'
import { applySpec } from './alter.ts'
import type { AlterContext, AlterStep, Draft } from './alter.ts'
import { checkNoNull, fillIndex, rewriteRows } from './backfill.ts'
import { Action } from './job.ts'
import type { JobDraft } from './job.ts'
import { JobRunner, removeTable, SYSTEM_DATABASES } from './job-runner.ts'
import type { DdlScope } from './job-runner.ts'
import { alterPartitions } from './partition-ddl.ts'
import { recoverTable } from './recover-table.ts'
import { alterSequence, createSequence, createView, dropSequences, dropViews } from './views-sequences.ts'

export async function runDdl(statement: DdlStatement, scope: DdlScope): Promise<void> {
  const run = new DdlRun(scope)
  await scope.engine.locks.exclusive(
    () => run.lockedTables(statement),
    () => run.execute(statement),
    scope.signal,
  )
}

class DdlRun {
  readonly #scope: DdlScope
  readonly #jobs: JobRunner
  readonly #engine: Engine

  constructor(scope: DdlScope) {
    this.#scope = scope
    this.#jobs = new JobRunner(scope)
    this.#engine = scope.engine
  }

  /** Ids of tables that no transaction may be using meanwhile. */
  async lockedTables(statement: DdlStatement): Promise<bigint[]> {
    const schema = await this.#jobs.schema()
    const idOf = (name: TableName): bigint[] => {
      const database = name.schema || this.#scope.database
      const table = schema.databases.get(database.toLowerCase())?.tables.get(name.name.toLowerCase())
      return table === undefined ? [] : [table.info.id]
    }
    switch (statement.kind) {
      case 'dropDatabase':
        return [...(schema.databases.get(statement.name.toLowerCase())?.tables.values() ?? [])].map(
          ({ info }) => info.id,
        )
      case 'dropTable':
        return statement.tables.flatMap(idOf)
      case 'truncateTable':
        return idOf(statement.table)
      case 'alterTable':
        return [
          ...idOf(statement.table),
          ...statement.specs.flatMap((spec) => (spec.kind === 'exchangePartition' ? idOf(spec.table) : [])),
        ]
      case 'renameTable':
        return statement.pairs.flatMap(({ from }) => idOf(from))
      default:
        return []
    }
  }

  execute(statement: DdlStatement): Promise<void> {
    switch (statement.kind) {
      case 'createDatabase':
        return this.#createDatabase(statement)
      case 'dropDatabase':
        return this.#dropDatabase(statement)
      case 'createTable':
        return this.#createTable(statement)
      case 'dropTable':
        return this.#dropTables(statement)
      case 'truncateTable':
        return this.#truncateTable(statement.table)
      case 'renameTable':
        return this.#renameTables(statement.pairs)
      case 'alterTable':
        return this.#alterTable(statement.table, statement.specs)
      case 'alterDatabase':
        return this.#alterDatabase(statement)
      case 'createView':
        return createView(this.#jobs, statement)
      case 'dropView':
        return dropViews(this.#jobs, statement)
      case 'createSequence':
        return createSequence(this.#jobs, statement)
      case 'alterSequence':
        return alterSequence(this.#jobs, statement)
      case 'dropSequence':
        return dropSequences(this.#jobs, statement)
      case 'recoverTable':
        return recoverTable(this.#jobs, statement)
    }
  }

  async #createDatabase(statement: Extract<DdlStatement, { kind: 'createDatabase' }>): Promise<void> {
    const schema = await this.#jobs.schema()
    if (schema.databases.has(statement.name.toLowerCase()) || SYSTEM_DATABASES.has(statement.name.toLowerCase())) {
      const message = `Can't create database '${statement.name}'; database exists`
      if (!statement.ifNotExists) throw new SqlError(1007, message)
      return this.#scope.warn(1007, message)
    }
    const collation = resolveCollation(statement.charset, statement.collate, defaultCollation('utf8mb4'))
    await this.#jobs.run(schema, 1, ([id = 0n]) => {
      const info: DatabaseInfo = {
        id,
        name: ciName(statement.name),
        charset: collation.charset,
        collate: collation.name,
        state: STATE_PUBLIC,
      }
      return {
        draft: {
          type: Action.CreateSchema,
          schemaId: id,
          tableId: 0n,
          schemaName: statement.name,
          tableName: '',
          database: databaseInfoJson(info),
        },
        apply: (txn) => txn.put(databaseKey(id), Buffer.from(stringifyDatabaseInfo(info))),
      }
    })
  }

  async #alterDatabase(statement: Extract<DdlStatement, { kind: 'alterDatabase' }>): Promise<void> {
    const schema = await this.#jobs.schema()
    const name = statement.name || this.#scope.database
    if (name === '') throw new SqlError(1046, 'No database selected')
    const { info: before } = findDatabase(schema, name)
    const collation = resolveCollation(statement.charset, statement.collate, findCollation(before.collate))
    if (collation.name === before.collate && collation.charset === before.charset) return
    const info = { ...before, charset: collation.charset, collate: collation.name }
    await this.#jobs.run(schema, 0, () => ({
      draft: {
        type: Action.ModifySchemaCharset,
        schemaId: info.id,
        tableId: 0n,
        schemaName: info.name.original,
        tableName: '',
        rawArgs: { to_charset: info.charset, to_collate: info.collate },
        database: databaseInfoJson(info),
      },
      apply: (txn) => txn.put(databaseKey(info.id), Buffer.from(stringifyDatabaseInfo(info))),
    }))
  }

  async #dropDatabase(statement: Extract<DdlStatement, { kind: 'dropDatabase' }>): Promise<void> {
    const schema = await this.#jobs.schema()
    const database = schema.databases.get(statement.name.toLowerCase())
    if (database === undefined) {
      const message = `Can't drop database '${statement.name}'; database doesn't exist`
      if (!statement.ifExists) throw new SqlError(1008, message)
      return this.#scope.warn(1008, message)
    }
    if (SYSTEM_DATABASES.has(database.info.name.lower))
      throw new SqlError(1044, `Access denied for user 'root'@'%' to database '${statement.name}'`)
    const { info } = database
    await this.#jobs.run(schema, 0, () => ({
      draft: {
        type: Action.DropSchema,
        schemaId: info.id,
        tableId: 0n,
        schemaName: info.name.original,
        tableName: '',
        database: databaseInfoJson({ ...info, state: 0 }),
      },
      apply: (txn) => {
        txn.delete(databaseKey(info.id))
        for (const table of database.tables.values()) removeTable(txn, table)
      },
    }))
  }

  async #createTable(statement: CreateTableStatement): Promise<void> {
    const schema = await this.#jobs.schema()
    const name = this.#jobs.qualified(statement.table)
    const database = findDatabase(schema, name.schema)
    if (SYSTEM_DATABASES.has(database.info.name.lower))
      throw new SqlError(1142, `CREATE command denied to user 'root'@'%' for table '${name.name}'`)
    if (database.tables.has(name.name.toLowerCase())) {
      const message = `Table '${name.schema}.${name.name}' already exists`
      if (!statement.ifNotExists) throw new SqlError(1050, message)
      return this.#scope.warn(1050, message)
    }
    const { context, signal } = this.#scope
    const source = statement.like === undefined ? undefined : this.#jobs.table(schema, statement.like)
    const count =
      source?.info.partitions?.length ?? (statement.partition === undefined ? 0 : partitionCount(statement.partition))
    const build = ([id = 0n, ...parts]: readonly bigint[]): Pick<Table, 'info' | 'stored'> => {
      if (source !== undefined) return likeTable(source, ciName(name.name), id, parts)
      const info = buildTable(statement, id, findCollation(database.info.collate), context.cast)
      const stored = storedKeys(statement, info, database.info.name.original)
      if (statement.partition === undefined) return { info, stored }
      const { partitions, json } = buildPartitioning(statement.partition, info, parts, context)
      return { info: { ...info, partitions }, stored: { ...stored, partition: json } }
    }
    build(Array.from({ length: count + 1 }, () => 0n))
    const { autoIncrement, autoRandomBase } = statement.options
    const created: bigint[] = []
    await this.#jobs.run(schema, count + 1, (ids, txn) => {
      const { info, stored } = build(ids)
      created.splice(0, created.length, ...physicalTables(info).map(({ id }) => id))
      const all: JsonObject = {
        ...stored,
        ...(autoIncrement === undefined ? {} : { auto_inc_id: autoIncrement }),
        ...(autoRandomBase === undefined ? {} : { auto_rand_id: autoRandomBase }),
      }
      const putCounters = (inner: Transaction): void => {
        const put = (key: Uint8Array, base: bigint | undefined): void => {
          if (base !== undefined && base > 1n) inner.put(key, Buffer.from(String(base - 1n)))
        }
        put(rowIdCounterKey(database.info.id, info.id), autoIncrement)
        put(autoRandomKey(database.info.id, info.id), autoRandomBase)
      }
      const dated = { ...info, updateTs: txn.startTs }
      return this.#jobs.tableChange(Action.CreateTable, database.info, dated, all, undefined, putCounters)
    })
    for (const id of created) await this.#engine.store.split(tablePrefix(id), signal)
  }

  async #dropTables(statement: Extract<DdlStatement, { kind: 'dropTable' }>): Promise<void> {
    const before = await this.#jobs.schema()
    const names = statement.tables.map((name) => this.#jobs.qualified(name))
    const missing = names.filter(
      ({ schema, name }) => before.databases.get(schema.toLowerCase())?.tables.has(name.toLowerCase()) !== true,
    )
    if (missing.length > 0) {
      const message = `Unknown table '${missing.map(({ schema, name }) => `${schema}.${name}`).join(',')}'`
      if (!statement.ifExists) throw new SqlError(1051, message)
      this.#scope.warn(1051, message)
    }
    for (const name of names) {
      if (missing.includes(name)) continue
      const schema = await this.#jobs.schema()
      const table = this.#jobs.table(schema, name)
      await this.#jobs.run(schema, 0, (_ids, txn) => ({
        draft: {
          type: Action.DropTable,
          schemaId: table.database.id,
          tableId: table.info.id,
          schemaName: table.database.name.original,
          tableName: table.info.name.original,
          table: tableInfoJson({ ...table.info, state: 0, updateTs: txn.startTs }, table.stored),
        },
        apply: (inner) => removeTable(inner, table),
      }))
    }
  }

  async #truncateTable(name: TableName): Promise<void> {
    const schema = await this.#jobs.schema()
    const table = this.#jobs.table(schema, name)
    await this.#jobs.run(schema, 1 + (table.info.partitions?.length ?? 0), ([id = 0n, ...parts], txn) => {
      const fresh = withNewIds(table, id, parts)
      const info = { ...fresh.info, updateTs: txn.startTs }
      const also = (inner: Transaction): void => removeTable(inner, table)
      const diff = { table_id: id, old_table_id: table.info.id }
      const args = {
        new_table_id: id,
        ...(parts.length === 0
          ? {}
          : { old_partition_ids: (table.info.partitions ?? []).map((one) => one.id), new_partition_ids: parts }),
      }
      return this.#jobs.tableChange(
        Action.TruncateTable,
        table.database,
        info,
        fresh.stored,
        { tableId: table.info.id, rawArgs: args },
        also,
        diff,
      )
    })
  }

  async #renameTables(pairs: readonly { readonly from: TableName; readonly to: TableName }[]): Promise<void> {
    const schema = await this.#jobs.schema()
    const moves = planRenames(
      schema,
      pairs.map(({ from, to }) => ({ from: this.#jobs.qualified(from), to: this.#jobs.qualified(to) })),
      (name) => this.#jobs.table(schema, name, 'any'),
    )
    const [only] = moves
    if (only === undefined) return
    await this.#jobs.run(schema, 0, (_ids, txn) => {
      const renamed = moves.map((move) => ({
        ...move,
        json: tableInfoJson({ ...move.table.info, name: ciName(move.name), updateTs: txn.startTs }, move.table.stored),
      }))
      const last = renamed.at(-1)
      const type = moves.length === 1 ? Action.RenameTable : Action.RenameTables
      return {
        draft: {
          type,
          schemaId: last?.database.info.id ?? 0n,
          tableId: last?.table.info.id ?? 0n,
          schemaName: last?.database.info.name.original ?? '',
          tableName: last?.name ?? '',
          rawArgs: moves.length === 1 ? renameArgs(only) : { rename_table_infos: moves.map(renamesArgs) },
          ...(last === undefined ? {} : { table: last.json }),
          ...(moves.length === 1 ? {} : { tables: renamed.map(({ json }) => json) }),
        },
        apply: (inner) => {
          for (const { table } of renamed) inner.delete(tableKey(table.database.id, table.info.id))
          for (const { table, database, json } of renamed)
            inner.put(tableKey(database.info.id, table.info.id), Buffer.from(stringifyJson(json, { html: true })))
        },
        diff: { old_schema_id: only.table.database.id },
      }
    })
    for (const { table, database } of moves)
      if (table.database.id !== database.info.id) await this.#moveCounter(table, database)
  }

  /** The counter of auto ids is kept under the database. */
  async #moveCounter(table: Table, to: Database): Promise<void> {
    const txn = await this.#engine.begin(this.#scope.signal)
    const value = await readCounter(txn, rowIdCounterKey(table.database.id, table.info.id), this.#scope.signal)
    if (value === 0n) return
    txn.delete(rowIdCounterKey(table.database.id, table.info.id))
    txn.put(rowIdCounterKey(to.info.id, table.info.id), Buffer.from(String(value)))
    await txn.commit({ asyncCommit: false, onePhase: false }, this.#scope.signal)
  }

  async #alterTable(name: TableName, specs: readonly AlterSpec[]): Promise<void> {
    const [only] = specs
    if (specs.length === 1 && only?.kind === 'renameTable')
      return this.#renameTables([
        { from: name, to: { schema: only.to.schema || this.#jobs.qualified(name).schema, name: only.to.name } },
      ])
    const schema = await this.#jobs.schema()
    const table = this.#jobs.table(schema, name)
    const partition = await alterPartitions(this.#jobs, schema, table, specs)
    if (partition) return
    const { context } = this.#scope
    const scope: AlterContext = {
      cast: context.cast,
      now: context.now,
      context,
      database: table.database.name.original,
    }
    let draft: Draft = { info: table.info, stored: table.stored, maxIndexId: maxIndexId(table) }
    const steps: AlterStep[] = []
    for (const spec of specs) {
      const step = applySpec(spec, draft, scope)
      if (step === undefined) {
        this.#scope.warn(1060, `nothing to do for ${spec.kind}`)
        continue
      }
      steps.push(step)
      draft = step.draft
    }
    const [first] = steps
    if (first === undefined) return
    const rebase = specs.find((spec) => spec.kind === 'autoIncrement')
    const change = (_ids: readonly bigint[], txn: Transaction): ReturnType<JobRunner['tableChange']> => {
      const info = { ...draft.info, updateTs: txn.startTs }
      const stored: JsonObject = {
        ...draft.stored,
        max_idx_id: draft.maxIndexId,
        ...(rebase === undefined ? {} : { auto_inc_id: rebase.value }),
      }
      const multi = steps.length > 1 ? { multiSchemaInfo: multiSchemaInfo(steps) } : {}
      const type = steps.length > 1 ? Action.MultiSchemaChange : first.type
      return this.#jobs.tableChange(type, table.database, info, stored, {
        ...multi,
        ...(steps.length > 1 || first.rawArgs === undefined ? {} : { rawArgs: first.rawArgs }),
        ...indexArgs(first),
      })
    }
    await this.#jobs.run(schema, 0, change, () => this.#prepareRows(table, steps, draft))
    if (rebase !== undefined) await this.#engine.autoIds.rebase(table, rebase.value - 1n, this.#scope.signal)
  }

  /** Checks, new columns and index entries that must be there before the change is seen. */
  async #prepareRows(table: Table, steps: readonly AlterStep[], { info }: Draft): Promise<void> {
    const { backfill } = this.#jobs
    for (const { mustNotBeNull } of steps) {
      const column = mustNotBeNull === undefined ? undefined : table.info.columns[mustNotBeNull]
      if (column !== undefined) await checkNoNull(backfill, table.info, column)
    }
    const rewrites = steps.flatMap(({ rewrite }) => rewrite ?? [])
    for (const { before, column, change } of rewrites)
      await rewriteRows(backfill, before, [column], (row) => [change(row)])
    try {
      for (const { newIndexes = [] } of steps)
        for (const { id } of newIndexes) {
          const index = info.indexes.find((one) => one.id === id)
          if (index !== undefined) await fillIndex(backfill, info, index)
        }
    } catch (error) {
      // The ids of columns that did not come to be are used again: nothing may be stored under them.
      if (rewrites.length > 0) await rewriteRows(backfill, table.info, [], () => [])
      throw error
    }
  }
}

/** The table of CREATE TABLE LIKE: everything but ids, counters and foreign keys. */
function likeTable(
  source: Table,
  name: Table['info']['name'],
  id: bigint,
  parts: readonly bigint[],
): Pick<Table, 'info' | 'stored'> {
  const { info, stored } = withNewIds(source, id, parts)
  return {
    info: { ...info, name },
    stored: { ...stored, auto_inc_id: 0, auto_rand_id: 0, fk_info: null, max_fk_id: 0 },
  }
}

/** The same table and partitions under other ids. */
function withNewIds({ info, stored }: Table, id: bigint, parts: readonly bigint[]): Pick<Table, 'info' | 'stored'> {
  if (info.partitions === undefined) return { info: { ...info, id }, stored }
  const partition = objectOf(stored['partition'])
  const definitions = listOf(partition['definitions']).map((one, i) => ({ ...objectOf(one), id: parts[i] ?? 0n }))
  const partitions = info.partitions.map((one, i) => ({ ...one, id: parts[i] ?? 0n }))
  return { info: { ...info, id, partitions }, stored: { ...stored, partition: { ...partition, definitions } } }
}

interface Move {
  readonly table: Table
  readonly database: Database
  readonly name: string
}

/** Renames happen one after the other: a name that an earlier pair freed may be taken. */
function planRenames(
  schema: Schema,
  pairs: readonly { readonly from: TableName; readonly to: TableName }[],
  tableOf: (name: TableName) => Table,
): Move[] {
  const key = (name: TableName): string => `${name.schema.toLowerCase()}\u0000${name.name.toLowerCase()}`
  const moved = new Map<string, Table | undefined>()
  const current = (name: TableName): Table | undefined => {
    if (moved.has(key(name))) return moved.get(key(name))
    return schema.databases.get(name.schema.toLowerCase())?.tables.get(name.name.toLowerCase())
  }
  return pairs.map(({ from, to }) => {
    const table = current(from) ?? tableOf(from)
    const database = schema.databases.get(to.schema.toLowerCase())
    if (database === undefined)
      throw new SqlError(
        1025,
        `Error on rename of './${from.schema}/${from.name}' to './${to.schema}/${to.name}' (errno: 168 - Unknown (generic) error from engine)`,
      )
    if (current(to) !== undefined && current(to) !== table)
      throw new SqlError(1050, `Table '${to.name}' already exists`)
    moved.set(key(from), undefined)
    moved.set(key(to), table)
    return { table, database, name: to.name }
  })
}

const cis = (name: string): JsonObject => ({ O: name, L: name.toLowerCase() })

const renameArgs = ({ table, name }: Move): JsonValue => ({
  old_schema_id: table.database.id,
  old_schema_name: cis(table.database.name.original),
  new_table_name: cis(name),
})

const renamesArgs = ({ table, database, name }: Move): JsonValue => ({
  old_schema_id: table.database.id,
  old_schema_name: cis(table.database.name.original),
  old_table_name: cis(table.info.name.original),
  new_table_name: cis(name),
  new_schema_id: database.info.id,
  table_id: table.info.id,
})

function indexArgs({ type, newIndexes: [newIndex] = [] }: AlterStep): Partial<JobDraft> {
  if (newIndex === undefined || (type !== Action.AddIndex && type !== Action.AddPrimaryKey)) return {}
  return {
    rawArgs: {
      index_args: [
        {
          index_id: newIndex.id,
          unique: newIndex.unique,
          index_name: cis(newIndex.name.original),
          is_pk: newIndex.primary,
        },
      ],
    },
  }
}

const multiSchemaInfo = (steps: readonly AlterStep[]): JsonObject => ({
  sub_jobs: steps.map(({ type }) => ({
    type,
    raw_args: null,
    schema_state: STATE_PUBLIC,
    snapshot_ver: 0,
    real_start_ts: 0,
    revertible: false,
    state: JobState.Done,
    row_count: 0,
    warning: null,
    schema_version: 0,
    reorg_tp: 0,
  })),
  revertible: false,
  seq: 0,
})
