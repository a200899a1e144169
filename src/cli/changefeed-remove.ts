import { describeError } from '../base/errors.ts'
import type { JsonObject } from '../config/replica-config-json.ts'
import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { changefeedPath, textOf, uint64 } from './remote.ts'

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context)
  const id = context.flags.text('changefeed-id')
  const failed = (error: unknown): never => {
    context.print(`Changefeed remove failed.\nID: ${id}\nError: ${describeError(error)}`)
    throw error
  }
  const found = await client.get(changefeedPath(context)).catch((error: unknown): JsonObject | undefined => {
    if (describeError(error).includes('ErrChangeFeedNotExists')) return undefined
    return failed(error)
  })
  if (found === undefined) {
    context.print(`Changefeed not found.\nID: ${id}`)
    return 0
  }
  await client.send('DELETE', changefeedPath(context)).catch(failed)
  const checkpoint = uint64(found['checkpoint_ts'])
  context.print('Changefeed remove successfully.')
  context.print(`ID: ${id}\nCheckpointTs: ${checkpoint}\nSinkURI: ${textOf(found['sink_uri'])}`)
  return 0
}
