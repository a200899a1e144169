import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'

/** The type as SHOW CREATE TABLE and DESCRIBE print it, without charset. */
export function typeText(type: FieldType): string {
  const sign =
    ((type.flag & FieldFlag.Unsigned) !== 0 ? ' unsigned' : '') +
    ((type.flag & FieldFlag.Zerofill) !== 0 ? ' zerofill' : '')
  const isBinary = type.charset === 'binary'
  const fsp = type.decimal > 0 ? `(${type.decimal})` : ''
  switch (type.tp) {
    case MysqlType.Tiny:
      return `tinyint(${type.flen})${sign}`
    case MysqlType.Short:
      return `smallint(${type.flen})${sign}`
    case MysqlType.Int24:
      return `mediumint(${type.flen})${sign}`
    case MysqlType.Long:
      return `int(${type.flen})${sign}`
    case MysqlType.Longlong:
      return `bigint(${type.flen})${sign}`
    case MysqlType.Float:
      return `float${type.decimal >= 0 ? `(${type.flen},${type.decimal})` : ''}${sign}`
    case MysqlType.Double:
      return `double${type.decimal >= 0 ? `(${type.flen},${type.decimal})` : ''}${sign}`
    case MysqlType.NewDecimal:
      return `decimal(${type.flen},${type.decimal})${sign}`
    case MysqlType.Date:
      return 'date'
    case MysqlType.Datetime:
      return `datetime${fsp}`
    case MysqlType.Timestamp:
      return `timestamp${fsp}`
    case MysqlType.Duration:
      return `time${fsp}`
    case MysqlType.Year:
      return `year(${type.flen})`
    case MysqlType.Bit:
      return `bit(${type.flen})`
    case MysqlType.Enum:
      return `enum(${elements(type)})`
    case MysqlType.Set:
      return `set(${elements(type)})`
    case MysqlType.Json:
      return 'json'
    case MysqlType.VectorFloat32:
      return type.flen > 0 ? `vector(${type.flen})` : 'vector'
    case MysqlType.String:
      return `${isBinary ? 'binary' : 'char'}(${type.flen})`
    case MysqlType.Varchar:
    case MysqlType.VarString:
      return `${isBinary ? 'varbinary' : 'varchar'}(${type.flen})`
    case MysqlType.TinyBlob:
      return isBinary ? 'tinyblob' : 'tinytext'
    case MysqlType.Blob:
      return isBinary ? 'blob' : 'text'
    case MysqlType.MediumBlob:
      return isBinary ? 'mediumblob' : 'mediumtext'
    case MysqlType.LongBlob:
      return isBinary ? 'longblob' : 'longtext'
    default:
      return `type ${type.tp}`
  }
}

const elements = (type: FieldType): string => type.elems.map((name) => `'${name.replaceAll("'", "''")}'`).join(',')

/** True for types whose text has a charset to print. */
export function isTextType(type: FieldType): boolean {
  const hasCharset: readonly MysqlType[] = [
    MysqlType.String,
    MysqlType.Varchar,
    MysqlType.VarString,
    MysqlType.TinyBlob,
    MysqlType.Blob,
    MysqlType.MediumBlob,
    MysqlType.LongBlob,
    MysqlType.Enum,
    MysqlType.Set,
  ]
  return type.charset !== 'binary' && hasCharset.includes(type.tp)
}

export const isBlobType = (type: FieldType): boolean =>
  type.tp === MysqlType.TinyBlob ||
  type.tp === MysqlType.Blob ||
  type.tp === MysqlType.MediumBlob ||
  type.tp === MysqlType.LongBlob
