import type { Value } from '../../event/row-change.ts'
import { unsignedHigh, unsignedLow } from '../../tidb/cell-text.ts'
import { ABSENT_CELL, fromOf, NULL_CELL, type StoredCells } from '../../tidb/stored-cells.ts'
import { FieldFlag, MysqlType, type FieldType } from '../../tidb/table-info.ts'

/** The code of an unsigned integer, as text: `beyond` where the value needs more than `bits` bits. */
export interface UnsignedSqlType {
  readonly bits: 7 | 15 | 31 | 63
  readonly within: string
  readonly beyond: string
}

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

/** A constant, or, where an unsigned value may exceed its Java type, a choice by it (reference: protocols-json, B.3). */
export function sqlTypeOf(type: FieldType): number | UnsignedSqlType {
  const unsigned = (type.flag & FieldFlag.Unsigned) !== 0
  const binary = type.charset === 'binary'
  switch (type.tp) {
    case MysqlType.Tiny:
      return unsigned ? promote(JavaType.Tinyint, 7, JavaType.Smallint) : JavaType.Tinyint
    case MysqlType.Short:
      return unsigned ? promote(JavaType.Smallint, 15, JavaType.Integer) : JavaType.Smallint
    case MysqlType.Long:
      return unsigned ? promote(JavaType.Integer, 31, JavaType.Bigint) : JavaType.Integer
    case MysqlType.Longlong:
      return unsigned ? promote(JavaType.Bigint, 63, JavaType.Decimal) : JavaType.Bigint
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

const promote = (code: number, bits: UnsignedSqlType['bits'], beyond: number): UnsignedSqlType => ({
  bits,
  within: String(code),
  beyond: String(beyond),
})

/** Of a value; NULL is within. */
export function codeOfValue({ bits, within, beyond }: UnsignedSqlType, value: Value): string {
  return (typeof value === 'number' || typeof value === 'bigint') && value >= 2 ** bits ? beyond : within
}

/** Of a stored cell. RangeError where it is broken. */
export function codeOfCell(type: UnsignedSqlType, cells: StoredCells, position: number): string {
  const start = cells.start[position] ?? NULL_CELL
  if (start === NULL_CELL) return type.within
  if (start === ABSENT_CELL) return codeOfValue(type, cells.value(position))
  const [bytes, from, end] = [cells.bytesOf(start), fromOf(start), cells.end[position] ?? 0]
  const high = unsignedHigh(bytes, from, end)
  const fits = type.bits === 63 ? high >= 0 : high === 0 && unsignedLow(bytes, from, end) < 2 ** type.bits
  return fits ? type.within : type.beyond
}
