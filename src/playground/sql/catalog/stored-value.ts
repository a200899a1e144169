import { encodeJson } from '../../../tidb/json-binary-encode.ts'
import { MysqlType } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'
import type { Value as StoredValue } from '../../../tidb/value.ts'
import { Decimal } from '../value/decimal.ts'
import { enumAt, setOf } from '../value/cast.ts'
import { formatJson, readJson } from '../value/json.ts'
import { formatDateTime, formatDuration, parseDateTimeText, parseDurationText, zeroDateTime } from '../value/time.ts'
import type { DateTime } from '../value/time.ts'
import { timestampFromUtc } from '../value/time-zone.ts'
import type { TimeZone } from '../value/time-zone.ts'
import { bitsToInteger } from '../value/value.ts'
import type { Value } from '../value/value.ts'

/**
 * The type that the row codec is given for a column: JSON goes through it as bytes, because its text does not tell a
 * double from an integer.
 */
export const storedType = (type: FieldType): FieldType =>
  type.tp === MysqlType.Json && !type.array
    ? { ...type, tp: MysqlType.LongBlob, charset: 'binary', collate: 'binary' }
    : type

/** A value of a column's type as the row codec takes it (see {@link storedType}); TIMESTAMP text is UTC. */
export function toStored(value: Exclude<Value, null>, _type: FieldType): Exclude<StoredValue, null> {
  if (typeof value === 'bigint' || typeof value === 'number' || value instanceof Uint8Array) return value
  if (typeof value === 'string') return Buffer.from(value, 'utf8')
  if (value instanceof Decimal) return value.toString()
  switch (value.type) {
    case 'float':
      return value.value
    case 'date':
    case 'datetime':
      return formatDateTime(value)
    case 'timestamp':
      return formatDateTime({ ...value, ...value.utc })
    case 'time':
      return formatDuration(value)
    case 'enum':
      return value.index
    case 'set':
      return value.mask
    case 'bits':
      return bitsToInteger(value.bytes)
    case 'json':
      return value.binary ?? encodeJson(formatJson(value.value))
    case 'vector':
      return value.elements
  }
}

/** Inverse of {@link toStored}. */
export function fromStored(value: StoredValue, type: FieldType, zone: TimeZone): Value {
  if (value === null) return null
  switch (type.tp) {
    case MysqlType.Tiny:
    case MysqlType.Short:
    case MysqlType.Int24:
    case MysqlType.Long:
    case MysqlType.Longlong:
    case MysqlType.Year:
      return integer(value)
    case MysqlType.Float:
      return { type: 'float', value: Number(value) }
    case MysqlType.Double:
      return Number(value)
    case MysqlType.NewDecimal: {
      const decimal = Decimal.parse(String(value))?.value ?? Decimal.ofInteger(0n)
      return type.decimal >= 0 ? decimal.round(type.decimal) : decimal
    }
    case MysqlType.Date:
      return moment('date', String(value), 0)
    case MysqlType.Datetime:
      return moment('datetime', String(value), Math.max(0, type.decimal))
    case MysqlType.Timestamp: {
      const utc = moment('timestamp', String(value), Math.max(0, type.decimal))
      return { ...utc, ...timestampFromUtc(utc, zone), utc }
    }
    case MysqlType.Duration:
      return { type: 'time', micros: parseDurationText(String(value))?.micros ?? 0, fsp: Math.max(0, type.decimal) }
    case MysqlType.Enum:
      return enumAt(type, Number(value))
    case MysqlType.Set:
      return setOf(type, integer(value))
    case MysqlType.Bit: {
      const length = (Math.max(1, type.flen) + 7) >> 3
      return {
        type: 'bits',
        bytes: Buffer.from(
          integer(value)
            .toString(16)
            .padStart(length * 2, '0'),
          'hex',
        ),
      }
    }
    case MysqlType.Json:
      return readJson(value)
    case MysqlType.VectorFloat32:
      return { type: 'vector', elements: value instanceof Float32Array ? value : new Float32Array() }
    default:
      return bytesOf(value, type)
  }
}

const integer = (value: Exclude<StoredValue, null>): bigint =>
  typeof value === 'bigint' ? value : BigInt(String(value))

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

function bytesOf(value: Exclude<StoredValue, null>, type: FieldType): Value {
  if (!(value instanceof Uint8Array)) return String(value)
  return type.charset === 'binary' ? value : utf8.decode(value)
}

function moment(kind: DateTime['type'], text: string, fsp: number): DateTime {
  const parts = parseDateTimeText(text)
  if (parts === undefined) return zeroDateTime(kind, fsp)
  const { year, month, day, hour, minute, second, micro } = parts
  return { type: kind, year, month, day, hour, minute, second, micro, fsp }
}
