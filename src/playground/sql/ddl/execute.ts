import { JobState } from '../../../tidb/ddl-job.ts'
import { tablePrefix } from '../../../tidb/key.ts'
import type { JsonObject, JsonValue } from '../../../tidb/json-big.ts'
import { stringifyJson } from '../../../tidb/json-big.ts'
import {
  databaseKey,
  nextGlobalIdKey,
  rowIdCounterKey,
  schemaDiffKey,
  schemaVersionKey,
  tableKey,
} from '../../../tidb/meta-key.ts'
import { ciName, databaseInfoJson, stringifyDatabaseInfo, tableInfoJson } from '../../../tidb/table-info-json.ts'
import type { DatabaseInfo } from '../../../tidb/table-info-json.ts'
import { STATE_PUBLIC } from '../../../tidb/table-info.ts'
import type { TableInfo } from '../../../tidb/table-info.ts'
import { buildTable } from '../catalog/build-table.ts'
import { resolveCollation } from '../catalog/field-type.ts'
import { findDatabase, findTable, isForeign, maxIndexId, readCounter } from '../catalog/schema.ts'
import type { Database, Schema, Table } from '../catalog/schema.ts'
import { SqlError, TXN_CONFLICT, unsupported } from '../error.ts'
import type { AlterSpec, CreateTableStatement, DdlStatement, TableName } from '../parser/ast.ts'
import type { Engine } from '../session/engine.ts'
import type { Transaction } from '../txn/transaction.ts'
import { defaultCollation, findCollation } from '../value/collation.ts'
import { applySpec } from './alter.ts'
import type { AlterContext, AlterStep, Draft } from './alter.ts'
import { checkNoNull, fillIndex } from './backfill.ts'
import { Action, dropJob, finishJob, putJob } from './job.ts'
import type { JobDraft, JobFrame } from './job.ts'

/** What a DDL statement needs of its session. */
export interface DdlScope extends AlterContext {
  readonly engine: Engine
  readonly signal: AbortSignal
  /** Statement text for the job. */
  readonly query: string
  readonly sqlMode: bigint
  /** Database for names without one; '' = none chosen. */
  readonly database: string
  warn(errno: number, message: string): void
}

/** Changes of one job: what it says, and the keys that it writes. */
interface Change {
  readonly draft: JobDraft
  readonly apply: (txn: Transaction) => void
  /** Columns of the schema diff that differ from the job's. */
  readonly diff?: JsonObject
}

const SYSTEM_DATABASES = new Set(['mysql', 'information_schema', 'performance_schema', 'sys', 'metrics_schema'])

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
  readonly #engine: Engine

  constructor(scope: DdlScope) {
    this.#scope = scope
    this.#engine = scope.engine
  }

  async #schema(): Promise<Schema> {
    return this.#engine.schemaOf(await this.#engine.begin(this.#scope.signal), this.#scope.signal)
  }

  /** Ids of tables that no transaction may be using meanwhile. */
  async lockedTables(statement: DdlStatement): Promise<bigint[]> {
    const schema = await this.#schema()
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
      case 'alterTable':
        return idOf(statement.table)
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
    }
  }

  #qualified(name: TableName): TableName {
    const schema = name.schema || this.#scope.database
    if (schema === '') throw new SqlError(1046, 'No database selected')
    return { schema, name: name.name }
  }

  #table(schema: Schema, name: TableName): Table {
    const table = findTable(schema, this.#qualified(name))
    if (SYSTEM_DATABASES.has(table.database.name.lower))
      throw new SqlError(1142, `ALTER command denied to user 'root'@'%' for table '${table.info.name.original}'`)
    if (isForeign(table)) throw unsupported(`DDL on ${table.info.name.original}: a view, sequence or partitioned table`)
    return table
  }

  async #createDatabase(statement: Extract<DdlStatement, { kind: 'createDatabase' }>): Promise<void> {
    const schema = await this.#schema()
    if (schema.databases.has(statement.name.toLowerCase()) || SYSTEM_DATABASES.has(statement.name.toLowerCase())) {
      const message = `Can't create database '${statement.name}'; database exists`
      if (!statement.ifNotExists) throw new SqlError(1007, message)
      return this.#scope.warn(1007, message)
    }
    const collation = resolveCollation(statement.charset, statement.collate, defaultCollation('utf8mb4'))
    await this.#runJob(schema, 1, ([id = 0n]) => {
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

  async #dropDatabase(statement: Extract<DdlStatement, { kind: 'dropDatabase' }>): Promise<void> {
    const schema = await this.#schema()
    const database = schema.databases.get(statement.name.toLowerCase())
    if (database === undefined) {
      const message = `Can't drop database '${statement.name}'; database doesn't exist`
      if (!statement.ifExists) throw new SqlError(1008, message)
      return this.#scope.warn(1008, message)
    }
    if (SYSTEM_DATABASES.has(database.info.name.lower))
      throw new SqlError(1044, `Access denied for user 'root'@'%' to database '${statement.name}'`)
    const { info } = database
    await this.#runJob(schema, 0, () => ({
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
    const schema = await this.#schema()
    const name = this.#qualified(statement.table)
    const database = findDatabase(schema, name.schema)
    if (SYSTEM_DATABASES.has(database.info.name.lower))
      throw new SqlError(1142, `CREATE command denied to user 'root'@'%' for table '${name.name}'`)
    if (database.tables.has(name.name.toLowerCase())) {
      const message = `Table '${name.schema}.${name.name}' already exists`
      if (!statement.ifNotExists) throw new SqlError(1050, message)
      return this.#scope.warn(1050, message)
    }
    const source = statement.like === undefined ? undefined : this.#table(schema, statement.like)
    const build = (id: bigint): TableInfo =>
      source === undefined
        ? buildTable(statement, id, findCollation(database.info.collate), this.#scope.cast)
        : { ...source.info, id, name: ciName(name.name) }
    build(0n)
    const autoIncrement = statement.options.autoIncrement
    let created = 0n
    await this.#runJob(schema, 1, ([id = 0n], txn) => {
      created = id
      const info = { ...build(id), updateTs: txn.startTs }
      const stored: JsonObject = autoIncrement === undefined ? {} : { auto_inc_id: autoIncrement }
      return this.#tableChange(Action.CreateTable, database.info, info, stored, undefined, (inner) => {
        if (autoIncrement !== undefined && autoIncrement > 1n)
          inner.put(rowIdCounterKey(database.info.id, id), Buffer.from(String(autoIncrement - 1n)))
      })
    })
    await this.#engine.store.split(tablePrefix(created), this.#scope.signal)
  }

  /** A job that stores a table and says so. */
  #tableChange(
    type: number,
    database: DatabaseInfo,
    info: TableInfo,
    stored: JsonObject,
    extra?: Partial<JobDraft>,
    also?: (txn: Transaction) => void,
    diff?: JsonObject,
  ): Change {
    const json = tableInfoJson(info, stored)
    return {
      draft: {
        type,
        schemaId: database.id,
        tableId: info.id,
        schemaName: database.name.original,
        tableName: info.name.original,
        table: json,
        ...extra,
      },
      apply: (txn) => {
        txn.put(tableKey(database.id, info.id), Buffer.from(stringifyJson(json, { html: true })))
        also?.(txn)
      },
      ...(diff === undefined ? {} : { diff }),
    }
  }

  async #dropTables(statement: Extract<DdlStatement, { kind: 'dropTable' }>): Promise<void> {
    const before = await this.#schema()
    const names = statement.tables.map((name) => this.#qualified(name))
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
      const schema = await this.#schema()
      const table = this.#table(schema, name)
      await this.#runJob(schema, 0, (_ids, txn) => ({
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
    const schema = await this.#schema()
    const table = this.#table(schema, name)
    await this.#runJob(schema, 1, ([id = 0n], txn) => {
      const info = { ...table.info, id, updateTs: txn.startTs }
      const also = (inner: Transaction): void => removeTable(inner, table)
      const diff = { table_id: id, old_table_id: table.info.id }
      return this.#tableChange(
        Action.TruncateTable,
        table.database,
        info,
        table.stored,
        { tableId: table.info.id, rawArgs: { new_table_id: id } },
        also,
        diff,
      )
    })
  }

  async #renameTables(pairs: readonly { readonly from: TableName; readonly to: TableName }[]): Promise<void> {
    const schema = await this.#schema()
    const moves = planRenames(
      schema,
      pairs.map(({ from, to }) => ({ from: this.#qualified(from), to: this.#qualified(to) })),
      (name) => this.#table(schema, name),
    )
    const [only] = moves
    if (only === undefined) return
    await this.#runJob(schema, 0, (_ids, txn) => {
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
        { from: name, to: { schema: only.to.schema || this.#qualified(name).schema, name: only.to.name } },
      ])
    const schema = await this.#schema()
    const table = this.#table(schema, name)
    let draft: Draft = { info: table.info, maxIndexId: maxIndexId(table) }
    const steps: AlterStep[] = []
    for (const spec of specs) {
      const step = applySpec(spec, draft, this.#scope)
      if (step === undefined) {
        this.#scope.warn(1060, `nothing to do for ${spec.kind}`)
        continue
      }
      steps.push(step)
      draft = step.draft
    }
    const [first] = steps
    if (first === undefined) return
    await this.#prepareRows(table, steps, draft)
    const rebase = specs.find((spec) => spec.kind === 'autoIncrement')
    await this.#runJob(schema, 0, (_ids, txn) => {
      const info = { ...draft.info, updateTs: txn.startTs }
      const stored: JsonObject = {
        ...table.stored,
        max_idx_id: draft.maxIndexId,
        ...(rebase === undefined ? {} : { auto_inc_id: rebase.value }),
      }
      const multi = steps.length > 1 ? { multiSchemaInfo: multiSchemaInfo(steps) } : {}
      const type = steps.length > 1 ? Action.MultiSchemaChange : first.type
      return this.#tableChange(type, table.database, info, stored, { ...multi, ...indexArgs(first) })
    })
    if (rebase !== undefined) await this.#engine.autoIds.rebase(table, rebase.value - 1n, this.#scope.signal)
  }

  /** Checks and index entries that must be there before the change is seen. */
  async #prepareRows(table: Table, steps: readonly AlterStep[], { info }: Draft): Promise<void> {
    for (const { mustNotBeNull } of steps) {
      const column = mustNotBeNull === undefined ? undefined : table.info.columns[mustNotBeNull]
      if (column !== undefined) await checkNoNull(this.#engine, table.info, column, this.#scope.signal)
    }
    for (const { newIndex } of steps) {
      const index = newIndex === undefined ? undefined : info.indexes.find(({ id }) => id === newIndex.id)
      if (index !== undefined) await fillIndex(this.#engine, info, index, this.#scope.signal)
    }
  }

  /**
   * One job as TiDB runs it: queued; done in the transaction that changes the schema; moved to the history. `change` gets
   * as many new ids as it asks for.
   */
  async #runJob(
    schema: Schema,
    ids: number,
    change: (ids: readonly bigint[], txn: Transaction) => Change,
  ): Promise<void> {
    const { signal } = this.#scope
    const first = await this.#allocate(BigInt(ids + 1))
    const own = Array.from({ length: ids }, (_, i) => first + BigInt(i))
    const queued = await this.#engine.begin(signal)
    const frame: JobFrame = {
      id: first + BigInt(ids),
      query: this.#scope.query,
      startTs: queued.startTs,
      sqlMode: this.#scope.sqlMode,
    }
    putJob(queued, schema, frame, change(own, queued).draft, JobState.Queueing, 0n)
    await queued.commit({ asyncCommit: false, onePhase: true }, signal)

    const { draft, version } = await this.#changeSchema(schema, frame, own, change).catch(async (error: unknown) => {
      const cancelled = await this.#engine.begin(signal)
      dropJob(cancelled, schema, frame)
      await cancelled.commit({ asyncCommit: false, onePhase: true }, signal)
      throw error
    })
    const done = await this.#engine.begin(signal)
    finishJob(done, schema, frame, draft, version)
    await done.commit({ asyncCommit: false, onePhase: false }, signal)
    await this.#schema()
  }

  /** The transaction that changes the schema: keys, version, diff and the job with state done. */
  async #changeSchema(
    schema: Schema,
    frame: JobFrame,
    ids: readonly bigint[],
    change: (ids: readonly bigint[], txn: Transaction) => Change,
  ): Promise<{ readonly draft: JobDraft; readonly version: bigint }> {
    const { signal } = this.#scope
    const txn = await this.#engine.begin(signal)
    const { draft, apply, diff } = change(ids, txn)
    const version = (await readCounter(txn, schemaVersionKey(), signal)) + 1n
    apply(txn)
    txn.put(schemaVersionKey(), Buffer.from(String(version)))
    txn.put(
      schemaDiffKey(version),
      Buffer.from(
        stringifyJson({
          version,
          type: draft.type,
          schema_id: draft.schemaId,
          table_id: draft.tableId,
          old_table_id: 0,
          old_schema_id: 0,
          regenerate_schema_map: false,
          affected_options: null,
          ...diff,
        }),
      ),
    )
    putJob(txn, schema, frame, draft, JobState.Done, version)
    await txn.commit({ asyncCommit: false, onePhase: false }, signal)
    return { draft, version }
  }

  /** New ids for objects and jobs; returns the first. */
  async #allocate(count: bigint): Promise<bigint> {
    for (;;) {
      const txn = await this.#engine.begin(this.#scope.signal)
      const last = await readCounter(txn, nextGlobalIdKey(), this.#scope.signal)
      txn.put(nextGlobalIdKey(), Buffer.from(String(last + count)))
      try {
        await txn.commit({ asyncCommit: false, onePhase: true }, this.#scope.signal)
        return last + 1n
      } catch (error) {
        if (!(error instanceof SqlError) || error.errno !== TXN_CONFLICT) throw error
      }
    }
  }
}

function removeTable(txn: Transaction, table: Table): void {
  txn.delete(tableKey(table.database.id, table.info.id))
  txn.delete(rowIdCounterKey(table.database.id, table.info.id))
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

function indexArgs({ newIndex }: AlterStep): Partial<JobDraft> {
  if (newIndex === undefined) return {}
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
