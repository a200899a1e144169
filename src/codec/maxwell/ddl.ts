import type { TableVersion } from '../../event/table-version.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import { jsonString } from '../json-text.ts'

/** Maxwell's names of TiDB's actions (reference: protocols-json, section D). */
const TYPES: Readonly<Record<string, readonly number[]>> = {
  'table-create': [3],
  'table-drop': [4],
  'table-alter': [
    ...[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
    ...[22, 23, 27, 28, 29, 33, 37, 38, 41, 42],
  ],
  'database-create': [1],
  'database-drop': [2],
  'database-alter': [26],
  // What Maxwell does not know has TiDB's own name (reference: schema-tracking, section 2.2).
  'create view': [21],
  'drop view': [24],
  'recover table': [25],
  'add primary key': [32],
  'rename tables': [47],
  'create tables': [60],
  'alter table multi-schema change': [61],
  'alter table reorganize partition': [64],
  'alter table ttl': [65],
  'alter table no_ttl': [67],
  'alter table partition by': [71],
  'alter table remove partitioning': [72],
}

const names = new Map(Object.entries(TYPES).flatMap(([name, actions]) => actions.map((action) => [action, name])))

export const ddlTypeName = (action: number): string => names.get(action) ?? 'none'

const COLUMN_TYPES: ReadonlyMap<MysqlType, string> = new Map([
  [MysqlType.Tiny, 'int'],
  [MysqlType.Short, 'int'],
  [MysqlType.Int24, 'int'],
  [MysqlType.Long, 'int'],
  [MysqlType.Longlong, 'bigint'],
  [MysqlType.Float, 'float'],
  [MysqlType.Double, 'float'],
  [MysqlType.NewDecimal, 'decimal'],
  [MysqlType.Date, 'date'],
  [MysqlType.NewDate, 'date'],
  [MysqlType.Datetime, 'datetime'],
  [MysqlType.Timestamp, 'datetime'],
  [MysqlType.Duration, 'time'],
  [MysqlType.Year, 'year'],
  [MysqlType.Bit, 'bit'],
  [MysqlType.Enum, 'enum'],
  [MysqlType.Set, 'set'],
  [MysqlType.Json, 'json'],
])

/** `{"database":…,"table":…,"columns":[{"type","name"}…],"primary-key":null}`, all columns of the table. */
export function tableStructure(table: TableVersion | undefined, schema = '', name = ''): string {
  const columns = table?.info.columns.map(
    (column) =>
      `{"type":${quoted(COLUMN_TYPES.get(column.type.tp) ?? 'string')},"name":${quoted(column.name.original)}}`,
  )
  const place = `"database":${quoted(table?.schema ?? schema)},"table":${quoted(table?.table ?? name)}`
  const list = columns === undefined || columns.length === 0 ? 'null' : `[${columns.join(',')}]`
  return `{${place},"columns":${list},"primary-key":null}`
}

const quoted = (text: string): string => jsonString(text, 'short')
