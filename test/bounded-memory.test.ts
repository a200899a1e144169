// More than memory holds: reduced forms of `npm run test:long -- --only large`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runAbsentSink, runFullDisk, runLargeTransaction, runStaleFiles } from './support/large-backlog.ts'

const QUOTA_MIB = 16
const reduced = { rows: 300_000, padBytes: 100, memoryQuota: QUOTA_MIB << 20, maxRssMib: 700, deadlineMs: 120_000 }

test(`a transaction of 300,000 rows passes under ${QUOTA_MIB} MiB`, async () => {
  await runLargeTransaction(reduced)
})

test(`300,000 rows wait for a broker that is away, under ${QUOTA_MIB} MiB, and are not read again`, async () => {
  await runAbsentSink(reduced)
})

test('run files of a server that died are gone when the next one is up', async () => {
  const [left, kept] = await runStaleFiles({ ...reduced, rows: 50_000, memoryQuota: 1 << 20 })
  assert.ok(left.length > 0)
  assert.deepEqual(kept, [])
})

test('tables that a disk of 8 MiB does not hold are read again after the broker is back', async () => {
  await runFullDisk({ ...reduced, rows: 60_000, tables: 4, memoryQuota: 1 << 20, diskQuota: 8 << 20 })
})
