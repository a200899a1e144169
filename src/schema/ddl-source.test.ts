import assert from 'node:assert/strict'
import { test } from 'node:test'
import { objectOf, stringifyJson, stringOf, integerOf } from '../tidb/json-big.ts'
import { DDL_HISTORY_TABLE_ID, DDL_JOB_TABLE_ID, listItemKey, tableKey } from '../tidb/meta-key.ts'
import { decodeRecordKey, recordKey } from '../tidb/key.ts'
import { Ts } from '../tidb/ts.ts'
import { ddlRanges, openJobReader } from './ddl-source.ts'
import { ddlJobVectors, jobText, MemoryMeta } from './schema.fixture.ts'

const { jobTable, rows } = ddlJobVectors()

function metaWithJobTables(): MemoryMeta {
  const meta = new MemoryMeta(1n, 1n)
  meta.putDatabase(1n, 'mysql')
  meta.put(tableKey(1n, DDL_JOB_TABLE_ID), stringifyJson(jobTable))
  meta.put(tableKey(1n, DDL_HISTORY_TABLE_ID), stringifyJson({ ...jobTable, id: DDL_HISTORY_TABLE_ID }))
  return meta
}

const signal = new AbortController().signal
const kv = (key: Uint8Array, value: Uint8Array | undefined) => ({
  startTs: Ts(7n),
  commitTs: Ts(9n),
  key,
  value,
  oldValue: undefined,
})

for (const row of rows)
  test(`vector ${stringOf(row['id'])} is ${row['job_accepted'] === true ? 'a job' : 'not a job that takes effect'}`, async () => {
    const read = await openJobReader(metaWithJobTables(), signal)
    const key = Buffer.from(stringOf(row['key']), 'hex')
    const found = read(kv(key, Buffer.from(stringOf(row['value']), 'hex')))
    if (row['job_accepted'] !== true) {
      assert.ok(found === undefined || found.schemaVersion === 0n)
      return
    }
    const job = objectOf(row['job'])
    assert.ok(found !== undefined)
    assert.equal(found.commitTs, 9n)
    assert.equal(found.job.id, integerOf(job['id']))
    assert.equal(found.job.type, job['type'])
    assert.equal(found.job.query, job['query'])
  })

test('the history table gives tables created without the job table, and nothing else', async () => {
  const read = await openJobReader(metaWithJobTables(), signal)
  const row = rows.find(({ id }) => id === 'ddl-job-create-table')
  assert.ok(row !== undefined)
  const value = Buffer.from(stringOf(row['value']), 'hex')
  const key = recordKey(DDL_HISTORY_TABLE_ID, decodeRecordKey(Buffer.from(stringOf(row['key']), 'hex')).handle)
  assert.equal(read(kv(key, value)), undefined)
  const synced = Buffer.from(value.toString('latin1').replace('"state":4', '"state":6'), 'latin1')
  assert.equal(read(kv(key, synced))?.job.type, 3)
})

test('queues of old versions hold the job itself', async () => {
  const read = await openJobReader(metaWithJobTables(), signal)
  const text = Buffer.from(jobText({ id: 3n, type: 1, ts: 9n, database: 'a' }))
  assert.equal(read(kv(listItemKey('DDLJobList', 0n), text))?.job.id, 3n)
})

test('deletions are not jobs, and broken ones name their key', async () => {
  const read = await openJobReader(metaWithJobTables(), signal)
  const key = recordKey(DDL_JOB_TABLE_ID, new Uint8Array(8))
  assert.equal(read(kv(key, undefined)), undefined)
  assert.throws(() => read(kv(key, Buffer.from([128, 0, 1]))), { code: 'CDC:ErrInvalidDDLJob' })
})

test('job table, history table and both queues are subscribed', () => assert.equal(ddlRanges().length, 4))
