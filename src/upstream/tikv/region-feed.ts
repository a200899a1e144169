import { CdcError } from '../../base/errors.ts'
import { type RawRow, tsOfHalves } from '../../event/raw-row.ts'
import type { KeyRange } from '../../event/span.ts'
import { compareBytes, decodeBytes, encodeBytes } from '../../tidb/key.ts'
import type { Ts } from '../../tidb/ts.ts'
import type { Region } from '../pd/pd.ts'
import { type RowCursor, RowOp, RowType } from './change-data.ts'
import type { RangeHold } from './range-lock.ts'
import { joinRows, MemorySource, PartSource } from './join-rows.ts'
import { BLOCK_BYTES } from './spill-blocks.ts'
import { type SpilledPart, SpilledRows } from './spilled-rows.ts'
import { TsFloor } from './ts-floor.ts'
import { Came, NONE, type RowList, UnmatchedRow, type UnmatchedRows } from './unmatched-rows.ts'

/** What the regions of a subscription share. */
export interface FeedOwner {
  /** Rows at or below it are nobody's business. */
  readonly startTs: Ts
  readonly unmatched: UnmatchedRows
  /** So much of a key is the keyspace's, and not given on. */
  readonly keyPrefixLength: number
  /** Where the next row is put before {@link give} is called. */
  readonly row: RawRow
  /** The subscriber may dispose of the subscription meanwhile, or throw. */
  give(): void
  /** True from then on; nothing more is given. */
  readonly stopped: boolean
  /** Calls {@link RegionFeed.join} when it is its turn. */
  join(feed: RegionFeed): void
  /** A region got further outside of a frame. */
  advanced(): void
  /** Accounts memory beside `unmatched`; negative to give it back. */
  charge(bytes: number): void
}

/** What is remembered of a region while it is registered. */
export type RegionRecord = Pick<Region, 'id' | 'confVer' | 'version' | 'start' | 'end'>

/** One for all: nothing is kept in them between two rows. */
const floor = new TsFloor()
const unmatched = new UnmatchedRow()

/**
 * One region's registration, from its first row to its end: joins PREWRITE and COMMIT, and knows how far it is. Rows must
 * come in the order of arrival. (reference: upstream, sections 6.4 and 6.5)
 */
export class RegionFeed implements RowList {
  readonly region: RegionRecord
  readonly hold: RangeHold
  readonly storeId: bigint
  /** When it was made, on the monotonic clock. */
  readonly since: number
  initialized = false
  firstRow = NONE
  readonly #owner: FeedOwner
  // An idle region has none: a hundred thousand of them take less than a kilobyte each.
  #filter: ((row: RowCursor) => boolean) | undefined
  #spilled: SpilledRows | undefined

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

  /** Takes rows, and gives what is committed to the owner at once. Throws what is fatal for the changefeed. */
  handle(rows: RowCursor): void {
    const owner = this.#owner
    while (!owner.stopped && rows.next()) {
      switch (rows.type) {
        case RowType.prewrite:
          if (this.#contains(rows)) owner.unmatched.prewrite(this, rows)
          break
        case RowType.commit:
          this.#commit(rows)
          break
        case RowType.committed:
          if (this.#contains(rows)) this.#committed(rows)
          break
        case RowType.rollback:
          if (this.#contains(rows)) this.#rollback(rows)
          break
        case RowType.initialized:
          this.#initialize()
          break
        default:
        // The commit of a lock-only key: an empty row.
      }
    }
  }

  /**
   * True when the region got further. A region that is still scanning does not, whatever it says; one whose committed rows
   * lie on disk does when they are joined.
   */
  resolve(ts: Ts): boolean {
    if (!this.initialized || ts <= this.hold.ts) return false
    const spilled = this.#spilled
    if (spilled !== undefined && (spilled.joining || spilled.holdsBack(ts))) {
      if (ts > spilled.wantedTs) spilled.wantedTs = ts
      if (!spilled.joining) {
        spilled.joining = true
        this.#owner.join(this)
      }
      return false
    }
    this.hold.ts = ts
    return true
  }

  /** The rows at `positions` lie in `part` now. */
  spilled(positions: readonly number[], part: SpilledPart): void {
    for (const position of positions) this.#owner.unmatched.remove(this, position)
    this.#spilled ??= new SpilledRows()
    this.#spilled.add(part)
  }

  /**
   * Gives the committed rows that lie on disk, and then goes to the resolved-ts that waits for them. Rejects with what is
   * fatal for the changefeed, with the run files' errors, or with an AbortError when the region has ended.
   */
  async join(): Promise<void> {
    const spilled = this.#spilled
    if (spilled === undefined) return
    for (let ts = spilled.wantedTs; ts > this.hold.ts; ts = spilled.wantedTs) {
      if (spilled.holdsBack(ts)) await this.#joinUpTo(ts, spilled)
      spilled.signal.throwIfAborted()
      this.hold.ts = ts
      this.#owner.advanced()
      spilled.signal.throwIfAborted()
    }
    spilled.joining = false
    if (spilled.parts.length === 0) this.#spilled = undefined
  }

  /** Gives all memory back; nothing may follow. */
  close(): void {
    this.#owner.unmatched.clear(this)
    this.#spilled?.release()
    this.#spilled = undefined
  }

  async #joinUpTo(ts: Ts, spilled: SpilledRows): Promise<void> {
    const { unmatched: rows } = this.#owner
    const txns = spilled.committed(ts)
    const inMemory = rows.sort(
      rows.positionsOf(this).filter((position) => {
        rows.load(position, unmatched)
        return txns.has(unmatched.startHigh, unmatched.startLow)
      }),
    )
    for (const position of inMemory) rows.detach(this, position)
    const sources = [...spilled.parts.map((part) => new PartSource(part, txns)), new MemorySource(rows, inMemory)]
    this.#owner.charge(sources.length * BLOCK_BYTES)
    try {
      await joinRows(sources, (prewrite, end) => this.#joinSpilled(prewrite, end), spilled.signal)
      spilled.finish(txns)
    } finally {
      this.#owner.charge(-sources.length * BLOCK_BYTES)
      for (const position of inMemory) rows.free(position)
    }
  }

  #joinSpilled(prewrite: UnmatchedRow | undefined, end: UnmatchedRow | undefined): void {
    if (end === undefined || (prewrite !== undefined && isRewritten(prewrite, end))) return
    if (prewrite !== undefined) this.#join(prewrite, end.commitHigh, end.commitLow, end.op)
    // Before the end of the scan a commit can come whose row is scanned as a COMMITTED one.
    else if ((end.came & Came.early) === 0)
      throw this.#notMatched(tsOfHalves(end.startHigh, end.startLow), tsOfHalves(end.commitHigh, end.commitLow))
  }

  #commit(row: RowCursor): void {
    const { unmatched: rows } = this.#owner
    const position = rows.find(row)
    if (position === NONE && !this.#contains(row)) return
    const bits = this.initialized ? Came.commit : Came.commit | Came.early
    if (this.#spilled?.has(row.startHigh, row.startLow) === true) {
      const { wantedTs } = this.#spilled
      if (row.commitTs <= wantedTs) this.#isStale(row, wantedTs)
      this.#spilled.commit(row)
      rows.end(this, row, bits)
    } else if (position !== NONE) {
      rows.load(position, unmatched)
      if (this.initialized || this.#isFinal(unmatched)) {
        rows.remove(this, position)
        this.#join(unmatched, row.commitHigh, row.commitLow, row.op)
      } else rows.end(this, row, bits)
    } else if (this.initialized) throw this.#notMatched(row.startTs, row.commitTs)
    else rows.end(this, row, bits)
  }

  /** While a region is scanned, a later prewrite of the same transaction can only repeat one of which this is true. */
  #isFinal({ came, valueAt, valueEnd, generation }: UnmatchedRow): boolean {
    return (came & Came.prewrite) !== 0 && valueEnd > valueAt && generation === 0
  }

  #join(prewrite: UnmatchedRow, commitHigh: number, commitLow: number, op: number): void {
    const hasOld = prewrite.oldEnd > prewrite.oldAt
    // Written and deleted again inside its transaction: nothing has changed.
    if (op === RowOp.delete && prewrite.valueEnd > prewrite.valueAt && !hasOld) return
    const { row } = this.#owner
    row.bytes = prewrite.bytes
    row.startHigh = prewrite.startHigh
    row.startLow = prewrite.startLow
    row.commitHigh = commitHigh
    row.commitLow = commitLow
    this.#give(prewrite, op, hasOld)
  }

  #committed(rows: RowCursor): void {
    const { row } = this.#owner
    row.bytes = rows.frame
    row.startHigh = rows.startHigh
    row.startLow = rows.startLow
    row.commitHigh = rows.commitHigh
    row.commitLow = rows.commitLow
    this.#give(rows, rows.op, rows.oldEnd > rows.oldAt)
  }

  /** Completes the owner's row, whose bytes and timestamps are set. */
  #give(from: UnmatchedRow | RowCursor, op: number, hasOld: boolean): void {
    const { row } = this.#owner
    floor.set(this.hold.ts)
    // A transaction that was already committed when the subscription began, but not yet on all its keys.
    if (!floor.isBelow(row.commitHigh, row.commitLow) && this.#isStale(row, this.hold.ts)) return
    if (op !== RowOp.put && op !== RowOp.delete) throw this.#unknownOp(op)
    row.keyAt = from.keyAt + this.#owner.keyPrefixLength
    row.keyEnd = from.keyEnd
    row.valueAt = op === RowOp.put ? from.valueAt : -1
    row.valueEnd = op === RowOp.put ? from.valueEnd : -1
    row.oldAt = hasOld ? from.oldAt : -1
    row.oldEnd = hasOld ? from.oldEnd : -1
    this.#owner.give()
  }

  #rollback(row: RowCursor): void {
    const { unmatched: rows } = this.#owner
    const position = rows.find(row)
    if (!this.initialized) rows.end(this, row, Came.rollback)
    else if (position !== NONE) rows.remove(this, position)
    else this.#spilled?.rollback(row)
  }

  /** Whatever came without its other half is joined now; a commit without prewrite was scanned as a COMMITTED row. */
  #initialize(): void {
    this.initialized = true
    const { unmatched: rows } = this.#owner
    const ended = rows.positionsOf(this).filter((position) => {
      rows.load(position, unmatched)
      const { came, startHigh, startLow } = unmatched
      if (came === Came.prewrite) return false
      if ((came & Came.commit) !== 0 && this.#spilled?.has(startHigh, startLow) === true) return false
      // Out of the table first: a subscriber may do anything when it is given a row.
      rows.detach(this, position)
      return true
    })
    for (const position of ended) {
      rows.load(position, unmatched)
      rows.free(position)
      if ((unmatched.came & Came.rollback) !== 0) this.#spilled?.rollback(unmatched)
      const joined = (unmatched.came & Came.prewrite) !== 0 && (unmatched.came & Came.commit) !== 0
      if (joined && !isRewritten(unmatched, unmatched) && !this.#owner.stopped)
        this.#join(unmatched, unmatched.commitHigh, unmatched.commitLow, unmatched.op)
    }
  }

  #contains(row: RowCursor): boolean {
    this.#filter ??= compileFilter(this.hold)
    return this.#filter(row)
  }

  /** True for a commit that is older than the subscription; throws for one that is only not above `resolvedTs`. */
  #isStale({ startTs, commitTs }: { readonly startTs: Ts; readonly commitTs: Ts }, resolvedTs: Ts): boolean {
    if (commitTs <= this.#owner.startTs) return true
    const text = `region ${this.region.id} sent commit ${commitTs} of ${startTs} at or below its resolved ts ${resolvedTs}`
    throw new CdcError('CDC:ErrUnexpected', text)
  }

  #notMatched(startTs: Ts, commitTs: Ts): CdcError {
    const text = `commit of ${startTs} at ${commitTs} without prewrite in region ${this.region.id}`
    return new CdcError('CDC:ErrPrewriteNotMatch', text)
  }

  #unknownOp(op: number): CdcError {
    return new CdcError('CDC:ErrUnknownKVEventType', `region ${this.region.id} sent a change of unknown kind ${op}`)
  }
}

/**
 * Before the end of the scan all that came of a prewrite can be its lock, rewritten without value by a heartbeat: the row
 * was scanned as a COMMITTED one then.
 */
const isRewritten = (prewrite: UnmatchedRow, { came, op }: UnmatchedRow): boolean =>
  op === RowOp.put && prewrite.valueEnd === prewrite.valueAt && (came & Came.early) !== 0

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
  let shared = 0
  while (shared < start.length && start[shared] === end[shared]) shared++
  return (row) => {
    const { frame, keyAt, keyEnd } = row
    if (keyEnd - keyAt < shared) return false
    for (let i = 0; i < shared; i++) if (frame[keyAt + i] !== start[i]) return false
    return compareKey(row, start, shared) >= 0 && compareKey(row, end, shared) < 0
  }
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

/** Both are the same up to `from`. */
function compareKey(row: RowCursor, key: Uint8Array, from: number): number {
  const { frame, keyAt } = row
  const length = row.keyEnd - keyAt
  const common = Math.min(length, key.length)
  for (let i = from; i < common; i++) {
    const difference = (frame[keyAt + i] ?? 0) - (key[i] ?? 0)
    if (difference !== 0) return difference
  }
  return length - key.length
}
