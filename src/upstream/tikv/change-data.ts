import { tsOfHalves } from '../../event/raw-row.ts'
import { Error as RegionError } from '../../proto/cdcpb.ts'
import { Ts } from '../../tidb/ts.ts'

/** `Event.LogType` of cdcpb. */
export const RowType = { unknown: 0, prewrite: 1, commit: 2, rollback: 3, committed: 4, initialized: 5 } as const
/** `Event.Row.OpType` of cdcpb. */
export const RowOp = { unknown: 0, put: 1, delete: 2 } as const

/** Takes what a frame holds, in its order. Request ids are ours and small; one beyond 2^53 comes as -1. */
export interface ChangeDataVisitor {
  /** `rows` is only valid during the call. */
  rows(regionId: bigint, requestId: number, rows: RowCursor): void
  failed(regionId: bigint, requestId: number, error: RegionError): void
  /** The form of servers that think we are older than 4.0.8. */
  regionResolved(regionId: bigint, requestId: number, ts: Ts): void
  resolved(ts: Ts, regionIds: readonly bigint[], requestId: number): void
}

/** Reads protobuf fields of `[at, end)`. RangeError with the offset when the bytes end early. */
class FieldReader {
  frame: Buffer = Buffer.alloc(0)
  at = 0
  end = 0
  /** The last varint, as two unsigned halves. */
  low = 0
  high = 0

  varint(): void {
    const { frame } = this
    let { at } = this
    let byte = frame[at++] ?? 0
    let low = byte & 0x7f
    let high = 0
    let shift = 7
    for (; byte >= 0x80 && shift < 28; shift += 7) {
      byte = frame[at++] ?? 0
      low |= (byte & 0x7f) << shift
    }
    if (byte >= 0x80) {
      byte = frame[at++] ?? 0
      low |= byte << 28
      high = (byte & 0x7f) >>> 4
      for (shift = 3; byte >= 0x80 && shift < 32; shift += 7) {
        byte = frame[at++] ?? 0
        high |= (byte & 0x7f) << shift
      }
      if (byte >= 0x80) throw new RangeError(`varint without end at offset ${this.at}`)
    }
    if (at > this.end) throw new RangeError(`message ends early at offset ${this.at}`)
    this.at = at
    this.low = low >>> 0
    this.high = high >>> 0
  }

  /** A tag, as `field << 3 | wire type`. */
  tag(): number {
    const byte = this.frame[this.at] ?? 0
    if (byte < 0x80 && this.at < this.end) {
      this.at++
      return byte
    }
    this.varint()
    return this.low
  }

  /** Where the length-delimited field that begins here ends; `at` is then its first byte. */
  limit(): number {
    const { at } = this
    const first = this.frame[at] ?? 0
    const second = this.frame[at + 1] ?? 0
    // Nearly all are short.
    if (first < 0x80 || second < 0x80) {
      const short = first < 0x80
      this.at = short ? at + 1 : at + 2
      const end = this.at + (short ? first : (first & 0x7f) | (second << 7))
      if (end <= this.end) return end
      this.at = at
    }
    this.varint()
    const end = this.at + this.low
    if (this.high !== 0 || end > this.end) throw new RangeError(`field of ${this.low} bytes at offset ${this.at}`)
    return end
  }

  skip(tag: number): void {
    const wire = tag & 7
    if (wire === 0) this.varint()
    else if (wire === 2) this.at = this.limit()
    else if (wire === 1 || wire === 5) this.at += wire === 1 ? 8 : 4
    else throw new RangeError(`wire type ${wire} at offset ${this.at}`)
    if (this.at > this.end) throw new RangeError(`message ends early at offset ${this.end}`)
  }

  u64(): bigint {
    this.varint()
    return tsOfHalves(this.high, this.low)
  }
}

/** One row of `cdcpb.Event.Row` after the other; bytes are offsets into `frame`, an absent field has length 0. */
export class RowCursor {
  frame: Buffer = Buffer.alloc(0)
  type = 0
  op = 0
  /** The timestamps as unsigned halves. */
  startHigh = 0
  startLow = 0
  commitHigh = 0
  commitLow = 0
  generation = 0
  keyAt = 0
  keyEnd = 0
  valueAt = 0
  valueEnd = 0
  oldAt = 0
  oldEnd = 0
  readonly #fields = new FieldReader()

  /** For messages: made anew with each call. */
  get startTs(): Ts {
    return tsOfHalves(this.startHigh, this.startLow)
  }

  get commitTs(): Ts {
    return tsOfHalves(this.commitHigh, this.commitLow)
  }

  /** Goes before the first row of the `Event.Entries` message in `[at, end)`. */
  reset(frame: Buffer, at: number, end: number): void {
    this.frame = frame
    this.#fields.frame = frame
    this.#fields.at = at
    this.#fields.end = end
  }

  /** Moves to the next row; false behind the last. */
  next(): boolean {
    const fields = this.#fields
    while (fields.at < fields.end) {
      const tag = fields.tag()
      if (tag === 0x0a) {
        const end = fields.limit()
        this.#row(end)
        return true
      }
      fields.skip(tag)
    }
    return false
  }

  #row(end: number): void {
    const fields = this.#fields
    const outer = fields.end
    this.startHigh = this.startLow = this.commitHigh = this.commitLow = 0
    this.type = this.op = this.generation = 0
    this.keyAt = this.keyEnd = this.valueAt = this.valueEnd = this.oldAt = this.oldEnd = 0
    fields.end = end
    while (fields.at < end) {
      const tag = fields.tag()
      switch (tag) {
        case 0x08:
          fields.varint()
          this.startLow = fields.low
          this.startHigh = fields.high
          break
        case 0x10:
          fields.varint()
          this.commitLow = fields.low
          this.commitHigh = fields.high
          break
        case 0x18:
          fields.varint()
          this.type = fields.low
          break
        case 0x20:
          fields.varint()
          this.op = fields.low
          break
        case 0x2a:
          this.keyEnd = fields.limit()
          this.keyAt = fields.at
          fields.at = this.keyEnd
          break
        case 0x32:
          this.valueEnd = fields.limit()
          this.valueAt = fields.at
          fields.at = this.valueEnd
          break
        case 0x3a:
          this.oldEnd = fields.limit()
          this.oldAt = fields.at
          fields.at = this.oldEnd
          break
        case 0x50:
          fields.varint()
          this.generation = fields.high * 0x1_0000_0000 + fields.low
          break
        default:
          fields.skip(tag)
      }
    }
    fields.end = outer
  }
}

/**
 * Reader of `cdcpb.ChangeDataEvent` frames, without objects per row. It accepts fields in any order and skips those it does
 * not know. One instance per stream.
 */
export class ChangeDataReader {
  readonly #frames = new FieldReader()
  readonly #events = new FieldReader()
  readonly #rows = new RowCursor()

  read(frame: Buffer, visitor: ChangeDataVisitor): void {
    const fields = this.#frames
    fields.frame = frame
    fields.at = 0
    fields.end = frame.length
    while (fields.at < fields.end) {
      const tag = fields.tag()
      if (tag === 0x0a) {
        const end = fields.limit()
        this.#event(frame, fields.at, end, visitor)
        fields.at = end
      } else if (tag === 0x12) {
        const end = fields.limit()
        this.#resolved(frame, fields.at, end, visitor)
        fields.at = end
      } else fields.skip(tag)
    }
  }

  /** The ids can stand behind the payload, so they are read first. */
  #event(frame: Buffer, at: number, end: number, visitor: ChangeDataVisitor): void {
    const fields = this.#events
    fields.frame = frame
    fields.at = at
    fields.end = end
    let regionId = 0n
    let requestId = 0
    while (fields.at < end) {
      const tag = fields.tag()
      if (tag === 0x08) regionId = fields.u64()
      else if (tag === 0x38) requestId = readId(fields)
      else fields.skip(tag)
    }
    fields.at = at
    while (fields.at < end) {
      const tag = fields.tag()
      if (tag === 0x1a) {
        const stop = fields.limit()
        this.#rows.reset(frame, fields.at, stop)
        visitor.rows(regionId, requestId, this.#rows)
        fields.at = stop
      } else if (tag === 0x2a) {
        const stop = fields.limit()
        visitor.failed(regionId, requestId, RegionError.decode(frame.subarray(fields.at, stop)))
        fields.at = stop
      } else if (tag === 0x30) visitor.regionResolved(regionId, requestId, Ts(fields.u64()))
      else fields.skip(tag)
    }
  }

  #resolved(frame: Buffer, at: number, end: number, visitor: ChangeDataVisitor): void {
    const fields = this.#events
    fields.frame = frame
    fields.at = at
    fields.end = end
    const regionIds: bigint[] = []
    let ts = Ts(0n)
    let requestId = 0
    while (fields.at < end) {
      const tag = fields.tag()
      if (tag === 0x0a) for (const stop = fields.limit(); fields.at < stop;) regionIds.push(fields.u64())
      else if (tag === 0x08) regionIds.push(fields.u64())
      else if (tag === 0x10) ts = Ts(fields.u64())
      else if (tag === 0x18) requestId = readId(fields)
      else fields.skip(tag)
    }
    visitor.resolved(ts, regionIds, requestId)
  }
}

function readId(fields: FieldReader): number {
  fields.varint()
  return fields.high < 0x20_0000 ? fields.high * 0x1_0000_0000 + fields.low : -1
}
