import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SorterCursor, SpanSorter } from '../sorter/sorter.ts'
import { tableRecordRange } from '../tidb/key.ts'
import { maxTs, Ts, zeroTs } from '../tidb/ts.ts'
import { type SpanFeed, SpanRun } from './span-run.ts'
import { SpanSet } from './span-set.ts'

const ts = (n: number): Ts => Ts(BigInt(n))

/** A sorter without rows, and what was freed in it. */
class EmptySorter implements SpanSorter {
  resolvedTs = zeroTs
  releasedTs = zeroTs
  add(): void {}
  resolve(to: Ts): void {
    this.resolvedTs = to
  }
  cursor(): SorterCursor {
    return { peek: () => undefined, next: async () => undefined, rewindTransaction() {}, [Symbol.dispose]() {} }
  }
  release(to: Ts): void {
    this.releasedTs = to
  }
  dropUnresolved(): void {}
  [Symbol.dispose](): void {}
}

const noFeed: SpanFeed = {
  subscribe() {
    throw new TypeError('nobody subscribes')
  },
  spills() {
    throw new TypeError('nobody subscribes')
  },
  unsubscribed() {},
}

function spansAt(...checkpoints: readonly number[]): {
  set: SpanSet
  spans: SpanRun[]
  look: (to: number) => number[]
} {
  const set = new SpanSet()
  const spans = checkpoints.map((checkpoint, id) => {
    const span = { ...tableRecordRange(BigInt(id)), tableId: BigInt(id), id }
    return new SpanRun(span, 1, ts(checkpoint), new EmptySorter(), noFeed)
  })
  for (const span of spans) set.add(span)
  const look = (to: number): number[] => {
    const looked: number[] = []
    set.advance(ts(to), (span) => looked.push(span.span.id))
    return looked
  }
  return { set, spans, look }
}

test('only touched spans are looked at, and all of them after a grant', () => {
  const { set, spans, look } = spansAt(100, 100, 100)
  assert.deepEqual(look(200), [0, 1, 2])
  assert.deepEqual(look(200), [])
  for (const span of spans) span.sorter.resolve(ts(300))
  for (const span of spans.slice(1, 2)) for (let times = 0; times < 2; times++) set.touch(span)
  assert.deepEqual(look(200), [1])
  assert.deepEqual(
    spans.map(({ checkpointTs }) => checkpointTs),
    [100n, 200n, 100n],
  )
  for (const span of spans) set.touch(span)
  assert.deepEqual([...set.granted()], [])
  assert.deepEqual(look(250), [0, 1, 2])
  assert.deepEqual(set.least(), { checkpointTs: 250n, resolvedTs: 300n })
})

test('a span that was touched and then removed is left alone', () => {
  const { set, spans, look } = spansAt(100, 100)
  assert.deepEqual(look(200), [0, 1])
  for (const span of spans) {
    span.sorter.resolve(ts(300))
    set.touch(span)
  }
  for (const span of spans.slice(0, 1)) {
    set.delete(span)
    set.wait(span)
  }
  assert.deepEqual(look(200), [1])
  assert.deepEqual([...set.granted()], [])
  assert.equal(spans[0]?.checkpointTs, 100n)
})

test('a span that waits for a grant is named once', () => {
  const { set, spans } = spansAt(100, 100)
  for (const span of spans) set.wait(span)
  for (const span of spans.slice(0, 1)) set.delete(span)
  assert.deepEqual([...set.granted()], spans.slice(1))
  assert.deepEqual([...set.granted()], [])
})

test('the slowest spans come first, as many as asked for; without spans the least is the maximum', () => {
  const { set } = spansAt(50, 20, 40, 10, 30)
  assert.deepEqual(
    set.slowest(3).map(({ checkpointTs }) => checkpointTs),
    [10n, 20n, 30n],
  )
  assert.equal(set.least().checkpointTs, 10n)
  assert.deepEqual(new SpanSet().least(), { checkpointTs: maxTs, resolvedTs: maxTs })
})
