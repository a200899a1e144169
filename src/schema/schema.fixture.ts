import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DEFAULT_SQL_MODE, JobState, stringifyDdlJob } from '../tidb/ddl-job.ts'
import { type JsonObject, type JsonValue, listOf, objectOf, parseJson, stringOf } from '../tidb/json-big.ts'
import { compareBytes } from '../tidb/key.ts'
import { databaseKey, schemaDiffKey, schemaVersionKey, tableKey } from '../tidb/meta-key.ts'
import {
  ciName,
  databaseInfoJson,
  stringifyDatabaseInfo,
  stringifyTableInfo,
  tableInfoJson,
} from '../tidb/table-info-json.ts'
import { FieldFlag, MysqlType, STATE_PUBLIC, type TableInfo } from '../tidb/table-info.ts'
import { Ts } from '../tidb/ts.ts'
import { type FinishedJob, readJob } from './finished-job.ts'
import type { MetaReader, TableFilter } from './ports.ts'
import { loadSchema } from './snapshot.ts'
import { createSchemaTracker, type SchemaTracker } from './tracker.ts'

// Small schemas and jobs for this folder's tests, in TiDB's formats.

export interface TableShape {
  readonly id: bigint
  readonly name: string
  /** Names of integer columns; the first is the clustered primary key unless `ineligible`. */
  readonly columns?: readonly string[]
  readonly ineligible?: boolean
  readonly partitions?: readonly bigint[]
  readonly view?: boolean
}

export function tableOf(shape: TableShape): TableInfo {
  const columns = shape.columns ?? ['id']
  return {
    id: shape.id,
    name: ciName(shape.name),
    charset: 'utf8mb4',
    collate: 'utf8mb4_bin',
    columns: columns.map((name, offset) => ({
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
        tp: MysqlType.Longlong,
        flag: offset === 0 && shape.ineligible !== true ? FieldFlag.NotNull | FieldFlag.PriKey : 0,
        flen: 20,
        decimal: 0,
        charset: 'binary',
        collate: 'binary',
        elems: [],
        array: false,
      },
      state: STATE_PUBLIC,
      comment: '',
      hidden: false,
      version: 2,
    })),
    indexes: [],
    state: STATE_PUBLIC,
    pkIsHandle: shape.ineligible !== true,
    isCommonHandle: false,
    commonHandleVersion: 0,
    comment: '',
    updateTs: 0n,
    maxColumnId: columns.length,
    partitions: shape.partitions?.map((id, i) => ({ id, name: ciName(`p${i}`) })),
    isView: shape.view === true,
    isSequence: false,
    tempTableType: 0,
  }
}

export interface JobShape {
  readonly id: bigint
  readonly type: number
  readonly ts: bigint
  readonly schemaId?: bigint
  readonly schemaName?: string
  readonly tableId?: bigint
  readonly database?: string
  readonly table?: TableShape
  readonly tables?: readonly TableShape[]
  readonly query?: string
  readonly rawArgs?: JsonValue
  readonly version?: 1 | 2
  readonly schemaVersion?: bigint
}

/** Partition definitions that the reader of table info takes. */
const stored = (shape: TableShape): JsonObject => ({
  ...(shape.view === true ? { view: { view_select: 'SELECT 1' } } : {}),
  ...(shape.partitions === undefined
    ? {}
    : { partition: { enable: true, type: 2, expr: 'id', num: shape.partitions.length } }),
})

export const jobText = (job: JobShape): string =>
  stringifyDdlJob({
    id: job.id,
    type: job.type,
    schemaId: job.schemaId ?? 1n,
    tableId: job.tableId ?? job.table?.id ?? 0n,
    schemaName: job.schemaName ?? '',
    tableName: job.table?.name ?? '',
    state: JobState.Done,
    schemaState: STATE_PUBLIC,
    startTs: job.ts - 5n,
    query: job.query ?? `statement ${job.id}`,
    ...(job.rawArgs === undefined ? {} : { rawArgs: job.rawArgs }),
    ...(job.version === undefined ? {} : { version: job.version }),
    schemaVersion: job.schemaVersion ?? job.ts,
    ...(job.database === undefined ? {} : { database: databaseInfoJson(databaseOf(job.schemaId ?? 1n, job.database)) }),
    ...(job.table === undefined ? {} : { table: tableInfoJson(tableOf(job.table), stored(job.table)) }),
    ...(job.tables === undefined
      ? {}
      : { tables: job.tables.map((table) => tableInfoJson(tableOf(table), stored(table))) }),
    sqlMode: DEFAULT_SQL_MODE,
  })

export const jobOf = (job: JobShape): FinishedJob => readJob(jobText(job), Ts(job.ts - 5n), Ts(job.ts))

const databaseOf = (id: bigint, name: string) => ({
  id,
  name: ciName(name),
  charset: 'utf8mb4',
  collate: 'utf8mb4_bin',
  state: STATE_PUBLIC,
})

/** Pairs of metadata in memory. */
export class MemoryMeta implements MetaReader {
  readonly ts: Ts
  readonly #pairs = new Map<string, { readonly key: Uint8Array; readonly value: Uint8Array }>()

  constructor(ts: bigint, schemaVersion: bigint) {
    this.ts = Ts(ts)
    this.put(schemaVersionKey(), `${schemaVersion}`)
    this.put(schemaDiffKey(schemaVersion), '{}')
  }

  put(key: Uint8Array, value: string): void {
    this.#pairs.set(Buffer.from(key).toString('hex'), { key, value: Buffer.from(value) })
  }

  delete(key: Uint8Array): void {
    this.#pairs.delete(Buffer.from(key).toString('hex'))
  }

  putDatabase(id: bigint, name: string, tables: readonly TableShape[] = []): void {
    this.put(databaseKey(id), stringifyDatabaseInfo(databaseOf(id, name)))
    for (const table of tables) this.put(tableKey(id, table.id), stringifyTableInfo(tableOf(table), stored(table)))
  }

  /** The same metadata, read at another ts. */
  as(ts: bigint): MemoryMeta {
    const copy = new MemoryMeta(ts, 0n)
    for (const [key, pair] of this.#pairs) copy.#pairs.set(key, pair)
    return copy
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#pairs.get(Buffer.from(key).toString('hex'))?.value
  }

  async *scan(start: Uint8Array, end: Uint8Array): AsyncGenerator<readonly { key: Uint8Array; value: Uint8Array }[]> {
    const pairs = [...this.#pairs.values()]
    yield pairs
      .filter(({ key }) => compareBytes(key, start) >= 0 && compareBytes(key, end) < 0)
      .toSorted((a, b) => compareBytes(a.key, b.key))
  }
}

/** Matches every table but those of schemas `mysql` and `out`, and tables whose name begins with `out`. */
export const testFilter: TableFilter = {
  matchesSchema: (schema) => schema !== 'mysql' && schema !== 'out',
  matchesTable: (schema, table) => schema !== 'mysql' && schema !== 'out' && !table.startsWith('out'),
  ignoresDdl: (_type, _schema, table) => table === 'quiet',
  isEligible: (info) => info.pkIsHandle || info.isView,
}

/** A tracker over schema `test` (id 1) with these tables, at ts 100 and schema version 100. */
export async function trackerWith(
  tables: readonly TableShape[],
  meta = new MemoryMeta(100n, 100n),
): Promise<SchemaTracker> {
  meta.putDatabase(1n, 'test', tables)
  meta.putDatabase(2n, 'mysql', [{ id: 90n, name: 'user' }])
  const loaded = await loadSchema(meta, testFilter, new AbortController().signal)
  return createSchemaTracker(loaded, { filter: testFilter, bdrMode: false })
}

/** Rows of the job table in the vectors: the copy beside this file, or those in the folder TIDEWIRE_VECTORS_DIR. */
export function ddlJobVectors(): { readonly jobTable: JsonObject; readonly rows: readonly JsonObject[] } {
  const folder = process.env['TIDEWIRE_VECTORS_DIR']
  const read = (...path: string[]): JsonObject => objectOf(parseJson(readFileSync(join(...path), 'utf8')))
  const stored =
    folder === undefined ? read(import.meta.dirname, 'vectors', 'ddl-jobs.json') : read(folder, 'rows.json')
  const table = folder === undefined ? objectOf(stored['table']) : read(folder, 'tableinfo-tidb_ddl_job.json')
  const rows = listOf(stored['rows']).map(objectOf)
  return {
    jobTable: objectOf(table['table_info']),
    rows: rows.filter((row) => stringOf(row['id']).startsWith('ddl-job-')),
  }
}
