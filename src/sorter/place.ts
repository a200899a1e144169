import type { Position } from '../event/raw-kv.ts'
import { nextTs, type Ts } from '../tidb/ts.ts'
import {
  commitHigh,
  commitLow,
  commitsBy,
  compareRows,
  type RowBlock,
  type RowPointer,
  startHigh,
  startLow,
} from './row-block.ts'

/** A place between rows: which of them lie before it, and a commitTs that none behind it is below (as halves). */
export interface Place {
  isBefore(block: RowBlock, at: number): boolean
  readonly high: number
  readonly low: number
}

/** The unsigned upper half of a timestamp. */
export const highHalf = (ts: Ts): number => Number(ts >> 32n)
/** The unsigned lower half of a timestamp. */
export const lowHalf = (ts: Ts): number => Number(ts & 0xffff_ffffn)

/** Behind all rows with commitTs ≤ `ts`. */
export function behind(ts: Ts): Place {
  const [high, low] = [highHalf(ts), lowHalf(ts)]
  const least = nextTs(ts)
  return {
    isBefore: (block, at) => commitsBy(block, at, high, low),
    high: highHalf(least),
    low: lowHalf(least),
  }
}

/** Before the first row of a transaction. */
export function atTransaction({ commitTs, startTs }: Position): Place {
  const wanted = [highHalf(commitTs), lowHalf(commitTs), highHalf(startTs), lowHalf(startTs)]
  return {
    isBefore(block, at) {
      const row = [commitHigh(block, at), commitLow(block, at), startHigh(block, at), startLow(block, at)]
      const different = row.findIndex((half, index) => half !== wanted[index])
      return different >= 0 && (row[different] ?? 0) < (wanted[different] ?? 0)
    },
    high: highHalf(commitTs),
    low: lowHalf(commitTs),
  }
}

/** Behind a row, and its equals. */
export const behindRow = ({ block: lastBlock, at: lastAt }: RowPointer): Place => ({
  isBefore: (block, at) => compareRows(block, at, lastBlock, lastAt) <= 0,
  high: commitHigh(lastBlock, lastAt),
  low: commitLow(lastBlock, lastAt),
})
