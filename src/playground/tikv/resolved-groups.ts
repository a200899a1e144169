import { ResolvedTs } from '../../proto/cdcpb.ts'

/**
 * Messages for the resolved timestamps of one request: regions by their timestamp, the 8 slowest share one message with
 * the least of theirs, the next 32 another, then 128 and so on.
 */
export function groupResolved(requestId: bigint, regions: ReadonlyMap<bigint, bigint>): readonly ResolvedTs[] {
  const sorted = byTimestamp(regions)
  const groups: ResolvedTs[] = []
  let size = 8
  for (let from = 0; from < sorted.length;) {
    const group = sorted.slice(from, from + size)
    groups.push(ResolvedTs.create({ requestId, ts: group[0]?.[1] ?? 0n, regions: group.map(([id]) => id) }))
    from += size
    size *= 4
  }
  return groups
}

/** Nearly all regions share the greatest timestamp: only the others are sorted. */
function byTimestamp(regions: ReadonlyMap<bigint, bigint>): readonly (readonly [bigint, bigint])[] {
  let greatest = 0n
  for (const ts of regions.values()) if (ts > greatest) greatest = ts
  const held: [bigint, bigint][] = []
  const level: [bigint, bigint][] = []
  for (const entry of regions) (entry[1] === greatest ? level : held).push(entry)
  return [...held.toSorted(([, a], [, b]) => (a < b ? -1 : a > b ? 1 : 0)), ...level]
}
