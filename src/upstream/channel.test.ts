import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { Server, ServerCredentials, status } from '@grpc/grpc-js'

import { HealthService } from '../proto/health.ts'
import { hasOpenssl, makeCertificates } from '../../test/support/certificates.ts'
import { CHANNEL_OPTIONS, ChannelPool, dialAddress, isServiceError, unary } from './channel.ts'
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

test('a connection that went silent is noticed by its pings, with a call and without', async () => {
  assert.deepEqual(
    ['grpc.keepalive_time_ms', 'grpc.keepalive_timeout_ms', 'grpc.keepalive_permit_without_calls'].map(
      (name) => CHANNEL_OPTIONS[name],
    ),
    [10_000, 3_000, 1],
  )
  const { server, address } = await startHealth(ServerCredentials.createInsecure(), '127.0.0.1')
  // Between them a relay that can stop passing anything on, while all connections stay open.
  const sockets = new Set<Socket>()
  let silent = false
  let dialled = 0
  const relay = createServer((near) => {
    dialled++
    const far = connect(Number(address.split(':')[1]), '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.on('data', (bytes) => !silent && to.write(bytes))
      from.on('close', () => to.destroy())
    }
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  const at = relay.address()
  const target = `127.0.0.1:${typeof at === 'object' ? at?.port : 0}`
  using pool = new ChannelPool({}, { 'grpc.keepalive_time_ms': 100, 'grpc.keepalive_timeout_ms': 100 })
  const ask = (): Promise<object> =>
    unary(pool.client(target), HealthService.check, { service: '' }, 20_000, AbortSignal.timeout(20_000))
  await ask()
  silent = true
  // The call would wait for twenty seconds.
  await assert.rejects(ask(), (error) => isServiceError(error, status.UNAVAILABLE))
  silent = false
  await ask()
  assert.ok(dialled > 1)
  relay.close()
  for (const socket of sockets) socket.destroy()
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
