import { doubleText, floatText, paddedExponent, plainDecimal } from '../../base/float-text.ts'
import type { Value } from '../../event/row-change.ts'
import { FieldFlag, MysqlType, type ColumnInfo } from '../../tidb/table-info.ts'
import { daysOf, formatSeconds, secondsOfCivil, type CivilTime } from '../../tidb/time.ts'
import { utcOfLocal, type TimeZone } from '../../tidb/time-zone.ts'
import { jsonString, type JsonWriter } from '../json-text.ts'

/** Writes a value that is not NULL; decided once per column. */
export type WriteValue = (out: JsonWriter, value: Exclude<Value, null>) => void

/** A column as Kafka Connect's schema describes it, and how its values are written. */
export interface DebeziumField {
  /** JSON text of its part of the schema. */
  readonly schema: string
  readonly write: WriteValue
  /** JSON text that stands for NULL: TiCDC v8.5.7 writes the column's default there. */
  readonly absent: string
}

const QUOTE = 0x22
const EPOCH = '1970-01-01T00:00:00Z'
const MIN_TIMESTAMP_SECONDS = 1

/** Reference: protocols-avro-simple-debezium, section C.4. */
export function debeziumField(column: ColumnInfo, zone: TimeZone): DebeziumField {
  const { type } = column
  const nullable = (type.flag & FieldFlag.NotNull) === 0
  const style = styleOf(column, nullable, zone)
  const members = [
    `"type":"${style.type}"`,
    `"optional":${nullable}`,
    ...(style.name === undefined ? [] : [`"name":"${style.name}"`]),
    ...(style.version === false ? [] : style.name === undefined ? [] : ['"version":1']),
    ...(style.parameters === undefined ? [] : [`"parameters":{${style.parameters}}`]),
    `"field":${quoted(column.name.original)}`,
  ]
  const text = defaultText(column)
  const shown = text === undefined ? undefined : style.schemaDefault(text)
  if (shown !== undefined) members.push(`"default":${shown}`)
  const absent = text === undefined ? 'null' : (style.valueDefault?.(text) ?? style.schemaDefault(text) ?? 'null')
  return { schema: `{${members.join(',')}}`, write: style.write, absent }
}

/** The stored default as text; BIT's bytes are characters of their codes. */
function defaultText({ type, defaultValue, defaultBit }: ColumnInfo): string | undefined {
  if (type.tp === MysqlType.Bit && defaultBit !== null) return Buffer.from(defaultBit, 'base64').toString('latin1')
  return typeof defaultValue === 'string' ? defaultValue : undefined
}

interface Style {
  readonly type: string
  readonly name?: string
  /** false = the name has no version. */
  readonly version?: false
  readonly parameters?: string
  readonly write: WriteValue
  /** `default` in the schema as JSON text; undefined = the member is left out. */
  readonly schemaDefault: (text: string) => string | undefined
  /** What stands for NULL where that differs. */
  readonly valueDefault?: (text: string) => string | undefined
}

function styleOf(column: ColumnInfo, nullable: boolean, zone: TimeZone): Style {
  const { type } = column
  const unsigned = (type.flag & FieldFlag.Unsigned) !== 0
  const zero = nullable ? undefined : '0'
  switch (type.tp) {
    case MysqlType.Tiny:
      return integer('int16')
    case MysqlType.Short:
      return integer(unsigned ? 'int32' : 'int16')
    case MysqlType.Int24:
      return integer('int32')
    case MysqlType.Long:
      return integer(unsigned ? 'int64' : 'int32')
    case MysqlType.Longlong:
      return integer('int64')
    case MysqlType.Float:
      return {
        type: type.decimal > 0 ? 'double' : 'float',
        write: (out, value) => out.ascii(paddedExponent(floatText(Number(value)))),
        schemaDefault: numberText,
      }
    case MysqlType.Double:
    case MysqlType.NewDecimal:
      return {
        type: 'double',
        write: (out, value) => out.ascii(paddedExponent(doubleText(Number(value)))),
        schemaDefault: numberText,
      }
    case MysqlType.Bit:
      return bits(Math.max(1, type.flen))
    case MysqlType.Enum:
      return {
        type: 'string',
        name: 'io.debezium.data.Enum',
        parameters: `"allowed":${quoted(type.elems.map((element) => element.replaceAll(',', '\\,')).join(','))}`,
        write: (out, value) => writeText(out, type.elems[Number(value) - 1] ?? ''),
        schemaDefault: quoted,
      }
    case MysqlType.Set:
      return {
        type: 'string',
        name: 'io.debezium.data.EnumSet',
        parameters: `"allowed":${quoted(type.elems.join(','))}`,
        write: (out, value) => writeText(out, setNames(type.elems, value)),
        schemaDefault: quoted,
      }
    case MysqlType.Date:
    case MysqlType.NewDate:
      return {
        type: 'int32',
        name: 'io.debezium.time.Date',
        write: (out, value) => out.ascii(daysText(String(value)) ?? zero ?? 'null'),
        schemaDefault: (text) => daysText(text) ?? zero,
      }
    case MysqlType.Datetime: {
      const inMillis = type.decimal <= 3
      const render = inMillis ? millisText : microsText
      return {
        type: 'int64',
        name: inMillis ? 'io.debezium.time.Timestamp' : 'io.debezium.time.MicroTimestamp',
        write: (out, value) => out.ascii(render(String(value)) ?? zero ?? 'null'),
        schemaDefault: (text) => (isZeroDate(text) ? zero : (render(text) ?? '0')),
        valueDefault: (text) => render(text) ?? zero ?? 'null',
      }
    }
    case MysqlType.Timestamp: {
      const fsp = Math.max(0, type.decimal)
      return {
        type: 'string',
        name: 'io.debezium.time.ZonedTimestamp',
        write: (out, value) => {
          out.byte(QUOTE)
          out.ascii(zonedText(String(value), zone, fsp) ?? EPOCH)
          out.byte(QUOTE)
        },
        schemaDefault: (text) => {
          const utc = zonedText(text, undefined, fsp)
          return utc === undefined ? (nullable ? undefined : `"${EPOCH}"`) : `"${utc}"`
        },
        valueDefault: (text) => {
          const utc = zonedText(text, zone, fsp)
          return utc === undefined ? 'null' : `"${utc}"`
        },
      }
    }
    case MysqlType.Duration:
      return {
        type: 'int64',
        name: 'io.debezium.time.MicroTime',
        write: (out, value) => out.ascii(durationText(String(value)) ?? '0'),
        schemaDefault: (text) => durationText(text),
      }
    case MysqlType.Year:
      return {
        ...integer('int32'),
        name: 'io.debezium.time.Year',
        schemaDefault: (text) => {
          const year = Number(text)
          if (text === '' || !Number.isFinite(year)) return undefined
          return String(year < 70 ? year + 2000 : year < 100 ? year + 1900 : year)
        },
        valueDefault: quoted,
      }
    case MysqlType.Json:
      return { type: 'string', name: 'io.debezium.data.Json', write: writeText, schemaDefault: quoted }
    case MysqlType.VectorFloat32:
      return {
        type: 'string',
        name: 'io.debezium.data.TiDBVectorFloat32',
        version: false,
        write: (out, value) => writeText(out, value instanceof Float32Array ? vectorText(value) : String(value)),
        schemaDefault: quoted,
      }
    default:
      return type.charset === 'binary'
        ? {
            type: 'string',
            write: writeBase64,
            schemaDefault: quoted,
            valueDefault: (text) => quoted(Buffer.from(text).toString('base64')),
          }
        : { type: 'string', write: writeText, schemaDefault: quoted }
  }
}

const quoted = (text: string): string => jsonString(text, 'stream')

const integer = (type: string): Style => ({ type, write: writeInteger, schemaDefault: numberText })

/** BIGINT UNSIGNED wraps, as TiCDC writes it. */
const writeInteger: WriteValue = (out, value) => {
  if (typeof value === 'number') out.integer(value)
  else if (typeof value === 'bigint') out.integer(BigInt.asIntN(64, value))
}

const writeText: WriteValue = (out, value) => {
  out.byte(QUOTE)
  if (value instanceof Uint8Array) out.utf8(value)
  else out.text(String(value))
  out.byte(QUOTE)
}

const writeBase64: WriteValue = (out, value) => {
  out.byte(QUOTE)
  if (value instanceof Uint8Array) out.base64(value)
  out.byte(QUOTE)
}

/** As a double, and so rounded; undefined where it is no number. */
function numberText(text: string): string | undefined {
  const value = Number(text)
  return text.trim() === '' || !Number.isFinite(value) ? undefined : paddedExponent(doubleText(value))
}

function bits(length: number): Style {
  if (length === 1) {
    return {
      type: 'boolean',
      write: (out, value) => out.ascii(Number(value) === 0 ? 'false' : 'true'),
      schemaDefault: (text) => (/^\0*$/.test(text) ? 'false' : 'true'),
    }
  }
  const bytes = Math.ceil(length / 8)
  return {
    type: 'bytes',
    name: 'io.debezium.data.Bits',
    parameters: `"length":"${length}"`,
    write: (out, value) => {
      out.byte(QUOTE)
      out.base64(littleEndian(BigInt(value as number | bigint), bytes))
      out.byte(QUOTE)
    },
    schemaDefault: (text) => `"${Buffer.from(text, 'latin1').reverse().toString('base64')}"`,
  }
}

function littleEndian(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let rest = value
  for (let i = 0; i < length; i++) {
    bytes[i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return bytes
}

function setNames(elements: readonly string[], value: Exclude<Value, null>): string {
  const mask = BigInt(value as number | bigint)
  return elements.filter((_, i) => (mask & (1n << BigInt(i))) !== 0n).join(',')
}

const vectorText = (vector: Float32Array): string =>
  `[${Array.from(vector, (x) => plainDecimal(floatText(x))).join(',')}]`

const isZeroDate = (text: string): boolean => text.startsWith('0000-00-00')

const TIME = /^(\d{1,4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,6}))?)?$/

/** As TiDB prints it: all parts have their places. undefined where the text is another. */
function civilAtPlaces(text: string): CivilTime | undefined {
  const { length } = text
  if ((length !== 10 && length !== 19 && (length < 21 || length > 26)) || text.charCodeAt(4) !== 0x2d) return undefined
  const part = (at: number, to: number): number => {
    let value = 0
    for (let i = at; i < to; i++) {
      const digit = text.charCodeAt(i) - 0x30
      value = digit >= 0 && digit <= 9 ? value * 10 + digit : Number.NaN
    }
    return value
  }
  const timed = length > 10
  return {
    year: part(0, 4),
    month: part(5, 7),
    day: part(8, 10),
    hour: timed ? part(11, 13) : 0,
    minute: timed ? part(14, 16) : 0,
    second: timed ? part(17, 19) : 0,
    microsecond: length > 19 ? part(20, length) * 10 ** (26 - length) : 0,
  }
}

const isSound = ({ year, month, day, hour, minute, second, microsecond }: CivilTime): boolean =>
  year >= 100 && month >= 1 && month <= 12 && day >= 1 && hour + minute + second + microsecond >= 0

/** undefined where that day does not exist; years of two digits are of our time. */
function civilOf(text: string): CivilTime | undefined {
  const placed = civilAtPlaces(text)
  if (placed !== undefined && placed.day <= 28 && isSound(placed)) return placed
  const match = TIME.exec(text)
  if (match === null) return undefined
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map((part) => Number(part ?? 0))
  const days = [
    31,
    year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28,
    31,
    30,
    31,
    30,
    31,
    31,
    30,
    31,
    30,
    31,
  ]
  if (month < 1 || day < 1 || day > (days[month - 1] ?? 0)) return undefined
  const century = year < 70 ? 2000 : year < 100 ? 1900 : 0
  const microsecond = Number((match[7] ?? '').padEnd(6, '0'))
  return { year: year + century, month, day, hour, minute, second, microsecond }
}

function daysText(text: string): string | undefined {
  const civil = civilOf(text)
  return civil === undefined ? undefined : String(daysOf(civil.year, civil.month, civil.day))
}

function millisText(text: string): string | undefined {
  const civil = civilOf(text)
  return civil === undefined ? undefined : String(secondsOfCivil(civil) * 1000 + Math.floor(civil.microsecond / 1000))
}

function microsText(text: string): string | undefined {
  const civil = civilOf(text)
  if (civil === undefined) return undefined
  const seconds = secondsOfCivil(civil)
  if (Math.abs(seconds) < 9e9) return String(seconds * 1e6 + civil.microsecond)
  return String(BigInt(seconds) * 1_000_000n + BigInt(civil.microsecond))
}

/** `2020-02-20T10:20:20.123Z`; `zone` undefined = the text is UTC already. undefined below TIMESTAMP's least value. */
function zonedText(text: string, zone: TimeZone | undefined, fsp: number): string | undefined {
  const civil = civilOf(text)
  if (civil === undefined) return undefined
  const local = secondsOfCivil(civil)
  const seconds = zone === undefined ? local : utcOfLocal(zone, local)
  if (seconds < MIN_TIMESTAMP_SECONDS) return undefined
  const fraction = fsp === 0 ? '' : `.${String(civil.microsecond).padStart(6, '0').slice(0, fsp)}`
  const utc = seconds === local && text.length >= 19 && civil.year >= 1970 ? text : formatSeconds(seconds)
  return `${utc.slice(0, 10)}T${utc.slice(11, 19)}${fraction}Z`
}

/** Microseconds of `[-]hh:mm:ss[.f]`. */
function durationText(text: string): string | undefined {
  const match = /^(-?)(\d+):(\d{1,2}):(\d{1,2})(?:\.(\d{1,6}))?$/.exec(text)
  if (match === null) return text === '0' ? '0' : undefined
  const [, sign, hour, minute, second, fraction = ''] = match
  const micros = (Number(hour) * 3600 + Number(minute) * 60 + Number(second)) * 1e6 + Number(fraction.padEnd(6, '0'))
  return micros === 0 ? '0' : `${sign}${micros}`
}
