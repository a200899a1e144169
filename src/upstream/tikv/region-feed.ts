import { CdcError } from '../../base/errors.ts'
import type { RawKv } from '../../event/raw-kv.ts'
import type { KeyRange } from '../../event/span.ts'
import { compareBytes, decodeBytes, encodeBytes } from '../../tidb/key.ts'
import type { Ts } from '../../tidb/ts.ts'
import type { Region } from '../pd/pd.ts'
import { RowOp, type RowCursor, RowType } from './change-data.ts'
import { type Prewrite, type PrewriteArena, Prewrites, type RowKey } from './prewrites.ts'
import type { RangeHold } from './range-lock.ts'

/** A live row that waits for the end of the initial scan. */
interface EarlyRow extends RowKey {
  readonly commitTs: Ts
  readonly op: number
}

/** What the regions of a subscription share. */
export interface FeedOwner {
  /** Rows at or below it are nobody's business. */
  readonly startTs: Ts
  readonly arena: PrewriteArena
  /** So much of a key is the keyspace's, and not given on. */
  readonly keyPrefixLength: number
}

/** What is remembered of a region while it is registered. */
export type RegionRecord = Pick<Region, 'id' | 'confVer' | 'version' | 'start' | 'end'>

/** Beside its key; for the account only. */
const EARLY_ROW_BYTES = 128

/**
 * One region's registration, from its first row to its end: joins PREWRITE and COMMIT, and knows how far it is. Rows must
 * come in the order of arrival. (reference: upstream, sections 6.4 and 6.5)
 */
export class RegionFeed {
  readonly region: RegionRecord
  readonly hold: RangeHold
  readonly storeId: bigint
  /** When it was made, on the monotonic clock. */
  readonly since: number
  initialized = false
  readonly #owner: FeedOwner
  // An idle region has none of these: a hundred thousand of them take less than a kilobyte each.
  #prewrites: Prewrites | undefined
  #filter: ((row: RowCursor) => boolean) | undefined
  #earlyCommits: EarlyRow[] | undefined
  #earlyRollbacks: EarlyRow[] | undefined

  constructor(
    region: RegionRecord,
    hold: RangeHold,
    owner: FeedOwner,
    place: { readonly storeId: bigint; readonly since: number },
  ) {
    this.region = region
    this.hold = hold
    this.storeId = place.storeId
    this.since = place.since
    this.#owner = owner
  }

  /**
   * Takes rows, and appends what is committed to `out`: views into the frame, or into memory that is never written again.
   * Throws what is fatal for the changefeed.
   */
  handle(rows: RowCursor, out: RawKv[]): void {
    while (rows.next()) {
      switch (rows.type) {
        case RowType.prewrite:
          if (!this.#contains(rows)) break
          this.#prewrites ??= new Prewrites(this.#owner.arena)
          this.#prewrites.put(rows)
          break
        case RowType.commit:
          if (this.#contains(rows)) this.#commit(rows, out)
          break
        case RowType.committed:
          if (this.#contains(rows)) this.#committed(rows, out)
          break
        case RowType.rollback:
          if (this.#contains(rows)) this.#rollback(rows)
          break
        case RowType.initialized:
          this.#initialize(out)
          break
        default:
        // The commit of a lock-only key: an empty row.
      }
    }
  }

  /** True when the region got further. A region that is still scanning does not, whatever it says. */
  resolve(ts: Ts): boolean {
    if (!this.initialized || ts <= this.hold.ts) return false
    this.hold.ts = ts
    return true
  }

  /** Lets go of the frame that was just read. */
  retain(): void {
    this.#prewrites?.retain()
  }

  /** Prewrites that wait for their commit. */
  get unmatched(): number {
    return this.#prewrites?.size ?? 0
  }

  /** Gives all memory back; nothing may follow. */
  close(): void {
    this.#prewrites?.clear()
    this.#dropEarly()
  }

  #commit(row: RowCursor, out: RawKv[]): void {
    const prewrite = this.#prewrites?.find(row)
    if (
      prewrite !== undefined &&
      (this.initialized || (prewrite.valueEnd > prewrite.valueAt && prewrite.generation === 0))
    )
      this.#join(prewrite, row.commitTs, row.op, out)
    else if (this.initialized) {
      const text = `commit of ${row.startTs} at ${row.commitTs} without prewrite in region ${this.region.id}`
      throw new CdcError('CDC:ErrPrewriteNotMatch', text)
    } else (this.#earlyCommits ??= []).push(this.#early(row))
  }

  #join(prewrite: Prewrite, commitTs: Ts, op: number, out: RawKv[]): void {
    const { frame } = prewrite
    this.#prewrites?.take(prewrite)
    // A transaction that was already committed when the subscription began, but not yet on all its keys.
    if (commitTs <= this.#owner.startTs) return
    this.#checkOrder(prewrite.startTs, commitTs)
    const hasOld = prewrite.oldEnd > prewrite.oldAt
    const hasValue = prewrite.valueEnd > prewrite.valueAt
    if (op === RowOp.delete) {
      // Written and deleted again inside its transaction: nothing has changed.
      if (hasValue && !hasOld) return
    } else if (op !== RowOp.put) throw this.#unknownOp(op)
    out.push({
      startTs: prewrite.startTs,
      commitTs,
      key: frame.subarray(prewrite.keyAt + this.#owner.keyPrefixLength, prewrite.keyEnd),
      value: op === RowOp.put ? frame.subarray(prewrite.valueAt, prewrite.valueEnd) : undefined,
      oldValue: hasOld ? frame.subarray(prewrite.oldAt, prewrite.oldEnd) : undefined,
    })
  }

  #committed(row: RowCursor, out: RawKv[]): void {
    if (row.commitTs <= this.#owner.startTs) return
    this.#checkOrder(row.startTs, row.commitTs)
    if (row.op !== RowOp.put && row.op !== RowOp.delete) throw this.#unknownOp(row.op)
    const { frame } = row
    out.push({
      startTs: row.startTs,
      commitTs: row.commitTs,
      key: frame.subarray(row.keyAt + this.#owner.keyPrefixLength, row.keyEnd),
      value: row.op === RowOp.put ? frame.subarray(row.valueAt, row.valueEnd) : undefined,
      oldValue: row.oldEnd > row.oldAt ? frame.subarray(row.oldAt, row.oldEnd) : undefined,
    })
  }

  #rollback(row: RowCursor): void {
    if (!this.initialized) {
      ;(this.#earlyRollbacks ??= []).push(this.#early(row))
      return
    }
    const prewrite = this.#prewrites?.find(row)
    if (prewrite !== undefined) this.#prewrites?.take(prewrite)
  }

  #initialize(out: RawKv[]): void {
    this.initialized = true
    for (const row of this.#earlyCommits ?? []) {
      const prewrite = this.#prewrites?.find(row)
      // Without prewrite: the scan gave the same change as a COMMITTED row.
      if (prewrite !== undefined) this.#join(prewrite, row.commitTs, row.op, out)
    }
    for (const row of this.#earlyRollbacks ?? []) {
      const prewrite = this.#prewrites?.find(row)
      if (prewrite !== undefined) this.#prewrites?.take(prewrite)
    }
    this.#dropEarly()
  }

  #early(row: RowCursor): EarlyRow {
    const frame = Buffer.from(row.frame.subarray(row.keyAt, row.keyEnd))
    this.#owner.arena.charge(frame.length + EARLY_ROW_BYTES)
    const { startTs, startLow, commitTs, op } = row
    return { startTs, startLow, frame, keyAt: 0, keyEnd: frame.length, commitTs, op }
  }

  #dropEarly(): void {
    for (const { keyEnd } of [...(this.#earlyCommits ?? []), ...(this.#earlyRollbacks ?? [])]) {
      this.#owner.arena.charge(-keyEnd - EARLY_ROW_BYTES)
    }
    this.#earlyCommits = undefined
    this.#earlyRollbacks = undefined
  }

  #contains(row: RowCursor): boolean {
    this.#filter ??= compileFilter(this.hold)
    return this.#filter(row)
  }

  #checkOrder(startTs: Ts, commitTs: Ts): void {
    if (commitTs > this.hold.ts) return
    const text = `region ${this.region.id} sent commit ${commitTs} of ${startTs} at or below its resolved ts ${this.hold.ts}`
    throw new CdcError('CDC:ErrUnexpected', text)
  }

  #unknownOp(op: number): CdcError {
    return new CdcError('CDC:ErrUnknownKVEventType', `region ${this.region.id} sent a change of unknown kind ${op}`)
  }
}

/**
 * Does a row's raw key lie in a range of encoded keys? Servers since 7.0 filter themselves. The boundaries are decoded
 * once; one that is no encoded key (`ff…` for the end of the key space) is compared in the encoded form.
 */
function compileFilter(range: KeyRange): (row: RowCursor) => boolean {
  const start = decodeBoundary(range.start)
  const end = decodeBoundary(range.end)
  if (start === undefined || end === undefined) {
    return (row) => {
      const encoded = encodeBytes(row.frame.subarray(row.keyAt, row.keyEnd))
      return compareBytes(encoded, range.start) >= 0 && compareBytes(encoded, range.end) < 0
    }
  }
  return (row) => compareKey(row, start) >= 0 && compareKey(row, end) < 0
}

function decodeBoundary(encoded: Uint8Array): Uint8Array | undefined {
  if (encoded.length === 0) return encoded
  try {
    const { raw, end } = decodeBytes(encoded)
    return end === encoded.length ? raw : undefined
  } catch {
    return undefined
  }
}

function compareKey(row: RowCursor, key: Uint8Array): number {
  const { frame, keyAt } = row
  const length = row.keyEnd - keyAt
  const common = Math.min(length, key.length)
  for (let i = 0; i < common; i++) {
    const difference = (frame[keyAt + i] ?? 0) - (key[i] ?? 0)
    if (difference !== 0) return difference
  }
  return length - key.length
}
