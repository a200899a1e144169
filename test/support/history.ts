/** Holds what arrived downstream against what was written, and against the store's own history. */
import assert from 'node:assert/strict'
import { checkOrder, checkVersions, commitCounts, type Delivered, rebuild } from './delivered.ts'
import type { Workload } from './workload.ts'

/** `admin` is the playground's; what was committed up to `afterTs` counts for nothing. */
export async function verifyHistory(
  delivered: readonly Delivered[],
  workload: Workload,
  admin: string,
  afterTs = 0n,
): Promise<void> {
  checkOrder(delivered)
  checkVersions(delivered, workload.versions)
  const wanted = await historyCounts(admin, afterTs)
  const found = commitCounts(delivered)
  const different = [...new Set([...Object.keys(wanted), ...Object.keys(found)])].filter(
    (ts) => wanted[ts] !== found[ts],
  )
  const shown = different
    .slice(0, 5)
    .map((ts) => `commitTs ${ts}: ${wanted[ts] ?? 0} rows in the store, ${found[ts] ?? 0} arrived`)
  assert.deepEqual(shown, [])
  const rebuilt = rebuild(delivered)
  for (const table of workload.tables()) {
    const rows = rebuilt.get(table) ?? new Map()
    const sorted = (rows: ReadonlyMap<string, unknown>) => [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1))
    assert.deepEqual(sorted(rows), sorted(await workload.rows(table)), `table ${table}`)
  }
}

/**
 * How many rows the store says that each commitTs changed. The deletion of a key that did not exist (a row that came and
 * went inside one transaction) is a version in the store, but no change.
 */
async function historyCounts(admin: string, afterTs: bigint): Promise<Record<string, number>> {
  const answer = await fetch(`${admin}/history`)
  const text = await answer.text()
  assert.ok(answer.ok, text)
  const counts: Record<string, number> = {}
  const existing = new Set<string>()
  for (const [, key = '', commitTs = '', op] of text.matchAll(
    /"key":\s*"(\w+)".*?"commitTs":\s*(\d+).*?"op":\s*"(\w+)"/gs,
  )) {
    if (op === 'put') existing.add(key)
    else if (!existing.delete(key)) continue
    if (BigInt(commitTs) > afterTs) counts[commitTs] = (counts[commitTs] ?? 0) + 1
  }
  return counts
}
