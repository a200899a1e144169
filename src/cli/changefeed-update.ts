import { checkReplicaConfig } from '../config/check-replica-config.ts'
import { parseApiReplicaConfig, toApiReplicaConfig } from '../config/replica-config-json.ts'
import { defaultReplicaConfig } from '../config/replica-config-toml.ts'
import { maskSinkUri } from '../config/sink-uri.ts'
import { readReplicaConfig, refuseSortDir, showWarnings } from './changefeed-options.ts'
import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { differences } from './differences.ts'
import { compactJson, confirm } from './output.ts'
import { changefeedPath, textOf, uint64 } from './remote.ts'

/** Changes only what the flags name; arrays of the file replace those of the changefeed. */
export async function run(context: CommandContext): Promise<number> {
  const { flags } = context
  refuseSortDir(context)
  const client = await connect(context)
  const current = await client.get(changefeedPath(context))
  const currentConfig = parseApiReplicaConfig(current['config'])
  const config = readReplicaConfig(context, flags.bool('replace-config') ? defaultReplicaConfig : currentConfig)
  const sinkUri = flags.given('sink-uri') ? flags.text('sink-uri') : textOf(current['sink_uri'])
  const targetTs = flags.given('target-ts') ? flags.uint64('target-ts') : uint64(current['target_ts'])
  const checked = checkReplicaConfig(sinkUri, config)
  showWarnings(context, checked.warnings)
  const lines = differences(
    { TargetTs: uint64(current['target_ts']), SinkURI: current['sink_uri'], Config: toApiReplicaConfig(currentConfig) },
    { TargetTs: targetTs, SinkURI: maskSinkUri(sinkUri), Config: toApiReplicaConfig(config) },
  )
  // What was answered is masked, so that a secret that is given counts as a new one.
  const newSecret =
    sinkUri !== maskSinkUri(sinkUri) ||
    compactJson(toApiReplicaConfig(config, { mask: false })) !== compactJson(toApiReplicaConfig(config))
  if (lines.length === 0 && newSecret) lines.push('{Type:update Path:[secrets] From:xxxxx To:xxxxx}')
  if (lines.length === 0) {
    context.print('changefeed config is the same with the old one, do nothing')
    return 0
  }
  context.print('Diff of changefeed config:')
  for (const line of lines) context.print(line)
  const question = 'Could you agree to apply changes above to changefeed [Y/N]'
  if (!flags.bool('no-confirm') && !(await confirm(context, question))) {
    context.print('No update to changefeed.')
    return 0
  }
  const info = await client.send('PUT', changefeedPath(context), {
    target_ts: targetTs,
    sink_uri: flags.given('sink-uri') ? sinkUri : '',
    replica_config: toApiReplicaConfig(config, { mask: false }),
  })
  context.print('Update changefeed config successfully! ')
  context.print(`ID: ${flags.text('changefeed-id')}`)
  context.print(`Info: ${compactJson(info)}`)
  return 0
}
