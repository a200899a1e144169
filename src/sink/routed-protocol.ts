import type { Protocol } from '../codec/protocol.ts'
import type { TableRoutes } from '../dispatcher/table-route.ts'

/** A protocol that names tables as they are called downstream; nothing else of it changes. */
export function routeProtocol(protocol: Protocol, routes: TableRoutes | undefined): Protocol {
  if (routes === undefined) return protocol
  const routed: Protocol = {
    compile: (table) => protocol.compile(routes.routeTable(table)),
    ddl: (event) => protocol.ddl(routes.routeDdl(event)),
    watermark: (ts) => protocol.watermark(ts),
    ddlPartitions: protocol.ddlPartitions,
  }
  if (protocol.prepare !== undefined)
    routed.prepare = async (table, topic, signal) => protocol.prepare?.(routes.routeTable(table), topic, signal)
  const bootstrap = protocol.bootstrap?.bind(protocol)
  if (bootstrap !== undefined) routed.bootstrap = (table) => bootstrap(routes.routeTable(table))
  return routed
}
