import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { integerOf, stringifyJson } from '../tidb/json-big.ts'
import { rawRecordRange } from '../tidb/key.ts'
import { PDService, ScanRegionsRequest } from '../proto/pdpb.ts'
import { call, shortly, startWorld, until } from './world.fixture.ts'

const key = (text: string): Buffer => Buffer.from(text)
const rowKey = (tableId: bigint, row: string): Buffer =>
  Buffer.concat([rawRecordRange(tableId).start, Buffer.from(row)])

test('addresses name every part, and PD answers HTTP on the port of its gRPC', async () => {
  await using world = await startWorld()
  assert.equal(world.playground.stores.length, 3)
  assert.deepEqual(world.members.leader?.clientUrls, [world.playground.pd])
  for (const [path, field] of [
    ['/pd/api/v1/version', 'version'],
    ['/pd/api/v1/cluster', 'id'],
    ['/pd/api/v1/members', 'leader'],
    ['/pd/api/v1/stores', 'stores'],
    ['/pd/api/v1/gc/safepoint', 'service_gc_safe_points'],
    ['/pd/api/v1/min-resolved-ts', 'min_resolved_ts'],
  ] as const) {
    const response = await fetch(`${world.playground.pd}${path}`)
    assert.equal(response.status, 200, path)
    assert.ok(field in ((await response.json()) as object), path)
  }
  const health = await fetch(`${world.playground.pd}/pd/api/v1/health/`)
  assert.match(await health.text(), /"health": true/)
  assert.equal((await fetch(`${world.playground.pd}/pd/api/v1/nosuch`)).status, 404)
})

test('a restart on a data folder keeps rows, regions and etcd, and time goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'playground-'))
  try {
    let before = 0n
    let cluster = 0n
    {
      await using world = await startWorld({ dataDir: folder })
      await world.put(rowKey(77n, 'a'), key('1'))
      await world.put(rowKey(77n, 'a'), key('2'))
      await world.admin('POST', '/faults/split', { tableId: 77, count: 2 })
      before = await world.ts()
      cluster = world.clusterId
    }
    await using world = await startWorld({ dataDir: folder, stores: 5 })
    assert.equal(world.playground.stores.length, 3, 'the folder knows its stores')
    assert.equal(world.clusterId, cluster)
    assert.ok((await world.ts()) > before)
    const { json } = await world.admin('GET', '/history?table=77')
    assert.equal(stringifyJson(json['versions']).match(/"op":"put"/g)?.length, 2)
    const scanned = await call(world.pd, PDService.scanRegions, ScanRegionsRequest.create({ header: world.header }))
    assert.equal(scanned.regions.length, 3)
    await world.put(rowKey(77n, 'a'), key('3'))
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a split ends subscriptions with the new regions, a merge with none, a moved leader with its name', async () => {
  await using world = await startWorld()
  const row = rowKey(5n, 'x')
  await world.put(row, key('1'))
  const { storeId } = await world.route(row)
  const feed = world.feed(storeId)
  await world.register(feed, row, 1n)
  await until(
    () => shortly(feed).includes('INITIALIZED'),
    () => 'initialized',
  )
  await world.admin('POST', '/faults/split', { tableId: 5, count: 1 })
  await until(
    () => shortly(feed).includes('error epochNotMatch'),
    () => 'split',
  )
  const split = feed.events.at(-1)?.event
  assert.equal(split?.$case === 'error' && split.value.epochNotMatch?.currentRegions.length, 2)

  const route = await world.route(row)
  const other = world.feed(route.storeId)
  await world.register(other, row, 2n)
  await until(
    () => shortly(other).includes('INITIALIZED'),
    () => 'initialized after the split',
  )
  const merged = await world.admin('POST', '/faults/merge', { tableId: 5 })
  assert.equal(merged.status, 200)
  await until(
    () => shortly(other).includes('error epochNotMatch'),
    () => 'merge',
  )
  const merge = other.events.at(-1)?.event
  assert.equal(merge?.$case === 'error' && merge.value.epochNotMatch?.currentRegions.length, 0)

  const third = world.feed((await world.route(row)).storeId)
  await world.register(third, row, 3n)
  await until(
    () => shortly(third).includes('INITIALIZED'),
    () => 'initialized after the merge',
  )
  await world.admin('POST', '/faults/transfer-leader', { tableId: 5 })
  await until(
    () => shortly(third).includes('error notLeader'),
    () => 'transfer',
  )
})

test('a lock holds the resolved timestamp at its start, and no other region but its group', async () => {
  await using world = await startWorld()
  const row = rowKey(9n, 'x')
  await world.put(row, key('1'))
  const { storeId } = await world.route(row)
  const feed = world.feed(storeId)
  await world.register(feed, row, 1n)
  await until(
    () => feed.resolved.length > 0,
    () => 'a resolved ts',
  )
  const { json } = await world.admin('POST', '/faults/lock', { tableId: 9 })
  const startTs = integerOf(json['startTs'])
  await until(
    () => shortly(feed).at(-1)?.startsWith('PREWRITE') === true,
    () => 'the lock',
  )
  const from = feed.resolved.length
  await until(
    () => feed.resolved.length > from + 3,
    () => 'more resolved ts',
  )
  const last = feed.resolved.at(-1)?.ts ?? 0n
  assert.equal(last, startTs)
})

test('a killed store breaks its streams, its regions find leaders, and it comes back', async () => {
  await using world = await startWorld()
  const row = rowKey(3n, 'x')
  await world.put(row, key('1'))
  const { storeId } = await world.route(row)
  const feed = world.feed(storeId)
  await world.register(feed, row, 1n)
  await until(
    () => shortly(feed).includes('INITIALIZED'),
    () => 'initialized',
  )
  const killed = await world.admin('POST', '/faults/kill-store', { store: Number(storeId), seconds: 1 })
  assert.equal(killed.status, 200)
  assert.equal((await feed.ended).code, 14)
  let leader = 0n
  await until(
    () => {
      void world.regionOf(row).then((region) => (leader = region.leader?.storeId ?? 0n))
      return leader !== 0n && leader !== storeId
    },
    () => `leader ${leader}`,
  )
  await world.put(row, key('2'))
})

test('the admin port refuses nonsense with what is wrong', async () => {
  await using world = await startWorld()
  for (const [path, body, status] of [
    ['/faults/split', {}, 400],
    ['/faults/split', { tableId: 1, count: 0 }, 400],
    ['/faults/merge', { table: 'no.table' }, 400],
    ['/faults/merge', { table: 'nodot' }, 400],
    ['/faults/kill-store', { store: 9 }, 400],
    ['/faults/stall', { store: 1, seconds: -1 }, 400],
    ['/faults/region-error', { kind: 'bad_luck' }, 400],
    ['/faults/advance-gc', { safePoint: 1 }, 400],
    ['/faults/nosuch', {}, 404],
    ['/inject/kv', {}, 400],
    ['/inject/kv', { writes: [{ key: 'xyz' }] }, 400],
    ['/inject/ddl-job', { type: 3 }, 400],
  ] as const) {
    const answer = await world.admin('POST', path, body)
    assert.equal(answer.status, status, path)
    assert.ok(typeof answer.json['error'] === 'string', path)
  }
  const broken = await fetch(`${world.playground.admin}/faults/clear`, { method: 'POST', body: '{' })
  assert.equal(broken.status, 400)
})

test('an armed region error is given once, and a client that stops reading is told of congestion', async () => {
  await using world = await startWorld({ feedQuotaBytes: 1 << 20 })
  const row = rowKey(4n, 'x')
  await world.admin('POST', '/faults/region-error', { kind: 'server_is_busy', count: 1 })
  const { storeId } = await world.route(row)
  const feed = world.feed(storeId)
  await world.register(feed, row, 1n)
  await until(
    () => shortly(feed).includes('error serverIsBusy'),
    () => 'busy',
  )
  await world.register(feed, row, 1n)
  await until(
    () => shortly(feed).includes('INITIALIZED'),
    () => 'initialized',
  )
  feed.call.pause()
  await world.admin('POST', '/faults/stall', { store: Number(storeId), seconds: 60 })
  const writes: Promise<unknown>[] = []
  await world.admin('POST', '/faults/clear', {})
  for (let i = 0; i < 40; i++) writes.push(world.put(rowKey(4n, `big${i}`), Buffer.alloc(200_000)))
  await Promise.all(writes)
  feed.call.resume()
  await until(
    () => shortly(feed).includes('error congested'),
    () => shortly(feed).slice(-3).join(),
  )
})
