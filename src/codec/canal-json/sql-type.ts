import type { Value } from '../../event/row-change.ts'
import { FieldFlag, MysqlType, type FieldType } from '../../tidb/table-info.ts'

/** The code as text, from the value of the row. */
export type SqlType = (value: Value) => string

/** Codes of java.sql.Types. */
const JavaType = {
  Bit: -7,
  Tinyint: -6,
  Bigint: -5,
  Char: 1,
  Decimal: 3,
  Integer: 4,
  Smallint: 5,
  Real: 7,
  Double: 8,
  Varchar: 12,
  Date: 91,
  Time: 92,
  Timestamp: 93,
  Blob: 2004,
  Clob: 2005,
} as const

/** A constant, or, where an unsigned value may exceed its Java type, a function of it (reference: protocols-json, B.3). */
export function sqlTypeOf(type: FieldType): number | SqlType {
  const unsigned = (type.flag & FieldFlag.Unsigned) !== 0
  const binary = type.charset === 'binary'
  switch (type.tp) {
    case MysqlType.Tiny:
      return unsigned ? promote(JavaType.Tinyint, 127, JavaType.Smallint) : JavaType.Tinyint
    case MysqlType.Short:
      return unsigned ? promote(JavaType.Smallint, 32767, JavaType.Integer) : JavaType.Smallint
    case MysqlType.Long:
      return unsigned ? promote(JavaType.Integer, 2147483647, JavaType.Bigint) : JavaType.Integer
    case MysqlType.Longlong:
      return unsigned ? promote(JavaType.Bigint, 9223372036854775807n, JavaType.Decimal) : JavaType.Bigint
    case MysqlType.Int24:
    case MysqlType.Enum:
      return JavaType.Integer
    case MysqlType.Float:
      return JavaType.Real
    case MysqlType.Double:
      return JavaType.Double
    case MysqlType.NewDecimal:
      return JavaType.Decimal
    case MysqlType.Date:
    case MysqlType.NewDate:
      return JavaType.Date
    case MysqlType.Datetime:
    case MysqlType.Timestamp:
      return JavaType.Timestamp
    case MysqlType.Duration:
      return JavaType.Time
    case MysqlType.Bit:
    case MysqlType.Set:
      return JavaType.Bit
    case MysqlType.String:
      return binary ? JavaType.Blob : JavaType.Char
    case MysqlType.Varchar:
    case MysqlType.VarString:
      return binary ? JavaType.Blob : JavaType.Varchar
    case MysqlType.TinyBlob:
    case MysqlType.Blob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return binary ? JavaType.Blob : JavaType.Clob
    default:
      return JavaType.Varchar
  }
}

function promote(code: number, limit: number | bigint, beyond: number): SqlType {
  const [within, above] = [String(code), String(beyond)]
  return (value) => ((typeof value === 'number' || typeof value === 'bigint') && value > limit ? above : within)
}
