// What many idle regions cost the event feed: memory per region, and CPU while each of them gets one resolved-ts a second.
// `regions.ts serve REGIONS` is a PD and ten stores that have nothing else to say; `regions.ts read PD REGIONS SECONDS` is
// the reader, in a process of its own, and prints its figures as JSON.
import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type handleUnaryCall, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import { systemClock } from '../src/base/clock.ts'
import { silentLog } from '../src/base/log.ts'
import {
  ChangeDataEvent,
  type ChangeDataRequest,
  ChangeDataService,
  type DeepPartial,
  Event_LogType,
} from '../src/proto/cdcpb.ts'
import {
  type BatchScanRegionsRequest,
  BatchScanRegionsResponse,
  GetMembersResponse,
  type GetStoreRequest,
  GetStoreResponse,
  PDService,
  type TsoRequest,
  TsoResponse,
} from '../src/proto/pdpb.ts'
import { encodeBytes, intHandle, recordKey, tableRecordRange } from '../src/tidb/key.ts'
import { tsOfMs } from '../src/tidb/ts.ts'
import { openPdClient } from '../src/upstream/pd/client.ts'
import { openEventFeed } from '../src/upstream/tikv/event-feed.ts'

const CLUSTER = 42n
const TABLE = 100n
const STORES = 10
/** Sizes of TiKV's groups of resolved-ts: the slowest regions alone, the others in ever bigger ones. */
const FIRST_GROUP = 8
const GROUP_GROWTH = 4

const [role, ...args] = process.argv.slice(2)
if (role === 'serve') await serve(Number(args[0]))
else if (role === 'read') await read(args[0] ?? '', Number(args[1]), Number(args[2]))
else throw new Error('usage: regions.ts serve REGIONS | read PD REGIONS SECONDS')

interface Connection {
  readonly call: ServerDuplexStream<ChangeDataRequest, Buffer>
  readonly requestId: bigint
  readonly regions: bigint[]
}

async function serve(count: number): Promise<void> {
  const server = new Server({ 'grpc.max_receive_message_length': -1 })
  const header = { clusterId: CLUSTER }
  let address = ''
  const range = tableRecordRange(TABLE)
  const boundary = (at: number): Buffer =>
    Buffer.from(
      at === 0 ? range.start : at === count ? range.end : encodeBytes(recordKey(TABLE, intHandle(BigInt(at) * 1000n))),
    )
  const regionOf = (at: number) => {
    const peers = [0, 1, 2].map((n) => ({ id: BigInt(at * 3 + n + 1), storeId: BigInt(((at + n) % STORES) + 1) }))
    return {
      region: {
        id: BigInt(1000 + at * 4),
        startKey: boundary(at),
        endKey: boundary(at + 1),
        regionEpoch: { confVer: 5n, version: 100n },
        peers,
      },
      leader: peers[0],
    }
  }
  const indexOf = (key: Buffer): number =>
    key.length < 27 ? 0 : Number((BigInt(`0x${rawHandle(key)}`) ^ (1n << 63n)) / 1000n)
  const batchScanRegions: handleUnaryCall<BatchScanRegionsRequest, BatchScanRegionsResponse> = ({ request }, done) => {
    const from = indexOf(request.ranges[0]?.startKey ?? Buffer.alloc(0))
    const regions = Array.from({ length: Math.min(request.limit, count - from) }, (_, i) => regionOf(from + i))
    done(null, BatchScanRegionsResponse.fromPartial({ header, regions }))
  }
  const getStore: handleUnaryCall<GetStoreRequest, GetStoreResponse> = ({ request }, done) =>
    done(null, GetStoreResponse.fromPartial({ header, store: { id: request.storeId, address, version: '8.5.0' } }))
  const getMembers: handleUnaryCall<unknown, GetMembersResponse> = (_, done) => {
    const member = { name: 'pd', clientUrls: [`http://${address}`] }
    done(null, GetMembersResponse.fromPartial({ header, members: [member], leader: member }))
  }
  server.addService(
    {
      batchScanRegions: PDService.batchScanRegions,
      getStore: PDService.getStore,
      getMembers: PDService.getMembers,
      tso: PDService.tso,
    },
    {
      batchScanRegions,
      getStore,
      getMembers,
      tso: (call: ServerDuplexStream<TsoRequest, TsoResponse>) =>
        call.on('data', ({ count: asked }: TsoRequest) =>
          call.write(
            TsoResponse.fromPartial({
              header,
              count: asked,
              timestamp: { physical: BigInt(Date.now()), logical: BigInt(asked) },
            }),
          ),
        ),
    },
  )
  const connections = new Set<Connection>()
  const encode = (event: DeepPartial<ChangeDataEvent>): Buffer =>
    Buffer.from(ChangeDataEvent.encode(ChangeDataEvent.fromPartial(event)).finish())
  const eventFeedV2 = (call: Connection['call']): void => {
    let connection: Connection | undefined
    call.on('error', () => {})
    call.on('close', () => connection !== undefined && connections.delete(connection))
    call.on('data', ({ regionId, requestId }: ChangeDataRequest) => {
      connection ??= { call, requestId, regions: [] }
      connections.add(connection)
      connection.regions.push(regionId)
      const value = { entries: [{ type: Event_LogType.INITIALIZED }] }
      call.write(encode({ events: [{ regionId, requestId, event: { $case: 'entries', value } }] }))
    })
  }
  const raw = { responseSerialize: (bytes: Buffer) => bytes }
  server.addService({ eventFeedV2: { ...ChangeDataService.eventFeedV2, ...raw } }, { eventFeedV2 })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  address = `127.0.0.1:${port}`
  process.stdout.write(`${JSON.stringify({ pd: `http://${address}` })}\n`)
  setInterval(() => {
    const ts = tsOfMs(Date.now())
    for (const { call, requestId, regions } of connections) {
      for (let from = 0, size = FIRST_GROUP; from < regions.length; from += size, size *= GROUP_GROWTH)
        call.write(encode({ resolvedTs: { regions: regions.slice(from, from + size), ts, requestId } }))
    }
  }, 1000)
}

/** The eight bytes of a handle in an encoded record key: groups of eight with a marker behind each. */
function rawHandle(key: Buffer): string {
  const hex = key.toString('hex')
  // `t` + table + `_r` are 11 bytes: the handle begins at byte 3 of the second group.
  return hex.slice(2 * (9 + 3), 2 * (9 + 8)) + hex.slice(2 * 18, 2 * (18 + 3))
}

async function read(endpoint: string, count: number, seconds: number): Promise<void> {
  setFlagsFromString('--expose-gc')
  const gc: () => void = runInNewContext('gc')
  const held = (): number => {
    for (let i = 0; i < 3; i++) gc()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const signal = new AbortController().signal
  await using pd = await openPdClient(
    { endpoints: [endpoint], security: {}, log: silentLog, clock: systemClock },
    signal,
  )
  await using feed = openEventFeed({ pd, security: {}, log: silentLog, clock: systemClock })
  const before = held()
  const began = performance.now()
  let resolved = 0
  const failed = Promise.withResolvers<never>()
  const startTs = await pd.tso(signal)
  const subscription = feed.subscribe(tableRecordRange(TABLE), startTs, {
    row() {},
    resolved: () => resolved++,
    failed: failed.reject,
  })
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await Promise.race([systemClock.sleep(5, signal), failed.promise])
  }
  await until(() => resolved > 0)
  const readyMs = performance.now() - began
  assert.deepEqual(subscription.regions, { total: count, initialized: count })
  await systemClock.sleep(2000, signal)
  const bytes = held() - before
  const rounds = resolved
  const cpu = process.cpuUsage()
  const from = performance.now()
  await Promise.race([systemClock.sleep(seconds * 1000, signal), failed.promise])
  const { user, system } = process.cpuUsage(cpu)
  const busy = (user + system) / 1000 / (performance.now() - from)
  assert.ok(resolved > rounds)
  const figures = {
    bytesPerRegion: bytes / count,
    busy,
    readyMs,
    rssMib: process.resourceUsage().maxRSS / 1024,
  }
  process.stdout.write(`${JSON.stringify(figures)}\n`)
  process.exit(0)
}
