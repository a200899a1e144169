import assert from 'node:assert/strict'

import { createConnection } from 'mysql2/promise'
import type { Connection, ConnectionOptions } from 'mysql2/promise'

import { silentLog } from '../../base/log.ts'
import { parseDdlJob } from '../../tidb/ddl-job.ts'
import type { DdlJob } from '../../tidb/ddl-job.ts'
import { rawRecordRange, tablePrefix, prefixNext } from '../../tidb/key.ts'
import { jobHistoryRange } from '../../tidb/meta-key.ts'
import { compileRowDecoder } from '../../tidb/row-decoder.ts'
import type { ColumnInfo, FieldType, TableInfo } from '../../tidb/table-info.ts'
import { utcZone } from '../../tidb/time-zone.ts'
import type { Value } from '../../tidb/value.ts'
import type { KvPair } from '../../upstream/tikv/snapshot.ts'
import { findTable, SchemaCache } from './catalog/schema.ts'
import { serveStore } from './server.ts'
import { MemoryStore } from './txn/memory-store.ts'

/** An SQL server over memory, with a look at what it keeps there. */
export interface TestServer extends AsyncDisposable {
  readonly store: MemoryStore
  /** A client, with a database of that name. */
  connect(database: string, options?: ConnectionOptions): Promise<Connection & AsyncDisposable>
  table(database: string, name: string): Promise<TableInfo>
  /** Rows as the change feed's decoder reads them, by partition. */
  storedRows(database: string, name: string, typeOf?: (column: ColumnInfo) => FieldType): Promise<Value[][]>
  /** How many keys, of rows and of indexes, the table has in the store. */
  keysOf(database: string, name: string): Promise<number>
  /** Jobs of a database that are done, in order of their ids. */
  jobs(database: string): Promise<DdlJob[]>
}

const signal = new AbortController().signal

export async function openTestServer(): Promise<TestServer> {
  const store = new MemoryStore()
  const server = await serveStore(store, { host: '127.0.0.1', port: 0, log: silentLog }, signal)
  const schemas = new SchemaCache()
  const scan = async (start: Uint8Array, end: Uint8Array): Promise<KvPair[]> => {
    const found: KvPair[] = []
    for await (const pairs of store.snapshot(await store.timestamp(signal)).scan(start, end, signal))
      found.push(...pairs)
    return found
  }
  const table = async (database: string, name: string): Promise<TableInfo> => {
    const schema = await schemas.schemaAt(store.snapshot(await store.timestamp(signal)), signal)
    return findTable(schema, { schema: database, name }).info
  }
  const physicalIds = (info: TableInfo): bigint[] => info.partitions?.map(({ id }) => id) ?? [info.id]
  return {
    store,
    table,
    async connect(database, options = {}) {
      const port = Number(server.address.split(':')[1])
      const fixed = { host: '127.0.0.1', port, user: 'root', dateStrings: true, multipleStatements: true }
      const connection = await createConnection({ ...fixed, ...options })
      await connection.query(`CREATE DATABASE IF NOT EXISTS ${database}`)
      await connection.query(`USE ${database}`)
      return Object.assign(connection, { [Symbol.asyncDispose]: () => connection.end() })
    },
    async storedRows(database, name, typeOf = ({ type }) => type) {
      const info = await table(database, name)
      const columns = info.columns.map((column) => ({ ...column, type: typeOf(column) }))
      const decode = compileRowDecoder({ ...info, columns }, columns, utcZone)
      const found: Value[][] = []
      for (const id of physicalIds(info)) {
        const { start, end } = rawRecordRange(id)
        for (const { key, value } of await scan(start, end)) found.push(decode(key, value))
      }
      return found
    },
    async keysOf(database, name) {
      let count = 0
      for (const id of physicalIds(await table(database, name)))
        count += (await scan(tablePrefix(id), prefixNext(tablePrefix(id)))).length
      return count
    },
    async jobs(database) {
      const { start, end } = jobHistoryRange()
      const all = (await scan(start, end)).map(({ value }) => parseDdlJob(value))
      return all.filter((job) => job.schemaName === database)
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

export async function rows(connection: Connection, sql: string): Promise<unknown[]> {
  const [result] = await connection.query({ sql, rowsAsArray: true })
  assert.ok(Array.isArray(result))
  return result
}

/** Fails unless the statement is refused with that error number. */
export async function refused(connection: Connection, sql: string, errno: number): Promise<void> {
  await assert.rejects(connection.query(sql), (error: unknown) => {
    assert.ok(error instanceof Error && 'errno' in error)
    assert.equal(error.errno, errno, `${sql}: ${error.message}`)
    return true
  })
}
