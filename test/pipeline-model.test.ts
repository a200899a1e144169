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

for (const workers of [1, 4])
  test(`${workers} workers: every change arrives in order, whatever happens (seed ${SEED})`, async () => {
    await using dataDir = await mkdtempDisposable(join(tmpdir(), 'tidewire-model-'))
    const options = { seed: SEED, workers, rounds: ROUNDS, memoryQuota: 64 << 10, dataDir: dataDir.path }
    const { rounds, changes, spilled } = await runPipelineModel(options, AbortSignal.timeout(240_000))
    assert.ok(rounds === ROUNDS && changes > ROUNDS)
    assert.ok(spilled > 0, 'something went to disk')
  })
