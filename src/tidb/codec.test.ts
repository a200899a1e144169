// Laws of the codecs: what is written is read again, and the byte order of keys is the order of values.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { columnInfo, fieldType, tableInfo } from '../../test/support/field-type.ts'
import { ByteWriter } from './byte-writer.ts'
import { createCellFormat, readCell, writeCell } from './cell.ts'
import { datumEnd, readDatum, writeKeyDatum, writeValueDatum } from './datum.ts'
import { roundDecimal } from './decimal.ts'
import { encodeJson } from './json-binary-encode.ts'
import { decodeJson, jsonEnd } from './json-binary.ts'
import { parseJson, stringifyJson } from './json-big.ts'
import { compareBytes, decodeBytes, decodeInt, encodeBytes, intHandle, prefixNext, recordKey } from './key.ts'
import { convertLiteral } from './literal.ts'
import { compileRowDecoder } from './row-decoder.ts'
import { encodeRow, encodeRowV1 } from './row-encoder.ts'
import { openTimeZone, utcZone } from './time-zone.ts'
import { integerValue, type Value } from './value.ts'

const bytes = fc.uint8Array({ maxLength: 40 })
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const two = (value: number): string => String(value).padStart(2, '0')
const upTo = (max: number, min = 0) => fc.integer({ min, max })
const date = fc
  .tuple(upTo(9999), upTo(12), upTo(31))
  .map(([y, m, d]) => `${String(y).padStart(4, '0')}-${two(m)}-${two(d)}`)
const clock = fc.tuple(upTo(23), upTo(59), upTo(59)).map(([h, m, s]) => `${two(h)}:${two(m)}:${two(s)}`)
const micros = upTo(999_999).map((value) => `.${String(value).padStart(6, '0')}`)
const duration = fc
  .tuple(fc.constantFrom('', '-'), upTo(837), upTo(59), upTo(59, 1), micros)
  .map(([sign, h, m, s, f]) => `${sign}${two(h)}:${two(m)}:${two(s)}${f}`)
const decimal = fc
  .tuple(fc.bigInt({ min: -(10n ** 20n) + 1n, max: 10n ** 20n - 1n }), upTo(999_999_999))
  .map(([whole, fraction]) => roundDecimal(`${whole}.${String(fraction).padStart(9, '0')}`, 10))
const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value))

/** Values of every storable type. */
const TYPES: Readonly<Record<string, fc.Arbitrary<Value>>> = {
  tinyint: upTo(127, -128),
  'smallint unsigned': upTo(65_535),
  'mediumint unsigned': upTo(16_777_215),
  int: upTo(2 ** 31 - 1, -(2 ** 31)),
  bigint: int64.map(integerValue),
  'bigint unsigned': uint64.map(integerValue),
  year: upTo(2155),
  float: fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value)),
  double: finite,
  'decimal(30,10)': decimal,
  'varchar(40)': bytes,
  date,
  'datetime(6)': fc.tuple(date, clock, micros).map(([d, c, f]) => `${d} ${c}${f}`),
  'time(6)': duration,
  'enum(a,b,c)': upTo(3),
  'set(a,b,c,d,e,f,g,h,i)': upTo(511),
  'bit(64)': uint64.map(integerValue),
  json: fc.json().map((text) => textOfJson(encodeJson(text))),
  vector: fc.float32Array({ maxLength: 5 }),
}
const KEYED = Object.keys(TYPES).filter((name) => name !== 'json' && name !== 'vector')
const textOfJson = (binary: Uint8Array): string => decodeJson(binary, 0, binary.length)

for (const [name, values] of Object.entries(TYPES)) {
  const format = createCellFormat(fieldType(name), utcZone)
  test(`${name}: cells and datums are read as they were written`, () => {
    fc.assert(
      fc.property(values, (value) => {
        if (value === null) return
        const cell = new ByteWriter()
        writeCell(cell, format, value)
        assert.deepEqual(readCell(format, cell.finish(), 0, cell.length), value)
        for (const write of KEYED.includes(name) ? [writeKeyDatum, writeValueDatum] : [writeValueDatum]) {
          const datum = new ByteWriter().u8(0)
          write(datum, format, value)
          const end = datum.length
          assert.deepEqual(readDatum(format, datum.u8(9).finish(), 1), value)
          assert.equal(datumEnd(datum.finish(), 1), end)
        }
      }),
    )
  })
}

/** Order of values as SQL has it; texts of times and dates order as bytes but for the sign. */
function compareValues(name: string, a: Value, b: Value): number {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return compareBytes(a, b)
  if (name.startsWith('decimal')) return compareBigints(unscaled(a), unscaled(b))
  if (name.startsWith('time')) return compareBigints(microsecondsOf(a), microsecondsOf(b))
  if (typeof a === 'string' && typeof b === 'string') return Math.sign(a < b ? -1 : a > b ? 1 : 0)
  return Number(a) === Number(b) ? compareBigints(exact(a), exact(b)) : Number(a) < Number(b) ? -1 : 1
}

const compareBigints = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)
const exact = (value: Value): bigint => (typeof value === 'bigint' ? value : BigInt(Math.trunc(Number(value))))
const unscaled = (value: Value): bigint => BigInt(String(value).replace('.', ''))
const microsecondsOf = (value: Value): bigint => {
  const [, sign, h = '0', m = '0', s = '0', f = '0'] = /^(-?)(\d+):(\d+):(\d+)\.(\d+)$/.exec(String(value)) ?? []
  const total = ((BigInt(h) * 60n + BigInt(m)) * 60n + BigInt(s)) * 1_000_000n + BigInt(f)
  return sign === '-' ? -total : total
}

for (const name of KEYED) {
  const format = createCellFormat(fieldType(name), utcZone)
  const values = TYPES[name] ?? fc.constant(null)
  test(`${name}: the byte order of key datums is the order of values`, () => {
    const key = (value: Value): Uint8Array => {
      const writer = new ByteWriter()
      writeKeyDatum(writer, format, value)
      return writer.finish()
    }
    fc.assert(
      fc.property(
        values,
        values,
        (a, b) => Math.sign(compareBytes(key(a), key(b))) === Math.sign(compareValues(name, a, b)),
      ),
    )
    fc.assert(fc.property(values, (value) => compareBytes(key(null), key(value)) < 0))
  })
}

test('memcomparable strings keep their order, and are read as they were written', () => {
  fc.assert(
    fc.property(
      bytes,
      bytes,
      (a, b) => Math.sign(compareBytes(encodeBytes(a), encodeBytes(b))) === Math.sign(compareBytes(a, b)),
    ),
  )
  fc.assert(
    fc.property(bytes, bytes, (a, rest) => {
      const { raw, end } = decodeBytes(Buffer.concat([encodeBytes(a), rest]))
      assert.deepEqual(raw, a)
      assert.equal(end, encodeBytes(a).length)
    }),
  )
})

test('handles keep the order of integers', () => {
  fc.assert(
    fc.property(int64, int64, (a, b) => Math.sign(compareBytes(intHandle(a), intHandle(b))) === compareBigints(a, b)),
  )
  fc.assert(fc.property(int64, (value) => decodeInt(intHandle(value)) === value))
})

test('prefixNext is above every key with the prefix and not above any other', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 5 }), bytes, bytes, (prefix, rest, other) => {
      fc.pre(prefix.some((byte) => byte < 0xff))
      const next = prefixNext(prefix)
      assert.ok(compareBytes(Buffer.concat([prefix, rest]), next) < 0)
      if (compareBytes(other, prefix) > 0 && !Buffer.from(other).subarray(0, prefix.length).equals(prefix))
        assert.ok(compareBytes(other, next) >= 0)
    }),
  )
})

test('whole rows of every type are read as they were written, in both formats', () => {
  const names = Object.keys(TYPES)
  const columns = names.map((name, at) => columnInfo(at + 1, `c${at}`, name))
  const info = tableInfo({}, { columns })
  const decode = compileRowDecoder(info, columns, utcZone)
  const row = fc.tuple(...names.map((name) => fc.option(TYPES[name] ?? fc.constant(null), { nil: null })))
  fc.assert(
    fc.property(row, fc.constantFrom(encodeRow, encodeRowV1), (values, encode) => {
      const stored = columns.map(({ id, type }, at) => ({ id, type, value: values[at] ?? null }))
      assert.deepEqual(decode(recordKey(1n, intHandle(1n)), encode(stored)), values)
    }),
  )
})

test('column ids beyond 255 and data beyond 64 KiB use the large layout', () => {
  const columns = [columnInfo(1, 'a', 'blob'), columnInfo(300, 'b', 'int', { offset: 1 })]
  const decode = compileRowDecoder(tableInfo({}, { columns }), columns, utcZone)
  const value = [new Uint8Array(70_000).fill(7), 42]
  const stored = columns.map(({ id, type }, at) => ({ id, type, value: value[at] ?? null }))
  assert.deepEqual(decode(recordKey(1n, intHandle(1n)), encodeRow(stored)), value)
})

test('cut rows of any length are refused or read, never read beyond their end', () => {
  const columns = Object.keys(TYPES).map((name, at) => columnInfo(at + 1, `c${at}`, name))
  const decode = compileRowDecoder(tableInfo({}, { columns }), columns, utcZone)
  const key = recordKey(1n, intHandle(1n))
  const noise = fc.uint8Array({ minLength: 1, maxLength: 200 })
  const row = noise.map((rest) =>
    Uint8Array.from([128, rest[0] === 0 ? 1 : 0, (rest[0] ?? 0) % 20, 0, (rest[0] ?? 0) % 5, 0, ...rest]),
  )
  fc.assert(
    fc.property(fc.oneof(noise, row), (value) => {
      try {
        decode(key, value)
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error))
      }
    }),
    { numRuns: 2000 },
  )
})

test('binary JSON is read as JSON.parse reads its text', () => {
  fc.assert(
    fc.property(fc.json({ noUnicodeString: false }), (text) => {
      const binary = encodeJson(text)
      assert.equal(jsonEnd(binary, 0), binary.length)
      assert.deepEqual(withoutNegativeZero(JSON.parse(textOfJson(binary))), withoutNegativeZero(JSON.parse(text)))
    }),
  )
})

/** Integers are stored as such, so that -0 is 0. */
const withoutNegativeZero = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_key, item: unknown) => (item === 0 ? 0 : item)))

for (const text of ['', '{', '[1,]', '{"a":}', '{"a" 1}', 'nul', '01', '1.', '"a', '"\n"', '1e999', '[1] 2', "{'a':1}"])
  test(`${JSON.stringify(text)} is no JSON text`, () => assert.throws(() => encodeJson(text), SyntaxError))

for (const [text, printed] of [
  ['{"b": 1, "aa": 2, "a": 3, "b": 4}', '{"a": 3, "aa": 2, "b": 4}'],
  ['18446744073709551615', '18446744073709551615'],
  ['18446744073709551616', '18446744073709552000'],
  ['-0.0', '-0'],
  ['1e2', '100'],
  ['"\\u2028<\\u0001"', '"\\u2028<\\u0001"'],
  ['"\ufeffx"', '"\ufeffx"'],
] as const)
  test(`JSON ${text} prints as ${printed}`, () => assert.equal(textOfJson(encodeJson(text)), printed))

test('a byte of a JSON string that is no UTF-8 prints as \\ufffd', () =>
  assert.equal(textOfJson(Uint8Array.from([0x0c, 4, 0x61, 0xff, 0xc3, 0xa9])), '"a\\ufffdé"'))

test('members of binary JSON that share their bytes are refused, however many values they would make', () => {
  const level = (at: number): number[] => [2, 0, 0, 0, 18, 0, 0, 0, 3, 18, 0, 0, 0, 3, 18, 0, 0, at]
  const cell = Uint8Array.from([3, ...Array.from({ length: 60 }, () => level(0)).flat(), 0, 0, 0, 0, 8, 0, 0, 0])
  assert.throws(() => textOfJson(cell), RangeError)
})

test('JSON text nested deeper than 100 is refused, on both ways', () => {
  assert.throws(() => encodeJson('['.repeat(102) + ']'.repeat(102)), SyntaxError)
  assert.equal(textOfJson(encodeJson('['.repeat(100) + ']'.repeat(100))).length, 200)
})

test('parseJson keeps integers exact, and stringifyJson writes them as numbers', () => {
  const text =
    '{"ts":467996279696261139,"max":18446744073709551615,"min":-9223372036854775808,"f":1.5,"s":"1234567890123456789"}'
  const value = parseJson(text) as Record<string, unknown>
  assert.equal(value['ts'], 467_996_279_696_261_139n)
  assert.equal(value['f'], 1.5)
  assert.equal(value['s'], '1234567890123456789')
  assert.equal(stringifyJson(value), text)
  assert.equal(stringifyJson({ q: '<&>\u2028' }, { html: true }), '{"q":"\\u003c\\u0026\\u003e\\u2028"}')
})

test('TIMESTAMP text in a zone comes back, but for the hour that is there twice', () => {
  const zone = openTimeZone('America/New_York')
  const format = createCellFormat(fieldType('timestamp'), zone)
  fc.assert(
    fc.property(upTo(2 ** 31 - 1, 1), (seconds) => {
      const local = new Date((seconds + zone.offsetAt(seconds)) * 1000).toISOString().slice(0, 19).replace('T', ' ')
      const cell = new ByteWriter()
      writeCell(cell, format, local)
      assert.equal(readCell(format, cell.finish(), 0, cell.length), local)
    }),
  )
})

test('literals of the printed form of a value give the value', () => {
  for (const name of Object.keys(TYPES).filter(
    (item) => !/enum|set|bit|json|vector|varchar|year|date|float|double/.test(item),
  ))
    fc.assert(
      fc.property(TYPES[name] ?? fc.constant(null), (value) => {
        assert.deepEqual(convertLiteral(fieldType(name), String(value)), { value })
      }),
    )
})
