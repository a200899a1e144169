import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { kvsOf } from '../../test/support/raw-rows.ts'
import { opOrder, type RawBatch, type RawKv } from '../event/raw-kv.ts'
import { maxTs, Ts, zeroTs } from '../tidb/ts.ts'
import { addAll, openSorter, rawKv, showRow } from '../../test/support/sorter-fixture.ts'
import type { SorterCursor } from './sorter.ts'

const { signal } = new AbortController()

async function drain(cursor: SorterCursor, upTo = maxTs, maxBytes = 1 << 20): Promise<RawBatch[]> {
  const batches: RawBatch[] = []
  for (;;) {
    const batch = await cursor.next(upTo, maxBytes, signal)
    if (batch === undefined) return batches
    batches.push(batch)
  }
}

test('rows come in the order commitTs, startTs, delete < update < insert, key', async () => {
  const { sorter } = openSorter()
  addAll(sorter, [
    rawKv(2, 9, 1),
    rawKv(1, 9, 4, 3),
    rawKv(1, 9, 3, 2),
    rawKv(1, 9, 9, 1),
    rawKv(1, 5, 7),
    rawKv(1, 9, 2, 2),
  ])
  sorter.resolve(Ts(9n))
  const [batch] = await drain(sorter.cursor(zeroTs))
  assert.deepEqual(batch && kvsOf(batch.rows).map(showRow), [
    '5/1/3/7',
    '9/1/1/9',
    '9/1/2/2',
    '9/1/2/3',
    '9/1/3/4',
    '9/2/3/1',
  ])
})

test('a row above the resolvedTs or above the grant is not readable yet', async () => {
  const { sorter } = openSorter()
  const cursor = sorter.cursor(zeroTs)
  addAll(sorter, [rawKv(1, 5, 1), rawKv(1, 7, 2), rawKv(1, 12, 3)])
  assert.equal(await cursor.next(maxTs, 1000, signal), undefined)
  sorter.resolve(Ts(10n))
  assert.deepEqual(
    (await drain(cursor, Ts(6n))).flatMap(({ rows }) => kvsOf(rows).map(showRow)),
    ['5/1/3/1'],
  )
  assert.equal(cursor.peek(), 7n)
  assert.deepEqual(
    (await drain(cursor)).flatMap(({ rows }) => kvsOf(rows).map(showRow)),
    ['7/1/3/2'],
  )
})

test('a row at or below the resolvedTs is refused', () => {
  const { sorter } = openSorter()
  sorter.resolve(Ts(10n))
  assert.throws(() => addAll(sorter, [rawKv(1, 10, 1)]), RangeError)
})

test('a batch never mixes whole transactions with a piece of another one', async () => {
  const { sorter } = openSorter()
  addAll(sorter, [
    rawKv(1, 5, 1),
    rawKv(2, 6, 1, 3, 400),
    rawKv(2, 6, 2, 3, 400),
    rawKv(2, 6, 3, 3, 400),
    rawKv(3, 7, 1),
  ])
  sorter.resolve(Ts(10n))
  const cursor = sorter.cursor(zeroTs)
  const batches = await drain(cursor, maxTs, 400)
  assert.deepEqual(
    batches.map(({ part, rows, end }) => [part, rows.length, end.complete]),
    [
      ['whole', 1, true],
      ['first', 1, false],
      ['middle', 1, false],
      ['last', 1, true],
      ['whole', 1, true],
    ],
  )
})

test('rewindTransaction reads a large transaction again from its first row', async () => {
  const { sorter } = openSorter()
  addAll(sorter, [rawKv(1, 5, 1), ...[1, 2, 3, 4].map((key) => rawKv(2, 6, key, 3, 400)), rawKv(3, 7, 1)])
  sorter.resolve(Ts(10n))
  const cursor = sorter.cursor(zeroTs)
  const seen: string[] = []
  let rewound = false
  for (let batch; (batch = await cursor.next(maxTs, 400, signal)) !== undefined;) {
    seen.push(...kvsOf(batch.rows).map((kv) => `${batch?.part}:${showRow(kv)}`))
    if (batch.part === 'last' && !rewound) {
      rewound = true
      cursor.rewindTransaction()
    }
  }
  const big = ['first:6/2/3/1', 'middle:6/2/3/2', 'middle:6/2/3/3', 'last:6/2/3/4']
  assert.deepEqual(seen, ['whole:5/1/3/1', ...big, ...big, 'whole:7/3/3/1'])
})

test('releasing by the checkpoint gives back all memory, whatever cursors did', async () => {
  const opened = openSorter()
  const { sorter } = opened
  for (let ts = 1; ts <= 20_000; ts++) addAll(sorter, [rawKv(ts, ts + 1, ts % 256)])
  sorter.resolve(Ts(30_000n))
  const rows = (await drain(sorter.cursor(zeroTs))).flatMap((batch) => kvsOf(batch.rows))
  assert.equal(rows.length, 20_000)
  sorter.release(Ts(30_000n))
  opened.close()
})

test('a cursor set back to the checkpoint reads again what was not released', async () => {
  const { sorter } = openSorter()
  addAll(
    sorter,
    [1, 2, 3, 4].map((ts) => rawKv(ts, ts * 10, ts)),
  )
  sorter.resolve(Ts(100n))
  await drain(sorter.cursor(zeroTs))
  sorter.release(Ts(20n))
  const again = (await drain(sorter.cursor(Ts(20n)))).flatMap(({ rows }) => kvsOf(rows).map(showRow))
  assert.deepEqual(again, ['30/3/3/3', '40/4/3/4'])
})

test('whatever the arrival, resolves and batch sizes: output is ordered, complete and without repeats', async () => {
  const arrival = fc.array(
    fc.record({
      commit: fc.integer({ min: 4, max: 60 }),
      startBack: fc.integer({ min: 1, max: 3 }),
      key: fc.integer({ min: 0, max: 5 }),
      op: fc.constantFrom<1 | 2 | 3>(1, 2, 3),
      repeat: fc.boolean(),
    }),
    { maxLength: 200 },
  )
  await fc.assert(
    fc.asyncProperty(
      arrival,
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 1, max: 30 }),
      async (all, max, step) => {
        const opened = openSorter()
        const { sorter } = opened
        const cursor = sorter.cursor(zeroTs)
        const got: RawKv[] = []
        for (let ts = step; ts < 60 + step; ts += step) {
          const due = all.filter(({ commit }) => commit > ts - step)
          const rows = due.map(({ commit, startBack, key, op }) => rawKv(commit - startBack, commit, key, op))
          // Rows far ahead of the resolvedTs come too, and come again later, as after a region's rescan.
          addAll(
            sorter,
            rows.filter((kv, at) => kv.commitTs <= BigInt(ts) || due[at]?.repeat === true),
          )
          sorter.resolve(Ts(BigInt(ts)))
          for (const batch of await drain(cursor, maxTs, max)) got.push(...kvsOf(batch.rows))
          sorter.release(Ts(BigInt(ts)))
        }
        const keys = got.map(showRow)
        const wanted = new Set(
          all.map(({ commit, startBack, key, op }) => `${commit}/${commit - startBack}/${op}/${key}`),
        )
        assert.equal(new Set(keys).size, keys.length)
        assert.deepEqual(new Set(keys), wanted)
        const tuple = (kv: RawKv): number[] => [Number(kv.commitTs), Number(kv.startTs), opOrder(kv), kv.key[0] ?? 0]
        const less = (a: number[], b: number[]): boolean => {
          const at = a.findIndex((part, index) => part !== b[index])
          return at >= 0 && (a[at] ?? 0) < (b[at] ?? 0)
        }
        const tuples = got.map(tuple)
        const ordered = tuples.every((now, at) => at === 0 || less(tuples[at - 1] ?? [], now))
        assert.ok(ordered)
        opened.close()
      },
    ),
    { numRuns: 200 },
  )
})
