import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { dropSinkMetrics, sinkMetrics } from './metrics.ts'

test('the lines of a changefeed are there until they are dropped, and those of another stay', async () => {
  const registry = new Registry()
  for (const id of ['gone', 'stays']) {
    const metrics = sinkMetrics(registry, { namespace: 'default', id }, 'kafka')
    metrics.rows(3, 100)
    metrics.ddl(0.2)
    metrics.error()
  }
  assert.match(await registry.metrics(), /changefeed="gone"/)
  dropSinkMetrics(registry, { namespace: 'default', id: 'gone' })
  const text = await registry.metrics()
  assert.doesNotMatch(text, /changefeed="gone"/)
  assert.match(text, /ticdc_sink_write_bytes_total\{[^}]*changefeed="stays"[^}]*\} 100/)
})
