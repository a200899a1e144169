import { setImmediate as nextTurn } from 'node:timers/promises'
import { CdcError } from '../base/errors.ts'
import {
  databasesRange,
  hashField,
  schemaDiffKey,
  schemaVersionKey,
  tableFieldId,
  tablesRange,
} from '../tidb/meta-key.ts'
import { parseDatabaseInfo, parseTableInfo } from '../tidb/table-info-json.ts'
import { SchemaHistory } from './history.ts'
import type { MetaReader, TableFilter } from './ports.ts'
import { tableEntry } from './table-entry.ts'

/** The schema of the upstream at one ts. */
export interface LoadedSchema {
  readonly history: SchemaHistory
  /** Jobs up to this schema version are contained (reference: schema-tracking, section 2.1). */
  readonly schemaVersion: bigint
}

/** Reads databases and tables that the filter matches, at the reader's ts. */
export async function loadSchema(reader: MetaReader, filter: TableFilter, signal: AbortSignal): Promise<LoadedSchema> {
  const history = new SchemaHistory(reader.ts)
  const databases = databasesRange()
  for await (const chunk of reader.scan(databases.start, databases.end, signal)) {
    for (const { value } of chunk) {
      const database = parseDatabaseInfo(value)
      const schema = { id: database.id, name: database.name.original }
      if (!filter.matchesSchema(schema.name)) continue
      history.createSchema(schema, reader.ts)
      await loadTables(history, schema, reader, filter, signal)
    }
  }
  return { history, schemaVersion: await readSchemaVersion(reader, signal) }
}

const decoder = new TextDecoder()

/**
 * A number beyond 2^53 makes reading JSON several times dearer, and nothing of an entry comes from this one. No JSON
 * string holds a bare quote, so only the member itself matches.
 */
const UPDATE_TS = /,"update_timestamp":[0-9]+/

/** Reading one costs up to a fifth of a millisecond; leases and requests wait meanwhile. */
const TABLES_PER_TURN = 32

async function loadTables(
  history: SchemaHistory,
  schema: { readonly id: bigint; readonly name: string },
  reader: MetaReader,
  filter: TableFilter,
  signal: AbortSignal,
): Promise<void> {
  const range = tablesRange(schema.id)
  for await (const chunk of reader.scan(range.start, range.end, signal)) {
    for (const [at, { key, value }] of chunk.entries()) {
      if (at % TABLES_PER_TURN === 0) await nextTurn(undefined, { signal })
      if (tableFieldId(hashField(key)) === undefined) continue
      const name = leadingName(value) ?? parseTableInfo(value).name.original
      if (!filter.matchesTable(schema.name, name)) continue
      const parsed = parseTableInfo(decoder.decode(value).replace(UPDATE_TS, ''))
      history.createTable(tableEntry(schema, parsed, value, filter), reader.ts)
    }
  }
}

/**
 * The version of the schema at the reader's ts. TiDB raises the counter before it stores the difference: while that is
 * missing, the version before it counts.
 */
async function readSchemaVersion(reader: MetaReader, signal: AbortSignal): Promise<bigint> {
  const stored = await reader.get(schemaVersionKey(), signal)
  if (stored === undefined) return 0n
  const text = new TextDecoder().decode(stored)
  if (!/^[0-9]+$/.test(text))
    throw new CdcError(
      'CDC:ErrUnknownMetaType',
      `meta key SchemaVersionKey holds ${JSON.stringify(text)}, not a number`,
    )
  const version = BigInt(text)
  return (await reader.get(schemaDiffKey(version), signal)) === undefined ? version - 1n : version
}

const LEADING_NAME = /^\{"id":[0-9]+,"name":\{"O":("(?:[^"\\]|\\.)*")/
const HEAD_BYTES = 1024

/** The table's name where the JSON begins as TiDB writes it: most tables of a filtered cluster need no more than it. */
function leadingName(json: Uint8Array): string | undefined {
  const head = decoder.decode(json.subarray(0, HEAD_BYTES))
  const literal = LEADING_NAME.exec(head)?.[1]
  return literal === undefined ? undefined : String(JSON.parse(literal))
}
