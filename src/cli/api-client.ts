import { readFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { BUILD_INFO } from '../base/build-info.ts'
import { describeError } from '../base/errors.ts'
import type { JsonObject } from '../config/replica-config-json.ts'
import { parseJson, stringifyJson } from '../tidb/json-big.ts'
import type { Credentials } from './credentials.ts'

/** A server's HTTP API v2. Failures are errors whose message is the server's `error_msg`. */
export interface ApiClient {
  get(path: string): Promise<JsonObject>
  /** Also for answers that are arrays; the text as it came. */
  getText(path: string): Promise<string>
  send(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<JsonObject>
}

/** What the server answered with an error status, or instead of an answer. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
}

/** Longest wait for an answer: the server dials sinks for at most 10 s. */
const ANSWER_MS = 60_000
const CONNECT_MS = 8_000

/** `base` is `http://host:port` or https. Nothing is sent before the first call. */
export function createApiClient(base: string, credentials: Credentials, signal: AbortSignal): ApiClient {
  const call = async (method: string, path: string, body: unknown): Promise<string> => {
    const url = `${base}/api/v2${path}`
    const { status, contentType, text } = await exchange(url, method, body, credentials, signal)
    if ((status >= 200 && status < 300) || status === 206) return text
    throw new ApiError(
      errorText(text) ??
        `call cdc api failed, url=${url}, code=${status}, contentType=${contentType}, response=${text}`,
    )
  }
  const parse = (text: string): JsonObject => {
    const value: unknown = text.trim() === '' ? {} : parseJson(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  }
  return {
    get: async (path) => parse(await call('GET', path, undefined)),
    getText: (path) => call('GET', path, undefined),
    send: async (method, path, body) => parse(await call(method, path, body ?? {})),
  }
}

function errorText(text: string): string | undefined {
  try {
    const value: unknown = parseJson(text)
    if (typeof value !== 'object' || value === null || !('error_msg' in value)) return undefined
    return typeof value.error_msg === 'string' ? value.error_msg : undefined
  } catch {
    return undefined
  }
}

async function exchange(
  url: string,
  method: string,
  body: unknown,
  credentials: Credentials,
  signal: AbortSignal,
): Promise<{ status: number; contentType: string; text: string }> {
  const payload = body === undefined ? undefined : Buffer.from(stringifyJson(body))
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const { tls } = credentials
  const options = {
    method,
    headers: {
      accept: 'application/json',
      'x-client-version': BUILD_INFO.releaseVersion,
      ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': payload.length }),
      ...(credentials.user === '' ? {} : { authorization: basic(credentials) }),
    },
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    ...(tls === undefined
      ? {}
      : { ca: readFileSync(tls.ca), cert: readFileSync(tls.cert), key: readFileSync(tls.key) }),
  }
  const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, options, resolve)
  request.on('error', reject)
  request.on('socket', (socket) => {
    if (!socket.connecting) return
    const timer = setTimeout(() => request.destroy(new Error(`no connection within ${CONNECT_MS / 1000}s`)), CONNECT_MS)
    for (const event of ['connect', 'close'] as const) socket.once(event, () => clearTimeout(timer))
  })
  request.end(payload)
  try {
    const response = await promise
    const chunks: Uint8Array[] = []
    for await (const chunk of response) chunks.push(Buffer.from(chunk))
    const text = Buffer.concat(chunks).toString()
    return { status: response.statusCode ?? 0, contentType: response.headers['content-type'] ?? '', text }
  } catch (error) {
    signal.throwIfAborted()
    const verb = method.charAt(0) + method.slice(1).toLowerCase()
    throw new ApiError(`${verb} "${url}": ${describeError(error) || 'connection refused'}`, { cause: error })
  }
}

const basic = ({ user, password }: Credentials): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
