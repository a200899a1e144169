import type { Log } from '../base/log.ts'
import type { OpenChangefeed, SchemaVersion } from '../changefeed/messages.ts'
import type { Protocol } from '../codec/protocol.ts'
import type { Dispatcher } from '../dispatcher/dispatcher.ts'
import type { Filter } from '../filter/filter.ts'
import type { IntegrityOptions } from '../mounter/integrity.ts'
import { compileMounter } from '../mounter/mounter.ts'
import { compileRowPlan, type RowPlan } from './row-plan.ts'
import type { TableInfos } from './table-infos.ts'

export interface TableCompilerParts {
  readonly open: OpenChangefeed
  readonly infos: TableInfos
  readonly dispatcher: Dispatcher
  readonly filter: Filter
  readonly protocol: Protocol | undefined
  readonly log: Log
  /** Asks the sink how many partitions a topic has. */
  readonly partitionsOf: (topic: string) => Promise<number>
  readonly signal: AbortSignal
}

/** Makes the plan for rows of one schema version; it holds what the sink told, and is of no use for another sink. */
export function createTableCompiler(parts: TableCompilerParts): (schema: SchemaVersion) => Promise<RowPlan> {
  const { open, infos, dispatcher, filter, protocol, signal } = parts
  const integrity = integrityOptions(parts)
  const splitUpdates = splitsUpdates(open)
  return async (schema) => {
    const table = infos.tableOf(schema)
    const topic = dispatcher.topicOf(table.schema, table.table)
    const selection = dispatcher.selectColumns(table)
    const partitions = await parts.partitionsOf(topic)
    const shown = selection?.table ?? table
    await protocol?.prepare?.(shown, topic, signal)
    return compileRowPlan({
      table,
      topic,
      partitions,
      mount: compileMounter(table, { timeZone: open.timeZone, integrity }),
      ignores: filter.compileRowFilter(table),
      partitionOf: dispatcher.compile(table, partitions),
      encoder: protocol?.compile(shown),
      selection,
      splitUpdates,
      // A checksum is over the values of a whole row.
      stored:
        integrity === undefined
          ? {
              timeZone: open.timeZone,
              partitionOf: (cellOf) => dispatcher.compileStored(table, partitions, cellOf),
            }
          : undefined,
    })
  }
}

function integrityOptions({ open, log }: TableCompilerParts): IntegrityOptions | undefined {
  const { integrityCheckLevel, corruptionHandleLevel } = open.config.integrity
  if (integrityCheckLevel !== 'correctness') return undefined
  const onCorruption = corruptionHandleLevel === 'error' ? 'error' : 'warn'
  return { onCorruption, report: (problem) => log.warn('a row is corrupted', { problem }) }
}

/** Whether updates of a primary or unique key leave as a delete and an insert: each sink has its own switch. */
function splitsUpdates({ sink, config }: OpenChangefeed): boolean {
  const table = sink.scheme === 'storage' ? config.sink.cloudStorageConfig : config.sink.kafkaConfig
  return table?.['outputRawChangeEvent'] !== true
}
