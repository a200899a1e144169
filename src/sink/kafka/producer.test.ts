// The produce loop against a broker that fails on purpose; the real one is in test/real/kafka-sink.test.ts.
import { Messages } from '../../event/encoded.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Fault, type FakeKafka, type FakeKafkaOptions, startFakeKafka } from '../../../test/support/fake-kafka.ts'
import { kafkaSettings } from '../../../test/support/kafka-settings.ts'
import { sinkContext } from '../../../test/support/sink-context.ts'
import { testTable } from '../../../test/support/table-version.ts'
import type { Clock } from '../../base/clock.ts'
import { systemClock } from '../../base/clock.ts'
import type { KafkaSettings } from '../../config/sink-settings.ts'
import type { EncodedBatch } from '../../event/encoded.ts'
import { Ts } from '../../tidb/ts.ts'
import type { SinkContext } from '../sink-context.ts'
import { openKafkaRowSink } from './kafka-sink.ts'

const signal = new AbortController().signal
const table = testTable({ columns: { id: 'int primary key' } })

const batchOf = (values: readonly string[], partitions = 1): EncodedBatch => ({
  table,
  topic: 't',
  messages: Messages.of(
    values.map((value, i) => ({ partition: i % partitions, key: null, value: Buffer.from(value), rows: 1 })),
  ),
  end: { commitTs: Ts(1n), startTs: Ts(1n), complete: true },
})

/** Real time, but pauses take no time: back-off is not what is tested. */
const impatient: Clock = {
  ...systemClock,
  sleep: (_ms, abort) =>
    new Promise((resolve, reject) => setImmediate(() => (abort.aborted ? reject(abort.reason) : resolve()))),
}

interface Sent {
  readonly broker: FakeKafka
  readonly log: readonly (readonly string[])[]
}

/** Writes `count` batches of one message, one after the other handed over at once, to one partition. */
async function send(
  options: FakeKafkaOptions,
  count: number,
  settings: Partial<KafkaSettings> = {},
  context: Partial<SinkContext> = {},
): Promise<Sent> {
  await using broker = await startFakeKafka(options)
  const sink = openKafkaRowSink(
    kafkaSettings(broker.bootstrap, { topic: 't', ...settings }),
    sinkContext({ clock: impatient, ...context }),
  )
  await using _ = sink
  for (let i = 0; i < count; i++) await sink.write(batchOf([String(i)]), signal)
  return { broker, log: broker.log }
}

const faults = (script: Readonly<Record<number, Fault>>) => ({
  faultOf: (request: number) => script[request] ?? 'none',
})
const ordered = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i))

test('a send without an answer is repeated with the same mark, and stands in the log once', async () => {
  const { broker } = await send(faults({ 1: 'unanswered', 3: 'lost' }), 4)
  assert.deepEqual(broker.log, [ordered(4)])
  assert.deepEqual(broker.marks, [['7 0 0', '7 0 1', '7 0 2', '7 0 3']])
  assert.equal(broker.produceRequests, 6)
})

test('errors that pass are retried', async () => {
  for (const errorCode of [3, 5, 6, 7, 19, 20, 56]) {
    const { broker } = await send(faults({ 1: { errorCode }, 2: { errorCode } }), 3)
    assert.deepEqual(broker.log, [ordered(3)], `error ${errorCode}`)
  }
})

test('a broker that forgot the producer is met with the next epoch, from sequence 0', async () => {
  const { broker } = await send(faults({ 2: 'forget' }), 4)
  assert.deepEqual(broker.log, [ordered(4)])
  assert.deepEqual(broker.marks, [['7 0 0', '7 0 1', '7 1 0', '7 1 1']])
})

test('a broker that refuses producer ids gets messages without', async () => {
  const { broker } = await send({ initProducerError: 31 }, 2)
  assert.deepEqual(broker.marks, [['-1 -1 -1', '-1 -1 -1']])
})

test('a refusal when producing makes the producer go on without an id', async () => {
  const { broker } = await send(faults({ 1: { errorCode: 31 } }), 3)
  assert.deepEqual(broker.log, [ordered(3)])
  assert.deepEqual(broker.marks, [['7 0 0', '-1 -1 -1', '-1 -1 -1']])
})

test('without a producer id a partition waits before it repeats what may have been applied', async () => {
  const pauses: number[] = []
  const clock: Clock = { ...impatient, sleep: (ms, abort) => (pauses.push(ms), impatient.sleep(ms, abort)) }
  const settings = { requiredAcks: 1, writeTimeoutMs: 4321 } as const
  await send(faults({ 1: 'unanswered' }), 2, settings, { clock })
  assert.deepEqual(pauses, [4321])
})

test('an error that does not pass fails the sink, and everything after it', async () => {
  await using broker = await startFakeKafka(faults({ 1: { errorCode: 29 } }))
  await using sink = openKafkaRowSink(kafkaSettings(broker.bootstrap, { topic: 't' }), sinkContext())
  await sink.write(batchOf(['0']), signal)
  const expected = { code: 'CDC:ErrKafkaAsyncSendMessage', message: /topic t, partition 0/ }
  await assert.rejects(sink.write(batchOf(['1']), signal), expected)
  await assert.rejects(sink.write(batchOf(['2']), signal), expected)
  assert.deepEqual(broker.log, [['0']])
})

test('a partition that takes nothing for two minutes fails the sink', async () => {
  let now = 0
  const clock: Clock = { ...impatient, monotonic: () => (now += 1000) }
  const always: FakeKafkaOptions = { faultOf: () => ({ errorCode: 19 }) }
  await assert.rejects(send(always, 1, {}, { clock }), { code: 'CDC:ErrKafkaAsyncSendMessage' })
  assert.ok(now > 120_000 && now < 500_000)
})

test('a broker that has no producer ids to give for two minutes fails the sink', async () => {
  let now = 0
  const clock: Clock = { ...impatient, monotonic: () => (now += 1000) }
  await assert.rejects(send({ initProducerError: 14 }, 1, {}, { clock }), { code: 'CDC:ErrKafkaAsyncSendMessage' })
  assert.ok(now > 120_000 && now < 500_000)
})

test('nothing is sent when the lease ends while batches are sealed', async () => {
  let open = true
  // The time is asked for a batch's header.
  const clock: Clock = { ...impatient, now: () => ((open = false), systemClock.now()) }
  await using broker = await startFakeKafka()
  const context = sinkContext({ clock, fence: { open: () => open } })
  await using sink = openKafkaRowSink(kafkaSettings(broker.bootstrap, { topic: 't' }), context)
  await assert.rejects(sink.write(batchOf(['0']), signal), { code: 'CDC:ErrCaptureSuicide' })
  assert.equal(broker.produceRequests, 0)
})

test('where the broker does not tell its limit, batches keep below what every broker takes', async () => {
  const lengths: number[] = []
  const received: FakeKafkaOptions['received'] = (_, values) =>
    void lengths.push(values.reduce((sum, value) => sum + value.length, 0))
  await using broker = await startFakeKafka({ received })
  await using sink = openKafkaRowSink(kafkaSettings(broker.bootstrap, { topic: 't' }), sinkContext())
  await sink.write(batchOf(Array.from({ length: 3000 }, () => 'x'.repeat(1000))), signal)
  assert.ok(lengths.length > 0 && Math.max(...lengths) < 1_000_000, String(lengths))
})

test('a rebuilt sink goes on as the next epoch of the same producer', async () => {
  await using broker = await startFakeKafka()
  const context = sinkContext({ memory: {} })
  const settings = kafkaSettings(broker.bootstrap, { topic: 't' })
  for (const value of ['first', 'second']) {
    await using sink = openKafkaRowSink(settings, context)
    await sink.write(batchOf([value]), signal)
  }
  assert.deepEqual(broker.marks, [['7 0 0', '7 1 0']])
})

test('writes that come while the topic is being looked up keep their order', async () => {
  for (let turns = 0; turns < 12; turns++) {
    await using broker = await startFakeKafka()
    await using sink = openKafkaRowSink(kafkaSettings(broker.bootstrap, { topic: 't' }), sinkContext())
    const writes: Promise<void>[] = []
    // Each write comes some turns after the one before, so that one of them meets the topic as it becomes known.
    while (broker.log[0]?.length !== writes.length || writes.length === 0) {
      if (writes.length < 300) writes.push(sink.write(batchOf([`${writes.length}`]), signal))
      for (let turn = 0; turn < turns; turn++) await Promise.resolve()
      if (writes.length % 4 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(writes)
    assert.deepEqual(broker.log, [ordered(writes.length)])
  }
})

test('whatever fails, every partition holds all messages in order, once', async () => {
  const fault = fc.constantFrom<Fault>('none', 'none', 'lost', 'unanswered', { errorCode: 6 }, { errorCode: 7 })
  // Small batches are copied into the request, large ones follow it.
  const padding = fc.constantFrom('', '', '.'.repeat(5000), '.'.repeat(600_000))
  const partitionCount = fc.integer({ min: 1, max: 4 })
  await fc.assert(
    fc.asyncProperty(fc.array(fault, { maxLength: 12 }), partitionCount, padding, async (script, partitions, pad) => {
      await using broker = await startFakeKafka({ partitions, faultOf: (request) => script[request] ?? 'none' })
      const settings = kafkaSettings(broker.bootstrap, { topic: 't' })
      await using sink = openKafkaRowSink(settings, sinkContext({ clock: impatient }))
      const writes: Promise<void>[] = []
      for (let i = 0; i < 20; i++) {
        const values = Array.from(
          { length: partitions },
          (_, partition) => `${partition}/${i}${i % 4 === 0 ? pad : ''}`,
        )
        writes.push(sink.write(batchOf(values, partitions), signal))
        if (i % 3 === 0) await writes.at(-1)
      }
      await Promise.all(writes)
      for (const [partition, values] of broker.log.entries())
        assert.deepEqual(
          values.map((value) => value.replace(/\.+$/, '')),
          Array.from({ length: 20 }, (_, i) => `${partition}/${i}`),
        )
    }),
    { numRuns: 40 },
  )
})

test('whatever a dead sink still has on its way, its successor is not overtaken', async () => {
  const fault = fc.constantFrom<Fault>('none', 'none', 'late', 'late', 'lost', 'unanswered', { errorCode: 7 })
  const lives = fc.array(fc.nat(15), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(fc.array(fault, { maxLength: 10 }), lives, async (script, turns) => {
      await using broker = await startFakeKafka({ faultOf: (request) => script[request] ?? 'none' })
      const settings = kafkaSettings(broker.bootstrap, { topic: 't', writeTimeoutMs: 50, readTimeoutMs: 50 })
      const context = sinkContext({ clock: impatient, memory: {} })
      await using sinks = new AsyncDisposableStack()
      let acknowledged = 0
      for (let life = 0; acknowledged < 40; life++) {
        // The next one begins while this one is still being closed.
        const sink = sinks.use(openKafkaRowSink(settings, context))
        const killed = new AbortController()
        const writes: Promise<void>[] = []
        let failed = false
        const write = (value: number): Promise<void> =>
          sink.write(batchOf([String(value)]), killed.signal).then(
            () => void acknowledged++,
            () => void (failed = true),
          )
        for (let value = acknowledged; value < 40; value++) {
          writes.push(write(value))
          if (value % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
        }
        for (let left = turns[life] ?? Infinity; left > 0 && acknowledged < 40 && !failed; left--)
          await new Promise((resolve) => setImmediate(resolve))
        killed.abort(new Error('killed'))
        await Promise.all(writes)
      }
      const log = (broker.log[0] ?? []).map(Number)
      assert.equal(log.at(-1), 39)
      for (const [at, value] of log.entries()) {
        const before = log[at - 1] ?? -1
        assert.ok(value <= before + 1, `${value} follows ${before} in ${log.join()}`)
      }
    }),
    { numRuns: 40 },
  )
})
