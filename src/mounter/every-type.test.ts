// Every column type in every row format, from stored bytes to the messages that users read: through the mounter, canal-json
// and open-protocol (references: tidb-storage, sections 3 to 7; protocols, section 2; protocols-json, the tables by type).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { codecSettings } from '../../test/support/codec-settings.ts'
import { columnInfo, fieldType, indexInfo, tableInfo } from '../../test/support/field-type.ts'
import { createProtocol } from '../codec/protocols.ts'
import type { ProtocolName } from '../config/sink-settings.ts'
import { type EncodedMessage, Messages } from '../event/encoded.ts'
import type { RowChange } from '../event/row-change.ts'
import type { TableVersion } from '../event/table-version.ts'
import { wrapTable } from '../event/wrap-table.ts'
import { intHandle, recordKey } from '../tidb/key.ts'
import { columnChecksum, rawRowChecksum, readRowChecksum } from '../tidb/row-checksum.ts'
import { encodeRow, encodeRowV1 } from '../tidb/row-encoder.ts'
import { encodeHandle, encodeTableRow } from '../tidb/table-codec.ts'
import { type ColumnInfo, FieldFlag, type FieldType, MysqlType } from '../tidb/table-info.ts'
import { openTimeZone, utcZone } from '../tidb/time-zone.ts'
import { Ts } from '../tidb/ts.ts'
import type { Value } from '../tidb/value.ts'
import { compileMounter } from './mounter.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

/** Type code and flags of a nullable column, as open-protocol shows them. */
type OpenType = readonly [t: number, f: number]

interface Case {
  readonly type: string
  readonly value: Exclude<Value, null>
  /** Text in canal-json; of values that print as themselves when absent. */
  readonly canal?: string
  /** Value in open-protocol; what canal-json has when absent. */
  readonly open?: unknown
  readonly is: OpenType
  readonly change?: Partial<FieldType>
}

const cases: Case[] = []
const add = (type: string, is: OpenType, ...values: readonly (Case['value'] | Omit<Case, 'type' | 'is'>)[]): void => {
  for (const one of values) {
    const isCase = typeof one === 'object' && 'value' in one
    cases.push(isCase ? { type, is, ...one } : { type, is, value: one })
  }
}
const U64 = 18_446_744_073_709_551_615n
const I64 = 9_223_372_036_854_775_807n

for (const [type, code, bits] of [
  ['tinyint', 1, 8n],
  ['smallint', 2, 16n],
  ['mediumint', 9, 24n],
  ['int', 3, 32n],
] as const) {
  const half = 2 ** Number(bits - 1n)
  add(type, [code, 65], -half, -1, 0, 1, half - 1)
  add(`${type} unsigned`, [code, 193], 0, half - 1, half, 2 * half - 1)
}
add('bigint', [8, 65], -I64 - 1n, -1, 0, 9_007_199_254_740_993n, I64)
add('bigint unsigned', [8, 193], 0, I64, I64 + 1n, U64)
add('year', [13, 193], 0, 1901, 2026, 2155)
for (let width = 1; width <= 64; width++)
  add(`bit(${width})`, [16, 193], width < 54 ? 2 ** width - 1 : (1n << BigInt(width)) - 1n)
add('bit(64)', [16, 193], 0, 1n << 63n)

add('float', [4, 65], {
  value: Math.fround(3.4028235e38),
  canal: '340282350000000000000000000000000000000',
  open: 3.4028235e38,
})
add('float', [4, 65], { value: Math.fround(0.1), canal: '0.1', open: 0.1 }, { value: 16_777_216, open: 16_777_216 })
add('float', [4, 65], { value: Math.fround(1e-40), canal: `0.${'0'.repeat(39)}1`, open: 1e-40 })
add(
  'double',
  [5, 65],
  { value: 1e21, canal: `1${'0'.repeat(21)}`, open: 1e21 },
  { value: 5e-324, canal: `0.${'0'.repeat(323)}5`, open: 5e-324 },
)
add('double', [5, 65], -1.5, 0, 123456.789, {
  value: 1.7976931348623157e308,
  canal: `17976931348623157${'0'.repeat(292)}`,
})

for (const [precision, scale] of [
  [1, 0],
  [9, 9],
  [10, 2],
  [18, 9],
  [19, 0],
  [30, 30],
  [38, 12],
  [65, 0],
  [65, 30],
] as const) {
  const whole = precision - scale === 0 ? '0' : '9'.repeat(precision - scale)
  const most = scale === 0 ? whole : `${whole}.${'9'.repeat(scale)}`
  const zero = scale === 0 ? '0' : `0.${'0'.repeat(scale)}`
  for (const value of [most, `-${most}`, zero]) add(`decimal(${precision},${scale})`, [246, 65], { value, open: value })
}
add('decimal(10,3) unsigned', [246, 193], { value: '12.300', open: '12.300' })

const text = (value: string): Omit<Case, 'type' | 'is'> => ({ value, open: value })
add('date', [10, 65], ...['0000-00-00', '2024-02-29', '2017-00-00', '2027-04-31', '9999-12-31', '0001-01-01'].map(text))
for (let fsp = 0; fsp <= 6; fsp++) {
  const tail = fsp === 0 ? '' : `.${'123456'.slice(0, fsp)}`
  const zeros = fsp === 0 ? '' : `.${'0'.repeat(fsp)}`
  const times = [`0000-00-00 00:00:00${zeros}`, `2027-04-31 23:59:59${tail}`, `1000-01-01 00:00:00${zeros}`].map(text)
  add(`datetime(${fsp})`, [12, 65], ...times)
  add(
    `timestamp(${fsp})`,
    [7, 65],
    text(`0000-00-00 00:00:00${zeros}`),
    text(`2026-07-01 12:34:56${tail}`),
    text(`1970-01-01 00:00:01${zeros}`),
  )
  add(
    `time(${fsp})`,
    [11, 65],
    text(`-838:59:59${zeros}`),
    text(`838:59:59${zeros}`),
    text(`-00:00:01${tail}`),
    text(`00:00:00${zeros}`),
    text(`24:00:00${tail}`),
  )
}

add('enum(a,b,ümlaut)', [247, 64], 1, 3, 0)
add('set(a,b,c)', [248, 64], 0, 1, 5, 7)
add(`set(${Array.from({ length: 64 }, (_, i) => `e${i}`).join()})`, [248, 64], U64, 1n << 63n)
for (const json of [
  'null',
  'true',
  '-1',
  String(U64),
  '1.5',
  '"text \\" \\\\ \\n 😀"',
  '[]',
  '{}',
  '{"a": {"b": [1, [2, {"c": null}]]}}',
  `${'['.repeat(50)}${']'.repeat(50)}`,
])
  add('json', [245, 65], text(json))
add(
  'vector',
  [225, 65],
  { value: Float32Array.of(1, -2.5, 0.1), canal: '[1,-2.5,0.1]' },
  { value: new Float32Array(0), canal: '[]' },
)

const CHARSETS: readonly (readonly [charset: string, collate: string])[] = [
  ['utf8mb4', 'utf8mb4_bin'],
  ['utf8mb4', 'utf8mb4_general_ci'],
  ['utf8mb4', 'utf8mb4_unicode_ci'],
  ['utf8mb4', 'utf8mb4_0900_ai_ci'],
  ['utf8mb4', 'utf8mb4_0900_bin'],
  ['utf8', 'utf8_bin'],
  ['utf8', 'utf8_general_ci'],
  ['ascii', 'ascii_bin'],
  ['latin1', 'latin1_bin'],
  ['gbk', 'gbk_chinese_ci'],
  ['gbk', 'gbk_bin'],
  ['gb18030', 'gb18030_chinese_ci'],
  ['gb18030', 'gb18030_bin'],
]
const SAMPLES: Readonly<Record<string, string>> = {
  ascii: 'plain "text"',
  latin1: 'Käse',
  gbk: '中文',
  gb18030: '中文😀',
}
const TEXTS = [
  ['char(20)', 254, MysqlType.String],
  ['varchar(20)', 15, MysqlType.Varchar],
  ['text', 249, MysqlType.TinyBlob],
  ['text', 252, MysqlType.Blob],
  ['text', 250, MysqlType.MediumBlob],
  ['text', 251, MysqlType.LongBlob],
] as const
for (const [charset, collate] of CHARSETS)
  for (const [type, code, tp] of TEXTS)
    for (const sample of [SAMPLES[charset] ?? 'Zürich 漢字 😀', '']) {
      const open = type === 'text' ? Buffer.from(sample).toString('base64') : sample
      cases.push({ type, value: utf8(sample), canal: sample, open, is: [code, 64], change: { tp, charset, collate } })
    }
const RAW = bytes(0, 0xff, 0x41, 0x80)
for (const [type, code, tp] of [
  ['binary(4)', 254, MysqlType.String],
  ['varbinary(9)', 15, MysqlType.Varchar],
] as const)
  add(type, [code, 65], { value: RAW, canal: '\0ÿA\u0080', open: '\\x00\\xffA\\x80', change: { tp } })
for (const tp of [MysqlType.TinyBlob, MysqlType.Blob, MysqlType.MediumBlob, MysqlType.LongBlob])
  add('blob', [tp, 65], { value: RAW, canal: '\0ÿA\u0080', open: 'AP9BgA==', change: { tp } })

const typeOf = ({ type, change }: Case): FieldType => ({ ...fieldType(type), ...change })
/** The JSON of a message, integers beyond 2^53 as bigint; `from` is where it begins. */
function json(message: EncodedMessage | undefined, from = 0): { data?: unknown; u?: Record<string, unknown> } {
  const text = new TextDecoder().decode(message?.value?.subarray(from))
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
      ? BigInt(context?.source ?? '')
      : value,
  )
}

function messageOf(protocol: ProtocolName, table: TableVersion, row: RowChange): EncodedMessage | undefined {
  const out = new Messages()
  const encoder = createProtocol(codecSettings({ protocol }), { timeZone: 'UTC' }).compile(table)
  encoder.encode(row, 0, out)
  encoder.flush(out)
  return out.at(0)
}

/** The row with a checksum of a version; version 0 is over the columns, the others over the bytes. */
function withChecksum(row: Uint8Array, key: Uint8Array, version: number, columns: number): Uint8Array {
  const head = bytes(version, 0, 0, 0, 0)
  const value = new Uint8Array([...row, ...head])
  value[1] = (value[1] ?? 0) | 2
  const section = readRowChecksum(value)
  assert.ok(section)
  const checksum = version === 0 ? columns : rawRowChecksum(value, key, section)
  new DataView(value.buffer).setUint32(section.offset + 1, checksum, true)
  return value
}

const key = recordKey(100n, intHandle(7n))
const ts = { startTs: Ts(1n), commitTs: Ts(2n) }
const ZONE = 'Asia/Shanghai'

for (const one of cases) {
  const type = typeOf(one)
  const name = `${one.type} ${type.charset === 'binary' ? '' : `${type.collate} `}${String(one.value).slice(0, 60)}`
  test(`${name}: from every row format to canal-json and open-protocol`, () => {
    const columns = [
      { ...columnInfo(1, 'id', 'bigint primary') },
      { ...columnInfo(2, 'c', 'int'), type },
      { ...columnInfo(3, 'n', 'int'), type },
      { ...columnInfo(4, 'gone', 'int'), type },
    ]
    const table = wrapTable(tableInfo({}, { columns, pkIsHandle: true }), 'test', Ts(1n), 100n)
    const zone = openTimeZone(ZONE)
    const stored = [
      { id: 2, type, value: one.value },
      { id: 3, type, value: null },
      { id: 300, type: fieldType('int'), value: 1 },
    ]
    const v2 = encodeRow(stored.slice(0, 2), zone)
    const sum = columnChecksum(columns, [7, one.value, null, null])
    const formats = {
      v1: encodeRowV1(stored, zone),
      v2,
      'v2 large': encodeRow(stored, zone),
      'v2 checksum 0': withChecksum(v2, key, 0, sum),
      'v2 checksum 1': withChecksum(v2, key, 1, sum),
      'v2 checksum 2': withChecksum(v2, key, 2, sum),
    }
    const mount = compileMounter(table, { timeZone: ZONE })
    for (const [format, value] of Object.entries(formats)) {
      const row = mount({ ...ts, key, value, oldValue: value })
      assert.deepEqual(row.after, [7, one.value, null, null], format)
      assert.deepEqual(row.before, row.after, format)
    }
    const row = mount({ ...ts, key, value: v2, oldValue: undefined })
    const plain = one.canal ?? String(one.value)
    const canal = json(messageOf('canal-json', table, row))
    assert.deepEqual(canal.data, [{ id: '7', c: plain, n: null, gone: null }])
    const open = json(messageOf('open-protocol', table, row), 8)
    const number = typeof one.value === 'number' || typeof one.value === 'bigint'
    const [t, f] = one.is
    const { c, n } = open.u ?? {}
    assert.deepEqual(c, { t, f, v: one.open ?? (number ? one.value : plain) })
    assert.deepEqual(n, { t, f, v: null })
  })
}

test(`types × values × formats: ${cases.length} cases in 6 row formats`, () => assert.ok(cases.length > 400))

test('checksum 1 is over the raw key, checksum 2 over the handle alone', () => {
  const row = encodeRow([{ id: 2, type: fieldType('int'), value: 5 }])
  for (const [version, over] of [
    [1, key],
    [2, key.subarray(11)],
  ] as const) {
    const value = withChecksum(row, key, version, 0)
    const section = readRowChecksum(value)
    assert.equal(
      section?.checksum,
      crc32(over, crc32(value.subarray(0, section?.offset === undefined ? 0 : section.offset + 1))),
    )
  }
})

/** Origin default as the meta stores it → value of a row that was written before ADD COLUMN. */
const ORIGIN_DEFAULTS: readonly (readonly [
  type: string,
  origin: string | number,
  value: Value,
  change?: Partial<ColumnInfo>,
])[] = [
  ['tinyint not null', '-128', -128],
  ['smallint unsigned not null', '65535', 65_535],
  ['mediumint', '7', 7],
  ['int not null', 7, 7],
  ['bigint', '-9223372036854775808', -I64 - 1n],
  ['bigint unsigned', '18446744073709551615', U64],
  ['year', '2024', 2024],
  ['year', '0', 0],
  ['float', '3.14', Math.fround(3.14)],
  ['double', 2.5, 2.5],
  ['decimal(10,4)', '1.5', '1.5000'],
  ['decimal(65,30)', '-0.000000000000000000000000000001', '-0.000000000000000000000000000001'],
  ['date', '2024-02-29', '2024-02-29'],
  ['date', '0000-00-00', '0000-00-00'],
  ['datetime(3)', '2024-02-29 01:02:03.4', '2024-02-29 01:02:03.400'],
  ['timestamp', '2024-02-29 01:02:03', '2024-02-29 09:02:03'],
  ['timestamp(6)', '2024-02-29 23:00:00.000001', '2024-03-01 07:00:00.000001'],
  ['timestamp', '0000-00-00 00:00:00', '0000-00-00 00:00:00'],
  ['time(2)', '-100:00:01.5', '-100:00:01.50'],
  ['char(5)', 'ab', utf8('ab')],
  ['varchar(9)', '漢字 😀', utf8('漢字 😀')],
  ['varchar(9)', '', utf8('')],
  ['binary(4)', 'ab', bytes(0x61, 0x62, 0, 0)],
  ['varbinary(4)', 'ab', utf8('ab')],
  ['enum(a,b,c)', 'b', 2],
  ['set(a,b,c)', 'a,c', 5],
  ['set(a,b,c)', '', 0],
  ['json', '{"a":[1,2]}', '{"a": [1, 2]}'],
  ['vector', '[1,2.5]', Float32Array.of(1, 2.5)],
  ['bit(10)', '', 513, { originDefaultBit: 'AgE=' }],
  ['bit(64)', '', U64, { originDefaultBit: '//////////8=' }],
]

/** Zero values of NOT NULL columns without an origin default. */
const ZERO_VALUES: readonly (readonly [type: string, value: Value])[] = [
  ['tinyint', 0],
  ['bigint unsigned', 0],
  ['float', 0],
  ['double', 0],
  ['decimal(10,2)', '0'],
  ['date', '0000-00-00'],
  ['datetime(6)', '0000-00-00 00:00:00'],
  ['timestamp(3)', '0000-00-00 00:00:00'],
  ['time(4)', '00:00:00'],
  ['year', 0],
  ['char(5)', bytes()],
  ['binary(5)', bytes()],
  ['varchar(5)', bytes()],
  ['text', bytes()],
  ['blob', bytes()],
  ['bit(5)', 0],
  ['enum(a,b)', 1],
  ['set(a,b)', 0],
  ['json', 'null'],
  ['vector', null],
]

/** What the mounter makes of a row that stores nothing, with one column besides the key. */
function absent(column: ColumnInfo): Value | undefined {
  const columns = [columnInfo(1, 'id', 'bigint primary'), column]
  const table = wrapTable(tableInfo({}, { columns, pkIsHandle: true }), 'test', Ts(1n), 100n)
  const mount = compileMounter(table, { timeZone: ZONE })
  const [v1, v2] = [Uint8Array.of(0), encodeRow([])].map(
    (value) => mount({ ...ts, key, value, oldValue: undefined }).after?.[1],
  )
  assert.deepEqual(v1, v2)
  return v2
}

for (const [type, origin, value, change] of ORIGIN_DEFAULTS)
  test(`a row older than its ${type} column has the origin default ${JSON.stringify(origin)}`, () =>
    assert.deepEqual(
      absent({ ...columnInfo(2, 'c', type, { originDefault: origin, defaultValue: 'other' }), ...change }),
      value,
    ))

for (const [type, value] of ZERO_VALUES) {
  test(`a row older than its NOT NULL ${type} column without origin default has the zero value`, () =>
    assert.deepEqual(absent(columnInfo(2, 'c', `${type} not null`)), value))
  test(`a row older than its nullable ${type} column has NULL, whatever the default is now`, () =>
    assert.equal(absent(columnInfo(2, 'c', type, { defaultValue: '1' })), null))
}

test('virtual, hidden and non-public columns are in no row; stored generated ones are, and flagged', () => {
  const columns = [
    columnInfo(1, 'id', 'bigint primary'),
    columnInfo(2, 'virtual', 'int', { generatedExpr: '`id` + 1' }),
    columnInfo(3, 'kept', 'int', { generatedExpr: '`id` + 2', generatedStored: true }),
    columnInfo(4, '_V$_e_0', 'int', { generatedExpr: 'lower(`x`)', hidden: true }),
    columnInfo(5, '_Col$_c_0', 'int', { state: 2 }),
    columnInfo(6, 'last', 'int'),
  ]
  const table = wrapTable(tableInfo({}, { columns, pkIsHandle: true }), 'test', Ts(1n), 100n)
  const value = encodeRow([3, 5, 6].map((id) => ({ id, type: fieldType('int'), value: id * 10 })))
  const row = compileMounter(table, { timeZone: 'UTC' })({ ...ts, key, value, oldValue: undefined })
  assert.deepEqual(row.after, [7, 30, 60])
  const open = json(messageOf('open-protocol', table, row), 8)
  assert.deepEqual(open.u, {
    id: { t: 8, h: true, f: 11, v: 7 },
    kept: { t: 3, f: 69, v: 30 },
    last: { t: 3, f: 65, v: 60 },
  })
})

/** Key columns of clustered primary keys, with a value of each. */
const KEYS: readonly (readonly [type: string, value: Value, change?: Partial<FieldType>])[] = [
  ['bigint', -5],
  ['bigint unsigned', U64],
  ['decimal(20,5)', '-12.30000'],
  ['date', '2024-02-29'],
  ['datetime(3)', '2024-02-29 01:02:03.456'],
  ['timestamp(6)', '2024-02-29 01:02:03.456789'],
  ['time(2)', '-100:00:01.50'],
  ['year', 2026],
  ['enum(a,b,c)', 3],
  ['set(a,b,c)', 5],
  ['bit(40)', 2 ** 40 - 1],
  ['double', -1.5],
  ['float', Math.fround(0.1)],
  ['varbinary(20)', RAW],
  ['binary(4)', RAW],
  ...CHARSETS.flatMap(([charset, collate]) =>
    (['char(20)', 'varchar(20)'] as const).map(
      (type) => [type, utf8(`${SAMPLES[charset] ?? 'Käse ß'}`), { charset, collate }] as const,
    ),
  ),
]

for (const [type, value, change] of KEYS)
  for (const length of [-1, 2]) {
    const keyType = { ...fieldType(`${type} not null`), ...change }
    const isText = value instanceof Uint8Array
    if (length > 0 && !isText) continue
    test(`clustered key (${type}${length > 0 ? `, prefix ${length}` : ''}${change === undefined ? '' : ` ${change.collate}`}, int) gives its columns back`, () => {
      const flag = keyType.flag | FieldFlag.PriKey
      const info = tableInfo(
        {},
        {
          columns: [
            { ...columnInfo(1, 'a', 'int'), type: { ...keyType, flag } },
            columnInfo(2, 'b', 'int primary'),
            columnInfo(3, 'c', 'varchar(9)'),
          ],
          isCommonHandle: true,
          commonHandleVersion: 1,
          indexes: [
            indexInfo(1, 'PRIMARY', [], {
              primary: true,
              unique: true,
              columns: [
                { name: { original: 'a', lower: 'a' }, offset: 0, length },
                { name: { original: 'b', lower: 'b' }, offset: 1, length: -1 },
              ],
            }),
          ],
        },
      )
      const row = [value, 9, utf8('x')]
      const rowKey = recordKey(100n, encodeHandle(info, row, 0n, utcZone))
      const table = wrapTable(info, 'test', Ts(1n), 100n)
      const mount = compileMounter(table, { timeZone: 'UTC' })
      const stored = encodeTableRow(info, row, utcZone)
      const inserted = mount({ ...ts, key: rowKey, value: stored, oldValue: undefined })
      assert.deepEqual(inserted.after, row)
      const deleted = mount({ ...ts, key: rowKey, value: undefined, oldValue: stored })
      assert.deepEqual(deleted.before, row)
      assert.deepEqual(
        table.handleKey.map((at) => table.columns[at]?.name),
        ['a', 'b'],
      )
    })
  }

test('a text key whose value is not in the row comes from the key: what clusters without new collations write', () => {
  const info = tableInfo(
    { a: 'varchar(20) primary', b: 'int' },
    { isCommonHandle: true, indexes: [indexInfo(1, 'PRIMARY', [0], { primary: true, unique: true })] },
  )
  const table = wrapTable(info, 'test', Ts(1n), 100n)
  const rowKey = recordKey(100n, encodeHandle(info, [utf8('Key'), 1], 0n, utcZone))
  const value = encodeRow([{ id: 2, type: fieldType('int'), value: 1 }])
  const row = compileMounter(table, { timeZone: 'UTC' })({ ...ts, key: rowKey, value, oldValue: undefined })
  assert.deepEqual(row.after, [utf8('Key'), 1])
})

for (const [name, info] of [
  ['_tidb_rowid', tableInfo({ id: 'int', v: 'int' })],
  [
    '_tidb_rowid with a unique key',
    tableInfo({ id: 'int not null', v: 'int' }, { indexes: [indexInfo(1, 'u', [0], { unique: true })] }),
  ],
] as const)
  test(`${name}: the handle is no column, whatever its bits say (SHARD_ROW_ID_BITS)`, () => {
    const table = wrapTable(info, 'test', Ts(1n), 100n)
    const rowKey = recordKey(100n, intHandle((5n << 59n) | 3n))
    const value = encodeRow(info.columns.map(({ id, type }) => ({ id, type, value: id })))
    const row = compileMounter(table, { timeZone: 'UTC' })({ ...ts, key: rowKey, value, oldValue: undefined })
    assert.deepEqual(row.after, [1, 2])
  })

test('rows of a partition are those of the table, under the id of the partition', () => {
  const info = tableInfo(
    { id: 'bigint primary', v: 'int' },
    { pkIsHandle: true, partitions: [201n, 202n].map((id) => ({ id, name: { original: `p${id}`, lower: `p${id}` } })) },
  )
  const value = encodeRow([{ id: 2, type: fieldType('int'), value: 1 }])
  for (const physicalId of [201n, 202n]) {
    const table = wrapTable(info, 'test', Ts(1n), physicalId)
    const row = compileMounter(table, { timeZone: 'UTC' })({
      ...ts,
      key: recordKey(physicalId, intHandle(3n)),
      value,
      oldValue: undefined,
    })
    assert.deepEqual([row.after, table.table, table.physicalId], [[3, 1], 't', physicalId])
  }
})

for (const [name, type, value, column] of [
  ['an integer of 3 bytes', 'int', [1, 2, 3], 'c'],
  ['a double of 4 bytes', 'double', [1, 2, 3, 4], 'c'],
  ['a decimal cut short', 'decimal(10,2)', [10, 2, 0x80], 'c'],
  ['a set beyond its elements', 'set(a,b)', [4], 'c'],
  ['JSON of an unknown type', 'json', [0x77, 0], 'c'],
  ['a vector that says more than it has', 'vector', [9, 0, 0, 0, 1, 1, 1, 1], 'c'],
] as const)
  test(`${name} is refused, and table, key, column and commitTs are named`, () => {
    const columns = [columnInfo(1, 'id', 'bigint primary'), columnInfo(2, column, type)]
    const table = wrapTable(tableInfo({}, { columns, pkIsHandle: true }), 'test', Ts(1n), 100n)
    const row = bytes(128, 0, 1, 0, 0, 0, 2, value.length, 0, ...value)
    assert.throws(
      () => compileMounter(table, { timeZone: 'UTC' })({ ...ts, key, value: row, oldValue: undefined }),
      (error: Error & { code?: string }) =>
        error.code === 'CDC:ErrDecodeRowToDatum' &&
        ['`test`.`t`', 'physical table 100', Buffer.from(key).toString('hex'), 'commitTs 2', 'column c'].every((part) =>
          error.message.includes(part),
        ),
    )
  })
