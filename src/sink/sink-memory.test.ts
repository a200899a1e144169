import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSinkMemory, openSinkMemory } from './sink-memory.ts'

test('a producer finds who was there before, in another thread too; the sides know nothing of each other', () => {
  const shared = createSinkMemory()
  const first = openSinkMemory(shared)
  assert.equal(first.rows.identity, undefined)
  first.rows.identity = { producerId: 0n, epoch: 7 }
  assert.deepEqual(openSinkMemory(shared).rows.identity, { producerId: 0n, epoch: 7 })
  assert.equal(openSinkMemory(shared).control.identity, undefined)
  first.rows.identity = { producerId: 9_007_199_254_740_993n, epoch: 0x7fff }
  assert.deepEqual(openSinkMemory(shared).rows.identity, { producerId: 9_007_199_254_740_993n, epoch: 0x7fff })
})
