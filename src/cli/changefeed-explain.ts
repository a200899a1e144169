import { systemClock } from '../base/clock.ts'
import { silentLog } from '../base/log.ts'
import { chooseTables, namedTables, parseTableName } from '../check/asked-tables.ts'
import { explain, type Explanation } from '../check/explain.ts'
import { explanationJson } from '../check/explanation-json.ts'
import { explanationText } from '../check/explanation-text.ts'
import { checkReplicaConfig } from '../config/check-replica-config.ts'
import type { ReplicaConfig } from '../config/replica-config.ts'
import { toApiReplicaConfig } from '../config/replica-config-json.ts'
import type { TableVersion } from '../event/table-version.ts'
import { isSystemSchema } from '../filter/filter.ts'
import { readAllTables } from '../schema/all-tables.ts'
import { openPdClient } from '../upstream/pd/client.ts'
import { openSnapshot } from '../upstream/tikv/kv-snapshot.ts'
import { readReplicaConfig, requireSinkUri } from './changefeed-options.ts'
import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { findCredentials } from './credentials.ts'
import { printJson } from './output.ts'

/** Says what a configuration does with each table: from the file alone, or with the tables of a cluster. */
export async function run(context: CommandContext): Promise<number> {
  const { flags } = context
  const sinkUri = flags.text('sink-uri')
  requireSinkUri(sinkUri)
  const { config } = checkReplicaConfig(sinkUri, readReplicaConfig(context))
  const names = flags
    .text('table')
    .split(',')
    .filter((name) => name.trim() !== '')
  const wanted = names.map(parseTableName)
  if (flags.given('server')) return printAnswer(context, await askServer(context, config, sinkUri, names))
  const cluster = flags.given('pd')
  const named = wanted.length > 0 ? wanted : namedTables(config)
  const tables = cluster ? chooseTables(await tablesOfCluster(context), wanted) : named
  return printAnswer(context, answerOf(explain(config, sinkUri, tables, { cluster: cluster && wanted.length === 0 })))
}

/** What is printed, and whether a table is refused. */
interface Answer {
  readonly json: unknown
  readonly text: readonly string[]
  readonly refused: boolean
}

const answerOf = (explanation: Explanation): Answer => ({
  json: explanationJson(explanation),
  text: explanationText(explanation),
  refused: explanation.tables.some(({ errors }) => errors.length > 0),
})

function printAnswer(context: CommandContext, { json, text, refused }: Answer): number {
  if (context.flags.bool('json')) printJson(context, json)
  else for (const line of text) context.print(line)
  return refused ? 1 : 0
}

/** Reads the schema at PD's present time, without a server. */
async function tablesOfCluster(context: CommandContext): Promise<readonly TableVersion[]> {
  const { tls } = findCredentials(context)
  const security = tls === undefined ? {} : { caPath: tls.ca, certPath: tls.cert, keyPath: tls.key }
  const options = { security, log: silentLog, clock: systemClock }
  const endpoints = context.flags.text('pd').split(',')
  await using pd = await openPdClient({ endpoints, ...options }, context.signal)
  const snapshot = openSnapshot(pd, await pd.tso(context.signal), options)
  return await readAllTables(snapshot, isSystemSchema, context.signal)
}

async function askServer(
  context: CommandContext,
  config: ReplicaConfig,
  sinkUri: string,
  names: readonly string[],
): Promise<Answer> {
  const client = await connect(context)
  const request = { sink_uri: sinkUri, replica_config: toApiReplicaConfig(config, { mask: false }), tables: names }
  const { explanation, text, refused } = await client.send('POST', '/explain', request)
  return { json: explanation, text: Array.isArray(text) ? text.map(String) : [], refused: refused === true }
}
