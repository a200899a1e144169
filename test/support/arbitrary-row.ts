import fc from 'fast-check'
import type { RowChange, Value } from '../../src/event/row-change.ts'
import type { TableVersion } from '../../src/event/table-version.ts'
import { Ts } from '../../src/tidb/ts.ts'
import { testTable } from './table-version.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

const integers = (min: bigint, max: bigint): fc.Arbitrary<Value> =>
  fc.bigInt({ min, max }).map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value))
const text = fc.string({ unit: 'binary', maxLength: 30 })
const bytes = fc.uint8Array({ maxLength: 30 }).map((value) => new Uint8Array(value))
const characters = fc.oneof(text, fc.string({ unit: 'grapheme-ascii' })).map(utf8)
const floats = fc.float({ noNaN: true, noDefaultInfinity: true })
const doubles = fc.double({ noNaN: true, noDefaultInfinity: true })
const digits = fc.stringMatching(/^-?\d{1,20}\.\d{1,9}$/)
const vectors = fc.array(floats, { maxLength: 5 }).map((list) => Float32Array.from(list))

/** Column type → its values. */
const TYPES: Readonly<Record<string, fc.Arbitrary<Value>>> = {
  tinyint: integers(-128n, 127n),
  'tinyint unsigned': integers(0n, 255n),
  'smallint unsigned': integers(0n, 65535n),
  mediumint: integers(-8388608n, 8388607n),
  'int unsigned': integers(0n, 4294967295n),
  bigint: integers(-(1n << 63n), (1n << 63n) - 1n),
  'bigint unsigned': integers(0n, (1n << 64n) - 1n),
  float: floats,
  double: doubles,
  'decimal(30,9)': digits,
  date: fc.constantFrom('0000-00-00', '2024-02-29'),
  'datetime(3)': fc.constantFrom('0000-00-00 00:00:00.000', '2024-02-29 13:14:15.123'),
  timestamp: fc.constantFrom('2024-02-29 13:14:15'),
  time: fc.constantFrom('-838:59:59', '00:00:00'),
  year: integers(1901n, 2155n),
  'bit(64)': integers(0n, (1n << 64n) - 1n),
  "enum('a','b','c')": integers(0n, 3n),
  "set('a','b','c')": integers(0n, 7n),
  json: text,
  'char(30)': characters,
  'varchar(30)': characters,
  'binary(30)': bytes,
  'varbinary(30)': bytes,
  text: characters,
  longtext: characters,
  tinyblob: bytes,
  blob: bytes,
  vector: vectors,
}

/** Tables of every column type with a row change that fits; columns have any names, the first one is the key. */
export const tableAndRow: fc.Arbitrary<{ readonly table: TableVersion; readonly row: RowChange }> = fc
  .uniqueArray(fc.string({ unit: 'binary', minLength: 1, maxLength: 10 }), {
    minLength: 1,
    maxLength: 12,
    selector: (name) => name.toLowerCase(),
  })
  .chain((names) =>
    fc.tuple(
      fc.constant(names),
      fc.array(fc.constantFrom(...Object.keys(TYPES)), { minLength: names.length, maxLength: names.length }),
    ),
  )
  .chain(([names, types]) => {
    const columns = Object.fromEntries(names.map((name, i) => [name, `${types[i]}${i === 0 ? ' not null' : ''}`]))
    // A plain object sorts names that are integers.
    const order = Object.keys(columns)
    const table = testTable({ columns, indexes: [{ name: 'u', unique: true, columns: order.slice(0, 1) }] })
    const values = fc.tuple(
      ...order.map((name) => fc.option(TYPES[types[names.indexOf(name)] ?? ''] ?? text, { nil: null, freq: 8 })),
    )
    const sides = fc.oneof(
      fc.record({ before: fc.constant(undefined), after: values }),
      fc.record({ before: values, after: fc.constant(undefined) }),
      fc.record({ before: values, after: values }),
      values.map((both) => ({ before: both, after: both })),
    )
    const ts = fc.bigInt({ min: 1n, max: (1n << 63n) - 1n }).map(Ts)
    const row = fc.tuple(ts, sides).map(([commitTs, side]): RowChange => ({ startTs: Ts(1n), commitTs, ...side }))
    return fc.record({ table: fc.constant(table), row })
  })

/** The values of a side by column name. */
export function valuesByName(
  table: TableVersion,
  values: readonly Value[] | undefined,
): Map<string, Value> | undefined {
  return values && new Map(table.columns.map(({ name }, i) => [name, values[i] ?? null]))
}
