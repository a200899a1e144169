import type { ReplicaConfig } from '../config/replica-config.ts'
import type { SinkSettings } from '../config/sink-settings.ts'
import { dispatcherOf } from '../dispatcher/dispatcher.ts'
import type { TableVersion } from '../event/table-version.ts'
import { createFilter } from '../filter/filter.ts'

/**
 * Refuses a table that lacks what a rule names: columns of value expressions, the index or columns of a dispatcher, the key
 * that a column selector must leave; and, of the tables so far, two
 * that are routed to one. Errors: those of the filter's and the dispatcher's `checkTable`; at once, those of
 * {@link createFilter} and {@link dispatcherOf}, for rules that fit no table at all.
 */
export function createTableCheck(settings: SinkSettings, config: ReplicaConfig): (table: TableVersion) => void {
  const { caseSensitive, forceReplicate } = config
  const filter = createFilter(config.filter, { caseSensitive, forceReplicate })
  const dispatcher = dispatcherOf(settings, config)
  const checkRoute = dispatcher.routes?.conflictCheck()
  return (table) => {
    filter.checkTable(table)
    dispatcher.checkTable(table)
    checkRoute?.(table)
  }
}
