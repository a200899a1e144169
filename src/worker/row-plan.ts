import type { RowEncoder } from '../codec/protocol.ts'
import type { Messages } from '../event/encoded.ts'
import { RawRow, type RawRows } from '../event/raw-row.ts'
import type { RawKv } from '../event/raw-kv.ts'
import type { RowChange, Value, Values } from '../event/row-change.ts'
import { ColumnFlag, type TableVersion } from '../event/table-version.ts'

/** Which rows of a transaction a pass over it sends; one larger than a batch is read twice, for its deletes first. */
export type Pass = 'all' | 'deletes' | 'rest'

/** Decodes, filters, splits, dispatches and encodes raw rows of one table version; pure, compiled once. */
export interface RowPlan {
  readonly table: TableVersion
  readonly topic: string
  /** Of the topic. */
  readonly partitions: number
  /** True where updates of unique columns are split, so that the order inside a transaction matters. */
  readonly splits: boolean
  run(rows: RawRows, from: number, to: number, pass: Pass, out: Messages): void
}

export interface RowPlanParts {
  readonly table: TableVersion
  readonly topic: string
  readonly partitions: number
  readonly mount: (raw: RawKv) => RowChange
  /** True = the row is dropped. */
  readonly ignores: ((row: RowChange) => boolean) | undefined
  readonly partitionOf: (row: RowChange) => number
  /** undefined = rows are decoded and dropped (a blackhole without protocol). */
  readonly encoder: RowEncoder | undefined
  readonly splitUpdates: boolean
  /** The part of a row that the encoder gets; undefined = all of it. */
  readonly select: ((row: RowChange) => RowChange) | undefined
}

export function compileRowPlan(parts: RowPlanParts): RowPlan {
  const { table, topic, partitions, mount, ignores, partitionOf, encoder, select } = parts
  const keyed = table.columns.flatMap(({ flags }, at) =>
    (flags & (ColumnFlag.UniqueKey | ColumnFlag.HandleKey)) === 0 ? [] : [at],
  )
  const splits = parts.splitUpdates && keyed.length > 0
  const stored = new RawRow()

  const send = (row: RowChange, out: Messages): void =>
    encoder?.encode(select === undefined ? row : select(row), partitionOf(row), out)

  const changesKey = (before: Values, after: Values): boolean =>
    keyed.some((at) => !sameValue(before[at] ?? null, after[at] ?? null))

  /** Rows of the transaction at hand that come after its deletes, and after its updates. */
  const updates: RowChange[] = []
  const inserts: RowChange[] = []

  /** Sends deletes at once and keeps the others until {@link finish}. */
  const take = (row: RowChange, pass: Pass, out: Messages): void => {
    const { before, after } = row
    if (before === undefined || after === undefined) {
      if (after !== undefined) inserts.push(row)
      else if (pass !== 'rest') send(row, out)
    } else if (changesKey(before, after)) {
      if (pass !== 'rest') send({ ...row, ...checksumOf(row, 'previous'), after: undefined }, out)
      inserts.push({ ...row, ...checksumOf(row, 'current'), before: undefined })
    } else {
      updates.push(row)
    }
  }

  const finish = (pass: Pass, out: Messages): void => {
    if (pass !== 'deletes') {
      for (const row of updates) send(row, out)
      for (const row of inserts) send(row, out)
    }
    updates.length = 0
    inserts.length = 0
  }

  return {
    table,
    topic,
    partitions,
    splits,
    run(rows, from, to, pass, out) {
      let last: RawKv | undefined
      for (let at = from; at < to; at++) {
        rows.read(at, stored)
        const raw = stored.toRawKv()
        if (splits && last !== undefined && (last.commitTs !== raw.commitTs || last.startTs !== raw.startTs)) {
          finish(pass, out)
        }
        last = raw
        const row = mount(raw)
        // A delete without an old value: the key was written and deleted by the same transaction.
        if ((row.before === undefined && row.after === undefined) || ignores?.(row) === true) continue
        if (splits) take(row, pass, out)
        else send(row, out)
      }
      if (splits) finish(pass, out)
      encoder?.flush(out)
    },
  }
}

/** Half of a split update has the checksum of its own side alone. */
function checksumOf({ checksum }: RowChange, side: 'current' | 'previous'): Pick<RowChange, 'checksum'> {
  return checksum === undefined ? {} : { checksum: { ...checksum, current: 0, previous: 0, [side]: checksum[side] } }
}

function sameValue(a: Value, b: Value): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0
  if (a instanceof Float32Array && b instanceof Float32Array)
    return a.length === b.length && a.every((x, at) => x === b[at])
  return a === b
}
