import type { Peer, Region as RegionMeta } from '../../proto/metapb.ts'
import { Peer as Peers, Region as RegionMetas } from '../../proto/metapb.ts'
import { compareBytes, decodeKey, encodeKey, noBytes } from './bytes.ts'

/** Raw keys; an empty end is no bound. */
export interface RawRange {
  readonly rawStart: Buffer
  readonly rawEnd: Buffer
}

/** A range of keys with one leader. Immutable: a change makes a new one under the same id. */
export interface Region extends RawRange {
  readonly id: bigint
  /** Memcomparable, as PD and the change feed have them. */
  readonly startKey: Buffer
  readonly endKey: Buffer
  readonly confVer: bigint
  readonly version: bigint
  readonly peers: readonly Peer[]
  readonly leader: Peer | undefined
}

/** What became of regions; ids are those that existed before. */
export type RegionChange =
  | { readonly kind: 'split'; readonly id: bigint; readonly into: readonly Region[] }
  | { readonly kind: 'merge'; readonly source: bigint; readonly target: bigint }
  | { readonly kind: 'leader'; readonly region: Region; readonly from: Peer | undefined }

/** What is kept of regions over a restart. */
export interface RegionState {
  readonly nextId: bigint
  readonly regions: readonly { readonly region: RegionMeta; readonly leader: Peer | undefined }[]
}

export const regionMeta = (region: Region): RegionMeta =>
  RegionMetas.create({
    id: region.id,
    startKey: region.startKey,
    endKey: region.endKey,
    regionEpoch: { confVer: region.confVer, version: region.version },
    peers: [...region.peers],
  })

/** All regions of the cluster in key order, without holes. */
export class RegionSet {
  private readonly storeIds: readonly bigint[]
  private readonly listeners = new Set<(change: RegionChange) => void>()
  private ordered: Region[]
  private nextId: bigint

  /** One region over everything, or what an earlier run left. */
  constructor(storeIds: readonly bigint[], state?: RegionState) {
    this.storeIds = storeIds
    this.nextId = state?.nextId ?? BigInt(storeIds.length) + 1n
    this.ordered = state?.regions.map((item) => restore(item.region, item.leader)) ?? [this.first()]
  }

  get all(): readonly Region[] {
    return this.ordered
  }

  state(): RegionState {
    return {
      nextId: this.nextId,
      regions: this.ordered.map((region) => ({ region: regionMeta(region), leader: region.leader })),
    }
  }

  listen(listener: (change: RegionChange) => void): Disposable {
    this.listeners.add(listener)
    return { [Symbol.dispose]: () => this.listeners.delete(listener) }
  }

  byId(id: bigint): Region | undefined {
    return this.ordered.find((region) => region.id === id)
  }

  byRawKey(raw: Buffer): Region {
    return this.at(this.indexOf((region) => compareBytes(region.rawStart, raw) <= 0))
  }

  byEncodedKey(encoded: Buffer): Region {
    return this.at(this.indexOf((region) => compareBytes(region.startKey, encoded) <= 0))
  }

  /** The region before the one that contains the key. */
  before(encoded: Buffer): Region | undefined {
    return this.ordered[this.ordered.indexOf(this.byEncodedKey(encoded)) - 1]
  }

  /** What an EpochNotMatch tells: the region, and for a client that is behind the one before it, where splits put new ones. */
  current(region: Region, askedVersion: bigint): RegionMeta[] {
    const sibling = askedVersion < region.version ? this.ordered[this.ordered.indexOf(region) - 1] : undefined
    return [region, ...(sibling === undefined ? [] : [sibling])].map(regionMeta)
  }

  /** Regions from the one that contains `start` on, up to `end` (empty: no bound); limit 0: no limit. */
  scan(start: Buffer, end: Buffer, limit: number): readonly Region[] {
    const from = this.ordered.indexOf(this.byEncodedKey(start))
    let to = from
    while (to < this.ordered.length && (limit <= 0 || to - from < limit)) {
      const region = this.ordered[to]
      if (region === undefined || (end.length > 0 && compareBytes(region.startKey, end) >= 0)) break
      to++
    }
    return this.ordered.slice(from, to)
  }

  /** Raw keys inside the region; those on its start are passed over. The last part keeps the id, as in TiKV. */
  split(id: bigint, rawKeys: readonly Buffer[]): readonly Region[] {
    const region = this.byId(id)
    if (region === undefined) return []
    const keys = [...rawKeys]
      .toSorted(compareBytes)
      .filter((key, index, sorted) => index === 0 || compareBytes(key, sorted[index - 1] ?? noBytes) !== 0)
      .filter(
        (key) =>
          compareBytes(key, region.rawStart) > 0 &&
          (region.rawEnd.length === 0 || compareBytes(key, region.rawEnd) < 0),
      )
    if (keys.length === 0) return [region]
    const version = region.version + BigInt(keys.length)
    const bounds = [region.rawStart, ...keys.map((key) => Buffer.from(key)), region.rawEnd]
    const into = bounds.slice(0, -1).map((rawStart, index): Region => {
      const rawEnd = bounds[index + 1] ?? noBytes
      const range = {
        rawStart,
        rawEnd,
        startKey: index === 0 ? region.startKey : encodeKey(rawStart),
        endKey: index === keys.length ? region.endKey : encodeKey(rawEnd),
      }
      if (index === keys.length) return { ...region, ...range, version }
      const newId = this.allocateId()
      const peers = region.peers.map((peer) => Peers.create({ ...peer, id: this.allocateId() }))
      const leader = peers.find((peer) => peer.storeId === region.leader?.storeId)
      return { ...region, ...range, version, id: newId, peers, leader }
    })
    this.ordered.splice(this.ordered.indexOf(region), 1, ...into)
    this.tell({ kind: 'split', id, into })
    return into
  }

  /** Adds a region's range to its neighbour's; false where they are no neighbours. */
  merge(sourceId: bigint, targetId: bigint): boolean {
    const source = this.byId(sourceId)
    const target = this.byId(targetId)
    if (source === undefined || target === undefined) return false
    const [left, right] =
      this.ordered.indexOf(source) < this.ordered.indexOf(target) ? [source, target] : [target, source]
    if (this.ordered.indexOf(right) !== this.ordered.indexOf(left) + 1) return false
    // The preparation of the merge counts on the source, its commit on the target.
    const prepared = source.version + 1n
    const version = (prepared > target.version ? prepared : target.version) + 1n
    const merged: Region = {
      ...target,
      rawStart: left.rawStart,
      startKey: left.startKey,
      rawEnd: right.rawEnd,
      endKey: right.endKey,
      version,
    }
    this.ordered.splice(this.ordered.indexOf(left), 2, merged)
    this.tell({ kind: 'merge', source: sourceId, target: targetId })
    return true
  }

  /** Makes the peer on a store the leader; without a store the region has no leader. False: no such peer or region. */
  moveLeader(id: bigint, storeId: bigint | undefined): boolean {
    const region = this.byId(id)
    const leader = region?.peers.find((peer) => peer.storeId === storeId)
    if (region === undefined || (storeId !== undefined && leader === undefined)) return false
    if (leader?.id === region.leader?.id) return true
    const moved = { ...region, leader }
    this.ordered[this.ordered.indexOf(region)] = moved
    this.tell({ kind: 'leader', region: moved, from: region.leader })
    return true
  }

  /** The store with the fewest leaders among `storeIds`. */
  leastLoaded(storeIds: readonly bigint[]): bigint | undefined {
    const leaders = (storeId: bigint): number =>
      this.ordered.filter((region) => region.leader?.storeId === storeId).length
    return storeIds.toSorted((a, b) => leaders(a) - leaders(b))[0]
  }

  allocateId(): bigint {
    return this.nextId++
  }

  private first(): Region {
    const peers = this.storeIds.map((storeId) => Peers.create({ id: this.allocateId(), storeId }))
    const range = { rawStart: noBytes, rawEnd: noBytes, startKey: noBytes, endKey: noBytes }
    return { id: this.allocateId(), ...range, confVer: BigInt(peers.length), version: 1n, peers, leader: peers[0] }
  }

  /** The last region for which `starts` holds; the first one always does. */
  private indexOf(starts: (region: Region) => boolean): number {
    let low = 0
    let high = this.ordered.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (starts(this.at(middle))) low = middle
      else high = middle - 1
    }
    return low
  }

  private at(index: number): Region {
    const region = this.ordered[index]
    if (region === undefined) throw new RangeError(`no region at ${index} of ${this.ordered.length}`)
    return region
  }

  private tell(change: RegionChange): void {
    for (const listener of this.listeners) listener(change)
  }
}

function restore(meta: RegionMeta, leader: Peer | undefined): Region {
  return {
    id: meta.id,
    startKey: meta.startKey,
    endKey: meta.endKey,
    rawStart: decodeKey(meta.startKey) ?? noBytes,
    rawEnd: decodeKey(meta.endKey) ?? noBytes,
    confVer: meta.regionEpoch?.confVer ?? 1n,
    version: meta.regionEpoch?.version ?? 1n,
    peers: meta.peers,
    leader,
  }
}
