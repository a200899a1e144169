// `npm run bench [-- --quick] [-- --only PREFIX] [-- --runs N] [-- --profile]`: what a row costs, with ceilings and peers
// from the same run. Each figure is a line `bench <name> <number> <unit>`; README.md says what becomes of them.
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { available as pythonAvailable } from '../test/support/consumer.ts'
import { available as kafkaAvailable, startKafka } from '../test/support/kafka.ts'
import type { Bench, BenchCase } from './case.ts'
import { aloneCases } from './cases/alone.ts'
import { blackholeCases } from './cases/blackhole.ts'
import { feedCases } from './cases/feed.ts'
import { growthCases } from './cases/growth.ts'
import { kafkaCases } from './cases/kafka.ts'
import { manyCases } from './cases/many.ts'
import { peerCases } from './cases/peers.ts'
import { startFeedServer } from './feed.ts'
import { createResults } from './results.ts'

/** In the order of their measuring. */
const CASES: readonly BenchCase[] = [
  ...aloneCases,
  ...feedCases,
  ...blackholeCases,
  ...kafkaCases,
  ...peerCases,
  ...growthCases,
  ...manyCases,
]

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    runs: { type: 'string' },
    profile: { type: 'boolean', default: false },
  },
})
const { quick } = values
const runs = Number(values.runs ?? (quick ? 1 : 3))
if (!Number.isInteger(runs) || runs < 1) throw new RangeError(`--runs ${values.runs}: must be a number from 1 on`)
const cases = CASES.filter(({ name }) => name.startsWith(values.only))
if (cases.length === 0)
  throw new RangeError(`--only ${values.only}: there are ${CASES.map(({ name }) => name).join(', ')}`)

const root = join(import.meta.dirname, '..')
const began = performance.now()
const results = createResults()
const profiles: string[] = []
const failures: Record<string, string> = {}
{
  await using stack = new AsyncDisposableStack()
  const bench: Bench = {
    quick,
    root,
    report(name, value, unit) {
      results.add(name, value, unit)
      console.log(`bench ${name} ${Number(value.toPrecision(4))} ${unit}`)
    },
    feed: restarted(async () => stack.use(await startFeedServer())),
    kafka: once(async () => stack.use(await startKafka({ java: ['-Xmx1g'] }))),
    profiles: values.profile ? profiles : undefined,
  }
  const missing = [await kafkaAvailable(), await pythonAvailable()].find((answer) => answer !== true)
  for (let run = 0; run < runs; run++)
    for (const each of cases) {
      const { name, needs, repeated } = each
      if (run > 0 && !repeated) continue
      if (needs === 'kafka' && missing !== undefined) {
        failures[name] = `${missing}`
        continue
      }
      try {
        await each.run(bench)
      } catch (error) {
        failures[name] = error instanceof Error ? error.message : String(error)
        console.error(`bench: ${name} failed:`, error)
      }
      // Every case was measured: who stops a further run keeps what it has.
      if (run > 0 || each === cases.at(-1)) write()
    }
}
console.log(`bench: figures are in ${write()}`)
process.exit(Object.keys(failures).length > 0 ? 1 : 0)

function write(): string {
  const seconds = (performance.now() - began) / 1000
  return results.write({ root, quick, partial: values.only !== '', seconds, profiles, failures })
}

/** Opened on first use; tried again where that failed. */
function once<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined
  return async () => {
    try {
      return await (opened ??= open())
    } catch (error) {
      opened = undefined
      throw error
    }
  }
}

/** Opened on first use, and again once it has ended. */
function restarted<T extends { readonly alive: boolean }>(open: () => Promise<T>): () => Promise<T> {
  let opened: T | undefined
  return async () => {
    if (opened?.alive !== true) opened = await open()
    return opened
  }
}
