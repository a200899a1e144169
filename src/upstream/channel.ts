import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { checkServerIdentity } from 'node:tls'

import {
  type CallOptions,
  type ChannelOptions,
  Client,
  type ChannelCredentials,
  credentials,
  Metadata,
  type ServiceError,
  type status,
} from '@grpc/grpc-js'

import type { SecurityOptions } from './pd/pd.ts'

/** A unary method of a generated service description. */
export interface UnaryMethod<Req, Res> {
  readonly path: string
  readonly requestSerialize: (value: Req) => Buffer
  readonly responseDeserialize: (value: Buffer) => Res
}

/** What every upstream connection has: big messages (a row may have megabytes) and pings that notice a dead peer. */
export const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': 256 << 20,
  'grpc.max_send_message_length': 256 << 20,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 500,
  'grpc.max_reconnect_backoff_ms': 3_000,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
}

/** Sent in place of a server name where the address is an IP: TLS allows no IP there, and Node refuses it. */
const NO_SERVER_NAME = 'ip-address'

/**
 * What a channel to `host:port` needs for TLS, without a CA path nothing. Reads the PEM files. The server's certificate
 * has to name the host or IP that is dialled.
 */
export function channelSecurity(
  address: string,
  security: SecurityOptions,
): { readonly credentials: ChannelCredentials; readonly options: ChannelOptions } {
  if (!security.caPath) return { credentials: credentials.createInsecure(), options: {} }
  const read = (path: string | undefined): Buffer | null => (path ? readFileSync(path) : null)
  const [ca, key, cert] = [read(security.caPath), read(security.keyPath), read(security.certPath)]
  const host = address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  if (isIP(host) === 0) return { credentials: credentials.createSsl(ca, key, cert), options: {} }
  return {
    credentials: credentials.createSsl(ca, key, cert, {
      checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
    }),
    options: { 'grpc.ssl_target_name_override': NO_SERVER_NAME },
  }
}

/** gRPC clients by `host:port`; a client is closed when it is dropped or with the pool. */
export class ChannelPool implements Disposable {
  readonly #security: SecurityOptions
  readonly #options: ChannelOptions
  readonly #clients = new Map<string, Client>()

  constructor(security: SecurityOptions, options: ChannelOptions = {}) {
    this.#security = security
    this.#options = { ...CHANNEL_OPTIONS, ...options }
  }

  client(address: string): Client {
    let client = this.#clients.get(address)
    if (client === undefined) {
      const secure = channelSecurity(address, this.#security)
      client = new Client(address, secure.credentials, { ...this.#options, ...secure.options })
      this.#clients.set(address, client)
    }
    return client
  }

  /** Closes the connection to an address; the next call dials again. */
  drop(address: string): void {
    this.#clients.get(address)?.close()
    this.#clients.delete(address)
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients.values()) client.close()
    this.#clients.clear()
  }
}

/** One unary call; rejects with the `ServiceError`, or with the signal's reason when it is aborted. */
export function unary<Req, Res>(
  client: Client,
  method: UnaryMethod<Req, Res>,
  request: Req,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Res> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const options: CallOptions = { deadline: Date.now() + timeoutMs }
    const call = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      options,
      (error, response) => {
        signal.removeEventListener('abort', abort)
        if (signal.aborted) reject(signal.reason)
        else if (error !== null) reject(error)
        else if (response === undefined) reject(new Error(`${method.path}: empty answer`))
        else resolve(response)
      },
    )
    const abort = (): void => call.cancel()
    signal.addEventListener('abort', abort, { once: true })
  })
}

/** True for a failed gRPC call, and optionally only with that status code. */
export function isServiceError(error: unknown, code?: status): error is ServiceError {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'number' &&
    'details' in error &&
    (code === undefined || error.code === code)
  )
}

/** Address of a URL as gRPC dials it; bare `host:port` stays. */
export function dialAddress(url: string): string {
  return url.replace(/^[a-z]+:\/\//, '').replace(/\/.*$/, '')
}
