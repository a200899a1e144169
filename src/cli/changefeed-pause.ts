import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { changefeedPath } from './remote.ts'

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context)
  await client.send('POST', changefeedPath(context, '/pause'))
  return 0
}
