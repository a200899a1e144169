import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { printJson } from './output.ts'
import { itemsOf } from './remote.ts'

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context)
  const namespace = encodeURIComponent(context.flags.text('namespace'))
  const all = itemsOf(await client.get(`/changefeeds?namespace=${namespace}&state=all`))
  const shown = context.flags.bool('all')
    ? all
    : all.filter((changefeed) => changefeed['state'] !== 'finished' && changefeed['state'] !== 'removed')
  const lines = shown.map((changefeed) => ({
    id: changefeed['id'],
    namespace: changefeed['namespace'],
    summary: {
      state: changefeed['state'],
      tso: changefeed['checkpoint_tso'],
      checkpoint: changefeed['checkpoint_time'],
      error: changefeed['error'] ?? null,
    },
  }))
  printJson(context, lines)
  return 0
}
