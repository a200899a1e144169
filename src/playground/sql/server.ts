import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

import { systemClock } from '../../base/clock.ts'
import type { Log } from '../../base/log.ts'
import { openPdClient } from '../../upstream/pd/client.ts'
import { bootstrap } from './ddl/bootstrap.ts'
import { serveConnection } from './protocol/connection.ts'
import { Engine } from './session/engine.ts'
import { Variables } from './session/variables.ts'
import { openGrpcStore } from './txn/grpc-store.ts'
import type { TxnStore } from './txn/store.ts'

export interface SqlServerOptions {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** `http://host:port` of a PD, the playground's or a real one. */
  readonly pdEndpoint: string
  readonly log: Log
}

export interface SqlServer extends AsyncDisposable {
  /** `host:port` */
  readonly address: string
}

/** Starts the SQL front over a cluster; resolves when it accepts connections. An empty cluster is bootstrapped first. */
export async function startSqlServer(options: SqlServerOptions, signal: AbortSignal): Promise<SqlServer> {
  const { log } = options
  await using stack = new AsyncDisposableStack()
  const pd = stack.use(
    await openPdClient({ endpoints: [options.pdEndpoint], security: {}, log, clock: systemClock }, signal),
  )
  const store = stack.use(openGrpcStore({ pd, log, clock: systemClock }))
  const server = stack.use(await serveStore(store, options, signal))
  const life = stack.move()
  return { address: server.address, [Symbol.asyncDispose]: () => life[Symbol.asyncDispose]() }
}

/** The same over any store; for tests. The store is not ended with it. */
export async function serveStore(
  store: TxnStore,
  options: Pick<SqlServerOptions, 'host' | 'port' | 'log'>,
  signal: AbortSignal,
): Promise<SqlServer> {
  const engine = new Engine(store, systemClock, options.log)
  await bootstrap(engine, signal)
  const globals = new Variables()
  const stop = new AbortController()
  const clients = new Set<Promise<void>>()
  let lastId = 0
  const server = createServer((socket: Socket) => {
    const client = serveConnection(
      socket,
      { engine, globals, connectionId: ++lastId, log: options.log },
      stop.signal,
    ).finally(() => clients.delete(client))
    clients.add(client)
  })
  const address = await listen(server, options)
  return {
    address,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      stop.abort()
      await closed
      await Promise.all(clients)
    },
  }
}

function listen(server: Server, { host, port }: Pick<SqlServerOptions, 'host' | 'port'>): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve(`${host}:${portOf(server.address())}`)
    })
  })
}

function portOf(address: string | AddressInfo | null): number {
  if (address === null || typeof address === 'string') throw new TypeError('the server has no port')
  return address.port
}
