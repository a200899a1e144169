import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { printJson } from './output.ts'
import { itemsOf } from './remote.ts'

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context)
  const processors = itemsOf(await client.get('/processors')).map(({ namespace, changefeed_id, capture_id }) => ({
    namespace,
    changefeed_id,
    capture_id,
  }))
  printJson(context, processors)
  return 0
}
