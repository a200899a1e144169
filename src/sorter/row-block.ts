import type { RawRow } from '../event/raw-row.ts'

/**
 * Memory in which packed rows lie, a slab or a block of a run file. A row is eleven words (the timestamps as high and low
 * halves, its size, and where key, value and old value lie, counted from its first byte) and the bytes of its fields; it
 * begins at a multiple of four bytes and is addressed by its first word.
 */
export interface RowBlock {
  readonly bytes: Buffer
  /** The same memory. */
  readonly words: Uint32Array
  /** A row of it went into a batch: somebody may still look at it. */
  given: boolean
}

/** A packed row; who walks over rows moves one object. */
export interface RowPointer {
  readonly block: RowBlock
  /** Word. */
  readonly at: number
}

const COMMIT_HIGH = 0
const COMMIT_LOW = 1
const START_HIGH = 2
const START_LOW = 3
const SIZE = 4
const KEY_AT = 5
const KEY_END = 6
/** 0 = the row has none. */
const VALUE_AT = 7
const VALUE_END = 8
const OLD_AT = 9
const OLD_END = 10
const HEADER_WORDS = 11
const HEADER_BYTES = HEADER_WORDS * 4

/** Wider gaps between the fields of a row are not copied. */
const GAP_BYTES = 64

/** `bytes` begins its ArrayBuffer, or lies at a multiple of four in it. */
export function openBlock(bytes: Buffer): RowBlock {
  return { bytes, words: new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2), given: false }
}

/** A block without rows. */
export const NO_ROWS: RowBlock = openBlock(Buffer.alloc(0))

/** Bytes that {@link packRow} takes at most. */
export function packedSize(row: RawRow): number {
  const fields = row.keyEnd - row.keyAt + (row.valueEnd - row.valueAt) + (row.oldEnd - row.oldAt)
  return HEADER_BYTES + ((Math.min(endOf(row) - beginOf(row), fields + GAP_BYTES) + 3) & ~3)
}

/** Copies a row to `at` (bytes). The fields of a row lie side by side in its frame, so that one copy takes them all. */
export function packRow(block: RowBlock, at: number, row: RawRow, size: number): void {
  const { bytes, words } = block
  const word = at >>> 2
  const begin = beginOf(row)
  const end = endOf(row)
  words[word + COMMIT_HIGH] = row.commitHigh
  words[word + COMMIT_LOW] = row.commitLow
  words[word + START_HIGH] = row.startHigh
  words[word + START_LOW] = row.startLow
  words[word + SIZE] = size
  if (end - begin <= size - HEADER_BYTES) {
    row.bytes.copy(bytes, at + HEADER_BYTES, begin, end)
    const shift = HEADER_BYTES - begin
    words[word + KEY_AT] = row.keyAt + shift
    words[word + KEY_END] = row.keyEnd + shift
    words[word + VALUE_AT] = row.valueAt < 0 ? 0 : row.valueAt + shift
    words[word + VALUE_END] = row.valueAt < 0 ? 0 : row.valueEnd + shift
    words[word + OLD_AT] = row.oldAt < 0 ? 0 : row.oldAt + shift
    words[word + OLD_END] = row.oldAt < 0 ? 0 : row.oldEnd + shift
    return
  }
  packParts(block, at, row)
}

/** Copies the fields of a row one by one; apart from {@link packRow}, which then needs no closure. */
function packParts({ bytes, words }: RowBlock, at: number, row: RawRow): void {
  let to = HEADER_BYTES
  const copy = (field: number, from: number, until: number): void => {
    if (from >= 0) row.bytes.copy(bytes, at + to, from, until)
    words[(at >>> 2) + field] = from < 0 ? 0 : to
    to += from < 0 ? 0 : until - from
    words[(at >>> 2) + field + 1] = from < 0 ? 0 : to
  }
  copy(KEY_AT, row.keyAt, row.keyEnd)
  copy(VALUE_AT, row.valueAt, row.valueEnd)
  copy(OLD_AT, row.oldAt, row.oldEnd)
}

/** Moves `row` to the packed row at word `at`. */
export function unpackRow({ bytes, words }: RowBlock, at: number, row: RawRow): void {
  const begin = at * 4
  const valueAt = words[at + VALUE_AT] ?? 0
  const oldAt = words[at + OLD_AT] ?? 0
  row.bytes = bytes
  row.commitHigh = words[at + COMMIT_HIGH] ?? 0
  row.commitLow = words[at + COMMIT_LOW] ?? 0
  row.startHigh = words[at + START_HIGH] ?? 0
  row.startLow = words[at + START_LOW] ?? 0
  row.keyAt = begin + (words[at + KEY_AT] ?? 0)
  row.keyEnd = begin + (words[at + KEY_END] ?? 0)
  row.valueAt = valueAt === 0 ? -1 : begin + valueAt
  row.valueEnd = valueAt === 0 ? -1 : begin + (words[at + VALUE_END] ?? 0)
  row.oldAt = oldAt === 0 ? -1 : begin + oldAt
  row.oldEnd = oldAt === 0 ? -1 : begin + (words[at + OLD_END] ?? 0)
}

export const commitHigh = ({ words }: RowBlock, at: number): number => words[at + COMMIT_HIGH] ?? 0
export const commitLow = ({ words }: RowBlock, at: number): number => words[at + COMMIT_LOW] ?? 0
export const startHigh = ({ words }: RowBlock, at: number): number => words[at + START_HIGH] ?? 0
export const startLow = ({ words }: RowBlock, at: number): number => words[at + START_LOW] ?? 0

/** In bytes, header included. */
export const rowSize = ({ words }: RowBlock, at: number): number => words[at + SIZE] ?? 0

/** Whether the row's commitTs is at most the one of these halves. */
export function commitsBy({ words }: RowBlock, at: number, high: number, low: number): boolean {
  const ours = words[at + COMMIT_HIGH] ?? 0
  return ours < high || (ours === high && (words[at + COMMIT_LOW] ?? 0) <= low)
}

export const sameTransaction = (a: RowBlock, aAt: number, b: RowBlock, bAt: number): boolean =>
  a.words[aAt + COMMIT_LOW] === b.words[bAt + COMMIT_LOW] &&
  a.words[aAt + START_LOW] === b.words[bAt + START_LOW] &&
  a.words[aAt + COMMIT_HIGH] === b.words[bAt + COMMIT_HIGH] &&
  a.words[aAt + START_HIGH] === b.words[bAt + START_HIGH]

/** Order of rows: commitTs, startTs, delete < update < insert, key. */
export function compareRows(a: RowBlock, aAt: number, b: RowBlock, bAt: number): number {
  for (let word = COMMIT_HIGH; word <= START_LOW; word++) {
    const difference = (a.words[aAt + word] ?? 0) - (b.words[bAt + word] ?? 0)
    if (difference !== 0) return difference
  }
  return opOf(a.words, aAt) - opOf(b.words, bAt) || compareKeys(a, aAt, b, bAt)
}

const opOf = (words: Uint32Array, at: number): number =>
  words[at + VALUE_AT] === 0 ? 1 : words[at + OLD_AT] === 0 ? 3 : 2

/** A loop: keys are short, and a call of Buffer.compare costs more than they do. */
function compareKeys(a: RowBlock, aAt: number, b: RowBlock, bAt: number): number {
  const aBegin = aAt * 4 + (a.words[aAt + KEY_AT] ?? 0)
  const bBegin = bAt * 4 + (b.words[bAt + KEY_AT] ?? 0)
  const aLength = (a.words[aAt + KEY_END] ?? 0) + aAt * 4 - aBegin
  const bLength = (b.words[bAt + KEY_END] ?? 0) + bAt * 4 - bBegin
  const common = Math.min(aLength, bLength)
  for (let index = 0; index < common; index++) {
    const difference = (a.bytes[aBegin + index] ?? 0) - (b.bytes[bBegin + index] ?? 0)
    if (difference !== 0) return difference
  }
  return aLength - bLength
}

function beginOf(row: RawRow): number {
  let begin = row.keyAt
  if (row.valueAt >= 0 && row.valueAt < begin) begin = row.valueAt
  if (row.oldAt >= 0 && row.oldAt < begin) begin = row.oldAt
  return begin
}

const endOf = (row: RawRow): number => Math.max(row.keyEnd, row.valueEnd, row.oldEnd)
