import { crc32 } from 'node:zlib'
import type { Ts } from '../../tidb/ts.ts'
import { stringifyJson } from '../../tidb/json-big.ts'
import { STATE_PUBLIC, type TableInfo } from '../../tidb/table-info.ts'
import { type ColumnDefinition, columnDefinition } from './column-definition.ts'

/** What a schema file says (reference: storage-sink, section 3). */
export interface SchemaDefinition {
  readonly schema: string
  /** Empty for a schema itself. */
  readonly table: string
  readonly version: Ts
  /** Empty, with type 0, where no DDL is told but a table that exists. */
  readonly query: string
  readonly type: number
  readonly columns: readonly ColumnDefinition[]
}

/** The columns of a table as schema files show them: hidden ones are left out, virtual ones are not. */
export const columnDefinitions = (info: TableInfo): ColumnDefinition[] =>
  info.columns.filter((column) => column.state === STATE_PUBLIC && !column.hidden).map(columnDefinition)

/** CRC32 over the structure: neither version, query nor the order of columns matter. */
export function schemaChecksum(definition: SchemaDefinition): number {
  const columns = definition.columns.toSorted((a, b) =>
    Buffer.compare(Buffer.from(a.ColumnName), Buffer.from(b.ColumnName)),
  )
  return crc32(
    goJson({
      Table: definition.table,
      Schema: definition.schema,
      Version: 0,
      TableColumns: columns,
      TableColumnsTotal: columns.length,
    }),
  )
}

/** Text of the file. */
export function schemaFileText(definition: SchemaDefinition): string {
  const { columns } = definition
  return goJson({
    Table: definition.table,
    Schema: definition.schema,
    Version: 1,
    TableVersion: definition.version,
    Query: definition.query,
    Type: definition.type,
    TableColumns: columns.length === 0 ? null : columns,
    TableColumnsTotal: columns.length,
  })
}

/** Path of the file below the root of the storage. */
export function schemaFilePath(definition: SchemaDefinition): string {
  const folder = metaFolder(definition.schema, definition.table)
  return `${folder}/schema_${definition.version}_${checksumText(schemaChecksum(definition))}.json`
}

export const metaFolder = (schema: string, table: string): string =>
  table === '' ? `${schema}/meta` : `${schema}/${table}/meta`

export const checksumText = (checksum: number): string => String(checksum).padStart(10, '0')

const SCHEMA_FILE = /(?:^|\/)meta\/schema_(\d+)_(\d{10})\.json$/

/** Version and checksum in the path of a schema file; undefined for any other path. */
export function parseSchemaPath(path: string): { readonly version: bigint; readonly checksum: number } | undefined {
  const [, version, checksum] = SCHEMA_FILE.exec(path) ?? []
  if (version === undefined || checksum === undefined) return undefined
  return { version: BigInt(version), checksum: Number(checksum) }
}

/** As Go's `json.MarshalIndent` with four spaces writes it. */
const goJson = (value: unknown): string => stringifyJson(value, { indent: 4, html: true })
