import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { testTable } from '../../test/support/table-version.ts'
import { openApi } from '../api/api.ts'
import { createFakeServer, NOW, type FakeServer } from '../api/server.fixture.ts'
import { silentLog } from '../base/log.ts'
import { runCli } from './cli.ts'

interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs a command line as a user would, typing `input`. */
async function cdc(argv: readonly string[], input = ''): Promise<Outcome> {
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const texts = Promise.all([text(stdout), text(stderr)])
  const terminal = { stdin: Readable.from([input]), stdout, stderr }
  const code = await runCli(argv, { NO_COLOR: '1' }, new AbortController().signal, terminal)
  stdout.end()
  stderr.end()
  const [out, err] = await texts
  return { code, out, err }
}

const folder = mkdtempSync(join(tmpdir(), 'tidewire-cli-'))
after(() => rmSync(folder, { recursive: true }))
function file(content: string): string {
  const path = join(folder, `${content.length}-${Math.random().toString(36).slice(2)}.toml`)
  writeFileSync(path, content)
  return path
}

type Cdc = (
  command: string,
  options?: { readonly sink?: string; readonly config?: string; readonly input?: string },
) => Promise<Outcome>

async function withServer(work: (run: Cdc, server: FakeServer) => Promise<void>): Promise<void> {
  const server = createFakeServer()
  await using api = await openApi({ host: '127.0.0.1', port: 0, log: silentLog })
  api.serve(server)
  await work((command, { sink, config, input } = {}) => {
    const words = ['cli', ...command.split(' '), `--server=127.0.0.1:${api.port}`]
    if (sink !== undefined) words.push('--sink-uri', sink)
    if (config !== undefined) words.push('--config', file(config))
    return cdc(words, input)
  }, server)
}

const SINK = 'kafka://127.0.0.1:9092/t?protocol=canal-json&partition-num=1'

test('create prints id and info, and leaves a changefeed behind', () =>
  withServer(async (run, server) => {
    const { code, out, err } = await run('changefeed create -c task-1', { sink: SINK })
    assert.equal(err, '')
    assert.equal(code, 0)
    const [first, second, third = ''] = out.split('\n')
    assert.equal(first, 'Create changefeed successfully!')
    assert.equal(second, 'ID: task-1')
    assert.match(
      third,
      /^Info: \{"upstream_id":7178706266519722477,"namespace":"default","id":"task-1","sink_uri":"kafka:\/\/127\.0\.0\.1:9092\/t\?protocol=canal-json\\u0026partition-num=1",/,
    )
    assert.match(third, new RegExp(`"start_ts":${NOW}`))
    assert.deepEqual([...server.changefeeds.keys()], ['default/task-1'])
  }))

test('without --changefeed-id the id is a random UUID', () =>
  withServer(async (run) => {
    assert.match((await run('changefeed create', { sink: SINK })).out, /\nID: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f-]{21}\n/)
  }))

test('a start more than a day back is confirmed first; no ends with code 0 and nothing created', () =>
  withServer(async (run, server) => {
    const old = `changefeed create -c old --start-ts ${NOW - (86_400_001n << 18n)}`
    const refused = await run(old, { sink: SINK, input: 'n\n' })
    assert.equal(refused.code, 0)
    assert.match(
      refused.out,
      /Replicate lag \(24h0m0\.001s\) is larger than 1 days.*\[Y\/N\]\nAbort changefeed create\.\n$/,
    )
    assert.match((await run(old, { sink: SINK })).out, /Received invalid input: EOF, abort the command\./)
    assert.equal(server.changefeeds.size, 0)
    assert.equal((await run(old, { sink: SINK, input: 'y\n' })).code, 0)
    assert.equal((await run(`${old}-2 --no-confirm`, { sink: SINK })).code, 1)
    assert.equal(server.changefeeds.size, 1)
  }))

test('tables without a key are named, and left out only when the user agrees', () =>
  withServer(async (run, server) => {
    server.ineligible = [{ schema: 'test', table: 't', tableId: 104n, isPartition: false }]
    const refused = await run('changefeed create -c a', { sink: SINK, input: 'n\n' })
    assert.match(
      refused.out,
      /\[WARN\] Some tables are not eligible.*\[\]v2\.TableName\{v2\.TableName\{Schema:"test", Table:"t", TableID:104, IsPartition:false\}\}/,
    )
    assert.match(refused.out, /No changefeed is created because you don't want to ignore some tables\./)
    assert.equal(server.changefeeds.size, 0)
    await run('changefeed create -c b', { sink: SINK, input: 'y\n' })
    await run('changefeed create -c c --no-confirm', { sink: SINK })
    assert.deepEqual(
      [...server.changefeeds.values()].map((one) => one.config.ignoreIneligibleTable),
      [true, true],
    )
    const forced = await run('changefeed create -c d', { sink: SINK, config: 'force-replicate = true' })
    assert.match(forced.out, /\[WARN\] Force to replicate some ineligible tables/)
  }))

test('list, query and capture list print TiCDC’s JSON', () =>
  withServer(async (run) => {
    await run('changefeed create -c one', { sink: SINK })
    const list = await run('changefeed list')
    assert.match(
      list.out,
      new RegExp(
        `^\\[\\n  \\{\\n    "id": "one",\\n    "namespace": "default",\\n    "summary": \\{\\n      "state": "normal",\\n      "tso": ${NOW},\\n      "checkpoint": "[-0-9]{10} [:0-9]{8}\\.000",\\n      "error": null\\n    \\}\\n  \\}\\n\\]\\n$`,
      ),
    )
    const query: Record<string, unknown> = JSON.parse((await run('changefeed query -c one')).out)
    assert.deepEqual(Object.keys(query), [
      'upstream_id',
      'namespace',
      'id',
      'sink_uri',
      'config',
      'create_time',
      'start_ts',
      'resolved_ts',
      'target_ts',
      'checkpoint_tso',
      'checkpoint_time',
      'state',
      'creator_version',
      'task_status',
    ])
    assert.match(String(query['create_time']), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.679$/)
    const simple: Record<string, unknown> = JSON.parse((await run('changefeed query -c one -s')).out)
    assert.deepEqual(Object.keys(simple), [
      'upstream_id',
      'namespace',
      'id',
      'state',
      'checkpoint_tso',
      'checkpoint_time',
      'error',
    ])
    assert.match(
      (await run('capture list')).out,
      /^\[\n  \{\n    "id": "[-0-9a-f]+",\n    "is-owner": true,\n    "address": "127\.0\.0\.1:8300",\n    "cluster-id": "default"\n  \}\n\]\n$/,
    )
    assert.match((await run('processor list')).out, /"changefeed_id": "one",\n    "capture_id": /)
  }))

test('a list of nothing is []', () =>
  withServer(async (run) => assert.equal((await run('changefeed list')).out, '[]\n')))

test('pause and resume print nothing; finished changefeeds are listed with --all only', () =>
  withServer(async (run, server) => {
    await run('changefeed create -c one', { sink: SINK })
    assert.deepEqual(await run('changefeed pause -c one'), { code: 0, out: '', err: '' })
    assert.deepEqual(await run('changefeed resume -c one --no-confirm'), { code: 0, out: '', err: '' })
    const asked = await run('changefeed resume -c one --overwrite-checkpoint-ts now', { input: 'n' })
    assert.match(
      asked.out,
      /^You are overwriting the checkpoint of changefeed\(one\) to \d+, .*\nConfirm .*\nAbort changefeed resume\.\n$/,
    )
    await run('changefeed resume -c one --no-confirm --overwrite-checkpoint-ts 5')
    assert.deepEqual(server.calls.slice(1), ['pause default/one', 'resume default/one', 'resume default/one 5'])
    const [detail] = server.changefeeds.values()
    assert.ok(detail)
    server.changefeeds.set('default/one', { ...detail, state: 'finished' })
    assert.equal((await run('changefeed list')).out, '[]\n')
    assert.match((await run('changefeed list -a')).out, /"state": "finished"/)
  }))

test('remove says what it removed; an unknown id is no failure', () =>
  withServer(async (run) => {
    await run('changefeed create -c one', { sink: SINK.replace('//', '//u:pw@') })
    assert.equal(
      (await run('changefeed remove -c one')).out,
      `Changefeed remove successfully.\nID: one\nCheckpointTs: ${NOW}\nSinkURI: kafka://u:xxxxx@127.0.0.1:9092/t?protocol=canal-json&partition-num=1\n`,
    )
    assert.deepEqual(await run('changefeed remove -c one'), {
      code: 0,
      out: 'Changefeed not found.\nID: one\n',
      err: '',
    })
  }))

test('update shows what changes and applies only that', () =>
  withServer(async (run, server) => {
    await run('changefeed create -c one', {
      sink: SINK,
      config: `[filter]\nrules = ['a.*']\n[sink]\ndispatchers = [{matcher=['a.*'], partition='ts', topic='t0'}]`,
    })
    assert.match(
      (await run('changefeed update -c one --no-confirm', { config: 'case-sensitive = true' })).err,
      /CDC:ErrChangefeedUpdateRefused/,
    )
    await run('changefeed pause -c one')
    assert.equal(
      (await run('changefeed update -c one')).out,
      'changefeed config is the same with the old one, do nothing\n',
    )
    const config = "case-sensitive = true\n[sink]\ndispatchers = [{matcher=['new.*']}]"
    const refused = await run('changefeed update -c one', { config, input: 'n' })
    assert.match(
      refused.out,
      /^Diff of changefeed config:\n\{Type:update Path:\[Config CaseSensitive\] From:false To:true\}\n/,
    )
    assert.match(refused.out, /No update to changefeed\.\n$/)
    const done = await run('changefeed update -c one --no-confirm', { config })
    assert.match(done.out, /Update changefeed config successfully! \nID: one\nInfo: \{/)
    const stored = server.changefeeds.get('default/one')?.config
    assert.deepEqual(stored?.filter.rules, ['a.*'])
    assert.deepEqual(stored?.sink.dispatchers[0]?.topic, '')
    await run('changefeed update -c one --no-confirm --replace-config', { config: '' })
    assert.deepEqual(server.changefeeds.get('default/one')?.config.filter.rules, ['*.*'])
  }))

test('a new password alone is a change', () =>
  withServer(async (run, server) => {
    await run('changefeed create -c one', { sink: SINK.replace('//', '//u:old@') })
    await run('changefeed pause -c one')
    await run('changefeed update -c one --no-confirm', { sink: SINK.replace('//', '//u:new@') })
    assert.match(server.changefeeds.get('default/one')?.sinkUri ?? '', /u:new@/)
  }))

test('version prints TiCDC’s six lines', async () => {
  const { code, out } = await cdc(['version'])
  assert.equal(code, 0)
  assert.match(
    out,
    /^Release Version: v8\.5\.\d+\nGit Commit Hash: tidewire-.*\nGit Branch: .*\nUTC Build Time: .*\nGo Version: .*\nFailpoint Build: false\n$/,
  )
})

test('help goes to stdout and is a success', async () => {
  for (const argv of [['--help'], ['help'], [], ['cli'], ['cli', 'changefeed', 'create', '-h'], ['help', 'server']]) {
    const { code, out, err } = await cdc(argv)
    assert.deepEqual([code, err], [0, ''], argv.join(' '))
    assert.match(out, /\nUsage:\n {2}cdc/)
  }
  const { out } = await cdc(['cli', 'changefeed', 'create', '--help'])
  assert.match(out, /^ {2}-c, --changefeed-id string +Replication task \(changefeed\) ID$/m)
  assert.match(out, /^Global Flags:\n/m)
  assert.doesNotMatch(out, /sort-dir/)
})

for (const [argv, message] of [
  [['cli', 'changefeed', 'query'], 'required flag(s) "changefeed-id" not set'],
  [['cli', 'changefeed', 'list', '--nope'], 'unknown flag: --nope'],
  [['cli', 'changefeed', 'list', '-z'], "unknown shorthand flag: 'z' in -z"],
  [['cli', 'changefeed', 'pause', '-c'], "flag needs an argument: 'c' in -c"],
  [
    ['cli', 'changefeed', 'create', '--start-ts', 'abc'],
    'invalid argument "abc" for "--start-ts" flag: strconv.ParseUint: parsing "abc": invalid syntax',
  ],
  [['cli', 'changefeed', 'list', 'extra'], 'unknown command "extra" for "cdc cli changefeed list"'],
  [['server', '--gc-ttl=x'], 'invalid argument "x" for "--gc-ttl" flag: strconv.ParseInt: parsing "x": invalid syntax'],
] as const)
  test(`${argv.join(' ')}: the error, then usage on stdout, then the error again`, async () => {
    const { code, out, err } = await cdc(argv)
    assert.equal(code, 1)
    assert.equal(err, `Error: ${message}\n${message}\n`)
    assert.match(out, /^Usage:\n {2}cdc /)
  })

test('an unknown command names the way to help', async () => {
  const { code, err } = await cdc(['nope'])
  assert.equal(code, 1)
  assert.equal(
    err,
    'Error: unknown command "nope" for "cdc"\nRun \'cdc --help\' for usage.\nunknown command "nope" for "cdc"\n',
  )
})

test('flags may be written in all of pflag’s ways', () =>
  withServer(async (run, server) => {
    await run('changefeed create -c=one --no-confirm=true --namespace ns', { sink: SINK })
    await run('changefeed create -ctwo --no-confirm -nns', { sink: SINK })
    assert.deepEqual([...server.changefeeds.keys()], ['ns/one', 'ns/two'])
  }))

test('an error of the server is printed once, without usage', () =>
  withServer(async (run) => {
    assert.deepEqual(await run('changefeed query -c none'), {
      code: 1,
      out: '',
      err: 'Error: [CDC:ErrChangeFeedNotExists]changefeed not exists, default/none\n',
    })
    assert.match((await run('changefeed query -c none --simple')).err, /changefeed not exists, none\n$/)
    assert.match(
      (await run('changefeed resume -c none --overwrite-checkpoint-ts x')).err,
      /CDC:ErrCliInvalidCheckpointTs/,
    )
    assert.match(
      (await run(`changefeed resume -c none --overwrite-checkpoint-ts ${NOW + 1n}`)).err,
      /CDC:ErrCliCheckpointTsIsInFuture/,
    )
  }))

test('a server that is not there is named at once', async () => {
  const { code, err } = await cdc(['cli', 'changefeed', 'list', '--server', '127.0.0.1:1'])
  assert.equal(code, 1)
  assert.match(err, /^Error: Get "http:\/\/127\.0\.0\.1:1\/api\/v2\/status": .*ECONNREFUSED/)
})

test('--server and --pd exclude each other, and a path is no server', async () => {
  const both = await cdc(['cli', 'changefeed', 'list', '--server', 'h:1', '--pd', 'http://h:2'])
  assert.match(both.err, /^Error: Parameter --pd is deprecated, please use parameter --server instead\./)
  assert.match((await cdc(['cli', 'changefeed', 'list', '--server', 'http://h:1/x'])).err, /CDC:ErrInvalidHost/)
  assert.match((await cdc(['cli', 'tso', 'query'])).err, /CDC:ErrInvalidServerOption.*Empty PD address/)
})

const RULES = '[filter]\nrules = ["shop.orders"]\n[sink]\ndispatchers = [{matcher = ["shop.*"], topic = "t-{table}"}]'

test('explain answers from the file alone, for the tables that it names or that are asked for', async () => {
  const words = ['cli', 'changefeed', 'explain', '--sink-uri', SINK, '--config', file(RULES)]
  const found = await cdc(words)
  assert.deepEqual([found.code, found.err], [0, ''])
  assert.match(
    found.out,
    /^shop\.orders\n  replicated      yes: filter\.rules\[0\] 'shop\.orders'\n  topic           t-orders\n/,
  )
  const asked = await cdc([...words, '--table', 'shop.other,shop.orders', '--json'])
  const { tables } = JSON.parse(asked.out)
  assert.deepEqual(
    tables.map((one: { table: string; replicated: boolean }) => [one.table, one.replicated]),
    [
      ['other', false],
      ['orders', true],
    ],
  )
  assert.match((await cdc([...words, '--table', 'orders'])).err, /a table is named as db\.table, not 'orders'/)
})

test('explain asks a server for the tables that exist; what create would refuse is exit code 1', () =>
  withServer(async (run, server) => {
    server.existing = [testTable({ schema: 'shop', table: 'orders', columns: { id: 'int primary key', total: 'int' } })]
    const fine = await run('changefeed explain', { sink: SINK, config: RULES })
    assert.deepEqual([fine.code, fine.err], [0, ''])
    assert.match(fine.out, /\n  columns sent    id, total\n/)
    const rules = '[sink]\ndispatchers = [{matcher = ["*.*"], partition = "index-value", index = "gone"}]'
    const refused = await run('changefeed explain --json', { sink: SINK, config: rules })
    assert.equal(refused.code, 1)
    const [table] = JSON.parse(refused.out).tables
    assert.equal(table.errors[0].code, 'CDC:ErrDispatcherFailed')
    const bad = await run('changefeed explain --table a', { sink: SINK })
    assert.match(bad.err, /db\.table/)
  }))
