import { CdcError } from '../base/errors.ts'
import { parseUint64 } from '../config/go-values.ts'
import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { confirm, confirmLag } from './output.ts'
import { changefeedPath, currentTs, uint64 } from './remote.ts'

export async function run(context: CommandContext): Promise<number> {
  const { flags } = context
  const id = flags.text('changefeed-id')
  const text = flags.text('overwrite-checkpoint-ts')
  const overwrite = text === '' || text === 'now' ? undefined : parseUint64(text)
  if (text !== '' && text !== 'now' && (overwrite === undefined || overwrite === 0n))
    throw new CdcError(
      'CDC:ErrCliInvalidCheckpointTs',
      `invalid overwrite-checkpoint-ts ${text}, overwrite-checkpoint-ts only accept 'now' or a valid timestamp in integer`,
    )
  const client = await connect(context)
  const now = await currentTs(client)
  if (overwrite !== undefined && overwrite > now)
    throw new CdcError(
      'CDC:ErrCliCheckpointTsIsInFuture',
      `the overwrite-checkpoint-ts ${overwrite} must be smaller than current TSO`,
    )
  const info = await client.get(changefeedPath(context))
  const target = text === 'now' ? now : overwrite
  if (!flags.bool('no-confirm')) {
    const agreed =
      target === undefined
        ? await confirmLag(context, now, uint64(info['checkpoint_ts']))
        : await confirm(
            context,
            `You are overwriting the checkpoint of changefeed(${id}) to ${target}, which may lead to data loss or data duplication.`,
            'Confirm that you know what this command will do and use it at your own risk [Y/N]',
          )
    if (!agreed) {
      context.print('Abort changefeed resume.')
      return 0
    }
  }
  await client.send('POST', changefeedPath(context, '/resume'), { overwrite_checkpoint_ts: target ?? 0 })
  return 0
}
