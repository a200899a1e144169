/** A timestamp that others are compared with by their halves. */
export class TsFloor {
  #ts = 0n
  #high = 0
  #low = 0

  set(ts: bigint): void {
    if (ts === this.#ts) return
    this.#ts = ts
    this.#high = Number(ts >> 32n)
    this.#low = Number(ts & 0xffff_ffffn)
  }

  /** Is the floor below the timestamp with these unsigned halves? */
  isBelow(high: number, low: number): boolean {
    return high > this.#high || (high === this.#high && low > this.#low)
  }
}
