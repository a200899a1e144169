import { CdcError } from '../base/errors.ts'
import type { DispatchRuleConfig } from '../config/replica-config.ts'
import { parseTableRules } from '../config/table-rules.ts'
import type { DdlEvent, TableName } from '../event/ddl-event.ts'
import type { TableVersion } from '../event/table-version.ts'
import { routeDdlText } from './route-ddl.ts'

/**
 * Names under which tables are known downstream (`target-schema` and `target-table` of `sink.dispatchers`; TiCDC's documents,
 * "TiCDC Table Routing"). Filters, topics, partitions and selectors go by the upstream's names.
 */
export interface TableRoutes {
  route(schema: string, table: string): TableName
  /** The same object for the same table. */
  routeTable(table: TableVersion): TableVersion
  /** With the names in its text. Error: `CDC:ErrTableRoutingFailed` where a text or the target of a schema is unclear. */
  routeDdl(event: DdlEvent): DdlEvent
  /** Takes table by table. Error: `CDC:ErrTableRouteConflict` where one before had the same target. */
  conflictCheck(): (table: TableName) => void
}

interface Route {
  readonly place: string
  matchesTable(schema: string, table: string): boolean
  matchesSchema(schema: string): boolean
  readonly schemaExpression: string
  readonly tableExpression: string
}

/** undefined where no rule routes. Errors: `CDC:ErrInvalidTableRoutingRule`, `CDC:ErrFilterRuleInvalid`. */
export function createTableRoutes(
  rules: readonly DispatchRuleConfig[],
  options: { readonly caseSensitive: boolean },
): TableRoutes | undefined {
  const routes = rules.flatMap(({ matcher, targetSchema = '', targetTable = '' }, at): Route[] => {
    if (targetSchema === '' && targetTable === '') return []
    const place = `sink.dispatchers[${at}]`
    checkExpression(targetSchema, `${place}.target-schema`)
    checkExpression(targetTable, `${place}.target-table`)
    const tables = parseTableRules(matcher, { ...options, place: `${place}.matcher` })
    return [
      {
        place,
        matchesTable: (schema, table) => tables.matchesTable(schema, table),
        matchesSchema: (schema) => tables.matchesSchema(schema),
        schemaExpression: targetSchema === '' ? '{schema}' : targetSchema,
        tableExpression: targetTable === '' ? '{table}' : targetTable,
      },
    ]
  })
  return routes.length === 0 ? undefined : new CompiledRoutes(routes)
}

function checkExpression(expression: string, place: string): void {
  if (!/[{}]/.test(expression.replace(/\{(?:schema|table)\}/g, ''))) return
  const text = `invalid table routing rule: '${expression}' may hold only text, {schema} and {table} (${place})`
  throw new CdcError('CDC:ErrInvalidTableRoutingRule', text)
}

class CompiledRoutes implements TableRoutes {
  readonly #routes: readonly Route[]
  readonly #tables = new WeakMap<TableVersion, TableVersion>()

  constructor(routes: readonly Route[]) {
    this.#routes = routes
  }

  route(schema: string, table: string): TableName {
    const route = this.#routes.find((one) => one.matchesTable(schema, table))
    if (route === undefined) return { schema, table }
    return {
      schema: fill(route.schemaExpression, schema, table),
      table: fill(route.tableExpression, schema, table),
    }
  }

  routeTable(version: TableVersion): TableVersion {
    let routed = this.#tables.get(version)
    if (routed === undefined) {
      const { schema, table } = this.route(version.schema, version.table)
      const name = { original: table, lower: table.toLowerCase() }
      routed = { ...version, schema, table, info: { ...version.info, name } }
      this.#tables.set(version, routed)
    }
    return routed
  }

  routeDdl(event: DdlEvent): DdlEvent {
    const { before, after, query, sqlMode } = event
    const names =
      event.table === ''
        ? { schema: this.#routeSchema(event.schema), table: '' }
        : this.route(event.schema, event.table)
    return {
      ...event,
      ...names,
      before: before && this.routeTable(before),
      after: after && this.routeTable(after),
      query: routeDdlText(query, sqlMode, {
        defaultSchema: before?.schema ?? event.schema,
        mustBeRouted: names.schema !== event.schema || names.table !== event.table,
        table: (schema, table) => this.route(schema, table),
        schema: (schema) => this.#routeSchema(schema),
      }),
    }
  }

  conflictCheck(): (table: TableName) => void {
    const owners = new Map<string, string>()
    return ({ schema, table }) => {
      const target = this.route(schema, table)
      const key = JSON.stringify([target.schema, target.table])
      const source = `${schema}.${table}`
      const owner = owners.get(key) ?? source
      owners.set(key, source)
      if (owner === source) return
      const text = `table route conflict: ${owner} and ${source} are both routed to ${target.schema}.${target.table}`
      throw new CdcError('CDC:ErrTableRouteConflict', text)
    }
  }

  /** For DDL of a schema as a whole: the one target that all rules over it have. */
  #routeSchema(schema: string): string {
    const routes = this.#routes.filter((one) => one.matchesSchema(schema))
    const targets = new Set(routes.map(({ schemaExpression }) => fill(schemaExpression, schema, '{table}')))
    const [target = schema] = targets
    if (targets.size <= 1 && !target.includes('{table}')) return target
    const places = routes.map(({ place }) => place).join(', ')
    const text = `table routing failed: a DDL of schema ${schema} has no single target, its rules are ${places}`
    throw new CdcError('CDC:ErrTableRoutingFailed', text)
  }
}

const fill = (expression: string, schema: string, table: string): string =>
  expression.replace(/\{(schema|table)\}/g, (_, word: string) => (word === 'schema' ? schema : table))
