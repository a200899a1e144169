import type { UnmatchedRow } from './unmatched-rows.ts'

// A block is rows one behind the other: nine words of 32 bits, little endian, then key, value and old value.
const STARTS = 0
const COMMITS = 8
const STATE = 16
const GENERATION = 20
const KEY = 24
const VALUE = 28
const OLD = 32
const HEADER_BYTES = 36

/** A block is larger only where one row is. */
export const BLOCK_BYTES = 256 << 10

/** Packs rows into blocks. */
export class BlockWriter {
  #block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  #used = 0

  /** False when the row has to wait for {@link take}. */
  add(row: UnmatchedRow): boolean {
    const keyBytes = row.keyEnd - row.keyAt
    const valueBytes = row.valueEnd - row.valueAt
    const oldBytes = row.oldEnd - row.oldAt
    const size = HEADER_BYTES + keyBytes + valueBytes + oldBytes
    if (this.#used + size > this.#block.length) {
      if (this.#used > 0) return false
      this.#block = Buffer.allocUnsafeSlow(size)
    }
    const block = this.#block
    let at = this.#used
    block.writeUInt32LE(row.startLow, at + STARTS)
    block.writeUInt32LE(row.startHigh, at + STARTS + 4)
    block.writeUInt32LE(row.commitLow, at + COMMITS)
    block.writeUInt32LE(row.commitHigh, at + COMMITS + 4)
    block.writeUInt32LE(((row.op << 4) | row.came) >>> 0, at + STATE)
    block.writeUInt32LE(row.generation, at + GENERATION)
    block.writeUInt32LE(keyBytes, at + KEY)
    block.writeUInt32LE(valueBytes, at + VALUE)
    block.writeUInt32LE(oldBytes, at + OLD)
    at += HEADER_BYTES
    at += row.bytes.copy(block, at, row.keyAt, row.keyEnd)
    at += row.bytes.copy(block, at, row.valueAt, row.valueEnd)
    row.bytes.copy(block, at, row.oldAt, row.oldEnd)
    this.#used += size
    return true
  }

  /** The block so far, valid until the next {@link add}; undefined where nothing was added. */
  take(): Buffer | undefined {
    if (this.#used === 0) return undefined
    const block = this.#block.subarray(0, this.#used)
    this.#used = 0
    return block
  }
}

/** Reads the row at `at` of a block, as a view; returns where the next one begins. */
export function readRow(block: Buffer, at: number, row: UnmatchedRow): number {
  const state = block.readUInt32LE(at + STATE)
  row.bytes = block
  row.came = state & 0xf
  row.op = state >>> 4
  row.startLow = block.readUInt32LE(at + STARTS)
  row.startHigh = block.readUInt32LE(at + STARTS + 4)
  row.commitLow = block.readUInt32LE(at + COMMITS)
  row.commitHigh = block.readUInt32LE(at + COMMITS + 4)
  row.generation = block.readUInt32LE(at + GENERATION)
  row.keyAt = at + HEADER_BYTES
  row.keyEnd = row.valueAt = row.keyAt + block.readUInt32LE(at + KEY)
  row.valueEnd = row.oldAt = row.valueAt + block.readUInt32LE(at + VALUE)
  row.oldEnd = row.oldAt + block.readUInt32LE(at + OLD)
  return row.oldEnd
}
