import { Messages } from '../../event/encoded.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sinkContext } from '../../../test/support/sink-context.ts'
import { testTable } from '../../../test/support/table-version.ts'
import { Ts } from '../../tidb/ts.ts'
import { openControlSink, openRowSink } from '../open-sink.ts'

const signal = new AbortController().signal

test('the blackhole counts rows and bytes and acknowledges everything', async () => {
  const context = sinkContext()
  await using sink = await openRowSink({ scheme: 'blackhole', codec: undefined }, context, signal)
  const messages = Messages.of([1, 2].map((rows) => ({ partition: 0, key: null, value: Buffer.from('x'), rows })))
  const end = { commitTs: Ts(1n), startTs: Ts(1n), complete: true }
  await sink.write({ table: testTable({ columns: { id: 'int' } }), topic: '', messages, end }, signal)
  assert.equal(await sink.partitions('any', signal), 1)
  const text = await context.metrics.metrics()
  assert.match(text, /ticdc_sink_batch_row_count_sum\{namespace="default",changefeed="test",type="blackhole"\} 3/)
  assert.match(text, /ticdc_sink_write_bytes_total\{namespace="default",changefeed="test",type="blackhole"\} 2/)
  await using control = await openControlSink({ scheme: 'blackhole', codec: undefined }, context, signal)
  await control.watermark(Ts(1n), [], signal)
})
