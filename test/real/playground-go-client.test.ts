// TiKV's own Go client writes transactions of all kinds into the playground and reads them back.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

import { silentLog } from '../../src/base/log.ts'
import { startPlayground } from '../../src/playground/playground.ts'

const run = promisify(execFile)
const hasGo = await run('go', ['version']).then(
  () => true,
  () => false,
)
if (!hasGo && process.env['REQUIRE_ALL'] === '1') throw new Error('go is not installed (Debian: golang)')

test(
  'a Go program on tikv/client-go sees a cluster',
  { skip: hasGo ? false : 'go is not installed (Debian: golang)' },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'go-client-'))
    try {
      const program = join(folder, 'go-client')
      await run('go', ['build', '-o', program, '.'], { cwd: join(import.meta.dirname, 'go-client') })
      await using playground = await startPlayground(
        { host: '127.0.0.1', pdPort: 0, sqlPort: undefined, adminPort: 0, stores: 3, log: silentLog },
        AbortSignal.timeout(30_000),
      )
      const { stdout } = await run(program, [new URL(playground.pd).host], { timeout: 60_000 }).catch(
        (error: unknown) =>
          assert.fail(error instanceof Error && 'stdout' in error ? `${String(error.stdout)}` : String(error)),
      )
      assert.equal(
        stdout
          .trim()
          .split('\n')
          .filter((line) => line.startsWith('ok ')).length,
        15,
        stdout,
      )
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
)
