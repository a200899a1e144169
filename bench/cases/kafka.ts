/** From the event feed to a real broker on the same machine, beside Kafka's own producer. */
import { consumeAll } from '../../test/support/consumer.ts'
import type { Bench, BenchCase } from '../case.ts'
import { PARTITIONS, PRODUCER } from '../peers/peer.ts'
import { CANAL, reached, reportServer, runServer, secondsAlone, startTrickle } from '../server-run.ts'
import { openTopics } from '../topics.ts'

/** Of the canal-json messages that were measured last; what Kafka's own producer sends too. */
let messageBytes = 700
let topicsSoFar = 0

export const kafkaCases: readonly BenchCase[] = [
  {
    name: 'kafka-canal',
    about: 'canal-json to Kafka',
    needs: 'kafka',
    repeated: true,
    async run(bench) {
      messageBytes = await toKafka(bench, 'kafka-canal', CANAL)
    },
  },
  {
    name: 'kafka-open',
    about: 'open-protocol to Kafka, many rows a message',
    needs: 'kafka',
    repeated: true,
    async run(bench) {
      await toKafka(bench, 'kafka-open', 'protocol=open-protocol')
    },
  },
  {
    name: 'ceiling-kafka-perf-test',
    about: "Kafka's own producer with messages of the size that canal-json had",
    needs: 'kafka',
    repeated: true,
    run: perfTest,
  },
  {
    name: 'lag',
    about: 'from the commit in TiKV to the append in the broker, 5,000 rows/s, resolved-ts every 200 ms',
    needs: 'kafka',
    repeated: false,
    run: lag,
  },
]

/** Bytes of a row on the broker's disk. */
async function toKafka(bench: Bench, name: string, parameters: string): Promise<number> {
  const kafka = await bench.kafka()
  await using topics = openTopics(kafka.bootstrap)
  const topic = `${name}-${++topicsSoFar}`
  await topics.create(topic, PARTITIONS)
  const sink = `kafka://${kafka.bootstrap}/${topic}?${parameters}&partition-num=${PARTITIONS}`
  const figures = await runServer(bench, name, { sink, rows: bench.quick ? 100_000 : 1_000_000 })
  reportServer(bench, name, figures)
  const bytesPerRow = (await topics.bytes([topic])) / (figures.rows + figures.warmUp)
  await topics.remove([topic])
  bench.report(`${name}-bytes-per-row`, bytesPerRow, 'bytes')
  const mib = (figures.rows * bytesPerRow) / 2 ** 20
  bench.report(`${name}-throughput`, mib / figures.seconds, 'MiB/s')
  bench.report(`${name}-throughput-without-generator`, mib / secondsAlone(figures), 'MiB/s')
  return Math.round(bytesPerRow)
}

/** The best five seconds of it: its Java machine is warm by then. */
async function perfTest(bench: Bench): Promise<void> {
  const kafka = await bench.kafka()
  await using topics = openTopics(kafka.bootstrap)
  const topic = `perf-test-${++topicsSoFar}`
  await topics.create(topic, PARTITIONS)
  const properties = Object.entries(PRODUCER).map(([key, value]) => `${key}=${value}`)
  const args = ['--topic', topic, '--num-records', bench.quick ? '200000' : '2000000']
  args.push('--record-size', String(messageBytes), '--throughput', '-1')
  args.push('--producer-props', `bootstrap.servers=${kafka.bootstrap}`, ...properties)
  const text = await kafka.tool('org.apache.kafka.tools.ProducerPerformance', ...args)
  await topics.remove([topic])
  const windows = [...text.matchAll(/([\d.]+) records\/sec \(([\d.]+) MB\/sec\)/g)]
  // What the tool calls MB are 2^20 bytes.
  bench.report('ceiling-kafka-perf-test-rate', Math.max(...windows.map(([, rate]) => Number(rate))), 'messages/s')
  bench.report('ceiling-kafka-perf-test-throughput', Math.max(...windows.map(([, , mib]) => Number(mib))), 'MiB/s')
}

async function lag(bench: Bench): Promise<void> {
  const kafka = await bench.kafka()
  await using topics = openTopics(kafka.bootstrap)
  const topic = 'lag'
  await topics.create(topic, PARTITIONS, { 'message.timestamp.type': 'LogAppendTime' })
  const sink = `kafka://${kafka.bootstrap}/${topic}?${CANAL}&partition-num=${PARTITIONS}`
  await using running = await startTrickle(bench, 'lag', { sink, regions: 4 })
  const rowsPerSecond = 5000
  const resolvedTsMs = 200
  const warm = await running.feed.trickle({ rowsPerSecond, resolvedTsMs, seconds: 5 })
  const { rows, lastTs } = await running.feed.trickle({ rowsPerSecond, resolvedTsMs, seconds: bench.quick ? 5 : 30 })
  await reached(running.server, 'lag', lastTs)
  const lags = (await consumeAll(kafka.bootstrap, [topic]))
    .map(({ timestamp, value }) => ({ timestamp, text: Buffer.from(value ?? '', 'base64').toString() }))
    .filter(({ text }) => /"type":"(INSERT|UPDATE)"/.test(text))
    .map(({ timestamp, text }) => ({ timestamp, commitTs: BigInt(/"commitTs":(\d+)/.exec(text)?.[1] ?? '0') }))
    .filter(({ commitTs }) => commitTs > BigInt(warm.lastTs))
    .map(({ timestamp, commitTs }) => timestamp - Number(commitTs >> 18n))
    .toSorted((a, b) => a - b)
  if (lags.length < rows) throw new Error(`${lags.length} of ${rows} rows are in Kafka`)
  bench.report('lag-p50', lags[Math.floor(lags.length * 0.5)] ?? 0, 'ms')
  bench.report('lag-p99', lags[Math.floor(lags.length * 0.99)] ?? 0, 'ms')
  bench.report('lag-max', lags.at(-1) ?? 0, 'ms')
}
