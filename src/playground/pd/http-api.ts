import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { Server } from 'node:http'

import { compareBytes, noBytes } from '../tikv/bytes.ts'
import { readJson, writeJson } from '../json-http.ts'
import type { PlacementDriver } from './pd-service.ts'
import { CLUSTER_VERSION, memberOf, storeMeta } from './pd-service.ts'

type Handler = (url: URL, request: IncomingMessage) => object | string | Promise<object | string>

/** PD's HTTP paths that TiCDC and its tools use. The server does not listen: sockets are handed to it. */
export function createPdHttp(pd: PlacementDriver): Server {
  const member = (): object => {
    const { name, memberId, clientUrls, peerUrls, binaryVersion } = memberOf(pd)
    return { name, member_id: memberId, peer_urls: peerUrls, client_urls: clientUrls, binary_version: binaryVersion }
  }
  const labelRules = new Map<string, unknown>()
  const routes: Readonly<Record<string, Handler>> = {
    'GET /pd/api/v1/version': () => ({ version: `v${CLUSTER_VERSION}`, build_time: '', hash: '', branch: '' }),
    'GET /pd/api/v1/status': () => ({
      build_ts: '',
      version: `v${CLUSTER_VERSION}`,
      git_hash: 'tidewire-playground',
      start_timestamp: Math.floor(pd.startedAtMs / 1000),
    }),
    'GET /pd/api/v1/members': () => ({
      header: { cluster_id: pd.cluster.id },
      members: [member()],
      leader: member(),
      etcd_leader: member(),
    }),
    'GET /pd/api/v1/leader': () => member(),
    'GET /pd/api/v1/health': () => {
      const { name, memberId, clientUrls } = memberOf(pd)
      return [{ name, member_id: memberId, client_urls: clientUrls, health: true }]
    },
    'GET /pd/api/v1/ping': () => ({}),
    'GET /pd/ping': () => ({}),
    'GET /pd/api/v1/cluster': () => ({ id: pd.cluster.id, max_peer_count: 3 }),
    'GET /pd/api/v1/cluster/status': () => ({
      raft_bootstrap_time: new Date(pd.startedAtMs).toISOString(),
      is_initialized: true,
      replication_status: '',
    }),
    'GET /pd/api/v1/config/replicate': () => ({ 'max-replicas': 3, 'enable-placement-rules': 'true' }),
    'GET /pd/api/v1/config/cluster-version': () => CLUSTER_VERSION,
    'GET /pd/api/v1/stores': () => ({
      count: pd.cluster.stores.length,
      stores: pd.cluster.stores.map((store) => ({ store: storeJson(pd, store.id), status: storeStatus(pd, store.id) })),
    }),
    'GET /pd/api/v1/regions/key': (url) => regionsJson(pd, url),
    'GET /pd/api/v1/regions': (url) => regionsJson(pd, url),
    'GET /pd/api/v1/min-resolved-ts': () => ({
      min_resolved_ts: 0,
      is_real_time: false,
      persist_interval: '0s',
    }),
    'GET /pd/api/v1/gc/safepoint': () => ({
      service_gc_safe_points: pd.gc.list().map(({ id, expiredAt, safePoint }) => ({
        service_id: id,
        expired_at: expiredAt,
        safe_point: safePoint,
      })),
      min_service_gc_safe_point: pd.gc.least().safePoint,
      gc_safe_point: pd.gc.gcSafePoint,
    }),
    'GET /pd/api/v1/config/region-label/rules': () => [...labelRules.values()],
    'PATCH /pd/api/v1/config/region-label/rules': async (_url, request) => {
      const body = await readJson(request)
      for (const rule of itemsOf(body, 'sets')) labelRules.set(idOf(rule), rule)
      for (const id of itemsOf(body, 'deletes')) if (typeof id === 'string') labelRules.delete(id)
      return 'Update region label rules successfully.'
    },
  }
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://pd')
    const path = url.pathname.length > 1 ? url.pathname.replace(/\/+$/, '') : url.pathname
    const service = /^\/pd\/api\/v1\/gc\/safepoint\/(.+)$/.exec(path)?.[1]
    if (request.method === 'DELETE' && service !== undefined) {
      pd.gc.remove(decodeURIComponent(service))
      writeJson(response, 200, 'Delete service GC safepoint successfully.')
      return
    }
    const route = routes[`${request.method} ${path}`]
    if (route === undefined)
      response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('404 page not found\n')
    else writeJson(response, 200, await route(url, request))
  }
  return createServer((request, response) => {
    handle(request, response).catch((error: unknown) => writeJson(response, 400, String(error)))
  })
}

function storeJson(pd: PlacementDriver, id: bigint): object {
  const info = pd.cluster.stores.find((store) => store.id === id)
  if (info === undefined) return {}
  const meta = storeMeta(info, pd.startedAtMs)
  return {
    id,
    address: meta.address,
    version: meta.version,
    peer_address: meta.peerAddress,
    status_address: meta.statusAddress,
    start_timestamp: meta.startTimestamp,
    last_heartbeat: meta.lastHeartbeat,
    node_state: meta.nodeState,
    state_name: info.alive ? 'Up' : 'Disconnected',
  }
}

const storeStatus = (pd: PlacementDriver, id: bigint): object => ({
  leader_count: pd.cluster.regions.leaderCount(id),
  region_count: pd.cluster.regions.all.length,
})

/** `key` and `end_key` are encoded bytes, percent-escaped; answers are in upper-case hex. */
function regionsJson(pd: PlacementDriver, url: URL): object {
  const start = escapedBytes(url.search, 'key')
  const end = escapedBytes(url.search, 'end_key')
  const limit = Number(url.searchParams.get('limit') ?? 16)
  const found = pd.cluster.regions.scan(start, end, limit)
  const regions = found.map(({ id, startKey, endKey, confVer, version, peers, leader, rawStart, rawEnd }) => {
    let keys = 0
    for (const _entry of pd.cluster.mvcc.range(rawStart, rawEnd)) keys += 1
    return {
      id,
      start_key: startKey.toString('hex').toUpperCase(),
      end_key: endKey.toString('hex').toUpperCase(),
      epoch: { conf_ver: confVer, version },
      peers: peers.map((peer) => ({ id: peer.id, store_id: peer.storeId })),
      leader: { id: leader?.id ?? 0n, store_id: leader?.storeId ?? 0n },
      written_bytes: 0,
      written_keys: 0,
      approximate_keys: keys,
    }
  })
  return {
    count: regions.length,
    regions: regions.toSorted((a, b) => compareBytes(Buffer.from(a.start_key), Buffer.from(b.start_key))),
  }
}

/** Bytes of a query parameter that is no text: URLSearchParams would take it for UTF-8. */
function escapedBytes(search: string, name: string): Buffer {
  const pair = search
    .slice(1)
    .split('&')
    .find((part) => part.startsWith(`${name}=`))
  if (pair === undefined) return noBytes
  const text = pair.slice(name.length + 1).replaceAll('+', ' ')
  return Buffer.from(
    text.replaceAll(/%([0-9a-f]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  )
}

function itemsOf(body: unknown, name: string): readonly unknown[] {
  const value: unknown =
    typeof body === 'object' && body !== null ? Object.entries(body).find(([key]) => key === name)?.[1] : undefined
  return Array.isArray(value) ? value : []
}

const idOf = (rule: unknown): string =>
  typeof rule === 'object' && rule !== null && 'id' in rule ? String(rule.id) : ''
