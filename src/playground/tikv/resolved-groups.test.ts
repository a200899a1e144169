import assert from 'node:assert/strict'
import { test } from 'node:test'

import { groupResolved } from './resolved-groups.ts'

test('48 regions make groups of the 8 slowest, then 32, then the rest, each with its least timestamp', () => {
  const regions = new Map(
    Array.from({ length: 48 }, (_, index) => [BigInt(index), index === 30 ? 5n : 100n + BigInt(index)]),
  )
  const groups = groupResolved(7n, regions)
  assert.deepEqual(
    groups.map((group) => [group.regions.length, group.ts, group.requestId]),
    [
      [8, 5n, 7n],
      [32, 107n, 7n],
      [8, 140n, 7n],
    ],
  )
  assert.equal(groups[0]?.regions[0], 30n)
  assert.deepEqual(
    groups.flatMap((group) => group.regions).toSorted((a, b) => Number(a - b)),
    [...regions.keys()],
  )
})
