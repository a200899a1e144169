import { parseJson } from '../tidb/json-big.ts'
import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { textOf } from './remote.ts'

export async function run(context: CommandContext): Promise<number> {
  const client = await connect(context)
  const entries: unknown = parseJson(await client.getText('/unsafe/metadata'))
  const pairs: readonly unknown[] = Array.isArray(entries) ? entries : []
  for (const pair of pairs)
    if (typeof pair === 'object' && pair !== null && 'key' in pair && 'value' in pair)
      context.print(`Key: ${textOf(pair.key)}, Value: ${textOf(pair.value)}`)
  context.print(`Show ${pairs.length} KVs`)
  return 0
}
