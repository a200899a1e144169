import type { handleUnaryCall, ServerDuplexStream } from '@grpc/grpc-js'
import { status } from '@grpc/grpc-js'

import type {
  ClusterServer,
  KVServer,
  LeaseServer,
  MaintenanceServer,
  WatchCreateRequest,
  WatchRequest,
  WatchServer,
} from '../../proto/etcd.ts'
import { WatchCreateRequest_FilterType as Filter, WatchResponse } from '../../proto/etcd.ts'
import type { Event as WatchEvent } from '../../proto/mvcc.ts'
import { Event_EventType as EventType } from '../../proto/mvcc.ts'
import { inRange } from '../tikv/bytes.ts'
import type { EtcdStore, Revision } from './etcd-store.ts'
import { bounds, EtcdError } from './etcd-store.ts'

const NO_WATCH = -1n

export interface EtcdServices {
  readonly kv: KVServer
  readonly watch: WatchServer
  readonly lease: LeaseServer
  readonly cluster: ClusterServer
  readonly maintenance: MaintenanceServer
}

/** etcd's v3 services over the embedded store; `clientUrl` is where members say they are. */
export function createEtcdServices(store: EtcdStore, clientUrl: () => string): EtcdServices {
  const { memberId } = store
  return {
    kv: {
      range: unary((request) => store.range(request)),
      put: unary((request) => store.put(request)),
      deleteRange: unary((request) => store.deleteRange(request)),
      txn: unary((request) => store.txn(request)),
      compact: unary((request) => {
        store.compact(request.revision)
        return { header: store.header }
      }),
    },
    watch: { watch: (call) => serveWatch(call, store) },
    lease: {
      leaseGrant: unary((request) => {
        const lease = store.grant(request.ID, request.TTL)
        return { header: store.header, ID: lease.id, TTL: lease.grantedSeconds, error: '' }
      }),
      leaseRevoke: unary((request) => {
        store.revoke(request.ID)
        return { header: store.header }
      }),
      leaseKeepAlive: (call) => {
        call.on('data', ({ ID }) => call.write({ header: store.header, ID, TTL: store.keepAlive(ID) }))
        call.on('end', () => call.end())
      },
      leaseTimeToLive: unary(({ ID, keys }) => {
        const found = store.timeToLive(ID)
        const left = found ?? { ttl: -1n, granted: 0n, keys: [] }
        return { header: store.header, ID, TTL: left.ttl, grantedTTL: left.granted, keys: keys ? left.keys : [] }
      }),
      leaseLeases: unary(() => ({ header: store.header, leases: store.leaseIds().map((ID) => ({ ID })) })),
    },
    cluster: {
      memberList: unary(() => ({
        header: store.header,
        members: [{ ID: memberId, name: 'pd', peerURLs: [clientUrl()], clientURLs: [clientUrl()], isLearner: false }],
      })),
    },
    maintenance: {
      status: unary(() => ({
        header: store.header,
        version: '3.5.0',
        dbSize: 1n << 20n,
        dbSizeInUse: 1n << 20n,
        leader: memberId,
        raftIndex: store.revision,
        raftAppliedIndex: store.revision,
        raftTerm: 2n,
        errors: [],
        isLearner: false,
      })),
    },
  }
}

function unary<Request, Response>(handle: (request: Request) => Response): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    try {
      callback(null, handle(call.request))
    } catch (error) {
      if (error instanceof EtcdError) callback({ code: error.code, details: error.details })
      else callback({ code: status.INTERNAL, details: String(error) })
    }
  }
}

interface Watcher {
  readonly id: bigint
  readonly request: WatchCreateRequest
}

/** All watches of one stream. History is sent when a watch is made, so events never mix with older ones. */
function serveWatch(call: ServerDuplexStream<WatchRequest, WatchResponse>, store: EtcdStore): void {
  const watchers = new Map<bigint, Watcher>()
  let nextId = 0n
  const tell = (watcher: Watcher, revision: Revision): void => {
    const events = revision.events.flatMap((event) => seenBy(watcher.request, event) ?? [])
    if (events.length > 0)
      call.write(
        WatchResponse.create({ header: { ...store.header, revision: revision.revision }, watchId: watcher.id, events }),
      )
  }
  const create = (request: WatchCreateRequest): void => {
    while (watchers.has(nextId)) nextId += 1n
    const id = request.watchId === 0n ? nextId++ : request.watchId
    const refused = { header: store.header, watchId: id, created: true, canceled: true }
    if (watchers.has(id)) {
      call.write(
        WatchResponse.create({
          ...refused,
          watchId: NO_WATCH,
          cancelReason: 'etcdserver: mvcc: duplicate watch ID provided',
        }),
      )
      return
    }
    const watcher = { id, request }
    call.write(WatchResponse.create({ header: store.header, watchId: id, created: true }))
    const { startRevision } = request
    if (startRevision > 0n && startRevision <= store.compactRevision) {
      call.write(
        WatchResponse.create({
          header: store.header,
          watchId: id,
          canceled: true,
          compactRevision: store.compactRevision,
          cancelReason: 'etcdserver: mvcc: required revision has been compacted',
        }),
      )
      return
    }
    watchers.set(id, watcher)
    if (startRevision > 0n) for (const revision of store.since(startRevision)) tell(watcher, revision)
  }
  const listening = store.listen((revision) => {
    for (const watcher of watchers.values())
      if (revision.revision >= watcher.request.startRevision) tell(watcher, revision)
  })
  call.on('data', ({ requestUnion }: WatchRequest) => {
    switch (requestUnion?.$case) {
      case 'createRequest':
        create(requestUnion.value)
        break
      case 'cancelRequest': {
        const { watchId } = requestUnion.value
        if (watchers.delete(watchId))
          call.write(WatchResponse.create({ header: store.header, watchId, canceled: true }))
        break
      }
      case 'progressRequest':
        call.write(WatchResponse.create({ header: store.header, watchId: NO_WATCH }))
        break
      case undefined:
        break
    }
  })
  call.on('end', () => {
    listening[Symbol.dispose]()
    call.end()
  })
  call.on('cancelled', () => listening[Symbol.dispose]())
}

function seenBy(request: WatchCreateRequest, event: WatchEvent): WatchEvent | undefined {
  const key = event.kv?.key
  if (key === undefined || !inRange(key, ...bounds(request.key, request.rangeEnd))) return undefined
  if (request.filters.includes(event.type === EventType.PUT ? Filter.NOPUT : Filter.NODELETE)) return undefined
  return request.prevKv ? event : { ...event, prevKv: undefined }
}
