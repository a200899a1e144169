import { CdcError } from '../base/errors.ts'
import {
  integerOf,
  type JsonObject,
  type JsonValue,
  listOf,
  numberOf,
  objectOf,
  parseJson,
  stringifyJson,
  stringOf,
} from './json-big.ts'
import { type DatabaseInfo, databaseInfoOf, tableInfoOf } from './table-info-json.ts'
import type { TableInfo } from './table-info.ts'

/** States of a DDL job (reference: schema-tracking, 1.3). */
export const JobState = {
  None: 0,
  Running: 1,
  RollingBack: 2,
  RollbackDone: 3,
  Done: 4,
  Cancelled: 5,
  Synced: 6,
  Cancelling: 7,
  Queueing: 8,
  Paused: 9,
  Pausing: 10,
} as const

/** What a finished job made of the schema. */
export interface JobResult {
  /** 0 = the statement had no effect (IF NOT EXISTS …). */
  readonly schemaVersion: bigint
  /** 0 in the job table; the commitTs of the job's row counts instead. */
  readonly finishedTs: bigint
  readonly database: DatabaseInfo | undefined
  /** After the DDL. */
  readonly table: TableInfo | undefined
  /** After CREATE TABLES and RENAME TABLES. */
  readonly tables: readonly TableInfo[]
}

/** One statement part of an ALTER TABLE with several. */
export interface SubJob {
  readonly type: number
  readonly rawArgs: JsonValue
  readonly state: number
}

/** JSON of model.Job (reference: schema-tracking, 1.4). */
export interface DdlJob {
  readonly id: bigint
  /** Action code (section 2.2). */
  readonly type: number
  readonly schemaId: bigint
  readonly tableId: bigint
  /** May be empty in jobs of old versions. */
  readonly schemaName: string
  readonly tableName: string
  readonly state: number
  /** Version 1: a list, version 2: an object; null when none. */
  readonly rawArgs: JsonValue
  /** Of `rawArgs`. */
  readonly version: 1 | 2
  readonly schemaState: number
  readonly startTs: bigint
  readonly realStartTs: bigint
  /** As typed; one statement may make several jobs. */
  readonly query: string
  readonly result: JobResult | undefined
  readonly subJobs: readonly SubJob[]
  /** Set where the job rebuilds rows or indexes. */
  readonly hasReorgMeta: boolean
  /** Of the session, for reading `query`. */
  readonly charset: string
  readonly collate: string
  readonly sqlMode: bigint
  /** `primary`, `secondary` or empty. */
  readonly bdrRole: string
  readonly cdcWriteSource: bigint
  readonly seqNum: bigint
}

const decoder = new TextDecoder()

/** Reads a job as TiDB stores it. Error: `CDC:ErrUnmarshalFailed` where it is not JSON. */
export function parseDdlJob(bytes: Uint8Array): DdlJob {
  let json: JsonValue
  try {
    json = parseJson(decoder.decode(bytes))
  } catch (cause) {
    throw new CdcError('CDC:ErrUnmarshalFailed', 'a DDL job is not JSON', { cause })
  }
  return ddlJobOf(objectOf(json))
}

/** The same from JSON that is parsed already. */
export function ddlJobOf(json: JsonObject): DdlJob {
  return {
    id: integerOf(json['id']),
    type: numberOf(json['type']),
    schemaId: integerOf(json['schema_id']),
    tableId: integerOf(json['table_id']),
    schemaName: stringOf(json['schema_name']),
    tableName: stringOf(json['table_name']),
    state: numberOf(json['state']),
    rawArgs: json['raw_args'] ?? null,
    version: numberOf(json['version']) === 2 ? 2 : 1,
    schemaState: numberOf(json['schema_state']),
    startTs: integerOf(json['start_ts']),
    realStartTs: integerOf(json['real_start_ts']),
    query: stringOf(json['query']),
    result: resultOf(json['binlog']),
    subJobs: listOf(objectOf(json['multi_schema_info'])['sub_jobs']).map((item) => subJobOf(objectOf(item))),
    hasReorgMeta: (json['reorg_meta'] ?? null) !== null,
    charset: stringOf(json['charset']),
    collate: stringOf(json['collate']),
    sqlMode: integerOf(json['sql_mode']),
    bdrRole: stringOf(json['bdr_role']),
    cdcWriteSource: integerOf(json['cdc_write_source']),
    seqNum: integerOf(json['seq_num']),
  }
}

function resultOf(json: JsonValue | undefined): JobResult | undefined {
  if (json === undefined || json === null) return undefined
  const binlog = objectOf(json)
  return {
    schemaVersion: integerOf(binlog['SchemaVersion']),
    finishedTs: integerOf(binlog['FinishedTS']),
    database: optional(binlog['DBInfo'], databaseInfoOf),
    table: optional(binlog['TableInfo'], tableInfoOf),
    tables: listOf(binlog['MultipleTableInfos']).map((table) => tableInfoOf(objectOf(table))),
  }
}

const optional = <T>(json: JsonValue | undefined, read: (json: JsonObject) => T): T | undefined =>
  json === undefined || json === null ? undefined : read(objectOf(json))

const subJobOf = (json: JsonObject): SubJob => ({
  type: numberOf(json['type']),
  rawArgs: json['raw_args'] ?? null,
  state: numberOf(json['state']),
})

/** What a writer of jobs sets; everything else is what TiDB writes by default. Infos are JSON, as they are stored. */
export interface DdlJobFields {
  readonly id: bigint
  readonly type: number
  readonly schemaId: bigint
  readonly tableId: bigint
  readonly schemaName: string
  readonly tableName: string
  readonly state: number
  readonly schemaState: number
  readonly startTs: bigint
  /** `startTs` when absent. */
  readonly realStartTs?: bigint
  readonly query: string
  readonly rawArgs?: JsonValue
  readonly version?: 1 | 2
  readonly schemaVersion: bigint
  readonly finishedTs?: bigint
  readonly database?: JsonObject
  readonly table?: JsonObject
  readonly tables?: readonly JsonObject[]
  readonly multiSchemaInfo?: JsonObject
  readonly seqNum?: bigint
  readonly sqlMode?: bigint
  readonly charset?: string
  readonly collate?: string
  readonly bdrRole?: string
}

/** TiDB's default sql_mode: ONLY_FULL_GROUP_BY, STRICT_TRANS_TABLES and the rest of MySQL 5.7's default. */
export const DEFAULT_SQL_MODE = 1_436_549_152n

/** JSON of model.Job with TiDB's keys in TiDB's order. */
export function stringifyDdlJob(job: DdlJobFields): string {
  const json = {
    id: job.id,
    type: job.type,
    schema_id: job.schemaId,
    table_id: job.tableId,
    schema_name: job.schemaName,
    table_name: job.tableName,
    state: job.state,
    warning: null,
    err: null,
    err_count: 0,
    row_count: 0,
    raw_args: job.rawArgs ?? null,
    schema_state: job.schemaState,
    snapshot_ver: 0,
    real_start_ts: job.realStartTs ?? job.startTs,
    start_ts: job.startTs,
    dependency_id: 0,
    query: job.query,
    binlog: {
      SchemaVersion: job.schemaVersion,
      DBInfo: job.database ?? null,
      TableInfo: job.table ?? null,
      FinishedTS: job.finishedTs ?? 0n,
      MultipleTableInfos: job.tables ?? null,
    },
    version: job.version ?? 1,
    reorg_meta: null,
    multi_schema_info: job.multiSchemaInfo ?? null,
    priority: 0,
    seq_num: job.seqNum ?? 0n,
    charset: job.charset ?? 'utf8mb4',
    collate: job.collate ?? 'utf8mb4_bin',
    admin_operator: 0,
    trace_info: null,
    bdr_role: job.bdrRole ?? '',
    cdc_write_source: 0,
    local_mode: false,
    sql_mode: job.sqlMode ?? DEFAULT_SQL_MODE,
    last_schema_version: 0,
  }
  return stringifyJson(json, { html: true })
}
