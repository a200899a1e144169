const LOGICAL = 1n << 18n
/** How far ahead of what was handed out the saved bound lies. */
const SAVED_AHEAD_MS = 3000n

/** Hands out timestamps that only grow, over restarts too: none is given above the bound that was saved before. */
export class TimestampOracle {
  private physical: bigint
  private logical = 0n
  private saved: bigint
  private readonly save: (physicalMs: bigint) => void
  private readonly now: () => number

  constructor(options: {
    readonly saved: bigint
    readonly save: (physicalMs: bigint) => void
    readonly now: () => number
  }) {
    this.physical = options.saved
    this.saved = options.saved
    this.save = options.save
    this.now = options.now
  }

  /** The last of `count` consecutive timestamps. */
  next(count = 1): bigint {
    const wall = BigInt(this.now())
    if (wall > this.physical) {
      this.physical = wall
      this.logical = 0n
    }
    this.logical += BigInt(count)
    if (this.logical >= LOGICAL) {
      this.physical += 1n
      this.logical = BigInt(count)
    }
    if (this.physical >= this.saved) {
      this.saved = this.physical + SAVED_AHEAD_MS
      this.save(this.saved)
    }
    return (this.physical << 18n) | this.logical
  }
}
