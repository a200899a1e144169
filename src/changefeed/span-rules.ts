import type { ReplicaConfig } from '../config/replica-config.ts'
import type { SinkSettings } from '../config/sink-settings.ts'
import { dispatcherOf } from '../dispatcher/dispatcher.ts'
import { partitionWord } from '../dispatcher/partition.ts'
import type { ReplicatedTable } from '../schema/tracker.ts'

/** How a changefeed's spans may change (docs/decisions/015-spans-of-a-table). */
export interface SpanRules {
  /** A table may change its worker. */
  readonly movable: boolean
  /** A table of so many regions, of which so many rows change, may be several spans. */
  readonly splittable: (table: ReplicatedTable, regions: number, rowsPerMinute: number) => boolean
}

/** Partition rules that send all changes of a row to one partition, and promise no more. */
const RULES_BY_KEY: ReadonlySet<string> = new Set(['index-value', 'rowid', 'columns'])

/**
 * @param clustered whether a table's record key is its primary key. Another table's row that is replaced gets another
 *   record key, perhaps in another span, although it is the same row to whoever reads the messages.
 */
export function createSpanRules(
  sink: SinkSettings,
  config: ReplicaConfig,
  clustered: (table: ReplicatedTable) => boolean,
): SpanRules {
  const { enableTableAcrossNodes, regionThreshold, writeKeyThreshold } = config.scheduler
  switch (sink.scheme) {
    case 'blackhole':
      return { movable: true, splittable: (_table, regions) => regions > 1 }
    case 'kafka': {
      const dispatcher = dispatcherOf(sink, config)
      const byKey = ({ schema, table }: ReplicatedTable): boolean =>
        RULES_BY_KEY.has(partitionWord(dispatcher.explain(schema, table).config))
      const asked = (regions: number, rowsPerMinute: number): boolean =>
        enableTableAcrossNodes &&
        (regions > regionThreshold || (writeKeyThreshold > 0 && rowsPerMinute > writeKeyThreshold))
      return {
        movable: true,
        splittable: (table, regions, rowsPerMinute) =>
          regions > 1 && (asked(regions, rowsPerMinute) || byKey(table)) && clustered(table),
      }
    }
    // The files of a table are numbered by the one worker that writes them.
    case 'storage':
      return { movable: false, splittable: () => false }
  }
}
