import { physicalMsOfHalves, tsOfHalves } from '../../event/raw-row.ts'
import type { Ts } from '../../tidb/ts.ts'
import type { JsonWriter } from '../json-text.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

const BUILT = bytesOf(',"ts":')
const SQL = bytesOf(',"sql":"",')
const TIDB = bytesOf(',"_tidb":{"commitTs":')
const END_TIDB = bytesOf('}}')
const END = bytesOf('}')

/** What documents of one transaction have in common. */
export interface TransactionText {
  /** The transaction at hand, by the halves of its commitTs. */
  update(high: number, low: number): void
  updateTs(commitTs: Ts): void
  /** What follows is built at another time. */
  endBatch(): void
  readonly commitTs: Ts
  /** From the value of `es` to the comma after `sql`. */
  writeTimes(out: JsonWriter): void
  /** From the end of `data` to the end of the document. */
  writeTail(out: JsonWriter): void
}

/** `now`: build time in ms since 1970, asked once per batch. */
export function createTransactionText(extension: boolean, now: () => number): TransactionText {
  let high = 0
  let low = 0
  /** 0 = to be asked for. */
  let builtMs = 0
  return {
    update(newHigh, newLow) {
      if (newLow === low && newHigh === high) return
      high = newHigh
      low = newLow
      if (builtMs === 0) builtMs = now()
    },
    endBatch() {
      builtMs = 0
      high = low = 0
    },
    updateTs(commitTs) {
      this.update(Number(commitTs >> 32n), Number(commitTs & 0xffff_ffffn))
    },
    get commitTs() {
      return tsOfHalves(high, low)
    },
    writeTimes(out) {
      out.integer(physicalMsOfHalves(high, low))
      out.raw(BUILT)
      out.integer(builtMs)
      out.raw(SQL)
    },
    writeTail(out) {
      if (!extension) {
        out.raw(END)
        return
      }
      out.raw(TIDB)
      out.unsigned(high, low)
      out.raw(END_TIDB)
    },
  }
}
