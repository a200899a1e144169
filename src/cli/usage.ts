import type { Command } from './command.ts'
import { helpFlag, type Flag } from './flags.ts'

/** A command with the groups above it, root first. */
export type CommandPath = readonly [Command, ...Command[]]

export const pathText = (path: readonly Command[]): string => path.map((command) => command.name).join(' ')

/** Help in cobra's layout: what `--help` prints. */
export const helpText = (path: CommandPath): string => `${last(path).short}\n\n${usageText(path)}`

/** Usage in cobra's layout: what follows an error about flags. */
export function usageText(path: CommandPath): string {
  const command = last(path)
  const name = pathText(path)
  const visible = (command.commands ?? []).filter((child) => child.hidden !== true)
  const lines = ['Usage:']
  if (command.load !== undefined) lines.push(`  ${name} [flags]`)
  if (visible.length > 0) {
    const width = Math.max(11, ...visible.map((child) => child.name.length))
    lines.push(`  ${name} [command]`, '', 'Available Commands:')
    for (const child of visible) lines.push(`  ${child.name.padEnd(width)} ${child.short}`)
  }
  const own = [
    ...(command.flags ?? []),
    ...(command.groupFlags ?? []),
    { ...helpFlag, usage: `help for ${command.name}` },
  ]
  lines.push('', 'Flags:', ...flagLines(own))
  const global = path.slice(0, -1).flatMap((group) => group.groupFlags ?? [])
  if (global.length > 0) lines.push('', 'Global Flags:', ...flagLines(global))
  if (visible.length > 0) lines.push('', `Use "${name} [command] --help" for more information about a command.`)
  return `${lines.join('\n')}\n`
}

function flagLines(flags: readonly Flag[]): string[] {
  const visible = flags.filter((flag) => flag.hidden !== true).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const heads = visible.map((flag) => {
    const short = flag.short === undefined ? '    ' : `-${flag.short}, `
    return `  ${short}--${flag.name}${flag.kind === 'bool' ? '' : ` ${flag.kind}`}`
  })
  const width = Math.max(0, ...heads.map((head) => head.length))
  return visible.map((flag, index) => `${(heads[index] ?? '').padEnd(width)}   ${flag.usage}${fallbackText(flag)}`)
}

function fallbackText({ kind, fallback = '' }: Flag): string {
  if (fallback === '' || fallback === '0' || fallback === 'false') return ''
  return kind === 'string' ? ` (default ${JSON.stringify(fallback)})` : ` (default ${fallback})`
}

export const last = (path: CommandPath): Command => path.at(-1) ?? path[0]
