import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testTable } from '../../test/support/table-version.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import type { BootstrapSettings } from '../config/sink-settings.ts'
import { type EncodedMessage, Messages } from '../event/encoded.ts'
import { Bootstraps } from './bootstraps.ts'
import type { RowPlan } from './row-plan.ts'

const planOf = (physicalId: bigint): RowPlan => ({
  table: testTable({ columns: { id: 'int' }, physicalId }),
  topic: 't',
  partitions: 3,
  splits: false,
  run() {},
})
const row: EncodedMessage = { partition: 1, key: null, value: Buffer.from('row'), rows: 1 }

function start(changes: Partial<BootstrapSettings> = {}) {
  let now = 0
  const clock: Clock = { ...systemClock, monotonic: () => now }
  const settings = { intervalMs: 120_000, messages: 10, toAllPartitions: true, allAtStart: false, ...changes }
  const bootstraps = new Bootstraps(settings, () => ({ key: null, value: Buffer.from('schema') }), clock)
  return { bootstraps, advance: (ms: number) => void (now += ms) }
}

test('the first rows of a table follow its announcement on every partition, later ones follow none', () => {
  const { bootstraps } = start()
  const plan = planOf(1n)
  const first = bootstraps.before(plan, Messages.of([row]))
  assert.deepEqual(
    [...first].map(({ partition, rows }) => [partition, rows]),
    [
      [0, 0],
      [1, 0],
      [2, 0],
      [1, 1],
    ],
  )
  assert.deepEqual([...bootstraps.before(plan, Messages.of([row]))], [row])
  bootstraps.forget()
  assert.equal(bootstraps.before(plan, Messages.of([row])).length, 4)
  assert.deepEqual(
    start({ toAllPartitions: false })
      .bootstraps.announce(plan)
      .map(({ partition }) => partition),
    [0],
  )
})

test('a table is due again after its time or its rows, but looked at every 5 s only', () => {
  const { bootstraps, advance } = start()
  const [busy, quiet] = [planOf(1n), planOf(2n)]
  bootstraps.before(busy, Messages.of([row]))
  bootstraps.before(quiet, Messages.of([row]))
  for (let i = 0; i < 10; i++) bootstraps.before(busy, Messages.of([row]))
  assert.deepEqual(bootstraps.due(), [])
  advance(5000)
  assert.deepEqual(bootstraps.due(), [busy])
  bootstraps.announce(busy)
  advance(115_000)
  assert.deepEqual(bootstraps.due(), [quiet])
  bootstraps.announce(quiet)
})

test('a table without rows for half an hour is forgotten, and announced with its next row', () => {
  const { bootstraps, advance } = start()
  const plan = planOf(1n)
  bootstraps.before(plan, Messages.of([row]))
  for (let minute = 0; minute < 31; minute++) {
    advance(60_000)
    for (const due of bootstraps.due()) bootstraps.announce(due)
  }
  assert.deepEqual(bootstraps.due(), [])
  assert.equal(bootstraps.before(plan, Messages.of([row])).length, 4)
})

test('rows go by the newest plan of their table', () => {
  const { bootstraps, advance } = start()
  const [older, newer] = [planOf(1n), planOf(1n)]
  bootstraps.before(older, Messages.of([row]))
  bootstraps.before(newer, Messages.of([row]))
  advance(120_000)
  assert.deepEqual(bootstraps.due(), [newer])
})
