import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { systemClock, type Clock } from '../base/clock.ts'
import { CdcError, describeError, errorCode } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { retry, type RetryPolicy } from '../base/retry.ts'
import type { ServerHandle } from '../server/handle.ts'
import { stringifyJson } from '../tidb/json-big.ts'
import { serveChangefeeds } from './changefeeds.ts'
import { serveCluster } from './cluster.ts'
import { serveV1 } from './v1.ts'

export interface ApiOptions {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  readonly log: Log
  readonly clock?: Clock
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string; readonly clientCerts: boolean }
}

/** A listening HTTP server. Until `serve` has given it a server it answers 503. */
export interface Api extends AsyncDisposable {
  readonly port: number
  serve(handle: ServerHandle): void
}

/** What routes are given; `handle` throws `CDC:ErrServerIsNotReady` until there is one. */
export interface Routes {
  readonly http: FastifyInstance
  readonly handle: () => ServerHandle
  /** Work for the owner; waits a little while this capture is about to become it (a killed owner's lease must end first). */
  readonly asOwner: <T>(work: (server: ServerHandle) => Promise<T>) => Promise<T>
  /** Aborted when the API closes. */
  readonly signal: AbortSignal
  readonly log: Log
}

/** Resolves when the port is open; rejects where it cannot be. */
export async function openApi(options: ApiOptions): Promise<Api> {
  const closing = new AbortController()
  let server: ServerHandle | undefined
  const http = createHttp(options)
  const handle = (): ServerHandle => {
    if (server === undefined) throw new CdcError('CDC:ErrServerIsNotReady', 'cdc server is not ready')
    return server
  }
  const { signal } = closing
  const routes: Routes = {
    http,
    log: options.log,
    signal,
    handle,
    asOwner: (work) => retry(() => work(handle()), UNTIL_OWNER, options.clock ?? systemClock, signal),
  }
  serveCluster(routes)
  serveChangefeeds(routes)
  serveV1(routes)
  await http.listen({ host: options.host, port: options.port })
  const address = http.server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    serve(handle) {
      server = handle
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new CdcError('CDC:ErrServerIsNotReady', 'cdc server is stopping'))
      await http.close()
    },
  }
}

/** A little longer than the lease of a capture. */
const UNTIL_OWNER: RetryPolicy = {
  baseMs: 200,
  capMs: 400,
  totalMs: 12_000,
  retryable: (error) => errorCode(error) === 'CDC:ErrNotOwner',
}

const TEN_MINUTES = 600_000

function createHttp(options: ApiOptions): FastifyInstance {
  const limits = {
    connectionTimeout: TEN_MINUTES,
    requestTimeout: TEN_MINUTES,
    forceCloseConnections: true,
    bodyLimit: 16 * 1024 * 1024,
    exposeHeadRoutes: true,
  } as const
  const { tls } = options
  const https = tls && {
    ca: tls.ca,
    cert: tls.cert,
    key: tls.key,
    minVersion: 'TLSv1.2' as const,
    requestCert: tls.clientCerts,
  }
  const http: FastifyInstance = https === undefined ? fastify(limits) : fastify({ ...limits, https: { ...https } })
  http.server.maxConnections = 1000
  // Bodies are JSON whatever their type says, and hold 64-bit numbers: they are parsed by the routes.
  http.removeAllContentTypeParsers()
  http.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
  http.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('404 page not found'))
  http.setErrorHandler((error, request, reply) => sendError(error, request, reply))
  http.addHook('onResponse', (request, reply, done) => {
    const url = new URL(request.url, 'http://host')
    options.log.info('cdc open api request', {
      status: reply.statusCode,
      method: request.method,
      path: url.pathname,
      query: url.search.slice(1),
      ip: request.ip,
      'user-agent': request.headers['user-agent'],
      'client-version': request.headers['x-client-version'],
      duration: `${reply.elapsedTime.toFixed(3)}ms`,
    })
    done()
  })
  return http
}

/** Codes that are the client's fault; TiCDC answers 500 to all others. */
const BAD_REQUEST = [
  'CDC:ErrAPIInvalidParam',
  'CDC:ErrSinkURIInvalid',
  'CDC:ErrStartTsBeforeGC',
  'CDC:ErrChangeFeedNotExists',
  'CDC:ErrTargetTsBeforeStartTs',
  'CDC:ErrTableIneligible',
  'CDC:ErrFilterRuleInvalid',
  'CDC:ErrChangefeedUpdateRefused',
  'CDC:ErrMySQLConnectionError',
  'CDC:ErrMySQLInvalidConfig',
  'CDC:ErrCaptureNotExist',
  'CDC:ErrSchedulerRequestFailed',
]

export function httpStatus(error: unknown): number {
  const code = errorCode(error)
  const text = describeError(error)
  if (code === 'CDC:ErrServerIsNotReady') return 503
  return BAD_REQUEST.some((bad) => code === bad || text.includes(bad)) ? 400 : 500
}

function sendError(error: unknown, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const tooLarge = error instanceof Error && 'code' in error && error.code === 'FST_ERR_CTP_BODY_TOO_LARGE'
  const shown = tooLarge
    ? new CdcError('CDC:ErrAPIInvalidParam', 'invalid api parameter: the body is too large')
    : error
  const body = { error_msg: describeError(shown), error_code: errorCode(shown) }
  return sendJson(reply.code(httpStatus(shown)), body, 4)
}

/** Answers in Go's style: 64-bit numbers as they are, compact unless `indent` is given. */
export const sendJson = (reply: FastifyReply, value: unknown, indent?: number): FastifyReply =>
  reply
    .type('application/json; charset=utf-8')
    .send(stringifyJson(value, { html: true, ...(indent === undefined ? {} : { indent }) }))
