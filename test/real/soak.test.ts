// A minute of `npm run test:long -- --only soak`.
import { test } from 'node:test'
import { available as pythonAvailable } from '../support/consumer.ts'
import { available as etcdAvailable } from '../support/etcd.ts'
import { available as kafkaAvailable } from '../support/kafka.ts'
import { requireOrSkip } from '../support/require.ts'
import { runSoak } from '../support/soak.ts'

const SEED = Number(process.env['TIDEWIRE_SEED'] ?? Date.now() % 1_000_000)

test(`a server with four workers goes through a minute of faults (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable, etcdAvailable))) return
  const options = { seed: SEED, workers: 4, memoryQuota: 1 << 20, chapterMs: 20_000 }
  await runSoak({ ...options, until: performance.now() + 40_000 }, AbortSignal.timeout(400_000))
})
