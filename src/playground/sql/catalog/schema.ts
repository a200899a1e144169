import { listOf, objectOf, parseJson } from '../../../tidb/json-big.ts'
import type { JsonObject } from '../../../tidb/json-big.ts'
import { databasesRange, hashField, schemaVersionKey, tableFieldId, tablesRange } from '../../../tidb/meta-key.ts'
import { parseDatabaseInfo, tableInfoOf } from '../../../tidb/table-info-json.ts'
import type { DatabaseInfo } from '../../../tidb/table-info-json.ts'
import type { TableInfo } from '../../../tidb/table-info.ts'
import type { KvPair } from '../../../upstream/tikv/snapshot.ts'
import { SqlError } from '../error.ts'
import type { TableName } from '../parser/ast.ts'

/** A table with the whole JSON that stands in the store, so that keys nobody here knows survive a change. */
export interface Table {
  readonly database: DatabaseInfo
  readonly info: TableInfo
  readonly stored: JsonObject
}

export interface Database {
  readonly info: DatabaseInfo
  /** By lower-case name. */
  readonly tables: ReadonlyMap<string, Table>
}

/** All databases and tables as of one schema version. */
export interface Schema {
  readonly version: bigint
  /** By lower-case name. */
  readonly databases: ReadonlyMap<string, Database>
}

/** The reads that loading needs: a snapshot or a transaction. */
export interface MetaReader {
  get(key: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined>
  scan(start: Uint8Array, end: Uint8Array, signal: AbortSignal): AsyncIterable<readonly KvPair[]>
}

const decoder = new TextDecoder()

/** Decimal text of a meta key; 0 where it is absent. */
export async function readCounter(reader: MetaReader, key: Uint8Array, signal: AbortSignal): Promise<bigint> {
  const value = await reader.get(key, signal)
  return value === undefined ? 0n : BigInt(decoder.decode(value))
}

/** How many versions are kept: transactions that began before a change still read the one before. */
const KEPT_VERSIONS = 8

/** Keeps the schemas that were read last; a reader at another version gets it loaded. */
export class SchemaCache {
  /** By version, the one loaded last at the end. */
  readonly #schemas = new Map<bigint, Schema>()

  async schemaAt(reader: MetaReader, signal: AbortSignal): Promise<Schema> {
    const version = await readCounter(reader, schemaVersionKey(), signal)
    const known = this.#schemas.get(version)
    if (known !== undefined) return known
    const schema = await loadSchema(reader, version, signal)
    this.#schemas.set(version, schema)
    for (const old of this.#schemas.keys()) {
      if (this.#schemas.size <= KEPT_VERSIONS) break
      this.#schemas.delete(old)
    }
    return schema
  }
}

async function loadSchema(reader: MetaReader, version: bigint, signal: AbortSignal): Promise<Schema> {
  const databases = new Map<string, Database>()
  const { start, end } = databasesRange()
  for await (const pairs of reader.scan(start, end, signal))
    for (const { value } of pairs) {
      const info = parseDatabaseInfo(value)
      databases.set(info.name.lower, { info, tables: await loadTables(reader, info, signal) })
    }
  return { version, databases }
}

async function loadTables(
  reader: MetaReader,
  database: DatabaseInfo,
  signal: AbortSignal,
): Promise<Map<string, Table>> {
  const tables = new Map<string, Table>()
  const { start, end } = tablesRange(database.id)
  for await (const pairs of reader.scan(start, end, signal))
    for (const { key, value } of pairs) {
      if (tableFieldId(hashField(key)) === undefined) continue
      const stored = objectOf(parseJson(decoder.decode(value)))
      const info = tableInfoOf(stored)
      tables.set(info.name.lower, { database, info, stored })
    }
  return tables
}

export function findDatabase(schema: Schema, name: string): Database {
  const database = schema.databases.get(name.toLowerCase())
  if (database === undefined) throw new SqlError(1049, `Unknown database '${name}'`)
  return database
}

export function findTable(schema: Schema, { schema: database, name }: TableName): Table {
  const table = schema.databases.get(database.toLowerCase())?.tables.get(name.toLowerCase())
  if (table === undefined) throw new SqlError(1146, `Table '${database}.${name}' doesn't exist`)
  return table
}

/** The largest index id that the table ever had; ids are not used again. */
export const maxIndexId = (table: Pick<Table, 'info' | 'stored'>): number =>
  Math.max(Number(table.stored['max_idx_id'] ?? 0), ...table.info.indexes.map(({ id }) => id))

/** Error 1347 for views and sequences, which have no rows; 8200 for a table amid a change of its partitions. */
export function checkReadable({ database, info, stored }: Table): void {
  if (info.isView || info.isSequence)
    throw new SqlError(1347, `'${database.name.original}.${info.name.original}' is not BASE TABLE`)
  const partition = objectOf(stored['partition'])
  if (listOf(partition['adding_definitions']).length > 0 || listOf(partition['dropping_definitions']).length > 0)
    throw new SqlError(8200, `${info.name.original} is amid a change of its partitions`)
}
