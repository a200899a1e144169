/** How the cost of a row grows with what surrounds it: columns, tables, regions, rows that wait. */
import type { Bench, BenchCase } from '../case.ts'
import { startFeedServer } from '../feed.ts'
import { CANAL, runServer, type ServerFigures, type ServerRun } from '../server-run.ts'

const sink = `blackhole://?${CANAL}`

/** What grows, and the run for each size. */
export const GROWTH = {
  columns: {
    sizes: [5, 50, 500],
    // About the same bytes for each.
    run: (columns) => ({
      tables: { kind: 'wide', columns, textBytes: 30 },
      rows: Math.min(1_000_000, 25_000_000 / columns),
    }),
  },
  tables: {
    sizes: [1, 10, 100, 1000, 10_000],
    run: (count) => ({ tables: { kind: 'many', count }, regions: count, rows: 1_000_000 }),
  },
  regions: {
    sizes: [1, 100, 10_000, 100_000],
    run: (regions) => ({ regions, rows: 1_000_000 }),
  },
  backlog: {
    sizes: [100_000, 1_000_000, 10_000_000],
    run: (rows) => ({ mode: 'scan', rows }),
  },
} as const satisfies Record<string, { sizes: readonly number[]; run(size: number): Omit<ServerRun, 'sink'> }>

export const growthCases: readonly BenchCase[] = Object.entries(GROWTH).map(([what, { sizes, run }]) => ({
  name: `growth-${what}`,
  about: `rows/s against ${what}`,
  repeated: false,
  async run(bench: Bench) {
    // A cluster of its own: what was created for the largest size would slow others.
    await using feed = await startFeedServer()
    for (const size of bench.quick ? sizes.slice(0, -1) : sizes) {
      const options: Omit<ServerRun, 'sink'> = run(size)
      const rows = bench.quick ? options.rows / 10 : options.rows
      const name = `growth-${what}-${size}`
      const figures: ServerFigures = await runServer(bench, name, { ...options, sink, rows, feed })
      bench.report(`${name}-rows-per-core`, figures.rows / figures.cpuSeconds, 'rows/s')
      bench.report(`${name}-rate`, figures.rows / figures.seconds, 'rows/s')
      bench.report(`${name}-rss`, figures.peakMib, 'MiB')
    }
  },
}))
