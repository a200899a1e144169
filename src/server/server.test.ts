import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createConnection } from 'mysql2/promise'
import { waitFor } from '../../test/support/process.ts'
import { systemClock } from '../base/clock.ts'
import { silentLog } from '../base/log.ts'
import type { LogControl } from '../base/unified-log.ts'
import { defaultReplicaConfig } from '../config/replica-config-toml.ts'
import type { DispatchRuleConfig, ReplicaConfig } from '../config/replica-config.ts'
import { defaultServerConfig } from '../config/server-config.ts'
import { startPlayground } from '../playground/playground.ts'
import { Ts, tsOfMs } from '../tidb/ts.ts'
import { type Etcd, openEtcd } from './etcd/etcd.ts'
import type { ServerHandle } from './handle.ts'
import { type Server, startServer } from './server.ts'
import { clusterKeys } from './store/keys.ts'
import { formatCaptureInfo } from './store/values.ts'

const stop = new AbortController()
const { signal } = stop
const log: LogControl = { ...silentLog, setLevel() {} }
const resources = new AsyncDisposableStack()
let pd = ''
let sql = ''

const dataDir = mkdtempSync(join(tmpdir(), 'servers-'))

before(async () => {
  const ports = { pdPort: 0, sqlPort: 0, adminPort: 0 }
  const playground = await startPlayground({ host: '127.0.0.1', ...ports, stores: 1, log }, signal)
  pd = resources.use(playground).pd
  sql = playground.sql
})
after(async () => {
  await resources.disposeAsync()
  rmSync(dataDir, { recursive: true })
  stop.abort()
})

const start = (clusterId: string, stopping: AbortSignal = signal): Promise<Server> =>
  startServer(
    {
      config: { ...defaultServerConfig, clusterId, captureSessionTtl: 5 },
      pdEndpoints: [pd],
      security: {},
      timeZone: 'UTC',
      address: '127.0.0.1:8300',
      dataDir: mkdtempSync(join(dataDir, 'server-')),
      dataWorkers: 1,
      failPoints: '',
      log,
      clock: systemClock,
    },
    stopping,
  )

async function owned(clusterId: string): Promise<Server> {
  const server = await start(clusterId)
  await waitFor('the ownership', () => server.handle.status().isOwner)
  return server
}

const openTestEtcd = (): Etcd => openEtcd({ endpoints: [pd], security: {}, log: silentLog, clock: systemClock })
const idOf = (id: string) => ({ namespace: 'default', id })
const request = { sinkUri: 'blackhole://', config: defaultReplicaConfig, ignoreIneligibleTables: true }

/** A changefeed to Kafka with one dispatch rule. */
function toTopics(rule: Partial<DispatchRuleConfig>) {
  const whole = { matcher: ['*.*'], dispatcher: '', partition: '', index: '', columns: [], topic: '', ...rule }
  const sink = { ...defaultReplicaConfig.sink, dispatchers: [whole] }
  return { sinkUri: 'kafka://127.0.0.1:1/t?protocol=canal-json', config: { ...defaultReplicaConfig, sink } }
}

const noEventFilter = {
  matcher: [],
  ignoreEvent: [],
  ignoreSql: [],
  ignoreInsertValueExpr: '',
  ignoreUpdateNewValueExpr: '',
  ignoreUpdateOldValueExpr: '',
  ignoreDeleteValueExpr: '',
}

const untilState = (handle: ServerHandle, id: string, state: string): Promise<unknown> =>
  waitFor(`${id} to be ${state}`, async () => (await handle.getChangefeed(idOf(id), signal)).state === state)

async function untilAdvanced(handle: ServerHandle, id: string): Promise<Ts> {
  const { checkpointTs } = await handle.getChangefeed(idOf(id), signal)
  await waitFor(
    `${id} to advance`,
    async () => (await handle.getChangefeed(idOf(id), signal)).checkpointTs > checkpointTs,
  )
  return checkpointTs
}

test('a changefeed runs, pauses, resumes from its checkpoint, outlives its server, and is removed', async () => {
  const first = await owned('life')
  const created = await first.handle.createChangefeed({ ...request, id: idOf('a') }, signal)
  assert.equal(created.state, 'normal')
  await untilAdvanced(first.handle, 'a')
  await first.handle.health(signal)
  await first.handle.pauseChangefeed(idOf('a'), signal)
  const paused = await first.handle.getChangefeed(idOf('a'), signal)
  assert.deepEqual([paused.state, paused.tasks], ['stopped', []])
  await first.handle.resumeChangefeed(idOf('a'), {}, signal)
  await untilAdvanced(first.handle, 'a')
  await first[Symbol.asyncDispose]()

  await using second = await owned('life')
  const taken = await second.handle.getChangefeed(idOf('a'), signal)
  assert.ok(taken.checkpointTs > paused.checkpointTs)
  await untilAdvanced(second.handle, 'a')
  const metrics = await second.handle.metricsText(signal)
  for (const stage of ['feed', 'sort', 'plan', 'sink']) assert.match(metrics, new RegExp(`a",stage="${stage}"`))
  for (const thread of ['main', 'data-0']) assert.match(metrics, new RegExp(`busy_ratio\\{thread="${thread}"\\} `))
  const removed = await second.handle.removeChangefeed(idOf('a'), signal)
  assert.equal(removed?.sinkUri, 'blackhole://')
  assert.equal(await second.handle.removeChangefeed(idOf('a'), signal), undefined)
  await assert.rejects(second.handle.getChangefeed(idOf('a'), signal), { code: 'CDC:ErrChangeFeedNotExists' })
  const left = (await second.handle.metadata(signal)).filter(({ key }) => key.includes('/changefeed/'))
  assert.deepEqual(left, [])
  assert.doesNotMatch(await second.handle.metricsText(signal), /stage=/)
})

test('target-ts finishes a changefeed, which can be resumed from an earlier checkpoint', async () => {
  await using server = await owned('target')
  const { handle } = server
  const targetTs = tsOfMs(systemClock.now() + 300)
  await handle.createChangefeed({ ...request, id: idOf('a'), targetTs }, signal)
  await untilState(handle, 'a', 'finished')
  const { checkpointTs, startTs } = await handle.getChangefeed(idOf('a'), signal)
  assert.equal(checkpointTs, targetTs)
  const overwriteCheckpointTs = Ts(startTs + 1n)
  await handle.resumeChangefeed(idOf('a'), { overwriteCheckpointTs }, signal)
  await untilState(handle, 'a', 'finished')
})

test('bad requests have their names and leave nothing behind', async () => {
  await using server = await owned('bad')
  const { handle } = server
  await handle.createChangefeed({ ...request, id: idOf('there') }, signal)
  const far = tsOfMs(systemClock.now() + 3_600_000)
  const cases = [
    [{ id: idOf('there') }, 'CDC:ErrChangeFeedAlreadyExists'],
    [{ id: idOf('a_b') }, 'CDC:ErrAPIInvalidParam'],
    [{ startTs: far }, 'CDC:ErrAPIInvalidParam'],
    [{ startTs: Ts(1n) }, 'CDC:ErrStartTsBeforeGC'],
    [{ targetTs: Ts(1n) }, 'CDC:ErrTargetTsBeforeStartTs'],
    [{ sinkUri: 'kafka://127.0.0.1:1/t?protocol=canal-json' }, 'CDC:ErrKafkaNewProducer'],
    [{ sinkUri: 'nowhere://' }, 'CDC:ErrSinkURIInvalid'],
    [toTopics({ matcher: ['a.b.c'] }), 'CDC:ErrFilterRuleInvalid'],
    [toTopics({ topic: '{table}_{schema}' }), 'CDC:ErrKafkaTopicExprInvalid'],
  ] as const
  for (const [change, code] of cases)
    await assert.rejects(handle.createChangefeed({ ...request, id: idOf('new'), ...change }, signal), { code })
  await assert.rejects(handle.updateChangefeed(idOf('there'), { targetTs: far }, signal), {
    code: 'CDC:ErrChangefeedUpdateRefused',
  })
  const list = await handle.listChangefeeds({ namespace: 'default', states: 'all' }, signal)
  assert.deepEqual(
    list.map(({ id }) => id.id),
    ['there'],
  )
})

test('every rule is held against the tables that exist, at create, update and verify; nothing is changed', async () => {
  const [host = '', port = ''] = sql.split(':')
  const connection = await createConnection({ host, port: Number(port), user: 'root' })
  await connection.query('create database rules')
  await connection.query('create table rules.t (id int primary key, a int, b int, key plain (a))')
  await connection.end()
  await using server = await owned('rules')
  const { handle } = server
  const only = { ...defaultReplicaConfig, filter: { ...defaultReplicaConfig.filter, rules: ['rules.*'] } }
  const fine = { sinkUri: 'kafka://127.0.0.1:1/t?protocol=canal-json', config: only }
  const dispatched = (rule: Partial<DispatchRuleConfig>) => {
    const { sink } = toTopics({ matcher: ['rules.t'], ...rule }).config
    return { ...only, sink }
  }
  const filtered = (expression: string): ReplicaConfig => ({
    ...only,
    filter: {
      ...only.filter,
      eventFilters: [{ ...noEventFilter, matcher: ['rules.*'], ignoreUpdateOldValueExpr: expression }],
    },
  })
  const selected = (...columns: readonly string[]): ReplicaConfig => ({
    ...only,
    sink: { ...only.sink, columnSelectors: [{ matcher: ['*.*'], columns }] },
  })
  const cases = [
    [dispatched({ partition: 'index-value', index: 'gone' }), 'CDC:ErrDispatcherFailed'],
    [dispatched({ partition: 'index-value', index: 'plain' }), 'CDC:ErrDispatcherFailed'],
    [dispatched({ partition: 'columns', columns: ['c'] }), 'CDC:ErrDispatcherFailed'],
    [filtered('c = 1'), 'CDC:ErrExpressionColumnNotFound'],
    [filtered('a ='), 'CDC:ErrInvalidFilterExpression'],
    [filtered('nonsense(a)'), 'CDC:ErrInvalidFilterExpression'],
    [selected('a'), 'CDC:ErrColumnSelectorFailed'],
    [selected('a.b'), 'CDC:ErrFilterRuleInvalid'],
  ] as const
  await handle.createChangefeed({ ...request, config: only, id: idOf('there') }, signal)
  await handle.pauseChangefeed(idOf('there'), signal)
  const before = await handle.getChangefeed(idOf('there'), signal)
  const startTs = await handle.tso(signal)
  for (const [config, code] of cases) {
    const change = { ...fine, config }
    await assert.rejects(handle.createChangefeed({ ...request, ...change, id: idOf('new') }, signal), { code })
    await assert.rejects(handle.updateChangefeed(idOf('there'), change, signal), { code })
    await assert.rejects(handle.verifyTables({ ...change, startTs }, signal), { code })
  }
  assert.deepEqual(await handle.getChangefeed(idOf('there'), signal), before)
  assert.equal((await handle.listChangefeeds({ namespace: 'default', states: 'all' }, signal)).length, 1)
  const tables = await handle.tables(signal)
  assert.deepEqual(
    tables.map(({ schema, table, columns }) => [schema, table, columns.length]),
    [['rules', 't', 3]],
  )
})

test('a DDL that takes away what an expression names fails the changefeed with the first row after it', async () => {
  const [host = '', port = ''] = sql.split(':')
  const connection = await createConnection({ host, port: Number(port), user: 'root' })
  await connection.query('create database narrowed')
  await connection.query('create table narrowed.t (id int primary key, a int)')
  await using server = await owned('narrowed')
  const { handle } = server
  const eventFilters = [{ ...noEventFilter, matcher: ['narrowed.*'], ignoreInsertValueExpr: 'a > 1' }]
  const filter = { ...defaultReplicaConfig.filter, rules: ['narrowed.*'], eventFilters }
  await handle.createChangefeed({ ...request, config: { ...defaultReplicaConfig, filter }, id: idOf('a') }, signal)
  await connection.query('insert into narrowed.t values (1, 1)')
  await connection.query('alter table narrowed.t drop column a')
  await connection.query('insert into narrowed.t values (2)')
  await connection.end()
  await untilState(handle, 'a', 'failed')
  const { error } = await handle.getChangefeed(idOf('a'), signal)
  assert.equal(error?.code, 'CDC:ErrExpressionColumnNotFound')
  assert.match(error.message, /Cannot find column 'a' from table 'narrowed\.t' in: a > 1/)
})

test('a stopped changefeed takes a new configuration', async () => {
  await using server = await owned('update')
  const { handle } = server
  await handle.createChangefeed({ ...request, id: idOf('a') }, signal)
  await handle.pauseChangefeed(idOf('a'), signal)
  const config = { ...defaultReplicaConfig, filter: { ...defaultReplicaConfig.filter, rules: ['a.*'] } }
  assert.deepEqual((await handle.updateChangefeed(idOf('a'), { config }, signal)).config.filter.rules, ['a.*'])
  await assert.rejects(handle.updateChangefeed(idOf('a'), { config }, signal), {
    code: 'CDC:ErrChangefeedUpdateRefused',
  })
  await handle.resumeChangefeed(idOf('a'), {}, signal)
  await untilAdvanced(handle, 'a')
})

test('a stored changefeed that cannot be run here is listed with a warning and left as it is', async () => {
  using etcd = openTestEtcd()
  const keys = clusterKeys('alien')
  const stored = '{"sink-uri":"mysql://root@127.0.0.1:3306/","start-ts":5,"config":{},"state":"normal","epoch":1}'
  await etcd.put(keys.info(idOf('a')), stored, {}, signal)
  await using server = await owned('alien')
  const [summary] = await server.handle.listChangefeeds({ namespace: 'default' }, signal)
  assert.deepEqual([summary?.state, summary?.error?.code], ['warning', 'CDC:ErrSinkURIInvalid'])
  assert.equal((await etcd.get(keys.info(idOf('a')), signal))?.value, stored)
  assert.equal(await etcd.get(keys.status(idOf('a')), signal), undefined)
})

test('beside a live TiCDC a server does not start, and stops deciding when one appears', async () => {
  using etcd = openTestEtcd()
  const keys = clusterKeys('foreign')
  const capture = { id: 'x', address: 'b:1', version: 'v8.5.0', gitHash: 'abc', deployPath: '', startTimestamp: 1 }
  await etcd.put(keys.capture('x'), formatCaptureInfo(capture), {}, signal)
  await assert.rejects(start('foreign'), { code: 'CDC:ErrVersionIncompatible' })
  await etcd.delete(keys.capture('x'), {}, signal)
  await using server = await owned('foreign')
  await server.handle.createChangefeed({ ...request, id: idOf('a') }, signal)
  await etcd.put(keys.capture('x'), formatCaptureInfo(capture), {}, signal)
  await waitFor('the end of the ownership', () => !server.handle.status().isOwner)
  await assert.rejects(server.handle.getChangefeed(idOf('a'), signal), { code: 'CDC:ErrServerIsNotReady' })
  await waitFor('the end of its lease', async () => (await etcd.oldest(`${keys.owner}/`, signal)) === undefined)
  await etcd.delete(keys.capture('x'), {}, signal)
  await waitFor('the ownership', () => server.handle.status().isOwner)
  await untilAdvanced(server.handle, 'a')
})

test('what others write to etcd is followed, and a lost election key ends the ownership', async () => {
  using etcd = openTestEtcd()
  const keys = clusterKeys('others')
  await using server = await owned('others')
  const { handle } = server
  await handle.createChangefeed({ ...request, id: idOf('a') }, signal)
  await untilAdvanced(handle, 'a')
  const stored = (await etcd.get(keys.info(idOf('a')), signal))?.value ?? ''
  await etcd.put(keys.info(idOf('a')), stored.replace('"state":"normal"', '"state":"stopped"'), {}, signal)
  await untilState(handle, 'a', 'stopped')
  await handle.resumeChangefeed(idOf('a'), {}, signal)
  await untilAdvanced(handle, 'a')

  const own = await etcd.oldest(`${keys.owner}/`, signal)
  await etcd.delete(own?.key ?? '', {}, signal)
  const another = async (): Promise<boolean> => {
    const present = await etcd.oldest(`${keys.owner}/`, signal)
    return present !== undefined && present.createRevision !== own?.createRevision
  }
  await waitFor('another election', another)
  await waitFor('the ownership', () => handle.status().isOwner)
  await untilAdvanced(handle, 'a')

  await etcd.delete(keys.info(idOf('a')), {}, signal)
  await waitFor(
    'the end of the changefeed',
    async () => (await handle.listChangefeeds({ namespace: 'default' }, signal)).length === 0,
  )
})

test('pauses and resumes that overlap leave one run, in the state of the last', async () => {
  await using server = await owned('overlap')
  const { handle } = server
  await handle.createChangefeed({ ...request, id: idOf('a') }, signal)
  await untilAdvanced(handle, 'a')
  const calls = Array.from({ length: 6 }, (_, i) =>
    i % 2 === 0 ? handle.pauseChangefeed(idOf('a'), signal) : handle.resumeChangefeed(idOf('a'), {}, signal),
  )
  await Promise.all(calls)
  await handle.pauseChangefeed(idOf('a'), signal)
  const { state, checkpointTs } = await handle.getChangefeed(idOf('a'), signal)
  assert.equal(state, 'stopped')
  await handle.resumeChangefeed(idOf('a'), {}, signal)
  await untilAdvanced(handle, 'a')
  assert.ok((await handle.getChangefeed(idOf('a'), signal)).checkpointTs > checkpointTs)
})
