import { ByteWriter } from './byte-writer.ts'
import { type ByteRange, decodeBytes, encodeBytes, encodeInt, prefixNext } from './key.ts'

/**
 * Raw keys of TiDB's metadata: strings, hashes and lists over the key-value store. Source: TiDB pkg/structure and
 * pkg/meta (reference: tidb-storage, 1.4).
 */
const META = 0x6d
const STRING_DATA = 0x73n
const HASH_DATA = 0x68n
const LIST_META = 0x4cn
const LIST_DATA = 0x6cn

const utf8 = new TextEncoder()
const text = new TextDecoder()

export const stringKey = (key: string): Uint8Array => structure(key, STRING_DATA).finish()

export const hashKey = (key: string, field: string | Uint8Array): Uint8Array =>
  structure(key, HASH_DATA)
    .append(encodeBytes(typeof field === 'string' ? utf8.encode(field) : field))
    .finish()

/** All fields of a hash. */
export const hashRange = (key: string): ByteRange => rangeOf(structure(key, HASH_DATA).finish())

/** The field of a hash key made by {@link hashKey}. */
export function hashField(key: Uint8Array): string {
  const { end } = decodeBytes(key, 1)
  return text.decode(decodeBytes(key, end + 8).raw)
}

export const listMetaKey = (key: string): Uint8Array => structure(key, LIST_META).finish()

export const listItemKey = (key: string, index: bigint): Uint8Array =>
  structure(key, LIST_DATA).append(encodeInt(index)).finish()

/** All items of a list. */
export const listRange = (key: string): ByteRange => rangeOf(structure(key, LIST_DATA).finish())

export const nextGlobalIdKey = (): Uint8Array => stringKey('NextGlobalID')
export const schemaVersionKey = (): Uint8Array => stringKey('SchemaVersionKey')
export const bootstrapKey = (): Uint8Array => stringKey('BootstrapKey')
export const bdrRoleKey = (): Uint8Array => stringKey('BDRRole')
export const schemaDiffKey = (version: bigint): Uint8Array => stringKey(`Diff:${version}`)

/** Where the databases are listed: hash `DBs`, field `DB:<id>`, value JSON of the database. */
export const databasesRange = (): ByteRange => hashRange('DBs')
export const databaseKey = (databaseId: bigint): Uint8Array => hashKey('DBs', `DB:${databaseId}`)

/** Everything of one database: tables, views, sequences, and counters (see {@link tableFieldId}). */
export const tablesRange = (databaseId: bigint): ByteRange => hashRange(`DB:${databaseId}`)
export const tableKey = (databaseId: bigint, tableId: bigint): Uint8Array =>
  hashKey(`DB:${databaseId}`, `Table:${tableId}`)

/** Counter of `_tidb_rowid` (and of AUTO_INCREMENT where it is not separate), decimal text. */
export const rowIdCounterKey = (databaseId: bigint, tableId: bigint): Uint8Array =>
  hashKey(`DB:${databaseId}`, `TID:${tableId}`)
/** Counter of AUTO_INCREMENT where it is separate from the row id, decimal text. */
export const autoIncrementKey = (databaseId: bigint, tableId: bigint): Uint8Array =>
  hashKey(`DB:${databaseId}`, `IID:${tableId}`)
export const autoRandomKey = (databaseId: bigint, tableId: bigint): Uint8Array =>
  hashKey(`DB:${databaseId}`, `TARID:${tableId}`)
export const sequenceKey = (databaseId: bigint, tableId: bigint): Uint8Array =>
  hashKey(`DB:${databaseId}`, `SID:${tableId}`)

/** Hash of finished DDL jobs; the field is the job id in 8 bytes, big-endian. */
export const jobHistoryKey = (jobId: bigint): Uint8Array =>
  hashKey('DDLJobHistory', new ByteWriter(8).u64be(jobId).finish())
export const jobHistoryRange = (): ByteRange => hashRange('DDLJobHistory')

/** Queues of DDL jobs of TiDB before 6.2. */
export const legacyJobRanges = (): readonly ByteRange[] => [listRange('DDLJobList'), listRange('DDLJobAddIdxList')]

/** The table id of a field `Table:<id>`, undefined for counters and anything else. */
export function tableFieldId(field: string): bigint | undefined {
  const digits = /^Table:([0-9]+)$/.exec(field)?.[1]
  return digits === undefined ? undefined : BigInt(digits)
}

/** Physical ids of tables that carry DDL jobs (TiDB pkg/meta/metadef). */
export const DDL_JOB_TABLE_ID = 281_474_976_710_654n
export const DDL_HISTORY_TABLE_ID = 281_474_976_710_652n

function structure(key: string, kind: bigint): ByteWriter {
  return new ByteWriter(32)
    .u8(META)
    .append(encodeBytes(utf8.encode(key)))
    .u64be(kind)
}

const rangeOf = (prefix: Uint8Array): ByteRange => ({ start: prefix, end: prefixNext(prefix) })
