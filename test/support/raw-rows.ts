import type { RawKv } from '../../src/event/raw-kv.ts'
import { RawRow, type RawRows } from '../../src/event/raw-row.ts'

/** Rows as objects of their own. */
export function kvsOf(rows: RawRows): RawKv[] {
  const row = new RawRow()
  return Array.from({ length: rows.length }, (_, index) => {
    rows.read(index, row)
    return row.toRawKv()
  })
}

export const rowsOf = (kvs: readonly RawKv[]): RawRows => ({
  length: kvs.length,
  read(index, row) {
    const kv = kvs[index]
    if (kv === undefined) throw new RangeError(`there is no row ${index}`)
    row.set(kv)
  },
})

export const rowOf = (kv: RawKv): RawRow => new RawRow().set(kv)
