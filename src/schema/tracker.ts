import { CdcError } from '../base/errors.ts'
import type { DdlEvent } from '../event/ddl-event.ts'
import type { TableVersion } from '../event/table-version.ts'
import { wrapTable } from '../event/wrap-table.ts'
import { integerOf, listOf, objectOf, parseJson, stringifyJson } from '../tidb/json-big.ts'
import type { DdlJob } from '../tidb/ddl-job.ts'
import { rewriteDdl } from '../tidb/sql/rewrite-ddl.ts'
import { exchangeOf, splitStatements } from '../tidb/sql/statements.ts'
import { quoteName } from '../tidb/sql/tokens.ts'
import { nameOf, parseTableInfo } from '../tidb/table-info-json.ts'
import { laterTs, previousTs } from '../tidb/ts.ts'
import type { Ts } from '../tidb/ts.ts'
import { type Action, actionOf, ActionType } from './actions.ts'
import type { FinishedJob, JobTable } from './finished-job.ts'
import type { SchemaEntry, SchemaHistory, TableEntry } from './history.ts'
import type { TableFilter } from './ports.ts'
import type { LoadedSchema } from './snapshot.ts'
import { sharedCopy, tableEntry } from './table-entry.ts'

/** Which spans must have reached a DDL before it runs: all, or those of these physical tables. */
export type DdlBarrier = 'global' | { readonly tables: readonly bigint[] }

/** A DDL in its place; `ignored` ones change the schema and wait at their barrier, but are not sent. */
export interface TrackedDdl {
  readonly event: DdlEvent
  readonly barrier: DdlBarrier
  /** Physical tables whose schema may be another one after it. */
  readonly touched: readonly bigint[]
  readonly ignored: boolean
}

/** A physical table whose rows are replicated. */
export interface ReplicatedTable {
  readonly physicalId: bigint
  /** Of the table that it is, or that it is a partition of. */
  readonly tableId: bigint
  readonly schema: string
  readonly table: string
}

/** A schema of one physical table, for rows with commitTs > `version` until the next one. */
export interface PhysicalSchema {
  readonly physicalId: bigint
  readonly schema: string
  readonly version: Ts
  /**
   * model.TableInfo JSON, in one piece of memory for all partitions of a table's version; undefined = the table is gone
   * after `version`.
   */
  readonly info: Uint8Array<SharedArrayBuffer> | undefined
}

/** The schema of one changefeed over time. All look-ups take a ts from the start's (or the last `collect`'s) on. */
export interface SchemaTracker {
  /**
   * Takes the next job, in the order of {@link compareJobs}; jobs that are contained already change nothing. Returns
   * the DDLs to run, in order. Errors fail the changefeed: `CDC:ErrSyncRenameTableFailed`, `CDC:ErrTableIneligible`,
   * `CDC:ErrInvalidDDLJob`, `CDC:ErrSnapshot…`.
   */
  apply(job: FinishedJob): readonly TrackedDdl[]
  /** Physical tables that exist for rows with commitTs > ts. */
  tablesAt(ts: Ts): readonly ReplicatedTable[]
  /** The schema that holds for rows right above `from`, and every later one known. */
  schemasFrom(physicalId: bigint, from: Ts): readonly PhysicalSchema[]
  /** The schema for rows right above `ts`, wrapped; undefined where there is no such table. */
  tableAt(physicalId: bigint, ts: Ts): TableVersion | undefined
  /** Tables that the filter matches, whether eligible or not. */
  matchedTables(ts: Ts): readonly (ReplicatedTable & { readonly eligible: boolean; readonly isPartition: boolean })[]
  /** Forgets what no look-up at or above `ts` needs. */
  collect(ts: Ts): void
}

export interface TrackerOptions {
  readonly filter: TableFilter
  /** In BDR mode only DDLs of the primary role are sent. */
  readonly bdrMode: boolean
}

/** Tracks the schema from a snapshot on. */
export function createSchemaTracker(loaded: LoadedSchema, options: TrackerOptions): SchemaTracker {
  return new Tracker(loaded, options)
}

/** Job ids kept to recognise a second copy of a job (the history table's). */
const REMEMBERED_JOBS = 4096

class Tracker implements SchemaTracker {
  readonly #history: SchemaHistory
  readonly #filter: TableFilter
  readonly #bdrMode: boolean
  readonly #handled = new Set<bigint>()
  readonly #startTs: Ts
  #schemaVersion: bigint
  #currentTs: Ts

  constructor(loaded: LoadedSchema, options: TrackerOptions) {
    this.#history = loaded.history
    this.#schemaVersion = loaded.schemaVersion
    this.#startTs = loaded.history.floor
    this.#currentTs = this.#startTs
    this.#filter = options.filter
    this.#bdrMode = options.bdrMode
  }

  apply(finished: FinishedJob): readonly TrackedDdl[] {
    const { job, commitTs } = finished
    if (commitTs <= this.#startTs || finished.schemaVersion === 0n || !this.#remember(job.id)) return []
    const action = actionOf(job.type)
    if (action === undefined) return []
    const changes = this.#changesOf(finished, action)
    const contained =
      commitTs < this.#currentTs || finished.schemaVersion <= this.#schemaVersion || changes.length === 0
    if (!contained) for (const change of changes) change.apply(commitTs)
    if (changes.length > 0 && commitTs >= this.#currentTs) {
      this.#currentTs = commitTs
      this.#schemaVersion = finished.schemaVersion
    }
    return changes
      .filter((change) => change.emitted?.() ?? true)
      .map((change, seq) => this.#eventOf(finished, action, change, seq))
  }

  tablesAt(ts: Ts): readonly ReplicatedTable[] {
    return this.#physicalTables(ts, (table) => table.replicated)
  }

  matchedTables(ts: Ts): ReturnType<SchemaTracker['matchedTables']> {
    return this.#physicalTables(ts, () => true)
  }

  schemasFrom(physicalId: bigint, from: Ts): readonly PhysicalSchema[] {
    return this.#history.physicalFrom(physicalId, from).map(({ since, table }) => ({
      physicalId,
      schema: (table && this.#history.schemaAt(table.schemaId, laterTs(since, from))?.name) ?? '',
      version: since,
      info: table?.info,
    }))
  }

  tableAt(physicalId: bigint, ts: Ts): TableVersion | undefined {
    const found = this.#history.physicalAt(physicalId, ts)
    if (found?.table === undefined) return undefined
    const schema = this.#history.schemaAt(found.table.schemaId, ts)?.name ?? ''
    return wrapTable(parseTableInfo(found.table.info), schema, found.since, physicalId)
  }

  collect(ts: Ts): void {
    this.#history.collect(ts)
  }

  #physicalTables(ts: Ts, wanted: (table: TableEntry) => boolean): ReturnType<SchemaTracker['matchedTables']> {
    const found: ReturnType<SchemaTracker['matchedTables']>[number][] = []
    for (const table of this.#history.tablesAt(ts)) {
      if (!wanted(table)) continue
      const schema = this.#history.schemaAt(table.schemaId, ts)?.name ?? ''
      const { eligible, partitioned: isPartition } = table
      for (const physicalId of table.physicalIds)
        found.push({ physicalId, tableId: table.id, schema, table: table.name, eligible, isPartition })
    }
    return found
  }

  /** False where the job was handled before. */
  #remember(jobId: bigint): boolean {
    if (this.#handled.has(jobId)) return false
    this.#handled.add(jobId)
    if (this.#handled.size > REMEMBERED_JOBS) {
      const [oldest] = this.#handled
      if (oldest !== undefined) this.#handled.delete(oldest)
    }
    return true
  }

  /** What a job does, one change per event; empty where the filter discards it. */
  #changesOf(finished: FinishedJob, action: Action): readonly Change[] {
    switch (action.effect) {
      case 'create-schema':
      case 'replace-schema':
      case 'drop-schema':
        return this.#schemaChange(finished, action.effect)
      case 'create-tables':
        return this.#createTables(finished)
      case 'rename-table':
        return this.#renameTable(finished)
      case 'rename-tables':
        return this.#renameTables(finished)
      case 'exchange-partition':
        return this.#exchangePartition(finished)
      default:
        return this.#tableChange(finished, action.effect)
    }
  }

  #schemaChange({ job }: FinishedJob, effect: 'create-schema' | 'replace-schema' | 'drop-schema'): readonly Change[] {
    const known = this.#history.latestSchema(job.schemaId)
    const name = job.result?.database?.name.original ?? known?.name ?? job.schemaName
    if (!this.#filter.matchesSchema(name)) return []
    const entry = { id: job.schemaId, name }
    const history = this.#history
    return [
      {
        schema: name,
        table: '',
        filterTable: '',
        filterSchema: name,
        before: undefined,
        after: undefined,
        query: job.query,
        apply: {
          'create-schema': (ts: Ts) => history.createSchema(entry, ts),
          'replace-schema': (ts: Ts) => history.replaceSchema(entry, ts),
          'drop-schema': (ts: Ts) => history.dropSchema(entry.id, ts),
        }[effect],
      },
    ]
  }

  #tableChange(finished: FinishedJob, effect: TableEffect): readonly Change[] {
    const { job } = finished
    const table = tableOf(finished)
    const schema = this.#schemaOf(job, table.info.name.original)
    if (schema === undefined) return []
    if (!this.#filter.matchesTable(schema.name, table.info.name.original)) return []
    const beforeId = BY_JOB_TABLE.has(effect) ? job.tableId : table.info.id
    const before = this.#history.latestTable(beforeId)
    const entry = tableEntry(schema, table.info, table.json, this.#filter)
    const history = this.#history
    const effects: Record<TableEffect, (ts: Ts) => void> = {
      'create-table': (ts) => history.createTable(entry, ts),
      'replace-table': (ts) => history.replaceTable(entry, ts),
      'drop-table': (ts) => history.dropTable(job.tableId, ts),
      'truncate-table': (ts) => recreate(history, job.tableId, entry, ts),
      'alter-partitioning': (ts) => recreate(history, job.tableId, entry, ts),
    }
    const name = table.info.name.original
    const query =
      job.type === ActionType.DropTable
        ? `DROP TABLE ${quoteName(schema.name)}.${quoteName(name)}`
        : job.type === ActionType.DropView
          ? `DROP VIEW ${quoteName(schema.name)}.${quoteName(name)}`
          : job.query
    return [
      {
        schema: schema.name,
        table: name,
        filterSchema: schema.name,
        filterTable: name,
        before: effect === 'create-table' ? undefined : before,
        after: { table, schema: schema.name },
        query,
        apply: effects[effect],
        emitted: () => this.#isEmitted(effect, schema.name, name, before, table.info.id),
      },
    ]
  }

  /** A DDL on an ineligible table is not sent; one that makes a replicated table ineligible fails the changefeed. */
  #isEmitted(
    effect: TableEffect,
    schema: string,
    name: string,
    before: TableEntry | undefined,
    afterId: bigint,
  ): boolean {
    const after = this.#history.latestTable(afterId)
    if (after === undefined || after.eligible) return true
    if (effect === 'create-table' || before === undefined || !before.eligible) return false
    throw new CdcError(
      'CDC:ErrTableIneligible',
      `table ${schema}.${name} has lost its primary key or not-null unique key by a DDL and cannot be replicated any more, ` +
        'set force-replicate to replicate it all the same',
    )
  }

  #createTables(finished: FinishedJob): readonly Change[] {
    const { job, tables } = finished
    const statements = splitStatements(job.query, job.sqlMode)
    if (statements.length !== tables.length)
      throw new CdcError(
        'CDC:ErrInvalidDDLJob',
        `DDL job ${job.id} creates ${tables.length} tables by ${statements.length} statements`,
      )
    return tables.flatMap((table, i) => {
      const name = table.info.name.original
      const schema = this.#schemaOf(job, name)
      if (schema === undefined || !this.#filter.matchesTable(schema.name, name)) return []
      const entry = tableEntry(schema, table.info, table.json, this.#filter)
      return [
        {
          schema: schema.name,
          table: name,
          filterSchema: schema.name,
          filterTable: name,
          before: undefined,
          after: { table, schema: schema.name },
          query: `${statements[i] ?? ''};`,
          apply: (ts: Ts) => this.#history.createTable(entry, ts),
          emitted: () => entry.eligible,
        },
      ]
    })
  }

  #renameTable(finished: FinishedJob): readonly Change[] {
    const { job } = finished
    const table = tableOf(finished)
    const name = table.info.name.original
    const newSchema = this.#history.latestSchema(job.schemaId)
    const newSchemaName = newSchema?.name ?? job.schemaName
    const change = this.#rename(table, job.tableId, newSchema, newSchemaName, job.query)
    return change === undefined ? [] : [{ ...change, schema: newSchemaName, table: name }]
  }

  #renameTables(finished: FinishedJob): readonly Change[] {
    const { job, tables } = finished
    const renames = renamesOf(job)
    if (renames.length !== tables.length)
      throw new CdcError(
        'CDC:ErrInvalidDDLJob',
        `DDL job ${job.id} renames ${tables.length} tables, its arguments name ${renames.length}`,
      )
    const changes = tables.flatMap((table, i) => {
      const rename = renames[i]
      if (rename === undefined) return []
      const newSchema = this.#history.latestSchema(rename.newSchemaId)
      const old = this.#history.latestTable(rename.tableId)
      // The job does not name the schema, so the statement cannot be told: only a filter of single tables lets it be unknown.
      if (newSchema === undefined && old !== undefined)
        throw new CdcError(
          'CDC:ErrSnapshotSchemaNotFound',
          `DDL job ${job.id} renames table ${old.name}(${old.id}) into schema ${rename.newSchemaId}, which is not in the snapshot`,
        )
      const newName = table.info.name.original
      const oldSchema = rename.oldSchema || ((old && this.#history.latestSchema(old.schemaId)?.name) ?? '')
      const query =
        `RENAME TABLE ${quoteName(oldSchema)}.${quoteName(rename.oldTable || (old?.name ?? ''))} ` +
        `TO ${quoteName(newSchema?.name ?? '')}.${quoteName(newName)}`
      const change = this.#rename(table, rename.tableId, newSchema, newSchema?.name, query)
      return change === undefined ? [] : [{ ...change, type: ActionType.RenameTable }]
    })
    // Names may rotate among the tables of one statement: all of them go before the first one comes.
    const [first, ...rest] = changes
    if (first === undefined) return []
    // A table that is renamed twice is there once, under its last name.
    const last = new Map(changes.map((change) => [change.before?.id, change]))
    const applyAll = (ts: Ts): void => {
      for (const id of last.keys()) if (id !== undefined) this.#history.dropTable(id, ts)
      for (const change of last.values()) change.create(ts)
    }
    return [{ ...first, apply: applyAll }, ...rest.map((change) => ({ ...change, apply: () => {} }))]
  }

  /** One table's new name; undefined where the filter wants neither name. */
  #rename(
    table: JobTable,
    tableId: bigint,
    newSchema: SchemaEntry | undefined,
    newSchemaName: string | undefined,
    query: string,
  ): (Change & { readonly create: (ts: Ts) => void }) | undefined {
    const old = this.#history.latestTable(tableId)
    const oldSchema = old && this.#history.latestSchema(old.schemaId)?.name
    const newName = table.info.name.original
    const wantsOld = old !== undefined && oldSchema !== undefined && this.#filter.matchesTable(oldSchema, old.name)
    const wantsNew =
      newSchemaName !== undefined && newSchemaName !== '' && this.#filter.matchesTable(newSchemaName, newName)
    if (!wantsOld && !wantsNew) return undefined
    if (!wantsOld)
      throw new CdcError(
        'CDC:ErrSyncRenameTableFailed',
        `table ${tableId} is renamed to ${newSchemaName}.${newName}, which the filter matches, from a name that it does not match`,
      )
    const entry = newSchema && tableEntry(newSchema, table.info, table.json, this.#filter)
    const create = (ts: Ts): void => {
      if (entry !== undefined) this.#history.createTable(entry, ts)
    }
    return {
      schema: newSchemaName ?? '',
      table: newName,
      filterSchema: oldSchema,
      filterTable: old.name,
      before: old,
      after: { table, schema: newSchemaName ?? '' },
      query,
      create,
      apply: (ts) => {
        this.#history.dropTable(tableId, ts)
        create(ts)
      },
      emitted: () =>
        entry === undefined || this.#isEmitted('replace-table', newSchemaName ?? '', newName, old, entry.id),
    }
  }

  #exchangePartition(finished: FinishedJob): readonly Change[] {
    const { job } = finished
    const table = tableOf(finished)
    const normal = this.#history.latestTable(job.tableId)
    const partitioned = this.#history.latestTable(table.info.id)
    if (normal === undefined && partitioned === undefined) return []
    if (normal === undefined || partitioned === undefined)
      throw new CdcError(
        'CDC:ErrExchangePartition',
        `table ${job.tableId} and a partition of table ${table.info.id} are exchanged, but the filter matches only one of them`,
      )
    const normalSchema = this.#history.latestSchema(normal.schemaId)
    const schema = this.#history.latestSchema(partitioned.schemaId)
    if (normalSchema === undefined || schema === undefined) return []
    const entry = tableEntry(schema, table.info, table.json, this.#filter)
    const added = entry.physicalIds.filter((id) => !partitioned.physicalIds.includes(id))
    const removed = partitioned.physicalIds.filter((id) => !entry.physicalIds.includes(id))
    const [partitionId] = removed
    const contained = added.length === 0 && removed.length === 0
    if (
      !contained &&
      (added.length !== 1 || added[0] !== normal.id || partitionId === undefined || removed.length !== 1)
    )
      throw new CdcError(
        'CDC:ErrExchangePartition',
        `DDL job ${job.id} exchanges table ${normal.id}, but partitions [${removed.join(', ')}] became [${added.join(', ')}]`,
      )
    const exchanged = exchangeOf(job.query, job.sqlMode)
    return [
      {
        schema: schema.name,
        table: entry.name,
        filterSchema: schema.name,
        filterTable: entry.name,
        before: normal,
        after: { table, schema: schema.name },
        alsoTouched: partitioned.physicalIds,
        query:
          exchanged === undefined
            ? job.query
            : `ALTER TABLE ${quoteName(schema.name)}.${quoteName(entry.name)} EXCHANGE PARTITION ${quoteName(exchanged.partition)} ` +
              `WITH TABLE ${quoteName(normalSchema.name)}.${quoteName(normal.name)}${exchanged.validation ? '' : ' WITHOUT VALIDATION'}`,
        apply: (ts) => {
          if (partitionId === undefined) return
          this.#history.dropTable(normal.id, ts)
          this.#history.replaceTable(entry, ts)
          this.#history.createTable(withId(normal, partitionId), ts)
        },
        emitted: () => this.#isEmitted('replace-table', schema.name, entry.name, partitioned, entry.id),
      },
    ]
  }

  /**
   * The schema of a table job, undefined where the job is to be discarded: a schema that the snapshot lacks is one that
   * the filter does not match, as that of a system table.
   */
  #schemaOf(job: DdlJob, table: string): SchemaEntry | undefined {
    const schema = this.#history.latestSchema(job.schemaId)
    if (schema !== undefined || job.schemaName === '' || !this.#filter.matchesTable(job.schemaName, table))
      return schema
    throw new CdcError(
      'CDC:ErrHandleDDLFailed',
      `DDL job ${job.id} changes ${job.schemaName}.${table}, but schema ${job.schemaId} is not known`,
    )
  }

  #eventOf(finished: FinishedJob, action: Action, change: Change, seq: number): TrackedDdl {
    const { job, startTs, commitTs } = finished
    const type = change.type ?? job.type
    const before = change.before && this.#wrap(change.before, previousTs(commitTs))
    const after =
      change.after && wrapTable(change.after.table.info, change.after.schema, commitTs, change.after.table.info.id)
    const afterIds = physicalIdsOf(change.after?.table)
    const related = change.before?.physicalIds ?? afterIds
    return {
      event: {
        startTs,
        commitTs,
        seq,
        type,
        query: rewriteDdl(change.query, job.sqlMode),
        schema: change.schema,
        table: change.table,
        after,
        before,
        charset: job.charset,
        collate: job.collate,
        bdrRole: job.bdrRole,
        sqlMode: job.sqlMode,
      },
      barrier: action.barrier === 'global' ? 'global' : { tables: related },
      touched: [...new Set([...related, ...afterIds, ...(change.alsoTouched ?? [])])],
      ignored:
        (this.#bdrMode && job.bdrRole !== 'primary') ||
        this.#filter.ignoresDdl(job.type, change.filterSchema, change.filterTable, job.query, startTs),
    }
  }

  #wrap(table: TableEntry, ts: Ts): TableVersion {
    const schema = this.#history.schemaAt(table.schemaId, ts)?.name ?? ''
    const [physicalId = table.id] = table.physicalIds
    const since = this.#history.physicalAt(physicalId, ts)?.since ?? ts
    return wrapTable(parseTableInfo(table.info), schema, since, table.id)
  }
}

/** One event's worth of a job. */
interface Change {
  readonly schema: string
  readonly table: string
  /** Names that event filters look at: those before the DDL. */
  readonly filterSchema: string
  readonly filterTable: string
  readonly before: TableEntry | undefined
  readonly after: { readonly table: JobTable; readonly schema: string } | undefined
  /** Physical tables whose schema changes, beside those of `before` and `after`. */
  readonly alsoTouched?: readonly bigint[]
  readonly query: string
  /** Action code of the event where it is not the job's. */
  readonly type?: number
  apply(ts: Ts): void
  /** Asked after `apply`; absent = yes. */
  emitted?(): boolean
}

type TableEffect = 'create-table' | 'replace-table' | 'drop-table' | 'truncate-table' | 'alter-partitioning'

/** Effects whose table before the DDL is `job.table_id`, not the id of the table after it. */
const BY_JOB_TABLE: ReadonlySet<TableEffect> = new Set(['drop-table', 'truncate-table', 'alter-partitioning'])

function recreate(history: SchemaHistory, oldId: bigint, entry: TableEntry, ts: Ts): void {
  history.dropTable(oldId, ts)
  history.createTable(entry, ts)
}

function tableOf(finished: FinishedJob): JobTable {
  if (finished.table !== undefined) return finished.table
  const { job } = finished
  throw new CdcError('CDC:ErrInvalidDDLJob', `DDL job ${job.id} of type ${job.type} carries no table: ${job.query}`)
}

const physicalIdsOf = (table: JobTable | undefined): readonly bigint[] =>
  table === undefined ? [] : (table.info.partitions?.map((partition) => partition.id) ?? [table.info.id])

/** The table under a new id, as the exchange with a partition leaves it. */
function withId(table: TableEntry, id: bigint): TableEntry {
  const json = objectOf(parseJson(new TextDecoder().decode(table.info)))
  return { ...table, id, physicalIds: [id], info: sharedCopy(new TextEncoder().encode(stringifyJson({ ...json, id }))) }
}

interface Rename {
  readonly tableId: bigint
  readonly newSchemaId: bigint
  readonly oldSchema: string
  /** Empty in jobs of TiDB before 8.2. */
  readonly oldTable: string
}

/** Arguments of RENAME TABLES in both versions (reference: schema-tracking, section 1.5). */
function renamesOf(job: DdlJob): readonly Rename[] {
  if (job.version === 2)
    return listOf(objectOf(job.rawArgs)['rename_table_infos']).map((item) => {
      const rename = objectOf(item)
      return {
        tableId: integerOf(rename['table_id']),
        newSchemaId: integerOf(rename['new_schema_id']),
        oldSchema: nameOf(rename['old_schema_name']).original,
        oldTable: nameOf(rename['old_table_name']).original,
      }
    })
  const [, newSchemaIds, , tableIds, oldSchemas, oldTables] = listOf(job.rawArgs)
  return listOf(tableIds).map((tableId, i) => ({
    tableId: integerOf(tableId),
    newSchemaId: integerOf(listOf(newSchemaIds)[i]),
    oldSchema: nameOf(listOf(oldSchemas)[i]).original,
    oldTable: nameOf(listOf(oldTables)[i]).original,
  }))
}
