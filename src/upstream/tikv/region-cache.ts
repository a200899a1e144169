import { compareBytes } from '../../tidb/key.ts'
import type { Peer, Region } from '../pd/pd.ts'

/** A region and the peer that answers for it now. */
export interface CachedRegion extends Region {
  readonly leader: Peer
}

/** Regions for unary calls, by encoded key; no two overlap (reference: upstream, section 4). */
export class RegionCache {
  /** In order of their start keys. */
  #regions: CachedRegion[] = []

  find(encodedKey: Uint8Array): CachedRegion | undefined {
    const region = this.#regions[this.#firstAfter(encodedKey) - 1]
    return region !== undefined && contains(region, encodedKey) ? region : undefined
  }

  /**
   * Puts a record in, in the place of all that it overlaps. One that is older than a known record of that id, or of those
   * keys, is ignored: it comes from a follower of PD, or from a store that is behind.
   */
  put(region: CachedRegion): void {
    const known = this.#regions.find((one) => one.id === region.id)
    if (known !== undefined && (known.version > region.version || known.confVer > region.confVer)) return
    if (this.#regions.some((one) => one.version > region.version && overlaps(one, region))) return
    this.#regions = this.#regions.filter((one) => one !== known && !overlaps(one, region))
    this.#regions.splice(this.#firstAfter(region.start), 0, region)
  }

  drop(region: CachedRegion): void {
    const at = this.#regions.indexOf(region)
    if (at >= 0) this.#regions.splice(at, 1)
  }

  /** Lets another peer answer; drops the region when the peer is none of its own. */
  setLeader(region: CachedRegion, leader: Peer): void {
    const at = this.#regions.indexOf(region)
    if (at < 0) return
    const own = region.peers.find((peer) => peer.id === leader.id)
    if (own === undefined) this.#regions.splice(at, 1)
    else this.#regions[at] = { ...region, leader: own }
  }

  #firstAfter(encodedKey: Uint8Array): number {
    let low = 0
    let high = this.#regions.length
    while (low < high) {
      const middle = (low + high) >> 1
      const start = this.#regions[middle]?.start
      if (start !== undefined && compareBytes(start, encodedKey) <= 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** An empty end is +infinity. */
export function contains(region: Region, encodedKey: Uint8Array): boolean {
  if (compareBytes(region.start, encodedKey) > 0) return false
  return region.end.length === 0 || compareBytes(encodedKey, region.end) < 0
}

function overlaps(a: Region, b: Region): boolean {
  const before = (x: Region, y: Region): boolean => x.end.length > 0 && compareBytes(x.end, y.start) <= 0
  return !before(a, b) && !before(b, a)
}
