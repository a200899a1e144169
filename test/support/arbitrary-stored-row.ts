import fc from 'fast-check'
import type { RawKv } from '../../src/event/raw-kv.ts'
import type { TableVersion } from '../../src/event/table-version.ts'
import { wrapTable } from '../../src/event/wrap-table.ts'
import { intHandle, recordKey } from '../../src/tidb/key.ts'
import { encodeRow, encodeRowV1 } from '../../src/tidb/row-encoder.ts'
import { encodeHandle, storedColumns } from '../../src/tidb/table-codec.ts'
import type { ColumnInfo, FieldType, TableInfo } from '../../src/tidb/table-info.ts'
import { openTimeZone } from '../../src/tidb/time-zone.ts'
import { Ts } from '../../src/tidb/ts.ts'
import type { Value } from '../../src/tidb/value.ts'
import { columnInfo, fieldType, indexInfo, tableInfo } from './field-type.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

const integers = (min: bigint, max: bigint): fc.Arbitrary<Value> =>
  fc
    .oneof(fc.bigInt({ min, max }), fc.constantFrom(min, max, min + 1n, max / 2n, max / 2n + 1n))
    .map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value))
const bytes = fc.uint8Array({ maxLength: 40 }).map((value) => new Uint8Array(value))
const texts = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }).map(utf8),
  fc.string({ unit: 'grapheme-ascii', maxLength: 120 }).map(utf8),
  fc
    .constantFrom(
      '',
      'plain text that is long enough to be copied in groups',
      'a"b\\c<d>&\u2028\u2029\b\f',
      'Käse 漢字 😀',
    )
    .map(utf8),
  // Not UTF-8, or cut within a character.
  bytes,
  fc.constant(Uint8Array.of(0x61, 0xe6, 0xbc)),
)
const numbers = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, -0, 1, -5, 0.1, 1e21, 1e-7, 2 ** 53, 1.5, 1e300),
)
const fraction = (fsp: number): fc.Arbitrary<string> =>
  fsp === 0 ? fc.constant('') : fc.stringMatching(new RegExp(`^\\.[0-9]{${fsp}}$`))
const times = (fsp: number): fc.Arbitrary<Value> =>
  fc
    .tuple(
      fc.constantFrom(
        '0000-00-00 00:00:00',
        '2024-02-29 13:14:15',
        '2027-04-31 23:59:59',
        '9999-12-31 00:00:00',
        '1969-12-31 23:59:59',
        '0001-01-01 00:00:01',
      ),
      fraction(fsp),
    )
    .map(([time, tail]) => (time.startsWith('0000') && fsp > 0 ? `${time}.${'0'.repeat(fsp)}` : time + tail))
const stamps = (fsp: number): fc.Arbitrary<Value> =>
  fc
    .tuple(
      fc.constantFrom(
        '2024-02-29 13:14:15',
        '1970-01-02 00:00:01',
        '2026-10-25 02:30:00',
        '2026-12-31 23:59:59',
        '2037-01-01 00:00:00',
      ),
      fraction(fsp),
    )
    .map(([time, tail]) => time + tail)
const decimals = (whole: number, scale: number): fc.Arbitrary<Value> =>
  fc
    .stringMatching(new RegExp(`^-?[0-9]{1,${whole}}${scale === 0 ? '' : `\\.[0-9]{${scale}}`}$`))
    .map((text) => text.replace(/^(-?)0+(?=[0-9])/, '$1'))

/** Column type → its values. */
const TYPES: readonly (readonly [type: string, values: fc.Arbitrary<Value>, change?: Partial<FieldType>])[] = [
  ['tinyint', integers(-128n, 127n)],
  ['tinyint unsigned', integers(0n, 255n)],
  ['smallint unsigned', integers(0n, 65535n)],
  ['mediumint', integers(-8388608n, 8388607n)],
  ['int', integers(-2147483648n, 2147483647n)],
  ['int unsigned', integers(0n, 4294967295n)],
  ['bigint', integers(-(1n << 63n), (1n << 63n) - 1n)],
  ['bigint unsigned', integers(0n, (1n << 64n) - 1n)],
  ['float', numbers.map((value) => (Number.isFinite(Math.fround(value)) ? Math.fround(value) : 0))],
  ['double', numbers],
  ['decimal(30,9)', decimals(21, 9)],
  ['decimal(65,0)', decimals(65, 0)],
  ['decimal(20,20)', decimals(1, 20).map((text) => String(text).replace(/[0-9]+\./, '0.'))],
  ['date', times(0).map((text) => String(text).slice(0, 10))],
  ['datetime', times(0)],
  ['datetime(3)', times(3)],
  ['timestamp', stamps(0)],
  ['timestamp(6)', stamps(6)],
  ['time', fc.constantFrom('-838:59:59', '00:00:00', '838:59:59', '01:02:03')],
  ['time(4)', fc.constantFrom('-00:00:01.2345', '100:00:00.0001')],
  ['year', integers(1901n, 2155n)],
  ['bit(64)', integers(0n, (1n << 64n) - 1n)],
  ['enum(a,b,c)', integers(0n, 3n)],
  ['set(a,b,c)', integers(0n, 7n)],
  [`set(${Array.from({ length: 64 }, (_, i) => `e${i}`).join()})`, integers(0n, (1n << 64n) - 1n)],
  ['json', fc.json({ maxDepth: 3 })],
  [
    'json',
    fc.constantFrom(
      '{"id": 7, "tags": ["a", "b"], "n": null}',
      '"\u2028 ü \\u0001 <&>"',
      '18446744073709551615',
      '-1.5',
    ),
  ],
  ['char(30)', texts],
  ['varchar(30)', texts],
  ['varchar(30)', texts, { charset: 'latin1', collate: 'latin1_bin' }],
  ['varchar(30)', texts, { charset: 'gbk', collate: 'gbk_chinese_ci' }],
  ['binary(30)', bytes],
  ['varbinary(30)', bytes],
  ['text', texts],
  ['blob', bytes],
  [
    'vector',
    fc
      .array(fc.float({ noNaN: true, noDefaultInfinity: true }), { maxLength: 5 })
      .map((list) => Float32Array.from(list)),
  ],
]

/** Types that can be part of a clustered key, without the text types whose sort keys need valid text. */
const KEY_TYPES = TYPES.filter(([type]) => !/^(json|vector|text|blob|char|varchar|binary)/.test(type))

export interface StoredChange {
  readonly table: TableVersion
  /** Of {@link StoredChange.raw}'s TIMESTAMP text. */
  readonly timeZone: string
  readonly raw: RawKv
}

interface Draft {
  readonly handle: 'rowid' | 'integer' | 'common'
  readonly columns: readonly (readonly [type: number, values: readonly [Value, Value], origin: boolean])[]
  readonly names: readonly string[]
  /** Columns that the old image, or both, do not have yet. */
  readonly added: number
  readonly change: 'insert' | 'update' | 'delete' | 'same'
  readonly formats: readonly [v1: boolean, v1: boolean]
  readonly ts: bigint
  readonly timeZone: string
  readonly large: boolean
}

const columnDraft = fc.integer({ min: 0, max: TYPES.length - 1 }).chain((type) => {
  const value = fc.option(TYPES[type]?.[1] ?? fc.constant(null), { nil: null, freq: 8 })
  return fc.tuple(fc.constant(type), fc.tuple(value, value), fc.boolean())
})

const draft: fc.Arbitrary<Draft> = fc.record({
  handle: fc.constantFrom('rowid', 'integer', 'common'),
  columns: fc.array(columnDraft, { minLength: 1, maxLength: 12 }),
  names: fc.uniqueArray(fc.string({ unit: 'binary', minLength: 1, maxLength: 10 }), {
    minLength: 14,
    maxLength: 14,
    selector: (name) => name.toLowerCase(),
  }),
  added: fc.integer({ min: 0, max: 4 }),
  change: fc.constantFrom('insert', 'update', 'update', 'delete', 'same'),
  formats: fc.tuple(fc.boolean(), fc.boolean()).map(([a, b]) => [a && b, a && !b] as const),
  ts: fc.bigInt({ min: 1n, max: (1n << 63n) - 1n }),
  timeZone: fc.constantFrom('UTC', 'Asia/Shanghai', 'America/New_York', '-03:30'),
  large: fc.boolean(),
})

const ORIGINS: Readonly<Record<string, string>> = {
  int: '7',
  'bigint unsigned': '18446744073709551615',
  'tinyint unsigned': '200',
  'varchar(30)': 'Käse "<',
  'decimal(30,9)': '1.500000000',
  timestamp: '2024-02-29 01:02:03',
  'datetime(3)': '2024-02-29 01:02:03.4',
  double: '2.5',
  json: '{"a":[1,2]}',
  'enum(a,b,c)': 'b',
}

/** Rows of every type as TiDB stores them: every kind of handle, both row formats, columns that were added later. */
export const storedChange: fc.Arbitrary<StoredChange> = fc
  .tuple(draft, fc.constantFrom(...KEY_TYPES), fc.constantFrom(...KEY_TYPES))
  .chain(([made, first, second]) => fc.tuple(first[1], second[1]).map((key) => build(made, [first, second], key)))

function build(made: Draft, keyTypes: readonly (typeof TYPES)[number][], keyValues: readonly Value[]): StoredChange {
  const info = tableOf(made, keyTypes)
  const table = wrapTable(info, 'a"b', Ts(1n), 100n)
  const zone = openTimeZone(made.timeZone)
  const lead = made.handle === 'common' ? keyValues : [made.handle === 'integer' ? 5 : 1]
  const image = (side: 0 | 1): readonly Value[] => [...lead, ...made.columns.map(([, values]) => values[side])]
  const key = recordKey(100n, encodeHandle(info, image(0), 77n, zone))
  const store = (side: 0 | 1, added: number): Uint8Array => {
    const columns = storedColumns(info, image(side)).filter(({ id }) => id < firstAdded(info, added))
    if (made.formats[side]) return encodeRowV1(columns, zone)
    const more = made.large ? [{ id: 70_000, type: fieldType('int'), value: 1 }] : []
    return encodeRow([...columns, ...more], zone)
  }
  const after = store(0, 0)
  const before = made.change === 'same' ? store(0, 0) : store(1, made.added)
  return {
    table,
    timeZone: made.timeZone,
    raw: {
      startTs: Ts(made.ts - 1n),
      commitTs: Ts(made.ts),
      key: made.handle === 'rowid' ? recordKey(100n, intHandle(-9n)) : key,
      value: made.change === 'delete' ? undefined : after,
      oldValue: made.change === 'insert' ? undefined : before,
    },
  }
}

const firstAdded = (info: TableInfo, added: number): number => info.columns.length + 1 - added

function tableOf({ handle, columns, names }: Draft, keyTypes: readonly (typeof TYPES)[number][]): TableInfo {
  const infos: ColumnInfo[] = []
  const add = (type: string, change: Partial<FieldType> = {}, rest: Partial<ColumnInfo> = {}): void => {
    const id = infos.length + 1
    const info = columnInfo(id, names[id - 1] ?? `c${id}`, type, rest)
    infos.push({ ...info, type: { ...info.type, ...change } })
  }
  if (handle === 'common') for (const [type, , change] of keyTypes) add(`${type} primary`, change)
  else add(handle === 'integer' ? 'bigint primary' : 'int not null')
  for (const [type, , hasOrigin] of columns) {
    const [text = '', , change] = TYPES[type] ?? []
    const origin = hasOrigin ? ORIGINS[text] : undefined
    add(text, change, origin === undefined ? {} : { originDefault: origin })
  }
  const primary = { primary: true, unique: true }
  return tableInfo(
    {},
    {
      columns: infos,
      pkIsHandle: handle === 'integer',
      isCommonHandle: handle === 'common',
      commonHandleVersion: handle === 'common' ? 1 : 0,
      indexes:
        handle === 'common' ? [indexInfo(1, 'PRIMARY', [0, 1], primary)] : [indexInfo(1, 'u', [0], { unique: true })],
    },
  )
}
