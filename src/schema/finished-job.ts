import { type DdlJob, ddlJobOf } from '../tidb/ddl-job.ts'
import { type JsonValue, listOf, objectOf, parseJson, stringifyJson } from '../tidb/json-big.ts'
import type { TableInfo } from '../tidb/table-info.ts'
import type { Ts } from '../tidb/ts.ts'

/** A table as a job left it: read, and as the JSON that is kept and handed on. */
export interface JobTable {
  readonly info: TableInfo
  readonly json: Uint8Array
}

/** A job that is done, with the timestamps of the key-value pair it came in: `commitTs` is the DDL's finishedTs. */
export interface FinishedJob {
  readonly job: DdlJob
  readonly startTs: Ts
  readonly commitTs: Ts
  readonly schemaVersion: bigint
  readonly table: JobTable | undefined
  readonly tables: readonly JobTable[]
}

/** Orders jobs as they took effect; their ids do not. */
export const compareJobs = (a: FinishedJob, b: FinishedJob): number =>
  a.commitTs !== b.commitTs
    ? a.commitTs < b.commitTs
      ? -1
      : 1
    : a.schemaVersion === b.schemaVersion
      ? 0
      : a.schemaVersion < b.schemaVersion
        ? -1
        : 1

/** Reads the JSON of a job. Errors: SyntaxError where it is not JSON. */
export function readJob(json: string, startTs: Ts, commitTs: Ts): FinishedJob {
  const object = objectOf(parseJson(json))
  const job = ddlJobOf(object)
  const binlog = objectOf(object['binlog'])
  const tables = listOf(binlog['MultipleTableInfos'])
  return {
    job,
    startTs,
    commitTs,
    schemaVersion: job.result?.schemaVersion ?? 0n,
    table: job.result?.table && { info: job.result.table, json: bytesOf(binlog['TableInfo']) },
    tables: (job.result?.tables ?? []).map((info, i) => ({ info, json: bytesOf(tables[i]) })),
  }
}

const utf8 = new TextEncoder()
const bytesOf = (json: JsonValue | undefined): Uint8Array => utf8.encode(stringifyJson(json ?? null))
