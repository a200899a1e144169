import { opOrder, type RawBatch, type RawKv } from '../event/raw-kv.ts'
import type { RawRow, RawRows } from '../event/raw-row.ts'
import type { Quota } from '../spill/quota.ts'
import type { Slab, SlabAllocator } from '../spill/slabs.ts'
import { type Ts, zeroTs } from '../tidb/ts.ts'

/**
 * Raw pairs of one span: taken in any order, given out by cursors in the order (commitTs, startTs, delete < update <
 * insert, key), freed by the span's checkpoint. Reading frees nothing, so a cursor can be set back to the checkpoint.
 */
export interface SpanSorter extends Disposable {
  readonly resolvedTs: Ts
  /** Copies the row out of its frame. A row at or below the resolvedTs is a broken invariant. */
  add(row: RawRow): void
  /** Nothing at or below `ts` will be added any more: it becomes readable. */
  resolve(ts: Ts): void
  /** A cursor at the first row above `after`. */
  cursor(after: Ts): SorterCursor
  /** Frees the rows with commitTs ≤ checkpointTs. */
  release(checkpointTs: Ts): void
}

export interface SorterCursor {
  /** commitTs of the next row, where one is readable. */
  peek(): Ts | undefined
  /**
   * The next rows with commitTs ≤ upTo, about `maxBytes` of them; undefined when there are none now. A batch holds whole
   * transactions, or a piece of one that is larger than a batch. Equal rows (rescans repeat rows) come once.
   */
  next(upTo: Ts, maxBytes: number, signal: AbortSignal): Promise<RawBatch | undefined>
  /** Goes back to the first row of the transaction in which the last batch ended. */
  rewindTransaction(): void
}

interface Entry extends RawKv {
  readonly slab: Slab
  readonly order: 1 | 2 | 3
}

/** Sorted rows; `first` counts from the span's beginning, so that cursors survive the release of older runs. */
interface Run {
  readonly first: number
  readonly entries: readonly Entry[]
}

const sameTransaction = (a: RawKv, b: RawKv): boolean => a.commitTs === b.commitTs && a.startTs === b.startTs

const entryBytes = (entry: RawKv): number =>
  entry.key.length + (entry.value?.length ?? 0) + (entry.oldValue?.length ?? 0) + ENTRY_OVERHEAD_BYTES

const compareEntries = (a: Entry, b: Entry): number => {
  if (a.commitTs !== b.commitTs) return a.commitTs < b.commitTs ? -1 : 1
  if (a.startTs !== b.startTs) return a.startTs < b.startTs ? -1 : 1
  return a.order - b.order || Buffer.compare(a.key, b.key)
}

function copyEntry(row: RawKv, slabs: SlabAllocator): Entry {
  const { key, value, oldValue } = row
  const slab = slabs.reserve(key.length + (value?.length ?? 0) + (oldValue?.length ?? 0))
  const copy = (bytes: Uint8Array): Uint8Array => {
    const start = slab.used
    slab.bytes.set(bytes, start)
    slab.used += bytes.length
    return slab.bytes.subarray(start, slab.used)
  }
  return {
    startTs: row.startTs,
    commitTs: row.commitTs,
    key: copy(key),
    value: value && copy(value),
    oldValue: oldValue && copy(oldValue),
    order: opOrder(row),
    slab,
  }
}

const listed = (entries: readonly RawKv[]): RawRows => ({
  length: entries.length,
  read(index, row) {
    const entry = entries[index]
    if (entry !== undefined) row.set(entry)
  },
})

/** Objects and array slots around an entry's bytes; measured, on a 64-bit V8. */
const ENTRY_OVERHEAD_BYTES = 440
/** Rows per run: what is released and freed at once. */
const RUN_ROWS = 4096

/** Keeps the rows in memory; what exceeds the changefeed's quota is the caller's to notice. */
export function createMemorySorter(slabs: SlabAllocator, quota: Quota): SpanSorter {
  let resolvedTs = zeroTs
  let pending: Entry[] = []
  let runs: Run[] = []
  let end = 0
  let overhead = 0
  let disposed = false

  const release = (entry: Entry): void => slabs.release(entry.slab)

  const drop = (entries: readonly Entry[]): void => {
    for (const entry of entries) release(entry)
    account(-entries.length)
  }

  const account = (rows: number): void => {
    overhead += rows * ENTRY_OVERHEAD_BYTES
    quota.addBefore(rows * ENTRY_OVERHEAD_BYTES)
  }

  const runAt = (index: number): Run | undefined => {
    let low = 0
    let high = runs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const run = runs[middle]
      if (run !== undefined && run.first + run.entries.length <= index) low = middle + 1
      else high = middle
    }
    return runs[low]
  }

  /** Index of the first row above `ts`. */
  const indexAfter = (ts: Ts): number => {
    for (const run of runs) {
      if ((run.entries.at(-1)?.commitTs ?? zeroTs) <= ts) continue
      return run.first + run.entries.findIndex((entry) => entry.commitTs > ts)
    }
    return end
  }

  return {
    get resolvedTs() {
      return resolvedTs
    },
    add(row) {
      if (row.commitTs <= resolvedTs)
        throw new RangeError(`a row with commitTs ${row.commitTs} came after resolvedTs ${resolvedTs}`)
      pending.push(copyEntry(row.toRawKv(), slabs))
      account(1)
    },
    resolve(ts) {
      if (ts <= resolvedTs) return
      resolvedTs = ts
      const ready = pending.filter((entry) => entry.commitTs <= ts)
      if (ready.length === 0) return
      pending = ready.length === pending.length ? [] : pending.filter((entry) => entry.commitTs > ts)
      ready.sort(compareEntries)
      for (let at = 0; at < ready.length; at += RUN_ROWS) {
        const entries = ready.slice(at, at + RUN_ROWS)
        runs.push({ first: end, entries })
        end += entries.length
      }
    },
    cursor(after) {
      let next = indexAfter(after)
      /** First row of the transaction that batches are pieces of. */
      let transactionStart = next
      let insideTransaction = false
      const at = (index: number): Entry | undefined => {
        const run = runAt(index)
        return run?.entries[index - run.first]
      }
      return {
        peek: () => at(next)?.commitTs,
        async next(upTo, maxBytes, signal) {
          signal.throwIfAborted()
          const rows: Entry[] = []
          let bytes = 0
          let index = next
          /** The batch without the transaction that is being read. */
          let whole = { rows: 0, bytes: 0, index }
          let run = runAt(index)
          let last: Entry | undefined
          let entry: Entry | undefined
          for (; ; index++) {
            if (run !== undefined && index - run.first >= run.entries.length) run = runAt(index)
            entry = run?.entries[index - run.first]
            if (entry === undefined || entry.commitTs > upTo) break
            if (last !== undefined && compareEntries(last, entry) === 0) continue
            if (last !== undefined && !sameTransaction(last, entry)) {
              if (insideTransaction) break
              whole = { rows: rows.length, bytes, index }
            }
            if (bytes >= maxBytes) break
            rows.push(entry)
            bytes += entryBytes(entry)
            last = entry
          }
          if (last === undefined) return undefined
          const unfinished = entry !== undefined && sameTransaction(last, entry)
          if (unfinished && whole.rows > 0) {
            rows.length = whole.rows
            ;({ bytes, index } = whole)
          }
          const piece = unfinished && whole.rows === 0
          const part = piece ? (insideTransaction ? 'middle' : 'first') : insideTransaction ? 'last' : 'whole'
          if (part === 'first') transactionStart = next
          insideTransaction = piece
          next = index
          const { commitTs, startTs } = rows.at(-1) ?? last
          return {
            rows: listed(rows),
            bytes,
            part,
            end: { commitTs, startTs, complete: at(next)?.commitTs !== commitTs },
          }
        },
        rewindTransaction() {
          next = transactionStart
          insideTransaction = false
        },
      }
    },
    release(checkpointTs) {
      let count = 0
      for (const run of runs) {
        if ((run.entries.at(-1)?.commitTs ?? zeroTs) > checkpointTs) break
        drop(run.entries)
        count++
      }
      if (count > 0) runs = runs.slice(count)
    },
    [Symbol.dispose]() {
      if (disposed) return
      disposed = true
      for (const run of runs) for (const entry of run.entries) release(entry)
      for (const entry of pending) release(entry)
      quota.addBefore(-overhead)
      overhead = 0
      runs = []
      pending = []
    },
  }
}
