import { CdcError } from '../base/errors.ts'
import {
  booleanOf,
  integerOf,
  type JsonObject,
  type JsonValue,
  listOf,
  numberOf,
  objectOf,
  parseJson,
  stringifyJson,
  stringOf,
} from './json-big.ts'
import type {
  CiName,
  ColumnInfo,
  FieldType,
  IndexColumn,
  IndexInfo,
  MysqlType,
  PartitionDefinition,
  TableInfo,
} from './table-info.ts'

/** JSON of model.DBInfo. */
export interface DatabaseInfo {
  readonly id: bigint
  readonly name: CiName
  readonly charset: string
  readonly collate: string
  readonly state: number
}

const decoder = new TextDecoder()

/**
 * JSON of model.TableInfo; absent keys have the zero value (reference: schema-tracking, section 4). Error:
 * `CDC:ErrUnmarshalFailed` where it is not JSON.
 */
export const parseTableInfo = (json: Uint8Array | string): TableInfo => tableInfoOf(objectOf(parse(json)))

export const parseDatabaseInfo = (json: Uint8Array | string): DatabaseInfo => databaseInfoOf(objectOf(parse(json)))

function parse(json: Uint8Array | string): JsonValue {
  try {
    return parseJson(typeof json === 'string' ? json : decoder.decode(json))
  } catch (cause) {
    throw new CdcError('CDC:ErrUnmarshalFailed', 'schema metadata is not JSON', { cause })
  }
}

/** The same from JSON that is parsed already. */
export function tableInfoOf(json: JsonObject): TableInfo {
  return {
    id: integerOf(json['id']),
    name: nameOf(json['name']),
    charset: stringOf(json['charset']),
    collate: stringOf(json['collate']),
    columns: listOf(json['cols']).map((column) => columnOf(objectOf(column))),
    indexes: listOf(json['index_info']).map((index) => indexOf(objectOf(index))),
    state: numberOf(json['state']),
    pkIsHandle: booleanOf(json['pk_is_handle']),
    isCommonHandle: booleanOf(json['is_common_handle']),
    commonHandleVersion: numberOf(json['common_handle_version']),
    comment: stringOf(json['comment']),
    updateTs: integerOf(json['update_timestamp']),
    maxColumnId: numberOf(json['max_col_id']),
    partitions: partitionsOf(objectOf(json['partition'])),
    isView: isPresent(json['view']),
    isSequence: isPresent(json['sequence']),
    tempTableType: numberOf(json['temp_table_type']),
  }
}

export function databaseInfoOf(json: JsonObject): DatabaseInfo {
  return {
    id: integerOf(json['id']),
    name: nameOf(json['db_name']),
    charset: stringOf(json['charset']),
    collate: stringOf(json['collate']),
    state: numberOf(json['state']),
  }
}

/** `{"O": …, "L": …}`, or a plain string in old metadata. */
export function nameOf(json: JsonValue | undefined): CiName {
  if (typeof json === 'string') return { original: json, lower: json.toLowerCase() }
  const name = objectOf(json)
  return { original: stringOf(name['O']), lower: stringOf(name['L']) }
}

const isPresent = (json: JsonValue | undefined): boolean => json !== undefined && json !== null

function columnOf(json: JsonObject): ColumnInfo {
  return {
    id: numberOf(json['id']),
    name: nameOf(json['name']),
    offset: numberOf(json['offset']),
    originDefault: scalarOf(json['origin_default']),
    originDefaultBit: textOrNull(json['origin_default_bit']),
    defaultValue: scalarOf(json['default']),
    defaultBit: textOrNull(json['default_bit']),
    defaultIsExpr: booleanOf(json['default_is_expr']),
    generatedExpr: stringOf(json['generated_expr_string']),
    generatedStored: booleanOf(json['generated_stored']),
    type: fieldTypeOf(objectOf(json['type'])),
    state: numberOf(json['state']),
    comment: stringOf(json['comment']),
    hidden: booleanOf(json['hidden']),
    version: numberOf(json['version']),
  }
}

function fieldTypeOf(json: JsonObject): FieldType {
  return {
    tp: numberOf(json['Tp']) as MysqlType,
    flag: numberOf(json['Flag']),
    flen: numberOf(json['Flen']),
    decimal: numberOf(json['Decimal']),
    charset: stringOf(json['Charset']),
    collate: stringOf(json['Collate']),
    elems: listOf(json['Elems']).map(stringOf),
    array: booleanOf(json['Array']),
  }
}

function indexOf(json: JsonObject): IndexInfo {
  return {
    id: numberOf(json['id']),
    name: nameOf(json['idx_name']),
    columns: listOf(json['idx_cols']).map((column) => indexColumnOf(objectOf(column))),
    state: numberOf(json['state']),
    unique: booleanOf(json['is_unique']),
    primary: booleanOf(json['is_primary']),
    invisible: booleanOf(json['is_invisible']),
    multiValued: booleanOf(json['mv_index']),
    comment: stringOf(json['comment']),
  }
}

const indexColumnOf = (json: JsonObject): IndexColumn => ({
  name: nameOf(json['name']),
  offset: numberOf(json['offset']),
  length: numberOf(json['length']),
})

function partitionsOf(json: JsonObject): readonly PartitionDefinition[] | undefined {
  if (!booleanOf(json['enable'])) return undefined
  return listOf(json['definitions']).map((item) => {
    const definition = objectOf(item)
    return { id: integerOf(definition['id']), name: nameOf(definition['name']) }
  })
}

function scalarOf(json: JsonValue | undefined): ColumnInfo['originDefault'] {
  return typeof json === 'object' || json === undefined ? null : json
}

const textOrNull = (json: JsonValue | undefined): string | null => (typeof json === 'string' ? json : null)

/**
 * JSON of model.TableInfo with TiDB's keys in TiDB's order. `stored` is an earlier form of it, or a part: it gives the
 * keys that {@link TableInfo} does not hold (partition expressions, view, auto ids, TTL …), on every level.
 */
export const stringifyTableInfo = (info: TableInfo, stored: JsonObject = {}): string =>
  stringifyJson(tableInfoJson(info, stored), { html: true })

/** The value that {@link stringifyTableInfo} writes; for DDL jobs, which carry it inside. */
export function tableInfoJson(info: TableInfo, stored: JsonObject = {}): JsonObject {
  return merge(stored, {
    id: info.id,
    name: nameJson(info.name),
    charset: info.charset,
    collate: info.collate,
    cols: info.columns.map((column) => columnJson(column, storedItem(stored['cols'], column.id))),
    index_info: orNull(info.indexes.map((index) => indexJson(info, index, storedItem(stored['index_info'], index.id)))),
    constraint_info: kept(stored, 'constraint_info', null),
    fk_info: kept(stored, 'fk_info', null),
    state: info.state,
    pk_is_handle: info.pkIsHandle,
    is_common_handle: info.isCommonHandle,
    common_handle_version: info.commonHandleVersion,
    comment: info.comment,
    auto_inc_id: kept(stored, 'auto_inc_id', 0),
    auto_inc_id_extra: stored['auto_inc_id_extra'],
    auto_id_cache: kept(stored, 'auto_id_cache', 0),
    auto_rand_id: kept(stored, 'auto_rand_id', 0),
    max_col_id: info.maxColumnId,
    max_idx_id: kept(
      stored,
      'max_idx_id',
      info.indexes.reduce((most, index) => Math.max(most, index.id), 0),
    ),
    max_fk_id: kept(stored, 'max_fk_id', 0),
    max_cst_id: kept(stored, 'max_cst_id', 0),
    update_timestamp: info.updateTs,
    old_schema_id: stored['old_schema_id'],
    ShardRowIDBits: kept(stored, 'ShardRowIDBits', 0),
    max_shard_row_id_bits: kept(stored, 'max_shard_row_id_bits', 0),
    auto_random_bits: kept(stored, 'auto_random_bits', 0),
    auto_random_range_bits: kept(stored, 'auto_random_range_bits', 0),
    pre_split_regions: kept(stored, 'pre_split_regions', 0),
    partition: partitionJson(info, objectOf(stored['partition']), kept(stored, 'partition', null)),
    compression: kept(stored, 'compression', ''),
    view: kept(stored, 'view', null),
    sequence: kept(stored, 'sequence', null),
    Lock: kept(stored, 'Lock', null),
    version: kept(stored, 'version', 5),
    tiflash_replica: kept(stored, 'tiflash_replica', null),
    is_columnar: kept(stored, 'is_columnar', false),
    temp_table_type: info.tempTableType,
    cache_table_status: kept(stored, 'cache_table_status', 0),
    policy_ref_info: kept(stored, 'policy_ref_info', null),
    stats_options: kept(stored, 'stats_options', null),
    exchange_partition_info: kept(stored, 'exchange_partition_info', null),
    ttl_info: kept(stored, 'ttl_info', null),
    is_active_active: stored['is_active_active'],
    softdelete_info: stored['softdelete_info'],
    affinity: stored['affinity'],
    table_split_policy: stored['table_split_policy'],
    revision: kept(stored, 'revision', 0),
  })
}

/** JSON of model.DBInfo as TiDB writes it. */
export const stringifyDatabaseInfo = (info: DatabaseInfo): string =>
  stringifyJson(databaseInfoJson(info), { html: true })

export const databaseInfoJson = (info: DatabaseInfo): JsonObject => ({
  id: info.id,
  db_name: nameJson(info.name),
  charset: info.charset,
  collate: info.collate,
  Deprecated: {},
  state: info.state,
  policy_ref_info: null,
})

const nameJson = (name: CiName): JsonObject => ({ O: name.original, L: name.lower })

/** A name as typed. */
export const ciName = (original: string): CiName => ({ original, lower: original.toLowerCase() })

function columnJson(column: ColumnInfo, stored: JsonObject): JsonObject {
  return merge(stored, {
    id: column.id,
    name: nameJson(column.name),
    offset: column.offset,
    origin_default: column.originDefault,
    origin_default_bit: column.originDefaultBit,
    default: column.defaultValue,
    default_bit: column.defaultBit,
    default_is_expr: column.defaultIsExpr,
    generated_expr_string: column.generatedExpr,
    generated_stored: column.generatedStored,
    dependences: kept(stored, 'dependences', dependencesOf(column)),
    type: fieldTypeJson(column.type, objectOf(stored['type'])),
    changing_type: stored['changing_type'],
    state: column.state,
    comment: column.comment,
    hidden: column.hidden,
    change_state_info: kept(stored, 'change_state_info', null),
    version: column.version,
  })
}

/** Columns that a generated column is made of: TiDB stores its expression with all names in back quotes. */
function dependencesOf({ generatedExpr }: ColumnInfo): JsonValue {
  const names = [...generatedExpr.matchAll(/`((?:[^`]|``)+)`/g)].map(([, name = '']) => name.replaceAll('``', '`'))
  return names.length === 0 ? null : Object.fromEntries(names.map((name) => [name.toLowerCase(), {}]))
}

const fieldTypeJson = (type: FieldType, stored: JsonObject): JsonObject =>
  merge(stored, {
    Tp: type.tp,
    Flag: type.flag,
    Flen: type.flen,
    Decimal: type.decimal,
    Charset: type.charset,
    Collate: type.collate,
    Elems: orNull(type.elems),
    ElemsIsBinaryLit: kept(stored, 'ElemsIsBinaryLit', type.elems.length > 0 ? type.elems.map(() => false) : null),
    Array: type.array,
  })

function indexJson(table: TableInfo, index: IndexInfo, stored: JsonObject): JsonObject {
  return merge(stored, {
    id: index.id,
    idx_name: nameJson(index.name),
    tbl_name: kept(stored, 'tbl_name', { O: '', L: '' }),
    idx_cols: index.columns.map(({ name, offset, length }) => ({ name: nameJson(name), offset, length })),
    state: index.state,
    backfill_state: kept(stored, 'backfill_state', 0),
    comment: index.comment,
    index_type: kept(stored, 'index_type', 1),
    is_unique: index.unique,
    is_primary: index.primary,
    is_invisible: index.invisible,
    is_global: kept(stored, 'is_global', false),
    mv_index: index.multiValued,
    vector_index: kept(stored, 'vector_index', null),
    inverted_index: stored['inverted_index'],
    full_text_index: stored['full_text_index'],
  })
}

/** Definitions follow the table; the rest of the partitioning is what was stored. */
function partitionJson(info: TableInfo, stored: JsonObject, asStored: JsonValue): JsonValue {
  if (info.partitions === undefined) return asStored
  return merge(stored, {
    type: kept(stored, 'type', 0),
    expr: kept(stored, 'expr', ''),
    columns: kept(stored, 'columns', null),
    enable: true,
    is_empty_columns: kept(stored, 'is_empty_columns', false),
    definitions: info.partitions.map(({ id, name }) => {
      const definition = storedItem(stored['definitions'], id)
      return merge(definition, {
        id,
        name: nameJson(name),
        less_than: kept(definition, 'less_than', null),
        in_values: kept(definition, 'in_values', null),
        policy_ref_info: kept(definition, 'policy_ref_info', null),
      })
    }),
    adding_definitions: kept(stored, 'adding_definitions', null),
    dropping_definitions: kept(stored, 'dropping_definitions', null),
    NewPartitionIDs: stored['NewPartitionIDs'],
    OriginalPartitionIDsOrder: stored['OriginalPartitionIDsOrder'],
    states: kept(stored, 'states', null),
    num: kept(stored, 'num', info.partitions.length),
    ddl_state: kept(stored, 'ddl_state', 0),
  })
}

/** Known members in their order (undefined = left out), then what else was stored. */
function merge(stored: JsonObject, known: Readonly<Record<string, JsonValue | undefined>>): JsonObject {
  const merged: Record<string, JsonValue> = {}
  for (const [key, value] of Object.entries(known)) if (value !== undefined) merged[key] = value
  for (const [key, value] of Object.entries(stored)) if (!Object.hasOwn(known, key)) merged[key] = value
  return merged
}

const kept = (stored: JsonObject, key: string, otherwise: JsonValue): JsonValue =>
  stored[key] === undefined ? otherwise : stored[key]

const orNull = (list: readonly JsonValue[]): JsonValue => (list.length === 0 ? null : list)

function storedItem(list: JsonValue | undefined, id: number | bigint): JsonObject {
  return objectOf(listOf(list).find((item) => integerOf(objectOf(item)['id']) === BigInt(id)))
}
