import { createHistogram, performance } from 'node:perf_hooks'
import { Counter, Gauge, type Registry } from 'prom-client'

/** Time between two looks at the clock, ms: 50 timer calls a second, a few µs each. */
const INTERVAL_MS = 20
/** 1 is the longest delay. */
const QUANTILES = [0.5, 0.99, 1] as const

/**
 * Exports how responsive the calling thread is: how late its event loop runs a timer that is due, and the share of the
 * time in which the loop was at work. Both are since the answer before, so they show what happened between two scrapes.
 * The thread's CPU time is beside them. `thread` is the label; disposing ends the sampling.
 */
export function exportThreadMetrics(registry: Registry, thread: string): Disposable {
  // Not perf_hooks.monitorEventLoopDelay: its reset forgets the delay that is under way, often that of the answer itself.
  const delaysUs = createHistogram()
  let sampledAt = performance.now()
  const sampler = setInterval(() => {
    const now = performance.now()
    delaysUs.record(Math.max(1, Math.round((now - sampledAt - INTERVAL_MS) * 1000)))
    sampledAt = now
  }, INTERVAL_MS)
  sampler.unref()
  new Gauge({
    name: 'tidewire_event_loop_delay_seconds',
    help: 'How late the event loop ran a timer, since the answer before; quantile 1 is the longest delay.',
    labelNames: ['thread', 'quantile'],
    registers: [registry],
    collect() {
      if (delaysUs.count === 0) return
      for (const quantile of QUANTILES) {
        const delayUs = quantile === 1 ? delaysUs.max : delaysUs.percentile(quantile * 100)
        this.set({ thread, quantile }, delayUs / 1e6)
      }
      delaysUs.reset()
    },
  })
  let utilization = performance.eventLoopUtilization()
  new Gauge({
    name: 'tidewire_thread_busy_ratio',
    help: 'Share of the time in which the event loop was at work, since the answer before.',
    labelNames: ['thread'],
    registers: [registry],
    collect() {
      const now = performance.eventLoopUtilization()
      this.set({ thread }, performance.eventLoopUtilization(now, utilization).utilization)
      utilization = now
    },
  })
  new Counter({
    name: 'tidewire_thread_cpu_seconds_total',
    help: 'CPU time of the thread, user and system; what it waited for a core is not in it.',
    labelNames: ['thread'],
    registers: [registry],
    collect() {
      const { user, system } = process.threadCpuUsage()
      this.reset()
      this.inc({ thread }, (user + system) / 1e6)
    },
  })
  return { [Symbol.dispose]: () => clearInterval(sampler) }
}
