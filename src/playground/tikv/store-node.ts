import { createServer } from 'node:http'
import type { Server as NetServer } from 'node:net'

import { Server } from '@grpc/grpc-js'

import { TikvService } from '../../proto/tikvpb.ts'
import { createHealthService } from '../health-service.ts'
import { createSharedPort, listen } from '../shared-port.ts'
import { HealthService } from '../../proto/health.ts'
import type { Cluster, StoreInfo } from './cluster.ts'
import type { FeedOptions } from './feed-service.ts'
import { feedServiceDefinition } from './feed-connection.ts'
import { FeedService } from './feed-service.ts'
import { createKvService } from './kv-service.ts'

const MAX_MESSAGE = 256 << 20

/** What every gRPC server of the playground allows. */
export const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': MAX_MESSAGE,
  'grpc.max_send_message_length': MAX_MESSAGE,
  'grpc.max_concurrent_streams': 4096,
  'grpc-node.flow_control_window': 4 << 20,
}

/** One store's server; it can be killed and come back on its port. */
export class StoreNode implements AsyncDisposable {
  readonly info: StoreInfo
  readonly feed: FeedService
  private readonly cluster: Cluster
  private readonly host: string
  private disposed = false
  private port: (NetServer & AsyncDisposable) | undefined

  constructor(cluster: Cluster, info: StoreInfo, host: string, options: FeedOptions) {
    this.cluster = cluster
    this.info = info
    this.host = host
    this.feed = new FeedService(cluster, info.id, options)
  }

  /** Listens; port 0 picks a free one. */
  async start(at: number): Promise<void> {
    if (this.disposed) return
    const server = new Server(SERVER_OPTIONS)
    server.addService(TikvService, createKvService(this.cluster, this.info.id))
    server.addService(feedServiceDefinition, this.feed.implementation)
    server.addService(HealthService, createHealthService())
    const status = createServer((request, response) => response.writeHead(request.url === '/status' ? 200 : 404).end())
    const port = createSharedPort(server, status)
    const bound = await listen(port, this.host, at)
    this.port = port
    this.info.address = `${this.host}:${bound}`
    this.info.alive = true
  }

  /** As a killed process does: connections break, the port closes. */
  async stop(): Promise<void> {
    const { port } = this
    this.port = undefined
    this.info.alive = false
    await port?.[Symbol.asyncDispose]()
    this.feed.cutStreams()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true
    this.feed[Symbol.dispose]()
    await this.stop()
  }

  get portNumber(): number {
    return Number(this.info.address.slice(this.info.address.lastIndexOf(':') + 1))
  }
}
