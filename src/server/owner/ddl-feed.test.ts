import type { RawRow } from '../../event/raw-row.ts'
import { rowOf } from '../../../test/support/raw-rows.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RawKv } from '../../event/raw-kv.ts'
import { readJob } from '../../schema/finished-job.ts'
import { stringifyDdlJob } from '../../tidb/ddl-job.ts'
import { Ts } from '../../tidb/ts.ts'
import type { EventFeed, FeedSink } from '../../upstream/tikv/feed.ts'
import { openDdlFeed } from './ddl-feed.ts'

/** An event feed that a test speaks for. */
function createFake(): { readonly events: EventFeed; readonly sinks: FeedSink[]; disposed: number } {
  const sinks: FeedSink[] = []
  const fake = {
    sinks,
    disposed: 0,
    events: {
      subscribe(_range: unknown, startTs: Ts, sink: FeedSink) {
        sinks.push(sink)
        const regions = { total: 1, initialized: 1 }
        const holder = { bytes: 0, blocks: () => [], spilled() {} }
        return { regions, resolvedTs: startTs, bytes: 0, holder, [Symbol.dispose]: () => void fake.disposed++ }
      },
      [Symbol.asyncDispose]: async () => {},
    },
  }
  return fake
}

const rowAt = (commitTs: bigint): RawRow => {
  const ts = Ts(commitTs)
  return rowOf({ startTs: ts, commitTs: ts, key: new Uint8Array(), value: new Uint8Array(), oldValue: undefined })
}

const readRow = ({ startTs, commitTs }: RawKv) => {
  const names = { schemaId: 1n, tableId: 0n, schemaName: 's', tableName: '', query: '' }
  const job = { id: commitTs, type: 1, state: 4, schemaState: 5, schemaVersion: commitTs, startTs, ...names }
  return readJob(stringifyDdlJob(job), startTs, commitTs)
}

test('jobs come in order, once, when every range has resolved them', () => {
  const fake = createFake()
  let changes = 0
  using feed = openDdlFeed(fake.events, readRow, Ts(10n), () => changes++)
  const [first, ...others] = fake.sinks
  first?.row(rowAt(30n))
  first?.row(rowAt(20n))
  first?.row(rowAt(20n))
  first?.row(rowAt(9n))
  first?.resolved(Ts(25n))
  assert.deepEqual([feed.resolvedTs, feed.take(), changes], [10n, [], 0])
  for (const other of others) other.resolved(Ts(40n))
  assert.equal(changes, 1)
  assert.deepEqual(
    feed.take().map(({ commitTs }) => commitTs),
    [20n],
  )
  first?.resolved(Ts(35n))
  assert.deepEqual(
    feed.take().map(({ commitTs }) => commitTs),
    [30n],
  )
  first?.row(rowAt(30n))
  assert.deepEqual(feed.take(), [])
})

test('a job that cannot be read, or a dead range, is an error of the feed', () => {
  const fake = createFake()
  let changes = 0
  const feed = openDdlFeed(
    fake.events,
    () => {
      throw new Error('broken job')
    },
    Ts(10n),
    () => changes++,
  )
  fake.sinks[0]?.row(rowAt(30n))
  assert.equal(feed.error?.message, 'broken job')
  fake.sinks[1]?.failed(new Error('dead range'))
  assert.deepEqual([feed.error?.message, changes], ['broken job', 2])
  feed[Symbol.dispose]()
  assert.equal(fake.disposed, fake.sinks.length)
})
