import type { ReplicaConfig } from '../config/replica-config.ts'
import type { TableVersion } from '../event/table-version.ts'
import type { AskedTable } from './explain.ts'

/** `db.table` as a user names it, quoted with back quotes where a name holds a point. Error: SyntaxError. */
export function parseTableName(text: string): AskedTable {
  const name = '`(?:``|[^`])+`|[^.`]+'
  const [, schema, table] = new RegExp(`^(${name})\\.(${name})$`).exec(text.trim()) ?? []
  if (schema === undefined || table === undefined) throw new SyntaxError(`a table is named as db.table, not '${text}'`)
  return { schema: unquoted(schema), table: unquoted(table) }
}

const unquoted = (name: string): string => (name.startsWith('`') ? name.slice(1, -1).replaceAll('``', '`') : name)

/** Those of `all` that are asked for, whatever the case of their names; one that does not exist has no columns. */
export function chooseTables(all: readonly TableVersion[], wanted: readonly AskedTable[]): readonly AskedTable[] {
  const asked = all.map((version): AskedTable => ({ schema: version.schema, table: version.table, version }))
  if (wanted.length === 0) return asked
  const key = ({ schema, table }: AskedTable): string => `${schema}\0${table}`.toLowerCase()
  return wanted.map((one) => asked.find((known) => key(known) === key(one)) ?? one)
}

/** Tables that the rules of a configuration name without wildcards: what can be explained without a cluster. */
export function namedTables({ filter, sink }: ReplicaConfig): readonly AskedTable[] {
  const rules = [
    ...filter.rules,
    ...[...filter.eventFilters, ...sink.dispatchers, ...sink.columnSelectors].flatMap(({ matcher }) => matcher),
  ]
  const found = new Map<string, AskedTable>()
  for (const rule of rules) {
    const plain = rule.trim().replace(/^!/, '')
    if (/^(?:`[^`]+`|[\w$]+)\.(?:`[^`]+`|[\w$]+)$/.test(plain)) found.set(plain, parseTableName(plain))
  }
  return [...found.values()]
}
