import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { createWorkerMetrics } from './metrics.ts'

const of = (id: string) => ({ namespace: 'default', id })

test('a stage shows what was added to its counters, and what the changefeed holds when metrics are asked for', async () => {
  const registry = new Registry()
  const metrics = createWorkerMetrics(registry, 'data-1')(of('a'))
  metrics.stages.feed.add(10, 1000, 0.5)
  metrics.stages.feed.add(10, 1000, 0.25)
  metrics.stages.sink.queueBytes = 77
  metrics.resolved = 3
  const memory = { before: 40, after: 30, limit: 100 }
  metrics.look = () => ({ memory, unmatched: 11, sortedInMemory: 20, sortedOnDisk: 400, spilled: 500 })
  const text = await registry.metrics()
  const labels = 'namespace="default",changefeed="a"'
  for (const line of [
    `tidewire_stage_rows_total{${labels},stage="feed"} 20`,
    `tidewire_stage_bytes_total{${labels},stage="feed"} 2000`,
    `tidewire_stage_seconds_total{${labels},stage="feed"} 0.00075`,
    `tidewire_stage_queue_bytes{${labels},stage="feed"} 11`,
    `tidewire_stage_queue_bytes{${labels},stage="sort"} 420`,
    `tidewire_stage_queue_bytes{${labels},stage="sink"} 77`,
    `ticdc_puller_txn_collect_event_count{${labels},type="kv"} 20`,
    `ticdc_puller_txn_collect_event_count{${labels},type="resolved"} 3`,
    `tidewire_spilled_bytes_total{${labels}} 500`,
    `ticdc_sinkmanager_memory_quota{${labels},type="used"} 70`,
    'ticdc_sorter_in_memory_data_size_gauge{id="data-1"} 20',
    'ticdc_sorter_on_disk_data_size_gauge{id="data-1"} 400',
  ])
    assert.ok(text.includes(`${line}\n`), `${line} is missing in\n${text}`)
})

test('a changefeed that is no longer here leaves no line behind', async () => {
  const registry = new Registry()
  const metricsOf = createWorkerMetrics(registry, 'data-0')
  const [gone, left] = [metricsOf(of('gone')), metricsOf(of('left'))]
  assert.match(await registry.metrics(), /changefeed="gone"/)
  gone[Symbol.dispose]()
  const text = await registry.metrics()
  assert.doesNotMatch(text, /changefeed="gone"/)
  assert.match(text, /changefeed="left"/)
  left[Symbol.dispose]()
})

test('a changefeed that is opened again before its old run has gone shows the sum of both', async () => {
  const registry = new Registry()
  const metricsOf = createWorkerMetrics(registry, 'data-0')
  const [old, young] = [metricsOf(of('a')), metricsOf(of('a'))]
  old.sentRows = 5
  young.sentRows = 2
  const sent = async () => (await registry.metrics()).match(/^ticdc_sink_table_sink_total_rows_count.* (\d+)$/m)?.[1]
  assert.equal(await sent(), '7')
  old[Symbol.dispose]()
  assert.equal(await sent(), '2')
})
