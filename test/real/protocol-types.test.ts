// One row of every column type, and one of NULLs, encoded by each protocol and read by code that others wrote.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { valueCompressor } from '../../src/codec/compress/compress.ts'
import { createProtocol } from '../../src/codec/protocols.ts'
import type { ProtocolName } from '../../src/config/sink-settings.ts'
import { type EncodedMessage, Messages } from '../../src/event/encoded.ts'
import type { Value } from '../../src/event/row-change.ts'
import { ColumnFlag, type Column } from '../../src/event/table-version.ts'
import { MysqlType } from '../../src/tidb/table-info.ts'
import { Ts } from '../../src/tidb/ts.ts'
import { allTypes } from '../support/all-types.ts'
import { codecSettings } from '../support/codec-settings.ts'
import { available as pythonAvailable } from '../support/consumer.ts'
import {
  available as readersAvailable,
  type FormatRecord,
  type ReadChange,
  readCsvFiles,
  readWithJava,
  readWithPython,
} from '../support/readers.ts'
import { requireOrSkip } from '../support/require.ts'
import type { RowText } from '../support/workload.ts'

const { table, values, texts } = allTypes()
const nulls = values.map((value, i) => (((table.columns[i]?.flags ?? 0) & ColumnFlag.Nullable) === 0 ? value : null))
const commitTs = Ts(446266400629063682n)
const rows = [
  { before: undefined, after: values },
  { before: values, after: nulls },
  { before: nulls, after: undefined },
]

function encode(protocol: ProtocolName): EncodedMessage[] {
  const base = codecSettings()
  const csv = { ...base.csv, includeCommitTs: true, outputFieldHeader: true }
  const encoder = createProtocol({ ...base, protocol, csv }, { timeZone: 'UTC' }).compile(table)
  const messages = new Messages()
  for (const row of rows) encoder.encode({ startTs: commitTs, commitTs, ...row }, 0, messages)
  encoder.flush(messages)
  return [...messages]
}

const textOf = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Buffer.from(bytes).toString('base64')
const recordsOf = (format: ProtocolName): FormatRecord[] =>
  encode(format).map(({ key, value }) => ({ format, table: 't', record: { key: textOf(key), value: textOf(value) } }))

const isBinary = ({ flags, info: { type } }: Column): boolean =>
  (flags & ColumnFlag.Binary) !== 0 && [249, 250, 251, 252, 253, 254, 15].includes(type.tp)

/** The text of a value that is not NULL, as all formats have it but for {@link SHOWN}. */
function plain({ name, info }: Column, value: Value): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString()
  if (value instanceof Float32Array) return `[${[...value].join(',')}]`
  return info.type.tp === MysqlType.Float ? (texts.get(name) ?? '') : String(value)
}

/** What a format shows otherwise; undefined = plain. */
const SHOWN: Readonly<Record<string, (column: Column, value: Value) => string | undefined>> = {
  'canal-json': (column, value) =>
    isBinary(column) && value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : undefined,
  // The reader shows quoted bytes as characters; what is printable was quoted as it is.
  'open-protocol': () => undefined,
  maxwell: base64OfBinaries,
  csv: (column, value) => base64OfBinaries(column, value) ?? elementNames(column, value),
  debezium: (column, value) => {
    const { tp } = column.info.type
    const text = String(value)
    switch (tp) {
      case MysqlType.Longlong:
        return String(BigInt.asIntN(64, BigInt(text)))
      case MysqlType.NewDecimal:
        return String(Number(text))
      case MysqlType.Date:
        return String(Date.parse(text) / 86_400_000)
      case MysqlType.Datetime:
        return String(Date.parse(`${text.replace(' ', 'T')}Z`))
      case MysqlType.Timestamp:
        return `${text.replace(' ', 'T')}Z`
      case MysqlType.Duration:
        return String((2 * 3600 + 20 * 60 + 20) * 1e6)
      case MysqlType.Bit:
        return Buffer.from([65, 0]).toString('base64')
      default:
        return base64OfBinaries(column, value) ?? elementNames(column, value)
    }
  },
}

function base64OfBinaries(column: Column, value: Value): string | undefined {
  return isBinary(column) && value instanceof Uint8Array ? Buffer.from(value).toString('base64') : undefined
}

function elementNames({ info: { type } }: Column, value: Value): string | undefined {
  if (type.tp === MysqlType.Enum) return type.elems[Number(value) - 1]
  if (type.tp === MysqlType.Set) return type.elems.filter((_, i) => (Number(value) & (1 << i)) !== 0).join(',')
  return undefined
}

function expected(format: string, side: readonly Value[]): RowText {
  return Object.fromEntries(
    table.columns.map((column, i): [string, string | null] => {
      const value = side[i] ?? null
      return [column.name, value === null ? null : (SHOWN[format]?.(column, value) ?? plain(column, value))]
    }),
  )
}

/** Types of Flink that hold the column's values. */
function flinkType({ info: { type }, flags }: Column): string {
  switch (type.tp) {
    case MysqlType.Longlong:
      return (flags & ColumnFlag.Unsigned) === 0 ? 'BIGINT' : 'DECIMAL(20,0)'
    case MysqlType.Tiny:
    case MysqlType.Short:
    case MysqlType.Int24:
    case MysqlType.Long:
    case MysqlType.Year:
    case MysqlType.Enum:
    case MysqlType.Set:
    case MysqlType.Bit:
      return 'BIGINT'
    case MysqlType.NewDecimal:
      return `DECIMAL(${type.flen},${type.decimal})`
    case MysqlType.Date:
      return 'DATE'
    default:
      return 'STRING'
  }
}

/** Changes of a row in the order of {@link rows}: what is there after each. */
function check(format: string, changes: readonly ReadChange[]): void {
  const shown = changes
    .filter((one) => one.format === format && one.kind !== '-U')
    .map(({ row }) => Object.fromEntries(Object.entries(row).filter(([name]) => !name.startsWith('__'))))
  const sides = [values, nulls, nulls].map((side) => expected(format, side))
  assert.equal(shown.length, 3)
  for (const [i, side] of sides.entries()) {
    for (const { name } of table.columns) assert.equal(shown[i]?.[name], side[name], `${format} ${i}: ${name}`)
    assert.equal(Object.keys(shown[i] ?? {}).length, table.columns.length)
  }
}

test('every column type, as others read it', async (t) => {
  if (!(await requireOrSkip(t, pythonAvailable, readersAvailable))) return
  const root = await mkdtemp(join(tmpdir(), 'tidewire-types-'))
  t.after(() => rm(root, { recursive: true }))
  const folder = join(root, 'test/t/1')
  await mkdir(folder, { recursive: true })
  const base = codecSettings()
  const csv = { ...base.csv, includeCommitTs: true, outputFieldHeader: true }
  const settings = { ...base, protocol: 'csv', csv, terminator: '\n' } as const
  const head = createProtocol(settings, { timeZone: 'UTC' }).fileHead?.(table) ?? new Uint8Array()
  const lines = encode('csv').map(({ value }) => `${Buffer.from(value ?? []).toString()}\n`)
  await writeFile(join(folder, 'CDC000001.csv'), Buffer.concat([head, Buffer.from(lines.join(''))]))
  const schema = Object.fromEntries(table.columns.map((column) => [column.name, flinkType(column)]))
  const changes = [
    ...(await readWithJava([...recordsOf('canal-json'), ...recordsOf('debezium')], { t: schema })),
    ...(await readWithPython([...recordsOf('open-protocol'), ...recordsOf('maxwell')])),
    ...(await readCsvFiles('csv', root)),
  ]
  for (const format of Object.keys(SHOWN)) check(format, changes)
  t.diagnostic(`${table.columns.length} columns in ${Object.keys(SHOWN).length} formats`)
})

/** Flink knows one document per message, and wants a deleted row in `data`, where TiCDC does not put it. */
test('maxwell, as Flink reads it: inserts and updates', async (t) => {
  if (!(await requireOrSkip(t, readersAvailable))) return
  const encoder = createProtocol(codecSettings({ protocol: 'maxwell' }), { timeZone: 'UTC' }).compile(table)
  const messages = new Messages()
  for (const row of rows.slice(0, 2)) {
    encoder.encode({ startTs: commitTs, commitTs, ...row }, 0, messages)
    encoder.flush(messages)
  }
  const records = [...messages].map(({ value }) => ({
    format: 'maxwell',
    table: 't',
    record: { key: null, value: textOf(value) },
  }))
  const schema = Object.fromEntries(table.columns.map((column) => [column.name, flinkType(column)]))
  const read = await readWithJava(records, { t: schema })
  const whole = expected('maxwell', values)
  const empty = expected('maxwell', nulls)
  assert.deepEqual(
    read.map(({ kind, row }) => [kind, row]),
    [
      ['+I', whole],
      ['-U', whole],
      ['+U', empty],
    ],
  )
})

test('what is compressed, as others read it', async (t) => {
  if (!(await requireOrSkip(t, readersAvailable))) return
  const inputs = [0, 1, 4, 13, 100, 65_535, 65_537, 4_194_304, 4_194_305].flatMap((length) => [
    Buffer.alloc(length, 'x'),
    Buffer.from(Array.from({ length }, (_, i) => (i * i * 31) >> 5)),
    Buffer.alloc(length, JSON.stringify(Object.fromEntries(texts))),
  ])
  const records = inputs.flatMap((input) =>
    (['lz4', 'snappy'] as const).map((format) => {
      const value = valueCompressor(format)?.(input) ?? input
      return { format, table: 't', record: { key: textOf(input), value: textOf(value) } }
    }),
  )
  const read = await readWithJava(records, {})
  assert.deepEqual(
    read.map(({ format, kind }) => [format, kind]),
    records.map(({ format }) => [format, 'same']),
  )
})
