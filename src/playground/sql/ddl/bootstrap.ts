import { JobState } from '../../../tidb/ddl-job.ts'
import {
  bootstrapKey,
  databaseKey,
  DDL_HISTORY_TABLE_ID,
  DDL_JOB_TABLE_ID,
  nextGlobalIdKey,
  schemaVersionKey,
  stringKey,
  tableKey,
} from '../../../tidb/meta-key.ts'
import { ciName, stringifyDatabaseInfo, stringifyTableInfo } from '../../../tidb/table-info-json.ts'
import { STATE_PUBLIC } from '../../../tidb/table-info.ts'
import { buildTable } from '../catalog/build-table.ts'
import { readCounter } from '../catalog/schema.ts'
import { SqlError, TXN_CONFLICT } from '../error.ts'
import { parseQuery } from '../parser/parser.ts'
import type { CastContext } from '../value/cast.ts'
import { textCollation } from '../value/collation.ts'
import { utc } from '../value/time-zone.ts'
import type { Engine } from '../session/engine.ts'

const MYSQL_DATABASE = 1n
const TEST_DATABASE = 2n
/** Where ids of user objects begin on a fresh cluster. */
const FIRST_GLOBAL_ID = 100n
/** TiDB v8.5's bootstrap version. */
const BOOTSTRAP_VERSION = 218

/** System tables that readers of the schema look up (reference: schema-tracking 1.2). */
const SYSTEM_TABLES: readonly (readonly [bigint, string])[] = [
  [
    DDL_JOB_TABLE_ID,
    `CREATE TABLE tidb_ddl_job (job_id BIGINT NOT NULL, reorg INT, schema_ids TEXT(65535), table_ids TEXT(65535),
     job_meta LONGBLOB, type INT, processing INT, PRIMARY KEY (job_id))`,
  ],
  [
    DDL_HISTORY_TABLE_ID,
    `CREATE TABLE tidb_ddl_history (job_id BIGINT NOT NULL, job_meta LONGBLOB, db_name CHAR(64), table_name CHAR(64),
     schema_ids TEXT(65535), table_ids TEXT(65535), create_time DATETIME, PRIMARY KEY (job_id))`,
  ],
]

const cast: CastContext = {
  zone: utc,
  strict: true,
  noZeroDate: true,
  noZeroInDate: true,
  today: { year: 1970, month: 1, day: 1 },
  warn() {},
}

/** Gives an empty store the databases `mysql` and `test`; leaves any other alone. */
export async function bootstrap(engine: Engine, signal: AbortSignal): Promise<void> {
  for (;;) {
    const txn = await engine.begin(signal)
    if ((await readCounter(txn, schemaVersionKey(), signal)) > 0n) return
    txn.put(schemaVersionKey(), Buffer.from('1'))
    txn.put(nextGlobalIdKey(), Buffer.from(String(FIRST_GLOBAL_ID)))
    txn.put(bootstrapKey(), Buffer.from(String(BOOTSTRAP_VERSION)))
    txn.put(stringKey('DDLTableVersion'), Buffer.from(String(JobState.Done)))
    for (const [id, name] of [
      [MYSQL_DATABASE, 'mysql'],
      [TEST_DATABASE, 'test'],
    ] as const)
      txn.put(
        databaseKey(id),
        Buffer.from(
          stringifyDatabaseInfo({
            id,
            name: ciName(name),
            charset: 'utf8mb4',
            collate: 'utf8mb4_bin',
            state: STATE_PUBLIC,
          }),
        ),
      )
    for (const [id, text] of SYSTEM_TABLES)
      txn.put(
        tableKey(MYSQL_DATABASE, id),
        Buffer.from(stringifyTableInfo({ ...systemTable(id, text), updateTs: txn.startTs })),
      )
    try {
      await txn.commit({ asyncCommit: false, onePhase: false }, signal)
      return
    } catch (error) {
      if (!(error instanceof SqlError) || error.errno !== TXN_CONFLICT) throw error
    }
  }
}

function systemTable(id: bigint, text: string): ReturnType<typeof buildTable> {
  const [parsed] = parseQuery(text, { ansiQuotes: false, noBackslashEscapes: false })
  if (parsed?.statement.kind !== 'createTable') throw new TypeError('a system table is not described by CREATE TABLE')
  return buildTable(parsed.statement, id, textCollation, cast)
}
