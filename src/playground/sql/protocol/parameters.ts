import { MysqlType } from '../../../tidb/table-info.ts'
import { SqlError } from '../error.ts'
import { Decimal } from '../value/decimal.ts'
import type { Value } from '../value/value.ts'
import { PacketReader } from './bytes.ts'

/** Type code, and whether it is unsigned. */
export interface ParameterType {
  readonly code: number
  readonly unsigned: boolean
}

export interface ExecuteRequest {
  readonly values: readonly Value[]
  /** Types as sent now, or as sent before. */
  readonly types: readonly ParameterType[]
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Parameters of COM_STMT_EXECUTE, behind its ten bytes of header. `long` holds what COM_STMT_SEND_LONG_DATA brought. */
export function readParameters(
  packet: Buffer,
  count: number,
  known: readonly ParameterType[],
  long: ReadonlyMap<number, Buffer>,
): ExecuteRequest {
  if (count === 0) return { values: [], types: [] }
  const reader = new PacketReader(packet, 10)
  const nulls = reader.bytes((count + 7) >> 3)
  const types =
    reader.u8() === 1
      ? Array.from({ length: count }, () => ({ code: reader.u8(), unsigned: (reader.u8() & 0x80) !== 0 }))
      : known
  if (types.length !== count) throw new SqlError(1210, 'Incorrect arguments to EXECUTE')
  const values = types.map((type, i): Value => {
    const data = long.get(i)
    if (data !== undefined) return textOrBytes(data, type.code)
    return ((nulls[i >> 3] ?? 0) >> (i & 7)) & 1 ? null : readValue(reader, type)
  })
  return { values, types }
}

function readValue(reader: PacketReader, { code, unsigned }: ParameterType): Value {
  const integer = (bits: number, raw: bigint): bigint => (unsigned ? raw : BigInt.asIntN(bits, raw))
  switch (code) {
    case MysqlType.Null:
      return null
    case MysqlType.Tiny:
      return integer(8, BigInt(reader.u8()))
    case MysqlType.Short:
    case MysqlType.Year:
      return integer(16, BigInt(reader.u16()))
    case MysqlType.Int24:
    case MysqlType.Long:
      return integer(32, BigInt(reader.u32()))
    case MysqlType.Longlong:
      return integer(64, reader.u64())
    case MysqlType.Float:
      return { type: 'float', value: reader.float() }
    case MysqlType.Double:
      return reader.double()
    case MysqlType.Date:
    case MysqlType.Datetime:
    case MysqlType.Timestamp:
      return readMoment(reader, code)
    case MysqlType.Duration:
      return readDuration(reader)
    case 0:
    case MysqlType.NewDecimal: {
      const text = reader.sized().toString('latin1')
      return Decimal.parse(text)?.value ?? text
    }
    default:
      return textOrBytes(reader.sized(), code)
  }
}

/** Blobs stay bytes, and so does what is not UTF-8. */
function textOrBytes(bytes: Buffer, code: number): Value {
  const isBlob =
    code === MysqlType.TinyBlob ||
    code === MysqlType.Blob ||
    code === MysqlType.MediumBlob ||
    code === MysqlType.LongBlob
  if (isBlob || code === MysqlType.Bit) return bytes
  try {
    return strictUtf8.decode(bytes)
  } catch {
    return bytes
  }
}

function readMoment(reader: PacketReader, code: number): Value {
  const length = reader.u8()
  const year = length >= 4 ? reader.u16() : 0
  const [month, day] = length >= 4 ? [reader.u8(), reader.u8()] : [0, 0]
  const [hour, minute, second] = length >= 7 ? [reader.u8(), reader.u8(), reader.u8()] : [0, 0, 0]
  const micro = length >= 11 ? reader.u32() : 0
  const fsp = micro === 0 ? 0 : 6
  return { type: code === MysqlType.Date ? 'date' : 'datetime', year, month, day, hour, minute, second, micro, fsp }
}

function readDuration(reader: PacketReader): Value {
  const length = reader.u8()
  if (length === 0) return { type: 'time', micros: 0, fsp: 0 }
  const sign = reader.u8() === 1 ? -1 : 1
  const days = reader.u32()
  const seconds = ((days * 24 + reader.u8()) * 60 + reader.u8()) * 60 + reader.u8()
  const micro = length >= 12 ? reader.u32() : 0
  return { type: 'time', micros: sign * (seconds * 1_000_000 + micro), fsp: micro === 0 ? 0 : 6 }
}
