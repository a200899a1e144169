import type { KeyRange } from '../event/span.ts'
import { compareBytes } from '../tidb/key.ts'

/** Regions in key order from the one that contains `start`, at most `limit`; an empty `end` of a region is +infinity. */
export type ScanRegions = (
  start: Uint8Array,
  end: Uint8Array,
  limit: number,
  signal: AbortSignal,
) => Promise<readonly KeyRange[]>

/** Regions in one answer. */
const PAGE = 1024

/**
 * Where regions border on each other inside each of `ranges` (disjoint): as many sorted lists, in the same order. One pass
 * over the key space from the first range to the last, which skips what lies between them.
 */
export async function surveyRegions(
  ranges: readonly KeyRange[],
  scan: ScanRegions,
  signal: AbortSignal,
): Promise<Uint8Array[][]> {
  const borders: Uint8Array[][] = ranges.map(() => [])
  const order = ranges
    .map((range, at) => ({ range, at }))
    .toSorted((a, b) => compareBytes(a.range.start, b.range.start))
  const end = order.at(-1)?.range.end ?? new Uint8Array()
  let from = order[0]?.range.start
  for (let i = 0; from !== undefined && i < order.length;) {
    const regions = await scan(from, end, PAGE, signal)
    for (const { start } of regions) {
      while (i < order.length && compareBytes(order[i]?.range.end ?? start, start) <= 0) i++
      const current = order[i]
      // The first of a page may begin before it: a region that was merged between two pages.
      const inside = current !== undefined && compareBytes(current.range.start, start) < 0
      if (inside && compareBytes(start, from) >= 0) borders[current.at]?.push(start)
    }
    const reached = regions.at(-1)?.end
    if (reached === undefined || reached.length === 0 || compareBytes(reached, from) <= 0) break
    while (i < order.length && compareBytes(order[i]?.range.end ?? reached, reached) <= 0) i++
    const next = order[i]?.range.start
    from = next !== undefined && compareBytes(next, reached) > 0 ? next : reached
  }
  return borders
}

/** A part of a range, and how many regions it has. */
export interface RangePart {
  readonly range: KeyRange
  readonly weight: number
}

/** Cuts a range at some of the borders inside it into at most `count` parts of about as many regions. */
export function cutRange(range: KeyRange, borders: readonly Uint8Array[], count: number): RangePart[] {
  const regions = borders.length + 1
  const parts = Math.max(1, Math.min(count, regions))
  if (parts === 1) return [{ range, weight: regions }]
  const cutAt = (part: number): number => Math.round((part * regions) / parts)
  return Array.from({ length: parts }, (_, part) => ({
    range: {
      start: part === 0 ? range.start : (borders[cutAt(part) - 1] ?? range.start),
      end: part === parts - 1 ? range.end : (borders[cutAt(part + 1) - 1] ?? range.end),
    },
    weight: cutAt(part + 1) - cutAt(part),
  }))
}
