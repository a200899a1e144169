import { JobState, stringifyDdlJob } from '../../../tidb/ddl-job.ts'
import type { JsonObject, JsonValue } from '../../../tidb/json-big.ts'
import { DDL_HISTORY_TABLE_ID, DDL_JOB_TABLE_ID, jobHistoryKey } from '../../../tidb/meta-key.ts'
import { intHandle } from '../../../tidb/key.ts'
import { STATE_PUBLIC } from '../../../tidb/table-info.ts'
import { accessOf } from '../catalog/table-access.ts'
import { findTable } from '../catalog/schema.ts'
import type { Schema, Table } from '../catalog/schema.ts'
import type { Transaction } from '../txn/transaction.ts'
import { fromMicros } from '../value/time.ts'
import type { Value } from '../value/value.ts'

/** Codes of TiDB's DDL actions (reference: schema-tracking 2.2). */
export const Action = {
  CreateSchema: 1,
  DropSchema: 2,
  CreateTable: 3,
  DropTable: 4,
  AddColumn: 5,
  DropColumn: 6,
  AddIndex: 7,
  DropIndex: 8,
  AddForeignKey: 9,
  DropForeignKey: 10,
  TruncateTable: 11,
  ModifyColumn: 12,
  RebaseAutoId: 13,
  RenameTable: 14,
  SetDefaultValue: 15,
  ShardRowId: 16,
  ModifyTableComment: 17,
  RenameIndex: 18,
  AddPartition: 19,
  DropPartition: 20,
  CreateView: 21,
  ModifyTableCharset: 22,
  TruncatePartition: 23,
  DropView: 24,
  RecoverTable: 25,
  ModifySchemaCharset: 26,
  AddPrimaryKey: 32,
  DropPrimaryKey: 33,
  CreateSequence: 34,
  AlterSequence: 35,
  DropSequence: 36,
  ModifyAutoIdCache: 39,
  RebaseAutoRandom: 40,
  AlterIndexVisibility: 41,
  ExchangePartition: 42,
  RenameTables: 47,
  TablePlacement: 56,
  MultiSchemaChange: 61,
  ReorganizePartition: 64,
  AlterTtl: 65,
  RemoveTtl: 67,
  PartitionBy: 71,
  RemovePartitioning: 72,
} as const

/** What one job says to whoever follows the schema. */
export interface JobDraft {
  readonly type: number
  readonly schemaId: bigint
  readonly tableId: bigint
  readonly schemaName: string
  readonly tableName: string
  readonly rawArgs?: JsonValue
  readonly database?: JsonObject
  readonly table?: JsonObject
  readonly tables?: readonly JsonObject[]
  readonly multiSchemaInfo?: JsonObject
}

export interface JobFrame {
  readonly id: bigint
  readonly query: string
  readonly startTs: bigint
  readonly sqlMode: bigint
}

/** State of what the job made: dropped things are gone, all others public. */
const goneTypes: readonly number[] = [
  Action.DropSchema,
  Action.DropTable,
  Action.DropColumn,
  Action.DropIndex,
  Action.DropPrimaryKey,
  Action.DropView,
  Action.DropSequence,
  Action.DropForeignKey,
  Action.DropPartition,
]

function jobText(frame: JobFrame, draft: JobDraft, state: number, schemaVersion: bigint, finishedTs: bigint): string {
  return stringifyDdlJob({
    ...frame,
    ...draft,
    state,
    schemaState: state === JobState.Queueing ? 0 : goneTypes.includes(draft.type) ? 0 : STATE_PUBLIC,
    schemaVersion,
    finishedTs,
    version: 2,
    sqlMode: frame.sqlMode,
  })
}

/** The row of `mysql.tidb_ddl_job` while the job waits or, with state done, in the transaction that changes the schema. */
export function putJob(
  txn: Transaction,
  schema: Schema,
  frame: JobFrame,
  draft: JobDraft,
  state: number,
  schemaVersion: bigint,
): void {
  const table = systemTable(schema, 'tidb_ddl_job')
  const bare =
    state === JobState.Queueing ? { ...draft, database: undefined, table: undefined, tables: undefined } : draft
  const { database, table: info, tables, ...rest } = bare
  const shown: JobDraft = {
    ...rest,
    ...(database === undefined ? {} : { database }),
    ...(info === undefined ? {} : { table: info }),
    ...(tables === undefined ? {} : { tables }),
  }
  const meta = jobText(frame, shown, state, schemaVersion, 0n)
  putRow(txn, table, DDL_JOB_TABLE_ID, frame.id, {
    job_id: frame.id,
    reorg: 0n,
    schema_ids: String(draft.schemaId),
    table_ids: String(draft.tableId),
    job_meta: Buffer.from(meta),
    type: BigInt(draft.type),
    processing: state === JobState.Queueing ? 0n : 1n,
  })
}

/** Moves a finished job into the history, as TiDB does after the schema change has reached all servers. */
export function finishJob(
  txn: Transaction,
  schema: Schema,
  frame: JobFrame,
  draft: JobDraft,
  schemaVersion: bigint,
): void {
  const meta = Buffer.from(jobText(frame, draft, JobState.Synced, schemaVersion, txn.startTs))
  txn.delete(accessOf(systemTable(schema, 'tidb_ddl_job').info).recordKey(intHandle(frame.id)))
  putRow(txn, systemTable(schema, 'tidb_ddl_history'), DDL_HISTORY_TABLE_ID, frame.id, {
    job_id: frame.id,
    job_meta: meta,
    db_name: draft.schemaName,
    table_name: draft.tableName,
    schema_ids: String(draft.schemaId),
    table_ids: String(draft.tableId),
    create_time: { type: 'datetime', ...fromMicros((txn.startTs >> 18n) * 1000n), fsp: 0 },
  })
  txn.put(jobHistoryKey(frame.id), meta)
}

/** Takes a job that failed out of the queue. */
export function dropJob(txn: Transaction, schema: Schema, frame: JobFrame): void {
  txn.delete(accessOf(systemTable(schema, 'tidb_ddl_job').info).recordKey(intHandle(frame.id)))
}

function putRow(
  txn: Transaction,
  table: Table,
  tableId: bigint,
  handle: bigint,
  values: Readonly<Record<string, Value>>,
): void {
  const row = table.info.columns.map(({ name }) => values[name.lower] ?? null)
  const access = accessOf({ ...table.info, id: tableId })
  txn.put(access.recordKey(intHandle(handle)), access.encode(row))
}

const systemTable = (schema: Schema, name: string): Table => findTable(schema, { schema: 'mysql', name })
