// Rows of the golden vectors, as independent implementations wrote them, mounted by the table infos beside them.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { CdcError } from '../base/errors.ts'
import type { RawKv } from '../event/raw-kv.ts'
import { wrapTable } from '../event/wrap-table.ts'
import { parseTableInfo } from '../tidb/table-info-json.ts'
import type { TableInfo } from '../tidb/table-info.ts'
import { Ts } from '../tidb/ts.ts'
import type { Value } from '../tidb/value.ts'
import { compileMounter } from './mounter.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR'] ?? join(import.meta.dirname, '..', 'tidb', 'vectors')

interface ColumnVector {
  readonly name: string
  readonly go?: string
  readonly value?: unknown
  readonly hex?: string
}

interface RowVector {
  readonly id: string
  readonly table_info?: string
  readonly physical_table_id?: string
  readonly key?: string
  readonly value: string
  readonly time_zone?: string
  readonly columns?: readonly ColumnVector[]
}

const { rows } = JSON.parse(readFileSync(join(folder, 'rows.json'), 'utf8')) as { rows: readonly RowVector[] }
const mounted = rows.filter((row) => row.table_info !== undefined && row.columns !== undefined)

const tableOf = (file: string): TableInfo => {
  const [, text = ''] = /"table_info":\s*([^]*)\}\s*$/.exec(readFileSync(join(folder, file), 'utf8')) ?? []
  return parseTableInfo(text)
}

const rawOf = (row: RowVector): RawKv => ({
  startTs: Ts(1n),
  commitTs: Ts(2n),
  key: Buffer.from(row.key ?? '', 'hex'),
  value: Buffer.from(row.value, 'hex'),
  oldValue: undefined,
})

/** A value as the vectors write it. */
function show(value: Value): unknown {
  if (value instanceof Float32Array) return `[${value.join(',')}]`
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return typeof value === 'string' || value === null ? value : String(value)
}

function expected(column: ColumnVector): unknown {
  if (column.go === undefined) return null
  if (column.go === '[]byte') return column.hex
  if (column.go === 'float32') return String(Math.fround(Number(column.value)))
  if (column.go === 'float64') return String(Number(column.value))
  if (column.go === 'VectorFloat32') return JSON.stringify(column.value).replaceAll('"', '').replaceAll(' ', '')
  return column.value
}

for (const row of mounted)
  test(`row ${row.id} mounts to the values of its vector`, () => {
    const info = tableOf(row.table_info ?? '')
    const table = wrapTable(info, 'test', Ts(1n), BigInt(row.physical_table_id ?? '0'))
    const change = compileMounter(table, { timeZone: row.time_zone ?? 'UTC' })(rawOf(row))
    assert.equal(change.before, undefined)
    assert.deepEqual(
      table.columns.map((column, at) => [column.name, show(change.after?.[at] ?? null)]),
      row.columns?.map((column) => [column.name, expected(column)]),
    )
  })

test(`all ${mounted.length} row vectors with columns were mounted`, () => assert.ok(mounted.length >= 35))

const minimal = wrapTable(tableOf('tableinfo-minimal.json'), 'test', Ts(1n), 116n)
const key = Buffer.from('7480000000000000745f728000000000000001', 'hex')
const stored = Buffer.from('8000010000000201002a', 'hex')
const older = Buffer.from('80000100000002010029', 'hex')

for (const [name, value, oldValue, after, before] of [
  ['insert', stored, undefined, [1, 42], undefined],
  ['update', stored, older, [1, 42], [1, 41]],
  ['delete', undefined, older, undefined, [1, 41]],
  ['delete of an empty value', Buffer.alloc(0), older, undefined, [1, 41]],
  ['pair of nothing', undefined, undefined, undefined, undefined],
] as const)
  test(`${name}: the sides that are there are mounted`, () => {
    const raw = { startTs: Ts(5n), commitTs: Ts(6n), key, value, oldValue }
    const mount = compileMounter(minimal, { timeZone: 'UTC' })
    assert.deepEqual(mount(raw), { startTs: 5n, commitTs: 6n, key, before, after })
  })

test('a keyspace prefix on the key changes nothing', () => {
  const prefixed = Buffer.concat([Buffer.from('78000001', 'hex'), key])
  const raw = { startTs: Ts(5n), commitTs: Ts(6n), key: prefixed, value: stored, oldValue: undefined }
  assert.deepEqual(compileMounter(minimal, { timeZone: 'UTC' })(raw).after, [1, 42])
})

test('an unknown time zone is refused when the mounter is compiled', () =>
  assert.throws(() => compileMounter(minimal, { timeZone: 'Mars/Olympus' }), /ErrLoadTimezone/))

test('a broken row names table, side, key, column and commitTs', () => {
  const raw = {
    startTs: Ts(1n),
    commitTs: Ts(467_996_279_696_261_139n),
    key,
    value: undefined,
    oldValue: Buffer.from('80000100000002030001020304', 'hex'),
  }
  assert.throws(
    () => compileMounter(minimal, { timeZone: 'UTC' })(raw),
    (error: unknown) =>
      error instanceof CdcError &&
      error.code === 'CDC:ErrDecodeRowToDatum' &&
      [
        'old value',
        '`test`.`minimal`',
        '7480000000000000745f728000000000000001',
        'column v',
        '467996279696261139',
      ].every((part) => error.message.includes(part)),
  )
})
