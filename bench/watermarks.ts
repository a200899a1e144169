// What a watermark to very many partitions costs the owner. `watermarks.ts serve PARTITIONS` is a broker that has every
// topic and forgets what it is sent; `watermarks.ts send BOOTSTRAP TOPICS ROUNDS` sends, and prints its figures as JSON.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { join } from 'node:path'
import { Reader, Writer } from '@platformatic/kafka'
import { codecSettings } from '../test/support/codec-settings.ts'
import { ddlEvent } from '../test/support/ddl-event.ts'
import { kafkaSettings } from '../test/support/kafka-settings.ts'
import { run } from '../test/support/process.ts'
import { sinkContext } from '../test/support/sink-context.ts'
import { createProtocol } from '../src/codec/protocols.ts'
import { openKafkaControlSink } from '../src/sink/kafka/kafka-sink.ts'
import { tsOfMs } from '../src/tidb/ts.ts'
import type { Bench } from './case.ts'

const signal = new AbortController().signal

/** 1,000 topics of 64 partitions, simulated: CPU and time of a watermark to all of them, and how long a DDL then takes. */
export async function benchWatermarks({
  report,
  quick,
  root,
}: Pick<Bench, 'report' | 'quick' | 'root'>): Promise<void> {
  const [topics, partitions] = quick ? [100, 64] : [1000, 64]
  const script = join(root, 'bench/watermarks.ts')
  await using broker = await run(process.execPath, [script, 'serve', `${partitions}`], { cwd: root, ready: /^127/ })
  const args = [script, 'send', broker.readyLine, `${topics}`, quick ? '5' : '10']
  await using sender = await run(process.execPath, args, { cwd: root, ready: /watermarkCpuMs/, readyWithinMs: 120_000 })
  const figures = JSON.parse(sender.readyLine)
  const name = `watermarks-${topics * partitions}`
  report(`${name}-first`, figures.firstMs, 'ms')
  report(`${name}-cpu`, figures.watermarkCpuMs, 'ms')
  report(`${name}-sent`, figures.watermarkMs, 'ms')
  report(`${name}-ddl-meanwhile`, figures.ddlMs, 'ms')
  report(`${name}-loop-delay`, figures.loopDelayMs, 'ms')
}

if (import.meta.main) {
  const [role, ...args] = process.argv.slice(2)
  if (role === 'serve') await serve(Number(args[0]))
  else if (role === 'send') await send(args[0] ?? '', Number(args[1]), Number(args[2]))
  else throw new Error('usage: watermarks.ts serve PARTITIONS | send BOOTSTRAP TOPICS ROUNDS')
}

async function send(bootstrap: string, topics: number, rounds: number): Promise<void> {
  const codec = { ...codecSettings(), protocol: 'canal-json', enableTidbExtension: true } as const
  const protocol = createProtocol(codec, {
    timeZone: 'UTC',
    namespace: 'default',
    clusterId: 'default',
    registry: undefined,
  })
  await using sink = openKafkaControlSink(
    kafkaSettings(bootstrap, { topic: 'default', codec }),
    sinkContext({ protocol }),
  )
  const tables = Array.from({ length: topics }, (_, i) => ({ schema: 'test', table: `table_${i}` }))
  const watermark = () => sink.watermark(tsOfMs(Date.now()), tables, signal)
  let began = performance.now()
  await watermark()
  const firstMs = performance.now() - began
  await watermark()
  const loop = monitorEventLoopDelay({ resolution: 1 })
  loop.enable()
  const cpu = process.cpuUsage()
  began = performance.now()
  for (let round = 0; round < rounds; round++) await watermark()
  const watermarkMs = (performance.now() - began) / rounds
  const { user, system } = process.cpuUsage(cpu)
  const sending = watermark()
  began = performance.now()
  await sink.ddl(ddlEvent({ schema: 'test', table: `table_${topics - 1}`, query: 'DROP TABLE t', type: 4 }), signal)
  const ddlMs = performance.now() - began
  await sending
  const watermarkCpuMs = (user + system) / 1000 / rounds
  console.log(JSON.stringify({ firstMs, watermarkCpuMs, watermarkMs, ddlMs, loopDelayMs: loop.max / 1e6 }))
}

/** Answers what the sink asks; a produced batch is skipped by its length. */
async function serve(partitions: number): Promise<void> {
  let port = 0
  const server = createServer((socket) => {
    let chunks: Buffer[] = []
    let held = 0
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      held += chunk.length
      for (let first = chunks[0]; first !== undefined && held >= 4; first = chunks[0]) {
        if (first.length < 4) first = Buffer.concat(chunks)
        const size = 4 + first.readInt32BE(0)
        if (held < size) break
        const all = Buffer.concat(chunks)
        socket.write(answer(Reader.from(all.subarray(4, size)), port, partitions))
        chunks = held > size ? [all.subarray(size)] : []
        held -= size
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address !== null && typeof address === 'object') port = address.port
  console.log(`127.0.0.1:${port}`)
}

function answer(request: Reader, port: number, partitions: number): Buffer {
  const apiKey = request.readInt16()
  request.readInt16()
  const body = Writer.create().appendInt32(request.readInt32())
  request.readNullableString(false)
  if (apiKey === 0) answerProduce(request, body)
  else if (apiKey === 3) answerMetadata(request, body, port, partitions)
  else if (apiKey === 22) body.appendInt32(0).appendInt16(0).appendInt64(1n).appendInt16(0)
  else if (apiKey === 32) answerConfigs(request, body)
  else throw new Error(`request ${apiKey} is not simulated`)
  return body.prependLength().buffer
}

function answerProduce(request: Reader, body: Writer): void {
  request.readNullableString(false)
  request.skip(6) // acks, time-out
  const topics = request.readInt32()
  body.appendInt32(topics)
  for (let i = 0; i < topics; i++) {
    body.appendString(request.readString(false), false)
    const count = request.readInt32()
    const results = Buffer.alloc(4 + count * 30)
    results.writeInt32BE(count, 0)
    for (let left = 0; left < count; left++) {
      results.writeInt32BE(request.readInt32(), 4 + left * 30)
      request.skip(request.readInt32())
    }
    body.append(results)
  }
  body.appendInt32(0)
}

function answerMetadata(request: Reader, body: Writer, port: number, partitions: number): void {
  const names = request.readArray(() => request.readString(false), false, false)
  body.appendInt32(0).appendInt32(1).appendInt32(1).appendString('127.0.0.1', false).appendInt32(port)
  body.appendString(null, false).appendString(null, false).appendInt32(1).appendInt32(names.length)
  // Error, index, leader, no replicas.
  const parts = Buffer.alloc(partitions * 18)
  for (let index = 0; index < partitions; index++) {
    parts.writeInt32BE(index, index * 18 + 2)
    parts.writeInt32BE(1, index * 18 + 6)
  }
  for (const name of names)
    body.appendInt16(0).appendString(name, false).appendBoolean(false).appendInt32(partitions).append(parts)
}

function answerConfigs(request: Reader, body: Writer): void {
  const resources = request.readInt32()
  body.appendInt32(0).appendInt32(resources)
  for (let i = 0; i < resources; i++) {
    const type = request.readInt8()
    const name = request.readString(false)
    request.readArray(() => request.readString(false), false, false)
    body.appendInt16(0).appendString(null, false).appendInt8(type).appendString(name, false).appendInt32(0)
  }
}
