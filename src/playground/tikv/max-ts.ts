/** Highest timestamp that was read at or told as resolved: later async and one-phase commits must lie above it. */
export class MaxTs {
  value = 0n

  raise(ts: bigint): void {
    // A read at the greatest timestamp means "latest"; it binds nobody.
    if (ts > this.value && ts !== 0xffff_ffff_ffff_ffffn) this.value = ts
  }
}
