import { type CellLocator, StoredCells } from '../tidb/stored-cells.ts'
import { RawRow } from './raw-row.ts'

/**
 * A row as the data plane encodes it: its images located where they are stored, with nothing decoded (docs/decisions/017).
 * One object goes from row to row: read `raw` from the batch, then call {@link StoredRow.locate}.
 */
export class StoredRow {
  readonly raw = new RawRow()
  /** The row that was there, by its new schema. */
  readonly before: StoredCells
  readonly after: StoredCells
  readonly #locator: CellLocator

  constructor(locator: CellLocator) {
    this.#locator = locator
    this.before = new StoredCells(locator.table)
    this.after = new StoredCells(locator.table)
  }

  /** Lets go of the row's bytes. */
  release(): void {
    this.raw.release()
    this.before.release()
    this.after.release()
  }

  /** Locates the images of the row that `raw` is at. RangeError where their bytes are broken. */
  locate(): void {
    const { raw, before, after } = this
    if (raw.bytes !== after.bytes) {
      const view = new DataView(raw.bytes.buffer, raw.bytes.byteOffset, raw.bytes.length)
      before.bytes = after.bytes = raw.bytes
      before.view = after.view = view
    }
    after.present = raw.valueEnd > raw.valueAt
    if (after.present) this.#locator.locate(after, raw.valueAt, raw.valueEnd, raw.keyAt, raw.keyEnd)
    before.present = raw.oldEnd > raw.oldAt
    if (before.present) this.#locator.locate(before, raw.oldAt, raw.oldEnd, raw.keyAt, raw.keyEnd)
  }
}
