import type { RawRow } from '../event/raw-row.ts'
import type { Quota } from '../spill/quota.ts'
import type { RowArena, Slab } from './row-arena.ts'
import {
  commitsBy,
  compareRows,
  NO_ROWS,
  packedSize,
  packRow,
  type RowBlock,
  type RowPointer,
  rowSize,
} from './row-block.ts'
import { sortRows } from './sort-rows.ts'

/** A span with so many bytes of rows has slabs of its own, so that spilling it frees memory. */
const OWN_SLABS = 1 / 2
const FIRST_ROWS = 16
const NO_PLACES = new Uint32Array()
const NO_KEYS = new Float64Array()

/**
 * The rows of one span that lie in memory: those that wait for a resolvedTs, as they came, and those at or below it,
 * sorted. The sorted ones are numbered from the span's beginning, so that readers survive the release of older rows.
 */
export class MemoryRows {
  readonly arena: RowArena
  readonly #quota: Quota
  #own: Slab | undefined
  /** Packed. */
  #rowBytes = 0
  #indexBytes = 0
  #waiting = NO_PLACES
  #waitingKeys = NO_KEYS
  #waitingCount = 0
  #sorted = NO_PLACES
  /** Of the first place in `#sorted` that is still held, and behind the last. */
  #head = 0
  #tail = 0
  /** Number of the row at `#sorted[0]`. */
  #base = 0
  /** First of the rows that were chosen. */
  #chosenWaiting = 0
  #chosenSorted = 0

  constructor(arena: RowArena, quota: Quota) {
    this.arena = arena
    this.#quota = quota
  }

  /** What {@link clear} frees, but for slabs that others fill too. */
  get bytes(): number {
    return this.#rowBytes + this.#indexBytes
  }

  /** Number of the first sorted row that is held, and behind the last. */
  get first(): number {
    return this.#base + this.#head
  }

  get end(): number {
    return this.#base + this.#tail
  }

  /** Copies a row. */
  add(row: RawRow): void {
    const size = packedSize(row)
    const slab = this.#slabFor(size)
    packRow(slab, slab.used, row, size)
    if (this.#waitingCount === this.#waiting.length) this.#growWaiting()
    this.#waiting[this.#waitingCount] = this.arena.placeOf(slab, slab.used)
    this.#waitingKeys[this.#waitingCount] = this.arena.sortKey(row.commitHigh, row.commitLow)
    this.#waitingCount++
    slab.used += size
    slab.holders++
    this.#rowBytes += size
  }

  /** Sorts the waiting rows up to the timestamp of these halves behind those that are sorted; none of them is smaller. */
  resolve(high: number, low: number): void {
    const waiting = this.#waiting
    const keys = this.#waitingKeys
    const count = this.#waitingCount
    if (count === 0) {
      this.#waiting = NO_PLACES
      this.#waitingKeys = NO_KEYS
      this.#accountIndex()
      return
    }
    const limit = this.arena.sortKey(high, low)
    const ready = new Uint32Array(count)
    const readyKeys = new Float64Array(count)
    let readyCount = 0
    let left = 0
    for (let at = 0; at < count; at++) {
      const place = waiting[at] ?? 0
      const key = keys[at] ?? 0
      if (key < limit || (key === limit && commitsBy(this.arena.slabAt(place), place & 0xffff, high, low))) {
        ready[readyCount] = place
        readyKeys[readyCount++] = key
      } else {
        waiting[left] = place
        keys[left++] = key
      }
    }
    this.#waitingCount = left
    sortRows(ready, readyKeys, readyCount, this.#compare)
    this.#append(ready.subarray(0, readyCount))
  }

  /** Slab of a sorted row; its word there is {@link wordAt}. */
  blockAt(number: number): RowBlock {
    return this.arena.slabAt(this.#sorted[number - this.#base] ?? 0)
  }

  wordAt(number: number): number {
    return (this.#sorted[number - this.#base] ?? 0) & 0xffff
  }

  /** Number of the first sorted row that `isBefore` does not hold for; it holds for none behind that one. */
  find(isBefore: (block: RowBlock, at: number) => boolean): number {
    let low = this.first
    let high = this.end
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (isBefore(this.blockAt(middle), this.wordAt(middle))) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Frees the sorted rows up to the timestamp of these halves. */
  release(high: number, low: number): void {
    while (this.#head < this.#tail) {
      const place = this.#sorted[this.#head] ?? 0
      const slab = this.arena.slabAt(place)
      const at = place & 0xffff
      if (!commitsBy(slab, at, high, low)) return
      this.#rowBytes -= rowSize(slab, at)
      this.arena.release(slab)
      this.#head++
    }
    this.#dropSorted()
    if (this.#waitingCount === 0) this.#closeOwn()
  }

  /**
   * About so many bytes of rows, in order, as one object that moves: those that came last, of the sorted ones those furthest
   * ahead. {@link dropChosen} frees them.
   */
  *choose(maxBytes: number): Generator<RowPointer> {
    let bytes = 0
    let waiting = this.#waitingCount
    while (waiting > 0 && bytes < maxBytes) bytes += this.#sizeOf(this.#waiting[--waiting] ?? 0)
    let sorted = this.#tail
    while (sorted > this.#head && bytes < maxBytes) bytes += this.#sizeOf(this.#sorted[--sorted] ?? 0)
    this.#chosenWaiting = waiting
    this.#chosenSorted = sorted
    const count = this.#waitingCount - waiting
    sortRows(this.#waiting.subarray(waiting), this.#waitingKeys.subarray(waiting), count, this.#compare)
    const pointer: { block: RowBlock; at: number } = { block: NO_ROWS, at: 0 }
    for (const [places, from, to] of [
      [this.#sorted, sorted, this.#tail],
      [this.#waiting, waiting, this.#waitingCount],
    ] as const) {
      for (let at = from; at < to; at++) {
        const place = places[at] ?? 0
        pointer.block = this.arena.slabAt(place)
        pointer.at = place & 0xffff
        yield pointer
      }
    }
  }

  dropChosen(): void {
    for (let at = this.#chosenWaiting; at < this.#waitingCount; at++) this.#free(this.#waiting[at] ?? 0)
    this.#waitingCount = this.#chosenWaiting
    for (let at = this.#chosenSorted; at < this.#tail; at++) this.#free(this.#sorted[at] ?? 0)
    this.#tail = this.#chosenSorted
    if (this.#tail === this.#head && this.#waitingCount === 0) this.clear()
  }

  /** Frees the rows that wait; those that are sorted stay. */
  dropWaiting(): void {
    for (let at = 0; at < this.#waitingCount; at++) this.#free(this.#waiting[at] ?? 0)
    this.#waitingCount = 0
    this.#waiting = NO_PLACES
    this.#waitingKeys = NO_KEYS
    this.#accountIndex()
  }

  /** Frees all rows. */
  clear(): void {
    for (let at = this.#head; at < this.#tail; at++) this.#free(this.#sorted[at] ?? 0)
    this.#head = this.#tail
    this.#dropSorted()
    this.dropWaiting()
    this.#closeOwn()
  }

  readonly #compare = (a: number, b: number): number =>
    compareRows(this.arena.slabAt(a), a & 0xffff, this.arena.slabAt(b), b & 0xffff)

  #sizeOf(place: number): number {
    return rowSize(this.arena.slabAt(place), place & 0xffff)
  }

  #free(place: number): void {
    const slab = this.arena.slabAt(place)
    this.#rowBytes -= rowSize(slab, place & 0xffff)
    this.arena.release(slab)
  }

  #slabFor(size: number): Slab {
    if (this.#own !== undefined && this.#own.used + size <= this.#own.bytes.length) return this.#own
    if (this.#own === undefined && this.#rowBytes < this.arena.slabBytes * OWN_SLABS) return this.arena.shared(size)
    this.#closeOwn()
    this.#own = this.arena.open(size)
    return this.#own
  }

  #closeOwn(): void {
    if (this.#own !== undefined) this.arena.release(this.#own)
    this.#own = undefined
  }

  #growWaiting(): void {
    const rows = Math.max(FIRST_ROWS, this.#waiting.length * 2)
    const [waiting, keys] = [this.#waiting, this.#waitingKeys]
    this.#waiting = new Uint32Array(rows)
    this.#waitingKeys = new Float64Array(rows)
    this.#waiting.set(waiting)
    this.#waitingKeys.set(keys)
    this.#accountIndex()
  }

  #append(places: Uint32Array): void {
    const held = this.#tail - this.#head
    if (this.#tail + places.length > this.#sorted.length) {
      const kept = this.#sorted.subarray(this.#head, this.#tail)
      const needed = held + places.length
      // Moved to the front where that makes room enough; else to a larger array.
      if (needed * 2 > this.#sorted.length) this.#sorted = new Uint32Array(Math.max(FIRST_ROWS, needed * 2))
      this.#sorted.set(kept)
      this.#base += this.#head
      this.#head = 0
      this.#tail = held
      this.#accountIndex()
    }
    this.#sorted.set(places, this.#tail)
    this.#tail += places.length
  }

  #dropSorted(): void {
    this.#base += this.#tail
    this.#head = this.#tail = 0
    this.#sorted = NO_PLACES
    this.#accountIndex()
  }

  #accountIndex(): void {
    const bytes = this.#sorted.byteLength + this.#waiting.byteLength + this.#waitingKeys.byteLength
    if (bytes === this.#indexBytes) return
    this.#quota.addBefore(bytes - this.#indexBytes)
    this.#indexBytes = bytes
  }
}
