import { compareBytes, encodeBytes, rawRecordRange } from '../../../tidb/key.ts'
import { listOf, numberOf, objectOf, stringOf } from '../../../tidb/json-big.ts'
import type { JsonObject } from '../../../tidb/json-big.ts'
import type { FieldType, IndexInfo, TableInfo } from '../../../tidb/table-info.ts'
import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { Schema, Table } from '../catalog/schema.ts'
import { shownDefault } from '../catalog/show-create.ts'
import { isBlobType, isTextType, typeText } from '../catalog/type-text.ts'
import type { VirtualTable } from '../dml/source.ts'
import { SqlError, unsupported } from '../error.ts'
import type { TableName } from '../parser/ast.ts'
import type { Row } from '../value/value.ts'
import { utc } from '../value/time-zone.ts'
import type { Engine } from './engine.ts'
import { formatDateTime, fromMicros } from '../value/time.ts'
import { bytesPerCharacter } from '../value/collation.ts'
import { resultTable } from './result-table.ts'
import { extraText, keyText, kindOf } from './show.ts'
import type { Variables } from './variables.ts'

/** What tables need that do not follow from the schema. */
export interface Live {
  readonly engine: Engine
  readonly signal: AbortSignal
}

type MakeTable = (
  schema: Schema,
  variables: Variables,
  live: Live,
) => ReturnType<typeof resultTable> | Promise<ReturnType<typeof resultTable>>

/** A table of information_schema, undefined where the name belongs to another database. */
export async function virtualTable(
  name: TableName,
  schemaNow: () => Promise<Schema>,
  variables: Variables,
  live: Live,
): Promise<VirtualTable | undefined> {
  if (name.schema.toLowerCase() === 'performance_schema') throw unsupported('performance_schema')
  if (name.schema.toLowerCase() !== 'information_schema') return undefined
  const make = TABLES[name.name.toUpperCase()]
  if (make === undefined)
    throw new SqlError(
      1146,
      `Table 'information_schema.${name.name}' doesn't exist, or the playground does not have it`,
    )
  const { columns, rows } = await make(await schemaNow(), variables, live)
  return { columns: columns.map((column, i) => ({ name: column.name, type: column.type ?? missing(i) })), rows }
}

function missing(at: number): never {
  throw new RangeError(`column ${at} of a virtual table has no type`)
}

const tablesOf = (schema: Schema): Table[] =>
  [...schema.databases.values()].flatMap(({ tables }) => [...tables.values()])

const TABLES: Readonly<Record<string, MakeTable>> = {
  SCHEMATA: (schema) =>
    resultTable(
      ['CATALOG_NAME', 'SCHEMA_NAME', 'DEFAULT_CHARACTER_SET_NAME', 'DEFAULT_COLLATION_NAME', 'SQL_PATH'],
      [...schema.databases.values()].map(({ info }) => ['def', info.name.original, info.charset, info.collate, null]),
    ),
  TABLES: (schema) =>
    resultTable(
      [
        'TABLE_CATALOG',
        'TABLE_SCHEMA',
        'TABLE_NAME',
        'TABLE_TYPE',
        'ENGINE',
        'TABLE_COLLATION',
        'TABLE_COMMENT',
        'TIDB_TABLE_ID',
        'VERSION',
        'ROW_FORMAT',
        'TABLE_ROWS',
        'AVG_ROW_LENGTH',
        'DATA_LENGTH',
        'INDEX_LENGTH',
        'AUTO_INCREMENT',
        'CREATE_TIME',
        'CREATE_OPTIONS',
        'TIDB_ROW_ID_SHARDING_INFO',
        'TIDB_PK_TYPE',
        'TIDB_PLACEMENT_POLICY_NAME',
      ],
      tablesOf(schema).map(({ database, info, stored }) => [
        'def',
        database.name.original,
        info.name.original,
        kindOf(info),
        info.isView ? null : 'InnoDB',
        info.isView ? null : info.collate,
        info.isView ? 'VIEW' : info.comment,
        info.id,
        10n,
        'Compact',
        0n,
        0n,
        0n,
        0n,
        info.columns.some(({ type }) => (type.flag & FieldFlag.AutoIncrement) !== 0) ? 1n : null,
        createTime(info.updateTs),
        info.partitions === undefined ? '' : 'partitioned',
        shardingText(info, stored),
        info.pkIsHandle || info.isCommonHandle ? 'CLUSTERED' : 'NONCLUSTERED',
        null,
      ]),
    ),
  COLUMNS: (schema) =>
    resultTable(
      [
        'TABLE_CATALOG',
        'TABLE_SCHEMA',
        'TABLE_NAME',
        'COLUMN_NAME',
        'ORDINAL_POSITION',
        'COLUMN_DEFAULT',
        'IS_NULLABLE',
        'DATA_TYPE',
        'CHARACTER_SET_NAME',
        'COLLATION_NAME',
        'COLUMN_TYPE',
        'COLUMN_KEY',
        'EXTRA',
        'COLUMN_COMMENT',
        'CHARACTER_MAXIMUM_LENGTH',
        'CHARACTER_OCTET_LENGTH',
        'NUMERIC_PRECISION',
        'NUMERIC_SCALE',
        'DATETIME_PRECISION',
        'PRIVILEGES',
        'GENERATION_EXPRESSION',
      ],
      tablesOf(schema).flatMap(columnRows),
    ),
  STATISTICS: (schema) =>
    resultTable(
      [
        'TABLE_SCHEMA',
        'TABLE_NAME',
        'NON_UNIQUE',
        'INDEX_NAME',
        'SEQ_IN_INDEX',
        'COLUMN_NAME',
        'TABLE_CATALOG',
        'INDEX_SCHEMA',
        'COLLATION',
        'CARDINALITY',
        'SUB_PART',
        'NULLABLE',
        'INDEX_TYPE',
        'INDEX_COMMENT',
        'IS_VISIBLE',
        'EXPRESSION',
      ],
      tablesOf(schema).flatMap(({ database, info }) =>
        keysOf(info).flatMap((index) =>
          index.columns.map((part, i): Row => [
            database.name.original,
            info.name.original,
            index.unique ? 0n : 1n,
            index.name.original,
            BigInt(i + 1),
            part.name.original,
            'def',
            database.name.original,
            'A',
            0n,
            part.length === -1 ? null : BigInt(part.length),
            ((info.columns[part.offset]?.type.flag ?? 0) & FieldFlag.NotNull) === 0 ? 'YES' : '',
            'BTREE',
            index.comment,
            index.invisible ? 'NO' : 'YES',
            info.columns[part.offset]?.hidden === true ? (info.columns[part.offset]?.generatedExpr ?? null) : null,
          ]),
        ),
      ),
    ),
  PARTITIONS: (schema) =>
    resultTable(
      [
        'TABLE_CATALOG',
        'TABLE_SCHEMA',
        'TABLE_NAME',
        'PARTITION_NAME',
        'PARTITION_ORDINAL_POSITION',
        'PARTITION_METHOD',
        'PARTITION_EXPRESSION',
        'PARTITION_DESCRIPTION',
        'TABLE_ROWS',
        'TIDB_PARTITION_ID',
      ],
      tablesOf(schema).flatMap(partitionRows),
    ),
  VIEWS: (schema) =>
    resultTable(
      ['TABLE_CATALOG', 'TABLE_SCHEMA', 'TABLE_NAME', 'VIEW_DEFINITION', 'CHECK_OPTION', 'IS_UPDATABLE', 'DEFINER'],
      tablesOf(schema)
        .filter(({ info }) => info.isView)
        .map(({ database, info, stored }) => [
          'def',
          database.name.original,
          info.name.original,
          stringOf(objectOf(stored['view'])['view_select']),
          'CASCADED',
          'NO',
          'root@%',
        ]),
    ),
  TIKV_REGION_STATUS: async (schema, _variables, { engine, signal }) =>
    resultTable(
      [
        'REGION_ID',
        'START_KEY',
        'END_KEY',
        'TABLE_ID',
        'DB_NAME',
        'TABLE_NAME',
        'IS_INDEX',
        'IS_PARTITION',
        'PARTITION_NAME',
      ],
      await regionRows(schema, engine, signal),
    ),
  SESSION_VARIABLES: (_schema, variables) => resultTable(['VARIABLE_NAME', 'VARIABLE_VALUE'], variables.list()),
}

function columnRows({ database, info }: Table): Row[] {
  return info.columns
    .filter(({ hidden }) => !hidden)
    .map((column): Row => {
      const { type } = column
      const shown = typeText(type)
      const isText = isTextType(type)
      return [
        'def',
        database.name.original,
        info.name.original,
        column.name.original,
        BigInt(column.offset + 1),
        shownDefault(column, utc),
        (type.flag & FieldFlag.NotNull) === 0 ? 'YES' : 'NO',
        shown.replace(/[( ].*$/s, ''),
        isText ? type.charset : null,
        isText ? type.collate : null,
        shown,
        keyText(column),
        extraText(column),
        column.comment,
        isLong(type) ? BigInt(Math.max(0, type.flen)) : null,
        isLong(type) ? BigInt(Math.max(0, type.flen)) * BigInt(bytesPerCharacter(type.charset)) : null,
        isNumber(type) ? BigInt(Math.max(0, type.flen)) : null,
        isNumber(type) ? BigInt(Math.max(0, type.decimal)) : null,
        isMoment(type) ? BigInt(Math.max(0, type.decimal)) : null,
        'select,insert,update,references',
        column.generatedExpr,
      ]
    })
}

const isLong = (type: FieldType): boolean => isTextType(type) || isBlobType(type) || type.tp === MysqlType.Varchar
const NUMBERS: readonly MysqlType[] = [
  MysqlType.Tiny,
  MysqlType.Short,
  MysqlType.Int24,
  MysqlType.Long,
  MysqlType.Longlong,
  MysqlType.NewDecimal,
  MysqlType.Float,
  MysqlType.Double,
]
const isNumber = ({ tp }: FieldType): boolean => NUMBERS.includes(tp)
const isMoment = ({ tp }: FieldType): boolean =>
  tp === MysqlType.Datetime || tp === MysqlType.Timestamp || tp === MysqlType.Duration

/** TiDB does not keep when a table was made apart from when it was last changed; clients read it all the same. */
const createTime = (ts: bigint): string =>
  formatDateTime({ type: 'datetime', ...fromMicros((ts >> 18n) * 1000n), fsp: 0 })

function shardingText(info: TableInfo, stored: JsonObject): string {
  const random = numberOf(stored['auto_random_bits'])
  if (random > 0) return `PK_AUTO_RANDOM_BITS=${random}`
  if (info.pkIsHandle || info.isCommonHandle) return 'NOT_SHARDED(PK_IS_HANDLE)'
  const bits = numberOf(stored['ShardRowIDBits'])
  return bits > 0 ? `SHARD_BITS=${bits}` : 'NOT_SHARDED'
}

/** All keys, an integer primary key that is the handle too. */
function keysOf(info: TableInfo): readonly IndexInfo[] {
  const handle = info.pkIsHandle ? info.columns.find(({ type }) => (type.flag & FieldFlag.PriKey) !== 0) : undefined
  if (handle === undefined) return info.indexes
  const primary: IndexInfo = {
    id: 0,
    name: { original: 'PRIMARY', lower: 'primary' },
    columns: [{ name: handle.name, offset: handle.offset, length: -1 }],
    state: 5,
    unique: true,
    primary: true,
    invisible: false,
    multiValued: false,
    comment: '',
  }
  return [primary, ...info.indexes]
}

const METHODS = ['', 'RANGE', 'HASH', 'LIST', 'KEY'] as const

function partitionRows({ database, info, stored }: Table): Row[] {
  const names = ['def', database.name.original, info.name.original] as const
  if (info.partitions === undefined) return [[...names, null, null, null, null, null, 0n, null]]
  const partition = objectOf(stored['partition'])
  const columns = listOf(partition['columns']).map((name) => stringOf(objectOf(name)['O']))
  const method = METHODS[numberOf(partition['type'])] ?? ''
  return listOf(partition['definitions']).map((item, i): Row => {
    const definition = objectOf(item)
    const bounds = listOf(definition['less_than']).map(stringOf)
    const values = listOf(definition['in_values']).map((tuple) => listOf(tuple).map(stringOf).join(','))
    const place = info.partitions?.[i]
    return [
      ...names,
      place?.name.original ?? '',
      BigInt(i + 1),
      columns.length > 0 && method !== 'KEY' ? `${method} COLUMNS` : method,
      columns.length > 0 ? columns.map((name) => `\`${name}\``).join(',') : stringOf(partition['expr']),
      bounds.length > 0 ? bounds.join(',') : values.length > 0 ? values.join(',') : '',
      0n,
      place?.id ?? 0n,
    ]
  })
}

/** One row per region and physical table whose records may be in it. */
async function regionRows(schema: Schema, engine: Engine, signal: AbortSignal): Promise<Row[]> {
  const found: Row[] = []
  const physical = tablesOf(schema).flatMap(({ database, info }) =>
    (info.partitions ?? [{ id: info.id, name: undefined }]).map((part) => ({ database, info, part })),
  )
  for (const region of await engine.store.regions(signal))
    for (const { database, info, part } of physical) {
      const { start, end } = rawRecordRange(part.id)
      const isBefore = region.endKey.length > 0 && compareBytes(region.endKey, encodeBytes(start)) <= 0
      if (isBefore || compareBytes(region.startKey, encodeBytes(end)) >= 0) continue
      found.push([
        region.id,
        hexOf(region.startKey),
        hexOf(region.endKey),
        part.id,
        database.name.original,
        info.name.original,
        0n,
        part.name === undefined ? 0n : 1n,
        part.name?.original ?? null,
      ])
    }
  return found
}

const hexOf = (key: Uint8Array): string => Buffer.from(key).toString('hex').toUpperCase()
