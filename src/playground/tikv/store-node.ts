import { Server, ServerCredentials } from '@grpc/grpc-js'

import { ChangeDataService } from '../../proto/cdcpb.ts'
import { TikvService } from '../../proto/tikvpb.ts'
import { createHealthService } from '../health-service.ts'
import { HealthService } from '../../proto/health.ts'
import type { Cluster, StoreInfo } from './cluster.ts'
import type { FeedOptions } from './feed-service.ts'
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
  private server: Server | undefined

  constructor(cluster: Cluster, info: StoreInfo, host: string, options: FeedOptions) {
    this.cluster = cluster
    this.info = info
    this.host = host
    this.feed = new FeedService(cluster, info.id, options)
  }

  /** Listens; port 0 picks a free one. */
  async start(port: number): Promise<void> {
    const server = new Server(SERVER_OPTIONS)
    server.addService(TikvService, createKvService(this.cluster, this.info.id))
    server.addService(ChangeDataService, this.feed.implementation)
    server.addService(HealthService, createHealthService())
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${this.host}:${port}`, ServerCredentials.createInsecure(), (error, at) =>
        error === null ? resolve(at) : reject(error),
      )
    })
    this.server = server
    this.info.address = `${this.host}:${bound}`
    this.info.alive = true
  }

  /** As a killed process does: streams break, the port closes. */
  stop(): void {
    this.info.alive = false
    this.feed.cutStreams()
    this.server?.forceShutdown()
    this.server = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.feed[Symbol.dispose]()
    this.stop()
  }

  get port(): number {
    return Number(this.info.address.slice(this.info.address.lastIndexOf(':') + 1))
  }
}
