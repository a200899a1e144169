import type { TrackedDdl } from '../schema/tracker.ts'
import { minTs, Ts } from '../tidb/ts.ts'
import type { Grant } from './messages.ts'

/** What DDLs and the target hold back (design, "Grants, DDL and checkpoints"). */
export interface Barriers {
  /** Rows of every table may leave up to here. */
  readonly grantTs: Ts
  /** Tables whose own next DDL lies below `grantTs`. */
  readonly tables: Grant['tables']
  /** The checkpoint may reach this, not more. */
  readonly checkpointCapTs: Ts
  /** The next DDL that is not yet run has this commitTs, or a later one where none is known: checkpoint T with a
   *  barrier above T says that every DDL ≤ T was run. */
  readonly minTableBarrierTs: Ts
}

/**
 * @param ddlResolvedTs every DDL at or below it is known
 * @param pending known DDLs that are not yet run, in order
 * @param targetTs 0 = none
 */
export function barriersOf(ddlResolvedTs: Ts, pending: readonly TrackedDdl[], targetTs: Ts): Barriers {
  const capped = targetTs === 0n ? ddlResolvedTs : minTs(ddlResolvedTs, targetTs)
  const firstGlobal = pending.find(({ barrier }) => barrier === 'global')?.event.commitTs
  const grantTs = firstGlobal === undefined ? capped : minTs(capped, firstGlobal)
  const tables = new Map<bigint, Ts>()
  for (const { event, barrier } of pending) {
    if (barrier === 'global' || event.commitTs >= grantTs) continue
    for (const physicalId of barrier.tables) {
      if (!tables.has(physicalId)) tables.set(physicalId, event.commitTs)
    }
  }
  const next = pending[0]?.event.commitTs
  return {
    grantTs,
    tables: [...tables].map(([physicalId, ts]) => ({ physicalId, ts })),
    checkpointCapTs: next === undefined ? capped : minTs(capped, next),
    minTableBarrierTs: next ?? Ts(ddlResolvedTs + 1n),
  }
}
