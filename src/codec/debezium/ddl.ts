import type { DdlEvent } from '../../event/ddl-event.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { FieldFlag, MysqlType, STATE_PUBLIC, type ColumnInfo, type FieldType } from '../../tidb/table-info.ts'
import { jsonString } from '../json-text.ts'
import { mysqlBaseName } from '../mysql-type.ts'

/** Kinds of table change → TiDB's actions; other actions are not sent (reference: C.5). */
const CHANGES: Readonly<Record<string, readonly number[]>> = {
  CREATE: [1, 3, 21, 60],
  DROP: [2, 4, 8, 11, 24],
  ALTER: [5, 6, 7, 12, 13, 14, 15, 17, 18, 19, 20, 22, 23, 26, 32, 33, 41, 42, 47, 61, 64, 71, 72],
}
const kinds = new Map(Object.entries(CHANGES).flatMap(([kind, actions]) => actions.map((action) => [action, kind])))

const CREATE_SCHEMA = 1
const DROP_SCHEMA = 2
const DROP_TABLE = 4
const TRUNCATE_TABLE = 11
const RENAME_TABLE = 14
const MODIFY_SCHEMA = 26

/** JSON text of `tableChanges`; undefined = the action is not sent. */
export function tableChanges(event: DdlEvent): string | undefined {
  const kind = kinds.get(event.type)
  if (kind === undefined) return undefined
  const { type, before, after } = event
  if ([CREATE_SCHEMA, DROP_SCHEMA, TRUNCATE_TABLE, MODIFY_SCHEMA].includes(type) || event.table === '') return '[]'
  const renamed = type === RENAME_TABLE && before !== undefined ? `${tableId(before.schema, before.table)},` : ''
  const id = renamed + tableId(event.schema, event.table)
  const table = after ?? before
  const shown = type === DROP_TABLE || table === undefined ? 'null' : tableText(table)
  return `[{"type":"${kind}","id":${quoted(id)},"table":${shown}}]`
}

const quoted = (text: string): string => jsonString(text, 'stream')
const orNull = (text: string | undefined): string => (text === undefined || text === '' ? 'null' : quoted(text))
const tableId = (schema: string, table: string): string => `"${schema}"."${table}"`

function tableText({ info }: TableVersion): string {
  const columns = info.columns.filter((column) => column.state === STATE_PUBLIC && !column.hidden)
  const primary = columns.filter((column) => (column.type.flag & FieldFlag.PriKey) !== 0)
  const names = primary.map((column) => quoted(column.name.original)).join(',')
  const list = columns.map(columnText).join(',')
  return `{"defaultCharsetName":${quoted(info.charset)},"primaryKeyColumnNames":[${names}],"columns":[${list}],"comment":null}`
}

function columnText(column: ColumnInfo, at: number): string {
  const { type } = column
  const name =
    mysqlBaseName(type).toUpperCase() + ((type.flag & FieldFlag.Unsigned) !== 0 && isNumber(type) ? ' UNSIGNED' : '')
  const automatic = (type.flag & FieldFlag.AutoIncrement) !== 0
  const elements =
    type.elems.length === 0 ? 'null' : `[${type.elems.map((element) => quoted(`'${element}'`)).join(',')}]`
  return (
    `{"name":${quoted(column.name.original)},"jdbcType":${jdbcType(type)},"nativeType":null,` +
    `"comment":${orNull(column.comment)},"defaultValueExpression":${defaultExpression(column)},"enumValues":${elements},` +
    `"typeName":${quoted(name)},"typeExpression":${quoted(name)},` +
    `"charsetName":${type.charset === 'binary' ? 'null' : orNull(type.charset)},` +
    `"length":${type.flen < 0 ? 'null' : type.flen},"scale":${type.decimal < 0 || !hasScale(type) ? 'null' : type.decimal},` +
    `"position":${at + 1},"optional":${(type.flag & FieldFlag.NotNull) === 0},` +
    `"autoIncremented":${automatic},"generated":${automatic}}`
  )
}

const NUMBERS: readonly MysqlType[] = [
  MysqlType.Tiny,
  MysqlType.Short,
  MysqlType.Int24,
  MysqlType.Long,
  MysqlType.Longlong,
  MysqlType.Float,
  MysqlType.Double,
  MysqlType.NewDecimal,
]
const isNumber = (type: FieldType): boolean => NUMBERS.includes(type.tp)
const hasScale = ({ tp }: FieldType): boolean =>
  tp === MysqlType.NewDecimal || tp === MysqlType.Float || tp === MysqlType.Double

function defaultExpression({ type, defaultValue, defaultBit }: ColumnInfo): string {
  if (type.tp === MysqlType.Bit && defaultBit !== null) {
    const digits = [...Buffer.from(defaultBit, 'base64')].map((byte) => byte.toString(2).padStart(8, '0')).join('')
    return quoted(digits.replace(/^0+(?=.)/, ''))
  }
  if (typeof defaultValue !== 'string') return 'null'
  return quoted(defaultValue.toUpperCase() === 'CURRENT_TIMESTAMP' ? '1970-01-01 00:00:00' : defaultValue)
}

/** Codes of java.sql.Types. */
function jdbcType({ tp, charset }: FieldType): number {
  const binary = charset === 'binary'
  switch (tp) {
    case MysqlType.Tiny:
    case MysqlType.Short:
      return 5
    case MysqlType.Int24:
    case MysqlType.Long:
    case MysqlType.Year:
      return 4
    case MysqlType.Longlong:
      return -5
    case MysqlType.Float:
      return 6
    case MysqlType.Double:
      return 8
    case MysqlType.NewDecimal:
      return 3
    case MysqlType.Bit:
      return -7
    case MysqlType.Date:
    case MysqlType.NewDate:
      return 91
    case MysqlType.Duration:
      return 92
    case MysqlType.Datetime:
      return 93
    case MysqlType.Timestamp:
      return 2014
    case MysqlType.Enum:
    case MysqlType.Set:
      return 1
    case MysqlType.String:
      return binary ? -2 : 1
    case MysqlType.Varchar:
    case MysqlType.VarString:
      return binary ? -3 : 12
    case MysqlType.Json:
      return 1111
    case MysqlType.TinyBlob:
    case MysqlType.Blob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return binary ? 2004 : 12
    default:
      return 1111
  }
}
