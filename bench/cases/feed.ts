/** The event feed alone, and undecoded gRPC messages as its ceiling. */
import { run } from '../../test/support/process.ts'
import type { Bench, BenchCase } from '../case.ts'

export const feedCases: readonly BenchCase[] = [1, 100].flatMap((regions) => [
  {
    name: `feed-${regions}`,
    about: `event feed of ${regions} region(s), rows counted and dropped`,
    repeated: true,
    run: (bench: Bench) => read(bench, 'feed', regions),
  },
  {
    name: `ceiling-raw-grpc-${regions}`,
    about: 'the same messages, not decoded',
    repeated: true,
    run: (bench: Bench) => read(bench, 'raw', regions),
  },
])

async function read(bench: Bench, mode: 'feed' | 'raw', regions: number): Promise<void> {
  const rows = bench.quick ? 120_000 : 1_000_000
  const feed = await bench.feed()
  const prepared = await feed.prepare({ database: 'bench_four', tables: { kind: 'four' }, regions, mode: 'live', rows })
  const args = ['bench/feed-reader.ts', mode, prepared.pd, prepared.tables.join(','), prepared.afterTs, String(rows)]
  await using reader = await run(process.execPath, args, { cwd: bench.root, ready: /subscribed/ })
  await feed.registered()
  await feed.send({ rows: rows / 4, resolve: true })
  await quiet(() => reader.kill('SIGUSR1'))
  const sent = await feed.send({ rows, resolve: true })
  if (mode === 'raw') reader.kill('SIGUSR2')
  await reader.exited
  const result = JSON.parse(reader.stdout.at(-1) ?? '{}')
  const received = mode === 'feed' ? result.rows : (sent.rows * result.bytes) / sent.bytes
  const name = mode === 'feed' ? `feed-${regions}` : `ceiling-raw-grpc-${regions}`
  bench.report(`${name}-rows-per-core`, received / (result.cpuMs / 1000), 'rows/s')
  bench.report(`${name}-us-per-row`, (result.cpuMs * 1000) / received, 'us')
  bench.report(`${name}-rate`, received / (result.ms / 1000), 'rows/s')
  bench.report(`${name}-generator-us-per-row`, (sent.cpuMs * 1000) / sent.rows, 'us')
  if (mode === 'feed') bench.report(`${name}-rss`, result.rssMib, 'MiB')
  else bench.report(`${name}-throughput`, result.bytes / 1e6 / (result.ms / 1000), 'MB/s')
}

/** Lets what is written arrive; then does something, and gives it time too. */
async function quiet(then: () => void): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 500))
  then()
  await new Promise((resolve) => setTimeout(resolve, 100))
}
