import assert from 'node:assert/strict'
import { test } from 'node:test'
import { indexInfo, tableInfo } from '../../test/support/field-type.ts'
import { sortKeyOf } from './collation.ts'
import { recordKey } from './key.ts'
import { compileRowDecoder } from './row-decoder.ts'
import { encodeHandle, encodeIndexEntry, encodeTableRow, handleOfDistinctValue, storedColumns } from './table-codec.ts'
import type { TableInfo } from './table-info.ts'
import { utcZone } from './time-zone.ts'
import type { Value } from './value.ts'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const plain = tableInfo({ id: 'bigint primary', name: 'varchar(20)' }, { pkIsHandle: true })
const clustered = (collate: string, length = -1): TableInfo =>
  tableInfo(
    { a: `varchar(20) not null collate ${collate}`, b: 'int not null', c: 'int' },
    {
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

function roundTrip(info: TableInfo, row: readonly Value[], rowId = 1n): readonly Value[] {
  const key = recordKey(info.id, encodeHandle(info, row, rowId, utcZone))
  return compileRowDecoder(info, info.columns, utcZone)(key, encodeTableRow(info, row, utcZone))
}

test('an integer primary key is the handle, and not in the value', () => {
  assert.equal(hex(encodeHandle(plain, [5, null], 0n, utcZone)), '8000000000000005')
  assert.deepEqual(storedColumns(plain, [5, null]), [])
  assert.deepEqual(roundTrip(plain, [-5, text('x')]), [-5, text('x')])
})

test('an unsigned primary key beyond the signed range comes back', () => {
  const info = tableInfo({ id: 'bigint unsigned primary' }, { pkIsHandle: true })
  const row = [18_446_744_073_709_551_615n]
  assert.equal(hex(encodeHandle(info, row, 0n, utcZone)), '7fffffffffffffff')
  assert.deepEqual(roundTrip(info, row), row)
})

for (const collate of [
  'binary',
  'utf8mb4_bin',
  'utf8mb4_general_ci',
  'utf8mb4_unicode_ci',
  'utf8mb4_0900_ai_ci',
  'utf8mb4_0900_bin',
])
  for (const length of [-1, 2])
    test(`a clustered key with ${collate}${length > 0 ? ' prefix' : ''} gives its columns back`, () => {
      const row = [text('Käse  '), 7, null]
      assert.deepEqual(roundTrip(clustered(collate, length), row), row)
    })

test('a case-insensitive clustered key has equal bytes for equal text', () => {
  const handle = (name: string): string =>
    hex(encodeHandle(clustered('utf8mb4_general_ci'), [text(name), 1, 1], 0n, utcZone))
  assert.equal(handle('aBc'), handle('ABC '))
  assert.notEqual(handle('abc'), handle('abd'))
  assert.ok(handle('abc').startsWith('010041004200430000fd'))
})

test('a unique entry excludes by its key alone, unless a column is NULL', () => {
  const index = indexInfo(2, 'u', [1], { unique: true })
  const at = (id: number, name: Value) =>
    encodeIndexEntry(plain, index, {
      tableId: 100n,
      handle: encodeHandle(plain, [id], 0n, utcZone),
      row: [id, name],
      zone: utcZone,
    })
  assert.deepEqual(at(1, text('x')).key, at(2, text('x')).key)
  assert.equal(at(1, text('x')).distinct, true)
  assert.notDeepEqual(at(1, null).key, at(2, null).key)
  assert.equal(hex(handleOfDistinctValue(plain, at(7, text('x')).value)), '8000000000000007')
})

test('a unique entry of a clustered table holds its handle', () => {
  const info = clustered('utf8mb4_bin')
  const row = [text('k'), 1, 9]
  const handle = encodeHandle(info, row, 0n, utcZone)
  const entry = encodeIndexEntry(info, indexInfo(2, 'u', [2], { unique: true }), {
    tableId: 100n,
    handle,
    row,
    zone: utcZone,
  })
  assert.deepEqual(handleOfDistinctValue(info, entry.value), handle)
  const other = encodeIndexEntry(info, indexInfo(3, 'i', [2]), { tableId: 100n, handle, row, zone: utcZone })
  assert.equal(hex(other.value), '007d01')
  assert.ok(hex(other.key).endsWith(hex(handle)))
})

test('a plain entry of TiDB: index prefix, datums, int handle, value 0', () => {
  const info = tableInfo({ id: 'bigint primary', v: 'int' }, { pkIsHandle: true, id: 1n })
  const entry = encodeIndexEntry(info, indexInfo(1, 'i', [1]), {
    tableId: 1n,
    handle: encodeHandle(info, [2, 3], 0n, utcZone),
    row: [2, 3],
    zone: utcZone,
  })
  assert.equal(hex(entry.key), '7480000000000000015f698000000000000001038000000000000003038000000000000002')
  assert.equal(hex(entry.value), '30')
})

for (const [collate, a, b, equal] of [
  ['utf8mb4_bin', 'a', 'a ', true],
  ['utf8mb4_bin', 'a', 'A', false],
  ['utf8mb4_0900_bin', 'a', 'a ', false],
  ['utf8mb4_general_ci', 'straße', 'STRASE', true],
  ['utf8mb4_general_ci', 'é', 'E', true],
  ['utf8mb4_unicode_ci', 'Ä ', 'a', true],
  ['utf8mb4_0900_ai_ci', 'Ä', 'a', true],
  ['utf8mb4_0900_ai_ci', 'a ', 'a', false],
  ['gbk_bin', '中', '中 ', true],
] as const)
  test(`${collate}: ${a} ${equal ? '=' : '≠'} ${b}`, () =>
    assert.equal(hex(sortKeyOf(collate, text(a))) === hex(sortKeyOf(collate, text(b))), equal))

test('an unknown collation is refused by name', () =>
  assert.throws(() => sortKeyOf('utf8mb4_german2_ci', text('x')), /utf8mb4_german2_ci/))
