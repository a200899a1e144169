import { listOf, numberOf, objectOf } from '../../../tidb/json-big.ts'
import type { JsonObject } from '../../../tidb/json-big.ts'
import { STATE_PUBLIC } from '../../../tidb/table-info.ts'
import type { TableInfo } from '../../../tidb/table-info.ts'
import { SqlError } from '../error.ts'
import type { CreateTableStatement, ForeignKeyNode, TableOptions } from '../parser/ast.ts'
import { findColumn } from './build-table.ts'

/** Keys of table info that only its JSON has: ids, shards, TTL, placement, foreign keys. */
export function storedKeys(statement: CreateTableStatement, info: TableInfo, database: string): JsonObject {
  const random = statement.columns.find(({ autoRandom }) => autoRandom !== undefined)?.autoRandom
  const base: JsonObject = {
    ...optionKeys(statement.options, info, {}),
    ...(random === undefined
      ? {}
      : { auto_random_bits: random.shardBits, auto_random_range_bits: random.rangeBits === 64 ? 0 : random.rangeBits }),
  }
  return statement.foreignKeys.reduce<JsonObject>((stored, key) => withForeignKey(stored, key, info, database), base)
}

const TIME_UNITS: Readonly<Record<string, number>> = {
  MICROSECOND: 1,
  SECOND: 2,
  MINUTE: 3,
  HOUR: 4,
  DAY: 5,
  WEEK: 6,
  MONTH: 7,
  QUARTER: 8,
  YEAR: 9,
}

/** What options of a table change in its JSON. Errors: 8148, 8150 for TTL. */
export function optionKeys(options: Partial<TableOptions>, info: TableInfo, stored: JsonObject): JsonObject {
  const { shardRowIdBits, preSplitRegions, autoIdCache, compression, placement, ttl, ttlEnable, ttlJobInterval } =
    options
  const keys: Record<string, JsonObject[string]> = {}
  if (shardRowIdBits !== undefined) {
    if ((info.pkIsHandle || info.isCommonHandle) && shardRowIdBits > 0)
      throw new SqlError(8200, 'Unsupported shard_row_id_bits for table with primary key as row id')
    keys['ShardRowIDBits'] = shardRowIdBits
    keys['max_shard_row_id_bits'] = Math.max(shardRowIdBits, numberOf(stored['max_shard_row_id_bits']))
  }
  if (preSplitRegions !== undefined) keys['pre_split_regions'] = preSplitRegions
  if (autoIdCache !== undefined) keys['auto_id_cache'] = autoIdCache
  if (compression !== undefined) keys['compression'] = compression
  if (placement !== undefined)
    keys['policy_ref_info'] =
      placement === 'default' ? null : { id: 0, name: { O: placement, L: placement.toLowerCase() } }
  if (ttl !== undefined) {
    const column = findColumn(info, ttl.column)
    if (column === undefined) throw new SqlError(1054, `Unknown column '${ttl.column}' in 'TTL config'`)
    keys['ttl_info'] = {
      column: { O: column.name.original, L: column.name.lower },
      IntervalExprStr: ttl.amount,
      IntervalTimeUnit: TIME_UNITS[ttl.unit] ?? 5,
      enable: ttlEnable ?? true,
      job_interval: ttlJobInterval ?? '24h',
    }
  } else if (ttlEnable !== undefined || ttlJobInterval !== undefined) {
    const before = stored['ttl_info'] ?? null
    if (before === null) throw new SqlError(8150, 'Cannot set TTL_ENABLE on a table without TTL config')
    keys['ttl_info'] = {
      ...objectOf(before),
      ...(ttlEnable === undefined ? {} : { enable: ttlEnable }),
      ...(ttlJobInterval === undefined ? {} : { job_interval: ttlJobInterval }),
    }
  }
  return keys
}

const ACTIONS: Readonly<Record<string, number>> = {
  '': 0,
  RESTRICT: 1,
  CASCADE: 2,
  'SET NULL': 3,
  'NO ACTION': 4,
  'SET DEFAULT': 5,
}

/** Foreign keys are kept, not enforced. Errors: 1072 for unknown columns, 1826 for a name that is taken. */
export function withForeignKey(stored: JsonObject, key: ForeignKeyNode, info: TableInfo, database: string): JsonObject {
  const id = numberOf(stored['max_fk_id']) + 1
  const name = key.name || `fk_${id}`
  const before = listOf(stored['fk_info'])
  if (before.some((one) => objectOf(objectOf(one)['fk_name'])['L'] === name.toLowerCase()))
    throw new SqlError(1826, `Duplicate foreign key constraint name '${name}'`)
  const cis = (text: string): JsonObject => ({ O: text, L: text.toLowerCase() })
  for (const column of key.columns)
    if (findColumn(info, column) === undefined)
      throw new SqlError(1072, `Key column '${column}' doesn't exist in table`)
  const entry: JsonObject = {
    id,
    fk_name: cis(name),
    ref_schema: cis(key.table.schema || database),
    ref_table: cis(key.table.name),
    ref_cols: key.references.map(cis),
    cols: key.columns.map(cis),
    on_delete: ACTIONS[key.onDelete] ?? 0,
    on_update: ACTIONS[key.onUpdate] ?? 0,
    state: STATE_PUBLIC,
    version: 1,
  }
  return { ...stored, max_fk_id: id, fk_info: [...before, entry] }
}
