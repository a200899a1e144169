import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { KeyRange } from '../event/span.ts'
import { maxTs, minTs, Ts } from '../tidb/ts.ts'
import type { Progress } from './messages.ts'
import { type OwnedSpan, type SpanCommand, SpanTable } from './span-table.ts'

/** Keys of a table in the model are 0 … 15, a range is cut between them. */
const KEYS = 16
const WORKERS = 3
const key = (at: number): Uint8Array => Uint8Array.of(at)
const rangeOf = (from: number, to: number): KeyRange => ({ start: key(from), end: key(to) })
const keysOf = ({ start, end }: KeyRange): number[] =>
  Array.from({ length: (end[0] ?? 0) - (start[0] ?? 0) }, (_, i) => (start[0] ?? 0) + i)

interface WorkerSpan {
  readonly span: OwnedSpan['span']
  readonly incarnation: number
  checkpointTs: bigint
  leaving: boolean
}

type ToOwner =
  | { readonly type: 'progress'; readonly progress: Progress }
  | {
      readonly type: 'removed'
      readonly removed: { readonly spanId: number; readonly incarnation: number; readonly checkpointTs: Ts }
    }

/** A data worker: both ports are queues, so that everything can happen between any two messages. */
class ModelWorker {
  alive = true
  inbox: SpanCommand[] = []
  outbox: ToOwner[] = []
  spans = new Map<number, WorkerSpan>()
  #spanSeq = 0

  die(): void {
    Object.assign(this, { alive: false, inbox: [], outbox: [], spans: new Map() })
    this.#spanSeq = 0
  }

  take(): SpanCommand | undefined {
    const command = this.inbox.shift()
    if (command === undefined) return undefined
    this.#spanSeq = command.spanSeq
    if (command.type === 'add') {
      const { span, incarnation, checkpointTs } = command
      this.spans.set(span.id, { span, incarnation, checkpointTs, leaving: false })
    } else {
      const span = this.spans.get(command.spanId)
      if (span?.incarnation === command.incarnation) span.leaving = true
    }
    return command
  }

  report(): void {
    const checkpointTs = Ts(
      [...this.spans.values()].reduce((least, span) => minTs(least, Ts(span.checkpointTs)), maxTs),
    )
    const numbers = { checkpointTs, resolvedTs: checkpointTs, slowest: [], rows: 0, lastSyncedTs: checkpointTs }
    const progress: Progress = {
      type: 'progress',
      epoch: 1n,
      spanSeq: this.#spanSeq,
      spans: this.spans.size,
      ...numbers,
    }
    this.outbox.push({ type: 'progress', progress })
  }

  finish(span: WorkerSpan): void {
    this.spans.delete(span.span.id)
    const removed = { spanId: span.span.id, incarnation: span.incarnation, checkpointTs: Ts(span.checkpointTs) }
    this.outbox.push({ type: 'removed', removed })
  }
}

/** The owner's table and its workers; checks the laws after every step. */
class Model {
  readonly table = new SpanTable(WORKERS)
  readonly workers = Array.from({ length: WORKERS }, () => new ModelWorker())
  readonly tables = new Set<bigint>()
  /** Up to where everything of a key is out, by table. */
  readonly done = new Map<bigint, bigint[]>()
  /** Keys of a thread that ended: only its successor may go on with them. */
  readonly fenced = new Map<string, number>()
  checkpointTs = 100n
  #nextTable = 1n

  worker(index: number): ModelWorker {
    const worker = this.workers[index % WORKERS]
    assert.ok(worker)
    return worker
  }

  perform(commands: readonly SpanCommand[]): void {
    for (const command of commands) {
      assert.ok(this.worker(command.worker).alive, 'a command for a dead worker')
      this.worker(command.worker).inbox.push(command)
    }
  }

  addTable(cuts: readonly number[]): void {
    const id = this.#nextTable++
    const borders = [0, ...new Set(cuts.toSorted((a, b) => a - b)), KEYS]
    const pieces = borders.slice(1).map((end, i) => ({ range: rangeOf(borders[i] ?? 0, end), weight: 1 }))
    this.tables.add(id)
    this.done.set(
      id,
      Array.from({ length: KEYS }, () => this.checkpointTs),
    )
    this.perform(this.table.addTable(id, pieces, Ts(this.checkpointTs)))
  }

  dropTable(id: bigint): void {
    this.tables.delete(id)
    for (const place of [...this.fenced.keys()]) if (place.startsWith(`${id}/`)) this.fenced.delete(place)
    this.perform(this.table.dropTable(id))
  }

  take(index: number): void {
    const command = this.worker(index).take()
    if (command?.type !== 'add') return
    const { span, checkpointTs } = command
    for (const at of keysOf(span)) {
      const done = this.done.get(span.tableId)?.[at] ?? 0n
      if (this.tables.has(span.tableId)) assert.ok(checkpointTs <= done, `key ${at} begins beyond what is out`)
      const place = `${span.tableId}/${at}`
      const fence = this.fenced.get(place)
      assert.ok(fence === undefined || fence === index % WORKERS, 'a span left a dead worker for another one')
      this.fenced.delete(place)
    }
  }

  advance(index: number, pick: number, by: number): void {
    const spans = [...this.worker(index).spans.values()]
    const span = spans[pick % spans.length]
    if (span === undefined) return
    span.checkpointTs += BigInt(by)
    const done = this.done.get(span.span.tableId) ?? []
    for (const at of keysOf(span.span)) if ((done[at] ?? 0n) < span.checkpointTs) done[at] = span.checkpointTs
    if (span.leaving) this.worker(index).finish(span)
  }

  receive(index: number): void {
    const message = this.worker(index).outbox.shift()
    if (message?.type === 'progress') this.table.report(index % WORKERS, message.progress)
    else if (message?.type === 'removed') this.perform(this.table.removed(message.removed))
  }

  lose(index: number): void {
    const worker = this.worker(index)
    for (const { span } of worker.spans.values())
      if (this.tables.has(span.tableId))
        for (const at of keysOf(span)) this.fenced.set(`${span.tableId}/${at}`, index % WORKERS)
    worker.die()
    this.perform(this.table.lost(index % WORKERS))
  }

  start(index: number): void {
    const worker = this.worker(index)
    if (worker.alive) return
    worker.alive = true
    this.perform(this.table.started(index % WORKERS))
  }

  /** Cuts or joins what is at rest, or moves it. */
  rearrange(pick: number, what: 'move' | 'cut' | 'join', to: number): void {
    const ids = [...this.tables]
    const id = ids[pick % ids.length]
    const spans = id === undefined ? undefined : this.table.steadySpansOf(id)
    const [first, second] = spans ?? []
    if (first === undefined) return
    const { start, end } = first.span
    if (what === 'move') {
      this.perform(this.table.rearrange([first.span.id], [{ range: first.span, weight: 1, worker: to % WORKERS }]))
    } else if (what === 'cut' && (end[0] ?? 0) - (start[0] ?? 0) > 1) {
      const middle = key(((start[0] ?? 0) + (end[0] ?? 0)) >> 1)
      const pieces = [
        { range: { start, end: middle }, weight: 1, worker: to % WORKERS },
        { range: { start: middle, end }, weight: 1, worker: (to + 1) % WORKERS },
      ]
      this.perform(this.table.rearrange([first.span.id], pieces))
    } else if (what === 'join' && second !== undefined) {
      const whole = { range: { start, end: second.span.end }, weight: 2, worker: to % WORKERS }
      this.perform(this.table.rearrange([first.span.id, second.span.id], [whole]))
    }
  }

  check(): void {
    const reached = this.table.least('checkpointTs')
    assert.ok(reached >= this.checkpointTs, `the checkpoint went back from ${this.checkpointTs} to ${reached}`)
    for (const id of this.tables)
      for (const done of this.done.get(id) ?? [])
        assert.ok(reached <= done, `the checkpoint ${reached} is beyond ${done}`)
    if (reached !== maxTs) this.checkpointTs = reached
    const owners = new Map<string, number>()
    for (const [index, { spans }] of this.workers.entries())
      for (const { span } of spans.values())
        for (const at of keysOf(span)) {
          const place = `${span.tableId}/${at}`
          assert.ok(!owners.has(place), `key ${place} is in workers ${owners.get(place)} and ${index}`)
          owners.set(place, index)
        }
  }

  /** Lets everything under way come to its end. */
  settle(): void {
    for (let i = 0; i < WORKERS; i++) this.start(i)
    for (let round = 0; round < 20; round++) {
      for (const [index, worker] of this.workers.entries()) {
        while (worker.inbox.length > 0) this.take(index)
        for (const span of worker.spans.values()) if (span.leaving) worker.finish(span)
        worker.report()
        while (worker.outbox.length > 0) this.receive(index)
        this.check()
      }
    }
  }
}

type Step = (model: Model) => void
const index = fc.nat(WORKERS - 1)
const pick = fc.nat(20)
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.array(fc.integer({ min: 1, max: KEYS - 1 }), { maxLength: 3 }).map(
      (cuts): Step =>
        (model) =>
          model.addTable(cuts),
    ),
  },
  {
    weight: 1,
    arbitrary: pick.map(
      (at): Step =>
        (model) =>
          [...model.tables].slice(at % 5, (at % 5) + 1).forEach((id) => model.dropTable(id)),
    ),
  },
  {
    weight: 12,
    arbitrary: index.map(
      (at): Step =>
        (model) =>
          model.take(at),
    ),
  },
  {
    weight: 10,
    arbitrary: fc.tuple(index, pick, fc.nat(9)).map(
      ([at, which, by]): Step =>
        (model) =>
          model.advance(at, which, by),
    ),
  },
  {
    weight: 6,
    arbitrary: index.map(
      (at): Step =>
        (model) =>
          model.worker(at).report(),
    ),
  },
  {
    weight: 12,
    arbitrary: index.map(
      (at): Step =>
        (model) =>
          model.receive(at),
    ),
  },
  {
    weight: 1,
    arbitrary: index.map(
      (at): Step =>
        (model) =>
          model.lose(at),
    ),
  },
  {
    weight: 3,
    arbitrary: index.map(
      (at): Step =>
        (model) =>
          model.start(at),
    ),
  },
  {
    weight: 5,
    arbitrary: fc.tuple(pick, fc.constantFrom('move', 'cut', 'join'), index).map(
      ([which, what, to]): Step =>
        (model) =>
          model.rearrange(which, what, to),
    ),
  },
)

test('the checkpoint never goes back or beyond what is out, and no key is in two workers, whatever happens', () => {
  fc.assert(
    fc.property(fc.array(steps, { minLength: 40, maxLength: 300, size: 'max' }), (program) => {
      const model = new Model()
      for (const step of program) {
        step(model)
        model.check()
      }
      model.settle()
      for (const id of model.tables) {
        const spans = model.table.steadySpansOf(id)
        assert.ok(spans, `table ${id} does not come to rest`)
        const keys = spans.flatMap(({ span }) => keysOf(span))
        assert.deepEqual(keys, Array.from(keys.keys()), 'a gap or an overlap')
        assert.equal(keys.length, KEYS)
        for (const { span, worker } of spans)
          assert.ok(model.worker(worker).spans.has(span.id), `span ${span.id} is not where the owner has it`)
      }
      const held = model.workers.reduce((sum, { spans }) => sum + spans.size, 0)
      const known = [...model.tables].reduce((sum, id) => sum + (model.table.steadySpansOf(id)?.length ?? 0), 0)
      assert.equal(held, known, 'a worker has a span that nobody wants')
    }),
    { numRuns: 300 },
  )
})

const whole = [{ range: rangeOf(0, KEYS), weight: 1 }]
const progress = (spanSeq: number, checkpointTs: bigint): Progress => {
  const ts = Ts(checkpointTs)
  return {
    type: 'progress',
    epoch: 1n,
    spanSeq,
    spans: 1,
    checkpointTs: ts,
    resolvedTs: ts,
    slowest: [],
    rows: 5,
    lastSyncedTs: ts,
  }
}

test('a span in transit holds the checkpoint with its own, until its new worker reports it', () => {
  const table = new SpanTable(2)
  table.addTable(1n, whole, Ts(100n))
  table.report(0, progress(1, 150n))
  const [removal] = table.rearrange([1], [{ range: rangeOf(0, KEYS), weight: 1, worker: 1 }])
  assert.equal(removal?.type, 'remove')
  table.report(0, progress(2, 160n))
  const [added] = table.removed({ spanId: 1, incarnation: 1, checkpointTs: Ts(170n) })
  assert.deepEqual(added?.type === 'add' && [added.worker, added.incarnation, added.checkpointTs], [1, 2, 170n])
  table.report(0, progress(2, maxTs))
  assert.equal(table.least('checkpointTs'), 170n)
  table.report(1, progress(1, 180n))
  assert.equal(table.least('checkpointTs'), 180n)
})

test('spans of a lost worker begin again from what it had reported, and its rows stay counted', () => {
  const table = new SpanTable(2)
  table.addTable(1n, whole, Ts(100n))
  table.addTable(2n, whole, Ts(100n))
  table.report(0, progress(1, 150n))
  table.report(1, progress(1, 500n))
  assert.deepEqual(table.lost(0), [])
  assert.equal(table.least('checkpointTs'), 150n)
  assert.equal(table.alive(0), false)
  const [added] = table.started(0)
  assert.deepEqual(added?.type === 'add' && [added.worker, added.incarnation, added.checkpointTs], [0, 2, 150n])
  assert.equal(table.rows, 10)
  table.report(0, progress(3, 200n))
  assert.equal(table.least('checkpointTs'), 200n)
  assert.equal(table.rows, 15)
})

test('a table that is dropped while its span is in transit leaves nothing behind', () => {
  for (const late of [false, true]) {
    const table = new SpanTable(2)
    table.addTable(1n, whole, Ts(100n))
    table.report(0, progress(1, 150n))
    table.rearrange(
      [1],
      [
        { range: rangeOf(0, 8), weight: 1, worker: 0 },
        { range: rangeOf(8, KEYS), weight: 1, worker: 1 },
      ],
    )
    if (late) table.dropTable(1n)
    const successors = table.removed({ spanId: 1, incarnation: 1, checkpointTs: Ts(150n) })
    assert.equal(successors.length, late ? 0 : 2)
    if (!late)
      assert.deepEqual(
        table.dropTable(1n).map(({ type }) => type),
        ['remove', 'remove'],
      )
    table.report(0, progress(9, maxTs))
    table.report(1, progress(9, maxTs))
    assert.equal(table.least('checkpointTs'), maxTs)
  }
})

test('spans go to the lightest worker, by their regions', () => {
  const table = new SpanTable(2)
  const piece = (weight: number) => [{ range: rangeOf(0, KEYS), weight }]
  const workers = [10, 4, 4, 1].map((weight, i) => table.addTable(BigInt(i), piece(weight), Ts(1n))[0]?.worker)
  assert.deepEqual(workers, [0, 1, 1, 1])
})
