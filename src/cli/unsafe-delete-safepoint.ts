import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { confirm } from './output.ts'

export async function run(context: CommandContext): Promise<number> {
  const question = 'Confirm that you know what this command will do and use it at your own risk [Y/N]'
  if (!context.flags.bool('no-confirm') && !(await confirm(context, question))) throw new Error('abort meta command')
  const client = await connect(context)
  await client.send('DELETE', '/unsafe/service_gc_safepoint', {})
  context.print('CDC service GC safepoint truncated in PD!')
  return 0
}
