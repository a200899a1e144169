/** A schema registry with Confluent's HTTP API, in this process: what a test needs of it, and misbehaviour on demand. */
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'

export interface FakeRegistryOptions {
  /** `user:password` that every request must have. */
  readonly credentials?: string
  readonly tls?: { readonly key: string; readonly cert: string }
  /** Answer to the root path. */
  readonly root?: string
  /** Kept over a restart. */
  readonly port?: number
}

export interface FakeRegistry extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly requests: readonly {
    readonly line: string
    readonly headers: IncomingMessage['headers']
    readonly body: string
  }[]
  readonly subjects: ReadonlyMap<string, readonly string[]>
  /** Answers the next requests so, instead of what they asked for. */
  answer(...answers: readonly (readonly [status: number, body: string])[]): void
}

export async function startFakeRegistry(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const schemas: string[] = []
  const subjects = new Map<string, string[]>()
  const requests: { line: string; headers: IncomingMessage['headers']; body: string }[] = []
  const planned: (readonly [number, string])[] = []

  const answerTo = (method: string, path: string, body: string): readonly [number, string] => {
    const [, subject] = /^\/subjects\/([^/]+)\/versions$/.exec(path) ?? []
    const [, id] = /^\/schemas\/ids\/(\d+)$/.exec(path) ?? []
    if (path === '/') return [200, options.root ?? '{}']
    if (path === '/subjects') return [200, JSON.stringify([...subjects.keys()])]
    if (method === 'POST' && subject !== undefined) {
      const { schema } = JSON.parse(body)
      const texts = subjects.getOrInsertComputed(decodeURIComponent(subject), () => [])
      if (!texts.includes(schema)) texts.push(schema)
      if (!schemas.includes(schema)) schemas.push(schema)
      return [200, JSON.stringify({ id: schemas.indexOf(schema) + 1 })]
    }
    const schema = schemas[Number(id) - 1]
    return schema === undefined
      ? [404, JSON.stringify({ error_code: 40403, message: 'Schema not found' })]
      : [200, JSON.stringify({ schema })]
  }

  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      const body = Buffer.concat(chunks).toString()
      requests.push({ line: `${method} ${url}`, headers, body })
      const wanted = options.credentials && `Basic ${Buffer.from(options.credentials).toString('base64')}`
      const [status, text] =
        wanted !== undefined && headers.authorization !== wanted
          ? ([401, '{"error_code":401,"message":"Unauthorized"}'] as const)
          : (planned.shift() ?? answerTo(method, url, body))
      response.writeHead(status, { 'content-type': 'application/vnd.schemaregistry.v1+json' }).end(text)
    })
  }

  const server: Server = options.tls === undefined ? createHttp(handle) : createHttps(options.tls, handle)
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const userinfo = options.credentials === undefined ? '' : `${options.credentials}@`
  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${userinfo}localhost:${port}`,
    port,
    requests,
    subjects,
    answer: (...answers) => void planned.push(...answers),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
