// The schema snapshot of a cluster with many tables, loaded as a changefeed loads it. Metadata is made in this process, chunk
// by chunk as a scan would answer, in the JSON that TiDB stores. Prints one line of JSON. Usage: schema.ts TABLES
import { createFilter } from '../src/filter/filter.ts'
import type { MetaReader } from '../src/schema/ports.ts'
import { loadSchema } from '../src/schema/snapshot.ts'
import { createSchemaTracker } from '../src/schema/tracker.ts'
import { compareBytes } from '../src/tidb/key.ts'
import { databaseKey, schemaDiffKey, schemaVersionKey, tableKey, tablesRange } from '../src/tidb/meta-key.ts'
import { ciName, stringifyDatabaseInfo, stringifyTableInfo } from '../src/tidb/table-info-json.ts'
import { FieldFlag, MysqlType, STATE_PUBLIC, type TableInfo } from '../src/tidb/table-info.ts'
import { Ts } from '../src/tidb/ts.ts'

const tables = Number(process.argv[2] ?? 100_000)
const DATABASES = 20
const CHUNK = 1024
const VERSION = 1_000_000n

const TYPES: readonly MysqlType[] = [
  MysqlType.Longlong,
  MysqlType.Varchar,
  MysqlType.NewDecimal,
  MysqlType.Datetime,
  MysqlType.Blob,
  MysqlType.Long,
]

/** Twelve columns, a clustered key and two indexes; every tenth table has four partitions. */
function tableOf(id: bigint): TableInfo {
  const columns = Array.from({ length: 12 }, (_, offset) => {
    const tp = TYPES[offset % TYPES.length] ?? MysqlType.Long
    const isText = tp === MysqlType.Varchar || tp === MysqlType.Blob
    return {
      id: offset + 1,
      name: ciName(`column_${offset}`),
      offset,
      originDefault: null,
      originDefaultBit: null,
      defaultValue: null,
      defaultBit: null,
      defaultIsExpr: false,
      generatedExpr: '',
      generatedStored: false,
      type: {
        tp,
        flag: offset === 0 ? FieldFlag.NotNull | FieldFlag.PriKey : 0,
        flen: 20,
        decimal: 0,
        charset: isText ? 'utf8mb4' : 'binary',
        collate: isText ? 'utf8mb4_bin' : 'binary',
        elems: [],
        array: false,
      },
      state: STATE_PUBLIC,
      comment: '',
      hidden: false,
      version: 2,
    }
  })
  const indexOf = (indexId: number, offset: number) => ({
    id: indexId,
    name: ciName(`index_${indexId}`),
    columns: [{ name: ciName(`column_${offset}`), offset, length: -1 }],
    state: STATE_PUBLIC,
    unique: indexId === 1,
    primary: false,
    invisible: false,
    multiValued: false,
    comment: '',
  })
  const partitioned = id % 10n === 0n
  return {
    id,
    name: ciName(`table_number_${id}`),
    charset: 'utf8mb4',
    collate: 'utf8mb4_bin',
    columns,
    indexes: [indexOf(1, 1), indexOf(2, 3)],
    state: STATE_PUBLIC,
    pkIsHandle: true,
    isCommonHandle: false,
    commonHandleVersion: 0,
    comment: '',
    updateTs: 467_996_279_696_261_139n,
    maxColumnId: columns.length,
    partitions: partitioned
      ? [1n, 2n, 3n, 4n].map((n) => ({ id: 10_000_000n + id * 10n + n, name: ciName(`p${n}`) }))
      : undefined,
    isView: false,
    isSequence: false,
    tempTableType: 0,
  }
}

const utf8 = new TextEncoder()
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
const partitioning = { enable: true, type: 2, expr: '`column_0`', num: 4 }
let bytes = 0
let makingMs = 0
let makingCpu = 0

const chunkOf = (database: number, from: number, to: number): { key: Uint8Array; value: Uint8Array }[] => {
  const began = performance.now()
  const cpu = cpuMs()
  const pairs = Array.from({ length: to - from }, (_, i) => {
    const id = BigInt(1000 + (from + i) * DATABASES + database)
    const info = tableOf(id)
    const value = utf8.encode(
      stringifyTableInfo(info, info.partitions === undefined ? {} : { partition: partitioning }),
    )
    bytes += value.length
    return { key: tableKey(BigInt(database + 1), id), value }
  })
  makingMs += performance.now() - began
  makingCpu += cpuMs() - cpu
  return pairs
}

const reader: MetaReader = {
  ts: Ts(467_996_279_696_261_139n),
  async get(key) {
    if (compareBytes(key, schemaVersionKey()) === 0) return utf8.encode(String(VERSION))
    return compareBytes(key, schemaDiffKey(VERSION)) === 0 ? utf8.encode('{}') : undefined
  },
  async *scan(start) {
    const database = Array.from({ length: DATABASES }, (_, i) => i).find(
      (i) => compareBytes(start, tablesRange(BigInt(i + 1)).start) === 0,
    )
    if (database === undefined) {
      yield Array.from({ length: DATABASES }, (_, i) => {
        const id = BigInt(i + 1)
        const info = {
          id,
          name: ciName(`database_${id}`),
          charset: 'utf8mb4',
          collate: 'utf8mb4_bin',
          state: STATE_PUBLIC,
        }
        return { key: databaseKey(id), value: utf8.encode(stringifyDatabaseInfo(info)) }
      })
      return
    }
    const count = Math.floor(tables / DATABASES)
    for (let at = 0; at < count; at += CHUNK) yield chunkOf(database, at, Math.min(count, at + CHUNK))
  },
}

const filter = createFilter(
  { rules: ['*.*'], ignoreTxnStartTs: [], eventFilters: [] },
  { caseSensitive: false, forceReplicate: false },
)
const began = performance.now()
const cpu = cpuMs()
const loaded = await loadSchema(reader, filter, new AbortController().signal)
const loadMs = performance.now() - began - makingMs
const loadCpuMs = cpuMs() - cpu - makingCpu
const tracker = createSchemaTracker(loaded, { filter, bdrMode: false })
const listed = performance.now()
const physical = tracker.tablesAt(reader.ts).length
const listMs = performance.now() - listed
console.log(
  JSON.stringify({
    tables,
    physical,
    loadMs,
    loadCpuMs,
    listMs,
    metaMib: bytes / 2 ** 20,
    rssMib: process.memoryUsage().rss / 2 ** 20,
    peakMib: process.resourceUsage().maxRSS / 1024,
  }),
)
