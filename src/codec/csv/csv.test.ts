import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { tableAndRow, valuesByName } from '../../../test/support/arbitrary-row.ts'
import { codecSettings } from '../../../test/support/codec-settings.ts'
import { testTable } from '../../../test/support/table-version.ts'
import { CdcError } from '../../base/errors.ts'
import { doubleText, floatText, generalText, paddedExponent } from '../../base/float-text.ts'
import type { CodecSettings, CsvSettings } from '../../config/sink-settings.ts'
import { Messages } from '../../event/encoded.ts'
import type { RowChange, Value } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { encodeInt } from '../../tidb/key.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import { Ts } from '../../tidb/ts.ts'
import { JsonWriter } from '../json-text.ts'
import { csvColumns, decodeCsvFile } from './decode.ts'
import { createCsv } from './encode.ts'
import { createFieldWriter } from './field.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file = folder === undefined ? join(import.meta.dirname, 'vectors/csv.json') : join(folder, 'protocols/csv.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString('utf8')

function settings(config: Record<string, unknown> = {}): CodecSettings {
  const base = codecSettings({ protocol: 'csv' })
  const of = <T>(key: string, otherwise: T): T => (config[key] as T | undefined) ?? otherwise
  const csv: CsvSettings = {
    delimiter: of('delimiter', ','),
    quote: of('quote', '"'),
    null: of('null', '\\N'),
    includeCommitTs: of('include-commit-ts', false),
    binaryEncoding: of('binary-encoding-method', 'base64'),
    outputOldValue: of('output-old-value', false),
    outputHandleKey: of('output-handle-key', false),
    outputFieldHeader: of('output-field-header', false),
  }
  return { ...base, csv, terminator: of('terminator', '\n') }
}

function encode(table: TableVersion, row: RowChange, config: CodecSettings): string {
  const messages = new Messages()
  createCsv(config).compile(table).encode(row, 0, messages)
  return [...messages].map(({ value }) => text(value) + config.terminator).join('')
}

const counts = { rows: 0, types: 0, strings: 0, headers: 0, files: 0 }

/** Columns that hold the JSON values of a vector. */
const columnsOf = (values: readonly unknown[]): Record<string, string> =>
  Object.fromEntries(
    values.map((value, i) => [
      `c${i}`,
      typeof value === 'number' ? (Number.isInteger(value) ? 'int' : 'double') : 'text',
    ]),
  )
const valueOf = (value: unknown): Value =>
  typeof value === 'string' ? utf8(value) : typeof value === 'number' ? value : null

for (const { id, config, input, value } of vectors) {
  if (id.startsWith('csv-row-'))
    test(id, () => {
      counts.rows++
      const table = testTable({ schema: input.schema, table: input.table, columns: columnsOf(input.columns) })
      const after = input.columns.map(valueOf)
      const before = input.eventKind === 'update' ? (input.preColumns?.map(valueOf) ?? after) : undefined
      const commitTs = Ts(BigInt(input.commitTs))
      const key = input.handleKey === undefined ? {} : { key: encodeInt(BigInt(input.handleKey)) }
      assert.equal(encode(table, { startTs: Ts(1n), commitTs, before, after, ...key }, settings(config)), value)
    })
  else if (/^csv-(quote|escape)-/.test(id))
    test(id, () => {
      counts.strings++
      const out = new JsonWriter('short')
      createFieldWriter(settings(config).csv, out).text(input.string)
      assert.equal(text(out.take()), value)
    })
  else if (id.startsWith('csv-header-'))
    test(id, () => {
      counts.headers++
      const table = testTable({ columns: columnsOf([1, 2]) })
      const named = { ...table, columns: table.columns.map((c, i) => ({ ...c, name: input.columns[i] })) }
      const config1 = { ...settings(config), terminator: config.terminator }
      assert.equal(text(createCsv(config1).fileHead?.(named)), value)
    })
  else if (id.startsWith('csv-type-'))
    test(id, () => {
      counts.types++
      const { column, values } = typedColumn(input)
      const row = { startTs: Ts(1n), commitTs: Ts(1n), before: undefined, after: values }
      const line = encode(column, row, settings({ ...config, quote: '' }))
      assert.equal(line, `I,t,test,${String(value).replaceAll(',', '\\,')}\n`)
    })
  else if (id.startsWith('csv-file-'))
    test(id, () => {
      counts.files++
      const columns = { Id: 'int not null', LastName: 'varchar(20)', FirstName: 'varchar(30)', HireDate: 'date' }
      const table = testTable({ columns: { ...columns, OfficeLocation: 'varchar(20)' } })
      const rows = [...decodeCsvFile(utf8(value), csvColumns(table), settings(config))]
      const lines = value
        .trimEnd()
        .split('\n')
        .slice(config['output-field-header'] === true ? 1 : 0)
      assert.equal(rows.length, lines.length)
      assert.deepEqual(
        rows.map(({ operation }) => operation),
        lines.map((line: string) => line[1]),
      )
      assert.deepEqual([rows[0]?.commitTs, rows[0]?.values.get('Id')], [433305438660591626n, 101])
    })
  else if (id === 'csv-float-formats')
    test(id, () => {
      const { float64, float32 } = vectors.find((one: { id: string }) => one.id === id)
      for (const { in: number, percentV, jsoniter } of float64) {
        assert.equal(generalText(Number(number), doubleText(Number(number))), percentV)
        assert.equal(paddedExponent(doubleText(Number(number))), jsoniter)
      }
      for (const { in: number, percentV, jsoniter } of float32) {
        assert.equal(generalText(Number(number), floatText(Number(number))), percentV)
        assert.equal(paddedExponent(floatText(Number(number))), jsoniter)
      }
    })
  else test(id, () => assert.fail(`vector ${id} is not tested`))
}

const TYPES: Readonly<Record<string, string>> = {
  TypeTiny: 'tinyint',
  TypeShort: 'smallint',
  TypeInt24: 'mediumint',
  TypeLong: 'int',
  TypeLonglong: 'bigint',
  TypeFloat: 'float',
  TypeDouble: 'double',
  TypeBit: 'bit(16)',
  TypeNewDecimal: 'decimal(20,7)',
  TypeTinyBlob: 'tiny',
  TypeMediumBlob: 'medium',
  TypeLongBlob: 'long',
  TypeBlob: '',
  TypeVarchar: 'var',
  TypeVarString: 'var',
  TypeString: '',
  TypeJSON: 'json',
  TypeEnum: 'enum',
  TypeSet: 'set',
  TypeDate: 'date',
  TypeDatetime: 'datetime',
  TypeTimestamp: 'timestamp',
  TypeDuration: 'time',
  TypeYear: 'year',
  TypeTiDBVectorFloat32: 'vector',
}

function typedColumn(input: { mysqlType: string; flag: string | null; elements: string[] | null; value: unknown }) {
  const { mysqlType, flag, elements, value } = input
  const binary = flag === 'BinaryFlag'
  const suffix = mysqlType.endsWith('Blob')
    ? binary
      ? 'blob'
      : 'text'
    : /^Type(Varchar|VarString|String)$/.test(mysqlType)
      ? binary
        ? 'binary(20)'
        : 'char(20)'
      : elements === null
        ? ''
        : `(${elements.map((element) => `'${element}'`).join(',')})`
  const column = testTable({
    columns: { c: `${TYPES[mysqlType]}${suffix}${flag === 'UnsignedFlag' ? ' unsigned' : ''}` },
  })
  const isBytes = suffix !== '' && elements === null
  const of = (): Value => {
    if (mysqlType === 'TypeTiDBVectorFloat32') return Float32Array.from(JSON.parse(String(value)))
    return typeof value === 'number' ? value : isBytes ? utf8(String(value)) : String(value)
  }
  return { column, values: [of()] }
}

test('every vector has been tested', (t) => {
  t.diagnostic(`csv: ${vectors.length} vectors: ${JSON.stringify(counts)} and the float formats`)
  const sum = Object.values(counts).reduce((a, b) => a + b)
  assert.equal(sum + 1, vectors.length)
})

test('what is encoded decodes to the same rows, under every option', () => {
  const options = fc.record({
    delimiter: fc.constantFrom(',', ';', '|', '::', '[*]', '\t'),
    quote: fc.constantFrom('"', "'", ''),
    null: fc.constantFrom('\\N', 'NULL'),
    terminator: fc.constantFrom('\n', '\r\n'),
    'include-commit-ts': fc.boolean(),
    'binary-encoding-method': fc.constantFrom('base64', 'hex'),
    'output-old-value': fc.boolean(),
    'output-handle-key': fc.boolean(),
    'output-field-header': fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(tableAndRow, { maxLength: 3 }), options, (cases, given) => {
      // Without quotes text that says NULL cannot be told from NULL, nor a colon before a delimiter of two from one inside.
      const delimiter = given.delimiter === '::' ? ',' : given.delimiter
      const config = settings(given.quote === '' ? { ...given, null: '\\N', delimiter } : given)
      for (const { table, row } of cases) {
        if (hasInvalidEnum(table, row) || (config.csv.outputFieldHeader && /[\n\r,;|:\t[]/.test(names(table)))) continue
        const protocol = createCsv(config)
        const withKey = { ...row, key: encodeInt(-7n) }
        const bytes = utf8(text(protocol.fileHead?.(table)) + encode(table, withKey, config))
        const rows = [...decodeCsvFile(bytes, csvColumns(table), config)]
        const expected =
          row.after === undefined
            ? [['D', row.before]]
            : row.before === undefined
              ? [['I', row.after]]
              : config.csv.outputOldValue
                ? [
                    ['D', row.before],
                    ['I', row.after],
                  ]
                : [['U', row.after]]
        assert.equal(rows.length, expected.length)
        for (const [i, decoded] of rows.entries()) {
          const [operation, values] = expected[i] ?? []
          assert.deepEqual([decoded.operation, decoded.table, decoded.schema], [operation, 't', 'test'])
          assert.equal(decoded.commitTs, config.csv.includeCommitTs ? row.commitTs : undefined)
          assert.equal(decoded.handleKey, config.csv.outputHandleKey ? '-7' : undefined)
          assert.deepEqual(decoded.values, valuesByName(table, values as readonly Value[]))
        }
      }
    }),
    { numRuns: 300 },
  )
})

const names = (table: TableVersion): string => table.columns.map(({ name }) => name).join('')
const hasInvalidEnum = (table: TableVersion, { before, after }: RowChange): boolean =>
  table.columns.some(({ info }, i) => info.type.tp === MysqlType.Enum && (before?.[i] === 0 || after?.[i] === 0))

test('an ENUM without an element is refused by name', () => {
  const table = testTable({ columns: { e: "enum('a')" } })
  const row = { startTs: Ts(1n), commitTs: Ts(1n), before: undefined, after: [0] }
  assert.throws(() => encode(table, row, settings()), { code: 'CDC:ErrCSVEncodeFailed', message: /test\.t\.e/ })
})

test('whatever arrives, the error is a named one', () => {
  const table = testTable({ columns: { a: 'int', b: 'varbinary(9)', c: "set('x','y')", d: 'vector' } })
  const piece = fc.constantFrom('"', ',', '\n', '\\', 'I', 'D', 'test', '1', '\\N', 'x', 'AA==', '[1]')
  const soup = fc.array(piece, { maxLength: 40 }).map((pieces) => utf8(pieces.join('')))
  const line = fc
    .tuple(fc.constantFrom('I', 'U', 'D', 'X'), fc.array(piece, { minLength: 4, maxLength: 4 }))
    .map(([operation, values]) => utf8(`${operation},t,test,${values.join(',')}\n`))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), soup, line), fc.constantFrom('"', ''), (bytes, quote) => {
      try {
        for (const row of decodeCsvFile(bytes, csvColumns(table), settings({ quote }))) void row
      } catch (error) {
        assert.ok(error instanceof CdcError && error.code === 'CDC:ErrCSVDecodeFailed', String(error))
      }
    }),
    { numRuns: 2000 },
  )
})
