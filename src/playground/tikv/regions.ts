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
  | { readonly kind: 'merge'; readonly source: bigint; readonly target: bigint; readonly into: Region }
  | { readonly kind: 'leader'; readonly region: Region; readonly from: Peer | undefined }

export interface SavedRegion {
  readonly region: RegionMeta
  readonly leader: Peer | undefined
}

/** What is kept of regions over a restart. */
export interface RegionState {
  readonly nextId: bigint
  /** In any order. */
  readonly regions: readonly SavedRegion[]
}

export const regionMeta = (region: Region): RegionMeta =>
  RegionMetas.create({
    id: region.id,
    startKey: region.startKey,
    endKey: region.endKey,
    regionEpoch: { confVer: region.confVer, version: region.version },
    peers: [...region.peers],
  })

export const savedRegion = (region: Region): SavedRegion => ({ region: regionMeta(region), leader: region.leader })

/** All regions of the cluster in key order, without holes. What looks one up is O(log n); a change moves pointers. */
export class RegionSet {
  private readonly storeIds: readonly bigint[]
  private readonly listeners = new Set<(change: RegionChange) => void>()
  private readonly ordered: Region[]
  private readonly ids = new Map<bigint, Region>()
  /** Number of leaders by store. */
  private readonly leaders = new Map<bigint, number>()
  private nextId: bigint

  /** One region over everything, or what an earlier run left. */
  constructor(storeIds: readonly bigint[], state?: RegionState) {
    this.storeIds = storeIds
    this.nextId = state?.nextId ?? BigInt(storeIds.length) + 1n
    const restored = state?.regions.map((item) => restore(item.region, item.leader)) ?? [this.first()]
    this.ordered = restored.toSorted((a, b) => compareBytes(a.rawStart, b.rawStart))
    for (const region of this.ordered) this.note(region)
  }

  get all(): readonly Region[] {
    return this.ordered
  }

  get idBound(): bigint {
    return this.nextId
  }

  listen(listener: (change: RegionChange) => void): Disposable {
    this.listeners.add(listener)
    return { [Symbol.dispose]: () => this.listeners.delete(listener) }
  }

  byId(id: bigint): Region | undefined {
    return this.ids.get(id)
  }

  byRawKey(raw: Buffer): Region {
    return this.at(this.indexOf((region) => compareBytes(region.rawStart, raw) <= 0))
  }

  byEncodedKey(encoded: Buffer): Region {
    return this.at(this.indexOf((region) => compareBytes(region.startKey, encoded) <= 0))
  }

  /** The region before the one that contains the key. */
  before(encoded: Buffer): Region | undefined {
    return this.ordered[this.indexOf((region) => compareBytes(region.startKey, encoded) <= 0) - 1]
  }

  /** What an EpochNotMatch tells: the region, and for a client that is behind the one before it, where splits put new ones. */
  current(region: Region, askedVersion: bigint): RegionMeta[] {
    const sibling = askedVersion < region.version ? this.ordered[this.place(region) - 1] : undefined
    return [region, ...(sibling === undefined ? [] : [sibling])].map(regionMeta)
  }

  /** Regions from the one that contains `start` on, up to `end` (empty: no bound); limit 0: no limit. */
  scan(start: Buffer, end: Buffer, limit: number): readonly Region[] {
    const from = this.indexOf((region) => compareBytes(region.startKey, start) <= 0)
    let to = from
    while (to < this.ordered.length && (limit <= 0 || to - from < limit)) {
      const region = this.ordered[to]
      if (region === undefined || (end.length > 0 && compareBytes(region.startKey, end) >= 0)) break
      to++
    }
    return this.ordered.slice(from, to)
  }

  /** All regions that share a key with the range, in key order. */
  within({ rawStart, rawEnd }: RawRange): readonly Region[] {
    const from = this.indexOf((region) => compareBytes(region.rawStart, rawStart) <= 0)
    const last =
      rawEnd.length === 0
        ? this.ordered.length - 1
        : this.indexOf((region) => compareBytes(region.rawStart, rawEnd) < 0)
    return this.ordered.slice(from, last + 1)
  }

  /**
   * Raw keys inside the region; those on its start are passed over. The last part keeps the id, as in TiKV; with `spread`
   * the others are led by those stores that lead the fewest, else by the region's own.
   */
  split(id: bigint, rawKeys: readonly Buffer[], spread: readonly bigint[] = []): readonly Region[] {
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
      const leading = this.leastLoaded(spread) ?? region.leader?.storeId
      const leader = peers.find((peer) => peer.storeId === leading)
      const part = { ...region, ...range, version, id: newId, peers, leader }
      this.note(part)
      return part
    })
    this.ordered.splice(this.place(region), 1, ...into)
    const kept = into.at(-1)
    if (kept !== undefined) this.ids.set(id, kept)
    this.tell({ kind: 'split', id, into })
    return into
  }

  /** Adds a region's range to its neighbour's; false where they are no neighbours. */
  merge(sourceId: bigint, targetId: bigint): boolean {
    const source = this.byId(sourceId)
    const target = this.byId(targetId)
    if (source === undefined || target === undefined) return false
    const [left, right] = compareBytes(source.rawStart, target.rawStart) < 0 ? [source, target] : [target, source]
    const at = this.place(left)
    if (this.ordered[at + 1] !== right) return false
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
    this.ordered.splice(at, 2, merged)
    this.forget(source)
    this.ids.set(targetId, merged)
    this.tell({ kind: 'merge', source: sourceId, target: targetId, into: merged })
    return true
  }

  /** Makes the peer on a store the leader; without a store the region has no leader. False: no such peer or region. */
  moveLeader(id: bigint, storeId: bigint | undefined): boolean {
    const region = this.byId(id)
    const leader = region?.peers.find((peer) => peer.storeId === storeId)
    if (region === undefined || (storeId !== undefined && leader === undefined)) return false
    if (leader?.id === region.leader?.id) return true
    const moved = { ...region, leader }
    this.ordered[this.place(region)] = moved
    this.forget(region)
    this.note(moved)
    this.tell({ kind: 'leader', region: moved, from: region.leader })
    return true
  }

  /** The store with the fewest leaders among `storeIds`; undefined where there is none. */
  leastLoaded(storeIds: readonly bigint[]): bigint | undefined {
    let least = storeIds[0]
    for (const storeId of storeIds)
      if (least !== undefined && this.leaderCount(storeId) < this.leaderCount(least)) least = storeId
    return least
  }

  leaderCount(storeId: bigint): number {
    return this.leaders.get(storeId) ?? 0
  }

  allocateId(): bigint {
    return this.nextId++
  }

  private first(): Region {
    const peers = this.storeIds.map((storeId) => Peers.create({ id: this.allocateId(), storeId }))
    const range = { rawStart: noBytes, rawEnd: noBytes, startKey: noBytes, endKey: noBytes }
    return { id: this.allocateId(), ...range, confVer: BigInt(peers.length), version: 1n, peers, leader: peers[0] }
  }

  private note(region: Region): void {
    this.ids.set(region.id, region)
    const storeId = region.leader?.storeId
    if (storeId !== undefined) this.leaders.set(storeId, this.leaderCount(storeId) + 1)
  }

  private forget(region: Region): void {
    this.ids.delete(region.id)
    const storeId = region.leader?.storeId
    if (storeId !== undefined) this.leaders.set(storeId, this.leaderCount(storeId) - 1)
  }

  private place(region: Region): number {
    return this.indexOf(({ rawStart }) => compareBytes(rawStart, region.rawStart) <= 0)
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
