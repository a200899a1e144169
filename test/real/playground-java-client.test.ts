// TiKV's own Java client writes transactions into the playground, reads them back, and follows its change feed.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { silentLog } from '../../src/base/log.ts'
import { startPlayground } from '../../src/playground/playground.ts'
import { run } from '../support/process.ts'
import { requireOrSkip } from '../support/require.ts'
import { available, classPath } from '../support/tikv-java.ts'
import type { JavaClient } from '../support/tikv-java.ts'

const SOURCES = join(import.meta.dirname, 'java-client')

for (const { client, program, steps } of [
  { client: 'client', program: 'Transactions', steps: 8 },
  { client: 'change-feed', program: 'ChangeFeed', steps: 4 },
] as const)
  test(`${program}.java on tikv/client-java sees a cluster`, async (t) => {
    if (!(await requireOrSkip(t, available))) return
    const folder = mkdtempSync(join(tmpdir(), 'java-client-'))
    try {
      await compile(client, program, folder)
      await using playground = await startPlayground(
        { host: '127.0.0.1', pdPort: 0, sqlPort: undefined, adminPort: 0, stores: 3, log: silentLog },
        AbortSignal.timeout(30_000),
      )
      await using java = await run('java', [
        '-Xmx256m',
        '-XX:TieredStopAtLevel=1',
        '-cp',
        classPath(client, folder),
        program,
        new URL(playground.pd).host,
        playground.admin,
      ])
      assert.equal(await java.exited, 0, java.lines.join('\n'))
      assert.equal(java.stdout.filter((line) => line.startsWith('ok ')).length, steps, java.stdout.join('\n'))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

/** The programs share the helpers of Transactions.java. */
async function compile(client: JavaClient, program: string, folder: string): Promise<void> {
  const sources = [...new Set(['Transactions', program])].map((name) => join(SOURCES, `${name}.java`))
  await using javac = await run('javac', ['-d', folder, '-cp', classPath(client), ...sources])
  assert.equal(await javac.exited, 0, javac.lines.join('\n'))
}
