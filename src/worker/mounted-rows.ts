import type { Messages } from '../event/encoded.ts'
import { RawRow } from '../event/raw-row.ts'
import type { RowChange } from '../event/row-change.ts'
import { sameValue } from '../tidb/value.ts'
import { Operation, type PlanRows } from './plan-rows.ts'
import type { RowPlanParts } from './row-plan.ts'

/** Rows that are decoded: for filters that look at values, checksums, and protocols that know no stored cells. */
export function createMountedRows(parts: RowPlanParts, keyed: readonly number[]): PlanRows {
  const { mount, ignores, partitionOf, encoder, selection } = parts
  const raw = new RawRow()
  const none: RowChange = { startTs: raw.startTs, commitTs: raw.commitTs, before: undefined, after: undefined }
  let row = none

  const send = (part: RowChange, out: Messages): void =>
    encoder?.encode(selection === undefined ? part : selection.select(part), partitionOf(part), out)

  return {
    raw,
    read(rows, at) {
      rows.read(at, raw)
      row = mount(raw.toRawKv())
      const { before, after } = row
      // A delete without an old value: the key was written and deleted by the same transaction.
      if ((before === undefined && after === undefined) || ignores?.(row) === true) return Operation.Nothing
      return before === undefined ? Operation.Insert : after === undefined ? Operation.Delete : Operation.Update
    },
    changesKey() {
      const { before, after } = row
      return keyed.some((at) => !sameValue(before?.[at] ?? null, after?.[at] ?? null))
    },
    send(part, out) {
      const { before, after } = row
      if (part === Operation.Update || before === undefined || after === undefined) send(row, out)
      else if (part === Operation.Delete) send({ ...row, ...checksumOf(row, 'previous'), after: undefined }, out)
      else send({ ...row, ...checksumOf(row, 'current'), before: undefined }, out)
    },
    release() {
      raw.release()
      row = none
    },
  }
}

/** Half of a split update has the checksum of its own side alone. */
function checksumOf({ checksum }: RowChange, side: 'current' | 'previous'): Pick<RowChange, 'checksum'> {
  return checksum === undefined ? {} : { checksum: { ...checksum, current: 0, previous: 0, [side]: checksum[side] } }
}
