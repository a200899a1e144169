import { FieldFlag } from '../../../tidb/table-info.ts'
import type { Schema, Table } from '../catalog/schema.ts'
import { shownDefault } from '../catalog/show-create.ts'
import { isTextType, typeText } from '../catalog/type-text.ts'
import type { VirtualTable } from '../dml/source.ts'
import { SqlError, unsupported } from '../error.ts'
import type { TableName } from '../parser/ast.ts'
import type { Row } from '../value/value.ts'
import { utc } from '../value/time-zone.ts'
import { resultTable } from './result-table.ts'
import { extraText, keyText, kindOf } from './show.ts'
import type { Variables } from './variables.ts'

/** A table of information_schema, undefined where the name belongs to another database. */
export async function virtualTable(
  name: TableName,
  schemaNow: () => Promise<Schema>,
  variables: Variables,
): Promise<VirtualTable | undefined> {
  if (name.schema.toLowerCase() === 'performance_schema') throw unsupported('performance_schema')
  if (name.schema.toLowerCase() !== 'information_schema') return undefined
  const make = TABLES[name.name.toUpperCase()]
  if (make === undefined)
    throw new SqlError(
      1146,
      `Table 'information_schema.${name.name}' doesn't exist, or the playground does not have it`,
    )
  const { columns, rows } = make(await schemaNow(), variables)
  return { columns: columns.map((column, i) => ({ name: column.name, type: column.type ?? missing(i) })), rows }
}

function missing(at: number): never {
  throw new RangeError(`column ${at} of a virtual table has no type`)
}

const tablesOf = (schema: Schema): Table[] =>
  [...schema.databases.values()].flatMap(({ tables }) => [...tables.values()])

const TABLES: Readonly<Record<string, (schema: Schema, variables: Variables) => ReturnType<typeof resultTable>>> = {
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
      ],
      tablesOf(schema).map(({ database, info }) => [
        'def',
        database.name.original,
        info.name.original,
        kindOf(info),
        'InnoDB',
        info.collate,
        info.comment,
        info.id,
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
      ],
      tablesOf(schema).flatMap(columnRows),
    ),
  STATISTICS: (schema) =>
    resultTable(
      ['TABLE_SCHEMA', 'TABLE_NAME', 'NON_UNIQUE', 'INDEX_NAME', 'SEQ_IN_INDEX', 'COLUMN_NAME'],
      tablesOf(schema).flatMap(({ database, info }) =>
        info.indexes.flatMap((index) =>
          index.columns.map((part, i): Row => [
            database.name.original,
            info.name.original,
            index.unique ? 0n : 1n,
            index.name.original,
            BigInt(i + 1),
            part.name.original,
          ]),
        ),
      ),
    ),
  SESSION_VARIABLES: (_schema, variables) => resultTable(['VARIABLE_NAME', 'VARIABLE_VALUE'], variables.list()),
}

function columnRows({ database, info }: Table): Row[] {
  return info.columns.map((column): Row => {
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
    ]
  })
}
