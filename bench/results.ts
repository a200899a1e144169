/** Figures of several runs: medians, goals, and the files in bench/results/. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Unit } from './case.ts'
import { GROWTH } from './cases/growth.ts'
import { DERIVED, GOALS } from './goals.ts'
import { plotSvg } from './plot.ts'

interface Figure {
  readonly value: number
  readonly unit: Unit
  /** Of every run, in their order; `value` is their median. */
  readonly runs: readonly number[]
}

export interface Results {
  add(name: string, value: number, unit: Unit): void
  /** Writes JSON, Markdown and plots; resolves to the Markdown file's path in the checkout. */
  write(options: WriteOptions): string
}

export interface WriteOptions {
  readonly root: string
  readonly quick: boolean
  /** Not all cases: kept apart, and out of git, as quick runs are. */
  readonly partial: boolean
  readonly seconds: number
  readonly profiles: readonly string[]
  /** Cases that failed, with the reason. */
  readonly failures: Readonly<Record<string, string>>
}

export function createResults(): Results {
  const seen = new Map<string, { unit: Unit; runs: number[] }>()
  return {
    add(name, value, unit) {
      const rounded = Number(value.toPrecision(4))
      const figure = seen.get(name) ?? { unit, runs: [] }
      figure.runs.push(rounded)
      seen.set(name, figure)
    },
    write: (options) => write(withDerived(seen), options),
  }
}

type Figures = ReadonlyMap<string, Figure>

function withDerived(seen: ReadonlyMap<string, { unit: Unit; runs: readonly number[] }>): Figures {
  const figures = new Map<string, Figure>()
  for (const [name, { unit, runs }] of seen) figures.set(name, { value: median(runs), unit, runs })
  for (const { name, of, by, unit } of DERIVED) {
    const [over, under] = [figures.get(of), figures.get(by)]
    if (over === undefined || under === undefined) continue
    const value = Number((over.value / under.value).toPrecision(4))
    figures.set(name, { value, unit, runs: [value] })
  }
  return figures
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : Number((((sorted[middle - 1] ?? 0) + upper) / 2).toPrecision(4))
}

function write(figures: Figures, options: WriteOptions): string {
  const { root, quick, partial, seconds, profiles, failures } = options
  const folder = join(root, 'bench', 'results', ...(quick || partial ? ['tmp'] : []))
  mkdirSync(folder, { recursive: true })
  const at = new Date().toISOString()
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()
  const stem = `${at.slice(0, 10)}-${commit}${quick ? '-quick' : ''}`
  const machine = {
    cpus: cpus().length,
    model: cpus()[0]?.model ?? '',
    memoryGib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  }
  const plots = writePlots(figures, folder, stem)
  const about = { at, commit, quick, seconds: Math.round(seconds), machine, failures }
  const file = (ending: string): string => join(folder, `${stem}${ending}`)
  writeFileSync(file('.json'), `${JSON.stringify({ ...about, figures: Object.fromEntries(figures) }, undefined, 2)}\n`)
  const head = [
    `# Figures of ${commit}`,
    '',
    `${at}, ${machine.cpus} × ${machine.model}, ${machine.memoryGib} GiB, Node ${machine.node}, ${about.seconds} s${
      quick ? '; a quick run: whether it works, not how fast it is' : ''
    }. How to read them: bench/README.md.`,
    '',
  ]
  const failed = Object.entries(failures).map(([name, reason]) => `- **${name} failed**: ${reason.split('\n')[0]}`)
  const text = [
    ...head,
    ...failed,
    '',
    ...goalTable(figures),
    '',
    ...growthTables(figures, plots),
    ...allFigures(figures),
  ]
  writeFileSync(file('.md'), `${text.join('\n')}\n`)
  if (profiles.length > 0) writeFileSync(file('-profile.txt'), profiles.join('\n'))
  return file('.md').slice(root.length + 1)
}

const text = ({ value, unit }: Pick<Figure, 'value' | 'unit'>): string =>
  `${value.toLocaleString('en-US', { maximumSignificantDigits: 4 })} ${unit === 'x' ? '×' : unit}`

function goalTable(figures: Figures): string[] {
  const rows = GOALS.map(({ figure, about, at, value }) => {
    const found = figures.get(figure)
    const goal = `${at === 'least' ? '≥' : '≤'} ${value.toLocaleString('en-US')}`
    if (found === undefined) return `| ${about} (${figure}) | ${goal} | not measured | |`
    const met = at === 'least' ? found.value >= value : found.value <= value
    return `| ${about} (${figure}) | ${goal} | ${text(found)} | ${met ? 'yes' : '**no**'} |`
  })
  return ['| figure | goal | median | met |', '|---|---|---|---|', ...rows]
}

function growthTables(figures: Figures, plots: readonly string[]): string[] {
  const rows = Object.entries(GROWTH).flatMap(([what, { sizes }]) =>
    sizes.flatMap((size) => {
      const cell = (name: string): string => {
        const found = figures.get(`growth-${what}-${size}-${name}`)
        return found === undefined ? '' : text(found)
      }
      const cells = [cell('rows-per-core'), cell('rate'), cell('rss')]
      return cells.join('') === '' ? [] : [`| ${size.toLocaleString('en-US')} ${what} | ${cells.join(' | ')} |`]
    }),
  )
  if (rows.length === 0) return []
  const table = ['| | rows/s per core | rows/s, generator beside it | memory |', '|---|---|---|---|', ...rows]
  return ['## How cost grows', '', ...table, '', ...plots.map((file) => `![${file}](${file})`), '']
}

function allFigures(figures: Figures): string[] {
  const rows = [...figures].map(([name, figure]) => {
    const { runs, unit } = figure
    const [least, most] = [Math.min(...runs), Math.max(...runs)]
    const range = runs.length > 1 ? `${text({ value: least, unit })} – ${text({ value: most, unit })}` : ''
    return `| ${name} | ${text(figure)} | ${range} |`
  })
  return ['## All figures', '', '| name | median | least – most |', '|---|---|---|', ...rows]
}

/** Names of the files. */
function writePlots(figures: Figures, folder: string, stem: string): string[] {
  return Object.entries(GROWTH).flatMap(([what, { sizes }]) => {
    const points = (name: string): (readonly [number, number])[] =>
      sizes.flatMap((size) => {
        const found = figures.get(`growth-${what}-${size}-${name}`)
        return found === undefined ? [] : [[size, found.value] as const]
      })
    const perCore = points('rows-per-core')
    if (perCore.length < 2) return []
    const series = [
      { name: 'per core', points: perCore },
      { name: 'on the clock', points: points('rate') },
    ]
    const name = `${stem}-growth-${what}.svg`
    writeFileSync(
      join(folder, name),
      plotSvg({ title: `Rows per second against ${what}`, x: what, y: 'rows/s', series }),
    )
    return [name]
  })
}
