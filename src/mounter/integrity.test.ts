// Rows with the checksums that TiDB wrote, taken from the golden vectors; then the same rows with a byte turned over.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RawKv } from '../event/raw-kv.ts'
import { wrapTable } from '../event/wrap-table.ts'
import { readRowChecksum } from '../tidb/row-checksum.ts'
import { parseTableInfo } from '../tidb/table-info-json.ts'
import { Ts } from '../tidb/ts.ts'
import { compileMounter, type Mounter } from './mounter.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR'] ?? join(import.meta.dirname, '..', 'tidb', 'vectors')
const read = (file: string): string => readFileSync(join(folder, file), 'utf8')

interface RowVector {
  readonly id: string
  readonly table_info: string
  readonly key: string
  readonly value: string
  readonly checksum_version?: number
  readonly column_checksum_v0: number
}

const { rows } = JSON.parse(read('rows.json')) as { rows: readonly RowVector[] }
const checked = rows.filter((row) => row.checksum_version !== undefined)

function mounterOf(row: RowVector, onCorruption: 'warn' | 'error', problems: string[]): Mounter {
  const [, text = ''] = /"table_info":\s*([^]*)\}\s*$/.exec(read(row.table_info)) ?? []
  const table = wrapTable(parseTableInfo(text), 'test', Ts(1n), 100n)
  // A zone of its own: the checksum is one of UTC all the same.
  const integrity = { onCorruption, report: (problem: string) => void problems.push(problem) }
  return compileMounter(table, { timeZone: 'Asia/Shanghai', integrity })
}

const rawOf = (row: RowVector, sides: { readonly value?: Uint8Array; readonly oldValue?: Uint8Array }): RawKv => ({
  startTs: Ts(1n),
  commitTs: Ts(2n),
  key: Buffer.from(row.key, 'hex'),
  value: sides.value,
  oldValue: sides.oldValue,
})

for (const row of checked)
  test(`${row.id}: the row fits, and carries the checksum of its columns`, () => {
    const value = Buffer.from(row.value, 'hex')
    const problems: string[] = []
    const mount = mounterOf(row, 'error', problems)
    const sum = row.column_checksum_v0
    const common = { version: row.checksum_version, corrupted: false }
    assert.deepEqual(mount(rawOf(row, { value })).checksum, { ...common, current: sum, previous: 0 })
    assert.deepEqual(mount(rawOf(row, { oldValue: value })).checksum, { ...common, current: 0, previous: sum })
    const both = mount(rawOf(row, { value, oldValue: value }))
    assert.deepEqual(both.checksum, { ...common, current: sum, previous: sum })
    assert.deepEqual(problems, [])
  })

for (const row of checked)
  test(`${row.id}: a row that does not fit is named, and stops the changefeed where that is asked for`, () => {
    const value = Buffer.from(row.value, 'hex')
    const section = readRowChecksum(value)
    assert.ok(section)
    for (let at = section.offset + 1; at < value.length; at++) value[at] = (value[at] ?? 0) ^ 0xff
    const problems: string[] = []
    const marked = mounterOf(row, 'warn', problems)(rawOf(row, { value }))
    assert.equal(marked.checksum?.corrupted, true)
    assert.match(problems.join(), /a row of `test`\.`.*` does not fit its checksum \(key 74.*, commitTs 2\)/)
    assert.throws(() => mounterOf(row, 'error', [])(rawOf(row, { value })), { code: 'CDC:ErrCorruptedDataMutation' })
    const old = mounterOf(row, 'error', [])(rawOf(row, { oldValue: value }))
    assert.equal(old.checksum?.corrupted, false)
  })

test('rows without a checksum have none, and without the check nothing is looked at', () => {
  const [row] = checked
  assert.ok(row)
  const value = Buffer.from(row.value, 'hex')
  const table = wrapTable(
    parseTableInfo(/"table_info":\s*([^]*)\}\s*$/.exec(read(row.table_info))?.[1] ?? ''),
    'test',
    Ts(1n),
    1n,
  )
  assert.equal(compileMounter(table, { timeZone: 'UTC' })(rawOf(row, { value })).checksum, undefined)
  const plain = Buffer.from(value)
  plain[1] = (plain[1] ?? 0) & ~2
  assert.equal(mounterOf(row, 'error', [])(rawOf(row, { value: plain })).checksum, undefined)
})
