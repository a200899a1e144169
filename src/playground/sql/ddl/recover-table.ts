import { objectOf, parseJson } from '../../../tidb/json-big.ts'
import type { JsonObject } from '../../../tidb/json-big.ts'
import { jobHistoryRange, rowIdCounterKey, tableKey } from '../../../tidb/meta-key.ts'
import { ciName, tableInfoOf } from '../../../tidb/table-info-json.ts'
import { Ts } from '../../../tidb/ts.ts'
import { STATE_PUBLIC } from '../../../tidb/table-info.ts'
import { parseDdlJob } from '../../../tidb/ddl-job.ts'
import type { DdlJob } from '../../../tidb/ddl-job.ts'
import { findDatabase } from '../catalog/schema.ts'
import { SqlError } from '../error.ts'
import type { DdlStatement } from '../parser/ast.ts'
import { Action } from './job.ts'
import type { JobRunner } from './job-runner.ts'

/** A table that is no more, as the job that ended it left it. */
interface Dropped {
  readonly job: DdlJob
  readonly stored: JsonObject
}

/** RECOVER TABLE and FLASHBACK TABLE: the rows of a dropped table are still there, under its id. */
export async function recoverTable(
  jobs: JobRunner,
  statement: Extract<DdlStatement, { kind: 'recoverTable' }>,
): Promise<void> {
  const schema = await jobs.schema()
  const name = jobs.qualified(statement.table)
  const database = findDatabase(schema, name.schema)
  const target = statement.newName || name.name
  if (database.tables.has(target.toLowerCase()))
    throw new SqlError(1050, `Table '${target}' already been flashback to '${target}', or exists`)
  const dropped = await findDropped(jobs, database.info.id, name.name)
  if (dropped === undefined)
    throw new SqlError(8055, `Can't find dropped/truncated table: '${name.name}' in DDL history jobs`)
  const before = tableInfoOf(dropped.stored)
  const oldId = dropped.job.tableId
  if ([...database.tables.values()].some(({ info }) => info.id === oldId))
    throw new SqlError(8056, `table ${name.name} was recovered already`)
  const txn = await jobs.engine.begin(jobs.scope.signal)
  const counter = await jobs.engine.store
    .snapshot(txn.startTs)
    .get(rowIdCounterKey(database.info.id, oldId), jobs.scope.signal)
  await jobs.run(schema, 0, (_ids, inner) =>
    jobs.tableChange(
      Action.RecoverTable,
      database.info,
      { ...before, id: oldId, name: ciName(target), state: STATE_PUBLIC, updateTs: inner.startTs },
      dropped.stored,
      { rawArgs: { recover_info: { schema_id: database.info.id, drop_job_id: dropped.job.id } } },
      (writer) => {
        if (counter === undefined) writer.put(rowIdCounterKey(database.info.id, oldId), Buffer.from(String(1n << 32n)))
      },
    ),
  )
}

/** The table that the last DROP or TRUNCATE of that name ended. */
async function findDropped(jobs: JobRunner, databaseId: bigint, name: string): Promise<Dropped | undefined> {
  const { signal } = jobs.scope
  const txn = await jobs.engine.begin(signal)
  let found: Dropped | undefined
  const { start, end } = jobHistoryRange()
  for await (const pairs of txn.scan(start, end, signal))
    for (const { value } of pairs) {
      const job = parseDdlJob(value)
      const isEnd = job.type === Action.DropTable || job.type === Action.TruncateTable
      if (!isEnd || job.schemaId !== databaseId || job.tableName.toLowerCase() !== name.toLowerCase()) continue
      const stored = await storedBefore(jobs, job)
      if (stored !== undefined) found = { job, stored }
    }
  return found
}

/** The table info as it stood before the job. */
async function storedBefore(jobs: JobRunner, job: DdlJob): Promise<JsonObject | undefined> {
  const snapshot = jobs.engine.store.snapshot(Ts(job.startTs))
  const value = await snapshot.get(tableKey(job.schemaId, job.tableId), jobs.scope.signal)
  return value === undefined ? undefined : objectOf(parseJson(Buffer.from(value).toString('utf8')))
}
