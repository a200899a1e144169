/** Region errors that can be asked for; the names are those of errorpb and cdcpb. */
export const REGION_FAULTS = [
  'epoch_not_match',
  'not_leader',
  'region_not_found',
  'server_is_busy',
  'congested',
] as const
export type RegionFault = (typeof REGION_FAULTS)[number]

/** What the cluster has been told to do wrong. Times are on the monotonic clock, ms. */
export class Faults {
  private armed: RegionFault[] = []
  private resolvedTsHeldUntil = 0
  private pdLeaderlessUntil = 0
  private readonly stalledUntil = new Map<bigint, number>()

  /** The next `count` requests or registrations get this error. */
  arm(kind: RegionFault, count: number): void {
    for (let left = count; left > 0; left--) this.armed.push(kind)
  }

  /** Takes the error for one request, if one is armed that `fits` it. */
  take(fits: (kind: RegionFault) => boolean = () => true): RegionFault | undefined {
    const at = this.armed.findIndex(fits)
    return at < 0 ? undefined : this.armed.splice(at, 1)[0]
  }

  holdResolvedTs(ms: number): void {
    this.resolvedTsHeldUntil = performance.now() + ms
  }

  get resolvedTsHeld(): boolean {
    return performance.now() < this.resolvedTsHeldUntil
  }

  loseLeader(ms: number): void {
    this.pdLeaderlessUntil = performance.now() + ms
  }

  get pdLeaderless(): boolean {
    return performance.now() < this.pdLeaderlessUntil
  }

  stall(storeId: bigint, ms: number): void {
    this.stalledUntil.set(storeId, performance.now() + ms)
  }

  /** How long the store still sends nothing, ms; 0 where it works. */
  stallMs(storeId: bigint): number {
    return Math.max(0, (this.stalledUntil.get(storeId) ?? 0) - performance.now())
  }

  clear(): void {
    this.armed = []
    this.resolvedTsHeldUntil = 0
    this.pdLeaderlessUntil = 0
    this.stalledUntil.clear()
  }
}
