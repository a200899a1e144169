import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { opOrder, type RawKv } from '../../src/event/raw-kv.ts'
import { RawRow } from '../../src/event/raw-row.ts'
import { createDiskMemory, openDiskQuota } from '../../src/spill/disk-quota.ts'
import { createQuotaMemory, openQuota } from '../../src/spill/quota.ts'
import { RunFiles } from '../../src/spill/run-files.ts'
import { Spiller } from '../../src/spill/spiller.ts'
import { Ts } from '../../src/tidb/ts.ts'
import { RowArena } from '../../src/sorter/row-arena.ts'
import { createSpanSorter, type SpanSorter } from '../../src/sorter/sorter.ts'

/** A sorter with a quota and a folder of its own; `close` checks that it leaves nothing behind. */
export function openSorter(quotaBytes = 1 << 30, fanIn?: number) {
  const root = mkdtempSync(join(tmpdir(), 'sorter-'))
  const quota = openQuota(createQuotaMemory(quotaBytes))
  const arena = new RowArena(quota)
  const disk = openDiskQuota(createDiskMemory(1 << 30))
  const files = new RunFiles(join(root, 'runs'), disk)
  const spiller = new Spiller(quota, files)
  const sorter = createSpanSorter(arena, spiller, fanIn)
  return {
    quota,
    files,
    sorter,
    /** Whatever lies in memory goes to disk. */
    spill() {
      quota.addBefore(quotaBytes)
      spiller.relieve()
      quota.addBefore(-quotaBytes)
    },
    /** As the worker does after each row. */
    relieve() {
      if (!arena.grew) return
      arena.grew = false
      spiller.relieve()
    },
    close() {
      sorter[Symbol.dispose]()
      assert.equal(disk.usedBytes, 0)
      arena[Symbol.dispose]()
      files[Symbol.dispose]()
      assert.deepEqual(quota.used(), { before: 0, after: 0 })
      rmSync(root, { recursive: true })
    },
  }
}

export const rawKv = (startTs: number, commitTs: number, key: number, op: 1 | 2 | 3 = 3, size = 3): RawKv => ({
  startTs: Ts(BigInt(startTs)),
  commitTs: Ts(BigInt(commitTs)),
  key: Uint8Array.of(key),
  value: op === 1 ? undefined : new Uint8Array(size),
  oldValue: op === 3 ? undefined : new Uint8Array(size),
})

export const addAll = (sorter: SpanSorter, rows: readonly RawKv[]): void => {
  const row = new RawRow()
  for (const one of rows) sorter.add(row.set(one))
}

export const showRow = (kv: RawKv): string => `${kv.commitTs}/${kv.startTs}/${opOrder(kv)}/${kv.key[0]}`
