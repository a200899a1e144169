import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { printJson } from './output.ts'
import { itemsOf } from './remote.ts'

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context)
  const captures = itemsOf(await client.get('/captures')).map((capture) => ({
    id: capture['id'],
    'is-owner': capture['is_owner'],
    address: capture['address'],
    'cluster-id': capture['cluster_id'],
  }))
  printJson(context, captures)
  return 0
}
