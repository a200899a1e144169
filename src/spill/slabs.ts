import type { Quota } from './quota.ts'

/** Size of a slab; a larger copy gets a slab of its own. */
const SLAB_BYTES = 256 * 1024

/** A block of memory whose life ends when the last copy in it is released. */
export interface Slab {
  readonly bytes: Uint8Array
  used: number
  /** Copies that are still held, plus one while the slab is being filled. */
  holders: number
}

/**
 * Copies bytes that must outlive the frame they came in. Many spans share one allocator, so that ten thousand idle
 * tables hold no memory. Slabs are counted in the quota from their allocation to their last release.
 */
export class SlabAllocator implements Disposable {
  readonly #quota: Quota
  #held = 0
  #current: Slab | undefined

  constructor(quota: Quota) {
    this.#quota = quota
  }

  get heldBytes(): number {
    return this.#held
  }

  /** A slab with room for `bytes` more; the caller writes at `slab.used`, advances it and calls {@link release} once. */
  reserve(bytes: number): Slab {
    let slab = this.#current
    if (slab === undefined || slab.used + bytes > slab.bytes.length) {
      if (slab !== undefined) this.release(slab)
      const size = Math.max(SLAB_BYTES, bytes)
      slab = { bytes: new Uint8Array(size), used: 0, holders: 1 }
      this.#held += size
      this.#quota.addBefore(size)
      this.#current = slab
    }
    slab.holders++
    return slab
  }

  release(slab: Slab): void {
    slab.holders--
    if (slab.holders > 0) return
    this.#held -= slab.bytes.length
    this.#quota.addBefore(-slab.bytes.length)
  }

  /** Gives back everything, released or not: nothing that was copied may be used any more. */
  [Symbol.dispose](): void {
    this.#quota.addBefore(-this.#held)
    this.#held = 0
    this.#current = undefined
  }
}
