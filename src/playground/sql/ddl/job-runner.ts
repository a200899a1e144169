import { JobState } from '../../../tidb/ddl-job.ts'
import { stringifyJson } from '../../../tidb/json-big.ts'
import type { JsonObject } from '../../../tidb/json-big.ts'
import { nextGlobalIdKey, rowIdCounterKey, schemaDiffKey, schemaVersionKey, tableKey } from '../../../tidb/meta-key.ts'
import { tableInfoJson } from '../../../tidb/table-info-json.ts'
import type { DatabaseInfo } from '../../../tidb/table-info-json.ts'
import type { TableInfo } from '../../../tidb/table-info.ts'
import { findTable, readCounter } from '../catalog/schema.ts'
import type { Schema, Table } from '../catalog/schema.ts'
import { SqlError, TXN_CONFLICT } from '../error.ts'
import type { EvalContext } from '../expression/context.ts'
import type { TableName } from '../parser/ast.ts'
import type { Engine } from '../session/engine.ts'
import type { Variables } from '../session/variables.ts'
import type { Transaction } from '../txn/transaction.ts'
import type { Backfill } from './backfill.ts'
import { dropJob, finishJob, putJob } from './job.ts'
import type { JobDraft, JobFrame } from './job.ts'

/** What a DDL statement needs of its session. */
export interface DdlScope {
  readonly engine: Engine
  readonly signal: AbortSignal
  readonly context: EvalContext
  readonly variables: Variables
  /** Statement text for the job. */
  readonly query: string
  readonly sqlMode: bigint
  /** Database for names without one; '' = none chosen. */
  readonly database: string
  warn(errno: number, message: string): void
}

/** Changes of one job: what it says, and the keys that it writes. */
export interface Change {
  readonly draft: JobDraft
  readonly apply: (txn: Transaction) => void
  /** Columns of the schema diff that differ from the job's. */
  readonly diff?: JsonObject
}

export const SYSTEM_DATABASES = new Set(['mysql', 'information_schema', 'performance_schema', 'sys', 'metrics_schema'])

/** Runs the jobs of one DDL statement. */
export class JobRunner {
  readonly scope: DdlScope
  readonly engine: Engine

  constructor(scope: DdlScope) {
    this.scope = scope
    this.engine = scope.engine
  }

  get backfill(): Backfill {
    return this.scope
  }

  async schema(): Promise<Schema> {
    return this.engine.schemaOf(await this.engine.begin(this.scope.signal), this.scope.signal)
  }

  qualified(name: TableName): TableName {
    const schema = name.schema || this.scope.database
    if (schema === '') throw new SqlError(1046, 'No database selected')
    return { schema, name: name.name }
  }

  /** A table that may be changed; views and sequences only where they are wanted. */
  table(schema: Schema, name: TableName, wanted: 'table' | 'view' | 'sequence' | 'any' = 'table'): Table {
    const table = findTable(schema, this.qualified(name))
    if (SYSTEM_DATABASES.has(table.database.name.lower))
      throw new SqlError(1142, `ALTER command denied to user 'root'@'%' for table '${table.info.name.original}'`)
    const kind = table.info.isView ? 'view' : table.info.isSequence ? 'sequence' : 'table'
    if (wanted !== 'any' && kind !== wanted) {
      const names = { table: 'BASE TABLE', view: 'VIEW', sequence: 'SEQUENCE' }
      throw new SqlError(1347, `'${table.database.name.original}.${table.info.name.original}' is not ${names[wanted]}`)
    }
    return table
  }

  /** A job that stores a table and says so. */
  tableChange(
    type: number,
    database: DatabaseInfo,
    info: TableInfo,
    stored: JsonObject,
    extra?: Partial<JobDraft>,
    also?: (txn: Transaction) => void,
    diff?: JsonObject,
  ): Change {
    const json = tableInfoJson(info, stored)
    return {
      draft: {
        type,
        schemaId: database.id,
        tableId: info.id,
        schemaName: database.name.original,
        tableName: info.name.original,
        table: json,
        ...extra,
      },
      apply: (txn) => {
        txn.put(tableKey(database.id, info.id), Buffer.from(stringifyJson(json, { html: true })))
        also?.(txn)
      },
      ...(diff === undefined ? {} : { diff }),
    }
  }

  /**
   * One job as TiDB runs it: queued; done in the transaction that changes the schema; moved to the history. `change` gets
   * as many new ids as it asks for; `prepare` does what must be done before, and may fail.
   */
  async run(
    schema: Schema,
    ids: number,
    change: (ids: readonly bigint[], txn: Transaction) => Change,
    prepare?: (ids: readonly bigint[]) => Promise<void>,
  ): Promise<void> {
    const { signal } = this.scope
    const first = await this.#allocate(BigInt(ids + 1))
    const own = Array.from({ length: ids }, (_, i) => first + BigInt(i))
    const queued = await this.engine.begin(signal)
    const frame: JobFrame = {
      id: first + BigInt(ids),
      query: this.scope.query,
      startTs: queued.startTs,
      sqlMode: this.scope.sqlMode,
    }
    putJob(queued, schema, frame, change(own, queued).draft, JobState.Queueing, 0n)
    await queued.commit({ asyncCommit: false, onePhase: true }, signal)

    const work = async (): ReturnType<JobRunner['runChange']> => {
      await prepare?.(own)
      return this.runChange(schema, frame, own, change)
    }
    const { draft, version } = await work().catch(async (error: unknown) => {
      const cancelled = await this.engine.begin(signal)
      dropJob(cancelled, schema, frame)
      await cancelled.commit({ asyncCommit: false, onePhase: true }, signal)
      throw error
    })
    const done = await this.engine.begin(signal)
    finishJob(done, schema, frame, draft, version)
    await done.commit({ asyncCommit: false, onePhase: false }, signal)
    await this.schema()
  }

  /** The transaction that changes the schema: keys, version, diff and the job with state done. */
  async runChange(
    schema: Schema,
    frame: JobFrame,
    ids: readonly bigint[],
    change: (ids: readonly bigint[], txn: Transaction) => Change,
  ): Promise<{ readonly draft: JobDraft; readonly version: bigint }> {
    const { signal } = this.scope
    const txn = await this.engine.begin(signal)
    const { draft, apply, diff } = change(ids, txn)
    const version = (await readCounter(txn, schemaVersionKey(), signal)) + 1n
    apply(txn)
    txn.put(schemaVersionKey(), Buffer.from(String(version)))
    txn.put(
      schemaDiffKey(version),
      Buffer.from(
        stringifyJson({
          version,
          type: draft.type,
          schema_id: draft.schemaId,
          table_id: draft.tableId,
          old_table_id: 0,
          old_schema_id: 0,
          regenerate_schema_map: false,
          affected_options: null,
          ...diff,
        }),
      ),
    )
    putJob(txn, schema, frame, draft, JobState.Done, version)
    await txn.commit({ asyncCommit: false, onePhase: false }, signal)
    return { draft, version }
  }

  /** New ids for objects and jobs; returns the first. */
  async #allocate(count: bigint): Promise<bigint> {
    for (;;) {
      const txn = await this.engine.begin(this.scope.signal)
      const last = await readCounter(txn, nextGlobalIdKey(), this.scope.signal)
      txn.put(nextGlobalIdKey(), Buffer.from(String(last + count)))
      try {
        await txn.commit({ asyncCommit: false, onePhase: true }, this.scope.signal)
        return last + 1n
      } catch (error) {
        if (!(error instanceof SqlError) || error.errno !== TXN_CONFLICT) throw error
      }
    }
  }
}

export function removeTable(txn: Transaction, table: Table): void {
  txn.delete(tableKey(table.database.id, table.info.id))
  txn.delete(rowIdCounterKey(table.database.id, table.info.id))
}
