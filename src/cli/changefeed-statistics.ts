import { setTimeout as delay } from 'node:timers/promises'
import { formatGoDuration } from '../config/go-values.ts'
import { isAbort } from '../base/errors.ts'
import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { printJson } from './output.ts'
import { changefeedPath, currentTs, uint64 } from './remote.ts'

/** Prints gaps until a signal ends it; a failing look-up is passed over. */
export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context)
  await client.get(changefeedPath(context))
  const intervalMs = Math.max(1, context.flags.int('interval')) * 1000
  const ms = (ts: bigint): number => Number(ts >> 18n)
  for (;;) {
    try {
      const now = await currentTs(client)
      const info = await client.get(changefeedPath(context))
      const checkpoint = ms(uint64(info['checkpoint_ts']))
      printJson(context, {
        sink_gap: formatGoDuration(ms(uint64(info['resolved_ts'])) - checkpoint),
        replication_gap: formatGoDuration(ms(now) - checkpoint),
      })
    } catch {
      if (context.signal.aborted) return 0
    }
    try {
      await delay(intervalMs, undefined, { signal: context.signal })
    } catch (error) {
      if (isAbort(error)) return 0
      throw error
    }
  }
}
