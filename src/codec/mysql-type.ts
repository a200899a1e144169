import { CdcError } from '../base/errors.ts'
import { FieldFlag, MysqlType, type FieldType } from '../tidb/table-info.ts'

/** Names of types whose charset does not change them. */
const NAMES: ReadonlyMap<MysqlType, string> = new Map([
  [MysqlType.Tiny, 'tinyint'],
  [MysqlType.Short, 'smallint'],
  [MysqlType.Int24, 'mediumint'],
  [MysqlType.Long, 'int'],
  [MysqlType.Longlong, 'bigint'],
  [MysqlType.Float, 'float'],
  [MysqlType.Double, 'double'],
  [MysqlType.NewDecimal, 'decimal'],
  [MysqlType.Date, 'date'],
  [MysqlType.NewDate, 'date'],
  [MysqlType.Datetime, 'datetime'],
  [MysqlType.Timestamp, 'timestamp'],
  [MysqlType.Duration, 'time'],
  [MysqlType.Year, 'year'],
  [MysqlType.Bit, 'bit'],
  [MysqlType.Enum, 'enum'],
  [MysqlType.Set, 'set'],
  [MysqlType.Json, 'json'],
  [MysqlType.VectorFloat32, 'vector'],
  [MysqlType.Null, 'null'],
  [MysqlType.Geometry, 'geometry'],
])

/** Text name, name with charset `binary`. */
const STRING_NAMES: ReadonlyMap<MysqlType, readonly [string, string]> = new Map([
  [MysqlType.String, ['char', 'binary']],
  [MysqlType.Varchar, ['varchar', 'varbinary']],
  [MysqlType.VarString, ['varchar', 'varbinary']],
  [MysqlType.TinyBlob, ['tinytext', 'tinyblob']],
  [MysqlType.Blob, ['text', 'blob']],
  [MysqlType.MediumBlob, ['mediumtext', 'mediumblob']],
  [MysqlType.LongBlob, ['longtext', 'longblob']],
])

/** Display width where none was declared: signed, unsigned. */
const WIDTHS: ReadonlyMap<MysqlType, readonly [number, number]> = new Map([
  [MysqlType.Tiny, [4, 3]],
  [MysqlType.Short, [6, 5]],
  [MysqlType.Int24, [9, 8]],
  [MysqlType.Long, [11, 10]],
  [MysqlType.Longlong, [20, 20]],
  [MysqlType.Year, [4, 4]],
  [MysqlType.Bit, [1, 1]],
  [MysqlType.String, [1, 1]],
  [MysqlType.Varchar, [5, 5]],
  [MysqlType.VarString, [5, 5]],
])

/** `int unsigned`: the type without parameters (reference: protocols-json, B.3). Error: `CDC:ErrEncodeFailed`. */
export const mysqlTypeName = (type: FieldType): string => mysqlBaseName(type) + attributes(type)

/** `int(11) unsigned`: with length, scale and elements, as TiDB describes the type in short (same section). */
export const mysqlTypeText = (type: FieldType): string => mysqlBaseName(type) + parameters(type) + attributes(type)

/** `int`: the type as TiDB names it, with neither parameters nor attributes. Error: `CDC:ErrEncodeFailed`. */
export function mysqlBaseName(type: FieldType): string {
  const strings = STRING_NAMES.get(type.tp)
  if (strings !== undefined) return strings[type.charset === 'binary' ? 1 : 0]
  const name = NAMES.get(type.tp)
  if (name === undefined) throw new CdcError('CDC:ErrEncodeFailed', `unknown MySQL column type ${type.tp}`)
  return name
}

function attributes(type: FieldType): string {
  if (type.tp === MysqlType.Year) return ''
  const unsigned = type.tp !== MysqlType.Bit && (type.flag & FieldFlag.Unsigned) !== 0 ? ' unsigned' : ''
  return unsigned + ((type.flag & FieldFlag.Zerofill) !== 0 ? ' zerofill' : '')
}

function parameters(type: FieldType): string {
  switch (type.tp) {
    case MysqlType.Enum:
    case MysqlType.Set:
      return `('${type.elems.map(escapeElement).join("','")}')`
    case MysqlType.Timestamp:
    case MysqlType.Datetime:
    case MysqlType.Duration:
      return type.decimal > 0 ? `(${type.decimal})` : ''
    case MysqlType.Float:
    case MysqlType.Double:
      return type.decimal > 0
        ? `(${type.flen < 0 ? (type.tp === MysqlType.Float ? 12 : 22) : type.flen},${type.decimal})`
        : ''
    case MysqlType.NewDecimal:
      return `(${type.flen < 0 ? 10 : type.flen},${Math.max(type.decimal, 0)})`
    case MysqlType.VectorFloat32:
      return type.flen < 0 ? '' : `(${type.flen})`
    default: {
      const widths = WIDTHS.get(type.tp)
      if (widths === undefined) return ''
      return `(${type.flen < 0 ? widths[(type.flag & FieldFlag.Unsigned) === 0 ? 0 : 1] : type.flen})`
    }
  }
}

const ELEMENT_ESCAPES: Readonly<Record<string, string>> = { "'": "''", '\0': '\\0', '\n': '\\n', '\r': '\\r' }
const escapeElement = (element: string): string => element.replace(/['\0\n\r]/g, (c) => ELEMENT_ESCAPES[c] ?? c)
