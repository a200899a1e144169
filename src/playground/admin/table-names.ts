import { integerOf, objectOf, parseJson, stringOf } from '../../tidb/json-big.ts'
import { databasesRange, hashField, tableFieldId, tablesRange } from '../../tidb/meta-key.ts'
import type { MvccStore } from '../tikv/mvcc.ts'
import { valueAt } from '../tikv/mvcc.ts'

const LATEST = 0xffff_ffff_ffff_ffffn

/** The id of the newest table called `database.table`, read from TiDB's meta keys; case does not matter. */
export function findTable(mvcc: MvccStore, database: string, table: string): bigint | undefined {
  for (const entry of mvcc.range(databasesRange().start, databasesRange().end)) {
    const json = objectOf(jsonAt(valueAt(entry.writes, LATEST)))
    if (!sameName(json['db_name'], database)) continue
    const { start, end } = tablesRange(integerOf(json['id']))
    for (const found of mvcc.range(start, end)) {
      const id = tableFieldId(hashField(found.key))
      if (id !== undefined && sameName(objectOf(jsonAt(valueAt(found.writes, LATEST)))['name'], table)) return id
    }
  }
  return undefined
}

const jsonAt = (value: Buffer | undefined): ReturnType<typeof parseJson> => parseJson(value?.toString() ?? 'null')

const sameName = (name: ReturnType<typeof parseJson> | undefined, wanted: string): boolean =>
  stringOf(objectOf(name)['L']) === wanted.toLowerCase()
