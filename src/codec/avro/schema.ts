import { CdcError } from '../../base/errors.ts'
import type { AvroSettings } from '../../config/sink-settings.ts'
import type { Value, Values } from '../../event/row-change.ts'
import { ColumnFlag, type Column, type TableVersion } from '../../event/table-version.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import type { AvroWriter } from '../avro-binary.ts'
import { jsonString } from '../json-text.ts'
import { avroType, type AvroType, type WriteAvro } from './column.ts'
import { avroName, avroNamespace } from './name.ts'

/** A record: its schema as the registry gets it, and how a row becomes one. */
export interface AvroRecord {
  readonly schema: string
  readonly write: (out: AvroWriter, values: Values) => void
}

/** A field behind the columns, of TiDB's extension; `default` is JSON text. */
export interface ExtensionField {
  readonly name: string
  readonly type: 'string' | 'long' | 'int' | 'boolean'
  readonly default: string
}

export interface RecordOptions {
  readonly settings: AvroSettings
  /** Of the changefeed. */
  readonly namespace: string
  readonly extension: readonly ExtensionField[]
}

/**
 * The record of the columns at `positions`, in that order (reference: protocols-avro-simple-debezium, A.3). Errors:
 * `CDC:ErrAvroEncodeFailed`, at once for a type that Avro does not carry and from `write` for a value that does not fit.
 */
export function compileRecord(table: TableVersion, positions: readonly number[], options: RecordOptions): AvroRecord {
  const columns = positions.flatMap((position) => {
    const column = table.columns[position]
    return column === undefined ? [] : [{ position, ...fieldOf(table, column, options.settings) }]
  })
  const fields = [
    ...columns.map(({ schema }) => schema),
    ...options.extension.map((field) => `{"default":${field.default},"name":"${field.name}","type":"${field.type}"}`),
  ]
  const name = quoted(avroName(table.table))
  const namespace = quoted(avroNamespace(options.namespace, table.schema))
  return {
    schema: `{"type":"record","name":${name},"namespace":${namespace},"fields":[${fields.join(',')}]}`,
    write(out, values) {
      for (const { position, write, name: column } of columns) {
        try {
          write(out, values[position] ?? null)
        } catch (cause) {
          throw failed(table, `column ${column} has a value that its Avro type does not take`, cause)
        }
      }
    },
  }
}

interface Field {
  readonly name: string
  readonly schema: string
  readonly write: WriteAvro
}

function fieldOf(table: TableVersion, column: Column, settings: AvroSettings): Field {
  const type = avroType(column, settings)
  if (type === undefined)
    throw failed(table, `column ${column.name} has the type ${column.info.type.tp}, which Avro messages do not carry`)
  const nullable = (column.flags & ColumnFlag.Nullable) !== 0
  const value = type.decimal === undefined ? defaultOf(column, type) : undefined
  const schema = typeText(type)
  const union = value === undefined ? `["null",${schema}]` : `[${schema},"null"]`
  const head = value === undefined ? (nullable ? '"default":null,' : '') : `"default":${value},`
  return {
    name: column.name,
    schema: `{${head}"name":${quoted(avroName(column.name))},"type":${nullable ? union : schema}}`,
    write: nullable ? writeUnion(type.write, value === undefined ? 0 : 1) : writeRequired(type.write),
  }
}

/** The current default, not the origin one, as JSON text. */
function defaultOf(column: Column, type: AvroType): string | undefined {
  const { info } = column
  if (info.type.tp === MysqlType.Bit) return info.defaultBit === null ? undefined : type.defaultText(info.defaultBit)
  return info.defaultValue === null ? undefined : type.defaultText(String(info.defaultValue))
}

function typeText({ avro, tidbType, parameters, decimal }: AvroType): string {
  const sorted = Object.entries({ ...parameters, tidb_type: tidbType }).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const members = sorted.map(([name, text]) => `${quoted(name)}:${quoted(text)}`).join(',')
  const logical =
    decimal === undefined ? '' : `,"logicalType":"decimal","precision":${decimal.precision},"scale":${decimal.scale}`
  return `{"type":"${avro}","connect.parameters":{${members}}${logical}}`
}

/** `nullBranch`: index of "null" in the union. */
function writeUnion(write: WriteAvro, nullBranch: 0 | 1): WriteAvro {
  const [isNull, isValue] = nullBranch === 0 ? [0x00, 0x02] : [0x02, 0x00]
  return (out, value) => {
    if (value === null) {
      out.byte(isNull)
    } else {
      out.byte(isValue)
      write(out, value)
    }
  }
}

const writeRequired =
  (write: WriteAvro): WriteAvro =>
  (out: AvroWriter, value: Value) => {
    if (value === null) throw new TypeError('NULL in a NOT NULL column')
    write(out, value)
  }

const quoted = (text: string): string => jsonString(text, 'short')

const failed = (table: TableVersion, problem: string, cause?: unknown): CdcError =>
  new CdcError('CDC:ErrAvroEncodeFailed', `cannot encode ${table.schema}.${table.table} to avro: ${problem}`, { cause })
