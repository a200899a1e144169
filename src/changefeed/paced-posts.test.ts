import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ToWorker } from './messages.ts'
import { PacedPosts } from './paced-posts.ts'

const numbered = (id: number): ToWorker => ({ type: 'metrics-request', id })

interface Harness {
  readonly posts: PacedPosts
  /** `worker: id` of what has left. */
  readonly sent: string[]
  readonly stop: AbortController
  readonly errors: unknown[]
  readonly add: (worker: number, ids: Iterable<number>) => void
}

function start(): Harness {
  const sent: string[] = []
  const errors: unknown[] = []
  const stop = new AbortController()
  const guard = (work: () => void): void => {
    try {
      work()
    } catch (error) {
      errors.push(error)
    }
  }
  const post = (worker: number, message: ToWorker): void => {
    if (message.type === 'metrics-request') sent.push(`${worker}: ${message.id}`)
  }
  const posts = new PacedPosts(post, guard, stop.signal)
  return {
    posts,
    sent,
    stop,
    errors,
    add(worker, ids) {
      for (const id of ids) posts.post(worker, () => [numbered(id)])
    },
  }
}

const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i)
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function quiet(sent: readonly unknown[]): Promise<void> {
  for (let before = -1; before < sent.length;) {
    before = sent.length
    await nextTurn()
    await nextTurn()
  }
}

test('a few leave at once, many over several turns, all of them in order', async () => {
  const { sent, add } = start()
  add(0, [1, 2])
  assert.deepEqual(sent, ['0: 1', '0: 2'])
  add(0, upTo(2000, 3))
  assert.ok(sent.length < 1000)
  add(1, [5000])
  await quiet(sent)
  assert.deepEqual(sent, [...upTo(2002, 1).map((id) => `0: ${id}`), '1: 5000'])
})

test('what waits for a lost worker is forgotten, what comes for its successor is not', async () => {
  const { posts, sent, add } = start()
  for (let id = 0; id < 1000; id++) add(id % 2, [id])
  const before = sent.length
  posts.drop(1)
  add(1, [5000])
  await quiet(sent)
  const later = upTo(1000 - before, before).filter((id) => id % 2 === 0)
  assert.deepEqual(sent.slice(before), [...later.map((id) => `0: ${id}`), '1: 5000'])
})

test('messages are made when they leave, and nothing leaves after the signal', async () => {
  const { posts, sent, stop, errors, add } = start()
  add(0, upTo(300))
  const left = sent.length
  posts.post(0, () => {
    throw new RangeError('made')
  })
  assert.equal(errors.length, 0)
  await quiet(sent)
  assert.match(String(errors), /made/)
  add(0, upTo(1000))
  const before = sent.length
  assert.ok(before > left)
  stop.abort()
  await quiet(sent)
  add(0, [1])
  assert.equal(sent.length, before)
})
