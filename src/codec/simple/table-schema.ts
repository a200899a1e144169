import type { TableVersion } from '../../event/table-version.ts'
import { FieldFlag, MysqlType, type ColumnInfo, type TableInfo } from '../../tidb/table-info.ts'
import { integerValue } from '../../tidb/value.ts'
import { mysqlBaseName } from '../mysql-type.ts'

/** What a consumer needs to read a table's rows (reference: protocols-avro-simple-debezium, B.3). */
export interface TableSchema {
  readonly schema: string
  readonly table: string
  readonly tableId: bigint
  /** Rows name it; two tables of one name may have the same. */
  readonly version: bigint
  /** By column id, also those that rows leave out. */
  readonly columns: readonly SchemaColumn[]
  readonly indexes: readonly SchemaIndex[]
}

export interface SchemaColumn {
  readonly name: string
  /** `int`, without parameters and attributes. */
  readonly mysqlType: string
  readonly charset: string
  readonly collate: string
  /** As TiDB has it, -1 = unspecified. */
  readonly length: number
  readonly decimal: number
  readonly elements: readonly string[]
  readonly unsigned: boolean
  readonly zerofill: boolean
  readonly nullable: boolean
  readonly default: string | number | bigint | null
}

export interface SchemaIndex {
  readonly name: string
  readonly unique: boolean
  readonly primary: boolean
  /** Any of its columns is. */
  readonly nullable: boolean
  readonly columns: readonly string[]
}

export function tableSchema({ schema, table, info }: TableVersion): TableSchema {
  return {
    schema,
    table,
    tableId: info.id,
    version: info.updateTs,
    columns: info.columns.toSorted((a, b) => a.id - b.id).map(schemaColumn),
    indexes: schemaIndexes(info),
  }
}

const has = (column: ColumnInfo | undefined, flag: number): boolean =>
  column !== undefined && (column.type.flag & flag) !== 0

function schemaColumn(column: ColumnInfo): SchemaColumn {
  const { type } = column
  const isFloat = type.tp === MysqlType.Float || type.tp === MysqlType.Double
  return {
    name: column.name.original,
    mysqlType: mysqlBaseName(type),
    charset: type.charset,
    collate: type.collate,
    length: type.flen,
    decimal: isFloat ? 0 : type.decimal,
    elements: type.elems,
    unsigned: has(column, FieldFlag.Unsigned),
    zerofill: has(column, FieldFlag.Zerofill),
    nullable: !has(column, FieldFlag.NotNull),
    default: defaultOf(column),
  }
}

function defaultOf({ type, defaultValue, defaultBit }: ColumnInfo): SchemaColumn['default'] {
  if (type.tp === MysqlType.Bit)
    return defaultBit === null ? null : integerValue(BigInt(`0x0${Buffer.from(defaultBit, 'base64').toString('hex')}`))
  return typeof defaultValue === 'boolean' ? String(defaultValue) : defaultValue
}

/** All of them, invisible ones too; an integer primary key, which has no index in TiDB, comes last. */
function schemaIndexes(info: TableInfo): SchemaIndex[] {
  const indexes = info.indexes.map(({ name, unique, primary, columns }): SchemaIndex => ({
    name: name.original,
    unique,
    primary,
    nullable: columns.some(({ offset }) => !has(info.columns[offset], FieldFlag.NotNull)),
    columns: columns.map((column) => info.columns[column.offset]?.name.original ?? column.name.original),
  }))
  const handle = info.pkIsHandle ? info.columns.find((column) => has(column, FieldFlag.PriKey)) : undefined
  if (handle !== undefined)
    indexes.push({ name: 'primary', unique: true, primary: true, nullable: false, columns: [handle.name.original] })
  return indexes
}
