import { CommitRequest, Op, PrewriteRequest } from '../../proto/kvrpcpb.ts'
import { integerOf, listOf, numberOf, objectOf, parseJson, stringifyJson, stringOf } from '../../tidb/json-big.ts'
import type { JsonObject, JsonValue } from '../../tidb/json-big.ts'
import { intHandle, recordKey } from '../../tidb/key.ts'
import {
  databaseKey,
  DDL_HISTORY_TABLE_ID,
  DDL_JOB_TABLE_ID,
  jobHistoryKey,
  nextGlobalIdKey,
  schemaDiffKey,
  schemaVersionKey,
  tableKey,
} from '../../tidb/meta-key.ts'
import { encodeTableRow } from '../../tidb/table-codec.ts'
import { parseTableInfo } from '../../tidb/table-info-json.ts'
import { utcZone } from '../../tidb/time-zone.ts'
import type { Value } from '../../tidb/value.ts'
import type { Cluster } from '../tikv/cluster.ts'
import { valueAt } from '../tikv/mvcc.ts'
import { findTable } from './table-names.ts'

/** A transaction that the store did not take: a locked or newer key, a key twice. */
export class InjectError extends Error {}

/** One key of an injected transaction; no value = delete. */
export interface InjectedWrite {
  readonly key: Uint8Array
  readonly value?: Uint8Array
}

export interface InjectedTxn {
  readonly startTs: bigint
  readonly commitTs: bigint
}

const LATEST = 0xffff_ffff_ffff_ffffn
const STATE_DONE = 4
const STATE_SYNCED = 6

/** Writes raw pairs in one transaction. */
export function injectWrites(cluster: Cluster, writes: readonly InjectedWrite[], txnSource = 0n): InjectedTxn {
  return commit(cluster, cluster.oracle.next(), writes, txnSource)
}

function commit(
  { oracle, prewrites, finishes }: Cluster,
  startTs: bigint,
  writes: readonly InjectedWrite[],
  txnSource = 0n,
): InjectedTxn {
  const mutations = writes.map(({ key, value }) => ({
    op: value === undefined ? Op.Del : Op.Put,
    key: Buffer.from(key),
    value: Buffer.from(value ?? []),
  }))
  const keys = mutations.map(({ key }) => key)
  const [primaryLock] = keys
  if (primaryLock === undefined) throw new InjectError('there is nothing to write')
  const { errors } = prewrites.prewrite(
    PrewriteRequest.fromPartial({
      context: { txnSource },
      mutations,
      primaryLock,
      startVersion: startTs,
      lockTtl: 3000n,
    }),
  )
  if (errors.length > 0) throw new InjectError('a key is locked, or was written meanwhile')
  const commitTs = oracle.next()
  const { error } = finishes.commit(CommitRequest.fromPartial({ startVersion: startTs, keys, commitVersion: commitTs }))
  if (error !== undefined) throw new InjectError('the commit was refused')
  return { startTs, commitTs }
}

/**
 * Runs a DDL job that somebody else made: its row with state done, the metadata that its `binlog` shows, a schema version
 * and diff, in one transaction; then the row moves to the history. What the job does not say is filled in: id, state,
 * timestamps, schema version (0 stays 0: a job without effect).
 */
export function injectJob(cluster: Cluster, given: JsonObject): InjectedTxn & { readonly jobId: bigint } {
  const read = (key: Uint8Array): bigint =>
    BigInt(valueAt(cluster.mvcc.get(key)?.writes ?? [], LATEST)?.toString() ?? '0')
  const startTs = cluster.oracle.next()
  const binlog = objectOf(given['binlog'])
  const hasEffect = binlog['SchemaVersion'] === undefined || integerOf(binlog['SchemaVersion']) !== 0n
  const version = read(schemaVersionKey()) + 1n
  const lastId = read(nextGlobalIdKey())
  const jobId = given['id'] === undefined ? lastId + 1n : integerOf(given['id'])
  const job: JsonObject = {
    version: 1,
    query: '',
    raw_args: null,
    schema_state: 5,
    ...given,
    id: jobId,
    state: STATE_DONE,
    real_start_ts: startTs,
    start_ts: startTs,
    binlog: {
      DBInfo: null,
      TableInfo: null,
      MultipleTableInfos: null,
      ...binlog,
      FinishedTS: 0,
      SchemaVersion: hasEffect ? version : 0n,
    },
  }
  const meta = hasEffect ? metaWrites(job) : []
  const largest = [jobId, ...idsOf(job)].filter((id) => id < 1n << 47n).reduce((a, b) => (a > b ? a : b), lastId)
  const counters = [
    { key: nextGlobalIdKey(), value: Buffer.from(String(largest)) },
    ...(hasEffect
      ? [
          { key: schemaVersionKey(), value: Buffer.from(String(version)) },
          { key: schemaDiffKey(version), value: Buffer.from(stringifyJson(diffOf(job, version))) },
        ]
      : []),
  ]
  const row = { key: recordKey(DDL_JOB_TABLE_ID, intHandle(jobId)), value: jobRow(cluster, 'tidb_ddl_job', job) }
  const done = commit(cluster, startTs, unique([row, ...meta, ...counters]))
  const synced = { ...job, state: STATE_SYNCED }
  injectWrites(cluster, [
    { key: row.key },
    { key: recordKey(DDL_HISTORY_TABLE_ID, intHandle(jobId)), value: jobRow(cluster, 'tidb_ddl_history', synced) },
    { key: jobHistoryKey(jobId), value: Buffer.from(stringifyJson(synced, { html: true })) },
  ])
  return { ...done, jobId }
}

/** The last write of a key counts. */
const unique = (writes: readonly InjectedWrite[]): InjectedWrite[] => [
  ...new Map(writes.map((write) => [Buffer.from(write.key).toString('hex'), write])).values(),
]

const idsOf = (job: JsonObject): bigint[] => {
  const binlog = objectOf(job['binlog'])
  const tables = [binlog['TableInfo'], ...listOf(binlog['MultipleTableInfos'])].map(objectOf)
  const parts = tables.flatMap((table) => listOf(objectOf(table['partition'])['definitions']).map(objectOf))
  return [job, objectOf(binlog['DBInfo']), ...tables, ...parts].flatMap((one) =>
    one['id'] === undefined ? [] : integerOf(one['id']),
  )
}

const DROP_SCHEMA = 2
const RENAME_TABLE = 14
const EXCHANGE_PARTITION = 42
const RENAME_TABLES = 47

/** What TiDB keeps under `DBs` and `DB:<id>` after the job. */
function metaWrites(job: JsonObject): InjectedWrite[] {
  const type = numberOf(job['type'])
  const schemaId = integerOf(job['schema_id'])
  const binlog = objectOf(job['binlog'])
  const args = objectOf(Array.isArray(job['raw_args']) ? null : job['raw_args'])
  if ((binlog['DBInfo'] ?? null) !== null) {
    const key = databaseKey(integerOf(objectOf(binlog['DBInfo'])['id']))
    return type === DROP_SCHEMA ? [{ key }] : [{ key, value: bytesOf(binlog['DBInfo']) }]
  }
  if (type === RENAME_TABLES)
    return listOf(args['rename_table_infos']).flatMap((item, i) => {
      const move = objectOf(item)
      const id = integerOf(move['table_id'])
      return [
        { key: tableKey(integerOf(move['old_schema_id']), id) },
        {
          key: tableKey(integerOf(move['new_schema_id']), id),
          value: bytesOf(listOf(binlog['MultipleTableInfos'])[i]),
        },
      ]
    })
  const tables = listOf(binlog['MultipleTableInfos'])
  if (tables.length > 0)
    return tables.map((table) => ({ key: tableKey(schemaId, integerOf(objectOf(table)['id'])), value: bytesOf(table) }))
  if ((binlog['TableInfo'] ?? null) === null) return []
  const table = objectOf(binlog['TableInfo'])
  const id = integerOf(table['id'])
  if (numberOf(table['state']) === 0) return [{ key: tableKey(schemaId, id) }]
  // Of an exchange, the table of the job is the other one.
  if (type === EXCHANGE_PARTITION)
    return [{ key: tableKey(integerOf(args['pt_schema_id'] ?? schemaId), id), value: bytesOf(table) }]
  const from =
    type === RENAME_TABLE && args['old_schema_id'] !== undefined ? integerOf(args['old_schema_id']) : schemaId
  const old = tableKey(from, integerOf(job['table_id'] ?? id))
  return [{ key: old }, { key: tableKey(schemaId, id), value: bytesOf(table) }]
}

const bytesOf = (json: JsonValue | undefined): Buffer => Buffer.from(stringifyJson(json ?? null, { html: true }))

const diffOf = (job: JsonObject, version: bigint): JsonObject => ({
  version,
  type: job['type'] ?? 0,
  schema_id: job['schema_id'] ?? 0,
  table_id: objectOf(objectOf(job['binlog'])['TableInfo'])['id'] ?? job['table_id'] ?? 0,
  old_table_id: job['table_id'] ?? 0,
  old_schema_id: 0,
  regenerate_schema_map: false,
  affected_options: null,
})

/** A row of one of TiDB's job tables, whose definition is read where TiDB keeps it. */
function jobRow({ mvcc }: Cluster, name: 'tidb_ddl_job' | 'tidb_ddl_history', job: JsonObject): Uint8Array {
  const id = findTable(mvcc, 'mysql', name)
  const stored = id === undefined ? undefined : storedTable(mvcc, id)
  if (stored === undefined)
    throw new InjectError(`there is no table mysql.${name}: start the playground with its SQL front`)
  const values: Readonly<Record<string, Value>> = {
    job_id: Number(integerOf(job['id'])),
    reorg: 0,
    schema_ids: Buffer.from(String(integerOf(job['schema_id']))),
    table_ids: Buffer.from(String(integerOf(job['table_id']))),
    job_meta: Buffer.from(stringifyJson(job, { html: true })),
    type: numberOf(job['type']),
    processing: 1,
    db_name: Buffer.from(stringOf(job['schema_name'])),
    table_name: Buffer.from(stringOf(job['table_name'])),
  }
  const row = stored.columns.map((column) => values[column.name.lower] ?? null)
  return encodeTableRow(stored, row, utcZone)
}

function storedTable(mvcc: Cluster['mvcc'], id: bigint): ReturnType<typeof parseTableInfo> | undefined {
  // The system schema is the first database that the bootstrap makes.
  const value = valueAt(mvcc.get(tableKey(1n, id))?.writes ?? [], LATEST)
  return value === undefined ? undefined : parseTableInfo(value)
}

/** `{"writes": [{"key": hex, "value"?: base64}], "txnSource"?: n}` */
export function parseWrites(body: Readonly<Record<string, unknown>>): InjectedWrite[] {
  const json = objectOf(parseJson(stringifyJson(body)))
  return listOf(json['writes']).map((item, i) => {
    const { key, value } = objectOf(item)
    if (typeof key !== 'string' || !/^(?:[0-9a-f]{2})+$/i.test(key))
      throw new InjectError(`writes[${i}].key must be hex digits`)
    if (value === undefined || value === null) return { key: Buffer.from(key, 'hex') }
    if (typeof value !== 'string') throw new InjectError(`writes[${i}].value must be base64`)
    return { key: Buffer.from(key, 'hex'), value: Buffer.from(value, 'base64') }
  })
}
