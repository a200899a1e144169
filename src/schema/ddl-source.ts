import { CdcError } from '../base/errors.ts'
import type { RawKv } from '../event/raw-kv.ts'
import type { KeyRange } from '../event/span.ts'
import { JobState } from '../tidb/ddl-job.ts'
import { decodeRecordKey, encodeBytes, rawRecordRange } from '../tidb/key.ts'
import {
  databasesRange,
  DDL_HISTORY_TABLE_ID,
  DDL_JOB_TABLE_ID,
  hashField,
  legacyJobRanges,
  tableFieldId,
  tablesRange,
} from '../tidb/meta-key.ts'
import { compileRowDecoder, type RowDecoder } from '../tidb/row-decoder.ts'
import { parseDatabaseInfo, parseTableInfo } from '../tidb/table-info-json.ts'
import { utcZone } from '../tidb/time-zone.ts'
import { ActionType } from './actions.ts'
import { type FinishedJob, readJob } from './finished-job.ts'
import type { MetaReader } from './ports.ts'

/**
 * Where DDL jobs appear, memcomparable: the job table, the history table and the queues of TiDB before 6.2. All are
 * subscribed: which of them a cluster writes depends on its version and settings (reference: schema-tracking, section
 * 1.1). What is resolved for DDLs is the least of them.
 */
export function ddlRanges(): readonly KeyRange[] {
  const raw = [rawRecordRange(DDL_JOB_TABLE_ID), rawRecordRange(DDL_HISTORY_TABLE_ID), ...legacyJobRanges()]
  return raw.map(({ start, end }) => ({ start: encodeBytes(start), end: encodeBytes(end) }))
}

/** The job of a pair of {@link ddlRanges} where it is done; undefined for every other state, deletion or kind. */
export type JobReader = (kv: RawKv) => FinishedJob | undefined

/**
 * Compiles a reader; `meta` gives the definitions of the job tables, whose column ids are not fixed. The reader throws
 * `CDC:ErrInvalidDDLJob` for a job that cannot be read.
 */
export async function openJobReader(meta: MetaReader, signal: AbortSignal): Promise<JobReader> {
  const decoders = await jobTableDecoders(meta, signal)
  return (kv) => {
    if (kv.value === undefined) return undefined
    try {
      const text = jobText(kv.key, kv.value, decoders)
      if (text === undefined) return undefined
      const finished = readJob(text, kv.startTs, kv.commitTs)
      return isDone(finished, kv.key) ? finished : undefined
    } catch (cause) {
      const key = Buffer.from(kv.key).toString('hex')
      throw new CdcError('CDC:ErrInvalidDDLJob', `DDL job at key ${key}, commit ts ${kv.commitTs}, cannot be read`, {
        cause,
      })
    }
  }
}

const META_PREFIX = 0x6d
const decoder = new TextDecoder()

function jobText(key: Uint8Array, value: Uint8Array, decoders: JobTableDecoders): string | undefined {
  if (key[0] === META_PREFIX) return decoder.decode(value)
  const row = decoders.get(decodeRecordKey(key).tableId)?.(key, value)
  const [job] = row ?? []
  return job instanceof Uint8Array ? decoder.decode(job) : undefined
}

/** Done in the job table; in the history table only tables that were created without a row in the job table. */
function isDone({ job }: FinishedJob, key: Uint8Array): boolean {
  if (key[0] === META_PREFIX || decodeRecordKey(key).tableId !== DDL_HISTORY_TABLE_ID)
    return job.state === JobState.Done
  const isCreation = job.type === ActionType.CreateTable || job.type === ActionType.CreateTables
  return isCreation && job.state === JobState.Synced
}

/** Table id → decoder of its column `job_meta`. */
type JobTableDecoders = ReadonlyMap<bigint, RowDecoder>

async function jobTableDecoders(meta: MetaReader, signal: AbortSignal): Promise<JobTableDecoders> {
  const decoders = new Map<bigint, RowDecoder>()
  const databases = databasesRange()
  for await (const chunk of meta.scan(databases.start, databases.end, signal)) {
    const mysql = chunk.map(({ value }) => parseDatabaseInfo(value)).find((database) => database.name.lower === 'mysql')
    if (mysql === undefined) continue
    const range = tablesRange(mysql.id)
    for await (const tables of meta.scan(range.start, range.end, signal)) {
      for (const { key, value } of tables) {
        const id = tableFieldId(hashField(key))
        if (id !== DDL_JOB_TABLE_ID && id !== DDL_HISTORY_TABLE_ID) continue
        const info = parseTableInfo(value)
        const column = info.columns.find(({ name }) => name.lower === 'job_meta')
        if (column === undefined)
          throw new CdcError('CDC:ErrInvalidDDLJob', `mysql.${info.name.original} has no column job_meta`)
        decoders.set(id, compileRowDecoder(info, [column], utcZone))
      }
    }
  }
  return decoders
}
