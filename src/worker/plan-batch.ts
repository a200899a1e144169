import type { SchemaVersion } from '../changefeed/messages.ts'
import { RawRow, type RawRows } from '../event/raw-row.ts'
import type { Ts } from '../tidb/ts.ts'
import type { RowPlan } from './row-plan.ts'
import type { TableHistory } from './table-history.ts'

/** Rows `from` up to `to` of a batch, all of one table version. */
export interface PlannedRows {
  readonly plan: RowPlan
  readonly from: number
  readonly to: number
}

/** Cuts a batch where the table's schema changes. */
export async function planBatch(
  rows: RawRows,
  table: TableHistory,
  compile: (schema: SchemaVersion) => Promise<RowPlan>,
): Promise<readonly PlannedRows[]> {
  const row = new RawRow()
  const pieces: PlannedRows[] = []
  for (let from = 0; from < rows.length;) {
    rows.read(from, row)
    const { commitTs } = row
    const plan = await table.planAt(commitTs, compile)
    const endTs = table.endOfPlan(commitTs)
    const to = endTs === undefined ? rows.length : firstAbove(rows, from, endTs, row)
    pieces.push({ plan, from, to })
    from = to
  }
  return pieces
}

/** Index of the first row from `from` on with commitTs above `ts`. */
function firstAbove(rows: RawRows, from: number, ts: Ts, row: RawRow): number {
  for (let index = from; index < rows.length; index++) {
    rows.read(index, row)
    if (row.commitTs > ts) return index
  }
  return rows.length
}
