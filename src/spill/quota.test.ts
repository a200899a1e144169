import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createQuotaMemory, forgetWorker, openQuota } from './quota.ts'

test('what a dead worker held is free again, and what the others hold is not', async () => {
  const shared = createQuotaMemory(1000, 2)
  const [first, second] = [openQuota(shared, 0), openQuota(shared, 1)]
  first.addBefore(100)
  second.addBefore(30)
  await first.reserveAfter(200, AbortSignal.timeout(1000))
  await second.reserveAfter(50, AbortSignal.timeout(1000))
  second.releaseAfter(20)
  first.addAfter(40)
  forgetWorker(shared, 0)
  assert.deepEqual(first.used(), { before: 30, after: 30 })
  forgetWorker(shared, 0)
  forgetWorker(shared, 1)
  assert.deepEqual(first.used(), { before: 0, after: 0 })
})
