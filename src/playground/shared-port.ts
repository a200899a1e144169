import type { Server as HttpServer } from 'node:http'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import { createServer } from 'node:net'

import type { Server as GrpcServer } from '@grpc/grpc-js'
import { ServerCredentials } from '@grpc/grpc-js'

/** Beginning of the HTTP/2 connection preface; no HTTP/1 method starts so. */
const PREFACE = Buffer.from('PRI * HTTP/2.0')

/** One port for gRPC and HTTP/1.1: the first bytes of a connection tell which it is. Disposing breaks all connections. */
export function createSharedPort(grpc: GrpcServer, http: HttpServer): NetServer & AsyncDisposable {
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure())
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    const sniff = (): void => {
      const head: unknown = socket.read()
      if (!Buffer.isBuffer(head)) return
      const length = Math.min(head.length, PREFACE.length)
      const isHttp2 = head.subarray(0, length).equals(PREFACE.subarray(0, length))
      socket.unshift(head)
      // Too little to tell: wait for more.
      if (isHttp2 && length < PREFACE.length) return
      socket.off('readable', sniff)
      if (isHttp2) injector.injectConnection(socket)
      else http.emit('connection', socket)
    }
    socket.on('readable', sniff)
  })
  return Object.assign(server, {
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.destroy()
      injector.destroy()
      grpc.forceShutdown()
      http.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  })
}

/** The port that was bound; rejects where it is taken. */
export async function listen(server: NetServer, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const address: AddressInfo | string | null = server.address()
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}
