import { systemClock } from '../base/clock.ts'
import { CdcError } from '../base/errors.ts'
import { silentLog } from '../base/log.ts'
import { openPdClient } from '../upstream/pd/client.ts'
import type { CommandContext } from './command.ts'
import { findCredentials } from './credentials.ts'

export async function run(context: CommandContext): Promise<number> {
  const pd = context.flags.text('pd')
  if (pd === '')
    throw new CdcError(
      'CDC:ErrInvalidServerOption',
      'Empty PD address. Please use --pd to specify PD cluster addresses',
    )
  const { tls } = findCredentials(context)
  const security = tls === undefined ? {} : { caPath: tls.ca, certPath: tls.cert, keyPath: tls.key }
  const options = { endpoints: pd.split(','), security, log: silentLog, clock: systemClock, connectTimeoutMs: 4_000 }
  await using client = await openPdClient(options, context.signal)
  context.print(String(await client.tso(context.signal)))
  return 0
}
