/** The smallest piece, and the largest that is kept, as powers of two. */
const LEAST_LOG = 9
const MOST_LOG = 20
/** Bytes kept for reuse. */
const KEEP_BYTES = 16 << 20
/** Bytes that may be in use before nothing is taken on a guess any more. */
const AMPLE_BYTES = 64 << 20

/**
 * Memory of record batches, used again and again: fresh pages for every megabyte cost more than filling them, and drive
 * the garbage collector. What is larger than a usual batch is not kept.
 */
export class BatchMemory {
  /** Free pieces by the logarithm of their size. */
  readonly #free: Buffer[][] = Array.from({ length: MOST_LOG + 1 }, () => [])
  #keptBytes = 0
  #usedBytes = 0

  /** What a guess says, while there is little in use: thousands of partitions must not hold a megabyte each for a row. */
  guess(bytes: number): number {
    return this.#usedBytes < AMPLE_BYTES ? bytes : 0
  }

  /** A piece of at least `bytes`; its content is arbitrary. */
  take(bytes: number): Buffer {
    const log = Math.max(LEAST_LOG, 32 - Math.clz32(Math.max(bytes, 1) - 1))
    const kept = this.#free[log]?.pop()
    const piece = kept ?? Buffer.allocUnsafeSlow(log > MOST_LOG ? bytes : 2 ** log)
    if (kept !== undefined) this.#keptBytes -= kept.length
    this.#usedBytes += piece.length
    return piece
  }

  /** A piece is no longer used, but somebody may still read it. */
  forget(piece: Buffer): void {
    this.#usedBytes -= piece.length
  }

  /** Takes back a piece that nobody will read or write any more. */
  give(piece: Buffer): void {
    this.forget(piece)
    const kept = this.#free[31 - Math.clz32(piece.length)]
    if (kept === undefined || piece.length > 2 ** MOST_LOG || this.#keptBytes + piece.length > KEEP_BYTES) return
    this.#keptBytes += piece.length
    kept.push(piece)
  }
}
