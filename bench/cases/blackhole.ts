/** From the event feed to a sink that drops encoded messages: what the pipeline itself costs. */
import type { Bench, BenchCase } from '../case.ts'
import { CANAL, reportServer, runServer, secondsAlone } from '../server-run.ts'

const sink = `blackhole://?${CANAL}`
const rowsOf = (bench: Bench): number => (bench.quick ? 100_000 : 1_000_000)

export const blackholeCases: readonly BenchCase[] = [
  ...[1, 100].map((regions): BenchCase => ({
    name: `blackhole-${regions}`,
    about: `canal-json, four tables in ${regions} region(s)`,
    repeated: true,
    async run(bench) {
      const name = `blackhole-${regions}`
      reportServer(bench, name, await runServer(bench, name, { sink, regions, rows: rowsOf(bench) }))
    },
  })),
  {
    name: 'blackhole-tables-1000',
    about: 'canal-json, 1,000 tables of different shapes',
    repeated: true,
    async run(bench) {
      const name = 'blackhole-tables-1000'
      const tables = { kind: 'many', count: 1000 } as const
      reportServer(bench, name, await runServer(bench, name, { sink, tables, regions: 1000, rows: rowsOf(bench) }))
    },
  },
  {
    name: 'wide-1k',
    about: 'canal-json, rows of 1 KiB in 20 columns, on all cores',
    repeated: true,
    async run(bench) {
      const tables = { kind: 'wide', columns: 20, textBytes: 143 } as const
      const figures = await runServer(bench, 'wide-1k', { sink, tables, rows: rowsOf(bench) / 2 })
      reportServer(bench, 'wide-1k', figures)
      const mib = (figures.rows * figures.bytesPerRow) / 2 ** 20
      bench.report('wide-1k-row', figures.bytesPerRow, 'bytes')
      bench.report('wide-1k-throughput', mib / figures.seconds, 'MiB/s')
      bench.report('wide-1k-throughput-without-generator', mib / secondsAlone(figures), 'MiB/s')
    },
  },
  {
    name: 'workers',
    about: 'one worker against two: as rows come, and from the sorter on while nobody makes rows',
    repeated: true,
    async run(bench) {
      const rates: number[] = []
      for (const workers of [1, 2]) {
        const live = await runServer(bench, `workers-${workers}`, { sink, workers, rows: rowsOf(bench) })
        reportServer(bench, `workers-${workers}`, live)
        const release = await runServer(bench, `workers-${workers}-release`, {
          sink,
          workers,
          rows: rowsOf(bench),
          release: true,
        })
        bench.report(`workers-${workers}-release-rate`, release.rows / release.seconds, 'rows/s')
        rates.push(live.rows / live.seconds, release.rows / release.seconds)
      }
      const [live1 = 1, release1 = 1, live2 = 0, release2 = 0] = rates
      bench.report('workers-2-over-1', live2 / live1, 'x')
      bench.report('workers-2-over-1-release', release2 / release1, 'x')
    },
  },
]
