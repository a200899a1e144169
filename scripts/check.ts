// Types, lint, format and generated code; `npm run check`.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const bin = (name: string): string => join(root, 'node_modules', '.bin', name)
const steps: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['types', bin('tsc'), '-p', 'tsconfig.json'],
  ['lint', bin('oxlint'), '--type-aware', '--deny-warnings', 'src', 'test', 'bench', 'scripts'],
  ['format', bin('oxfmt'), '--check', 'src', 'test', 'bench', 'scripts'],
  ['generated code', process.execPath, join(root, 'scripts', 'generate.ts'), '--check'],
]

let failed = false
for (const [name, command, ...args] of steps) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  console.log(`check ${name}: ${status === 0 ? 'ok' : 'FAILED'}`)
  failed ||= status !== 0
}
process.exitCode = failed ? 1 : 0
