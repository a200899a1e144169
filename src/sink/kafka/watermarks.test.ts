// Watermarks to many partitions, and DDLs among them, against a broker that fails on purpose.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ddlEvent } from '../../../test/support/ddl-event.ts'
import { type Fault, startFakeKafka } from '../../../test/support/fake-kafka.ts'
import { kafkaSettings } from '../../../test/support/kafka-settings.ts'
import { sinkContext } from '../../../test/support/sink-context.ts'
import type { Clock } from '../../base/clock.ts'
import { systemClock } from '../../base/clock.ts'
import type { Protocol } from '../../codec/protocol.ts'
import { Ts } from '../../tidb/ts.ts'
import { openKafkaControlSink } from './kafka-sink.ts'

const signal = new AbortController().signal

/** Real time, but pauses take no time. */
const impatient: Clock = {
  ...systemClock,
  sleep: (_ms, abort) =>
    new Promise((resolve, reject) => setImmediate(() => (abort.aborted ? reject(abort.reason) : resolve()))),
}

const protocol: Protocol = {
  compile: () => {
    throw new TypeError('no rows here')
  },
  ddl: (event) => ({ key: null, value: Buffer.from(event.query) }),
  watermark: (ts) => ({ key: null, value: Buffer.from(`${ts}`) }),
  ddlPartitions: 'all',
}

/** Each table has a topic of its own, `test_<table>`. */
const tablesOf = (count: number) => Array.from({ length: count }, (_, i) => ({ schema: 'test', table: `${i}` }))

const open = (bootstrap: string) =>
  openKafkaControlSink(
    kafkaSettings(bootstrap, { topic: 'default', partitionNum: 1 }),
    sinkContext({ clock: impatient, protocol }),
  )

test('a watermark reaches every partition of all topics once, and the default topic', async () => {
  await using broker = await startFakeKafka({ partitions: 30 })
  await using sink = open(broker.bootstrap)
  await sink.watermark(Ts(7n), tablesOf(100), signal)
  await sink.watermark(Ts(8n), tablesOf(100), signal)
  for (const { table } of tablesOf(100))
    assert.deepEqual(broker.logOf(`test_${table}`), Array(30).fill(['7', '8']), table)
  assert.deepEqual(broker.logOf('default')[0], ['7', '8'])
})

test('topics are looked up many at a time', async () => {
  await using broker = await startFakeKafka()
  await using sink = open(broker.bootstrap)
  await sink.watermark(Ts(7n), tablesOf(249), signal)
  assert.deepEqual(broker.metadataRequests, [100, 100, 50])
})

test('a DDL does not wait for a watermark to have reached all partitions', async () => {
  await using broker = await startFakeKafka({ partitions: 100 })
  await using sink = open(broker.bootstrap)
  const tables = tablesOf(100)
  await sink.watermark(Ts(7n), tables, signal)
  const done: string[] = []
  const watermark = sink.watermark(Ts(8n), tables, signal).then(() => done.push('watermark'))
  const event = ddlEvent({ schema: 'test', table: '99', query: 'ddl' })
  await sink.ddl(event, signal).then(() => done.push('ddl'))
  await watermark
  assert.deepEqual(done, ['ddl', 'watermark'])
  assert.deepEqual(broker.logOf('test_99'), Array(100).fill(['7', '8', 'ddl']))
})

test('whatever fails, each partition gets watermarks and DDLs in order, once', async () => {
  const fault = fc.constantFrom<Fault>('none', 'none', 'lost', 'unanswered', { errorCode: 6 }, { errorCode: 19 })
  await fc.assert(
    fc.asyncProperty(fc.array(fault, { maxLength: 10 }), fc.nat({ max: 29 }), async (script, altered) => {
      await using broker = await startFakeKafka({ partitions: 100, faultOf: (request) => script[request] ?? 'none' })
      await using sink = open(broker.bootstrap)
      const tables = tablesOf(30)
      const event = ddlEvent({ schema: 'test', table: `${altered}`, query: 'ddl' })
      await Promise.all([sink.watermark(Ts(1n), tables, signal), sink.ddl(event, signal)])
      await sink.watermark(Ts(2n), tables, signal)
      for (const { table } of tables) {
        for (const values of broker.logOf(`test_${table}`)) {
          assert.deepEqual(
            values.filter((value) => value !== 'ddl'),
            ['1', '2'],
          )
          assert.equal(values.includes('ddl'), table === `${altered}`)
          assert.notEqual(values.at(-1), 'ddl')
        }
      }
    }),
    { numRuns: 10 },
  )
})
