import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WorkerLog } from '../changefeed/messages.ts'
import { createPortLog } from './port-log.ts'

test('values of every kind become text, 64-bit integers inside of objects too', () => {
  const posted: WorkerLog[] = []
  const log = createPortLog((line) => posted.push(line), { worker: 1 })
  log.info('seen', { ts: 5n, lock: { startTs: 1n << 63n }, none: undefined, error: new Error('lost') })
  const fields = { worker: '1', ts: '5', lock: '{"startTs":"9223372036854775808"}', none: 'undefined', error: 'lost' }
  assert.deepEqual(posted, [{ type: 'log', level: 'info', message: 'seen', fields }])
})
