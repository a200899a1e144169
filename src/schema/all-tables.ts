import type { TableVersion } from '../event/table-version.ts'
import type { MetaReader, TableFilter } from './ports.ts'
import { loadSchema } from './snapshot.ts'
import { createSchemaTracker } from './tracker.ts'

/**
 * Every table of the upstream at the reader's ts, by name, without views, sequences and the schemas that `skips` names; a
 * partitioned one as the schema of its first partition.
 */
export async function readAllTables(
  reader: MetaReader,
  skips: (schema: string) => boolean,
  signal: AbortSignal,
): Promise<readonly TableVersion[]> {
  const filter: TableFilter = {
    matchesSchema: (schema) => !skips(schema),
    matchesTable: (schema) => !skips(schema),
    ignoresDdl: () => false,
    isEligible: ({ isSequence, isView }) => !isSequence && !isView,
  }
  const tracker = createSchemaTracker(await loadSchema(reader, filter, signal), { filter, bdrMode: false })
  const found = new Map<bigint, TableVersion>()
  for (const { tableId, physicalId, eligible } of tracker.matchedTables(reader.ts)) {
    const table = eligible && !found.has(tableId) ? tracker.tableAt(physicalId, reader.ts) : undefined
    if (table !== undefined) found.set(tableId, table)
  }
  const name = ({ schema, table }: TableVersion): string => `${schema}\0${table}`
  return [...found.values()].toSorted((a, b) => (name(a) < name(b) ? -1 : 1))
}
