import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { Server, ServerCredentials, status } from '@grpc/grpc-js'

import { HealthService } from '../proto/health.ts'
import { hasOpenssl, makeCertificates } from '../../test/support/certificates.ts'
import { ChannelPool, dialAddress, isServiceError, unary } from './channel.ts'
import type { SecurityOptions } from './pd/pd.ts'

async function startHealth(credentials: ServerCredentials, host: string): Promise<{ server: Server; address: string }> {
  const server = new Server()
  server.addService(HealthService, {
    check: (_call: unknown, done: (error: null, answer: object) => void) => done(null, { status: 1 }),
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:0`, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)))
  })
  return { server, address: `127.0.0.1:${port}` }
}

test(
  'TLS: the server is verified by the CA, and wants our certificate',
  { skip: !hasOpenssl && 'no openssl' },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidewire-tls-'))
    const files = makeCertificates(folder)
    const [ca, cert, key] = [files.caPath, files.certPath, files.keyPath].map((path) => readFileSync(path ?? ''))
    assert.ok(ca !== undefined && cert !== undefined && key !== undefined)
    const credentials = ServerCredentials.createSsl(ca, [{ cert_chain: cert, private_key: key }], true)
    const { server, address } = await startHealth(credentials, '0.0.0.0')
    const ask = async (security: SecurityOptions, target = address): Promise<number> => {
      using pool = new ChannelPool(security)
      const answer = await unary(
        pool.client(target),
        HealthService.check,
        { service: '' },
        3000,
        AbortSignal.timeout(5000),
      )
      return answer.status
    }
    try {
      assert.equal(await ask(files), 1)
      assert.equal(await ask(files, address.replace('127.0.0.1', 'localhost')), 1)
      await assert.rejects(ask(files, address.replace('127.0.0.1', '127.0.0.2')), /127\.0\.0\.2/)
      await assert.rejects(ask({ caPath: files.caPath }))
      await assert.rejects(ask({}))
    } finally {
      server.forceShutdown()
      rmSync(folder, { recursive: true })
    }
  },
)

test('a call that is aborted rejects with the reason', async () => {
  const server = new Server()
  server.addService(HealthService, { check: () => {} })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  using pool = new ChannelPool({})
  const abort = new AbortController()
  const call = unary(pool.client(`127.0.0.1:${port}`), HealthService.check, { service: '' }, 10_000, abort.signal)
  setImmediate(() => abort.abort(new Error('enough')))
  await assert.rejects(call, /enough/)
  server.forceShutdown()
})

test('nobody at the address is an error of the call', async () => {
  using pool = new ChannelPool({})
  const call = unary(pool.client('127.0.0.1:1'), HealthService.check, { service: '' }, 3000, AbortSignal.timeout(5000))
  await assert.rejects(call, (error) => isServiceError(error, status.UNAVAILABLE))
})

for (const [url, address] of [
  ['http://127.0.0.1:2379', '127.0.0.1:2379'],
  ['https://pd.example:2379/', 'pd.example:2379'],
  ['pd:2379', 'pd:2379'],
] as const)
  test(`${url} is dialled as ${address}`, () => assert.equal(dialAddress(url), address))
