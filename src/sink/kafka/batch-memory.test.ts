import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BatchMemory } from './batch-memory.ts'

test('a piece that was given back is taken again by what fits into it', () => {
  const memory = new BatchMemory()
  const piece = memory.take(5000)
  assert.equal(piece.length, 8192)
  memory.give(piece)
  assert.notEqual(memory.take(4096), piece)
  assert.equal(memory.take(8192), piece)
  assert.notEqual(memory.take(8192), piece)
})

test('what is larger than a usual batch has its own size and is not kept', () => {
  const memory = new BatchMemory()
  const piece = memory.take((1 << 20) + 1)
  assert.equal(piece.length, (1 << 20) + 1)
  memory.give(piece)
  assert.notEqual(memory.take((1 << 20) + 1), piece)
})

test('no more than 16 MiB are kept', () => {
  const memory = new BatchMemory()
  const pieces = Array.from({ length: 20 }, () => memory.take(1 << 20))
  for (const piece of pieces) memory.give(piece)
  const again = new Set(Array.from({ length: 20 }, () => memory.take(1 << 20)))
  assert.equal(pieces.filter((piece) => again.has(piece)).length, 16)
})

test('guesses hold only while little is in use', () => {
  const memory = new BatchMemory()
  const pieces = Array.from({ length: 64 }, () => memory.take(memory.guess(1 << 20)))
  assert.ok(pieces.every((piece) => piece.length === 1 << 20))
  assert.equal(memory.guess(1 << 20), 0)
  const [first, second] = pieces
  if (first !== undefined) memory.give(first)
  assert.equal(memory.guess(1 << 20), 1 << 20)
  memory.take(1 << 20)
  if (second !== undefined) memory.forget(second)
  assert.equal(memory.guess(1 << 20), 1 << 20)
})
