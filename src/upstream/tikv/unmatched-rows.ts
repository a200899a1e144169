import type { RowCursor } from './change-data.ts'
import { RowSlabs } from './row-slabs.ts'

/** No entry. */
export const NONE = -1

/** What came for a row so far, as bits; `early`: its commit, before the end of the scan. */
export const Came = { prewrite: 1, commit: 2, rollback: 4, early: 8 } as const

/** The entries of one region. */
export interface RowList {
  /** {@link NONE} when it is empty. */
  firstRow: number
}

/** One entry, read by {@link UnmatchedRows.load}; offsets are into `bytes`, an absent field has length 0. */
export class UnmatchedRow {
  bytes: Buffer = Buffer.alloc(0)
  came = 0
  op = 0
  startHigh = 0
  startLow = 0
  /** Known once the commit has come. */
  commitHigh = 0
  commitLow = 0
  generation = 0
  keyAt = 0
  keyEnd = 0
  valueAt = 0
  valueEnd = 0
  oldAt = 0
  oldEnd = 0
}

// Words of an entry.
const HASH = 0
/** Next entry of the bucket, or of a chunk's free ones. */
const NEXT = 1
const IN_LIST_BEFORE = 2
const IN_LIST_AFTER = 3
/** Number of a slab, IN_FRAME or FREE. */
const SLAB = 4
const START_HIGH = 5
const START_LOW = 6
const COMMIT_HIGH = 7
const COMMIT_LOW = 8
/** What came, and the commit's operation from bit 4 on. */
const STATE = 9
const GENERATION = 10
const KEY_AT = 11
const KEY_END = 12
const VALUE_AT = 13
const VALUE_END = 14
const OLD_AT = 15
const OLD_END = 16
const WORDS = 17
const FIELDS = [KEY_AT, VALUE_AT, OLD_AT]

const IN_FRAME = -1
const FREE = -2

const CHUNK_BITS = 13
const MOST_IN_CHUNK = 1 << CHUNK_BITS
const LEAST_IN_CHUNK = 32
const LEAST_BUCKETS = 32
/** An empty table keeps so much for the next frame. */
const MOST_KEPT_BYTES = 8 << 10

/** Some entries side by side. A chunk whose entries are all free is given back. */
class Chunk {
  readonly words: Int32Array
  readonly capacity: number
  live = 0
  /** Entries that were ever used; beyond them all are fresh. */
  used = 0
  free = NONE

  constructor(capacity: number) {
    this.capacity = capacity
    this.words = new Int32Array(capacity * WORDS)
  }
}

const wordsAt = (position: number): number => (position & (MOST_IN_CHUNK - 1)) * WORDS

/**
 * The rows of a subscription that wait for their other half: prewrites without commit and, while a region is scanned,
 * commits and rollbacks without prewrite. A hash table by start-ts and key whose entries are words in chunks, not objects.
 * A row that begins and ends in one frame is never copied; {@link retain} copies what is left at the frame's end. An entry
 * is named by its position, which is valid until it is freed. Entries of a region form a list.
 */
export class UnmatchedRows {
  readonly #slabs = new RowSlabs()
  #chunks: (Chunk | undefined)[] = []
  #open = 0
  #entryBytes = 0
  #buckets = new Int32Array(0)
  /** Entries in the table, without those that were detached. */
  #size = 0
  #live = 0
  #frame: Buffer = Buffer.alloc(0)
  /** Entries that may still lie in the frame, and how many surely do. */
  readonly #fresh: number[] = []
  #inFrame = 0

  /** All memory but a table for a few rows, which stays. */
  get bytes(): number {
    return this.#live === 0 ? 0 : this.#slabs.bytes + this.#entryBytes + this.#buckets.byteLength
  }

  get size(): number {
    return this.#size
  }

  /** The entry of a row's start-ts and key. */
  find(row: RowCursor): number {
    return this.#size === 0 ? NONE : this.#find(row, hashOf(row))
  }

  /**
   * Takes a PREWRITE. A second one of its transaction and key replaces the first, unless it is empty (a rewritten lock) or
   * of a smaller generation. What was rolled back stays so.
   */
  prewrite(list: RowList, row: RowCursor): void {
    const hash = hashOf(row)
    const known = this.#size === 0 ? NONE : this.#find(row, hash)
    const generation = Math.min(row.generation, 0xffff_ffff)
    if (known !== NONE) {
      const { words } = this.#chunkOf(known)
      const at = wordsAt(known)
      const state = words[at + STATE] ?? 0
      if ((state & (Came.rollback | Came.commit)) === Came.rollback) return
      const first = (state & Came.prewrite) === 0
      const older = generation < (words[at + GENERATION] ?? 0) >>> 0
      if (!first && (row.valueAt === row.valueEnd || older)) return
      this.#releaseBytes(words, at)
    }
    const position = known === NONE ? this.#add(list, row, hash) : known
    const { words } = this.#chunkOf(position)
    const at = wordsAt(position)
    words[at + STATE] = (words[at + STATE] ?? 0) | Came.prewrite
    words[at + GENERATION] = generation
    this.#place(position, row)
    words[at + VALUE_AT] = row.valueAt
    words[at + VALUE_END] = row.valueEnd
    words[at + OLD_AT] = row.oldAt
    words[at + OLD_END] = row.oldEnd
  }

  /** Remembers a COMMIT or ROLLBACK that cannot be joined yet; `came` are its bits. A rollback leaves only the key. */
  end(list: RowList, row: RowCursor, came: number): void {
    const hash = hashOf(row)
    let position = this.#size === 0 ? NONE : this.#find(row, hash)
    if (position === NONE) {
      position = this.#add(list, row, hash)
      this.#place(position, row)
    }
    const { words } = this.#chunkOf(position)
    const at = wordsAt(position)
    if (came === Came.rollback && words[at + STATE] === Came.prewrite) {
      this.#releaseBytes(words, at)
      this.#place(position, row)
      words[at + STATE] = words[at + VALUE_AT] = words[at + VALUE_END] = words[at + OLD_AT] = words[at + OLD_END] = 0
    }
    words[at + STATE] = (words[at + STATE] ?? 0) | came | (row.op << 4)
    words[at + COMMIT_HIGH] = row.commitHigh
    words[at + COMMIT_LOW] = row.commitLow
  }

  load(position: number, row: UnmatchedRow): void {
    const { words } = this.#chunkOf(position)
    const at = wordsAt(position)
    const slab = words[at + SLAB] ?? FREE
    row.bytes = slab === IN_FRAME ? this.#frame : this.#slabs.bytesOf(slab)
    const state = words[at + STATE] ?? 0
    row.came = state & 0xf
    row.op = state >>> 4
    row.startHigh = (words[at + START_HIGH] ?? 0) >>> 0
    row.startLow = (words[at + START_LOW] ?? 0) >>> 0
    row.commitHigh = (words[at + COMMIT_HIGH] ?? 0) >>> 0
    row.commitLow = (words[at + COMMIT_LOW] ?? 0) >>> 0
    row.generation = (words[at + GENERATION] ?? 0) >>> 0
    row.keyAt = words[at + KEY_AT] ?? 0
    row.keyEnd = words[at + KEY_END] ?? 0
    row.valueAt = words[at + VALUE_AT] ?? 0
    row.valueEnd = words[at + VALUE_END] ?? 0
    row.oldAt = words[at + OLD_AT] ?? 0
    row.oldEnd = words[at + OLD_END] ?? 0
  }

  /** Positions of a region's entries, in no order. */
  positionsOf(list: RowList): number[] {
    const positions: number[] = []
    for (let position = list.firstRow; position !== NONE;) {
      positions.push(position)
      position = this.#chunkOf(position).words[wordsAt(position) + IN_LIST_AFTER] ?? NONE
    }
    return positions
  }

  /** In the order (start-ts, key), which is the order of arrival for the most part. */
  sortedPositionsOf(list: RowList): number[] {
    return this.sort(this.positionsOf(list).reverse())
  }

  /** In place. */
  sort(positions: number[]): number[] {
    return positions.sort((a, b) => this.#compare(a, b))
  }

  /** Takes an entry out of the table; it can still be loaded until it is freed. */
  detach(list: RowList, position: number): void {
    const { words } = this.#chunkOf(position)
    const at = wordsAt(position)
    const bucket = (words[at + HASH] ?? 0) & (this.#buckets.length - 1)
    const next = words[at + NEXT] ?? NONE
    let before = this.#buckets[bucket] ?? NONE
    if (before === position) this.#buckets[bucket] = next
    else {
      let chunk = this.#chunkOf(before).words
      while (chunk[wordsAt(before) + NEXT] !== position) {
        before = chunk[wordsAt(before) + NEXT] ?? NONE
        chunk = this.#chunkOf(before).words
      }
      chunk[wordsAt(before) + NEXT] = next
    }
    const previous = words[at + IN_LIST_BEFORE] ?? NONE
    const following = words[at + IN_LIST_AFTER] ?? NONE
    if (previous === NONE) list.firstRow = following
    else this.#chunkOf(previous).words[wordsAt(previous) + IN_LIST_AFTER] = following
    if (following !== NONE) this.#chunkOf(following).words[wordsAt(following) + IN_LIST_BEFORE] = previous
    this.#size--
  }

  /** Gives a detached entry back. What was loaded from it stays valid until the frame's end. */
  free(position: number): void {
    const chunk = this.#chunkOf(position)
    const at = wordsAt(position)
    this.#releaseBytes(chunk.words, at)
    chunk.words[at + SLAB] = FREE
    chunk.words[at + NEXT] = chunk.free
    chunk.free = position
    chunk.live--
    this.#live--
  }

  remove(list: RowList, position: number): void {
    this.detach(list, position)
    this.free(position)
  }

  /** Forgets a region's entries. */
  clear(list: RowList): void {
    for (const position of this.positionsOf(list)) this.remove(list, position)
    this.trim()
  }

  /** Copies what still lies in the frame that was just read: nothing points into it afterwards. */
  retain(): void {
    if (this.#inFrame > 0) {
      for (const position of this.#fresh) {
        const words = this.#chunks[position >>> CHUNK_BITS]?.words
        const at = wordsAt(position)
        if (words?.[at + SLAB] === IN_FRAME) this.#copy(words, at)
      }
      this.#inFrame = 0
      this.#fresh.length = 0
    }
    this.#frame = NOTHING
    this.trim()
  }

  /** Gives back what a large transaction has left. The chunk that is open stays: the next row would make it again. */
  trim(): void {
    if (this.#live === 0 && this.#entryBytes > MOST_KEPT_BYTES) {
      this.#chunks = []
      this.#entryBytes = 0
      this.#buckets = new Int32Array(0)
    }
    for (let number = 0; number < this.#chunks.length; number++) {
      const chunk = this.#chunks[number]
      if (chunk?.live !== 0 || number === this.#open) continue
      this.#entryBytes -= chunk.words.byteLength
      this.#chunks[number] = undefined
    }
    if (this.#buckets.length > 1024 && this.#size * 8 < this.#buckets.length) this.#rehash(this.#buckets.length >> 2)
  }

  #chunkOf(position: number): Chunk {
    const chunk = this.#chunks[position >>> CHUNK_BITS]
    if (chunk === undefined) throw new RangeError(`there is no entry ${position}`)
    return chunk
  }

  #compare(a: number, b: number): number {
    this.load(a, left)
    this.load(b, right)
    return compareRows(left, right)
  }

  #find(row: RowCursor, hash: number): number {
    let position = this.#buckets[hash & (this.#buckets.length - 1)] ?? NONE
    while (position !== NONE) {
      const { words } = this.#chunkOf(position)
      const at = wordsAt(position)
      if (words[at + HASH] === hash && this.#isOf(words, at, row)) return position
      position = words[at + NEXT] ?? NONE
    }
    return NONE
  }

  #isOf(words: Int32Array, at: number, row: RowCursor): boolean {
    if (words[at + START_LOW] !== (row.startLow | 0) || words[at + START_HIGH] !== (row.startHigh | 0)) return false
    const keyAt = words[at + KEY_AT] ?? 0
    const length = row.keyEnd - row.keyAt
    if ((words[at + KEY_END] ?? 0) - keyAt !== length) return false
    const slab = words[at + SLAB] ?? FREE
    const bytes = slab === IN_FRAME ? this.#frame : this.#slabs.bytesOf(slab)
    const { frame, keyAt: other } = row
    // From the end: keys of one table share their beginning.
    for (let i = length - 1; i >= 0; i--) if (bytes[keyAt + i] !== frame[other + i]) return false
    return true
  }

  /** An entry without place. */
  #add(list: RowList, row: RowCursor, hash: number): number {
    if (this.#size >= this.#buckets.length) this.#rehash(Math.max(LEAST_BUCKETS, this.#buckets.length * 2))
    const position = this.#allocate()
    const { words } = this.#chunkOf(position)
    const at = wordsAt(position)
    const bucket = hash & (this.#buckets.length - 1)
    words[at + HASH] = hash
    words[at + NEXT] = this.#buckets[bucket] ?? NONE
    this.#buckets[bucket] = position
    words[at + IN_LIST_BEFORE] = NONE
    words[at + IN_LIST_AFTER] = list.firstRow
    if (list.firstRow !== NONE) this.#chunkOf(list.firstRow).words[wordsAt(list.firstRow) + IN_LIST_BEFORE] = position
    list.firstRow = position
    words[at + START_HIGH] = row.startHigh
    words[at + START_LOW] = row.startLow
    words[at + STATE] = 0
    words[at + GENERATION] = 0
    words[at + VALUE_AT] = words[at + VALUE_END] = words[at + OLD_AT] = words[at + OLD_END] = 0
    this.#size++
    return position
  }

  /** The entry's bytes are the frame's from now on. */
  #place(position: number, row: RowCursor): void {
    const { words } = this.#chunkOf(position)
    const at = wordsAt(position)
    words[at + SLAB] = IN_FRAME
    words[at + KEY_AT] = row.keyAt
    words[at + KEY_END] = row.keyEnd
    this.#frame = row.frame
    this.#fresh.push(position)
    this.#inFrame++
  }

  #releaseBytes(words: Int32Array, at: number): void {
    const slab = words[at + SLAB] ?? FREE
    if (slab !== IN_FRAME) this.#slabs.release(slab)
    else if (--this.#inFrame === 0) this.#fresh.length = 0
  }

  /** The fields lie side by side in their frame, but for a few bytes of tags: one copy takes them all. */
  #copy(words: Int32Array, at: number): void {
    const keyAt = words[at + KEY_AT] ?? 0
    const valueAt = words[at + VALUE_AT] ?? 0
    const oldAt = words[at + OLD_AT] ?? 0
    const from = Math.min(keyAt, valueAt > 0 ? valueAt : keyAt, oldAt > 0 ? oldAt : keyAt)
    const to = Math.max(words[at + KEY_END] ?? 0, words[at + VALUE_END] ?? 0, words[at + OLD_END] ?? 0)
    words[at + SLAB] = this.#slabs.copy(this.#frame, from, to)
    const shift = this.#slabs.end - to
    for (const word of FIELDS) {
      const begin = words[at + word] ?? 0
      const end = words[at + word + 1] ?? 0
      words[at + word] = begin === end ? 0 : begin + shift
      words[at + word + 1] = begin === end ? 0 : end + shift
    }
  }

  #allocate(): number {
    let number = this.#open
    let chunk = this.#chunks[number]
    if (chunk === undefined || chunk.live === chunk.capacity) {
      // The first with room, so that those behind it run empty.
      number = this.#chunks.findIndex((one) => one !== undefined && one.live < one.capacity)
      chunk = this.#chunks[number]
      if (chunk === undefined) {
        chunk = new Chunk(Math.min(MOST_IN_CHUNK, Math.max(LEAST_IN_CHUNK, this.#live)))
        this.#entryBytes += chunk.words.byteLength
        const gap = this.#chunks.indexOf(undefined)
        number = gap < 0 ? this.#chunks.push(chunk) - 1 : gap
        this.#chunks[number] = chunk
      }
      this.#open = number
    }
    chunk.live++
    this.#live++
    const { free } = chunk
    if (free === NONE) return (number << CHUNK_BITS) | chunk.used++
    chunk.free = chunk.words[wordsAt(free) + NEXT] ?? NONE
    return free
  }

  #rehash(length: number): void {
    const old = this.#buckets
    const buckets = new Int32Array(length).fill(NONE)
    for (let position of old) {
      while (position !== NONE) {
        const { words } = this.#chunkOf(position)
        const at = wordsAt(position)
        const next = words[at + NEXT] ?? NONE
        const bucket = (words[at + HASH] ?? 0) & (length - 1)
        words[at + NEXT] = buckets[bucket] ?? NONE
        buckets[bucket] = position
        position = next
      }
    }
    this.#buckets = buckets
  }
}

const NOTHING = Buffer.alloc(0)
const left = new UnmatchedRow()
const right = new UnmatchedRow()

/** By start-ts, then by key. */
export function compareRows(a: UnmatchedRow, b: UnmatchedRow): number {
  if (a.startHigh !== b.startHigh) return a.startHigh - b.startHigh
  if (a.startLow !== b.startLow) return a.startLow - b.startLow
  return a.bytes.compare(b.bytes, b.keyAt, b.keyEnd, a.keyAt, a.keyEnd)
}

/** Of start-ts and the end of the key, where keys of one table differ. */
function hashOf(row: RowCursor): number {
  const { frame, keyAt, keyEnd } = row
  let hash = row.startLow | 0
  let at = keyEnd
  for (let words = 0; words < 6 && at - 4 >= keyAt; words++) {
    at -= 4
    const word =
      (frame[at] ?? 0) | ((frame[at + 1] ?? 0) << 8) | ((frame[at + 2] ?? 0) << 16) | ((frame[at + 3] ?? 0) << 24)
    hash = Math.imul(hash ^ word, 0x9e3779b1)
    hash ^= hash >>> 15
  }
  return hash
}
