import { humanTime } from '../api/answers.ts'
import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { printJson } from './output.ts'
import { changefeedPath, itemsOf, textOf } from './remote.ts'

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context)
  const id = context.flags.text('changefeed-id')
  if (context.flags.bool('simple')) {
    const namespace = encodeURIComponent(context.flags.text('namespace'))
    const all = itemsOf(await client.get(`/changefeeds?namespace=${namespace}&state=all`))
    const found = all.find((changefeed) => changefeed['id'] === id)
    if (found === undefined) throw new Error(`[CDC:ErrChangeFeedNotExists]changefeed not exists, ${id}`)
    printJson(context, found)
    return 0
  }
  const info = await client.get(changefeedPath(context))
  const created = Date.parse(textOf(info['create_time']))
  const tasks: unknown = info['task_status']
  printJson(context, {
    upstream_id: info['upstream_id'] ?? 0,
    namespace: info['namespace'],
    id: info['id'],
    sink_uri: info['sink_uri'],
    config: info['config'],
    create_time: Number.isNaN(created) ? info['create_time'] : humanTime(created),
    start_ts: info['start_ts'] ?? 0,
    resolved_ts: info['resolved_ts'],
    target_ts: info['target_ts'] ?? 0,
    checkpoint_tso: info['checkpoint_ts'],
    checkpoint_time: info['checkpoint_time'],
    state: info['state'],
    error: info['error'],
    creator_version: info['creator_version'],
    task_status: Array.isArray(tasks) && tasks.length > 0 && info['state'] === 'normal' ? tasks : undefined,
  })
  return 0
}
