import { rowsOf } from '../../test/support/raw-rows.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testTable } from '../../test/support/table-version.ts'
import { Messages } from '../event/encoded.ts'
import type { RawKv } from '../event/raw-kv.ts'
import type { RowChange, Values } from '../event/row-change.ts'
import { Ts } from '../tidb/ts.ts'
import { compileRowPlan } from './row-plan.ts'

const table = testTable({
  columns: { id: 'int primary key', u: 'int', v: 'int' },
  indexes: [{ name: 'u', unique: true, columns: ['u'] }],
})

type Sides = readonly [before: Values | undefined, after: Values | undefined, transaction?: bigint]

/** What leaves for rows that are mounted already; a message says what it shows. */
function run(rows: readonly Sides[], splitUpdates: boolean, pass: 'all' | 'deletes' | 'rest' = 'all'): string[] {
  const checksum = { version: 0, corrupted: false, current: 7, previous: 6 }
  const changes = rows.map(([before, after, ts = 1n]): RowChange => ({
    startTs: Ts(ts),
    commitTs: Ts(ts),
    before,
    after,
    checksum,
  }))
  const plan = compileRowPlan({
    table,
    topic: 't',
    partitions: 1,
    mount: (raw) => changes[raw.key[0] ?? 0] as RowChange,
    ignores: undefined,
    selection: undefined,
    stored: undefined,
    partitionOf: () => 0,
    encoder: {
      encode({ before, after, checksum: sums }, partition, out) {
        const text = `${before?.join() ?? ''}>${after?.join() ?? ''} ${sums?.previous}/${sums?.current}`
        out.push({ partition, key: null, value: Buffer.from(text), rows: 1 })
      },
      flush() {},
    },
    splitUpdates,
  })
  const raws = changes.map(({ startTs, commitTs }, i): RawKv => ({
    startTs,
    commitTs,
    key: Uint8Array.of(i),
    value: undefined,
    oldValue: undefined,
  }))
  const out = new Messages()
  plan.run(rowsOf(raws), 0, raws.length, pass, out)
  return [...out].map(({ value }) => Buffer.from(value ?? []).toString())
}

const rows: readonly Sides[] = [
  [[1, 1, 1], undefined],
  [
    [2, 2, 2],
    [2, 3, 2],
  ],
  [
    [3, null, 3],
    [3, 2, 3],
  ],
  [
    [4, 4, 4],
    [4, 4, 5],
  ],
  [undefined, [1, 1, 9]],
]

test('an update of a primary or unique key, also from NULL, leaves as a delete and an insert; deletes go first', () => {
  assert.deepEqual(run(rows, true), [
    '1,1,1> 6/7',
    '2,2,2> 6/0',
    '3,,3> 6/0',
    '4,4,4>4,4,5 6/7',
    '>2,3,2 0/7',
    '>3,2,3 0/7',
    '>1,1,9 6/7',
  ])
})

test('each transaction is sorted by itself', () => {
  const both: readonly Sides[] = [...rows.slice(1, 2), [[9, 9, 9], [9, 8, 9], 2n]]
  assert.deepEqual(run(both, true), ['2,2,2> 6/0', '>2,3,2 0/7', '9,9,9> 6/0', '>9,8,9 0/7'])
})

test('a transaction that is read twice sends its deletes first, and nothing twice', () => {
  assert.deepEqual([...run(rows, true, 'deletes'), ...run(rows, true, 'rest')], run(rows, true))
})

test('with output-raw-change-event rows are left alone', () => {
  assert.deepEqual(run(rows, false), [
    '1,1,1> 6/7',
    '2,2,2>2,3,2 6/7',
    '3,,3>3,2,3 6/7',
    '4,4,4>4,4,5 6/7',
    '>1,1,9 6/7',
  ])
})
