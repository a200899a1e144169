import type { TableInfo } from '../tidb/table-info.ts'
import type { TableEntry } from './history.ts'
import type { TableFilter } from './ports.ts'

/** What the history keeps of a table; `info` is the JSON that `parsed` was read from, and is copied. */
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
    info: sharedCopy(info),
    physicalIds: partitions ?? [parsed.id],
    partitioned: partitions !== undefined,
    eligible,
    replicated: eligible && !parsed.isView && !parsed.isSequence && filter.matchesTable(schema.name, name),
  }
}

/** The bytes where messages to other threads refer to them instead of copying them. */
export function sharedCopy(bytes: Uint8Array): Uint8Array<SharedArrayBuffer> {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}
