import { Kind, kindOf } from './cell.ts'
import { convertLiteral } from './literal.ts'
import { type ColumnInfo, FieldFlag, MysqlType } from './table-info.ts'
import { formatTimestamp, packTime, ZERO_DATE, ZERO_DATETIME } from './time.ts'
import type { TimeZone } from './time-zone.ts'
import { integerValue, type Value } from './value.ts'

/**
 * The value of a column that a row does not store: its origin default, else NULL, else the zero value of its type.
 * Source: TiCDC's getDefaultOrZeroValue (reference: tidb-storage, 6.6).
 */
export function absentValue(column: ColumnInfo, zone: TimeZone): Value {
  const { type, originDefault, originDefaultBit } = column
  if (type.tp === MysqlType.Bit && originDefaultBit !== null) return bitOf(Buffer.from(originDefaultBit, 'base64'))
  if (originDefault !== null) return originValue(column, originDefault, zone)
  if ((type.flag & FieldFlag.NotNull) === 0) return null
  return zeroValue(kindOf(type))
}

function originValue(column: ColumnInfo, origin: string | number | bigint | boolean, zone: TimeZone): Value {
  const isYear = column.type.tp === MysqlType.Year
  const literal = typeof origin === 'boolean' || isYear ? Number(origin) : origin
  const { value } = convertLiteral(column.type, literal)
  if (kindOf(column.type) !== Kind.Timestamp || typeof value !== 'string') return value
  const packed = packTime(value)
  const high = Number(packed >> 32n)
  return formatTimestamp(high, Number(packed & 0xffff_ffffn), Math.max(0, column.type.decimal), zone)
}

function bitOf(bytes: Uint8Array): Value {
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return integerValue(value)
}

/** Of a NOT NULL column; scale and digits behind the second do not count. */
function zeroValue(kind: Kind): Value {
  switch (kind) {
    case Kind.Decimal:
      return '0'
    case Kind.Bytes:
      return new Uint8Array(0)
    case Kind.Date:
      return ZERO_DATE
    case Kind.Datetime:
    case Kind.Timestamp:
      return ZERO_DATETIME
    case Kind.Duration:
      return '00:00:00'
    case Kind.Json:
      return 'null'
    case Kind.Enum:
      return 1
    case Kind.Vector:
    case Kind.None:
      return null
    default:
      return 0
  }
}
