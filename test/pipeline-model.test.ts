// The whole pipeline with real data workers, under random transactions and random faults (test/support/pipeline-model.ts).
// A failing seed is repeated with TIDEWIRE_SEED=n; TIDEWIRE_ROUNDS makes it longer.
import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { runPipelineModel } from './support/pipeline-model.ts'

const SEED = Number(process.env['TIDEWIRE_SEED'] ?? Date.now() % 1_000_000)
const ROUNDS = Number(process.env['TIDEWIRE_ROUNDS'] ?? 15)

for (const [workers, limits, rounds] of [
  [1, { memoryQuota: 64 << 10 }, ROUNDS],
  [4, { memoryQuota: 64 << 10 }, ROUNDS],
  // Spans are given up and read again all the time.
  [2, { memoryQuota: 64 << 10, diskQuota: 320 << 10 }, Math.ceil(ROUNDS / 2)],
] as const)
  test(`${workers} workers, ${JSON.stringify(limits)}: every change arrives in order, whatever happens (seed ${SEED})`, async () => {
    await using dataDir = await mkdtempDisposable(join(tmpdir(), 'tidewire-model-'))
    const options = { seed: SEED, workers, rounds, dataDir: dataDir.path, ...limits }
    const result = await runPipelineModel(options, AbortSignal.timeout(240_000))
    assert.ok(result.rounds === rounds && result.changes > rounds)
    assert.ok(result.spilled > 0, 'something went to disk')
  })
