/** Parts that need no stream of rows. */
import { join } from 'node:path'
import { run } from '../../test/support/process.ts'
import type { BenchCase } from '../case.ts'
import { benchCodecs } from '../codec.ts'
import { benchWatermarks } from '../watermarks.ts'

export const aloneCases: readonly BenchCase[] = [
  {
    name: 'regions',
    about: 'regions in which nothing happens: memory of each, CPU for a resolved-ts of each every second',
    repeated: false,
    async run(bench) {
      const regions = bench.quick ? 20_000 : 100_000
      const script = join(bench.root, 'bench/regions.ts')
      const cwd = bench.root
      await using server = await run(process.execPath, [script, 'serve', `${regions}`], { cwd, ready: /"pd"/ })
      const { pd } = JSON.parse(server.readyLine)
      const args = [script, 'read', pd, `${regions}`, bench.quick ? '5' : '20']
      const ready = { ready: /bytesPerRegion/, readyWithinMs: 180_000 }
      await using reader = await run(process.execPath, args, { cwd, ...ready })
      const idle = JSON.parse(reader.readyLine)
      bench.report(`regions-${regions}-busy`, idle.busy * 100, '%')
      bench.report(`regions-${regions}-ready`, idle.readyMs, 'ms')
      bench.report(`regions-${regions}-bytes-each`, idle.bytesPerRegion, 'bytes')
      bench.report(`regions-${regions}-rss`, idle.rssMib, 'MiB')
    },
  },
  {
    name: 'schema',
    about: 'many tables: time and memory of the schema snapshot that a changefeed starts from',
    repeated: false,
    async run(bench) {
      const tables = bench.quick ? 10_000 : 100_000
      await using loader = await run(process.execPath, ['bench/schema.ts', String(tables)], { cwd: bench.root })
      if ((await loader.exited) !== 0) throw new Error(`schema.ts failed:\n${loader.lines.join('\n')}`)
      const { loadMs, loadCpuMs, listMs, metaMib, peakMib } = JSON.parse(loader.stdout.at(-1) ?? '{}')
      bench.report(`schema-${tables}-load`, loadMs / 1000, 's')
      bench.report(`schema-${tables}-load-cpu`, loadCpuMs / 1000, 's')
      bench.report(`schema-${tables}-list`, listMs, 'ms')
      bench.report(`schema-${tables}-meta`, metaMib, 'MiB')
      bench.report(`schema-${tables}-rss`, peakMib, 'MiB')
    },
  },
  {
    name: 'codec',
    about: 'encoding of a row by each protocol, beside JSON.stringify and avsc',
    repeated: false,
    run: (bench) => benchCodecs(bench),
  },
  {
    name: 'watermarks',
    about: 'a watermark to 1,000 topics of 64 partitions on a simulated broker: what it costs the owner',
    repeated: false,
    run: (bench) => benchWatermarks(bench),
  },
  {
    name: 'large-transaction',
    about: 'one transaction of 5 million rows through the event feed, 256 MiB for it',
    repeated: false,
    async run(bench) {
      const [rows, quotaMib] = bench.quick ? [300_000, 32] : [5_000_000, 256]
      await using reader = await run(process.execPath, ['bench/large-transaction.ts', `${rows}`, `${quotaMib}`], {
        cwd: bench.root,
      })
      if ((await reader.exited) !== 0) throw new Error(`large-transaction.ts failed:\n${reader.lines.join('\n')}`)
      const figures = JSON.parse(reader.stdout.at(-1) ?? '{}')
      bench.report('large-transaction-us-per-row', (figures.cpuSeconds * 1e6) / rows, 'us')
      bench.report('large-transaction-took', figures.seconds, 's')
      bench.report('large-transaction-spilled', figures.spilledMib, 'MiB')
      bench.report('large-transaction-rss', figures.rssMib, 'MiB')
      bench.report('large-transaction-longest-turn', figures.longestMs, 'ms')
    },
  },
]
