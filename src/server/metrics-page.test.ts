import assert from 'node:assert/strict'
import { test } from 'node:test'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { createWorkerMetrics } from '../worker/metrics.ts'
import { createMetricsPage } from './metrics-page.ts'

const lineOf = (text: string, series: string): string | undefined =>
  text
    .split('\n')
    .find((line) => line.startsWith(`${series} `))
    ?.slice(series.length + 1)

/** A page over registries as workers have them; `silent` ones do not answer. */
function pageOf(own: Registry, workers: readonly Registry[], silent = new Set<Registry>()): () => Promise<string> {
  const answer = async (registry: Registry) => (silent.has(registry) ? [] : registry.getMetricsAsJSON())
  return createMetricsPage(own, { metrics: () => Promise.all(workers.map(answer)) })
}

test('counters, gauges and histograms of workers add up by their labels, maxima stay maxima', async () => {
  const workers = [1, 2].map((number) => {
    const registry = new Registry()
    const registers = [registry]
    const labelNames = ['changefeed']
    const counter = new Counter({ name: 'rows', help: 'h', labelNames, registers })
    const histogram = new Histogram({ name: 'size', help: 'h', labelNames, registers, buckets: [10, 100] })
    const gauge = new Gauge({ name: 'queue', help: 'h', labelNames, registers })
    const slowest = new Gauge({ name: 'slowest', help: 'h', labelNames, registers, aggregator: 'max' })
    counter.inc({ changefeed: 'a' }, number)
    if (number === 2) counter.inc({ changefeed: 'b' }, 7)
    histogram.observe({ changefeed: 'a' }, number * 9)
    gauge.set({ changefeed: 'a' }, 10 * number)
    slowest.set({ changefeed: 'a' }, 10 * number)
    return registry
  })
  const own = new Registry()
  collectDefaultMetrics({ register: own })
  const text = await pageOf(own, workers)()
  for (const [series, value] of [
    ['rows{changefeed="a"}', '3'],
    ['rows{changefeed="b"}', '7'],
    ['queue{changefeed="a"}', '30'],
    ['slowest{changefeed="a"}', '20'],
    ['size_bucket{le="10",changefeed="a"}', '1'],
    ['size_bucket{le="100",changefeed="a"}', '2'],
    ['size_sum{changefeed="a"}', '27'],
    ['size_count{changefeed="a"}', '2'],
  ] as const)
    assert.equal(lineOf(text, series), value, `${series} in\n${text}`)
  assert.match(text, /^process_start_time_seconds \d/m)
})

test('a worker that is too busy to answer does not make its counters fall', async () => {
  const workers = [1, 2].map((number) => {
    const registry = new Registry()
    new Counter({ name: 'rows', help: 'h', registers: [registry] }).inc(number)
    return registry
  })
  const silent = new Set<Registry>()
  const page = pageOf(new Registry(), workers, silent)
  assert.equal(lineOf(await page(), 'rows'), '3')
  for (const registry of workers.slice(1)) silent.add(registry)
  assert.equal(lineOf(await page(), 'rows'), '3')
})

test('the memory of a changefeed is one number for all workers, and a removed changefeed is gone from the page', async () => {
  const registries = [new Registry(), new Registry()]
  const runs = registries.map((registry, worker) => {
    const run = createWorkerMetrics(registry, `data-${worker}`)({ namespace: 'default', id: 'a' })
    run.stages.sink.add(5, 50, 1)
    run.look = () => ({
      memory: { before: 40, after: 30, limit: 100 },
      unmatched: 0,
      sortedInMemory: 20,
      sortedOnDisk: 0,
      spilled: 0,
    })
    return run
  })
  const page = pageOf(new Registry(), registries)
  const text = await page()
  const labels = 'namespace="default",changefeed="a"'
  assert.equal(lineOf(text, `tidewire_stage_rows_total{${labels},stage="sink"}`), '10')
  assert.equal(lineOf(text, `tidewire_stage_queue_bytes{${labels},stage="sort"}`), '40')
  assert.equal(lineOf(text, `tidewire_changefeed_memory_bytes{${labels},part="before-cursor"}`), '40')
  assert.equal(lineOf(text, `ticdc_sinkmanager_memory_quota{${labels},type="total"}`), '100')
  for (const run of runs) run[Symbol.dispose]()
  assert.doesNotMatch(await page(), /changefeed="a"/)
})
