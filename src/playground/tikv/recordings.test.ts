// The stores, given the workload of a recording of a real TiKV, answer what the real one answered.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Event } from '../../proto/cdcpb.ts'
import { ChangeDataEvent, ChangeDataRequest } from '../../proto/cdcpb.ts'
import {
  BatchRollbackRequest,
  CommitRequest,
  Op,
  PessimisticLockRequest,
  PessimisticRollbackRequest,
  PrewriteRequest,
  PrewriteRequest_PessimisticAction as Action,
} from '../../proto/kvrpcpb.ts'
import { noBytes } from './bytes.ts'
import type { Cluster } from './cluster.ts'
import type { Recording, Stream, Txn } from './recordings.fixture.ts'
import { bytesOf, createWorld, isThere, load, rowsOf, until } from './recordings.fixture.ts'

for (const name of ['basic-v2', 'basic-v1'].filter(isThere))
  test(`live changes of ${name} come as TiKV sent them`, async () => {
    const recording = load(name)
    await using world = await createWorld(recording)
    const streams = await world.register()
    const checkpoint = events(streams).length
    for (const txn of recording.txns) runTxn(world.cluster, txn)
    const wanted = rowsByRegion(recordedEvents(recording))
    await until(
      () => rowsByRegion(events(streams)).length >= wanted.length,
      () => `${wanted.length} rows`,
    )
    assert.equal(checkpoint, streams.size)
    assert.deepEqual(rowsByRegion(events(streams)), wanted)
    for (const rows of events(streams).map(rowsOf))
      if (rows.some(({ type }) => type === 0)) assert.equal(rows.length, 1)
  })

for (const name of [
  'initial-scan-v2',
  'initial-scan-v1',
  'initial-scan-v1-old-client',
  'initial-scan-no-old-v2',
  'initial-scan-filter-loop-v2',
  'initial-scan-partial-v2',
].filter(isThere))
  test(`the scan of ${name} gives TiKV's rows in TiKV's order`, async () => {
    const recording = load(name, 'basic-v2')
    await using world = await createWorld(recording)
    for (const txn of recording.txns) runTxn(world.cluster, txn)
    const streams = await world.register()
    const wanted = byRegion(recordedEvents(recording))
    assert.deepEqual(byRegion(events(streams)), wanted)
  })

for (const name of ['errors-v2', 'errors-v1'].filter(isThere))
  test(`refused registrations, deregistrations and ends of ${name} are those of TiKV`, async () => {
    const recording = load(name)
    await using world = await createWorld(recording)
    const wanted = new Map<number, Event[]>()
    const streams = new Map<number, Stream>()
    const left = [...recording.txns]
    const settled = async (): Promise<void> => {
      for (const [s, all] of wanted)
        await until(
          () => (streams.get(s)?.events.length ?? 0) >= all.length,
          () => `stream ${s} has ${streams.get(s)?.events.length} of ${all.length} events`,
        )
    }
    for (const line of recording.lines) {
      const s = line.s ?? 0
      switch (line.k) {
        case 'open':
          streams.set(s, world.open(line))
          break
        case 'req':
          await settled()
          streams.get(s)?.call.write(ChangeDataRequest.decode(bytesOf(line)))
          break
        case 'resp': {
          const message = ChangeDataEvent.decode(bytesOf(line))
          const txn = left.find(({ start_ts }) => hasPrewrite(message.events, BigInt(start_ts)))
          if (txn !== undefined) {
            await settled()
            left.splice(left.indexOf(txn), 1)
            runTxn(world.cluster, txn)
          }
          wanted.set(s, [...(wanted.get(s) ?? []), ...message.events])
          break
        }
        case 'end': {
          await settled()
          const stream = streams.get(s)
          stream?.call.end()
          assert.deepEqual(await stream?.ended, { code: line.code, details: line.code === 0 ? 'OK' : line.message })
          break
        }
      }
    }
    for (const [s, all] of wanted) assert.deepEqual(streams.get(s)?.events, all)
  })

/** Does what the client of the recording did, with its timestamps. */
function runTxn(cluster: Cluster, txn: Txn): void {
  const modes = txn.mode.split(',')
  const has = (mode: string): boolean => modes.includes(mode)
  const startVersion = BigInt(txn.start_ts)
  const commitVersion = BigInt(txn.commit_ts)
  const context = { txnSource: BigInt(txn.txn_source ?? 0) }
  const keys = txn.mutations.map(({ key }) => Buffer.from(key, 'hex'))
  const primaryLock = keys[0] ?? noBytes
  const forUpdateTs = has('pessimistic') ? startVersion : 0n
  const groups = Map.groupBy(txn.mutations, ({ key }) => cluster.regions.byRawKey(Buffer.from(key, 'hex')).id)
  if (has('pessimistic')) {
    const mutations = keys.map((key) => ({ op: Op.PessimisticLock, key }))
    void cluster.pessimistic.lock(
      PessimisticLockRequest.create({ mutations, primaryLock, startVersion, forUpdateTs, lockTtl: 3000n }),
    )
    if (has('rollback')) {
      cluster.pessimistic.rollback(PessimisticRollbackRequest.create({ keys, startVersion, forUpdateTs }))
      return
    }
  }
  if (txn.name.includes('before prewrite')) return
  for (const group of groups.values()) {
    const mutations = group.map(({ op, key, value }) => ({
      op: { put: Op.Put, delete: Op.Del, lock: Op.Lock }[op],
      key: Buffer.from(key, 'hex'),
      value: Buffer.from(value ?? '', 'base64'),
    }))
    const answer = cluster.prewrites.prewrite(
      PrewriteRequest.create({
        context,
        mutations,
        primaryLock,
        startVersion,
        forUpdateTs,
        lockTtl: 3000n,
        pessimisticActions: has('pessimistic') ? mutations.map(() => Action.DO_PESSIMISTIC_CHECK) : [],
        useAsyncCommit: has('async'),
        secondaries: has('async') ? keys.slice(1) : [],
        tryOnePc: has('1pc'),
        minCommitTs: has('async') || has('1pc') ? commitVersion : 0n,
      }),
    )
    assert.deepEqual(answer.errors, [], txn.name)
    if (has('1pc')) assert.equal(answer.onePcCommitTs, commitVersion, txn.name)
  }
  if (has('1pc')) return
  for (const group of groups.values()) {
    const part = group.map(({ key }) => Buffer.from(key, 'hex'))
    if (has('rollback')) cluster.finishes.batchRollback(BatchRollbackRequest.create({ keys: part, startVersion }))
    else {
      const { error } = cluster.finishes.commit(CommitRequest.create({ keys: part, startVersion, commitVersion }))
      assert.equal(error, undefined, txn.name)
    }
  }
}

function recordedEvents({ lines }: Recording): Event[] {
  return lines.flatMap((line) => (line.k === 'resp' ? ChangeDataEvent.decode(bytesOf(line)).events : [])).filter(isRows)
}

const events = (streams: ReadonlyMap<number, Stream>): Event[] =>
  [...streams.values()].flatMap((stream) => stream.events).filter(isRows)

const isRows = ({ event }: Event): boolean => event?.$case === 'entries'
const hasPrewrite = (all: readonly Event[], startTs: bigint): boolean =>
  all.some((event) => rowsOf(event).some((row) => row.type === 1 && row.startTs === startTs))

/** Neither the order of the rows of one command nor that of transactions in different regions is anybody's promise. */
const rowsByRegion = (all: readonly Event[]): unknown[] =>
  all
    .flatMap(({ regionId, requestId, ...event }) => rowsOf(event).map((row) => ({ regionId, requestId, ...row })))
    .map((row) => ({ order: `${row.regionId}/${row.startTs}/${row.type}/${row.key.toString('hex')}`, ...row }))
    .toSorted((a, b) => (a.order < b.order ? -1 : 1))

const byRegion = (all: readonly Event[]): unknown[] =>
  all.toSorted((a, b) => Number(a.regionId - b.regionId)).map((event) => ({ ...event, rows: rowsOf(event) }))
