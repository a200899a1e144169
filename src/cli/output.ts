import { stringifyJson } from '../tidb/json-big.ts'
import type { CommandContext } from './command.ts'

/** JSON as TiCDC's command line prints it. */
export const printJson = (context: CommandContext, value: unknown): void =>
  context.print(stringifyJson(value, { indent: 2, html: true }))

export const compactJson = (value: unknown): string => stringifyJson(value, { html: true })

/** Asks for one word; only `y` and `Y` mean yes. */
export async function confirm(context: CommandContext, ...question: readonly string[]): Promise<boolean> {
  for (const line of question) context.print(line)
  const word = await context.readWord()
  if (word === undefined) context.print('Received invalid input: EOF, abort the command.')
  return word === 'y' || word === 'Y'
}

/** Asks when replication would begin more than a day back; true = go on. */
export async function confirmLag(context: CommandContext, now: bigint, start: bigint): Promise<boolean> {
  const lagMs = Number((now >> 18n) - (start >> 18n))
  if (lagMs <= 86_400_000) return true
  const { formatGoDuration } = await import('../config/go-values.ts')
  const lag = formatGoDuration(lagMs)
  return confirm(
    context,
    `Replicate lag (${lag}) is larger than 1 days, large data may cause OOM, confirm to continue at your own risk [Y/N]`,
  )
}
