import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { setImmediate as yieldToEvents } from 'node:timers/promises'
import fc from 'fast-check'
import { kvsOf } from '../../test/support/raw-rows.ts'
import { opOrder, type RawBatch, type RawKv } from '../event/raw-kv.ts'
import { maxTs, Ts, zeroTs } from '../tidb/ts.ts'
import { addAll, openSorter, rawKv, showRow } from '../../test/support/sorter-fixture.ts'
import type { SorterCursor } from './sorter.ts'

const { signal } = new AbortController()
const ts = (value: number): Ts => Ts(BigInt(value))

const arrival = fc.record({
  ahead: fc.integer({ min: 1, max: 30 }),
  startBack: fc.integer({ min: 1, max: 2 }),
  key: fc.integer({ min: 0, max: 20 }),
  op: fc.constantFrom<1 | 2 | 3>(1, 2, 3),
  size: fc.integer({ min: 0, max: 300 }),
})
const action = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('add' as const),
      rows: fc.array(arrival, { maxLength: 60, size: 'max' }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('resolve' as const), by: fc.integer({ min: 1, max: 20 }) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('spill' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('read' as const),
      below: fc.integer({ min: 0, max: 10 }),
      maxBytes: fc.integer({ min: 1, max: 3000 }),
      broken: fc.boolean(),
      meanwhile: fc.subarray(['spill', 'acknowledge', 'resolve'] as const),
      rewind: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('release' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('set-back' as const) }) },
)

const order = (a: RawKv, b: RawKv): number =>
  Number(a.commitTs - b.commitTs) ||
  Number(a.startTs - b.startTs) ||
  opOrder(a) - opOrder(b) ||
  (a.key[0] ?? 0) - (b.key[0] ?? 0)

/** What the sorter has to give out, and where its cursor has to stand. */
class Model {
  readonly #rows = new Map<string, RawKv>()
  /** Sorted; those that a cursor may have seen. */
  #readable: RawKv[] = []
  #at = 0
  resolved = 10
  checkpoint = 0
  #end: RawKv | undefined

  /** Rows that repeat have the bytes they had. */
  add(kv: RawKv): RawKv {
    return this.#rows.getOrInsertComputed(showRow(kv), () => kv)
  }

  resolve(by: number): void {
    this.resolved += by
    const added = [...this.#rows.values()].filter((kv) => kv.commitTs <= BigInt(this.resolved))
    this.#readable = added.toSorted(order)
  }

  check(batch: RawBatch | undefined, limit: number): void {
    const next = this.#readable[this.#at]
    if (batch === undefined) {
      assert.ok(next === undefined || next.commitTs > BigInt(limit), 'rows are missing')
      return
    }
    const rows = kvsOf(batch.rows)
    const expected = this.#readable.slice(this.#at, this.#at + rows.length)
    assert.deepEqual(rows.map(showRow), expected.map(showRow))
    for (const [index, kv] of rows.entries()) {
      assert.ok(kv.commitTs <= BigInt(limit))
      assert.equal(kv.value?.length, expected[index]?.value?.length)
    }
    this.#at += rows.length
    this.#end = rows.at(-1)
    const following = this.#readable[this.#at]
    const unfinished =
      following !== undefined && following.startTs === this.#end?.startTs && following.commitTs === this.#end.commitTs
    assert.equal(unfinished, batch.part === 'first' || batch.part === 'middle')
    if (following?.commitTs !== batch.end.commitTs) assert.ok(batch.end.complete)
    else assert.ok(!batch.end.complete)
  }

  rewind(): void {
    const end = this.#end
    this.#at = this.#readable.findIndex((kv) => kv.commitTs === end?.commitTs && kv.startTs === end.startTs)
  }

  /** Everything that was read counts as acknowledged, but for the last commitTs and what the cursor may still give. */
  release(peeked: Ts | undefined): number {
    const read = this.#readable[this.#at - 1]
    if (read !== undefined)
      this.checkpoint = Math.max(this.checkpoint, Math.min(Number(read.commitTs), Number(peeked ?? maxTs)) - 1)
    return this.checkpoint
  }

  setBack(): void {
    const at = this.#readable.findIndex((kv) => kv.commitTs > BigInt(this.checkpoint))
    this.#at = at < 0 ? this.#readable.length : at
  }
}

test('whatever spills, breaks and is set back: a cursor gives what is resolved, in order and once', async (t) => {
  let broken = false
  const read = fs.read
  t.mock.method(fs, 'read', (...given: Parameters<typeof fs.read>) => {
    const callback = given.at(-1)
    if (!broken || typeof callback !== 'function') return Reflect.apply(read, fs, given)
    process.nextTick(callback, Object.assign(new Error('i/o error'), { code: 'EIO' }), 0)
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { maxLength: 60, size: 'max' }),
      fc.integer({ min: 2, max: 6 }),
      async (actions, fanIn) => {
        const opened = openSorter(96 * 1024, fanIn)
        const { sorter } = opened
        const model = new Model()
        let cursor = sorter.cursor(zeroTs)
        const resolve = (by: number): void => {
          model.resolve(by)
          sorter.resolve(ts(model.resolved))
        }
        const readOnce = async (
          limit: number,
          maxBytes: number,
          meanwhile: (peeked: Ts | undefined) => void = () => {},
        ): Promise<RawBatch | undefined> => {
          const peeked = cursor.peek()
          const resolved = model.resolved
          const reading = cursor.next(ts(limit), maxBytes, signal)
          // Reading a block, and even more a merge of runs, takes many turns.
          reading.catch(() => {})
          await yieldToEvents()
          meanwhile(peeked)
          const batch = await reading
          model.check(batch, Math.min(limit, resolved))
          if (batch !== undefined) assert.ok((peeked ?? maxTs) <= (kvsOf(batch.rows)[0]?.commitTs ?? zeroTs))
          return batch
        }
        for (const step of actions) {
          if (step.type === 'add') {
            const kvs = step.rows.map(({ ahead, startBack, key, op, size }) =>
              model.add(rawKv(model.resolved + ahead - startBack, model.resolved + ahead, key, op, size)),
            )
            addAll(sorter, kvs)
            opened.relieve()
          } else if (step.type === 'resolve') {
            resolve(step.by)
          } else if (step.type === 'spill') {
            opened.spill()
          } else if (step.type === 'read') {
            broken = step.broken
            let batch: RawBatch | undefined
            try {
              batch = await readOnce(model.resolved - step.below, step.maxBytes, (peeked) => {
                if (step.meanwhile.includes('spill')) opened.spill()
                if (step.meanwhile.includes('acknowledge')) sorter.release(ts(model.release(peeked)))
                if (step.meanwhile.includes('resolve')) resolve(1)
              })
            } catch (error) {
              assert.ok(
                broken && error instanceof Error && 'code' in error && error.code === 'CDC:ErrRunFileIO',
                String(error),
              )
            }
            // What is read ahead breaks too.
            await yieldToEvents()
            broken = false
            if (batch?.part === 'last' && step.rewind) {
              cursor.rewindTransaction()
              model.rewind()
            }
          } else if (step.type === 'release') {
            sorter.release(ts(model.release(cursor.peek())))
          } else {
            cursor[Symbol.dispose]()
            cursor = sorter.cursor(ts(model.checkpoint))
            model.setBack()
          }
          assert.ok(opened.quota.used().before < 96 * 1024)
        }
        resolve(100)
        while ((await readOnce(model.resolved, 1000)) !== undefined);
        sorter.release(ts(model.resolved))
        assert.equal(opened.files.bytes, 0)
        opened.close()
      },
    ),
    { numRuns: 150 },
  )
})

async function drain(cursor: SorterCursor): Promise<RawKv[]> {
  const rows: RawKv[] = []
  for (let batch; (batch = await cursor.next(maxTs, 1 << 18, signal)) !== undefined;) rows.push(...kvsOf(batch.rows))
  return rows
}

test('a transaction much larger than the quota passes', async () => {
  const opened = openSorter(1 << 20)
  const { sorter } = opened
  for (let part = 0; part < 100; part++) {
    const rows = Array.from({ length: 256 }, (_, key) => rawKv(5, 9, key, 3, 300 + part))
    // Other keys: the first byte is the part.
    addAll(
      sorter,
      rows.map((kv) => ({ ...kv, key: Uint8Array.of(part, kv.key[0] ?? 0) })),
    )
    opened.relieve()
    assert.ok(opened.quota.used().before < 1 << 20)
  }
  sorter.resolve(ts(10))
  const rows = await drain(sorter.cursor(zeroTs))
  assert.equal(rows.length, 25_600)
  assert.ok(rows.every(({ key }, at) => (key[0] ?? 0) * 256 + (key[1] ?? 0) === at))
  opened.close()
})

test('more runs than may be read side by side are merged first', async () => {
  const opened = openSorter(1 << 20, 4)
  const { sorter, files } = opened
  for (let run = 0; run < 20; run++) {
    addAll(
      sorter,
      Array.from({ length: 200 }, (_, at) => rawKv(10 + at, 11 + at, run, 3, 100)),
    )
    opened.spill()
  }
  const spilled = files.writtenBytes
  sorter.resolve(ts(1000))
  const cursor = sorter.cursor(zeroTs)
  const first = await cursor.next(maxTs, 1000, signal)
  assert.ok(files.writtenBytes > spilled * 1.5)
  // A run has a block or two in memory.
  assert.ok(opened.quota.used().before < 4 * 2 * 8192)
  const rows = [...(first === undefined ? [] : kvsOf(first.rows)), ...(await drain(cursor))]
  assert.deepEqual(
    rows.map(showRow),
    Array.from({ length: 4000 }, (_, at) => `${11 + Math.floor(at / 20)}/${10 + Math.floor(at / 20)}/3/${at % 20}`),
  )
  opened.close()
})

test('the checkpoint frees runs behind the cursor while others are merged', async () => {
  const opened = openSorter(1 << 20, 2)
  const { sorter } = opened
  const cursor = sorter.cursor(zeroTs)
  const rowsAt = (commitTs: number, count: number): RawKv[] =>
    Array.from({ length: count }, (_, key) => rawKv(1, commitTs, key, 3, 300))
  for (const commitTs of [20, 30, 40, 50]) addAll(sorter, rowsAt(commitTs, 20))
  opened.spill()
  addAll(sorter, rowsAt(25, 40))
  sorter.resolve(ts(35))
  assert.equal((await drain(cursor)).length, 80)
  // All of it was read already.
  opened.spill()
  addAll(sorter, rowsAt(45, 20))
  opened.spill()
  sorter.resolve(ts(60))
  const reading = drain(cursor)
  sorter.release(ts(29))
  assert.equal((await reading).length, 60)
  sorter.release(ts(60))
  opened.close()
})
