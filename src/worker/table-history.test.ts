import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SchemaVersion } from '../changefeed/messages.ts'
import { Ts } from '../tidb/ts.ts'
import { TableHistory } from './table-history.ts'
import { TableInfos } from './table-infos.ts'

const ts = (value: number): Ts => Ts(BigInt(value))

/** A version as it comes in a message: with bytes of its own. */
function version(physicalId: number, at: number, number: number, name = 't'): SchemaVersion {
  const text = Buffer.from(JSON.stringify({ id: 1, name: { O: name, L: name }, cols: [], state: 5 }))
  const json = new Uint8Array(new SharedArrayBuffer(text.length))
  json.set(text)
  return { physicalId: BigInt(physicalId), schema: 'd', version: ts(at), info: { number, json } }
}

/** What the table's rows of a commitTs are read with. */
async function schemaAt(table: TableHistory, commitTs: number): Promise<SchemaVersion> {
  const found = Promise.withResolvers<SchemaVersion>()
  table.forgetPlans()
  table
    .planAt(ts(commitTs), (schema) => {
      found.resolve(schema)
      return new Promise(() => {})
    })
    .catch(found.reject)
  return found.promise
}

test('partitions share what one version of their table says, each under its own id', async () => {
  const infos = new TableInfos()
  const partitions = [11, 12].map((id) => new TableHistory(BigInt(id), infos))
  for (const [at, table] of partitions.entries()) table.add(version(11 + at, 100, 1))
  assert.equal(infos.size, 1)
  const [one, two] = await Promise.all(partitions.map(async (table) => infos.tableOf(await schemaAt(table, 150))))
  assert.deepEqual([one?.physicalId, two?.physicalId], [11n, 12n])
  assert.equal(one?.info, two?.info)
  assert.equal(one?.columns, two?.columns)
})

test('an info goes with the last version that has it', () => {
  const infos = new TableInfos()
  const [one, two] = [11n, 12n].map((id) => new TableHistory(id, infos))
  assert.ok(one !== undefined && two !== undefined)
  one.add(version(11, 100, 1))
  two.add(version(12, 100, 1))
  one.add(version(11, 200, 2))
  two.add(version(12, 200, 2))
  assert.equal(one.release(ts(200)), true)
  assert.equal(infos.size, 2)
  two.release(ts(200))
  assert.equal(infos.size, 1)
  // Sent again, and replaced by another.
  one.add(version(11, 200, 2))
  one.add(version(11, 200, 3))
  assert.equal(infos.size, 2)
  one[Symbol.dispose]()
  two[Symbol.dispose]()
  assert.equal(infos.size, 0)
})

test('versions come in any order, and one of the same ts takes the place of the other', async () => {
  const infos = new TableInfos()
  const table = new TableHistory(11n, infos)
  for (const [at, number, name] of [
    [200, 2, 'b'],
    [100, 1, 'a'],
    [300, 3, 'c'],
    [200, 4, 'd'],
  ] as const)
    table.add(version(11, at, number, name))
  const names = [150, 200, 201, 301].map(async (at) => infos.tableOf(await schemaAt(table, at)).table)
  assert.deepEqual(await Promise.all(names), ['a', 'a', 'd', 'c'])
  assert.equal(infos.size, 3)
  table.add({ physicalId: 11n, schema: 'd', version: ts(400), info: undefined })
  await assert.rejects(schemaAt(table, 401), { code: 'CDC:ErrSchemaSnapshotNotFound' })
})
