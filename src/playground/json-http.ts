import type { IncomingMessage, ServerResponse } from 'node:http'

import { parseJson, stringifyJson } from '../tidb/json-big.ts'

const MAX_BODY = 64 << 20

/** The body of a request; integers beyond 2^53 become bigint. An empty body is `{}`. Throws where it is no JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > MAX_BODY) throw new RangeError(`the body is longer than ${MAX_BODY} bytes`)
  }
  const text = Buffer.concat(chunks).toString()
  return text.trim() === '' ? {} : parseJson(text)
}

export function writeJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) return
  response
    .writeHead(status, { 'content-type': 'application/json; charset=UTF-8' })
    .end(`${stringifyJson(body, { indent: 2 })}\n`)
}
