import type { Ts } from '../../tidb/ts.ts'
import type { RowCursor } from './change-data.ts'

/** What names a prewrite: a row's transaction and its key in `frame`. */
export interface RowKey {
  readonly startTs: Ts
  /** Low half of `startTs`. */
  readonly startLow: number
  readonly frame: Buffer
  readonly keyAt: number
  readonly keyEnd: number
}

/** Memory that copied prewrites share; it counts until the last of them is gone. */
interface Slab {
  readonly bytes: Buffer
  used: number
  live: number
}

const SLAB_BYTES = 64 << 10

/**
 * Where prewrites live that outlast their frame: a small view would pin a whole frame of megabytes. One per subscription.
 * Slabs are never written again, so views that were given away stay valid.
 */
export class PrewriteArena {
  #bytes = 0
  #current: Slab | undefined

  /** Bytes that are held now, whole slabs counted. */
  get bytes(): number {
    return this.#bytes
  }

  /** Accounts bytes that lie elsewhere; negative to give them back. */
  charge(bytes: number): void {
    this.#bytes += bytes
  }

  reserve(bytes: number): Slab {
    let slab = this.#current
    if (slab === undefined || slab.bytes.length - slab.used < bytes) {
      slab = { bytes: Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes)), used: 0, live: 0 }
      this.#bytes += slab.bytes.length
      const full = this.#current
      this.#current = slab
      if (full !== undefined && full.live === 0) this.#bytes -= full.bytes.length
    }
    slab.live++
    return slab
  }

  release(slab: Slab): void {
    if (--slab.live > 0) return
    this.#bytes -= slab.bytes.length
    if (slab === this.#current) this.#current = undefined
  }
}

/** A lock that was written and not yet committed; offsets are into `frame`. */
export class Prewrite {
  readonly startTs: Ts
  readonly hash: number
  frame: Buffer
  keyAt: number
  keyEnd: number
  valueAt: number
  valueEnd: number
  oldAt: number
  oldEnd: number
  generation: number
  next: Prewrite | undefined
  /** undefined = still a view into the received frame. */
  slab: Slab | undefined
  live = true

  constructor(row: RowCursor, hash: number) {
    this.startTs = row.startTs
    this.hash = hash
    this.frame = row.frame
    this.keyAt = row.keyAt
    this.keyEnd = row.keyEnd
    this.valueAt = row.valueAt
    this.valueEnd = row.valueEnd
    this.oldAt = row.oldAt
    this.oldEnd = row.oldEnd
    this.generation = row.generation
  }
}

/** Unmatched prewrites of one region, by start-ts and key. */
export class Prewrites {
  readonly #arena: PrewriteArena
  #buckets: (Prewrite | undefined)[] = []
  #size = 0
  /** Those that may still be views into the frame that is being read. */
  #fresh: Prewrite[] = []

  constructor(arena: PrewriteArena) {
    this.#arena = arena
  }

  get size(): number {
    return this.#size
  }

  /**
   * Keeps a PREWRITE row. A second one for the same transaction and key replaces the first, unless it is empty (a
   * rewritten lock) or of a smaller generation.
   */
  put(row: RowCursor): void {
    const hash = hashOf(row)
    const known = this.#find(row, hash)
    if (known !== undefined) {
      if (row.valueAt === row.valueEnd || row.generation < known.generation) return
      this.#remove(known)
    }
    if (this.#size >= this.#buckets.length) this.#grow()
    const prewrite = new Prewrite(row, hash)
    const bucket = hash & (this.#buckets.length - 1)
    prewrite.next = this.#buckets[bucket]
    this.#buckets[bucket] = prewrite
    this.#size++
    this.#fresh.push(prewrite)
  }

  find(row: RowKey): Prewrite | undefined {
    return this.#size === 0 ? undefined : this.#find(row, hashOf(row))
  }

  /** Takes a prewrite out; its bytes stay valid while somebody views them. */
  take(prewrite: Prewrite): void {
    this.#remove(prewrite)
  }

  /** Copies what is left of the frame that was just read. */
  retain(): void {
    for (const prewrite of this.#fresh) if (prewrite.live) this.#copy(prewrite)
    this.#fresh = []
  }

  clear(): void {
    for (let prewrite of this.#buckets) {
      for (; prewrite !== undefined; prewrite = prewrite.next) {
        prewrite.live = false
        if (prewrite.slab !== undefined) this.#arena.release(prewrite.slab)
      }
    }
    this.#buckets = []
    this.#fresh = []
    this.#size = 0
  }

  #find(row: RowKey, hash: number): Prewrite | undefined {
    let at = this.#buckets[hash & (this.#buckets.length - 1)]
    for (; at !== undefined; at = at.next)
      if (at.hash === hash && at.startTs === row.startTs && sameKey(at, row)) return at
    return undefined
  }

  #remove(prewrite: Prewrite): void {
    const bucket = prewrite.hash & (this.#buckets.length - 1)
    let at = this.#buckets[bucket]
    if (at === prewrite) this.#buckets[bucket] = prewrite.next
    else {
      while (at !== undefined && at.next !== prewrite) at = at.next
      if (at !== undefined) at.next = prewrite.next
    }
    this.#size--
    prewrite.live = false
    if (prewrite.slab !== undefined) this.#arena.release(prewrite.slab)
  }

  /** The fields lie side by side in their frame, but for a few bytes of tags: one copy takes them all. */
  #copy(prewrite: Prewrite): void {
    const { keyAt, valueAt, oldAt } = prewrite
    const from = Math.min(keyAt, valueAt > 0 ? valueAt : keyAt, oldAt > 0 ? oldAt : keyAt)
    const to = Math.max(prewrite.keyEnd, prewrite.valueEnd, prewrite.oldEnd)
    const slab = this.#arena.reserve(to - from)
    prewrite.frame.copy(slab.bytes, slab.used, from, to)
    const shift = slab.used - from
    prewrite.frame = slab.bytes
    prewrite.slab = slab
    prewrite.keyAt += shift
    prewrite.keyEnd += shift
    prewrite.valueAt += shift
    prewrite.valueEnd += shift
    prewrite.oldAt += shift
    prewrite.oldEnd += shift
    slab.used += to - from
  }

  #grow(): void {
    const old = this.#buckets
    const size = Math.max(8, old.length * 2)
    this.#buckets = Array.from({ length: size })
    for (let prewrite of old) {
      while (prewrite !== undefined) {
        const { next } = prewrite
        const bucket = prewrite.hash & (size - 1)
        prewrite.next = this.#buckets[bucket]
        this.#buckets[bucket] = prewrite
        prewrite = next
      }
    }
  }
}

/** Of start-ts and the end of the key, where keys of one table differ. */
function hashOf(row: RowKey): number {
  const { frame, keyEnd } = row
  let hash = row.startLow | 0
  for (let at = Math.max(row.keyAt, keyEnd - 24); at < keyEnd; at++)
    hash = Math.imul(hash ^ (frame[at] ?? 0), 0x01000193)
  return hash ^ (hash >>> 15)
}

function sameKey(prewrite: Prewrite, row: RowKey): boolean {
  const length = row.keyEnd - row.keyAt
  if (prewrite.keyEnd - prewrite.keyAt !== length) return false
  // From the end: keys of one table share their beginning.
  for (let i = length - 1; i >= 0; i--) {
    if (prewrite.frame[prewrite.keyAt + i] !== row.frame[row.keyAt + i]) return false
  }
  return true
}
