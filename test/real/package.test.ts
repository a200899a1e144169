// The published package: packed, installed in an empty folder, and run from there.
import assert from 'node:assert/strict'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '../support/process.ts'
import { cdc } from '../support/stack.ts'

const root = join(import.meta.dirname, '..', '..')

async function finish(command: string, args: readonly string[], cwd: string): Promise<string> {
  await using process = await run(command, args, { cwd })
  const code = await process.exited
  assert.equal(code, 0, `${command} ${args.join(' ')}:\n${process.lines.slice(-30).join('\n')}`)
  return process.stdout.join('\n')
}

test('the packed tarball works in an empty folder: npx cdc version, and a playground', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-package-'))
  try {
    const packed = await finish('npm', ['pack', '--silent', '--pack-destination', folder], root)
    const tarball = packed.trim().split('\n').at(-1) ?? ''
    await finish('npm', ['init', '-y'], folder)
    await finish('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', join(folder, tarball)], folder)
    assert.match(await finish('npx', ['cdc', 'version'], folder), /Release Version: .+\n/)
    const ports = ['--pd-port', '0', '--sql-port', '0', '--admin-port', '0']
    await using playground = await run(join(folder, 'node_modules/.bin/cdc'), ['playground', ...ports], {
      cwd: folder,
      ready: /^\{"pd"/,
    })
    const { pd, sql } = JSON.parse(playground.readyLine)
    assert.match(pd, /^http:\/\/127\.0\.0\.1:\d+$/)
    assert.match(sql, /^127\.0\.0\.1:\d+$/)
    playground.kill('SIGTERM')
    assert.equal(await playground.exited, 0)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('bin/cdc runs from any folder and through a link, and is the process that gets the signals', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-link-'))
  try {
    const link = join(folder, 'linked')
    await symlink(cdc, link)
    assert.match(await finish(link, ['version'], folder), /Release Version: .+\n/)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
