/** CPU profiles of a server's threads, taken by profiler.ts, as a short text: top functions and their share. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from '../test/support/process.ts'

export interface ProfileTaker extends Disposable {
  /** What the server's environment needs. */
  readonly env: Readonly<Record<string, string>>
  /** Resolves when the main thread and at least one worker are sampled. */
  start(): Promise<void>
  /** Ends sampling; resolves to the text. */
  stop(title: string): Promise<string>
}

export function createProfileTaker(): ProfileTaker {
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-profile-'))
  const files = (ending: string): string[] => readdirSync(folder).filter((name) => name.endsWith(ending))
  return {
    env: {
      NODE_OPTIONS: `--import ${join(import.meta.dirname, 'profiler.ts')}`,
      TIDEWIRE_BENCH_PROFILE: folder,
    },
    async start() {
      for (const name of readdirSync(folder)) rmSync(join(folder, name))
      writeFileSync(join(folder, 'on'), '')
      await waitFor('the profilers to start', () => {
        const started = files('.started')
        return started.includes('main.started') && started.length > 1
      })
    },
    async stop(title) {
      rmSync(join(folder, 'on'))
      // Serializing takes seconds where a thread has sampled for long.
      await waitFor('the profiles', () => files('.cpuprofile').length >= files('.started').length, 120_000)
      return profileText(
        title,
        files('.cpuprofile')
          .toSorted()
          .map((name) => join(folder, name)),
      )
    },
    [Symbol.dispose]: () => {
      if (existsSync(folder)) rmSync(folder, { recursive: true })
    },
  }
}

/** The part of V8's profile that is read: a sample names a node and the µs since the sample before. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const TOP = 50
/** Samples that are no work of the server: waiting, and the profiler itself. */
const IGNORED = ['(idle)', 'post node:inspector']

interface Spent {
  selfUs: number
  totalUs: number
}

/** Functions of all threads by their own time, and each thread's; shares are of the time in which anything ran. */
function profileText(title: string, files: readonly string[]): string {
  const spent = new Map<string, Spent>()
  const threads: string[] = []
  let busyUs = 0
  for (const file of files) {
    const profile: CpuProfile = JSON.parse(readFileSync(file, 'utf8'))
    const { allUs, busyUs: threadUs } = addProfile(profile, spent)
    busyUs += threadUs
    const name = /([^/]+)\.cpuprofile$/.exec(file)?.[1] ?? file
    threads.push(`${name.padEnd(10)} ${seconds(allUs)} s sampled, ${seconds(threadUs)} s at work`)
  }
  const share = (us: number): string => `${((us / Math.max(1, busyUs)) * 100).toFixed(1)} %`.padStart(7)
  const lines = [...spent]
    .toSorted(([, a], [, b]) => b.selfUs - a.selfUs)
    .slice(0, TOP)
    .map(([name, { selfUs, totalUs }]) => `${share(selfUs)} ${share(totalUs)}  ${name}`)
  return [title, '', ...threads, '', '   self   total  function', ...lines, ''].join('\n')
}

const seconds = (us: number): string => (us / 1e6).toFixed(2)

/** Adds a thread's times to those of all; `totalUs` counts a function once per sample, however often it recurs. */
function addProfile(profile: CpuProfile, spent: Map<string, Spent>): { allUs: number; busyUs: number } {
  const parents = new Map<number, number>()
  const names = new Map<number, string>()
  for (const { id, callFrame, children = [] } of profile.nodes) {
    names.set(id, nameOf(callFrame))
    for (const child of children) parents.set(child, id)
  }
  const selfUs = new Map<number, number>()
  for (const [at, node] of profile.samples.entries())
    selfUs.set(node, (selfUs.get(node) ?? 0) + (profile.timeDeltas[at] ?? 0))
  let allUs = 0
  let busyUs = 0
  for (const [node, us] of selfUs) {
    allUs += us
    const name = names.get(node) ?? ''
    if (IGNORED.some((start) => name.startsWith(start))) continue
    busyUs += us
    add(spent, name).selfUs += us
    const seen = new Set<string>()
    for (let at: number | undefined = node; at !== undefined; at = parents.get(at)) seen.add(names.get(at) ?? '')
    for (const each of seen) if (each !== '(root)') add(spent, each).totalUs += us
  }
  return { allUs, busyUs }
}

function add(spent: Map<string, Spent>, name: string): Spent {
  let found = spent.get(name)
  if (found === undefined) spent.set(name, (found = { selfUs: 0, totalUs: 0 }))
  return found
}

/** `function folder/file.ts:line`; from the package's name or the source's folder on. */
function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  if (url === '' && functionName.startsWith('(')) return functionName
  const path = url
    .replace(/^.*\/node_modules\//, '')
    .replace(/^file:.*\/(?=src\/)/, '')
    .replace(/^file:\/\//, '')
  return `${functionName === '' ? '(anonymous)' : functionName} ${path}:${lineNumber + 1}`
}
