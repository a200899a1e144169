import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { storedChange } from '../../test/support/arbitrary-stored-row.ts'
import { fieldType } from '../../test/support/field-type.ts'
import { printCell } from './cell-text.ts'
import { createCellFormat, readCell } from './cell.ts'
import { MAX_CELL_TEXT } from './integer-text.ts'
import { compileRowDecoder } from './row-decoder.ts'
import { compileCellLocator, sameCell, StoredCells } from './stored-cells.ts'
import { openTimeZone } from './time-zone.ts'
import { sameValue, type Value } from './value.ts'

/** Printed from the cell's bytes; undefined where it is refused. */
function printed(type: string, zone: string, bytes: Uint8Array): string | undefined {
  const to = new Uint8Array(MAX_CELL_TEXT)
  try {
    const end = printCell(createCellFormat(fieldType(type), openTimeZone(zone)), bytes, 0, bytes.length, to, 0)
    return Buffer.from(to.subarray(0, end)).toString()
  } catch (error) {
    assert.ok(error instanceof RangeError, String(error))
    return undefined
  }
}

function decoded(type: string, zone: string, bytes: Uint8Array): string | undefined {
  try {
    return String(readCell(createCellFormat(fieldType(type), openTimeZone(zone)), bytes, 0, bytes.length))
  } catch (error) {
    assert.ok(error instanceof RangeError, String(error))
    return undefined
  }
}

const words = fc.oneof(
  ...[1, 2, 4, 8, 8, 3].map((width) => fc.uint8Array({ minLength: width, maxLength: width })),
  // Packed times, most of which exist.
  fc.bigInt({ min: 0n, max: 0x1fff_ffff_ffff_ffffn }).map((bits) => new Uint8Array(BigUint64Array.of(bits).buffer)),
)

for (const type of [
  'int',
  'bigint unsigned',
  'year',
  'bit(64)',
  'enum(a,b,c)',
  'set(a,b,c)',
  `set(${Array.from({ length: 64 }, (_, i) => `e${i}`).join()})`,
  'date',
  'datetime',
  'datetime(3)',
  'timestamp(6)',
  'timestamp',
  'time',
  'time(2)',
])
  test(`any bytes as ${type.slice(0, 20)}: what is printed is the text of what is decoded, or both refuse them`, () => {
    fc.assert(
      fc.property(words, fc.constantFrom('UTC', 'Asia/Shanghai', '-03:30'), (bytes, zone) => {
        assert.equal(printed(type, zone, bytes), decoded(type, zone, bytes))
      }),
      { numRuns: 1000 },
    )
  })

test('any bytes as decimal: what is printed is the text of what is decoded, or both refuse them', () => {
  const cell = fc
    .tuple(
      fc.integer({ min: 0, max: 82 }),
      fc.integer({ min: 0, max: 31 }),
      fc.uint8Array({ minLength: 40, maxLength: 40 }),
      fc.boolean(),
    )
    .map(([precision, scale, digits, small]) => {
      const group = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4]
      const width = (count: number): number => Math.floor(count / 9) * 4 + (group[count % 9] ?? 0)
      const size = scale > precision ? 9 : width(precision - scale) + width(scale)
      return Uint8Array.of(precision, scale, ...digits.map((digit) => (small ? digit & 0x81 : digit)).subarray(0, size))
    })
  fc.assert(
    fc.property(cell, (bytes) =>
      assert.equal(printed('decimal(30,5)', 'UTC', bytes), decoded('decimal(30,5)', 'UTC', bytes)),
    ),
    { numRuns: 3000 },
  )
})

test('located cells hold the values that the decoder finds, in every row format, and are the same where values are', () => {
  fc.assert(
    fc.property(storedChange, ({ table, timeZone, raw }) => {
      const columns = table.columns.map(({ info }) => info)
      const zone = openTimeZone(timeZone)
      const decode = compileRowDecoder(table.info, columns, zone)
      const locator = compileCellLocator(table.info, columns, zone)
      const [after, before] = [raw.value, raw.oldValue].map((value) => {
        if (value === undefined) return undefined
        const cells = new StoredCells(locator.table)
        // Other rows lie around it.
        const bytes = Buffer.concat([Buffer.alloc(3, 0xff), value, raw.key, Buffer.alloc(9, 0xff)])
        cells.bytes = bytes
        cells.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
        const end = 3 + value.length
        locator.locate(cells, 3, end, end, end + raw.key.length)
        const values = decode(raw.key, value)
        assert.deepEqual(
          columns.map((_, position) => cells.value(position)),
          values,
        )
        return { cells, values }
      })
      if (after === undefined || before === undefined) return
      for (const position of columns.keys()) {
        const value = (values: readonly Value[]): Value => values[position] ?? null
        assert.equal(
          sameCell(before.cells, after.cells, position),
          sameValue(value(before.values), value(after.values)),
          `column ${position}`,
        )
      }
    }),
    { numRuns: 500 },
  )
})
