/** Memory that copied rows share; it counts until the last of them is gone. */
interface Slab {
  readonly bytes: Buffer
  used: number
  live: number
}

const LEAST_SLAB_BYTES = 4 << 10
const MOST_SLAB_BYTES = 256 << 10

/**
 * Where rows live that outlast their frame: a small view would pin a whole frame of megabytes. One per subscription; slabs
 * grow with what is held. A slab is never written twice, so what was read from it stays valid after its release.
 */
export class RowSlabs {
  readonly #slabs: (Slab | undefined)[] = []
  #current = -1
  #held = 0

  /** Bytes that are held now, whole slabs counted. */
  get bytes(): number {
    return this.#held
  }

  /** Copies `source[from, to)`; returns the slab's number, which is given back with {@link release}. */
  copy(source: Buffer, from: number, to: number): number {
    const length = to - from
    let slab = this.#slabs[this.#current]
    if (slab === undefined || slab.bytes.length - slab.used < length) {
      if (slab?.live === 0) this.#drop(this.#current, slab)
      const size = Math.min(MOST_SLAB_BYTES, Math.max(LEAST_SLAB_BYTES, this.#held))
      slab = { bytes: Buffer.allocUnsafeSlow(Math.max(size, length)), used: 0, live: 0 }
      this.#held += slab.bytes.length
      const gap = this.#slabs.indexOf(undefined)
      this.#current = gap < 0 ? this.#slabs.push(slab) - 1 : gap
      this.#slabs[this.#current] = slab
    }
    source.copy(slab.bytes, slab.used, from, to)
    slab.used += length
    slab.live++
    return this.#current
  }

  /** Where the last copy ends in its slab. */
  get end(): number {
    return this.#slabs[this.#current]?.used ?? 0
  }

  bytesOf(number: number): Buffer {
    const slab = this.#slabs[number]
    if (slab === undefined) throw new RangeError(`there is no slab ${number}`)
    return slab.bytes
  }

  release(number: number): void {
    const slab = this.#slabs[number]
    if (slab === undefined) throw new RangeError(`there is no slab ${number}`)
    if (--slab.live === 0) this.#drop(number, slab)
  }

  #drop(number: number, slab: Slab): void {
    this.#held -= slab.bytes.length
    this.#slabs[number] = undefined
    if (number === this.#current) this.#current = -1
  }
}
