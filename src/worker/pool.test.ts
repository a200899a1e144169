import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { waitFor } from '../../test/support/process.ts'
import { startCluster } from '../../test/support/simulated-cluster.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import { createFence } from '../base/fence.ts'
import { silentLog } from '../base/log.ts'
import { createDiskMemory } from '../spill/disk-quota.ts'
import { openWorkerPool, type PoolOptions } from './pool.ts'

const { signal } = new AbortController()

const startOf = (pd: string, directory: string): PoolOptions['start'] => ({
  pdEndpoints: [pd],
  security: {},
  keyspace: '',
  fence: createFence().shared,
  failPoints: '',
  captureAddress: '127.0.0.1:8300',
  clusterId: 'default',
  runFiles: { directory, disk: createDiskMemory(1 << 20) },
})

test('a thread is replaced although its files cannot be removed', async () => {
  await using cluster = await startCluster()
  // No system takes such a path.
  const start = startOf(cluster.pd, '\0')
  await using pool = await openWorkerPool({ workers: 1, start, log: silentLog, clock: systemClock }, signal)
  const heard: string[] = []
  using _listening = pool.listen(7n, (_, { type }) => heard.push(type))
  pool.replace(0)
  await waitFor('the next thread', () => heard.length === 2)
  assert.deepEqual(heard, ['worker-lost', 'worker-started'])
})

test('a lost thread is told and replaced, what is posted then reaches the next one; quick deaths make it wait', async () => {
  await using cluster = await startCluster()
  await using directory = await mkdtempDisposable(`${tmpdir()}/tidewire-pool-`)
  const pauses: number[] = []
  const clock: Clock = {
    ...systemClock,
    async sleep(ms) {
      pauses.push(ms)
    },
  }
  const start = startOf(cluster.pd, directory.path)
  await using pool = await openWorkerPool({ workers: 2, start, log: silentLog, clock }, signal)
  const heard: string[] = []
  using _listening = pool.listen(7n, (worker, message) => {
    heard.push(`${worker} ${message.type} ${pool.alive(worker)}`)
    if (message.type === 'worker-started') pool.post(worker, { type: 'close-changefeed', epoch: 7n })
  })
  using _others = pool.listen(8n, () => {})
  pool.replace(1)
  await waitFor('the answer of the next thread', () => heard.length === 3)
  assert.deepEqual(heard, ['1 worker-lost false', '1 worker-started true', '1 changefeed-closed true'])
  assert.deepEqual(pauses, [])
  pool.replace(1)
  await waitFor('the thread after that', () => heard.length === 6)
  assert.equal(pauses.length, 1)
  assert.ok((await pool.metrics()).every((metrics) => Array.isArray(metrics) && metrics.length > 0))
})
