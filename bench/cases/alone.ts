/** Parts that need no stream of rows. */
import { join } from 'node:path'
import { run } from '../../test/support/process.ts'
import type { BenchCase } from '../case.ts'
import { benchCodecs } from '../codec.ts'

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
]
