import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { createWorkerMetrics } from './metrics.ts'

test('a changefeed that is no longer here leaves no line behind', async () => {
  const registry = new Registry()
  const metricsOf = createWorkerMetrics(registry)
  const [gone, left] = ['gone', 'left'].map((id) => metricsOf({ namespace: 'default', id }))
  for (const metrics of [gone, left]) {
    metrics?.received(1)
    metrics?.acknowledged(1, 100)
    metrics?.memory(5, 6)
  }
  gone?.[Symbol.dispose]()
  const text = await registry.metrics()
  assert.doesNotMatch(text, /changefeed="gone"/)
  assert.equal(text.match(/changefeed="left"/g)?.length, 5)
})
