import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

import { Ts } from '../../tidb/ts.ts'
import { type RangeHold, RangeLock } from './range-lock.ts'

interface Step {
  readonly op: 'lock' | 'unlock' | 'advance' | 'resolved_ts'
  readonly start: string
  readonly end: string
  readonly region: number
  readonly version: number
  readonly ts: string
  readonly expect: string | { readonly status: string; readonly ts?: string; readonly retry?: readonly string[][] }
}
interface Scenario {
  readonly name: string
  readonly span: readonly [string, string]
  readonly start_ts: string
  readonly steps: readonly Step[]
}

const vectors: { region_lock_scenarios: readonly Scenario[] } = JSON.parse(
  readFileSync(join(import.meta.dirname, 'vectors', 'upstream.json'), 'utf8'),
)
const key = (text: string): Uint8Array => Buffer.from(text)

for (const scenario of vectors.region_lock_scenarios) {
  test(`range lock: ${scenario.name}`, () => {
    const [start, end] = scenario.span
    const lock = new RangeLock({ start: key(start), end: key(end) }, Ts(BigInt(scenario.start_ts)))
    const holds = new Map<number, RangeHold>()
    for (const step of scenario.steps) {
      const hold = holds.get(step.region)
      if (step.op === 'lock') {
        const result = lock.lock(key(step.start), key(step.end), BigInt(step.region), BigInt(step.version))
        if (result.status === 'locked') {
          holds.set(step.region, result.hold)
          assert.deepEqual({ status: 'success', ts: String(result.hold.ts) }, step.expect)
        } else if (result.status === 'stale') {
          const retry = result.retry.map((range) => [range.start, range.end].map((bytes) => bytes.toString()))
          assert.deepEqual({ status: 'stale', retry }, step.expect)
        } else assert.deepEqual({ status: result.status }, step.expect)
      } else if (step.op === 'unlock') {
        assert.ok(hold)
        lock.unlock(hold, Ts(BigInt(step.ts)))
      } else if (step.op === 'advance') {
        assert.ok(hold)
        hold.ts = Ts(BigInt(step.ts))
      } else assert.equal(String(lock.resolvedTs()), step.expect)
    }
  })
}

test('who waits for a range is woken when all that is in the way is gone', async () => {
  const lock = new RangeLock({ start: key('a'), end: key('z') }, Ts(5n))
  const left = lock.lock(key('a'), key('m'), 1n, 1n)
  const right = lock.lock(key('m'), key('z'), 2n, 1n)
  assert.ok(left.status === 'locked' && right.status === 'locked')
  const merged = lock.lock(key('a'), key('z'), 1n, 2n)
  assert.ok(merged.status === 'wait')
  let woken = false
  const released = merged.released.then(() => (woken = true))
  left.hold.ts = Ts(20n)
  lock.unlock(left.hold)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(woken, false)
  right.hold.ts = Ts(10n)
  lock.unlock(right.hold)
  await released
  const again = lock.lock(key('a'), key('z'), 1n, 2n)
  assert.ok(again.status === 'locked')
  assert.equal(again.hold.ts, 10n)
})

test('the minimum of many regions stays right while they advance in any order', () => {
  const count = 2000
  const name = (i: number): Uint8Array => Buffer.from(String(i).padStart(6, '0'))
  const lock = new RangeLock({ start: name(0), end: name(count) }, Ts(1n))
  const holds = Array.from({ length: count }, (_, i) => {
    const result = lock.lock(name(i), name(i + 1), BigInt(i), 1n)
    assert.ok(result.status === 'locked')
    return result.hold
  })
  assert.equal(lock.uncovered, 0)
  let random = 1
  for (let round = 0; round < 200; round++) {
    for (let i = 0; i < 300; i++) {
      random = Math.imul(random, 48271) & 0x7fffffff
      const hold = holds[random % count]
      if (hold !== undefined) hold.ts = Ts(hold.ts + BigInt(random % 7))
    }
    const least = holds.reduce((min, hold) => (hold.ts < min ? hold.ts : min), Ts(1n << 62n))
    assert.equal(lock.resolvedTs(), least)
  }
})
