import type {
  ClientDuplexStream,
  handleBidiStreamingCall,
  handleUnaryCall,
  MethodDefinition,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { Client, credentials } from '@grpc/grpc-js'

import type { MemberListResponse, RangeRequest, RangeResponse } from '../../proto/etcd.ts'
import {
  ClusterService,
  KVService,
  LeaseService,
  MaintenanceService,
  MemberListResponse as MemberLists,
  WatchService,
} from '../../proto/etcd.ts'

const OPTIONS = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 }

/** A service whose messages pass through as bytes. */
export interface ForwardedService {
  readonly definition: ServiceDefinition
  readonly implementation: UntypedServiceImplementation
}

/** A real etcd behind the playground's port: calls are handed on byte for byte; members point back at the port. */
export class EtcdForward implements Disposable {
  private readonly client: Client
  private readonly clientUrl: () => string

  constructor(url: string, clientUrl: () => string) {
    this.client = new Client(new URL(url).host, credentials.createInsecure(), OPTIONS)
    this.clientUrl = clientUrl
  }

  [Symbol.dispose](): void {
    this.client.close()
  }

  get services(): readonly ForwardedService[] {
    return [KVService, WatchService, LeaseService, ClusterService, MaintenanceService].map((service) =>
      this.forward(service),
    )
  }

  range(request: RangeRequest): Promise<RangeResponse> {
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        KVService.range.path,
        KVService.range.requestSerialize,
        KVService.range.responseDeserialize,
        request,
        (error, response) => {
          if (error === null && response !== undefined) resolve(response)
          else reject(error ?? new Error('etcd gave no answer'))
        },
      )
    })
  }

  private forward(service: ServiceDefinition): ForwardedService {
    const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {}
    const implementation: UntypedServiceImplementation = {}
    for (const [name, method] of Object.entries(service)) {
      const { path, requestStream, responseStream } = method
      definition[name] = {
        path,
        requestStream,
        responseStream,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      }
      const edit = method.path === ClusterService.memberList.path ? (bytes: Buffer) => this.pointBack(bytes) : same
      implementation[name] = method.requestStream ? this.stream(method.path) : this.unary(method.path, edit)
    }
    return { definition, implementation }
  }

  private unary(path: string, edit: (response: Buffer) => Buffer): handleUnaryCall<Buffer, Buffer> {
    return (call, callback) => {
      const forwarded = this.client.makeUnaryRequest(
        path,
        same,
        same,
        call.request,
        call.metadata,
        (error, response) => {
          if (error === null && response !== undefined) callback(null, edit(response))
          else callback(error ?? new Error('etcd gave no answer'))
        },
      )
      call.on('cancelled', () => forwarded.cancel())
    }
  }

  private stream(path: string): handleBidiStreamingCall<Buffer, Buffer> {
    return (call) => {
      const forwarded: ClientDuplexStream<Buffer, Buffer> = this.client.makeBidiStreamRequest(
        path,
        same,
        same,
        call.metadata,
      )
      call.on('data', (request: Buffer) => forwarded.write(request))
      call.on('end', () => forwarded.end())
      call.on('cancelled', () => forwarded.cancel())
      forwarded.on('data', (response: Buffer) => call.write(response))
      forwarded.on('error', (error) => call.emit('error', error))
      forwarded.on('end', () => call.end())
    }
  }

  private pointBack(bytes: Buffer): Buffer {
    const list: MemberListResponse = MemberLists.decode(bytes)
    for (const member of list.members) member.clientURLs = [this.clientUrl()]
    return Buffer.from(MemberLists.encode(list).finish())
  }
}

const same = (bytes: Buffer): Buffer => bytes
