// `npm run test:long -- [--minutes N] [--seed S] [--only NAME]`: random tests with one seed after the other until the time is
// over. A failure prints its seed, with which it is repeated. Results go into test/results/, with seeds and commit.
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { describeError } from '../src/base/errors.ts'

interface Run {
  readonly seed: number
  /** On `performance.now()`: begin nothing big after it. */
  readonly until: number
  readonly signal: AbortSignal
}

/** Name → one run of a random test; figures of a run that went well. Loaded on use. */
const LONG_TESTS: Readonly<Record<string, (run: Run) => Promise<Readonly<Record<string, number>>>>> = {
  async feed({ seed, until, signal }) {
    const { runFeedModel } = await import('../test/support/feed-model.ts')
    return { ...(await runFeedModel({ seed, steps: 3000, until, onChapter: console.log }, signal)) }
  },
  async pipeline({ seed, until, signal }) {
    const { runPipelineModel } = await import('../test/support/pipeline-model.ts')
    await using dataDir = await mkdtempDisposable(join(tmpdir(), 'tidewire-model-'))
    const workers = seed % 2 === 0 ? 1 : 4
    const options = { seed, workers, rounds: 300, memoryQuota: 64 << 10, dataDir: dataDir.path, until }
    return { workers, ...(await runPipelineModel({ ...options, onRound: everyTenth(console.log) }, signal)) }
  },
  async large() {
    const { FULL_SIZE, runLargeTransaction, runAbsentSink } = await import('../test/support/large-backlog.ts')
    const [rows, bytes] = FULL_SIZE
    const figures = {
      rows: await runLargeTransaction(rows),
      bytes: await runLargeTransaction(bytes),
      absent: await runAbsentSink(rows),
    }
    const named = Object.entries(figures).flatMap(([run, all]) =>
      Object.entries(all).map(([name, value]) => [`${run}-${name}`, value] as const),
    )
    return Object.fromEntries(named)
  },
  async soak({ seed, until, signal }) {
    const { runSoak } = await import('../test/support/soak.ts')
    const options = { seed, workers: 4, memoryQuota: 1 << 20, chapterMs: 45_000, until }
    return runSoak({ ...options, onChapter: console.log }, signal)
  },
}

/** Every tenth call alone. */
function everyTenth(tell: (text: string) => void): (text: string) => void {
  let calls = 0
  return (text) => {
    if (calls++ % 10 === 0) tell(text)
  }
}

/** So much longer than planned may a test take until it counts as hung. */
const GRACE_MS = 300_000

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Math.floor(Date.now() / 1000) % 1_000_000) },
    only: { type: 'string' },
  },
})
const names = Object.keys(LONG_TESTS).filter((name) => values.only === undefined || name === values.only)
if (names.length === 0) throw new Error(`there is no long test '${values.only}': ${Object.keys(LONG_TESTS).join(', ')}`)
const root = join(import.meta.dirname, '..')
const until = performance.now() + Number(values.minutes) * 60_000
const runs: object[] = []
let failures = 0

for (let seed = Number(values.seed); performance.now() < until && failures === 0; seed++) {
  for (const [at, test] of names.entries()) {
    const began = performance.now()
    if (began > until) break
    // Those that go on as long as they may share the time that is left.
    const share = began + (until - began) / (names.length - at)
    console.log(`test:long ${test} with seed ${seed}`)
    try {
      const signal = AbortSignal.timeout(Math.ceil(until - began + GRACE_MS))
      const figures = await LONG_TESTS[test]?.({ seed, until: share, signal })
      runs.push({ test, seed, ok: true, ms: Math.round(performance.now() - began), figures })
    } catch (error) {
      failures++
      runs.push({ test, seed, ok: false, ms: Math.round(performance.now() - began), error: describeError(error) })
      console.error(error)
      console.error(`test:long ${test} failed; again with: npm run test:long -- --only ${test} --seed ${seed}`)
    }
  }
}

const git = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
const commit = git('rev-parse', '--short', 'HEAD')
const at = new Date().toISOString()
const folder = join(root, 'test', 'results')
mkdirSync(folder, { recursive: true })
const file = join(folder, `${at.slice(0, 16).replace(/[-:]/g, '')}-${commit}.json`)
const machine = { cpus: cpus().length, node: process.version }
const result = { at, commit, changed: git('status', '--short', 'src') !== '', minutes: Number(values.minutes), machine }
writeFileSync(file, `${JSON.stringify({ ...result, runs }, undefined, 2)}\n`)
console.log(`test:long ${runs.length} runs, ${failures} failed; ${file.slice(root.length + 1)}`)
process.exit(failures === 0 ? 0 : 1)
