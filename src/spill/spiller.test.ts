import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestRunFiles } from '../../test/support/spilling-feed.ts'
import { createQuotaMemory, openQuota } from './quota.ts'
import type { Segment } from './run-files.ts'
import { type Holder, Spiller } from './spiller.ts'

const LIMIT = 1000

function openSpiller() {
  const files = openTestRunFiles()
  const quota = openQuota(createQuotaMemory(LIMIT))
  const spiller = new Spiller(quota, files)
  const hold = (bytes: number, onSpilled = () => {}) => {
    const segments: Segment[] = []
    const holder: Holder & { bytes: number } = {
      bytes,
      blocks: () => [Buffer.alloc(bytes)],
      spilled(segment) {
        segments.push(segment)
        quota.addBefore(-bytes)
        holder.bytes = 0
        onSpilled()
      },
    }
    quota.addBefore(bytes)
    spiller.add(holder)
    return segments
  }
  return { files, quota, spiller, hold, [Symbol.dispose]: () => files[Symbol.dispose]() }
}

test('the largest holders go to disk, until little enough is left', () => {
  using opened = openSpiller()
  const [small, large, middle] = [opened.hold(100), opened.hold(400), opened.hold(200)]
  opened.spiller.relieve()
  assert.deepEqual([small.length, large.length, middle.length], [0, 1, 0])
  assert.equal(opened.quota.used().before, 300)
})

test('who asks for memory while holders are told has it already', () => {
  using opened = openSpiller()
  const ask = (): void => opened.spiller.relieve()
  const holders = [opened.hold(301, ask), opened.hold(300, ask), opened.hold(299, ask)]
  opened.quota.addBefore(500)
  opened.spiller.relieve()
  assert.deepEqual(
    holders.map(({ length }) => length),
    [1, 1, 1],
  )
})
