// The Kafka sink against a real broker, read by a client that is not ours.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { CdcError, describeError } from '../../src/base/errors.ts'
import { type LogFields, silentLog } from '../../src/base/log.ts'
import { COMPRESSIONS, type KafkaSettings } from '../../src/config/sink-settings.ts'
import type { DdlEvent } from '../../src/event/ddl-event.ts'
import { type EncodedBatch, type EncodedMessage, Messages } from '../../src/event/encoded.ts'
import { openControlSink, openRowSink, prepareSink } from '../../src/sink/open-sink.ts'
import { Ts } from '../../src/tidb/ts.ts'
import * as consumer from '../support/consumer.ts'
import { kafkaSettings } from '../support/kafka-settings.ts'
import * as kafka from '../support/kafka.ts'
import { freePorts, waitFor } from '../support/process.ts'
import { requireOrSkip } from '../support/require.ts'
import { sinkContext } from '../support/sink-context.ts'
import { testTable } from '../support/table-version.ts'

const signal = new AbortController().signal
const table = testTable({ columns: { id: 'int primary key' } })
const end = { commitTs: Ts(1n), startTs: Ts(1n), complete: true }

let broker: kafka.KafkaBroker
before(async () => {
  if ((await kafka.available()) === true) broker = await kafka.startKafka()
})
after(async () => {
  await broker?.[Symbol.asyncDispose]()
})

const message = (partition: number, key: string | null, value: string): EncodedMessage => ({
  partition,
  key: key === null ? null : Buffer.from(key),
  value: Buffer.from(value),
  rows: 1,
})

function batchOf(topic: string, messages: readonly EncodedMessage[]): EncodedBatch {
  return { table, topic, messages: Messages.of(messages), end }
}

const settingsFor = (topic: string, changes: Partial<KafkaSettings> = {}): KafkaSettings =>
  kafkaSettings(broker.bootstrap, { topic, partitionNum: 4, ...changes })

const decode = (text: string | null): string | null => (text === null ? null : Buffer.from(text, 'base64').toString())

/** Values of each partition in the order of their offsets. */
async function valuesByPartition(bootstrap: string, topic: string): Promise<(string | null)[][]> {
  const found: (string | null)[][] = []
  for (const { partition, value } of await consumer.consumeAll(bootstrap, [topic]))
    (found[partition] ??= []).push(decode(value))
  return found
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => undefined,
    (failed: unknown) => failed,
  )
  assert.ok(error instanceof CdcError, `expected a coded error, got ${String(error)}`)
  return describeError(error)
}

for (const compression of COMPRESSIONS)
  test(`compression ${compression} is read by another client, keys and order kept`, async (t) => {
    if (!(await requireOrSkip(t, kafka.available, consumer.available))) return
    const topic = `compressed-${compression}`
    await using sink = await openRowSink(settingsFor(topic, { compression }), sinkContext(), signal)
    assert.equal(await sink.partitions(topic, signal), 4)
    const messages = Array.from({ length: 400 }, (_, i) =>
      message(i % 4, i % 3 === 0 ? null : i % 3 === 1 ? '' : `key ${i}`, `value ${i} ${'x'.repeat(i)}`),
    )
    await Promise.all([
      sink.write(batchOf(topic, messages.slice(0, 200)), signal),
      sink.write(batchOf(topic, messages.slice(200)), signal),
    ])
    const records = await consumer.consumeAll(broker.bootstrap, [topic])
    for (let partition = 0; partition < 4; partition++)
      assert.deepEqual(
        records.filter((each) => each.partition === partition).map(({ key, value }) => [decode(key), decode(value)]),
        messages
          .filter((each) => each.partition === partition)
          .map(({ key, value }) => [
            key === null ? null : Buffer.from(key).toString(),
            Buffer.from(value ?? []).toString(),
          ]),
      )
    for (const { timestamp } of records) assert.ok(Math.abs(Date.now() - timestamp) < 60_000)
  })

test('a topic of a dispatch rule is created on use with the partitions of the settings', async (t) => {
  if (!(await requireOrSkip(t, kafka.available))) return
  await using sink = await openRowSink(settingsFor('default-topic', { partitionNum: undefined }), sinkContext(), signal)
  assert.equal(await sink.partitions('other-topic', signal), 3)
})

test('a DDL goes to partition 0 or to all, a watermark to every partition of the active topics', async (t) => {
  if (!(await requireOrSkip(t, kafka.available, consumer.available))) return
  const settings = settingsFor('control-default', { partitionNum: 2 })
  const ddl: DdlEvent = {
    startTs: Ts(1n),
    commitTs: Ts(2n),
    seq: 0,
    type: 3,
    query: 'create',
    schema: 'control',
    table: 't',
    after: table,
    before: undefined,
    charset: '',
    collate: '',
    bdrRole: '',
    sqlMode: 0n,
  }
  for (const ddlPartitions of ['first', 'all'] as const) {
    const protocol = {
      compile: () => assert.fail('no rows here'),
      ddl: (event: DdlEvent) => ({ key: null, value: Buffer.from(`${ddlPartitions} ${event.query}`) }),
      watermark: (ts: Ts) => ({ key: null, value: Buffer.from(`watermark ${ts}`) }),
      ddlPartitions,
    }
    await using sink = await openControlSink(settings, sinkContext({ protocol }), signal)
    await sink.ddl(ddl, signal)
    await sink.watermark(Ts(9n), [{ schema: 'control', table: 't' }], signal)
  }
  assert.deepEqual(await valuesByPartition(broker.bootstrap, 'control_t'), [
    ['first create', 'watermark 9', 'all create', 'watermark 9'],
    ['watermark 9', 'all create', 'watermark 9'],
  ])
  assert.deepEqual(await valuesByPartition(broker.bootstrap, 'control-default'), [
    ['watermark 9', 'watermark 9'],
    ['watermark 9', 'watermark 9'],
  ])
})

test('the broker killed, paused and restarted under load: order kept, nothing lost, nothing twice', async (t) => {
  if (!(await requireOrSkip(t, kafka.available, consumer.available))) return
  await using own = await kafka.startKafka()
  const quick = { writeTimeoutMs: 1000, readTimeoutMs: 1000 }
  await using load = await startLoad(kafkaSettings(own.bootstrap, { topic: 'restarted', partitionNum: 3, ...quick }))
  await load.progress('the first messages')
  await own.kill()
  await own.restart()
  await load.progress('messages after the kill')
  own.pause()
  await waitFor('a request of unknown outcome', () => load.warnings.some((line) => /repeated .*timed out/.test(line)))
  own.resume()
  await load.progress('messages after the pause')
  await own.restart()
  await load.progress('messages after the restart')
  await load.stop()
  assert.deepEqual(await valuesByPartition(own.bootstrap, 'restarted'), load.expected())
})

test('leaders that move, by force and in peace: order kept, nothing lost, nothing twice', async (t) => {
  if (!(await requireOrSkip(t, kafka.available, consumer.available))) return
  const brokers = await kafka.startKafkaCluster(3, { properties: { 'min.insync.replicas': '2' } })
  await using _ = new AsyncDisposableStack()
  for (const each of brokers) _.use(each)
  const settings = kafkaSettings('', { topic: 'moved', partitionNum: 6, replicationFactor: 3 })
  await using load = await startLoad({ ...settings, brokers: brokers.map((each) => each.bootstrap) })
  await load.progress('the first messages')
  const [first, second] = brokers
  assert.ok(first && second)
  await first.kill()
  await load.progress('messages without a broker that was killed')
  await first.restart()
  await waitFor('all replicas in sync', async () => !(await underReplicated(first, 'moved')))
  await second.stop()
  await load.progress('messages without a broker that went in peace')
  await load.stop()
  assert.deepEqual(await valuesByPartition(first.bootstrap, 'moved'), load.expected())
})

/** Whether a partition of the topic lacks a replica in sync. */
async function underReplicated(broker: kafka.KafkaBroker, topic: string): Promise<boolean> {
  const args = ['--describe', '--topic', topic, '--under-replicated-partitions']
  const text = await broker.tool('org.apache.kafka.tools.TopicCommand', '--bootstrap-server', broker.bootstrap, ...args)
  return text.includes('Partition:')
}

interface Load extends AsyncDisposable {
  /** Warnings of the sink, with their errors. */
  readonly warnings: readonly string[]
  /** Waits until a thousand more messages are acknowledged. */
  progress(what: string): Promise<void>
  /** Ends the writers; every message is acknowledged then. */
  stop(): Promise<void>
  /** What the partitions of the topic must hold. */
  expected(): string[][]
}

/** Four writers of numbered messages, spread over the partitions of the default topic. */
async function startLoad(settings: KafkaSettings): Promise<Load> {
  const warnings: string[] = []
  const warn = (text: string, fields?: LogFields): void => void warnings.push(`${text} ${String(fields?.['error'])}`)
  const log = { ...silentLog, with: () => log, warn }
  const sink = await openRowSink(settings, sinkContext({ log }), signal)
  const partitions = await sink.partitions(settings.topic, signal)
  let next = 0
  let stopped = false
  let acknowledged = 0
  const write = async (): Promise<void> => {
    while (!stopped) {
      const messages = Array.from({ length: 50 }, () => message(next % partitions, null, String(next++)))
      await sink.write(batchOf(settings.topic, messages), signal)
      acknowledged += messages.length
    }
  }
  let failure: unknown
  const writers = Promise.all(Array.from({ length: 4 }, write)).catch((error: unknown) => {
    failure = error
  })
  return {
    warnings,
    async progress(what) {
      const from = acknowledged
      await waitFor(what, () => {
        if (failure !== undefined) throw failure
        return acknowledged > from + 1000
      })
    },
    async stop() {
      stopped = true
      await writers
      assert.equal(failure, undefined)
    },
    expected: () =>
      Array.from({ length: partitions }, (_, partition) =>
        Array.from({ length: Math.ceil((next - partition) / partitions) }, (__, i) =>
          String(i * partitions + partition),
        ),
      ),
    async [Symbol.asyncDispose]() {
      stopped = true
      await sink[Symbol.asyncDispose]()
    },
  }
}

test('a closed fence stops the sink before anything is sent', async (t) => {
  if (!(await requireOrSkip(t, kafka.available, consumer.available))) return
  const topic = 'fenced'
  let open = true
  await using sink = await openRowSink(settingsFor(topic), sinkContext({ fence: { open: () => open } }), signal)
  await sink.write(batchOf(topic, [message(0, null, 'before')]), signal)
  open = false
  assert.match(await codeOf(sink.write(batchOf(topic, [message(0, null, 'after')]), signal)), /CDC:ErrCaptureSuicide/)
  open = true
  assert.match(await codeOf(sink.write(batchOf(topic, [message(0, null, 'later')]), signal)), /CDC:ErrCaptureSuicide/)
  assert.deepEqual(await valuesByPartition(broker.bootstrap, topic), [['before']])
})

test('a message beyond the limit of the broker fails the sink by name', async (t) => {
  if (!(await requireOrSkip(t, kafka.available))) return
  await using sink = await openRowSink(settingsFor('large'), sinkContext(), signal)
  const error = await codeOf(sink.write(batchOf('large', [message(1, null, 'x'.repeat(1_100_000))]), signal))
  assert.match(error, /CDC:ErrKafkaAsyncSendMessage.*topic large, partition 1.*MESSAGE_TOO_LARGE/)
})

test('max-message-bytes is lowered to the limit of the broker', async (t) => {
  if (!(await requireOrSkip(t, kafka.available, consumer.available))) return
  const prepared = await prepareSink(settingsFor('limited'), sinkContext(), signal)
  assert.equal(prepared.codec.maxMessageBytes, 1_048_588 - 128)
  await using sink = await openRowSink(prepared, sinkContext(), signal)
  // Codecs count key + value + 36.
  const largest = 'x'.repeat(prepared.codec.maxMessageBytes - 36)
  await sink.write(batchOf('limited', [message(0, null, largest), message(0, null, largest)]), signal)
  assert.equal((await valuesByPartition(broker.bootstrap, 'limited'))[0]?.length, 2)
})

test('settings that cannot work are refused by name', async (t) => {
  if (!(await requireOrSkip(t, kafka.available))) return
  await prepareSink(settingsFor('three', { partitionNum: 3 }), sinkContext(), signal)
  const [closed = 0] = await freePorts(1)
  const cases: readonly (readonly [KafkaSettings, RegExp])[] = [
    [
      settingsFor('three', { partitionNum: 5 }),
      /^\[CDC:ErrKafkaNewProducer\].*\[CDC:ErrKafkaInvalidPartitionNum\]the number of partition \(5\) specified in sink-uri is more than that of actual topic \(3\)/,
    ],
    [
      settingsFor('absent', { autoCreateTopic: false }),
      /^\[CDC:ErrKafkaCreateTopic\].*\[CDC:ErrKafkaInvalidConfig\]`auto-create-topic` is false, and absent not found/,
    ],
    [settingsFor('replicated', { replicationFactor: 3 }), /^\[CDC:ErrKafkaCreateTopic\].*INVALID_REPLICATION_FACTOR/],
    [settingsFor('not a topic'), /^\[CDC:Err.*INVALID_TOPIC/],
    [kafkaSettings(`127.0.0.1:${closed}`), /^\[CDC:ErrKafkaNewProducer\].*ECONNREFUSED/],
    [settingsFor('x', { clientId: 'a b' }), /^\[CDC:ErrKafkaInvalidClientID\]invalid kafka client ID 'a b'/],
  ]
  for (const [settings, expected] of cases)
    assert.match(await codeOf(prepareSink(settings, sinkContext(), signal)), expected)
})

test('required-acks 0 and 1 send without a producer id', async (t) => {
  if (!(await requireOrSkip(t, kafka.available, consumer.available))) return
  for (const requiredAcks of [0, 1] as const) {
    const topic = `acks-${requiredAcks}`
    // A partition that its broker has not taken over yet loses what is sent without acknowledgement.
    await using first = await openRowSink(settingsFor(topic), sinkContext(), signal)
    await first.write(batchOf(topic, [message(0, null, 'first')]), signal)
    await using sink = await openRowSink(settingsFor(topic, { requiredAcks }), sinkContext(), signal)
    for (let i = 0; i < 10; i++) await sink.write(batchOf(topic, [message(0, null, String(i))]), signal)
    const values = async () => (await valuesByPartition(broker.bootstrap, topic))[0] ?? []
    const all = await waitFor('all messages', async () => (await values()).length === 11 && values())
    assert.deepEqual(all, ['first', ...Array.from({ length: 10 }, (_, i) => String(i))])
  }
})

test('an aborted write ends the sink', async (t) => {
  if (!(await requireOrSkip(t, kafka.available))) return
  const stop = new AbortController()
  await using sink = await openRowSink(settingsFor('aborted'), sinkContext(), signal)
  const write = sink.write(batchOf('aborted', [message(0, null, 'x')]), stop.signal)
  stop.abort()
  await assert.rejects(write, { name: 'AbortError' })
  await assert.rejects(sink.write(batchOf('aborted', [message(0, null, 'x')]), signal), { name: 'AbortError' })
})
