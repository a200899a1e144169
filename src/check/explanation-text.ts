import type { Explanation, IgnoredEvents, TableExplanation } from './explain.ts'

/** Lines for people; the same that `--json` has. */
export function explanationText({ tables, warnings }: Explanation): readonly string[] {
  const blocks = tables.map(tableLines)
  if (warnings.length > 0) blocks.push(['rules', ...warnings.map((warning) => line('warning', warning))])
  if (blocks.length === 0)
    blocks.push(['No table to explain: name one with --table db.table, or give --server or --pd.'])
  return blocks.flatMap((block, at) => (at === 0 ? block : ['', ...block]))
}

const line = (label: string, text: string): string => `  ${label.padEnd(15)} ${text}`

function tableLines(table: TableExplanation): readonly string[] {
  const lines = [`${table.schema}.${table.table}`]
  lines.push(line('replicated', `${table.replicated ? 'yes' : 'no'}: ${table.because}`))
  if (table.target !== undefined) lines.push(line('called', table.target))
  if (table.topic !== undefined) {
    lines.push(line('topic', table.topic))
    lines.push(line('dispatcher', table.dispatcher ?? 'none takes it, defaults apply'))
    lines.push(line('partition', `${table.partition ?? ''}, ${countText(table.partitions ?? 0)}`))
    const hashed = ['schema and table name', ...(table.columnsHashed ?? [])]
    lines.push(line('hashed', table.partition === 'ts' ? 'nothing: commit-ts modulo partitions' : hashed.join(', ')))
  }
  if (table.columnsSent !== undefined) lines.push(line('columns sent', table.columnsSent.join(', ')))
  if (table.selector !== undefined) lines.push(line('column selector', table.selector))
  for (const one of table.ignored ?? []) lines.push(...ignoredLines(one))
  for (const warning of table.warnings) lines.push(line('warning', warning))
  for (const { message } of table.errors) lines.push(line('error', message))
  return lines
}

const countText = (partitions: number): string =>
  partitions === 0 ? 'as many partitions as the topic has' : `${partitions} partitions`

function ignoredLines({ eventFilter, events, sql, rows }: IgnoredEvents): readonly string[] {
  const lines: string[] = []
  if (events.length > 0) lines.push(line('ignored', `${events.join(', ')} (${eventFilter})`))
  if (sql.length > 0) lines.push(line('ignored', `DDL that matches ${sql.join(' | ')} (${eventFilter})`))
  for (const { kind, where } of rows) lines.push(line('ignored', `${kind} where ${where} (${eventFilter})`))
  return lines.length > 0 ? lines : [line('ignored', `nothing (${eventFilter})`)]
}
