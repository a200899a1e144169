import { describeError } from '../../base/errors.ts'
import { Ts } from '../../tidb/ts.ts'
import { AvroReader } from '../avro-binary.ts'
import type { Fault } from '../decoded.ts'
import { DML_TYPES, PAYLOADS, ValueBranch } from './avro.ts'
import { SIMPLE_DDL_TYPES } from './ddl-type.ts'
import type { RawValue, RawValues, SimpleMessage } from './message.ts'
import type { SchemaColumn, TableSchema } from './table-schema.ts'

const MESSAGE = 11
const MESSAGE_BRANCHES = 12
const VALUE_BRANCHES = 8

/** The message of an Avro record. */
export function decodeAvroMessage(bytes: Uint8Array, fault: Fault): SimpleMessage {
  const reader = new AvroReader(bytes)
  try {
    if (reader.index(MESSAGE_BRANCHES) !== MESSAGE) throw new RangeError('it is no Message')
    reader.index(PAYLOADS.length)
    const message = readPayload(reader)
    if (reader.left > 0) throw new RangeError(`${reader.left} bytes follow it`)
    return message
  } catch (cause) {
    throw cause instanceof RangeError ? fault(describeError(cause), cause) : cause
  }
}

function readPayload(reader: AvroReader): SimpleMessage {
  const kind = PAYLOADS[reader.index(PAYLOADS.length)]
  reader.long() // version
  switch (kind) {
    case 'watermark':
      return { kind, watermarkTs: readTs(reader), buildTs: Number(reader.long()) }
    case 'bootstrap':
      return { kind, buildTs: Number(reader.long()), tableSchema: readSchema(reader) }
    case 'ddl':
      return {
        kind,
        type: SIMPLE_DDL_TYPES[reader.index(SIMPLE_DDL_TYPES.length)] ?? 'QUERY',
        query: reader.string(),
        commitTs: readTs(reader),
        buildTs: Number(reader.long()),
        tableSchema: readOptional(reader, readSchema),
        preTableSchema: readOptional(reader, readSchema),
      }
    default:
      return readRow(reader)
  }
}

function readRow(reader: AvroReader): SimpleMessage {
  const place = { schema: reader.string(), table: reader.string(), tableId: BigInt(reader.long()) }
  const type = DML_TYPES[reader.index(DML_TYPES.length)]
  const times = { commitTs: readTs(reader), buildTs: Number(reader.long()), schemaVersion: unsigned(reader.long()) }
  const claimCheckLocation = readOptional(reader, () => reader.string())
  const onlyHandleKey = readOptional(reader, () => reader.boolean()) ?? false
  const checksum = readOptional(reader, () => ({
    version: Number(reader.long()),
    corrupted: reader.boolean(),
    current: Number(reader.long()),
    previous: Number(reader.long()),
  }))
  const after = readOptional(reader, readValues) ?? new Map()
  const before = readOptional(reader, readValues) ?? new Map()
  return {
    kind: 'row',
    ...place,
    ...times,
    before: type === 'INSERT' ? undefined : before,
    after: type === 'DELETE' ? undefined : after,
    onlyHandleKey,
    claimCheckLocation,
    checksum,
  }
}

function readValues(reader: AvroReader): RawValues {
  const values = new Map<string, RawValue>()
  reader.blocks(() => values.set(reader.string(), readValue(reader)))
  return values
}

function readValue(reader: AvroReader): RawValue {
  switch (reader.index(VALUE_BRANCHES)) {
    case ValueBranch.Long:
      return reader.long()
    case ValueBranch.Float:
      return reader.float()
    case ValueBranch.Double:
      return reader.double()
    case ValueBranch.String:
      return reader.string()
    case ValueBranch.Bytes:
      return reader.bytes().slice()
    case ValueBranch.Timestamp:
      return { location: reader.string(), value: reader.string() }
    case ValueBranch.UnsignedBigint:
      return unsigned(reader.long())
    default:
      return null
  }
}

function readSchema(reader: AvroReader): TableSchema {
  return {
    schema: reader.string(),
    table: reader.string(),
    tableId: BigInt(reader.long()),
    version: unsigned(reader.long()),
    columns: readArray(reader, readColumn),
    indexes: readArray(reader, () => ({
      name: reader.string(),
      unique: reader.boolean(),
      primary: reader.boolean(),
      nullable: reader.boolean(),
      columns: readArray(reader, () => reader.string()),
    })),
  }
}

function readColumn(reader: AvroReader): SchemaColumn {
  const name = reader.string()
  const mysqlType = reader.string()
  return {
    name,
    mysqlType,
    charset: reader.string(),
    collate: reader.string(),
    length: Number(reader.long()),
    decimal: Number(readOptional(reader, () => reader.long()) ?? 0),
    elements: readOptional(reader, () => readArray(reader, () => reader.string())) ?? [],
    unsigned: readOptional(reader, () => reader.boolean()) ?? false,
    zerofill: readOptional(reader, () => reader.boolean()) ?? false,
    nullable: reader.boolean(),
    default: readOptional(reader, () => (mysqlType === 'bit' ? bitOf(reader.bytes()) : reader.string())) ?? null,
  }
}

function bitOf(bytes: Uint8Array): number | bigint {
  const value = BigInt(`0x0${Buffer.from(bytes).toString('hex')}`)
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

function readArray<T>(reader: AvroReader, read: (reader: AvroReader) => T): readonly T[] {
  const items: T[] = []
  reader.blocks(() => items.push(read(reader)))
  return items
}

const readOptional = <T>(reader: AvroReader, read: (reader: AvroReader) => T): T | undefined =>
  reader.index(2) === 0 ? undefined : read(reader)

const readTs = (reader: AvroReader): Ts => Ts(unsigned(reader.long()))

const unsigned = (value: number | bigint): bigint => BigInt.asUintN(64, BigInt(value))
