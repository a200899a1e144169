// What a real PD was asked, the playground's PD is asked too: the answers have the same fields and the same errors.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Client } from '@grpc/grpc-js'
import { credentials } from '@grpc/grpc-js'

import { KeyspaceClient, KeyspaceService, LoadKeyspaceRequest } from '../../proto/keyspacepb.ts'
import { ErrorType, GetRegionRequest, PDService, SplitRegionsRequest } from '../../proto/pdpb.ts'
import type { Line } from '../tikv/recordings.fixture.ts'
import { bytesOf, isThere, linesOf } from '../tikv/recordings.fixture.ts'
import { call, startWorld } from '../world.fixture.ts'

interface Headed {
  readonly header?: { readonly clusterId: bigint; readonly error?: { readonly type: number } | undefined } | undefined
}

interface Unary {
  readonly path: string
  readonly requestStream: boolean
  readonly requestSerialize: (request: Headed) => Buffer
  readonly requestDeserialize: (bytes: Buffer) => Headed
  readonly responseDeserialize: (bytes: Buffer) => Headed
}

/** Ours keeps service safe points as PD 8.5 does, and its regions and timestamps are others. */
const OTHERWISE = ['UpdateServiceGCSafePoint', 'SetGCBarrier', 'DeleteGCBarrier', 'GetGCState', 'GetRegionByID']

test('unary calls of pd are answered as PD answered them', { skip: !isThere('pd') }, async () => {
  const lines = linesOf('pd')
  const recordedId = BigInt(lines[0]?.cluster_id ?? 0)
  await using world = await startWorld()
  const splitKeys = lines
    .filter(({ k, rpc }) => k === 'req' && rpc === PDService.getRegion.path)
    .map((line) => GetRegionRequest.decode(bytesOf(line)).regionKey)
  await call(world.pd, PDService.splitRegions, SplitRegionsRequest.create({ header: world.header, splitKeys }))
  const keyspaces = new KeyspaceClient(new URL(world.playground.pd).host, credentials.createInsecure())
  try {
    let compared = 0
    for (const [index, line] of lines.entries()) {
      const method = methodOf(line)
      if (line.k !== 'req' || method === undefined || method.requestStream) continue
      if (OTHERWISE.some((name) => method.path.endsWith(`/${name}`))) continue
      const wanted = lines.slice(index + 1).find(({ k, rpc }) => rpc === line.rpc && (k === 'resp' || k === 'end'))
      if (wanted === undefined) continue
      const request = method.requestDeserialize(bytesOf(line))
      const header = request.header
      if (header?.clusterId === recordedId) Object.assign(header, { clusterId: world.clusterId })
      const client: Client = method.path.startsWith('/keyspacepb.') ? keyspaces : world.pd
      const answer = await call(client, method, request).then(shape, codeOf)
      const expected = wanted.k === 'end' ? { code: wanted.code } : shape(method.responseDeserialize(bytesOf(wanted)))
      assert.deepEqual(answer, expected, `line ${index + 1}: ${line.rpc}`)
      compared += 1
    }
    assert.ok(compared > 20, `${compared} calls`)
  } finally {
    keyspaces.close()
  }
})

test('a keyspace is known by its name when the admin port has made it', async () => {
  await using world = await startWorld()
  const keyspaces = new KeyspaceClient(new URL(world.playground.pd).host, credentials.createInsecure())
  try {
    const look = (name: string) =>
      call(keyspaces, KeyspaceService.loadKeyspace, LoadKeyspaceRequest.create({ header: world.header, name }))
    assert.equal((await look('tenant')).header?.error?.type, ErrorType.ENTRY_NOT_FOUND)
    assert.deepEqual(await world.admin('POST', '/keyspaces', { name: 'tenant' }), {
      status: 200,
      json: { name: 'tenant', id: 1 },
    })
    assert.deepEqual((await look('tenant')).keyspace?.keyspace, { $case: 'id', value: 1 })
    assert.deepEqual((await look('DEFAULT')).keyspace?.keyspace, { $case: 'id', value: 0 })
    assert.equal((await world.admin('POST', '/keyspaces', { name: 'tenant' })).status, 400)
    assert.equal((await world.admin('POST', '/keyspaces', { name: 'no spaces' })).status, 400)
  } finally {
    keyspaces.close()
  }
})

test('advance-gc drops old versions, and only those that nobody may read', async () => {
  await using world = await startWorld()
  const key = Buffer.from('t\x80\0\0\0\0\0\0\x09_r\x80\0\0\0\0\0\0\x01', 'latin1')
  const first = await world.put(key, Buffer.from('1'))
  const second = await world.put(key, Buffer.from('2'))
  const third = await world.put(key, Buffer.from('3'))
  const { json } = await world.admin('POST', '/faults/advance-gc', { safePoint: String(second.commitTs) })
  assert.equal(json['collected'], 1)
  assert.equal(await world.get(key, first.commitTs), undefined)
  assert.equal(await world.get(key, second.commitTs), '2')
  assert.equal(await world.get(key, third.commitTs), '3')
})

function methodOf({ rpc }: Line): Unary | undefined {
  const all = [...Object.values(PDService), ...Object.values(KeyspaceService)]
  const found = all.find(({ path }) => path === rpc)
  // The methods of a service have request types of their own, but all of these take a header.
  return found as Unary | undefined
}

/** Which fields are there, and the kind of an error in the header. */
function shape(response: Headed): object {
  const { header, ...fields } = response
  const there = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined || (Array.isArray(value) && value.length === 0) ? [] : [name],
  )
  return { error: header?.error?.type, fields: there.toSorted() }
}

const codeOf = (error: unknown): object => ({ code: error instanceof Error && 'code' in error ? error.code : error })
