/** Much to hold, little that happens; and much that waits. */
import type { BenchCase } from '../case.ts'
import { cpuMs, peakMib } from '../process-figures.ts'
import { CANAL, reportServer, runServer, startTrickle } from '../server-run.ts'

const sink = `blackhole://?${CANAL}`

export const manyCases: readonly BenchCase[] = [
  {
    name: 'idle-tables',
    about:
      '10,000 tables with a region and a row per second each, a resolved-ts per second as TiKV sends by default: the share of one core',
    repeated: false,
    async run(bench) {
      const count = bench.quick ? 2000 : 10_000
      const tables = { kind: 'many', count } as const
      await using running = await startTrickle(bench, 'idle-tables', { sink, tables, regions: count })
      await running.feed.trickle({ rowsPerSecond: count, resolvedTsMs: 1000, seconds: 5 })
      const { pid } = running.server.process
      const cpu = cpuMs(pid)
      const began = performance.now()
      await running.feed.trickle({ rowsPerSecond: count, resolvedTsMs: 1000, seconds: bench.quick ? 5 : 30 })
      bench.report('idle-tables-busy', ((cpuMs(pid) - cpu) / (performance.now() - began)) * 100, '%')
      bench.report('idle-tables-rss', peakMib(pid), 'MiB')
    },
  },
  {
    name: 'catch-up',
    about: 'the first scan of 10 million rows, sorted on disk: memory-quota 256 MiB',
    repeated: false,
    async run(bench) {
      const rows = bench.quick ? 1_000_000 : 10_000_000
      const memoryQuota = (bench.quick ? 64 : 256) * 2 ** 20
      const figures = await runServer(bench, 'catch-up', { sink, mode: 'scan', rows, memoryQuota })
      reportServer(bench, 'catch-up', figures)
    },
  },
]
