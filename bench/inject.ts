/** Tables and regions put into the playground as they lie in TiKV, past its SQL: ten thousand of them in a second. */
import { Client, credentials } from '@grpc/grpc-js'
import { PDService, RequestHeader, SplitRegionsRequest, type SplitRegionsResponse } from '../src/proto/pdpb.ts'
import { hexOf } from '../src/tidb/key.ts'
import { databaseKey, tableKey } from '../src/tidb/meta-key.ts'
import { ciName, stringifyDatabaseInfo, stringifyTableInfo } from '../src/tidb/table-info-json.ts'
import { FieldFlag, STATE_PUBLIC, type TableInfo } from '../src/tidb/table-info.ts'
import type { BenchTable } from './tables.ts'

interface Pair {
  readonly key: Uint8Array
  readonly text: string
}

const PAIRS_PER_REQUEST = 500
const KEYS_PER_REQUEST = 5000

/** Writes a database with its tables, whose ids follow `firstTableId`; changefeeds that start later see them. */
export async function injectTables(
  admin: string,
  database: { readonly id: bigint; readonly name: string },
  tables: readonly BenchTable[],
  firstTableId: bigint,
): Promise<void> {
  const info = {
    id: database.id,
    name: ciName(database.name),
    charset: 'utf8mb4',
    collate: 'utf8mb4_bin',
    state: STATE_PUBLIC,
  }
  const pairs: Pair[] = [{ key: databaseKey(database.id), text: stringifyDatabaseInfo(info) }]
  for (const [at, table] of tables.entries()) {
    const id = firstTableId + BigInt(at)
    pairs.push({ key: tableKey(database.id, id), text: stringifyTableInfo(tableInfo(table, id)) })
  }
  for (let from = 0; from < pairs.length; from += PAIRS_PER_REQUEST) {
    const writes = pairs
      .slice(from, from + PAIRS_PER_REQUEST)
      .map(({ key, text }) => ({ key: hexOf(key), value: Buffer.from(text).toString('base64') }))
    const answer = await fetch(`${admin}/inject/kv`, { method: 'POST', body: JSON.stringify({ writes }) })
    if (!answer.ok) throw new Error(await answer.text())
  }
}

/** Splits regions at encoded keys. */
export async function splitRegions(
  pd: { readonly url: string; readonly clusterId: bigint },
  keys: readonly Uint8Array[],
): Promise<void> {
  const client = new Client(new URL(pd.url).host, credentials.createInsecure())
  const { path, requestSerialize, responseDeserialize } = PDService.splitRegions
  for (let from = 0; from < keys.length; from += KEYS_PER_REQUEST) {
    const splitKeys = keys.slice(from, from + KEYS_PER_REQUEST).map((key) => Buffer.from(key))
    const request = SplitRegionsRequest.create({ header: RequestHeader.create({ clusterId: pd.clusterId }), splitKeys })
    await new Promise<SplitRegionsResponse | undefined>((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      )
    })
  }
  client.close()
}

/** A clustered primary key `id BIGINT`, and the table's columns. */
function tableInfo({ name, columns, key }: BenchTable, id: bigint): TableInfo {
  const types = [{ ...key, flag: FieldFlag.NotNull | FieldFlag.PriKey }, ...columns.map(({ type }) => type)]
  return {
    id,
    name: ciName(name),
    charset: 'utf8mb4',
    collate: 'utf8mb4_bin',
    columns: types.map((type, offset) => ({
      id: offset + 1,
      name: ciName(offset === 0 ? 'id' : `c${offset + 1}`),
      offset,
      originDefault: null,
      originDefaultBit: null,
      defaultValue: null,
      defaultBit: null,
      defaultIsExpr: false,
      generatedExpr: '',
      generatedStored: false,
      type,
      state: STATE_PUBLIC,
      comment: '',
      hidden: false,
      version: 2,
    })),
    indexes: [],
    state: STATE_PUBLIC,
    pkIsHandle: true,
    isCommonHandle: false,
    commonHandleVersion: 0,
    comment: '',
    updateTs: 0n,
    maxColumnId: types.length,
    partitions: undefined,
    isView: false,
    isSequence: false,
    tempTableType: 0,
  }
}
