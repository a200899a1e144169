import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SinkMemories } from './sink-memories.ts'

test('the sinks of a changefeed find their memory again until it writes elsewhere or is removed', () => {
  const memories = new SinkMemories()
  const id = { namespace: 'default', id: 'a' }
  const first = memories.of(id, 'kafka://one/t')
  assert.equal(memories.of(id, 'kafka://one/t').worker(1), first.worker(1))
  assert.notEqual(first.worker(0), first.worker(1))
  assert.notEqual(first.control, first.worker(0))
  assert.notEqual(memories.of({ ...id, id: 'b' }, 'kafka://one/t').control, first.control)
  const second = memories.of(id, 'kafka://two/t')
  assert.notEqual(second.worker(1), first.worker(1))
  memories.forget(id)
  assert.notEqual(memories.of(id, 'kafka://two/t').control, second.control)
})
