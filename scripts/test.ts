// `npm test [-- FILE…]`: installs what the tests need and is missing, then runs them all (or the files named).
// REQUIRE_ALL=1 makes a part that cannot run a failure; without it the part is skipped by name.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const run = (...args: string[]): number =>
  spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] }).status ?? 1

const named = process.argv.slice(2)
const unit = globSync(['src/**/*.test.ts', 'bench/**/*.test.ts'], { cwd: root }).toSorted()
const whole = globSync('test/**/*.test.ts', { cwd: root }).toSorted()

if (named.length === 0) {
  const prepared = run(join(root, 'scripts/setup-test.ts'))
  if (prepared !== 0 && process.env['REQUIRE_ALL'] === '1') process.exit(prepared)
}
const files = named.length > 0 ? named : [...unit, ...whole]
process.exitCode = run('--test', '--test-concurrency=2', '--test-timeout=900000', ...files)
