import { doubleText, floatText, plainDecimal } from '../../base/float-text.ts'
import type { AvroSettings } from '../../config/sink-settings.ts'
import type { Value } from '../../event/row-change.ts'
import { ColumnFlag, type Column } from '../../event/table-version.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import type { AvroWriter } from '../avro-binary.ts'
import { jsonString } from '../json-text.ts'
import { writeDecimal } from './decimal.ts'

/** Appends a value that is not NULL. RangeError or TypeError where it does not fit. */
export type WriteAvro = (out: AvroWriter, value: Value) => void

/** A column as Avro has it (reference: protocols-avro-simple-debezium, A.4). */
export interface AvroType {
  readonly avro: 'int' | 'long' | 'float' | 'double' | 'string' | 'bytes'
  readonly tidbType: string
  /** Further `connect.parameters`. */
  readonly parameters: Readonly<Record<string, string>>
  /** Of a precise decimal. */
  readonly decimal: { readonly precision: number; readonly scale: number } | undefined
  readonly write: WriteAvro
  /** JSON text of a default as TiDB stores it (BIT: in base64); undefined where that is no value of the type. */
  readonly defaultText: (stored: string) => string | undefined
}

const has = (column: Column, flag: number): boolean => (column.flags & flag) !== 0

/** undefined for a type that Avro does not carry. */
export function avroType(column: Column, settings: AvroSettings): AvroType | undefined {
  const { type } = column.info
  const unsigned = has(column, ColumnFlag.Unsigned)
  const plain = { parameters: {}, decimal: undefined }
  const text = { ...plain, avro: 'string', write: writeText, defaultText: quoted } as const
  switch (type.tp) {
    case MysqlType.Tiny:
    case MysqlType.Short:
    case MysqlType.Int24:
      return { ...plain, avro: 'int', tidbType: unsigned ? 'INT UNSIGNED' : 'INT', ...integer }
    case MysqlType.Long:
      return { ...plain, avro: unsigned ? 'long' : 'int', tidbType: unsigned ? 'INT UNSIGNED' : 'INT', ...integer }
    case MysqlType.Longlong:
      if (unsigned && settings.bigintUnsignedMode === 'string')
        return { ...text, tidbType: 'BIGINT UNSIGNED', write: (out, value) => out.string(String(value)) }
      return { ...plain, avro: 'long', tidbType: unsigned ? 'BIGINT UNSIGNED' : 'BIGINT', ...integer }
    case MysqlType.Year:
      return { ...plain, avro: 'int', tidbType: 'YEAR', ...integer }
    case MysqlType.Float:
      return {
        ...plain,
        avro: 'float',
        tidbType: 'FLOAT',
        write: (out, value) => out.float(Number(value)),
        defaultText: (stored) => numberText(Math.fround(Number(stored))),
      }
    case MysqlType.Double:
      return {
        ...plain,
        avro: 'double',
        tidbType: 'DOUBLE',
        write: (out, value) => out.double(Number(value)),
        defaultText: (stored) => numberText(Number(stored)),
      }
    case MysqlType.NewDecimal: {
      if (settings.decimalMode === 'string') return { ...text, tidbType: 'DECIMAL' }
      const precision = type.flen < 0 ? 10 : type.flen
      const scale = Math.max(type.decimal, 0)
      return {
        ...plain,
        avro: 'bytes',
        tidbType: 'DECIMAL',
        decimal: { precision, scale },
        write: (out, value) => writeDecimal(out, String(value), scale),
        defaultText: () => undefined,
      }
    }
    case MysqlType.Bit:
      return {
        ...plain,
        avro: 'bytes',
        tidbType: 'BIT',
        parameters: { length: String(Math.max(type.flen, 1)) },
        write: (out, value) => out.bytes(bitBytes(value)),
        defaultText: (stored) =>
          quoted(bitBytes(`0x0${Buffer.from(stored, 'base64').toString('hex')}`).toString('base64')),
      }
    case MysqlType.String:
    case MysqlType.Varchar:
    case MysqlType.VarString:
    case MysqlType.TinyBlob:
    case MysqlType.Blob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return has(column, ColumnFlag.Binary)
        ? { ...plain, avro: 'bytes', tidbType: 'BLOB', write: writeBytes, defaultText: base64Text }
        : { ...text, tidbType: 'TEXT', write: writeBytes }
    case MysqlType.Enum:
      return { ...text, tidbType: 'ENUM', parameters: allowed(type.elems), write: writeEnum(type.elems) }
    case MysqlType.Set:
      return { ...text, tidbType: 'SET', parameters: allowed(type.elems), write: writeSet(type.elems) }
    case MysqlType.Date:
    case MysqlType.NewDate:
      return { ...text, tidbType: 'DATE' }
    case MysqlType.Datetime:
      return { ...text, tidbType: 'DATETIME' }
    case MysqlType.Timestamp:
      return { ...text, tidbType: 'TIMESTAMP' }
    case MysqlType.Duration:
      return { ...text, tidbType: 'TIME' }
    case MysqlType.Json:
      return { ...text, tidbType: 'JSON' }
    case MysqlType.VectorFloat32:
      return { ...text, tidbType: 'TiDBVECTORFloat32', write: writeVector }
    default:
      return undefined
  }
}

const integer = {
  write: (out: AvroWriter, value: Value): void => {
    if (typeof value !== 'number' && typeof value !== 'bigint') throw new TypeError('not an integer')
    out.long(value)
  },
  defaultText: (stored: string): string | undefined =>
    /^-?\d+$/.test(stored) ? String(BigInt.asIntN(64, BigInt(stored))) : undefined,
}

const quoted = (text: string): string => jsonString(text, 'short')

const numberText = (value: number): string | undefined => (Number.isFinite(value) ? doubleText(value) : undefined)

/** As Go prints bytes in JSON; for Avro it is a text like any other. */
const base64Text = (stored: string): string => quoted(Buffer.from(stored).toString('base64'))

function writeText(out: AvroWriter, value: Value): void {
  if (typeof value !== 'string') throw new TypeError('not a text')
  out.string(value)
}

function writeBytes(out: AvroWriter, value: Value): void {
  if (!(value instanceof Uint8Array)) throw new TypeError('not bytes')
  out.bytes(value)
}

function writeVector(out: AvroWriter, value: Value): void {
  if (!(value instanceof Float32Array)) throw new TypeError('not a vector')
  out.string(`[${Array.from(value, (element) => plainDecimal(floatText(element))).join(',')}]`)
}

/** An index without element, the empty one 0 too, has no name: the row cannot be sent. */
function writeEnum(elements: readonly string[]): WriteAvro {
  return (out, value) => {
    const name = elements[Number(value) - 1]
    if (name === undefined) throw new RangeError(`no element has the index ${String(value)}`)
    out.string(name)
  }
}

function writeSet(elements: readonly string[]): WriteAvro {
  return (out, value) => {
    const mask = BigInt(Number(value) === value ? value : String(value))
    out.string(elements.filter((_, at) => ((mask >> BigInt(at)) & 1n) !== 0n).join(','))
  }
}

/** Elements joined by commas; a comma in a name is escaped, and quotes lose their escapes. */
const allowed = (elements: readonly string[]): Readonly<Record<string, string>> => ({
  allowed: elements.map(allowedName).join(','),
})

export const allowedName = (element: string): string =>
  element.replaceAll(',', '\\,').replaceAll("\\'", "'").replaceAll("''", "'")

/** The shortest big-endian bytes, at least one. */
function bitBytes(value: Value): Buffer {
  const hex = BigInt(String(value)).toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
}
