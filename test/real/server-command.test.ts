// `cdc server` and `cdc cli` as processes, over a playground: start, take part, stop, and say what is wrong.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { run, type Running } from '../support/process.ts'

const cdc = join(import.meta.dirname, '../../bin/cdc')
const folder = mkdtempSync(join(tmpdir(), 'tidewire-server-command-'))
let playground: Running
let pd = ''

before(async () => {
  const ports = ['--pd-port', '0', '--sql-port', '0', '--admin-port', '0']
  playground = await run(cdc, ['playground', ...ports], { ready: /^\{"pd"/ })
  const addresses: { pd: string } = JSON.parse(playground.readyLine)
  pd = addresses.pd
})
after(async () => {
  await playground[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

interface Outcome {
  readonly code: number | null
  readonly text: string
}

async function command(...args: readonly string[]): Promise<Outcome> {
  await using process = await run(cdc, args)
  return { code: await process.exited, text: process.lines.join('\n') }
}

const startServer = (name: string): Promise<Running> =>
  run(cdc, ['server', '--pd', pd, '--addr', '127.0.0.1:0', '--data-dir', join(folder, name), '--data-workers', '1'], {
    ready: /\["Welcome to Change Data Capture \(CDC\)"\]/,
    env: { NO_COLOR: '1' },
  })

/** Asks until the server has registered its capture. */
async function addressOf(server: Running): Promise<string> {
  const address = /\[address=([^\]]+)\]/.exec(server.readyLine)?.[1] ?? ''
  for (const deadline = Date.now() + 20_000; Date.now() < deadline;) {
    const { code } = await command('cli', 'capture', 'list', '--server', address)
    if (code === 0) return address
  }
  throw new Error(`no answer from ${address}:\n${server.lines.join('\n')}`)
}

test('a changefeed lives through its commands, and the server stops with code 0', async () => {
  await using server = await startServer('one')
  const address = await addressOf(server)
  const cli = (...args: readonly string[]): Promise<Outcome> => command('cli', ...args, '--server', address)
  const sink = `file://${join(folder, 'out')}?protocol=canal-json`

  const created = await cli('changefeed', 'create', '-c', 'one', '--sink-uri', sink)
  assert.deepEqual([created.code, created.text.split('\n')[0]], [0, 'Create changefeed successfully!'])
  const again = await cli('changefeed', 'create', '-c', 'one', '--sink-uri', sink)
  assert.equal(again.code, 1)
  assert.match(again.text, /^Error: \[CDC:ErrChangeFeedAlreadyExists\]/)
  assert.equal((await cli('changefeed', 'pause', '-c', 'one')).code, 0)
  const viaPd = await command('cli', 'changefeed', 'list', '--pd', pd)
  assert.match(viaPd.text, /"id": "one",[^]*"state": "stopped"/)
  assert.equal((await cli('changefeed', 'resume', '-c', 'one', '--no-confirm')).code, 0)
  assert.match((await cli('changefeed', 'query', '-c', 'one', '-s')).text, /"state": "normal"/)
  assert.match((await cli('changefeed', 'remove', '-c', 'one')).text, /^Changefeed remove successfully\./)
  assert.equal((await cli('changefeed', 'list')).text, '[]')
  assert.match((await command('cli', 'tso', 'query', '--pd', pd)).text, /^\d{18,19}$/)

  const taken = await command('server', '--pd', pd, '--addr', address, '--data-dir', join(folder, 'two'))
  assert.equal(taken.code, 1)
  assert.match(taken.text, /\[CDC:ErrServeHTTP\].*EADDRINUSE/)
  assert.equal(await server.stop(), 0)
})

const BAD: readonly (readonly [name: string, args: readonly string[], what: RegExp])[] = [
  [
    'an unreachable broker',
    ['--sink-uri', 'kafka://127.0.0.1:1/t?protocol=canal-json'],
    /\[CDC:ErrKafka\w+\].*127\.0\.0\.1:1/,
  ],
  [
    'a start before the GC safe point',
    ['--sink-uri', 'blackhole://', '--start-ts', '400000000000000000'],
    /\[CDC:ErrStartTsBeforeGC\]/,
  ],
  [
    'a start in the future',
    ['--sink-uri', 'blackhole://', '--start-ts', '9000000000000000000'],
    /\[CDC:ErrAPIInvalidParam\].*larger than current tso/,
  ],
  ['a target before the start', ['--sink-uri', 'blackhole://', '--target-ts', '1'], /\[CDC:ErrTargetTsBeforeStartTs\]/],
  ['a bad filter rule', ['--sink-uri', 'blackhole://', '--config', '@'], /\[CDC:ErrFilterRuleInvalid\]/],
]

test('what only the cluster can tell is named, and no changefeed is left behind', async (t) => {
  await using server = await startServer('bad')
  const address = await addressOf(server)
  const file = join(folder, 'bad.toml')
  writeFileSync(file, "[filter]\nrules = ['a.b.c']\n")
  for (const [name, args, what] of BAD)
    await t.test(name, async () => {
      const words = args.map((word) => (word === '@' ? file : word))
      const outcome = await command('cli', 'changefeed', 'create', '--no-confirm', '--server', address, ...words)
      assert.equal(outcome.code, 1, outcome.text)
      assert.match(outcome.text, what)
      assert.equal((await command('cli', 'changefeed', 'list', '--all', '--server', address)).text, '[]')
    })
})

test('an unreachable PD ends the server with a named error', async () => {
  const args = ['--pd', 'http://127.0.0.1:1', '--addr', '127.0.0.1:0', '--data-dir', join(folder, 'three')]
  const { code, text } = await command('server', ...args)
  assert.equal(code, 1)
  assert.match(text, /Error: \[CDC:ErrAPIGetPDClientFailed\].*127\.0\.0\.1:1/)
})
