import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { tableAndRow } from '../../../test/support/arbitrary-row.ts'
import { codecSettings } from '../../../test/support/codec-settings.ts'
import { ddlEvent } from '../../../test/support/ddl-event.ts'
import { testTable } from '../../../test/support/table-version.ts'
import { CdcError } from '../../base/errors.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import { Messages } from '../../event/encoded.ts'
import type { RowChange, Value } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { parseJson, stringifyJson, type JsonValue } from '../../tidb/json-big.ts'
import { MysqlType, type ColumnInfo } from '../../tidb/table-info.ts'
import { Ts } from '../../tidb/ts.ts'
import { decompressValue } from '../compress/compress.ts'
import { decodeDebezium } from './decode.ts'
import { createDebezium } from './encode.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file =
  folder === undefined ? join(import.meta.dirname, 'vectors/debezium.json') : join(folder, 'protocols/debezium.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const vector = (id: string) => vectors.find((one: { id: string }) => one.id === id)
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString('utf8')
const json = (bytes: Uint8Array | null | undefined): JsonValue => parseJson(text(bytes))
const empty = new Uint8Array()

const options = { timeZone: 'UTC', now: () => 1701326309000, clusterId: 'test_cluster' }

function encode(table: TableVersion, row: Partial<RowChange>, changes: Partial<CodecSettings> = {}, other = options) {
  const messages = new Messages()
  const whole = { startTs: Ts(1n), commitTs: Ts(1n), before: undefined, after: undefined, ...row }
  createDebezium(codecSettings(changes), other).compile(table).encode(whole, 0, messages)
  const [message] = messages
  assert.ok(message !== undefined && messages.length === 1)
  return message
}

const counts = { rows: 0, ddls: 0, watermarks: 0, documents: 0, schemas: 0 }

for (const { id, architecture, config, input, key, value } of vectors) {
  if (config === undefined) continue
  const settings = {
    enableTidbExtension: true,
    debezium: { disableSchema: config['debezium-disable-schema'], outputOldValue: config['output-old-value'] ?? true },
  }
  const compare = (
    message: { key: Uint8Array | null; value: Uint8Array | null } | undefined,
    expected = value,
  ): void => {
    assert.deepEqual(json(message?.key), key)
    assert.deepEqual(json(message?.value), expected)
  }
  if (/Encode(Insert|Update|Delete)/.test(id))
    test(id, () => {
      counts.rows++
      const index = { name: 'PRIMARY', primary: true, columns: ['tiny'] }
      const table =
        architecture === 'new-arch'
          ? testTable({ table: 'table1', columns: { tiny: 'tinyint primary key' } })
          : testTable({ table: 'table1', columns: { tiny: 'tinyint' }, indexes: [index] })
      const side = (row: { tiny: number } | undefined) => (row === undefined ? undefined : [row.tiny])
      const row = { before: side(input.before), after: side(input.after ?? input.row) }
      compare(encode(table, row, settings))
    })
  else if (id.includes('CheckPointEvent'))
    test(id, () => {
      counts.watermarks++
      compare(createDebezium(codecSettings(settings), options).watermark(Ts(BigInt(input.ts))))
    })
  else if (id.includes('DDLEvent'))
    test(id, () => {
      counts.ddls++
      const payload = value.payload
      const { source } = payload
      const shown = payload.tableChanges[0].table
      const length = shown?.columns[0].length
      const make = (name: string): TableVersion => {
        const table = testTable({
          table: name,
          columns: { id: `int${length > 0 ? `(${length})` : '(0)'} primary key` },
        })
        return { ...table, info: { ...table.info, charset: shown?.defaultCharsetName ?? 'utf8mb4' } }
      }
      const type = Number(/\((\d+)\)/.exec(input.action)?.[1])
      const event = ddlEvent({
        commitTs: Ts(1n),
        type,
        query: payload.ddl,
        schema: 'test',
        table: source.table,
        before: type === 3 ? undefined : make(type === 14 ? 'table1' : source.table),
        after: type === 4 ? undefined : make(source.table),
      })
      compare(createDebezium(codecSettings(settings), options).ddl(event))
    })
}

/** What Debezium's own connector wrote for a row of all types. */
test('debezium-all-types: every value and its schema as Debezium has them', () => {
  const { input, key, value, config } = vector('debezium-all-types')
  counts.rows++
  const expected = parseJson(value)
  const columns = Object.fromEntries(
    [...input.ddl.matchAll(/^ {2}(\w+)\s+([A-Z].*?),?\s*$/gm)].map(([, name, type]) => [name, type.toLowerCase()]),
  )
  assert.equal(Object.keys(columns).length, 51)
  const table = testTable({ table: 'foo', columns })
  const dates: Readonly<Record<string, string>> = {
    col_dt: '2023-11-30 12:34:56',
    col_dt_fsp_0: '2023-11-30 12:34:56',
    col_dt_fsp_1: '2023-11-30 12:34:56.1',
    col_dt_fsp_4: '2023-11-30 12:34:56.1235',
    col_t: '12:34:56',
    col_t_fsp_0: '12:34:56',
    col_t_fsp_1: '12:34:56.1',
    col_t_fsp_4: '12:34:56.1235',
    col_ts: '2023-11-30 12:34:56',
    col_ts_fsp_0: '2023-11-30 12:34:56',
    col_ts_fsp_1: '2023-11-30 12:34:56.1',
    col_ts_fsp_5: '2023-11-30 12:34:56.12346',
  }
  const literals = /VALUES \(\s*([\s\S]*?)\n\);/.exec(input.dml)?.[1]?.match(/'[^']*'|-?[\d.]+/g) ?? []
  assert.equal(literals.length, 51)
  const after = table.columns.map(({ name, info }, i) => valueOf(dates[name] ?? literals[i] ?? '', info))
  const message = encode(table, { after }, {}, { ...options, clusterId: config['cluster-id'] })
  assert.deepEqual(json(message.key), key)
  const ours = JSON.parse(stringifyJson(json(message.value)))
  const theirs = JSON.parse(stringifyJson(expected))
  for (const one of [ours, theirs]) {
    delete one.payload.source
    delete one.payload.ts_ms
  }
  assert.deepEqual(ours, theirs)
  assert.match(text(message.value), /"col_bigint":-9223372036854775808,/)
})

function valueOf(literal: string, { type }: ColumnInfo): Value {
  const plain = literal.replace(/^'|'$/g, '')
  switch (type.tp) {
    case MysqlType.Enum:
      return type.elems.indexOf(plain) + 1
    case MysqlType.Set:
      return plain
        .split(',')
        .reduce((mask, one) => (type.elems.includes(one) ? mask | (1 << type.elems.indexOf(one)) : mask), 0)
    case MysqlType.String:
    case MysqlType.Varchar:
    case MysqlType.Blob: {
      const bytes = utf8(plain)
      if (type.tp !== MysqlType.String || type.charset !== 'binary') return bytes
      const padded = new Uint8Array(type.flen)
      padded.set(bytes)
      return padded
    }
    case MysqlType.Float:
      return Math.fround(Number(plain))
    case MysqlType.Double:
      return Number(plain)
    case MysqlType.NewDecimal:
    case MysqlType.Date:
    case MysqlType.Datetime:
    case MysqlType.Timestamp:
    case MysqlType.Duration:
    case MysqlType.Json:
      return plain
    default:
      return Number.isSafeInteger(Number(plain)) ? Number(plain) : BigInt(plain)
  }
}

test('samples of the documents decode', () => {
  const message = (from: number) => [from, from + 1].map((i) => utf8(JSON.stringify(vector(`debezium-doc-${i}`).value)))
  const [ddlKey = empty, ddlValue = empty] = message(0)
  const ddl = decodeDebezium(ddlKey, ddlValue)
  assert.ok(ddl.kind === 'ddl')
  assert.deepEqual([ddl.schema, ddl.table, ddl.query], ['test', 'table1', 'RENAME TABLE test.table1 to test.table2'])
  const [rowKey = empty, rowValue = empty] = message(2)
  const row = decodeDebezium(rowKey, rowValue)
  assert.ok(row.kind === 'row')
  assert.deepEqual(
    [row.before, row.after, row.key, row.columns.get('tiny')],
    [
      new Map([['tiny', 2]]),
      new Map([['tiny', 1]]),
      new Map([['tiny', 1]]),
      { type: 'int16', name: undefined, optional: true },
    ],
  )
  counts.documents += 5
})

test('defaults are in the schema, and stand for NULL', (t) => {
  const { input, value } = vector('debezium-ddl-parse-columns')
  assert.match(input.sql, /val4 YEAR\(4\) default 1970/)
  const columns = { id: 'int primary key', val1: 'datetime', val2: 'time(2)', val3: 'timestamp(3)', val4: 'year' }
  const table = testTable({ columns })
  const infos = table.info.columns.map((info) => ({
    ...info,
    defaultValue: value[info.name.original]?.default ?? null,
  }))
  const named = {
    ...table,
    info: { ...table.info, columns: infos },
    columns: table.columns.map((column, i) => ({ ...column, info: infos[i] ?? column.info })),
  }
  const message = encode(named, { after: [1, null, null, null, null] })
  counts.schemas++
  const { payload, schema } = JSON.parse(text(message.value))
  const shown = Object.fromEntries(
    schema.fields[1].fields.map((field: { field: string; default?: unknown }) => [field.field, field.default]),
  )
  assert.deepEqual(shown, { id: undefined, val1: 0, val2: 0, val3: undefined, val4: 1970 })
  assert.deepEqual(payload.after, { id: 1, val1: null, val2: 0, val3: null, val4: '1970' })
  t.diagnostic(`debezium: ${vectors.length} vectors: ${JSON.stringify(counts)}`)
  assert.equal(
    Object.values(counts).reduce((a, b) => a + b),
    vectors.length,
  )
})

test('members stand in the order of TiCDC', () => {
  const table = testTable({ table: 't-1', columns: { id: 'int primary key', b: 'varchar(9)' } })
  const off = { debezium: { disableSchema: true, outputOldValue: true } }
  const message = encode(table, { commitTs: Ts(262144n), before: [1, utf8('<&\u2028\x08')] }, off)
  assert.equal(text(message.key), '{"payload":{"id":1}}')
  assert.equal(
    text(message.value),
    '{"payload":{"source":{"version":"2.4.0.Final","connector":"TiCDC","name":"test_cluster","ts_ms":1,"snapshot":"false",' +
      '"db":"test","table":"t-1","server_id":0,"gtid":null,"file":"","pos":0,"row":0,"thread":0,"query":null,"commit_ts":262144,' +
      '"cluster_id":"test_cluster"},"ts_ms":1701326309000,"transaction":null,"op":"d","after":null,"before":{"id":1,"b":"<&\u2028\\u0008"}}}',
  )
  const whole = text(encode(table, { after: [1, null] }).value)
  assert.match(
    whole,
    /"schema":\{"type":"struct","optional":false,"name":"test_cluster.test.t_1.Envelope","version":1,"fields":/,
  )
})

test('TIMESTAMP goes out in UTC, whatever the zone; times that do not exist are no values', () => {
  const table = testTable({ columns: { t: 'timestamp(3)', d: 'date not null', e: 'date', u: 'datetime(6)' } })
  const after = ['2024-03-10 03:00:00.120', '2024-02-30', '0000-00-00', '1969-12-31 23:59:59.000001']
  const message = encode(table, { after }, {}, { ...options, timeZone: 'America/New_York' })
  assert.deepEqual(JSON.parse(text(message.value)).payload.after, {
    t: '2024-03-10T07:00:00.120Z',
    d: 0,
    e: null,
    u: -999999,
  })
})

test('times of every form, at the ends of their ranges', () => {
  const columns = {
    a: 'datetime(6)',
    b: 'datetime(2)',
    c: 'datetime(6)',
    d: 'date',
    e: 'date',
    f: 'timestamp(6)',
    g: 'time(6)',
  }
  const after = [
    '9999-12-31 23:59:59.999999',
    '1000-01-29 00:00:00.05',
    '2254-12-31 23:59:59.000001',
    '0001-01-01',
    '2024-02-29',
    '2038-01-19 03:14:07.999999',
    '-838:59:59.000000',
  ]
  const { value } = encode(testTable({ columns }), { after })
  const row = decodeDebezium(utf8('{"payload":{}}'), value ?? empty)
  assert.ok(row.kind === 'row')
  assert.deepEqual(
    [...(row.after ?? [])],
    [
      ['a', 253402300799999999n],
      ['b', Date.UTC(1000, 0, 29) + 50],
      ['c', Date.UTC(2254, 11, 31, 23, 59, 59) * 1000 + 1],
      ['d', Date.UTC(2001, 0, 1) / 86_400_000],
      ['e', Date.UTC(2024, 1, 29) / 86_400_000],
      ['f', '2038-01-19T03:14:07.999999Z'],
      ['g', -3020399000000],
    ],
  )
})

test('without the extension there are rows alone, as in TiCDC v8.5', () => {
  const protocol = createDebezium(codecSettings(), options)
  assert.equal(protocol.watermark(Ts(1n)), undefined)
  assert.equal(protocol.ddl(ddlEvent({ type: 3, schema: 'a', table: 'b' })), undefined)
})

test('what is encoded decodes to the same rows; compressed or not', () => {
  const compressions = fc.constantFrom('none' as const, 'lz4' as const, 'snappy' as const)
  fc.assert(
    fc.property(tableAndRow, compressions, fc.boolean(), ({ table, row }, compression, disableSchema) => {
      const message = encode(table, row, {
        largeMessages: { compression, handling: { option: 'none' } },
        debezium: { disableSchema, outputOldValue: true },
      })
      const plain = (bytes: Uint8Array | null): Uint8Array => decompressValue(compression, bytes ?? empty)
      const event = decodeDebezium(plain(message.key), plain(message.value))
      assert.ok(event.kind === 'row')
      assert.deepEqual([event.schema, event.table, event.commitTs], ['test', 't', row.commitTs])
      assert.equal(event.columns.size, disableSchema ? 0 : table.columns.length)
      for (const [side, values] of [
        [event.before, row.before],
        [event.after, row.after],
      ] as const) {
        assert.equal(side === undefined, values === undefined)
        for (const [i, { name, info }] of table.columns.entries()) {
          const [actual, value] = [side?.get(name), values?.[i]]
          if (side === undefined || value === undefined) continue
          if (value === null) assert.equal(actual, null)
          else if (value instanceof Uint8Array)
            assert.equal(actual, info.type.charset === 'binary' ? Buffer.from(value).toString('base64') : text(value))
          else if (info.type.tp === MysqlType.Float) assert.equal(Math.fround(Number(actual)), value)
          else if (info.type.tp === MysqlType.Json) assert.equal(actual, value)
          else if (info.type.tp === MysqlType.Longlong)
            assert.equal(
              BigInt.asIntN(64, BigInt(stringifyJson(actual ?? null))),
              BigInt.asIntN(64, BigInt(String(value))),
            )
        }
      }
    }),
    { numRuns: 200 },
  )
})

test('whatever arrives, the error is a named one', () => {
  const table = testTable({ columns: { id: 'int primary key' } })
  const message = encode(table, { before: [1], after: [1] })
  const document = JSON.parse(text(message.value))
  const garbled = (members: Record<string, unknown>) => {
    const change = fc.dictionary(fc.constantFrom(...Object.keys(members)), fc.jsonValue())
    return change.map((changes) => ({ ...members, ...changes }))
  }
  const value = fc.oneof(
    fc.uint8Array(),
    fc.json().map(utf8),
    fc
      .tuple(garbled(document.payload), garbled(document.payload.source), garbled(document.schema))
      .map(([payload, source, schema]) => utf8(JSON.stringify({ payload: { ...payload, source }, schema }))),
  )
  fc.assert(
    fc.property(fc.oneof(fc.constant(message.key ?? empty), fc.uint8Array()), value, (key, bytes) => {
      try {
        decodeDebezium(key, bytes)
      } catch (error) {
        assert.ok(error instanceof CdcError && error.code === 'CDC:ErrDebeziumInvalidMessage', String(error))
      }
    }),
    { numRuns: 1000 },
  )
})
