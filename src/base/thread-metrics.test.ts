import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { exportThreadMetrics } from './thread-metrics.ts'

/** One answer of a registry as `name{labels}` → value. */
async function scrape(registry: Registry): Promise<ReadonlyMap<string, number>> {
  const lines = (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

const block = (ms: number): void => {
  const until = performance.now() + ms
  while (performance.now() < until);
}

test('a blocked event loop shows in the longest delay, even where an answer falls into it, and as busy time', async () => {
  // Until the loop has turned once, the thread counts as not started.
  await sleep(1)
  const registry = new Registry()
  using _ = exportThreadMetrics(registry, 'main')
  block(75)
  await registry.metrics()
  block(75)
  const busy = (await scrape(registry)).get('tidewire_thread_busy_ratio{thread="main"}') ?? 0
  const longest = 'tidewire_event_loop_delay_seconds{thread="main",quantile="1"}'
  let answer = await scrape(registry)
  for (let at = 0; at < 1000 && !answer.has(longest); at++) {
    await sleep(1)
    answer = await scrape(registry)
  }
  assert.ok((answer.get(longest) ?? 0) >= 0.12, `longest delay ${answer.get(longest)}`)
  assert.ok(busy > 0.5 && busy <= 1, `busy ${busy}`)
  const cpu = answer.get('tidewire_thread_cpu_seconds_total{thread="main"}') ?? 0
  assert.ok(cpu > 0.1 && cpu < process.uptime(), `cpu ${cpu}`)
  assert.equal(answer.size, 5)
})
