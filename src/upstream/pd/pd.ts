import type { Ts } from '../../tidb/ts.ts'

export interface Peer {
  readonly id: bigint
  readonly storeId: bigint
}

/** A region as PD knows it; keys are memcomparable-encoded, an empty `end` is +infinity. */
export interface Region {
  readonly id: bigint
  readonly confVer: bigint
  readonly version: bigint
  readonly start: Uint8Array
  readonly end: Uint8Array
  readonly peers: readonly Peer[]
  /** undefined = PD knows no leader now. */
  readonly leader: Peer | undefined
}

export interface Store {
  readonly id: bigint
  /** host:port for KV and change streams. */
  readonly address: string
  readonly version: string
  readonly state: 'up' | 'offline' | 'tombstone'
  readonly tiflash: boolean
}

/** A keyspace (API v2): a cluster's own key space inside of a bigger one (reference: upstream, section 2.5). */
export interface Keyspace {
  readonly id: number
  readonly name: string
  /** Stands before every raw key. */
  readonly prefix: Uint8Array
}

/** A client of the placement driver (reference: upstream, section 3). Every call retries as written there. */
export interface PdClient extends AsyncDisposable {
  readonly clusterId: bigint
  /** The one that was asked for when opening; undefined for a cluster without. */
  readonly keyspace: Keyspace | undefined
  /** The PD URLs known now, leader first. */
  readonly endpoints: readonly string[]
  tso(signal: AbortSignal): Promise<Ts>
  /** Regions in key order from the one that contains `start`; may have holes and leaderless regions. */
  scanRegions(start: Uint8Array, end: Uint8Array, limit: number, signal: AbortSignal): Promise<readonly Region[]>
  region(key: Uint8Array, signal: AbortSignal): Promise<Region | undefined>
  regionById(id: bigint, signal: AbortSignal): Promise<Region | undefined>
  store(id: bigint, signal: AbortSignal): Promise<Store | undefined>
  stores(signal: AbortSignal): Promise<readonly Store[]>
  /** Returns PD's minimum safe point; a value above `safePoint` means that ours was refused. ttl 0 removes it. */
  updateServiceSafePoint(serviceId: string, ttlSeconds: number, safePoint: Ts, signal: AbortSignal): Promise<Ts>
  /** Reads below it are refused: what they want to see can be collected. 0 = nothing was collected yet. */
  txnSafePoint(signal: AbortSignal): Promise<Ts>
  /** The cluster's `source_id`, 1 where none is set. */
  sourceId(signal: AbortSignal): Promise<number>
}

/** TLS files for everything upstream (PD, etcd, TiKV); paths of PEM files. */
export interface SecurityOptions {
  readonly caPath?: string | undefined
  readonly certPath?: string | undefined
  readonly keyPath?: string | undefined
}
