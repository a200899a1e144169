import type { Messages } from '../event/encoded.ts'
import { StoredRow } from '../event/stored-row.ts'
import { compileCellLocator, sameCell } from '../tidb/stored-cells.ts'
import { openTimeZone } from '../tidb/time-zone.ts'
import { Operation, type PlanRows } from './plan-rows.ts'
import type { RowPlanParts, StoredParts } from './row-plan.ts'

/**
 * Rows that are encoded as they are stored (docs/decisions/017). The cells of the columns that are sent come first, in their
 * order, as the encoder wants them. `keyed`: positions of columns whose change splits an update.
 */
export function createStoredRows(parts: RowPlanParts, stored: StoredParts, keyed: readonly number[]): PlanRows {
  const { table, encoder, selection, mount } = parts
  const sent = selection?.positions ?? [...table.columns.keys()]
  const kept = new Set(sent)
  const order = [...sent, ...table.columns.keys().filter((position) => !kept.has(position))]
  const cellOf = [...table.columns.keys()].map((position) => order.indexOf(position))
  const columns = order.flatMap((position) => table.columns[position]?.info ?? [])
  const row = new StoredRow(compileCellLocator(table.info, columns, openTimeZone(stored.timeZone)))
  const { raw, before, after } = row
  const keys = Int32Array.from(keyed, (position) => cellOf[position] ?? 0)
  const partitionOf = stored.partitionOf(cellOf)

  /** The mounter says what is wrong about a row, and where. */
  const explained = (error: unknown): unknown => {
    if (error instanceof RangeError) mount(raw.toRawKv())
    return error
  }

  const encode = (out: Messages): void => {
    try {
      encoder?.encodeStored?.(row, partitionOf(row), out)
    } catch (error) {
      throw explained(error)
    }
  }

  return {
    raw,
    read(rows, at) {
      rows.read(at, raw)
      try {
        row.locate()
      } catch (error) {
        throw explained(error)
      }
      if (before.present) return after.present ? Operation.Update : Operation.Delete
      return after.present ? Operation.Insert : Operation.Nothing
    },
    changesKey() {
      for (let i = 0; i < keys.length; i++) if (!sameCell(before, after, keys[i] ?? 0)) return true
      return false
    },
    send(part, out) {
      if (part === Operation.Delete) after.present = false
      else if (part === Operation.Insert) before.present = false
      encode(out)
    },
    release: () => row.release(),
  }
}
