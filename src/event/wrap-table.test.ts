import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { columnInfo, indexInfo, tableInfo } from '../../test/support/field-type.ts'
import { parseTableInfo } from '../tidb/table-info-json.ts'
import type { TableInfo } from '../tidb/table-info.ts'
import { Ts } from '../tidb/ts.ts'
import { wrapTable } from './wrap-table.ts'

const wrap = (info: TableInfo) => wrapTable(info, 'test', Ts(7n), 100n)
const stored = (name: string): TableInfo => {
  const text = readFileSync(join(import.meta.dirname, '..', 'tidb', 'vectors', `tableinfo-${name}.json`), 'utf8')
  return parseTableInfo(/"table_info":\s*([^]*)\}\s*$/.exec(text)?.[1] ?? '')
}

test('an integer primary key is handle, primary and binary, and the only key column', () => {
  const table = wrap(stored('minimal'))
  assert.deepEqual(
    table.columns.map(({ name, flags }) => [name, flags]),
    [
      ['id', 11],
      ['v', 1],
    ],
  )
  assert.deepEqual(table.handleKey, [0])
  assert.deepEqual(table.keys, [{ name: 'PRIMARY', primary: true, unique: true, columns: [0] }])
  assert.deepEqual([table.version, table.schema, table.table, table.physicalId], [7n, 'test', 'minimal', 100n])
})

test('every column of a composite key has its flags, not the first alone', () => {
  const info = tableInfo(
    { a: 'int not null', b: 'varchar(9) not null', c: 'int' },
    { indexes: [indexInfo(1, 'PRIMARY', [1, 0], { primary: true, unique: true }), indexInfo(2, 'i', [1, 2])] },
  )
  const table = wrap(info)
  assert.deepEqual(
    table.columns.map(({ flags }) => flags),
    [1 + 2 + 8 + 32, 2 + 8 + 32, 1 + 32 + 64],
  )
  assert.deepEqual(table.handleKey, [1, 0])
  assert.deepEqual(
    table.keys.map(({ columns, unique }) => [columns, unique]),
    [
      [[1, 0], true],
      [[1, 2], false],
    ],
  )
})

test('without primary key the handle is the not-null unique index with fewest columns, then the smallest id', () => {
  const info = tableInfo(
    { a: 'int not null', b: 'int not null', c: 'int' },
    {
      indexes: [
        indexInfo(4, 'u4', [0], { unique: true }),
        indexInfo(3, 'u3', [1], { unique: true }),
        indexInfo(1, 'u1', [0, 1], { unique: true }),
        indexInfo(2, 'nullable', [2], { unique: true }),
      ],
    },
  )
  assert.deepEqual(wrap(info).handleKey, [1])
})

test('a table without any such key has no handle key', () =>
  assert.deepEqual(
    wrap(tableInfo({ a: 'int' }, { indexes: [indexInfo(1, 'u', [0], { unique: true })] })).handleKey,
    [],
  ))

test('virtual, hidden-by-index and non-public columns are left out, and indexes over them too', () => {
  const columns = [
    columnInfo(1, 'a', 'int primary'),
    columnInfo(2, 'v', 'int', { generatedExpr: '`a`+1' }),
    columnInfo(3, 's', 'int', { generatedExpr: '`a`+2', generatedStored: true }),
    columnInfo(4, 'new', 'int', { state: 2 }),
  ]
  const table = wrap(
    tableInfo({}, { columns, pkIsHandle: true, indexes: [indexInfo(1, 'i', [1]), indexInfo(2, 'j', [2])] }),
  )
  assert.deepEqual(
    table.columns.map(({ name, flags }) => [name, flags]),
    [
      ['a', 11],
      ['s', 1 + 4 + 64],
    ],
  )
  assert.deepEqual(
    table.keys.map(({ name, columns: at }) => [name, at]),
    [
      ['PRIMARY', [0]],
      ['j', [1]],
    ],
  )
})

for (const name of ['generated', 'nonclustered-uk', 'composite-clustered', 'all-types', 'pk-origin-default'])
  test(`the stored table ${name} has columns and keys within bounds`, () => {
    const table = wrap(stored(name))
    assert.ok(table.columns.length > 0)
    for (const { columns } of table.keys) for (const at of columns) assert.ok(at < table.columns.length)
  })
