import type { TableInfo } from '../tidb/table-info.ts'
import type { TableEntry } from './history.ts'
import type { TableFilter } from './ports.ts'

/** What the history keeps of a table; `info` is the JSON that `parsed` was read from. */
export function tableEntry(
  schema: { readonly id: bigint; readonly name: string },
  parsed: TableInfo,
  info: Uint8Array,
  filter: TableFilter,
): TableEntry {
  const name = parsed.name.original
  const eligible = filter.isEligible(parsed)
  const partitions = parsed.partitions?.map((partition) => partition.id)
  return {
    id: parsed.id,
    schemaId: schema.id,
    name,
    info,
    physicalIds: partitions ?? [parsed.id],
    partitioned: partitions !== undefined,
    eligible,
    replicated: eligible && !parsed.isView && !parsed.isSequence && filter.matchesTable(schema.name, name),
  }
}
