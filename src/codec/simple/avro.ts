import type { RowChange, Value, Values } from '../../event/row-change.ts'
import { ColumnFlag, type Column, type TableVersion } from '../../event/table-version.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import { type Ts, zeroTs } from '../../tidb/ts.ts'
import { floatText, plainDecimal } from '../../base/float-text.ts'
import { AvroWriter, prepareAvro } from '../avro-binary.ts'
import type { Stub } from '../large-message.ts'
import { valueKind } from '../value.ts'
import { SIMPLE_DDL_TYPES, simpleDdlType } from './ddl-type.ts'
import { type FormatContext, type SimpleFormat, VERSION } from './format.ts'
import { type SchemaColumn, tableSchema, type TableSchema } from './table-schema.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Branch of Message in the schema's union of all records; then its type, and the payload's branch, which is the same. */
const MESSAGE = 11
export const PAYLOADS = ['watermark', 'bootstrap', 'ddl', 'row'] as const
export const DML_TYPES = ['INSERT', 'UPDATE', 'DELETE'] as const

/** Branches of a value. */
export const ValueBranch = {
  Null: 0,
  Long: 1,
  Float: 2,
  Double: 3,
  String: 4,
  Bytes: 5,
  Timestamp: 6,
  UnsignedBigint: 7,
} as const

const [NULL, PRESENT] = [0, 1]

/** Bare Avro without header or registry; the schema is one for all (reference: protocols-avro-simple-debezium, B.6). */
export function createAvroFormat({ location, now }: FormatContext): SimpleFormat {
  const out = new AvroWriter()
  const zone = bytesOf(location)
  let lastTs = zeroTs
  let times: Uint8Array = new Uint8Array(0)
  const timesOf = (commitTs: Ts): Uint8Array => {
    if (commitTs !== lastTs) {
      lastTs = commitTs
      times = prepareAvro((writer) => {
        writer.long(commitTs)
        writer.long(now())
      })
    }
    return times
  }

  return {
    compile(table) {
      const whole = avroColumns(table, table.columns.keys().toArray(), zone)
      const handleKey = avroColumns(
        table,
        table.handleKey.toSorted((a, b) => a - b),
        zone,
      )
      const place = prepareAvro((writer) => {
        begin(writer, 'row')
        writer.long(VERSION)
        writer.string(table.schema)
        writer.string(table.table)
        writer.long(table.physicalId)
      })
      const version = prepareAvro((writer) => writer.long(table.info.updateTs))
      const write = (row: RowChange, stub: Stub | undefined): void => {
        const { before, after, checksum } = row
        out.raw(place)
        out.long(DML_TYPES.indexOf(after === undefined ? 'DELETE' : before === undefined ? 'INSERT' : 'UPDATE'))
        out.raw(timesOf(row.commitTs))
        out.raw(version)
        writeOptional(out, stub?.location, (text) => out.string(text))
        writeOptional(out, stub === undefined ? undefined : true, () => out.byte(1))
        writeOptional(out, checksum, ({ version: kind, corrupted, current, previous }) => {
          out.long(kind)
          out.byte(corrupted ? 1 : 0)
          out.long(current)
          out.long(previous)
        })
        const columns = stub === undefined ? whole : handleKey
        writeSide(out, columns, after)
        writeSide(out, columns, before)
      }
      return { write }
    },
    ddl({ type, query, commitTs, after, before }) {
      const kind = simpleDdlType(type)
      begin(out, 'ddl')
      out.long(VERSION)
      out.long(SIMPLE_DDL_TYPES.indexOf(kind))
      out.string(query)
      out.long(commitTs)
      out.long(now())
      for (const table of [after ?? (kind === 'ERASE' ? before : undefined), before])
        writeOptional(out, table, (version) => writeSchema(out, tableSchema(version)))
    },
    watermark(ts) {
      begin(out, 'watermark')
      out.long(VERSION)
      out.long(ts)
      out.long(now())
    },
    bootstrap(table) {
      begin(out, 'bootstrap')
      out.long(VERSION)
      out.long(now())
      writeSchema(out, tableSchema(table))
    },
    get length() {
      return out.length
    },
    take: () => out.take(),
    peek: () => out.peek(),
    discard: () => out.discard(),
  }
}

function begin(out: AvroWriter, payload: (typeof PAYLOADS)[number]): void {
  const index = PAYLOADS.indexOf(payload)
  out.long(MESSAGE)
  out.long(index)
  out.long(index)
}

function writeOptional<T>(out: AvroWriter, value: T | undefined, write: (value: T) => void): void {
  if (value === undefined) {
    out.long(NULL)
    return
  }
  out.long(PRESENT)
  write(value)
}

interface AvroColumn {
  readonly position: number
  /** Behind its length, as Avro has map keys. */
  readonly name: Uint8Array
  readonly write: (out: AvroWriter, value: Value) => void
}

function avroColumns(table: TableVersion, positions: readonly number[], zone: Uint8Array): readonly AvroColumn[] {
  return positions.flatMap((position) => {
    const column = table.columns[position]
    if (column === undefined) return []
    return [{ position, name: prepareAvro((out) => out.string(column.name)), write: valueWriter(column, zone) }]
  })
}

/** A map in one block, in the order of the columns. */
function writeSide(out: AvroWriter, columns: readonly AvroColumn[], values: Values | undefined): void {
  if (values === undefined || columns.length === 0) {
    out.long(NULL)
    return
  }
  out.long(PRESENT)
  out.long(columns.length)
  for (const { position, name, write } of columns) {
    out.raw(name)
    const value = values[position] ?? null
    if (value === null) out.long(ValueBranch.Null)
    else write(out, value)
  }
  out.long(0)
}

/** Of values other than NULL. */
function valueWriter(column: Column, zone: Uint8Array): AvroColumn['write'] {
  const { tp } = column.info.type
  if (tp === MysqlType.Timestamp)
    return (out, value) => {
      out.long(ValueBranch.Timestamp)
      out.bytes(zone)
      out.string(String(value))
    }
  const kind = valueKind(column)
  switch (kind) {
    case 'integer': {
      const wide = tp === MysqlType.Longlong && (column.flags & ColumnFlag.Unsigned) !== 0
      const branch = wide ? ValueBranch.UnsignedBigint : ValueBranch.Long
      return (out, value) => {
        out.long(branch)
        out.long(typeof value === 'bigint' ? value : Number(value))
      }
    }
    case 'float':
      return (out, value) => {
        out.long(ValueBranch.Float)
        out.float(Number(value))
      }
    case 'double':
      return (out, value) => {
        out.long(ValueBranch.Double)
        out.double(Number(value))
      }
    case 'vector':
      return (out, value) => {
        if (!(value instanceof Float32Array)) throw new TypeError('not a vector')
        out.long(ValueBranch.String)
        out.string(`[${Array.from(value, (element) => plainDecimal(floatText(element))).join(',')}]`)
      }
    case 'text':
    case 'utf8':
    case 'binary': {
      const branch = kind === 'binary' ? ValueBranch.Bytes : ValueBranch.String
      return (out, value) => {
        out.long(branch)
        if (value instanceof Uint8Array) out.bytes(value)
        else out.string(String(value))
      }
    }
  }
}

function writeSchema(out: AvroWriter, { schema, table, tableId, version, columns, indexes }: TableSchema): void {
  out.string(schema)
  out.string(table)
  out.long(tableId)
  out.long(version)
  writeArray(out, columns, (column) => writeColumn(out, column))
  writeArray(out, indexes, ({ name, unique, primary, nullable, columns: names }) => {
    out.string(name)
    for (const flag of [unique, primary, nullable]) out.byte(flag ? 1 : 0)
    writeArray(out, names, (column) => out.string(column))
  })
}

function writeArray<T>(out: AvroWriter, items: readonly T[], write: (item: T) => void): void {
  if (items.length > 0) out.long(items.length)
  for (const item of items) write(item)
  out.long(0)
}

/** Types whose attributes are written, also where they are false. */
const NUMERIC = new Set('tinyint smallint mediumint int bigint float double decimal bit year'.split(' '))

function writeColumn(out: AvroWriter, column: SchemaColumn): void {
  const { mysqlType, elements } = column
  const numeric = NUMERIC.has(mysqlType)
  out.string(column.name)
  out.string(mysqlType)
  out.string(column.charset)
  out.string(column.collate)
  out.long(column.length)
  writeOptional(out, mysqlType === 'decimal' ? column.decimal : undefined, (decimal) => out.long(decimal))
  writeOptional(out, elements.length === 0 ? undefined : elements, (names) =>
    writeArray(out, names, (name) => out.string(name)),
  )
  for (const flag of [column.unsigned, column.zerofill])
    writeOptional(out, numeric ? flag : undefined, (on) => out.byte(on ? 1 : 0))
  out.byte(column.nullable ? 1 : 0)
  writeOptional(out, defaultText(column), (text) => (typeof text === 'string' ? out.string(text) : out.bytes(text)))
}

/** Of a BIT the bytes of its number, as they stand in the table's definition. */
function defaultText(column: SchemaColumn): string | Uint8Array | undefined {
  if (column.default === null) return undefined
  if (column.mysqlType !== 'bit') return String(column.default)
  const bytes = Math.ceil(Math.max(column.length, 1) / 8)
  return Buffer.from(
    BigInt(column.default)
      .toString(16)
      .padStart(bytes * 2, '0'),
    'hex',
  )
}
