/** The smallest piece, and the largest that is kept, as powers of two. */
const LEAST_LOG = 9
const MOST_LOG = 20
/** Bytes kept for reuse. */
const KEEP_BYTES = 16 << 20

/**
 * Memory of record batches, used again and again: fresh pages for every megabyte cost more than filling them, and drive
 * the garbage collector. What is larger than a usual batch is not kept.
 */
export class BatchMemory {
  /** Free pieces by the logarithm of their size. */
  readonly #free: Buffer[][] = Array.from({ length: MOST_LOG + 1 }, () => [])
  #keptBytes = 0

  /** A piece of at least `bytes`; its content is arbitrary. */
  take(bytes: number): Buffer {
    const log = Math.max(LEAST_LOG, 32 - Math.clz32(bytes - 1))
    const kept = this.#free[log]?.pop()
    if (kept === undefined) return Buffer.allocUnsafeSlow(log > MOST_LOG ? bytes : 2 ** log)
    this.#keptBytes -= kept.length
    return kept
  }

  /** Takes back a piece that nobody will read or write any more. */
  give(piece: Buffer): void {
    const kept = this.#free[31 - Math.clz32(piece.length)]
    if (kept === undefined || piece.length > 2 ** MOST_LOG || this.#keptBytes + piece.length > KEEP_BYTES) return
    this.#keptBytes += piece.length
    kept.push(piece)
  }
}
