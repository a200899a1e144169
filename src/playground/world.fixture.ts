// Plain gRPC clients of a playground, for its tests.
import assert from 'node:assert/strict'

import type { Client, ClientDuplexStream, Metadata as MetadataType } from '@grpc/grpc-js'
import { credentials, Metadata } from '@grpc/grpc-js'

import { silentLog } from '../base/log.ts'
import type { Event, ResolvedTs } from '../proto/cdcpb.ts'
import type { ChangeDataEvent } from '../proto/cdcpb.ts'
import { ChangeDataClient, ChangeDataRequest } from '../proto/cdcpb.ts'
import type { Context } from '../proto/kvrpcpb.ts'
import { CommitRequest, Context as Contexts, GetRequest, Op, PrewriteRequest } from '../proto/kvrpcpb.ts'
import type { GetRegionResponse } from '../proto/pdpb.ts'
import { GetRegionRequest, PDClient, PDService, TsoRequest } from '../proto/pdpb.ts'
import { TikvClient, TikvService } from '../proto/tikvpb.ts'
import type { JsonObject } from '../tidb/json-big.ts'
import { objectOf, parseJson } from '../tidb/json-big.ts'
import type { Playground, PlaygroundOptions } from './playground.ts'
import { startPlayground } from './playground.ts'
import { encodeKey, noBytes } from './tikv/bytes.ts'

/** A playground on free ports with clients of all its parts. */
export async function startWorld(options: Partial<PlaygroundOptions> = {}) {
  await using stack = new AsyncDisposableStack()
  const playground: Playground = stack.use(
    await startPlayground(
      {
        host: '127.0.0.1',
        pdPort: 0,
        sqlPort: undefined,
        adminPort: 0,
        stores: 3,
        resolvedTsIntervalMs: 20,
        log: silentLog,
        ...options,
      },
      AbortSignal.timeout(60_000),
    ),
  )
  const insecure = credentials.createInsecure()
  const pd = new PDClient(new URL(playground.pd).host, insecure)
  stack.defer(() => pd.close())
  const stores = playground.stores.map((address) => ({
    kv: new TikvClient(address, insecure),
    feed: new ChangeDataClient(address, insecure),
  }))
  for (const { kv, feed } of stores) {
    stack.defer(() => kv.close())
    stack.defer(() => feed.close())
  }
  const members = await call(pd, PDService.getMembers, { header: undefined })
  const clusterId = members.header?.clusterId ?? 0n
  const header = { clusterId, senderId: 0n, callerId: '', callerComponent: '' }
  const life = stack.move()

  const world = {
    playground,
    pd,
    clusterId,
    header,
    members,
    store: (id: bigint) => stores[Number(id) - 1] ?? assert.fail(`no store ${id}`),
    async ts(): Promise<bigint> {
      const stream = pd.tso()
      stream.on('error', () => {})
      stream.write(TsoRequest.create({ header, count: 1 }))
      const { timestamp } = await first(stream)
      stream.end()
      return ((timestamp?.physical ?? 0n) << 18n) | (timestamp?.logical ?? 0n)
    },
    regionOf: (rawKey: Buffer): Promise<GetRegionResponse> =>
      call(pd, PDService.getRegion, GetRegionRequest.create({ header, regionKey: encodeKey(rawKey) })),
    /** The context of a request for a key, and the client of the store that leads there. */
    async route(rawKey: Buffer): Promise<{
      context: Context
      kv: TikvClient
      feed: ChangeDataClient
      storeId: bigint
      region: GetRegionResponse
    }> {
      const region = await world.regionOf(rawKey)
      const storeId = region.leader?.storeId ?? 0n
      const { kv, feed } = world.store(storeId)
      const context = Contexts.create({
        regionId: region.region?.id ?? 0n,
        regionEpoch: region.region?.regionEpoch,
        peer: region.leader,
      })
      return { context, kv, feed, storeId, region }
    },
    /** One key, written in two phases; its start and commit ts. */
    async put(key: Buffer, value: Buffer): Promise<{ startTs: bigint; commitTs: bigint }> {
      const { context, kv } = await world.route(key)
      const startTs = await world.ts()
      const mutations = [{ op: Op.Put, key, value }]
      const prewritten = await call(
        kv,
        TikvService.kvPrewrite,
        PrewriteRequest.create({ context, mutations, primaryLock: key, startVersion: startTs, lockTtl: 3000n }),
      )
      assert.deepEqual([prewritten.regionError, prewritten.errors], [undefined, []])
      const commitTs = await world.ts()
      const request = CommitRequest.create({ context, keys: [key], startVersion: startTs, commitVersion: commitTs })
      const committed = await call(kv, TikvService.kvCommit, request)
      assert.deepEqual([committed.regionError, committed.error], [undefined, undefined])
      return { startTs, commitTs }
    },
    /** The value at a timestamp, undefined where there is none. */
    async get(key: Buffer, version: bigint): Promise<string | undefined> {
      const { context, kv } = await world.route(key)
      const found = await call(kv, TikvService.kvGet, GetRequest.create({ context, key, version }))
      assert.deepEqual([found.regionError, found.error], [undefined, undefined])
      return found.notFound ? undefined : found.value.toString()
    },
    /** A multiplexed change feed of one store. */
    feed: (storeId: bigint): Feed => openFeed(world.store(storeId).feed, 'stream-multiplexing'),
    async register(feed: Feed, key: Buffer, requestId: bigint): Promise<bigint> {
      const { region } = await world.regionOf(key)
      feed.call.write(
        ChangeDataRequest.create({
          header: { clusterId, ticdcVersion: '8.5.0' },
          regionId: region?.id ?? 0n,
          regionEpoch: region?.regionEpoch,
          startKey: region?.startKey ?? noBytes,
          endKey: region?.endKey ?? noBytes,
          requestId,
          checkpointTs: 1n,
        }),
      )
      return region?.id ?? 0n
    },
    async admin(method: 'GET' | 'POST', path: string, body?: object): Promise<{ status: number; json: JsonObject }> {
      const response = await fetch(`${playground.admin}${path}`, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      return { status: response.status, json: objectOf(parseJson(await response.text())) }
    },
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  }
  return world
}

export interface Feed {
  readonly call: ClientDuplexStream<ChangeDataRequest, ChangeDataEvent>
  readonly events: Event[]
  readonly resolved: ResolvedTs[]
  readonly ended: Promise<{ readonly code: number; readonly details: string }>
}

export function openFeed(client: ChangeDataClient, features?: string): Feed {
  const metadata: MetadataType = new Metadata()
  if (features !== undefined) metadata.set('features', features)
  const stream = client.eventFeedV2(metadata)
  const events: Event[] = []
  const resolved: ResolvedTs[] = []
  stream.on('data', (message: ChangeDataEvent) => {
    events.push(...message.events)
    if (message.resolvedTs !== undefined) resolved.push(message.resolvedTs)
  })
  stream.on('error', () => {})
  const ended = new Promise<{ code: number; details: string }>((resolve) =>
    stream.on('status', ({ code, details }) => resolve({ code, details })),
  )
  return { call: stream, events, resolved, ended }
}

/** Rows and errors of a feed in short: `COMMIT key`, `error not_leader`. */
export function shortly(feed: Feed): string[] {
  const names = ['UNKNOWN', 'PREWRITE', 'COMMIT', 'ROLLBACK', 'COMMITTED', 'INITIALIZED']
  return feed.events.flatMap(({ event }) => {
    if (event?.$case === 'entries')
      return event.value.entries.map((row) => `${names[row.type]} ${row.key.toString()}`.trim())
    if (event?.$case === 'error')
      return Object.entries(event.value).flatMap(([name, value]) => (value === undefined ? [] : [`error ${name}`]))
    return [event?.$case ?? '']
  })
}

interface Unary<Request, Response> {
  readonly path: string
  readonly requestSerialize: (request: Request) => Buffer
  readonly responseDeserialize: (bytes: Buffer) => Response
}

/** A unary call as a promise. */
export function call<Request, Response>(
  client: Client,
  method: Unary<Request, Response>,
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = method
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, response) => {
      if (error === null && response !== undefined) resolve(response)
      else reject(error ?? new Error('no answer'))
    })
  })
}

export function first<Request, T>(stream: ClientDuplexStream<Request, T>): Promise<T> {
  return new Promise((resolve, reject) => {
    stream.once('data', resolve)
    stream.once('error', reject)
  })
}

export async function until(holds: () => boolean, what: () => string, ms = 10_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!holds()) {
    if (performance.now() > deadline) assert.fail(`waited in vain: ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
