import { readFile } from 'node:fs/promises'
import { request as requestHttp } from 'node:http'
import { Agent, request as requestHttps } from 'node:https'
import { rootCertificates } from 'node:tls'
import type { ConfluentSettings } from '../config/sink-settings.ts'

/** Longest answer that is taken, bytes. */
const ANSWER_LIMIT_BYTES = 16 * 1024 * 1024

export interface Answer {
  readonly status: number
  readonly body: string
}

/** Sends requests to paths below a URL, with its user and password and the certificates of the settings. */
export interface HttpClient extends Disposable {
  /** The URL without user and password. */
  readonly shownUrl: string
  /** `path` begins with a slash, or is empty. Rejects where there is no whole answer. */
  send(
    method: 'GET' | 'POST',
    path: string,
    headers: Readonly<Record<string, string>>,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<Answer>
}

export function openHttpClient({ url, ca, cert, key }: ConfluentSettings): HttpClient {
  const base = new URL(url)
  const { username, password } = base
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  const authorization =
    username === '' && password === '' ? {} : { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` }
  base.username = base.password = ''
  const shownUrl = base.href.replace(/\/+$/, '')
  const secure = base.protocol === 'https:'
  let agent: Promise<Agent> | undefined

  /** Certificates are read when they are first needed; a file that is not there yet may be there at the next try. */
  const openAgent = async (): Promise<Agent> => {
    const file = (path: string | undefined): Promise<string> | undefined =>
      path === undefined ? undefined : readFile(path, 'utf8')
    const [authority, certificate, privateKey] = await Promise.all([file(ca), file(cert), file(key)])
    return new Agent({
      keepAlive: true,
      ...(authority === undefined ? {} : { ca: [...rootCertificates, authority] }),
      ...(certificate === undefined ? {} : { cert: certificate, key: privateKey }),
    })
  }

  return {
    shownUrl,
    async send(method, path, headers, body, signal) {
      if (secure) {
        agent ??= openAgent()
        agent.catch(() => (agent = undefined))
      }
      const options = { method, signal, headers: { ...headers, ...authorization }, agent: await agent }
      const answer = Promise.withResolvers<Answer>()
      const request = (secure ? requestHttps : requestHttp)(shownUrl + path, options, (response) => {
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes > ANSWER_LIMIT_BYTES) response.destroy(new RangeError('the answer is too long'))
          else chunks.push(chunk)
        })
        response.on('error', answer.reject)
        response.on('end', () =>
          answer.resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        )
      })
      request.on('error', answer.reject)
      request.end(body)
      return answer.promise
    },
    [Symbol.dispose]() {
      void agent?.then((opened) => opened.destroy())
    },
  }
}
