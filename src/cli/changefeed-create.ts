import { describeError } from '../base/errors.ts'
import { checkReplicaConfig } from '../config/check-replica-config.ts'
import { toApiReplicaConfig, type JsonObject } from '../config/replica-config-json.ts'
import type { ApiClient } from './api-client.ts'
import { readReplicaConfig, refuseSortDir, requireSinkUri, showWarnings } from './changefeed-options.ts'
import type { CommandContext } from './command.ts'
import { connect } from './connect.ts'
import { compactJson, confirm, confirmLag } from './output.ts'
import { currentTs, textOf, uint64 } from './remote.ts'

/** In the order of reference interface, section 2.2. */
export async function run(context: CommandContext): Promise<number> {
  const { flags } = context
  const sinkUri = flags.text('sink-uri')
  const noConfirm = flags.bool('no-confirm')
  requireSinkUri(sinkUri)
  const read = readReplicaConfig(context)
  const wanted = flags.bool('disable-gc-check') ? { ...read, checkGcSafePoint: false } : read
  const { config, warnings } = checkReplicaConfig(sinkUri, wanted)
  showWarnings(context, warnings)
  if (flags.text('tz').toUpperCase() !== 'SYSTEM') context.warn('[WARN] --tz is deprecated in changefeed settings.')
  refuseSortDir(context)

  const client = await connect(context)
  const now = await currentTs(client)
  const startTs = flags.uint64('start-ts') === 0n ? now : flags.uint64('start-ts')
  if (!noConfirm && !(await confirmLag(context, now, startTs))) {
    context.print('Abort changefeed create.')
    return 0
  }
  const replicaConfig = toApiReplicaConfig(config, { mask: false })
  const request = { sink_uri: sinkUri, start_ts: startTs, replica_config: replicaConfig }
  const tables = await explain(context, client.send('POST', '/verify_table', request))
  const agreed = await agreeToIneligible(context, tables, config.forceReplicate)
  if (!agreed) {
    context.print("No changefeed is created because you don't want to ignore some tables.")
    return 0
  }
  const ignore = noConfirm || agreed === 'asked'
  const info = await explain(context, createChangefeed(context, client, { ...request, ignore }))
  context.print('Create changefeed successfully!')
  context.print(`ID: ${textOf(info['id'])}`)
  context.print(`Info: ${compactJson(info)}`)
  return 0
}

const createChangefeed = (
  { flags }: CommandContext,
  client: ApiClient,
  request: { sink_uri: string; start_ts: bigint; replica_config: JsonObject; ignore: boolean },
): Promise<JsonObject> =>
  client.send('POST', '/changefeeds', {
    namespace: flags.text('namespace'),
    changefeed_id: flags.text('changefeed-id'),
    start_ts: request.start_ts,
    target_ts: flags.uint64('target-ts'),
    sink_uri: request.sink_uri,
    replica_config: request.ignore
      ? { ...request.replica_config, ignore_ineligible_table: true }
      : request.replica_config,
  })

/** Names the tables that cannot be replicated, and asks where that is not settled. */
async function agreeToIneligible(
  context: CommandContext,
  tables: JsonObject,
  forceReplicate: boolean,
): Promise<boolean | 'asked'> {
  const given: unknown = tables['ineligible_tables']
  const ineligible: readonly unknown[] = Array.isArray(given) ? given : []
  if (ineligible.length === 0) return true
  const names = `[]v2.TableName{${ineligible.map(goTableName).join(', ')}}`
  if (forceReplicate) {
    context.print(
      `[WARN] Force to replicate some ineligible tables, these tables do not have a primary key or a not-null unique key: ${names}`,
    )
    context.print('[WARN] This may cause data redundancy, please refer to the official documentation for details.')
    return true
  }
  context.print(
    `[WARN] Some tables are not eligible to replicate, because they do not have a primary key or a not-null unique key: ${names}`,
  )
  if (context.flags.bool('no-confirm')) return true
  const agreed = await confirm(
    context,
    'Could you agree to ignore those tables, and continue to replicate [Y/N]',
    "Note: If you don't want to ignore those tables, please set `force-replicate to` true in the changefeed config file.",
  )
  return agreed ? 'asked' : false
}

/** A table as Go prints the structure; scripts look for it. */
function goTableName(value: unknown): string {
  const table: JsonObject = typeof value === 'object' && value !== null ? { ...value } : {}
  const schema = JSON.stringify(textOf(table['database_name']))
  const name = JSON.stringify(textOf(table['table_name']))
  const isPartition = table['is_partition'] === true
  return `v2.TableName{Schema:${schema}, Table:${name}, TableID:${uint64(table['table_id'])}, IsPartition:${isPartition}}`
}

const EVENT_TYPES =
  'all dml, all ddl, insert, update, delete, alter table, create schema, drop schema, create database, drop database, create table, drop table, truncate table, rename table, create index, drop index, create view, drop view, add table partition, drop table partition, truncate table partition, reorganize table partition, exchange table partition, alter table partitioning, remove table partitioning, modify column, add column, drop column, rename index, add primary key, drop primary key, modify schema charset and collate, modify table charset and collate, modify table comment, recover table, set default value, rebase auto id, alter index visibility, alter ttl info, alter ttl remove, multi schema change, add foreign key, drop foreign key'

/** Adds what the server's error leaves out. */
async function explain<T>(context: CommandContext, answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (describeError(error).includes('ErrInvalidIgnoreEventType'))
      context.print(`Invalid input, 'ignore-event' parameters can only accept [${EVENT_TYPES}]`)
    throw error
  }
}
