import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CdcError } from '../base/errors.ts'
import { silentLog } from '../base/log.ts'
import { openApi } from './api.ts'
import { createFakeServer, NOW, type FakeServer } from './server.fixture.ts'

interface Answer {
  readonly status: number
  readonly text: string
}

async function withApi(
  work: (call: (method: string, path: string, body?: string) => Promise<Answer>, server: FakeServer) => Promise<void>,
): Promise<void> {
  const server = createFakeServer()
  await using api = await openApi({ host: '127.0.0.1', port: 0, log: silentLog })
  api.serve(server)
  await work(async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${api.port}${path}`, {
      method,
      ...(body === undefined ? {} : { body }),
    })
    return { status: response.status, text: await response.text() }
  }, server)
}

const SINK = 'kafka://u:pw@127.0.0.1:9092/t?protocol=canal-json'
const create = (id: string, more = ''): string => `{"changefeed_id":"${id}","sink_uri":"${SINK}"${more}}`

test('until there is a server every request is answered 503', async () => {
  await using api = await openApi({ host: '127.0.0.1', port: 0, log: silentLog })
  const response = await fetch(`http://127.0.0.1:${api.port}/api/v2/changefeeds`)
  assert.equal(response.status, 503)
  assert.equal(
    await response.text(),
    '{\n    "error_msg": "[CDC:ErrServerIsNotReady]cdc server is not ready",\n    "error_code": "CDC:ErrServerIsNotReady"\n}',
  )
})

test('a created changefeed is answered with exact timestamps and no password', () =>
  withApi(async (call) => {
    const created = await call('POST', '/api/v2/changefeeds', create('one', ',"start_ts":435591239999999999'))
    assert.equal(created.status, 200)
    assert.match(created.text, /"start_ts":435591239999999999,/)
    assert.match(
      created.text,
      /"upstream_id":7178706266519722477,"namespace":"default","id":"one","sink_uri":"kafka:\/\/u:xxxxx@/,
    )
    assert.doesNotMatch(created.text, /pw@/)
    assert.equal((await call('GET', '/api/v2/changefeeds/one')).text, created.text)
    const list = await call('GET', '/api/v2/changefeeds?state=all')
    assert.match(
      list.text,
      /^\{"total":1,"items":\[\{"upstream_id":7178706266519722477,"namespace":"default","id":"one","state":"normal","checkpoint_tso":435591239999999999,"checkpoint_time":"[-: .\d]+","error":null\}\]\}$/,
    )
  }))

for (const [name, method, path, body, status, code] of [
  ['an unknown changefeed', 'GET', '/api/v2/changefeeds/none', undefined, 400, 'CDC:ErrChangeFeedNotExists'],
  ['a bad changefeed id', 'POST', '/api/v2/changefeeds', create('a_b'), 400, 'CDC:ErrAPIInvalidParam'],
  ['a bad namespace', 'GET', '/api/v2/changefeeds?namespace=a.b', undefined, 400, 'CDC:ErrAPIInvalidParam'],
  ['a body that is no JSON', 'POST', '/api/v2/changefeeds', '{', 400, 'CDC:ErrAPIInvalidParam'],
  ['a missing body', 'POST', '/api/v2/tso', undefined, 400, 'CDC:ErrAPIInvalidParam'],
  [
    'a start-ts of a wrong type',
    'POST',
    '/api/v2/changefeeds',
    create('a', ',"start_ts":"x"'),
    400,
    'CDC:ErrAPIInvalidParam',
  ],
  [
    'a start-ts in the future',
    'POST',
    '/api/v2/changefeeds',
    create('a', `,"start_ts":${NOW + 1n}`),
    400,
    'CDC:ErrAPIInvalidParam',
  ],
  ['no sink uri', 'POST', '/api/v2/changefeeds', '{}', 400, 'CDC:ErrSinkURIInvalid'],
  [
    'an unknown protocol',
    'POST',
    '/api/v2/changefeeds',
    '{"sink_uri":"kafka://h:1/t?protocol=x"}',
    500,
    'CDC:ErrSinkUnknownProtocol',
  ],
  [
    'partition-num 0',
    'POST',
    '/api/v2/changefeeds',
    '{"sink_uri":"kafka://h:1/t?protocol=canal-json&partition-num=0"}',
    500,
    'CDC:ErrKafkaInvalidPartitionNum',
  ],
  [
    'a member of a wrong type',
    'POST',
    '/api/v2/changefeeds',
    create('a', ',"replica_config":{"memory_quota":"x"}'),
    400,
    'CDC:ErrAPIInvalidParam',
  ],
  ['an unknown state', 'GET', '/api/v2/changefeeds?state=x', undefined, 400, 'CDC:ErrAPIInvalidParam'],
  ['an unknown log level', 'POST', '/api/v2/log', '{"log_level":"x"}', 400, 'CDC:ErrAPIInvalidParam'],
] as const)
  test(`${name} is answered ${status} ${code}`, () =>
    withApi(async (call, server) => {
      const answer = await call(method, path, body)
      assert.equal(answer.status, status, answer.text)
      assert.ok(answer.text.includes(`"error_code": "${code}"`), answer.text)
      assert.equal(server.changefeeds.size, 0)
    }))

test('an existing id is answered 500, as TiCDC does', () =>
  withApi(async (call) => {
    await call('POST', '/api/v2/changefeeds', create('one'))
    const again = await call('POST', '/api/v2/changefeeds', create('one'))
    assert.equal(again.status, 500)
    assert.match(again.text, /CDC:ErrChangeFeedAlreadyExists/)
  }))

test('pause, update, resume and delete reach the server', () =>
  withApi(async (call, server) => {
    await call('POST', '/api/v2/changefeeds', create('one'))
    assert.deepEqual(await call('POST', '/api/v2/changefeeds/one/pause'), { status: 200, text: '{}' })
    const updated = await call('PUT', '/api/v2/changefeeds/one', '{"replica_config":{"filter":{"rules":["a.*"]}}}')
    assert.match(updated.text, /"filter":\{"rules":\["a\.\*"\]\}/)
    assert.equal(server.changefeeds.get('default/one')?.sinkUri, SINK)
    assert.deepEqual(
      await call('POST', '/api/v2/changefeeds/one/resume', '{"overwrite_checkpoint_ts":435591239999999999}'),
      { status: 200, text: '{}' },
    )
    assert.deepEqual(await call('DELETE', '/api/v2/changefeeds/one'), { status: 200, text: '{}' })
    assert.deepEqual(await call('DELETE', '/api/v2/changefeeds/one'), { status: 200, text: '{}' })
    assert.deepEqual(server.calls, [
      'create default/one',
      'pause default/one',
      'update default/one',
      'resume default/one 435591239999999999',
      'remove default/one',
      'remove default/one',
    ])
  }))

test('a sink uri and secrets that were read back masked stay as they are', () =>
  withApi(async (call, server) => {
    const config =
      '"replica_config":{"sink":{"kafka_config":{"sasl_mechanism":"PLAIN","sasl_user":"u","sasl_password":"s3cret"}}}'
    await call('POST', '/api/v2/changefeeds', create('one', `,${config}`))
    await call('POST', '/api/v2/changefeeds/one/pause')
    const read: { sink_uri: string; config: object } = JSON.parse((await call('GET', '/api/v2/changefeeds/one')).text)
    assert.ok(!JSON.stringify(read).includes('s3cret'))
    const body = JSON.stringify({ sink_uri: read.sink_uri, replica_config: read.config })
    assert.equal((await call('PUT', '/api/v2/changefeeds/one', body)).status, 200)
    const stored = server.changefeeds.get('default/one')
    assert.equal(stored?.sinkUri, SINK)
    assert.equal(stored?.config.sink.kafkaConfig?.['saslPassword'], 's3cret')
  }))

test('a masked sink uri can be edited and sent back', () =>
  withApi(async (call, server) => {
    await call('POST', '/api/v2/changefeeds', create('one'))
    await call('POST', '/api/v2/changefeeds/one/pause')
    const body = JSON.stringify({ sink_uri: `${SINK.replace(':pw@', ':xxxxx@')}&compression=zstd` })
    assert.equal((await call('PUT', '/api/v2/changefeeds/one', body)).status, 200)
    assert.equal(server.changefeeds.get('default/one')?.sinkUri, `${SINK}&compression=zstd`)
  }))

test('an error about a body does not quote it', () =>
  withApi(async (call) => {
    const { text } = await call('POST', '/api/v2/changefeeds', '{"sink_uri":"kafka://u:s3cret@h/t" nonsense')
    assert.doesNotMatch(text, /s3cret/)
  }))

test('a request waits while the capture is about to become the owner', () =>
  withApi(async (call, server) => {
    let refusals = 2
    server.listChangefeeds = async () => {
      if (refusals-- > 0) throw new CdcError('CDC:ErrNotOwner', 'this capture is not a owner')
      return []
    }
    assert.deepEqual(await call('GET', '/api/v2/changefeeds'), { status: 200, text: '{"total":0,"items":[]}' })
  }))

test('small answers have TiCDC’s shapes', () =>
  withApi(async (call, server) => {
    assert.equal(
      (await call('GET', '/status')).text,
      `{\n "version": "v8.5.0",\n "git_hash": "tidewire-test",\n "id": "${server.status().id}",\n "pid": 1,\n "is_owner": true\n}`,
    )
    assert.equal(
      (await call('POST', '/api/v2/tso', '{}')).text,
      '{\n    "timestamp": 1733382346000,\n    "logic_time": 5\n}',
    )
    assert.deepEqual(await call('GET', '/api/v2/health'), { status: 200, text: '{}' })
    assert.match((await call('GET', '/metrics')).text, /ticdc_owner_status/)
    assert.deepEqual(await call('GET', '/nowhere'), { status: 404, text: '404 page not found' })
    assert.deepEqual(await call('POST', '/api/v2/log', '{"log_level":"debug"}'), { status: 200, text: '{}' })
    assert.equal(server.level, 'debug')
  }))

test('tables are moved and rebalanced over v1, with 202 and no body', () =>
  withApi(async (call, server) => {
    await call('POST', '/api/v2/changefeeds', create('one'))
    const moved = await call(
      'POST',
      '/api/v1/changefeeds/one/tables/move_table',
      '{"capture_id":"b0f1","table_id":9007199254740993}',
    )
    assert.deepEqual(moved, { status: 202, text: '' })
    const balanced = await call('POST', '/api/v1/changefeeds/one/tables/rebalance_table')
    assert.deepEqual(balanced, { status: 202, text: '' })
    assert.deepEqual(server.calls.slice(-2), ['move default/one 9007199254740993 to b0f1', 'rebalance default/one'])
    assert.equal((await call('POST', '/api/v1/changefeeds/none/tables/rebalance_table')).status, 400)
  }))
