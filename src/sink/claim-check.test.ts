import { Messages } from '../event/encoded.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testTable } from '../../test/support/table-version.ts'
import type { EncodedBatch } from '../event/encoded.ts'
import type { ObjectStorage } from '../storage/storage.ts'
import { Ts } from '../tidb/ts.ts'
import { ClaimChecks } from './claim-check.ts'

const table = testTable({ columns: { id: 'int primary key' } })
const alwaysOpen = { open: () => true }

function batchOf(...uploads: readonly (string | undefined)[]): EncodedBatch {
  const value = new Uint8Array()
  const messages = uploads.map((name) => {
    const message = { partition: 0, key: null, value, rows: 1 }
    return name === undefined ? message : { ...message, upload: { name, content: value } }
  })
  return {
    table,
    topic: 't',
    messages: Messages.of(messages),
    end: { commitTs: Ts(1n), startTs: Ts(1n), complete: true },
  }
}

/** Writes end when the test says so. */
class SlowStorage implements ObjectStorage {
  readonly writes = new Map<string, PromiseWithResolvers<void>>()

  write(path: string): Promise<void> {
    const done = Promise.withResolvers<void>()
    this.writes.set(path, done)
    return done.promise
  }

  read = async (): Promise<undefined> => undefined
  size = async (): Promise<number> => 0
  list = async (): Promise<readonly string[]> => []
  check = async (): Promise<void> => {};
  [Symbol.dispose](): void {}
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}

test('batches pass in the order of their calls; nobody waits where nothing is stored', async () => {
  const storage = new SlowStorage()
  await using checks = new ClaimChecks(Promise.resolve(storage), alwaysOpen)
  assert.equal(checks.pass(batchOf(undefined)), undefined)
  const passed: number[] = []
  const waits = [batchOf('a'), batchOf(undefined), batchOf('b', 'c'), batchOf(undefined)].map(async (batch, i) => {
    await checks.pass(batch)
    passed.push(i)
  })
  await turns()
  assert.deepEqual([...storage.writes.keys()], ['a'])
  assert.deepEqual(passed, [])
  storage.writes.get('a')?.resolve()
  await turns()
  assert.deepEqual(passed, [0, 1])
  assert.deepEqual([...storage.writes.keys()], ['a', 'b', 'c'])
  storage.writes.get('c')?.resolve()
  await turns()
  assert.deepEqual(passed, [0, 1], 'a batch waits for all that it points to')
  storage.writes.get('b')?.resolve()
  await Promise.all(waits)
  assert.deepEqual(passed, [0, 1, 2, 3])
  assert.equal(checks.pass(batchOf(undefined)), undefined)
})

test('after a failure nothing passes any more', async () => {
  const storage = new SlowStorage()
  await using checks = new ClaimChecks(Promise.resolve(storage), alwaysOpen)
  const first = checks.pass(batchOf('a'))
  const second = checks.pass(batchOf(undefined))
  await turns()
  storage.writes.get('a')?.reject(new Error('disk full'))
  await assert.rejects(Promise.resolve(first), /disk full/)
  await assert.rejects(Promise.resolve(second), /disk full/)
  await assert.rejects(Promise.resolve(checks.pass(batchOf(undefined))), /disk full/)
})

test('nothing is stored when the lease has ended', async () => {
  const storage = new SlowStorage()
  await using checks = new ClaimChecks(Promise.resolve(storage), { open: () => false })
  await assert.rejects(Promise.resolve(checks.pass(batchOf('a'))), { code: 'CDC:ErrCaptureSuicide' })
  assert.equal(storage.writes.size, 0)
})
