import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { Writer } from '@platformatic/kafka'
import { BrokerConnection } from './broker-connection.ts'

/** A server that reads nothing until it is told to, and a connection to it. */
async function start() {
  const accepted = Promise.withResolvers<Socket>()
  const server = createServer({ pauseOnConnect: true }, (socket) => accepted.resolve(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('no port')
  const connection = await BrokerConnection.open('id', { host: '127.0.0.1', port: address.port }, {}, () => {})
  const socket = await accepted.promise
  return {
    connection,
    socket,
    async [Symbol.asyncDispose]() {
      connection[Symbol.dispose]()
      socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const unanswered = (rest: readonly Buffer[]) => ({
  apiKey: 0,
  version: 7,
  payload: () => Writer.create().appendInt32(0x01020304),
  rest,
  unanswered: true,
  read: () => true,
})

async function readAll(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let held = 0
  for await (const chunk of socket) {
    chunks.push(chunk)
    held += chunk.length
    if (held >= bytes) break
  }
  return Buffer.concat(chunks)
}

test('what follows a request stands behind it, and its length counts', async () => {
  await using server = await start()
  const rest = [Buffer.from('one'), Buffer.alloc(100_000, 'x'), Buffer.from('three')]
  await Promise.all([
    server.connection.exchange(unanswered(rest)),
    readAll(server.socket, 4 + 10 + 2 + 4 + 100_008).then((sent) => {
      assert.equal(sent.readInt32BE(0), sent.length - 4)
      assert.deepEqual(sent.subarray(-100_012), Buffer.concat([Buffer.from([1, 2, 3, 4]), ...rest]))
    }),
  ])
})

test('a request without an answer resolves only when the other side takes it', async () => {
  await using server = await start()
  const rest = [Buffer.alloc(64 << 20)]
  let done = false
  const sending = server.connection.exchange(unanswered(rest)).then(() => (done = true))
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(done, false)
  await Promise.all([sending, readAll(server.socket, 64 << 20)])
})

test('a request without an answer is rejected when the connection is lost', async () => {
  await using server = await start()
  const sending = server.connection.exchange(unanswered([Buffer.alloc(64 << 20)]))
  server.socket.destroy()
  await assert.rejects(sending, /connection closed/)
})
