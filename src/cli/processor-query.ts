import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { printJson } from './output.ts'
import { changefeedPath } from './remote.ts'

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context)
  const capture = encodeURIComponent(context.flags.text('capture-id'))
  const path = changefeedPath(context, `/${capture}`).replace('/changefeeds/', '/processors/')
  const ids: unknown = (await client.get(path))['table_ids']
  const tableIds: readonly unknown[] = Array.isArray(ids) ? ids : []
  const tables = Object.fromEntries(tableIds.map((id) => [String(id), { 'start-ts': 0 }]))
  printJson(context, { status: { tables, operation: null, 'admin-job-type': 0 }, position: null })
  return 0
}
