import { ColumnFlag, type Column } from '../event/table-version.ts'
import { MysqlType } from '../tidb/table-info.ts'

/** How a value of a column is written; decided once per column. `text`: a JavaScript string; others by their bytes. */
export type ValueKind = 'integer' | 'float' | 'double' | 'text' | 'utf8' | 'binary' | 'vector'

export function valueKind(column: Column): ValueKind {
  switch (column.info.type.tp) {
    case MysqlType.Float:
      return 'float'
    case MysqlType.Double:
      return 'double'
    case MysqlType.NewDecimal:
    case MysqlType.Date:
    case MysqlType.NewDate:
    case MysqlType.Datetime:
    case MysqlType.Timestamp:
    case MysqlType.Duration:
    case MysqlType.Json:
      return 'text'
    case MysqlType.String:
    case MysqlType.Varchar:
    case MysqlType.VarString:
    case MysqlType.TinyBlob:
    case MysqlType.Blob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return (column.flags & ColumnFlag.Binary) === 0 ? 'utf8' : 'binary'
    case MysqlType.VectorFloat32:
      return 'vector'
    default:
      return 'integer'
  }
}

/** Whether values of a column are JavaScript numbers (or bigints). */
export function isNumber(column: Column): boolean {
  const kind = valueKind(column)
  return kind === 'integer' || kind === 'float' || kind === 'double'
}
